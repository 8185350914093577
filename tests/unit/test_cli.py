"""The phoenix command: what it prints where, how it exits, and that it never shows a traceback."""

import json
import os
import signal
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from phoenix.cli import main as cli

ROOT = Path(__file__).parents[2]
LAB_FLEET = ROOT / "phoenix_lxc_configs.json"
GOOD = {
    "cores": 2,
    "lxc_configs": {
        "910": {
            "name": "Pörtainer",
            "features": ["docker"],
            "pct_options": ["nesting=1"],
            "apparmor_profile": "unconfined",
            "lxc_options": ["lxc.mount.auto=sys:rw"],
            "gpu_assignment": "0",
            "mount_points": [
                {"host_path": "/srv/a", "container_path": "/a", "owner_uid": 1, "owner_gid": 2}
            ],
        },
        "953": {"name": "nginx"},
    },
}
BAD = {"lxc_configs": {"910": {"pct_options": ["nestling=1"], "unprivileged": 1}}}


@pytest.fixture
def fleet(tmp_path):
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(GOOD, indent=4), "utf-8")
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(BAD), "utf-8")
    return path


def run(capsys, *argv):
    """Run the command; its exit status, stdout and stderr."""
    status = cli.main([str(word) for word in argv])
    return (status, *capsys.readouterr())


def usage_error(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in argv])
    assert caught.value.code == 2
    return capsys.readouterr().err


# --- check --------------------------------------------------------------------------------


def test_check_shows_each_container_and_each_warning(capsys, fleet):
    status, out, err = run(capsys, "check", fleet)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["910", "Pörtainer", "unconfined", "docker", "nesting=1"]
    assert lines[1].split() == ["953", "nginx", "generated"]
    assert lines[2].startswith("warning: lxc_configs.910.apparmor_profile: unconfined")
    assert lines[-1] == "2 containers, 2 warnings, no problem"
    assert "ignored" not in out


def test_check_lists_ignored_keys_when_asked(capsys, fleet):
    _, out, _ = run(capsys, "check", "-v", fleet)
    assert "ignored: cores" in out.splitlines()


def test_check_names_every_problem_and_exits_2(capsys, bad):
    status, out, err = run(capsys, "check", bad)
    assert (status, out) == (2, "")
    assert f"{bad}: lxc_configs.910.pct_options[0]: 'nestling=1': unknown feature" in err
    assert f"{bad}: lxc_configs.910.unprivileged: 1: true or false" in err
    assert err.splitlines()[-1] == f"{bad}: 2 problems, nothing was used"


def test_check_as_json_is_the_fixed_form(capsys, fleet):
    status, out, err = run(capsys, "check", "--json", fleet)
    answer = json.loads(out)
    assert (status, err, list(answer)) == (0, "", ["containers", "errors"])
    assert answer["errors"] == []
    assert answer["containers"]["953"] == {
        "name": "nginx",
        "profile": "generated",
        "features": {},
        "raw": [],
        "mounts": [],
        "devices": [],
        "docker": False,
        "warnings": [],
    }
    first = answer["containers"]["910"]
    assert first["raw"] == ["lxc.mount.auto: sys:rw"]
    assert first["features"] == {"nesting": "1"}
    assert first["devices"][0] == "/dev/nvidia0"
    assert first["mounts"] == [
        {"source": "/srv/a", "target": "a", "origin": "mount_points", "owner": [1, 2]}
    ]


NEW = """{"lxc_configs": {"970": {"name": "web", "features": ["docker"], "storage_pool": "local",
"template": "local:vztmpl/debian-13.tar.zst"}, "971": {"clone_from_ctid": 970}}}"""


def test_check_says_from_what_and_under_which_profile_one_is_made(capsys, tmp_path):
    file = tmp_path / "new.json"
    file.write_text(NEW)
    made = "(made as lxc-docker-nested)"
    assert run(capsys, "check", file)[1].splitlines()[0].endswith(f"  docker {made}")
    containers = json.loads(run(capsys, "check", "--json", file)[1])["containers"]
    origin = "local:vztmpl/debian-13.tar.zst"
    assert containers["970"]["made"] == {"from": origin, "profile": "lxc-docker-nested"}
    assert containers["971"]["made"] == {"from": 970, "profile": "generated"}


def test_check_as_json_holds_every_error_and_nothing_else_is_printed(capsys, bad):
    status, out, err = run(capsys, "check", "--json", bad)
    assert (status, err) == (2, "")
    answer = json.loads(out)
    assert answer["containers"] == {}
    assert [(item["path"], item["value"]) for item in answer["errors"]] == [
        ("lxc_configs.910.pct_options[0]", "'nestling=1'"),
        ("lxc_configs.910.unprivileged", "1"),
    ]


def test_check_as_json_lists_ignored_keys_when_asked(capsys, fleet):
    _, out, _ = run(capsys, "check", "--json", "-v", fleet)
    assert json.loads(out)["ignored"] == ["cores"]


