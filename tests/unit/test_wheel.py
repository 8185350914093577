"""The wheel, installed where no checkout is: what it holds, and that everything works from it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.unit.script_node import ScriptNode

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What begins the names of the two folders of a wheel that pip reads.
WRITTEN = f"phoenix_harden-{PROJECT['version']}"
SHARED = [
    "share/man/man1/phoenix.1",
    "share/bash-completion/completions/phoenix",
    "share/zsh/site-functions/_phoenix",
    "share/fish/vendor_completions.d/phoenix.fish",
]
SDIST = "from setuptools.build_meta import build_sdist; print(build_sdist('dist'))"
CONF = "hostname: web\nunprivileged: 1\nlxc.apparmor.profile: unconfined\n"
RULE = "mount options=(rw,bind) /a/ -> /b/,"
KERNEL = "/sys/kernel/security/apparmor"
#: Takes every profile and every tunable.
PARSER = """\
case $1 in --version) echo 'AppArmor parser version 4.1.0'; exit ;; esac
cat >/dev/null
"""


def done(*words, **options):
    """What this program says; it must end well."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=600, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def build(source, folder, umask):
    """The wheel of a checkout or of an sdist."""
    done(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source),
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
        umask=umask,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of this one, in which an older one was built."""
    copy = tmp_path_factory.mktemp("sources") / "checkout"
    made = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests")
    shutil.copytree(ROOT, copy, ignore=made, symlinks=True)
    (copy / "build/lib/facts").mkdir(parents=True)
    (copy / "build/lib/facts/old.py").touch()
    return copy


@pytest.fixture(scope="session")
def wheel(checkout, tmp_path_factory):
    return build(checkout, tmp_path_factory.mktemp("wheel"), 0o022)


@pytest.fixture(scope="session")
def files(wheel):
    """The files of the wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_takes_one_name_among_those_of_others(files):
    assert {name.partition("/")[0] for name in files} == {
        *("phoenix_harden", f"{WRITTEN}.dist-info", f"{WRITTEN}.data")
    }
    assert files[f"{WRITTEN}.dist-info/top_level.txt"] == b"phoenix_harden\n"


def test_what_goes_into_the_environment_itself_is_the_man_page_and_what_shells_complete(files):
    there = {name for name in files if name.startswith(f"{WRITTEN}.data/")}
    assert there == {f"{WRITTEN}.data/data/{file}" for file in SHARED}
    for file in SHARED:
        assert files[f"{WRITTEN}.data/data/{file}"] == (ROOT / file).read_bytes()


@pytest.mark.parametrize(
    "folder", ["phoenix", "node", "facts", "operations", "deploys", "templates"]
)
def test_each_file_that_hardens_a_node_is_in_it_as_it_is_here(files, folder):
    here = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    here = [path for path in here if path.suffix != ".pyc"]
    assert here
    for path in here:
        assert files.get(f"phoenix_harden/{path.relative_to(ROOT)}") == path.read_bytes(), path


def test_nothing_else_is_in_it(files):
    inner = {name.split("/")[1] for name in files if name.startswith("phoenix_harden/")}
    folders = {"phoenix", "node", "facts", "operations", "deploys", "templates"}
    assert inner == {*folders, "__init__.py", "config.py", "inventory.py"}
    assert not [name for name in files if name.endswith((".pyc", "old.py"))]


def test_whoever_builds_it_from_whatever_has_the_same_bytes(checkout, wheel, tmp_path):
    sdist = done(sys.executable, "-c", SDIST, cwd=checkout).splitlines()[-1]
    again = build(checkout / "dist" / sdist, tmp_path, 0o077)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


