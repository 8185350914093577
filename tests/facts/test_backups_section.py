"""node/backups.py against a tree of files that looks like a node, and a fake pvesm."""

import json

import pytest

from facts.backups import Backups
from tests.facts.conftest import FactNode

#: As `pvesm list` prints it.
PBS = """\
Volid                                 Format  Type          Size VMID
pbs:backup/ct/910/2026-11-20T02:00:05Z pbs-ct backup  1073741824 910
pbs:backup/ct/910/2026-11-21T02:00:05Z pbs-ct backup  1073741824 910
pbs:backup/vm/100/2026-11-21T02:00:05Z pbs-vm backup  1073741824 100
"""


class Node(FactNode):
    """A fake node: every method lays down the files of one thing."""

    def __init__(self, folder):
        super().__init__(folder)
        (self.root / "etc/pve/nodes/pve1").mkdir(parents=True)
        (self.root / "etc/pve/local").symlink_to("nodes/pve1")
        self.has("/proc/mounts", "rpool/nas /mnt/pve/nas nfs rw 0 0\n")

    def storages(self, text):
        self.has("/etc/pve/storage.cfg", text)

    def dump(self, name, folder="var/lib/vz/dump", data="x"):
        self.has(f"/{folder}/{name}", data)

    def pvesm(self, script):
        self.tool("pvesm", script)

    def ask(self, backups=True, zone="UTC"):
        return self.see(Backups, backups, PHOENIX_PATIENCE="1", TZ=zone)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def newest(found):
    return {ctid: (its[0].at.isoformat(), its[0].storage) for ctid, its in found.backups.items()}


def test_without_a_storage_cfg_there_is_the_local_storage_as_proxmox_has_it(node):
    node.dump("vzdump-lxc-910-2026_11_20-02_00_05.tar.zst")
    found = node.ask()
    assert found.storages == {"local": "dir"}
    assert newest(found) == {910: ("2026-11-20T02:00:05+00:00", "local")}
    assert found.now is not None
    assert found.problems == ()


@pytest.mark.parametrize(
    ("zone", "time"), [("CET-1CEST", "2026-07-20T00:00:05"), ("EST5EDT", "2026-07-20T06:00:05")]
)
def test_the_time_in_a_name_is_that_of_the_nodes_zone(node, zone, time):
    node.dump("vzdump-lxc-910-2026_07_20-02_00_05.tar")
    assert newest(node.ask(zone=zone)) == {910: (f"{time}+00:00", "local")}


@pytest.mark.parametrize(
    "name",
    [
        "vzdump-lxc-910-2026_11_20-02_00_05.tar.dat",
        "vzdump-lxc-910-2026_11_20-02_00_05.tmp",
        "vzdump-lxc-910-2026_11_20-02_00_05.log",
        "vzdump-lxc-910-2026_11_20-02_00_05.tar.zst.notes",
        "vzdump-qemu-910-2026_11_20-02_00_05.vma.zst",
        "vzdump-lxc-910-yesterday.tar",
        "vzdump-lxc-910-2026_11_20-02_00_05.tar\nvzdump-lxc-911-2026_11_20-02_00_05.tar.x",
        "vzdump-lxc-910-0000_11_20-02_00_05.tar",
    ],
)
def test_what_is_not_complete_or_of_no_container_does_not_count(node, name):
    node.dump(name)
    assert node.ask().backups == {}


def test_an_empty_archive_does_not_count(node):
    node.dump("vzdump-lxc-910-2026_11_20-02_00_05.tar", data="")
    assert node.ask().backups == {}


def test_storages_that_hold_no_backups_or_are_not_for_this_node_are_not_looked_at(node):
    node.storages(
        "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl\n\n"
        "dir: other\n\tpath /srv/other\n\tcontent backup\n\tnodes pve2,pve3\n\n"
        "dir: off\n\tpath /srv/off\n\tcontent backup\n\tdisable\n\n"
        "zfspool: fast\n\tpool rpool/data\n\tcontent rootdir,images\n"
    )
    for folder in ("var/lib/vz", "srv/other", "srv/off"):
        node.dump("vzdump-lxc-910-2026_11_20-02_00_05.tar", f"{folder}/dump")
    found = node.ask()
    assert found.backups == {}
    assert found.storages == {"local": "dir", "fast": "zfspool"}


def test_a_folder_of_the_operators_own_and_a_mounted_share_are_looked_at(node):
    node.storages(
        "dir: bulk\n\tpath /srv/bulk\n\tcontent images,backup\n\tcontent-dirs backup=our/dumps\n"
        "\tnodes pve1\n\n"
        "nfs: nas\n\tserver 10.0.0.1\n\texport /x\n\tpath /mnt/pve/nas\n\tcontent backup\n"
    )
    node.dump("vzdump-lxc-910-2026_11_20-02_00_05.tar.gz", "srv/bulk/our/dumps")
    node.dump("vzdump-lxc-952-2026_11_20-02_00_05.tgz", "mnt/pve/nas/dump")
    found = node.ask()
    assert {ctid: on for ctid, (_, on) in newest(found).items()} == {910: "bulk", 952: "nas"}