@pytest.mark.parametrize("extra", [[], ["--json"]])
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nowhere/fleet.json", "No such file"),
        ("/", "Is a directory"),
        ("/dev/zero", "larger than"),
        ("/dev/null", "the file is empty"),
        (f"{LAB_FLEET}/x", "Not a directory"),
        ("a\0b", "null byte"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(capsys, path, says, extra):
    status, out, err = run(capsys, "check", path, *extra)
    assert status == 2
    assert says in (out if extra else err)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_a_problem_like_any_other(capsys, fleet):
    fleet.chmod(0)
    status, _, err = run(capsys, "check", fleet)
    assert status == 2
    assert "Permission denied" in err


def test_the_labs_own_fleet_passes(capsys):
    status, out, _ = run(capsys, "check", LAB_FLEET)
    assert status == 0
    assert out.endswith("no problem\n")


# --- schema -------------------------------------------------------------------------------


def test_schema_prints_a_schema(capsys):
    status, out, err = run(capsys, "schema")
    assert (status, err) == (0, "")
    assert json.loads(out)["$defs"]["ContainerEntry"]["properties"]["apparmor_profile"]


# --- adopt --------------------------------------------------------------------------------


def test_adopt_shows_the_diff_and_writes_nothing(capsys, fleet):
    before = fleet.read_bytes()
    status, out, err = run(capsys, "adopt", fleet)
    assert status == 0
    assert '+            "apparmor_profile": "lxc-docker-nested",' in out.splitlines()
    assert "1 container would change; --write does it" in err
    assert fleet.read_bytes() == before
    assert list(fleet.parent.iterdir()) == [fleet]


def test_adopts_diff_is_one_that_patch_takes(capsys, fleet):
    _, out, _ = run(capsys, "adopt", fleet)
    patched = subprocess.run(
        ["patch", "-s", "-o", "-", str(fleet)], input=out.encode(), capture_output=True, check=False
    )
    assert patched.returncode == 0, patched.stderr
    run(capsys, "adopt", fleet, "--write")
    assert fleet.read_bytes() == patched.stdout


def test_adopt_writes_the_file_and_keeps_the_old_one_beside_it(capsys, fleet):
    fleet.chmod(0o640)
    before = fleet.read_bytes()
    status, _, err = run(capsys, "adopt", fleet, "--write")
    assert status == 0
    (backup,) = [path for path in fleet.parent.iterdir() if path != fleet]
    assert backup.name.startswith("fleet.json.bak-")
    assert str(backup) in err
    assert backup.read_bytes() == before
    assert json.loads(fleet.read_text())["lxc_configs"]["910"]["pct_options"] == [
        "keyctl=1",
        "fuse=1",
        "nesting=1",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (fleet, backup)} == {0o640}


def test_adopt_has_nothing_to_do_the_second_time(capsys, fleet):
    run(capsys, "adopt", fleet, "--write")
    before = sorted(fleet.parent.iterdir())
    status, out, err = run(capsys, "adopt", fleet, "--write")
    assert (status, out) == (0, "")
    assert "nothing to change" in err
    assert sorted(fleet.parent.iterdir()) == before


def test_adopt_writes_through_a_symlink(capsys, fleet, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link.json"
    link.symlink_to(fleet)
    assert run(capsys, "adopt", link, "--write")[0] == 0
    assert link.is_symlink()
    assert "lxc-docker-nested" in fleet.read_text()


def test_adopt_does_not_overwrite_what_somebody_else_just_wrote(capsys, fleet, monkeypatch):
    before = fleet.read_bytes()

    def adopt_slowly(*arguments, **named):
        change = cli_adopt(*arguments, **named)
        fleet.write_bytes(before + b"\n")
        return change

    cli_adopt = cli.adopt
    monkeypatch.setattr(cli, "adopt", adopt_slowly)
    status, _, err = run(capsys, "adopt", fleet, "--write")
    assert status == 1
    assert "changed it in the meantime" in err
    assert fleet.read_bytes() == before + b"\n"
    assert list(fleet.parent.iterdir()) == [fleet]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_adopt_leaves_everything_as_it_was_when_writing_fails(capsys, fleet, monkeypatch, fails):
    before = fleet.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if fails == "fsync" else Path, fails, full)
    status, _, err = run(capsys, "adopt", fleet, "--write")
    assert status == 1
    assert "not changed: No space left on device" in err
    assert fleet.read_bytes() == before
    assert list(fleet.parent.iterdir()) == [fleet]


def test_adopt_names_the_problems_of_the_file(capsys, bad):
    status, out, err = run(capsys, "adopt", bad, "--write")
    assert (status, out) == (2, "")
    assert "lxc_configs.910.pct_options[0]" in err


def test_adopt_takes_another_profile_and_warns_if_it_has_no_template(capsys, fleet):
    status, out, err = run(capsys, "adopt", fleet, "--profile", "lxc-own", "--only", "910")
    assert status == 0
    assert '"lxc-own"' in out
    assert "lxc-own: no template of this name" in err


def test_adopt_refuses_containers_that_are_not_there(capsys, fleet):
    status, _, err = run(capsys, "adopt", fleet, "--only", "910,911", "--except", "912")
    assert status == 2
    assert "lxc_configs.911: is not in this file" in err
    assert "lxc_configs.912: is not in this file" in err


@pytest.fixture
def without_docker(tmp_path):
    path = tmp_path / "others.json"
    entries = {"953": {"apparmor_profile": "unconfined"}, "954": {"apparmor_profile": "unconfined"}}
    path.write_text(json.dumps({"lxc_configs": entries}))
    return path


@pytest.mark.parametrize(
    ("options", "profiles"),
    [
        ([], ["generated", "generated"]),
        (["--profile", "lxc-phoenix-v2"], ["generated", "generated"]),
        (["--only", "953"], ["generated", "unconfined"]),
        (["--only", "953", "--profile", "lxc-phoenix-v2"], ["lxc-phoenix-v2", "unconfined"]),
        (["--except", "953"], ["unconfined", "generated"]),
        (["--scope", "docker"], ["unconfined", "unconfined"]),
    ],
)
def test_adopt_confines_containers_without_docker_by_proxmoxs_own_profile(
    capsys, without_docker, options, profiles
):
    status, _, err = run(capsys, "adopt", without_docker, "--write", *options)
    assert status == 0, err
    entries = json.loads(without_docker.read_text())["lxc_configs"].values()
    assert [entry["apparmor_profile"] for entry in entries] == profiles


def test_adopt_of_docker_alone_refuses_one_without(capsys, without_docker):
    status, _, err = run(capsys, "adopt", without_docker, "--scope", "docker", "--only", "953")
    assert status == 2
    assert "lxc_configs.953: has no Docker as far as the file says" in err
    assert "leave out --scope docker" in err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--profile", "unconfined", "no profile's name"),
        ("--profile", "lxc_docker_nested", "no profile's name"),
        ("--only", "910,x", "digits only"),
        ("--except", "910,x", "digits only"),
        ("--scope", "some", "invalid choice"),
        ("--only", "", "digits only"),
        ("--only", "9", "between 100 and 999999999"),
    ],
)
def test_a_wrong_option_is_a_usage_error(capsys, fleet, option, value, says):
    assert says in usage_error(capsys, "adopt", fleet, option, value)


