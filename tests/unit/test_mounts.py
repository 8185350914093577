"""Indexed entries: mount points and devices."""

import pytest

from phoenix.plan.findings import Code
from phoenix.plan.mounted_ids import mounted_ids
from phoenix.pve.conf import PveConf
from phoenix.pve.devices import plan_device_entries, same_device
from phoenix.pve.mounts import plan_mount_entries, same_mount
from phoenix.pve.observed import ObservedContainer


def test_equal_mounts_are_known_whatever_their_number_and_order() -> None:
    conf = PveConf.parse("mp3: /srv/a,ro=1,mp=/mnt/a,mountoptions=noatime;nodev\n")
    plan = plan_mount_entries(conf, ["mp0: /srv/a/,mountoptions=nodev;noatime,mp=/mnt/a/,ro=yes"])
    assert not plan
    assert plan.present == (("mp3", "/srv/a,ro=1,mp=/mnt/a,mountoptions=noatime;nodev"),)
    assert plan.apply(conf) == conf


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a,mp=/b", "volume=/a,mp=/b,ro=0,backup=0,replicate=1", True),
        ("local:910/vm.raw,mp=/b,size=8G", "local:910/vm.raw,mp=/b,size=9G", True),
        ("/a,mp=/b", "/a,mp=/b,ro=1", False),
        ("/a,mp=/b", "/a,mp=/c", False),
        ("/a,mp=/b", "/a,mp=/b,replicate=0", False),
        ("/a,mp=/b,acl=0", "/a,mp=/b", False),
    ],
)
def test_what_two_mounts_say(one: str, other: str, same: bool) -> None:
    assert same_mount(one, other) is same


def test_the_lowest_free_number_is_used_and_pending_ones_are_not_free() -> None:
    conf = PveConf.parse("mp0: /a,mp=/a\nmp2: /b,mp=/b\n\n[pve:pending]\nmp1: /c,mp=/c\n")
    plan = plan_mount_entries(conf, ["/d,mp=/d", "/e,mp=/e"])
    assert plan.new == (("mp3", "/d,mp=/d"), ("mp4", "/e,mp=/e"))
    assert plan.apply(conf).text == (
        "mp0: /a,mp=/a\nmp2: /b,mp=/b\nmp3: /d,mp=/d\nmp4: /e,mp=/e\n"
        "\n[pve:pending]\nmp1: /c,mp=/c\n"
    )


def test_the_operators_mount_is_never_replaced() -> None:
    conf = PveConf.parse("mp0: /operators,mp=/data\n")
    plan = plan_mount_entries(conf, ["/ours,mp=/data"])
    assert not plan
    assert plan.conflicts == (
        "mp0: /operators,mp=/data takes the place of /ours,mp=/data and stays",
    )


def test_what_waits_is_said_and_not_added_again() -> None:
    conf = PveConf.parse("mp0: /a,mp=/a\n[pve:pending]\nmp1: /c,mp=/c\ndelete: mp0 !swap\n")
    plan = plan_mount_entries(conf, ["/c,mp=/c", "/a,mp=/a"])
    assert not plan
    assert plan.conflicts == (
        "mp1: /c,mp=/c waits in [pve:pending]",
        "mp0: its removal waits in [pve:pending]",
    )


def test_what_a_former_run_added_is_changed_and_taken_back() -> None:
    conf = PveConf.parse("mp0: /a,mp=/a\nmp1: /b,mp=/b\nmp2: /c,mp=/c\n")
    plan = plan_mount_entries(
        conf, ["/b,mp=/b,ro=1"], managed_before=["/b,mp=/b", "mp=/c,volume=/c"]
    )
    assert plan.changed == (("mp1", "/b,mp=/b,ro=1"),)
    assert plan.removed == (("mp2", "/c,mp=/c"),)
    assert plan.apply(conf).text == "mp0: /a,mp=/a\nmp1: /b,mp=/b,ro=1\n"


def test_an_entry_that_cannot_be_read_is_left_alone() -> None:
    # reference/pct/native/3a: mp0: nonsense
    conf = PveConf.parse("mp0: nonsense\n")
    plan = plan_mount_entries(conf, ["/a,mp=/a"])
    assert plan.new == (("mp1", "/a,mp=/a"),)


