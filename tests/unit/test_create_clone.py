"""What create makes of a clone: of a container that is there, or that the same run makes."""

import pytest
from create_cases import DOCKER, create, facts, harden, made, refused
from plan_cases import container

from phoenix.plan.findings import Code
from phoenix.pve.managed import Managed
from phoenix.pve.raw_keys import RawKey

SOURCE = """\
#our template
arch: amd64
cores: 2
features: nesting=1
hostname: base
memory: 2048
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:09:02,ip=10.0.0.202/24,type=veth
onboot: 0
ostype: debian
parent: pre-configured
rootfs: local-zfs:subvol-902-disk-0,size=32G
unprivileged: 1
unused0: local-zfs:subvol-902-disk-1
lxc.apparmor.profile: unconfined
lxc.cgroup2.devices.allow: a

[pre-configured]
arch: amd64
cores: 1
hostname: base
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:09:02,type=veth
ostype: debian
rootfs: local-zfs:subvol-902-disk-0,size=16G
snaptime: 1795308303
unprivileged: 1
lxc.apparmor.profile: unconfined
"""
CLONE = {"clone_from_ctid": "902", "name": "web"}
NETWORK = {"network_config": {"bridge": "vmbr0", "ip": "dhcp"}}
NAMED = {"template_snapshot_name": "pre-configured"}


def source(conf=SOURCE, label=None, **changes):
    return container(902, conf, label, **changes)


def clone(there=None, base=None, **entry):
    """A clone of CT 902, which is there."""
    return made(there or source(), ct902=base or {}, ct970={**CLONE, **NETWORK, **entry})


def test_a_clone_is_a_copy_and_then_what_the_file_says_of_it():
    its = clone(memory_mb=4096, storage_size_gb=64, storage_pool="local-zfs", boot_order=3)
    assert its.pct == (
        (
            *("clone", "902", "970", "--hostname", "web"),
            *("--full", "1", "--storage", "local-zfs"),
        ),
        (
            *("set", "970", "--memory", "4096", "--net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
            *("--startup", "order=3"),
        ),
        ("resize", "970", "rootfs", "64G"),
    )


def test_its_conf_is_that_of_its_source_without_what_is_the_sources_own():
    its = clone(memory_mb=4096)
    assert its.change.after.text.splitlines() == [
        "#our template",
        "arch: amd64",
        "cores: 2",
        "features: nesting=1",
        "hostname: web",
        "memory: 4096",
        "net0: name=eth0,bridge=vmbr0,ip=dhcp",
        "onboot: 0",
        "ostype: debian",
        "unprivileged: 1",
        "lxc.cgroup2.devices.allow: a",
    ]


def test_a_clone_of_what_is_unconfined_is_confined():
    its = clone()
    assert its.change.after.main.raw("lxc.apparmor.profile") == ()
    assert str(its.change.label) == "lxc-970_</var/lib/lxc> (enforce)"
    its = clone(features=["docker"])
    assert its.change.after.main.raw("lxc.apparmor.profile") == ("lxc-docker-nested",)


def test_a_clone_begins_with_the_snapshot_that_its_source_names():
    its = clone(base=NAMED)
    assert its.pct[0][5:] == ("--snapname", "pre-configured", "--full", "1")
    assert its.change.after.main["memory"] == "512"
    assert its.change.after.main["features"] is None
    # the disk is as large as it was then
    assert clone(base=NAMED, storage_size_gb=32).pct[-1] == ("resize", "970", "rootfs", "32G")


def test_a_snapshot_that_is_not_there_is_a_note():
    plan = create(
        source(SOURCE.partition("\n[")[0] + "\n"), ct902=NAMED, ct970={**CLONE, **NETWORK}
    )
    assert "CT 902 has no snapshot pre-configured: cloned as it is now" in plan.notes[-1]
    assert "--snapname" not in plan.creations[0].pct[0]


def test_a_running_source_is_cloned_from_its_snapshot():
    assert "--snapname" in clone(source(label="unconfined"), NAMED).pct[0]


@pytest.mark.parametrize(
    ("base", "way"),
    [
        ({}, "name a snapshot of it in its template_snapshot_name"),
        ({"template_snapshot_name": "ready"}, "pct snapshot 902 ready"),
    ],
)
def test_a_running_source_without_a_snapshot_is_refused_with_what_to_do(base, way):
    found = refused(source(label="unconfined"), ct902=base, ct970=CLONE)
    assert found.message == "CT 902, which it is cloned from, runs, and pct copies no disk in use"
    assert found.fix == f"stop it (pct shutdown 902), or {way}"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, ("--hostname", "web")),
        (
            {"storage_pool": "local-zfs"},
            ("--hostname", "web", "--full", "1", "--storage", "local-zfs"),
        ),
    ],
)
def test_a_template_of_proxmox_has_linked_clones_unless_a_storage_is_named(entry, words):
    conf = f"template: 1\n{SOURCE.partition(chr(10) + '[')[0]}\n"
    its = clone(source(conf), **entry)
    assert its.pct[0] == ("clone", "902", "970", *words)
    assert its.change.after.main["template"] is None