# --- the lab, the help, the ways to fail ----------------------------------------------------


def test_the_rest_of_a_lab_command_line_goes_to_the_lab(capsys, monkeypatch):
    lab = types.ModuleType("lab.cli")
    seen = []
    lab.main = lambda argv: seen.append(argv) or 3
    monkeypatch.setitem(sys.modules, "lab.cli", lab)
    assert run(capsys, "lab", "ssh", "--", "-v", "--help")[0] == 3
    assert seen == [["ssh", "--", "-v", "--help"]]


@pytest.mark.parametrize("argv", [[], ["check"], ["nonsense"], ["check", "a", "b"], ["--frob"]])
def test_a_wrong_command_line_shows_the_usage(capsys, argv):
    assert usage_error(capsys, *argv).startswith("usage: phoenix")


@pytest.mark.parametrize("command", ["check", "schema", "adopt"])
def test_every_command_explains_itself(capsys, command):
    for argv in ([command, "--help"], ["--help"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        assert caught.value.code == 0
        assert command in capsys.readouterr().out


def process(*argv, through=(), **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        # whoever runs us in the background may have SIGINT ignored, and children inherit that
        ["env", "--default-signal=INT", *through, sys.executable, "-m", "phoenix.cli.main", *argv],
        stderr=subprocess.PIPE,
        env=environment,
        **options,
    )


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    fifo = tmp_path / "stdout"
    os.mkfifo(fifo)
    # opened for reading and closed again by the command's own process: nobody else has it
    unread = ("sh", "-c", 'exec 3<>"$0" >"$0" 3<&-; exec "$@"', fifo)
    with process("schema", through=unread) as command:
        assert command.stderr.read() == b""
    assert command.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_line():
    with Path("/dev/full").open("wb") as full, process("schema", stdout=full) as command:
        assert command.stderr.read() == b"cannot write the output: No space left on device\n"
    assert command.returncode == 1


def test_an_interrupt_is_a_line(tmp_path):
    fifo = tmp_path / "fleet.json"
    os.mkfifo(fifo)
    # the fifo opens for writing once the command has opened it for reading
    with process("check", fifo, stdout=subprocess.DEVNULL) as command:
        # closed after it: a read that begins once the signal has come does not hear of that
        with fifo.open("wb"):
            command.send_signal(signal.SIGINT)
        assert command.stderr.read() == b"interrupted\n"
    assert command.returncode == 130


def test_a_terminal_that_knows_only_ascii_still_gets_its_answer(fleet):
    with process(
        "check", fleet, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"}
    ) as command:
        assert rb"P\xf6rtainer" in command.stdout.read()
        assert command.stderr.read() == b""
    assert command.returncode == 0
