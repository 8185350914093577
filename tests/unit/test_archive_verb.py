"""node/archive.py on a tree of files, and what the operator's side makes of it."""

import hashlib
import io
import json
import os
import stat
import tarfile

import pytest
from script_node import ScriptNode

from phoenix.runs.archive import archive_name, read_archive

RUN = "r20261122T013000Z-beef"


@pytest.fixture
def node(tmp_path):
    its = ScriptNode(tmp_path)
    its.has("/etc/pve/nodes/pve1/lxc/910.conf", "hostname: a\xe9\n", 0o640)
    its.has("/etc/pve/storage.cfg", "dir: local\n")
    its.has("/etc/apparmor.d/tunables/home.d/site", "@{HOMEDIRS}+=/srv/\n")
    (its.root / "etc/pve/lxc").symlink_to("nodes/pve1/lxc")
    return its


def packed(node):
    done = node.verb("archive")
    assert (done.returncode, done.stderr) == (0, "")
    archive = read_archive(done.stdout.splitlines())
    with tarfile.open(fileobj=io.BytesIO(archive.data)) as tar:
        return archive, {one.name: (one, tar) for one in tar.getmembers()}, _texts(archive.data)


def _texts(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [one for one in tar.getmembers() if one.isfile()]
        return {one.name: tar.extractfile(one).read() for one in files}


def test_the_files_of_pve_and_apparmor_are_in_it_byte_for_byte(node):
    archive, members, texts = packed(node)
    assert texts == {
        "etc/pve/nodes/pve1/lxc/910.conf": "hostname: a\xe9\n".encode(),
        "etc/pve/storage.cfg": b"dir: local\n",
        "etc/apparmor.d/tunables/home.d/site": b"@{HOMEDIRS}+=/srv/\n",
    }
    assert (archive.files, archive.left_out) == (3, ())
    assert members["etc/pve/nodes/pve1/lxc/910.conf"][0].mode == 0o640
    link = members["etc/pve/lxc"][0]
    assert (link.issym(), link.linkname) == (True, "nodes/pve1/lxc")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/pve/priv/storage/nas.pw",
        "/etc/pve/priv/authkey.key",
        "/etc/pve/nodes/pve1/priv/lrm_status",
        "/etc/pve/nodes/pve1/pve-ssl.key",
        "/etc/pve/.members",
        "/etc/pve/.clusterlog",
    ],
)
def test_keys_and_what_pmxcfs_shows_of_itself_stay_there(node, path):
    node.has(path, "SECRET")
    archive, members, _ = packed(node)
    assert archive.files == 3
    assert b"SECRET" not in b"".join(_texts(archive.data).values())
    assert not any("priv" in name.split("/") for name in members)


@pytest.mark.parametrize("path", ["/etc/apparmor.d/.hidden", "/etc/pve/sdn/.running-config"])
def test_a_dot_file_that_is_configuration_is_in_it(node, path):
    node.has(path, "x")
    assert packed(node)[2][path[1:]] == b"x"


def test_a_keyring_stays_there_and_is_said(node):
    node.has("/etc/pve/ceph/ceph.client.crash.keyring", "SECRET")
    archive, _, texts = packed(node)
    assert len(texts) == 3
    assert archive.left_out == ("/etc/pve/ceph/ceph.client.crash.keyring: a secret",)


def test_a_file_with_a_second_name_is_in_it_under_both(node):
    site = node.root / "etc/apparmor.d/tunables/home.d/site"
    (site.parent / "twin").hardlink_to(site)
    archive, _, texts = packed(node)
    assert archive.files == 4
    assert texts["etc/apparmor.d/tunables/home.d/twin"] == site.read_bytes()
    assert texts["etc/apparmor.d/tunables/home.d/site"] == site.read_bytes()


def test_what_is_no_file_is_passed_over_and_nothing_makes_it_wait(node):
    os.mkfifo(node.root / "etc/apparmor.d/pipe")
    os.mknod(node.root / "etc/apparmor.d/socket", stat.S_IFSOCK | 0o600)
    (node.root / "etc/apparmor.d/link").symlink_to("/etc/shadow")
    archive, members, texts = packed(node)
    assert archive.files == 3
    assert not {"etc/apparmor.d/pipe", "etc/apparmor.d/socket"} & {*members}
    assert members["etc/apparmor.d/link"][0].linkname == "/etc/shadow"
    assert "etc/apparmor.d/link" not in texts


def test_a_machine_without_proxmox_has_none(tmp_path):
    its = ScriptNode(tmp_path)
    done = its.verb("archive")
    assert done.returncode == 1
    assert done.stdout == "/etc/pve is not there: nothing was archived\n"


def test_more_than_anybody_expects_is_refused(node):
    with (node.root / "etc/apparmor.d/huge").open("wb") as huge:
        huge.truncate(65 * 1024 * 1024)
    done = node.verb("archive")
    assert done.returncode == 1
    assert done.stdout == (
        "/etc/pve and /etc/apparmor.d hold more than 64 MiB: nothing was archived\n"
    )


DATA = b"archive"
DIGEST = hashlib.sha256(DATA).hexdigest()
HEAD = json.dumps(
    {"sha256": hashlib.sha256(DATA).hexdigest(), "files": 1, "left_out": ["/x: \x1b"]}
)


def test_what_a_login_shell_prints_before_it_does_not_matter():
    archive = read_archive(["Welcome", HEAD, "YXJj", "aGl2ZQ=="])
    assert archive.data == DATA
    assert archive.left_out == ("/x: \\x1b",)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Welcome"],
        [HEAD],
        [HEAD, "YXJj"],
        [HEAD, "YXJjaGl2ZQ==", "YXJj"],
        [HEAD, "?"],
        ["{"],
        ["{}", "YXJjaGl2ZQ=="],
        ['{"sha256": [], "files": 1}', "YXJjaGl2ZQ=="],
    ],
)
def test_what_did_not_arrive_whole_is_no_archive(lines):
    with pytest.raises(ValueError, match="the archive did not arrive whole"):
        read_archive(lines)


@pytest.mark.parametrize(
    ("node_name", "name"),
    [("pve1", "pve1"), ("../../etc", "_.._etc"), ("pve 1/ä", "pve_1__"), ("", "node")],
)
def test_the_file_is_named_after_the_node_and_the_run(node_name, name):
    assert archive_name(node_name, RUN) == f"{name}-{RUN}.tar.gz"