# --- installed ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def phoenix(wheel, tmp_path_factory):
    """The command in an environment of its own, in which others have modules of our names."""
    clean = tmp_path_factory.mktemp("clean")
    done(sys.executable, "-m", "venv", "--without-pip", clean)
    done(
        *(sys.executable, "-m", "pip", "--python", clean / "bin/python", "install", "--quiet"),
        *("--disable-pip-version-check", "--no-deps", "--no-index", wheel),
    )
    (site,) = clean.glob("lib/python*/site-packages")
    # what the wheel depends on; a .pth there is not read, and so this checkout is not found
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    for name in ("phoenix", "facts", "node", "lab"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("of = 'others'\n")
    return clean / "bin/phoenix"


class Operator(ScriptNode):
    """Somebody with a folder on a node with one container, in which nothing of ours lies."""

    def __init__(self, folder, phoenix):
        super().__init__(folder)
        self._phoenix = phoenix
        self.here = folder / "here"
        self.here.mkdir()
        self.has("/etc/pve/lxc/910.conf", CONF)
        (self.root / "etc/pve/local").symlink_to("nodes/pve1")
        self.has("/sys/module/apparmor/parameters/enabled", "Y\n")
        self.has(f"{KERNEL}/profiles", "")
        self.has("/etc/apparmor.d/abi/4.0", "file {\n}\n")
        self.has("/etc/apparmor.d/tunables/home", "@{HOMEDIRS}=/home/\n")
        self.tool("apparmor_parser", PARSER)

    def writes(self, name, text):
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def types(self, *words):
        """What `phoenix` does here."""
        environment = {
            name: value
            for name, value in self.environment.items()
            if name not in ("PYTHONPATH", "PHOENIX_NODES", "PHOENIX_CLUSTER")
        }
        ended = subprocess.run(
            [self._phoenix, *words],
            cwd=self.here,
            env={**environment, "PYINFRA_PROGRESS": "off", "NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    def gets(self, *words):
        ended = self.types(*words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def operator(tmp_path, phoenix):
    return Operator(tmp_path, phoenix)


FLEET = json.dumps({"lxc_configs": {"910": {"apparmor_profile": "lxc-docker-nested"}}})


def test_the_command_says_its_version(operator):
    assert operator.gets("--version") == f"phoenix-harden {PROJECT['version']}\n"


def test_a_fleet_file_is_checked_against_the_templates_of_the_wheel(operator):
    operator.writes("fleet.json", FLEET)
    assert "no problem" in operator.gets("check", "fleet.json")
    operator.writes("fleet.json", FLEET.replace("docker-nested", "docker-nestled"))
    assert "lxc-docker-nested" in operator.types("check", "fleet.json").stdout


def test_the_schema_is_that_of_the_checkout(operator):
    assert operator.gets("schema") == (ROOT / "phoenix_lxc_configs.schema.json").read_text()


@pytest.mark.parametrize("file", SHARED)
def test_man_and_the_shells_find_their_file_beside_the_command(phoenix, file):
    assert (phoenix.parents[1] / file).read_bytes() == (ROOT / file).read_bytes()


def test_the_lab_is_said_not_to_be_there(operator):
    ended = operator.types("lab", "up")
    assert (ended.returncode, "not part of this installation" in ended.stderr) == (1, True)


def test_a_recipe_explains_itself(operator):
    assert operator.gets("harden", "--help").startswith("usage: phoenix harden ")


def test_denials_are_asked_by_the_program_of_the_wheel(operator):
    (node,) = json.loads(operator.gets("denials", "--node", "@local", "--json"))["nodes"]
    assert node["node"] == "pve1"


def test_without_a_node_it_is_said_how_to_name_one(operator):
    operator.writes("phoenix_lxc_configs.json", FLEET)
    ended = operator.types("harden", "--dry")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "no node: set PHOENIX_NODES=root@pve1,root@pve2 or PHOENIX_CLUSTER=root@pve1, or run this "
        "on a Proxmox VE node"
    )


def test_the_fleet_file_of_the_lab_is_nobodys_default(operator):
    ended = operator.types("harden", "@local", "--dry")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "no phoenix_lxc_configs.json in this folder" in ended.stderr


def test_a_dry_run_plans_with_what_lies_beside_the_operator_and_the_fleet_file(operator):
    mine = '{% extends "base.j2" %}\n{% block purpose %}mine{% endblock %}\n'
    operator.writes("fleets/a.json", FLEET.replace("lxc-docker-nested", "lxc-mine"))
    operator.writes("fleets/profiles.d/910.rules", f"# mine\n{RULE}\n")
    operator.writes("own/lxc-mine.j2", mine)
    keys = ("--data", "profiles=own", "--data", "plan=plan.json")
    operator.gets("harden", "@local", "--dry", "--fleet", "fleets/a.json", *keys)
    (node,) = json.loads((operator.here / "plan.json").read_text())["nodes"]
    assert node["findings"] == []
    diffs = {one["action"]: "\n".join(one["diff"]) for one in node["actions"]}
    assert f"+  {RULE}\n" in diffs["profile"]
    assert "\n+lxc.apparmor.profile: lxc-mine-910" in diffs["container"]
    assert operator.has("/etc/pve/lxc/910.conf", CONF).read_text() == CONF


def test_an_audit_writes_its_report_where_the_operator_is_and_its_exit_code_is_told(operator):
    operator.writes("phoenix_lxc_configs.json", FLEET)
    ended = operator.types("audit", "@local", "--data", "report=out", "--data", "strict=true")
    assert ended.returncode == 1
    assert {path.name for path in (operator.here / "out").iterdir()} == {"audit.html", "audit.json"}


def test_a_rollback_and_host_prep_are_there_too(operator):
    operator.writes("phoenix_lxc_configs.json", FLEET)
    operator.gets("rollback", "@local", "--data", "list=true", "--dry")
    said = operator.types("host-prep", "@local", "--dry")
    assert "profile lxc-docker-nested: new" in said.stderr, said.stderr


def test_nothing_that_lies_where_the_operator_is_runs(operator):
    """A fleet file may come with a colleague's repository: it describes, and does not run."""
    operator.writes("phoenix_lxc_configs.json", FLEET)
    bad = f"from pathlib import Path\nPath({str(operator.here / 'ran')!r}).touch()\n"
    for name in ("config.py", "inventory.py", "pyinfra.py", "jinja2.py", "sitecustomize.py"):
        operator.writes(name, bad)
    for name in ("group_data/all.py", "facts/__init__.py", "phoenix/__init__.py"):
        operator.writes(name, bad)
    operator.gets("harden", "@local", "--dry")
    assert not (operator.here / "ran").exists()