def test_a_mount_that_is_wanted_twice_is_one_mount() -> None:
    assert len(plan_mount_entries(PveConf.parse(""), ["/a,mp=/a", "mp=/a,volume=/a"]).new) == 1
    with pytest.raises(ValueError, match="/a is wanted twice"):
        plan_mount_entries(PveConf.parse(""), ["/a,mp=/a", "/b,mp=/a"])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/a", "mp=/where"),
        ("mp=/a", "mp=/where"),
        ("/a,mp=/a,mp=/b", "duplicate"),
        ("/a,mp=/a,rw=1", "no option 'rw'"),
        ("/a/../b,mp=/a", r"'\.\.'"),
        ("/a/./b,mp=/a", r"'\.'"),
        ("local-lvm:8,mp=/a", "pct set"),
        ("/a,mp=/a\nlxc.apparmor.profile: unconfined", "control character"),
    ],
)
def test_mounts_that_proxmox_would_refuse(value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_mount_entries(PveConf.parse(""), [value])


def test_all_numbers_taken() -> None:
    conf = PveConf.parse("".join(f"mp{i}: /a{i},mp=/a{i}\n" for i in range(256)))
    with pytest.raises(ValueError, match="all 256 numbers are taken"):
        plan_mount_entries(conf, ["/b,mp=/b"])


def test_equal_devices_are_known_whatever_their_number_and_order() -> None:
    conf = PveConf.parse("dev7: mode=0666,path=/dev/nvidia0,uid=0\ndev0: /dev/dri/card0\n")
    plan = plan_device_entries(
        conf, ["/dev/nvidia0,uid=0,mode=0666,deny-write=0", "/dev/nvidiactl"]
    )
    assert plan.new == (("dev1", "/dev/nvidiactl"),)
    assert [key for key, _ in plan.present] == ["dev7"]


def test_the_operators_device_is_never_replaced() -> None:
    plan = plan_device_entries(PveConf.parse("dev0: /dev/fuse,mode=0600\n"), ["/dev/fuse"])
    assert not plan
    assert "dev0: /dev/fuse,mode=0600 takes the place of /dev/fuse" in plan.conflicts[0]


def test_two_spellings_of_a_device() -> None:
    assert same_device("/dev//fuse", "path=/dev/fuse,deny-write=no")
    assert not same_device("/dev/fuse", "/dev/fuse,deny-write=1")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("mode=0666", "no path"),
        ("nvidia0", "is no path"),
        ("/dev/../etc/shadow", r"'\.\.'"),
        ("/dev/fuse,mode=666", "is no mode"),
        ("/dev/fuse,uid=root", "is no uid"),
        ("/dev/fuse,color=red", "no option 'color'"),
        ("/dev/fuse\r", "control character"),
    ],
)
def test_devices_that_proxmox_would_refuse(value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_device_entries(PveConf.parse(""), [value])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a,mp=/a,keepattrs=0", "/a,mp=/a", True),
        ("/a,mp=/a,keepattrs=yes", "/a,mp=/a,keepattrs=1", True),
        ("/a,mp=/a,keepattrs=1", "/a,mp=/a", False),
        ("/a,mp=/a,idmap=u:0:5:1;g:0:5:1", "/a,idmap=g:0:5:1;u:0:5:1,mp=/a", True),
        ("/a,mp=/a,idmap=u:0:5:1", "/a,mp=/a,idmap=u:0:5:2", False),
        ("/a,mp=/a,idmap=passthrough", "/a,mp=/a", False),
    ],
)
def test_what_proxmox_ve_9_1_added_to_a_mount_point_counts(
    one: str, other: str, same: bool
) -> None:
    assert same_mount(one, other) is same


@pytest.mark.parametrize(
    "idmap",
    ["", "all", "u:0:0", "u:0:0:0", "x:0:0:1", "u:0:0:1;", "u:a:0:1", "passthrough;u:0:0:1"],
)
def test_an_idmap_that_proxmox_would_refuse(idmap: str) -> None:
    with pytest.raises(ValueError, match="idmap"):
        plan_mount_entries(PveConf.parse(""), [f"/a,mp=/a,idmap={idmap}"])


@pytest.mark.parametrize(
    ("idmap", "reaches"),
    [
        ("passthrough", True),
        ("u:0:0:1", True),
        ("u:33:33:1;g:1000:0:5", True),
        ("u:0:1000:1", False),
        ("u:1:1:65535", False),
    ],
)
def test_a_mount_point_on_which_root_of_the_container_is_root_of_the_node_is_told(
    idmap: str, reaches: bool
) -> None:
    conf = f"hostname: nas\nunprivileged: 1\nmp0: /tank/a,mp=/a\nmp3: /tank,mp=/b,idmap={idmap}\n"
    found = [*mounted_ids(_observed(conf))]
    assert [one.code for one in found] == [Code.IDMAP] * reaches
    assert all("mp3: with its idmap root in it works in /tank" in str(one) for one in found)
    # pve-container LXC.pm: a privileged container has no such mounts, with a warning
    assert [*mounted_ids(_observed(conf.replace("unprivileged: 1\n", "")))] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rootfs: local-zfs:subvol-910-disk-0,idmap=passthrough,size=8G", True),
        ("rootfs: local:910/subvol-910-disk-0.subvol,idmap=passthrough,size=0T", True),
        ("mp0: local-zfs:basevol-9-disk-0/subvol-910-disk-1,mp=/a,idmap=u:0:0:1", True),
        ("rootfs: local-lvm:vm-910-disk-0,idmap=passthrough,size=8G", False),
        ("mp0: local:910/vm-910-disk-1.raw,mp=/a,idmap=passthrough,size=8G", False),
        ("rootfs: local-zfs:subvol-910-disk-0,size=8G", False),
    ],
)
def test_only_a_folder_of_the_node_is_one_in_which_the_nodes_root_counts(
    line: str, told: bool
) -> None:
    assert len([*mounted_ids(_observed(f"unprivileged: 1\n{line}\n"))]) == told


def test_a_mount_point_that_cannot_be_read_is_left_to_proxmox() -> None:
    assert [
        *mounted_ids(_observed("unprivileged: 1\nmp0: nonsense\nmp1: /a,mp=/a,idmap=x\n"))
    ] == []


def _observed(conf: str) -> ObservedContainer:
    return ObservedContainer(910, PveConf.parse(conf), False, None, None, None, "pve1")
