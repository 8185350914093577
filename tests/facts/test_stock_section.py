"""node/stock.py on a tree of files."""

from facts.stock import Stock
from facts.storage import Storage as StorageFact
from phoenix.pve.stock import Storage

CFG = """\
dir: local
	path /var/lib/vz
	content vztmpl,iso

zfspool: disks
	pool tank/ct
	content rootdir,images
	nodes pve1,pve2

dir: nas
	path /mnt/nas
	is_mountpoint 1
	content vztmpl

lvmthin: old
	disable
	content rootdir

zfspool: away
	pool tank/away
	nodes pve3
"""
TEMPLATE = "debian-13-standard_13.1-2_amd64.tar.zst"


def prepared(node):
    (node.root / "etc/pve/nodes/pve1").mkdir(parents=True)
    (node.root / "etc/pve/local").symlink_to("nodes/pve1")
    node.has("/etc/pve/storage.cfg", CFG)


def test_machines_of_the_whole_cluster_are_told_with_their_nodes(node):
    prepared(node)
    for place in ("pve1/qemu-server/100", "pve2/qemu-server/970", "pve2/lxc/971"):
        node.has(f"/etc/pve/nodes/{place}.conf", "")
    node.has("/etc/pve/nodes/pve1/qemu-server/99.conf", "")
    assert node.see(Stock, ()).guests == {100: "pve1", 970: "pve2"}


def test_storages_are_told_with_what_they_hold_and_whether_this_node_may_use_them(node):
    prepared(node)
    assert node.see(Stock, ()).storages == {
        "away": Storage("zfspool", usable=False, pool="tank/away"),
        "disks": Storage("zfspool", ("rootdir", "images"), pool="tank/ct"),
        "local": Storage("dir", ("vztmpl", "iso")),
        "nas": Storage("dir", ("vztmpl",)),
        "old": Storage("lvmthin", ("rootdir",), usable=False),
    }


def test_without_a_storage_cfg_local_holds_everything_as_proxmox_has_it(node):
    local = node.see(Stock, ()).storages["local"]
    assert local.holds("rootdir")
    assert local.holds("vztmpl")


def test_only_templates_that_are_there_are_told(node):
    prepared(node)
    node.has(f"/var/lib/vz/template/cache/{TEMPLATE}", "")
    node.has(f"/srv/{TEMPLATE}", "")
    (node.root / "srv/folder.tar").mkdir()
    there = (f"local:vztmpl/{TEMPLATE}", f"/srv/{TEMPLATE}")
    gone = ("local:vztmpl/x.tar", "nowhere:vztmpl/x.tar", "/srv/x.tar", "/srv/folder.tar")
    # a share that is not mounted has none
    assert node.see(Stock, (*there, *gone, f"nas:vztmpl/{TEMPLATE}")).templates == there


def test_zfs_pools_are_told_without_asking_zfs(node):
    node.has("/proc/spl/kstat/zfs/arcstats", "")
    node.has("/proc/spl/kstat/zfs/tank/io", "")
    assert node.see(Stock, ()).pools == ("tank",)


def test_datasets_of_a_storage_have_its_name_as_well(node):
    prepared(node)
    line = "41 30 0:40 / /tank/ct/media rw - zfs tank/ct/media rw\n"
    node.has("/proc/self/mountinfo", line)
    assert node.see(StorageFact, ()).datasets == {
        "disks/media": "/tank/ct/media",
        "tank/ct/media": "/tank/ct/media",
    }