def test_a_disk_never_shrinks():
    plan = create(source(), ct902={}, ct970={**CLONE, **NETWORK, "storage_size_gb": 8})
    assert [words[0] for words in plan.creations[0].pct] == ["clone", "set"]
    assert "32 GiB: a disk never shrinks" in plan.notes[-1]


def test_a_disk_whose_size_is_not_known_stays_as_it_is():
    conf = SOURCE.replace("size=32G", "size=0T", 1)
    plan = create(source(conf), ct902={}, ct970={**CLONE, **NETWORK, "storage_size_gb": 8})
    assert [words[0] for words in plan.creations[0].pct] == ["clone", "set"]
    assert "does not say how large its disk is" in plan.notes[-1]


def test_an_address_that_it_would_share_with_its_source_is_told():
    plan = create(source(), ct902={}, ct970=CLONE)
    assert "net0 keeps the address 10.0.0.202/24 of CT 902" in plan.notes[-1]


def test_features_that_are_otherwise_are_set_and_what_ours_brought_goes():
    managed = Managed(
        {"nesting": "1"}, (RawKey("lxc.cgroup2.devices.allow", "a"),), ("/dev/nvidia0",)
    )
    conf = SOURCE.replace("features", "dev0: /dev/nvidia0\nfeatures", 1)
    its = clone(source(conf, managed=managed.render()))
    assert its.pct[1] == (
        *("set", "970", "--net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
        *("--delete", "dev0,features"),
    )
    assert its.change.after.main.raw_items() == ()
    its = clone(pct_options=["keyctl=1"])
    assert its.pct[1][-2:] == ("--features", "nesting=1,keyctl=1")


def test_the_protection_of_its_source_is_not_its_own():
    its = clone(source(SOURCE.replace("rootfs", "protection: 1\nrootfs", 1)))
    assert its.pct[1][-2:] == ("--delete", "protection")
    assert "protection" not in its.change.after.main


def test_a_clone_is_as_privileged_as_its_source():
    privileged = source(SOURCE.replace("unprivileged: 1\n", ""))
    assert "--unprivileged" not in clone(privileged).pct[1]
    found = refused(privileged, ct902={}, ct970={**CLONE, "unprivileged": True})
    assert found.message.startswith("unprivileged: CT 902, which it is cloned from, is privileged")


def test_of_a_docker_that_its_source_brings_the_driver_is_not_known():
    its = clone(base={"features": ["docker"]}, features=["docker"])
    assert its.change.driver == ""
    assert its.install is not None
    assert clone(features=["docker"]).change.driver == "fuse-overlayfs"


def test_a_clone_of_what_the_same_run_makes_has_its_conf():
    plan = create(
        ct902={**DOCKER, **NAMED, "storage_size_gb": 16, "pct_options": ["keyctl=1"]},
        ct970={**CLONE, **NETWORK, "features": ["docker"], "storage_size_gb": 32},
    )
    assert plan.problems == ()
    base, its = plan.creations
    assert (base.ctid, base.snapshot, base.start) == (902, "pre-configured", False)
    assert its.pct == (
        (
            *("clone", "902", "970", "--hostname", "web"),
            *("--snapname", "pre-configured", "--full", "1"),
        ),
        # the feature that the entry does not ask for was that of its source
        (
            *("set", "970", "--net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
            *("--features", "fuse=1"),
        ),
        ("resize", "970", "rootfs", "32G"),
    )
    assert its.change.after.main.raw_items() == (("lxc.apparmor.profile", "lxc-docker-nested"),)


def test_harden_finds_nothing_to_do_for_a_clone():
    entries = {"ct902": NAMED, "ct970": {**CLONE, **NETWORK, "features": ["docker"]}}
    plan = create(source(), **entries)
    (its,) = plan.creations
    there = container(970, its.change.after.text, None, managed=its.change.managed.render())
    files = {one.name: one.after for one in plan.profiles}
    seen = facts(source(), there)
    host = seen.apparmor.__class__(
        **{**seen.apparmor.__dict__, "files": files, "loaded": dict.fromkeys(files, "enforce")}
    )
    seen = facts(source(), there, host=host)
    assert [one.ctid for one in harden(seen, **entries).containers] == [902]


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        (f"lock: backup\n{SOURCE}", "is locked (backup)"),
        (f"mp0: /srv/data,mp=/data\n{SOURCE}", "mounts /srv/data (mp0), and pct clones none such"),
    ],
)
def test_a_source_that_pct_would_refuse_is_refused_before(conf, says):
    found = refused(source(conf), ct902={}, ct970=CLONE)
    assert (found.code, found.ctid) == (Code.NOT_MADE, 970)
    assert says in found.message