def test_a_share_that_is_not_mounted_is_a_problem_and_not_an_absence(node):
    node.storages("cifs: nas2\n\tserver 10.0.0.1\n\tshare x\n\tcontent backup\n")
    assert node.ask().problems == ("storage nas2: /mnt/pve/nas2 is not mounted",)


def test_a_backup_server_is_asked_through_pvesm(node):
    node.storages("pbs: pbs\n\tserver 10.0.0.2\n\tdatastore main\n")
    node.pvesm(f"[ \"$*\" = 'list pbs --content backup' ] && cat <<'E'\n{PBS}E")
    assert newest(node.ask()) == {910: ("2026-11-21T02:00:05+00:00", "pbs")}


def test_a_backup_server_that_refuses_or_hangs_is_a_problem(node):
    node.storages("pbs: pbs\n\tserver 10.0.0.2\n\tdatastore main\n")
    node.pvesm("echo 'error fetching datastores - 401 Unauthorized' >&2; exit 255")
    assert node.ask().problems == ("storage pbs: error fetching datastores - 401 Unauthorized",)
    node.pvesm("exec sleep 20")
    assert node.ask().problems == ("storage pbs: no answer in 1 s",)


def test_what_a_backup_server_says_of_no_time_or_no_container_is_passed_over(node):
    node.storages("pbs: pbs\n\tserver 10.0.0.2\n\tdatastore main\n")
    odd = ["ct/910/2026-99-99T02:00:05Z", "ct/910/yesterday", "ct/$(x)/2026-11-20T02:00:05Z"]
    node.pvesm("\n".join(f"echo 'pbs:backup/{one} pbs-ct backup 1 910'" for one in odd))
    found = node.ask()
    assert (found.backups, found.problems) == ({}, ())


def test_an_answer_without_end_is_a_problem(node):
    node.storages("pbs: pbs\n\tserver 10.0.0.2\n\tdatastore main\n")
    node.pvesm("exec cat /dev/zero")
    assert node.ask().problems[0].startswith("storage pbs: ")


CONTENT = [
    {"volid": "pbs:backup/ct/910/2026-11-20T02:00:05Z", "verification": {"state": "ok"}},
    {"volid": "pbs:backup/ct/910/2026-11-21T02:00:05Z", "ctime": 1, "subtype": "lxc"},
    {"volid": "pbs:backup/vm/100/2026-11-21T02:00:05Z", "verification": {"state": "failed"}},
]


def verifying(node, answer):
    node.storages("pbs: pbs\n\tserver 10.0.0.2\n\tdatastore main\n")
    node.pvesm(f"cat <<'E'\n{PBS}E")
    asked = "get /nodes/pve1/storage/pbs/content --content backup --output-format json"
    node.tool("pvesh", f"[ \"$*\" = '{asked}' ] || exit 9\n{answer}")


def states(found):
    return [one.verification for one in found.backups[910]]


def test_what_a_backup_server_has_verified_is_told_of_each(node):
    verifying(node, f"cat <<'E'\n{json.dumps(CONTENT)}\nE")
    found = node.ask()
    assert (states(found), found.problems) == (["none", "ok"], ())
    failed = [{**CONTENT[1], "verification": {"state": "failed", "upid": "UPID:x"}}, CONTENT[0]]
    verifying(node, f"cat <<'E'\n{json.dumps(failed)}\nE")
    assert states(node.ask()) == ["failed", "ok"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("echo '403 Permission check failed' >&2; exit 255", "403 Permission check failed"),
        ("exec sleep 20", "no answer in 1 s"),
        ("echo '{'", "its answer is not understood"),
        ("echo '[1]'", "its answer is not understood"),
        ("echo '{\"a\": 1}'", "its answer is not understood"),
        ('echo \'[{"volid": 1, "verification": [1]}]\'', "its answer is not understood"),
    ],
)
def test_where_that_cannot_be_asked_the_backups_count_all_the_same(node, answer, why):
    verifying(node, answer)
    found = node.ask()
    assert states(found) == ["", ""]
    assert found.problems == (f"storage pbs: what it has verified is not known: {why}",)


@pytest.mark.parametrize("state", ["running", "", 1, None, [], {"a": 1}])
def test_a_state_that_nobody_knows_is_none_that_we_know(node, state):
    odd = [
        {**CONTENT[0], "verification": {"state": state}},
        {"volid": "pbs:backup/ct/x"},
        CONTENT[1],
    ]
    verifying(node, f"cat <<'E'\n{json.dumps(odd)}\nE")
    assert states(node.ask()) == ["none", ""]


def test_other_storages_are_not_asked_what_they_have_verified(node):
    node.tool("pvesh", "exit 1")
    node.dump("vzdump-lxc-910-2026_11_20-02_00_05.tar.zst")
    found = node.ask()
    assert (states(found), found.problems) == ([""], ())


def test_storages_alone_cost_no_look_at_their_backups(node):
    node.dump("vzdump-lxc-910-2026_11_20-02_00_05.tar")
    found = node.ask(backups=False)
    assert (found.backups, found.storages) == ({}, {"local": "dir"})
