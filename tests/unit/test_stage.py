"""stage: the folder of a run, laid where it harms nothing."""

import io
import subprocess
import sys
import zipfile

import pytest
from script_node import ALONE, ScriptNode

from node.pack import BOOT, program

RUN = "r20261122T013000Z-beef"
CONF = {"conf": "hostname: a\r\n#\udcff;$(reboot)\n", "before": "5" * 64}


@pytest.fixture
def node(tmp_path):
    node = ScriptNode(tmp_path)
    node.boot = ALONE + BOOT  # what it lays down is what it was packed in
    node.state = node.root / "var/lib/phoenix-harden"
    node.run = node.state / "runs" / RUN
    return node


def stage(node, replace=(), **containers):
    request = {
        "containers": {name.removeprefix("ct"): files for name, files in containers.items()},
        "replace": [*replace],
    }
    return node.verb("stage", RUN, request=request)


def test_each_text_becomes_a_file_byte_for_byte(node):
    done = stage(node, ct910={**CONF, "docker": ""}, ct952=CONF)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (node.run / "910/conf").read_bytes() == b"hostname: a\r\n#\xff;$(reboot)\n"
    assert {path.name for path in (node.run / "910").iterdir()} == {"conf", "before", "docker"}
    assert (node.run / "952/before").read_text() == "5" * 64


def test_a_check_of_another_form_is_refused_and_nothing_is_laid(node):
    done = stage(node, ct910={**CONF, "health": '{"argv": ["true"]}'})
    assert done.returncode == 2
    assert "refused: stage: health: its members are others" in done.stdout
    assert not node.run.exists()


def test_the_program_itself_lies_beside_them_and_runs(node):
    stage(node)
    with (
        zipfile.ZipFile(io.BytesIO(program())) as sent,
        zipfile.ZipFile(node.run / "node.pyz") as laid,
    ):
        names = sent.namelist()
        assert [laid.read(name) for name in names] == [sent.read(name) for name in names]
        # and the code of each, made by this node's Python
        code = {f"{name}c" for name in names if name.endswith(".py")}
        assert {*laid.namelist()} == {*names, *code}
    assert {"node/commit.py", "node/data/probe-arm64", "phoenix/runs/journal.py"} <= set(names)


def test_a_staged_program_stages_as_well(node):
    stage(node)
    node.boot = f"{ALONE}sys.stdin.buffer.readline(); sys.path.insert(0, sys.argv.pop(1))\n"
    node.boot += "from node.main import main; sys.exit(main(sys.argv[1:]))"
    files = {"containers": {"910": CONF}, "replace": []}
    done = node.verb(str(node.run / "node.pyz"), "stage", RUN, request=files)
    assert (done.returncode, done.stderr) == (0, "")
    assert (node.run / "910/conf").exists()


def run(node):
    """Run the program that was laid, as a unit does."""
    call = [sys.executable, "-I", str(node.run / "node.pyz"), "commit", RUN, "910"]
    done = subprocess.run(call, env=node.environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "")
    assert "refused: nothing whole is staged" in done.stdout


def rewrite(laid, suffix, text):
    """Have something else in all files with this ending of the program that was laid."""
    with zipfile.ZipFile(laid) as was:
        files = {name: was.read(name) for name in was.namelist()}
    with zipfile.ZipFile(laid, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, text(data) if name.endswith(suffix) else data)


def test_the_program_that_was_laid_compiles_nothing_when_it_runs(node):
    stage(node)
    rewrite(node.run / "node.pyz", ".py", lambda source: b"no Python")
    run(node)


def test_code_of_another_python_is_passed_over(node):
    stage(node)
    rewrite(node.run / "node.pyz", ".pyc", lambda code: b"\0\0\r\n" + code[4:])
    run(node)


def test_one_that_lies_there_whole_stays_and_another_is_replaced(node):
    stage(node)
    laid = node.run / "node.pyz"
    whole, was = laid.read_bytes(), laid.stat().st_ino
    stage(node)
    assert laid.stat().st_ino == was
    laid.write_bytes(whole[:-70])
    stage(node)
    run(node)


def test_all_of_it_is_roots_alone(node):
    node.has("/var/lib/phoenix-harden/lock", "", 0o644)
    node.state.chmod(0o755)
    stage(node, ct910=CONF)
    made = [node.state, *node.state.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o700}
    files = [path for path in made if path.is_file() and path.name != "lock"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_what_was_staged_before_stays_beside_it_unless_it_is_replaced(node):
    stage(node, ct910={**CONF, "label": "lxc-a (enforce)"})
    stage(node, ct910={**CONF, "restart": ""})
    assert {path.name for path in (node.run / "910").iterdir()} == {
        *CONF,
        "label",
        "restart",
    }
    stage(node, ct910=CONF, replace=[910])
    assert {path.name for path in (node.run / "910").iterdir()} == set(CONF)


def test_all_is_on_disk_and_before_comes_last(node):
    node.boot = (
        "import os\n"
        "def fsync(fd, real=os.fsync):\n"
        "    real(fd)\n"
        "    name = os.readlink('/proc/self/fd/%d' % fd).rpartition('/')[2]\n"
        "    print(name)\n"
        f"os.fsync = fsync\n{BOOT}"
    )
    synced = stage(node, ct910={"before": "5" * 64, "restart": "", "conf": ""}).stdout.split()
    assert synced[-5:] == ["conf", "restart", "before", "910", RUN]
    assert {"node.pyz", "phoenix-harden", "runs"} <= set(synced)


@pytest.mark.parametrize(("free", "code"), [(65535, 1), (65536, 0)])
def test_a_node_without_room_is_refused_before_anything_is_staged(node, free, code):
    node.boot = (
        "import os, types\n"
        f"os.statvfs = lambda path: types.SimpleNamespace(f_bavail={free}, f_frsize=1024)\n{BOOT}"
    )
    done = stage(node, ct910=CONF)
    assert done.returncode == code
    assert (node.run / "910/conf").exists() == (code == 0)
    message = "less than 64 MiB are free in /var/lib/phoenix-harden: make room and run again\n"
    assert done.stdout == (message if code else "")


@pytest.mark.parametrize(
    "containers",
    [{"910": {"../../conf": ""}}, {"../910": CONF}, {"99": CONF}, {"910": {"probe.tar": ""}}],
)
def test_what_is_no_file_of_a_container_becomes_none(node, containers):
    done = node.verb("stage", RUN, request={"containers": containers})
    assert done.returncode == 2
    assert done.stdout.startswith("refused: stage: ")
    assert not node.run.exists()


def test_what_is_no_run_id_becomes_no_folder(node):
    done = node.verb("stage", "../../etc", request={"containers": {}})
    assert done.returncode == 2
    assert "is not the id of a run" in done.stdout


def test_what_arrives_cut_short_stages_nothing(node):
    done = node.verb("stage", RUN, request=None)
    assert done.returncode == 2
    assert not node.run.exists()
