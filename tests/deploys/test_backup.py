"""`backup=DIR`: the node's own configuration, written out before the first change."""

import io
import tarfile

import pytest
from fake_node import CONF, FakeNode

from tests.unit.script_node import ScriptNode

FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}


@pytest.fixture
def said(tmp_path):
    """What the verb says on a node with one conf, and one file that nobody may take away."""
    (tmp_path / "node").mkdir()
    node = ScriptNode(tmp_path / "node")
    node.has("/etc/pve/lxc/910.conf", CONF)
    node.has("/etc/pve/priv/authkey.key", "SECRET")
    node.has("/etc/apparmor.d/local", "x")
    return node.verb("archive").stdout.splitlines()


def pve(said, name="pve1", **changes):
    confs = {910: CONF.format(name="ct910")}
    return FakeNode(name, confs, responses={" archive": said}, **changes)


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("recipe", ["harden", "host_prep"])
def test_it_is_written_before_the_first_change(pyinfra, tmp_path, said, recipe):
    folder = tmp_path / "kept/here"
    done = pyinfra(recipe, pve(said), fleet=FLEET, backup=folder)
    assert done.code == 0, done.stderr
    (name,) = files(folder)
    assert name.startswith("pve1-r2")
    assert name.endswith(".tar.gz")
    file = folder / name
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        assert "etc/pve/lxc/910.conf" in tar.getnames()
        assert "etc/pve/priv" not in tar.getnames()
    assert f"written: {file}: 2 files, /etc/pve without priv/ and private keys" in done.stderr
    first = done.stderr.index(f"Starting operation: Archive {name}")
    assert first < done.stderr.index("Starting operation: AppArmor profile")
    # its bytes are for the file
    assert said[-1] not in done.stderr


def test_under_dry_it_is_not_written_and_that_is_said(pyinfra, tmp_path, said):
    folder = tmp_path / "kept"
    done = pyinfra("harden", pve(said), fleet=FLEET, backup=folder, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert files(folder) == []
    assert "pve1: before the first change /etc/pve without priv/" in done.stderr
    assert "not with --dry" in done.stderr


def test_where_nothing_changes_there_is_none(pyinfra, tmp_path, said):
    folder = tmp_path / "kept"
    done = pyinfra("host_prep", FakeNode("pve1", {}), fleet=FLEET, backup=folder)
    assert done.code == 0, done.stderr
    assert "nothing to change" in done.stderr
    assert files(folder) == []


def test_each_node_has_its_own(pyinfra, tmp_path, said):
    folder = tmp_path / "kept"
    done = pyinfra("harden", pve(said), pve(said, "pve2"), fleet=FLEET, backup=folder)
    assert done.code == 0, done.stderr
    assert [name.partition("-")[0] for name in files(folder)] == ["pve1", "pve2"]


def test_one_that_does_not_arrive_whole_stops_the_run_before_any_change(pyinfra, tmp_path, said):
    folder = tmp_path / "kept"
    done = pyinfra("harden", pve(said[:-1]), pve(said, "pve2"), fleet=FLEET, backup=folder)
    assert done.code == 1
    assert "no archive of its configuration: the archive did not arrive whole" in done.stderr
    assert "Starting operation: AppArmor profile" in done.stderr
    assert ">>> " not in done.stderr.partition("Starting operation: AppArmor profile")[2]
    assert done.commands == []
    assert "910   ct910  not begun" in done.stderr
    assert not any(name.startswith(("pve1", ".")) for name in files(folder))


def test_a_node_that_refuses_says_why(pyinfra, tmp_path):
    refused = {"stdout": "/etc/apparmor.d is not there: nothing was archived", "success": False}
    done = pyinfra("harden", pve(refused), fleet=FLEET, backup=tmp_path / "kept")
    assert done.code == 1
    assert "configuration: /etc/apparmor.d is not there: nothing was archived" in done.stderr


def test_a_folder_that_cannot_be_written_stops_the_run(pyinfra, tmp_path, said):
    (tmp_path / "file").touch()
    done = pyinfra("harden", pve(said), fleet=FLEET, backup=tmp_path / "file/kept")
    assert done.code == 1
    assert "no archive of its configuration: cannot write " in done.stderr
    assert done.commands == []


def test_an_audit_takes_none(pyinfra, tmp_path, said):
    done = pyinfra("audit", pve(said), fleet=FLEET, backup=tmp_path)
    assert done.code == 1
    assert "--data backup: belongs to harden" in done.stderr
