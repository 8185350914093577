"""What a profile would refuse is known before a restart, and is what its rules leave out."""

from dataclasses import replace

import pytest
from plan_cases import CONF, DOCKER, apparmor, container, fleet, node
from test_apparmor import TEMPLATES as SHIPPED
from test_apparmor import rules

from phoenix.docker.observed import Bind, ObservedDocker
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.refusals import SYS_FOLDERS, TEMPLATES, mount_unit, refusals
from phoenix.plan.render import profile_names

PROFILE = "lxc-docker-nested"


def refused(*binds, driver="overlay2", sources=(), accepted=(), mounted=(), **docker):
    seen = ObservedDocker(
        "ok", driver=driver, binds=tuple(Bind("app", *bind) for bind in binds), **docker
    )
    return [str(one) for one in refusals(seen, driver, PROFILE, sources, accepted, mounted)]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("/", "/host"),
        ("/", "/rootfs"),
        ("/proc", "/host/proc"),
        ("/sys", "/host/sys"),
        ("/sys", "/sys"),
        ("/sys/fs/cgroup", "/host/sys/fs/cgroup"),
        ("/sys/class", "/sys/class"),
        ("/dev", "/dev"),
        ("/dev", "/host/dev"),
        ("/dev/disk", "/dev/disk"),
        ("/dev/dri/renderD128", "/gpu"),
        ("/dev/nvidia-caps/nvidia-cap1", "/dev/nvidia-caps/nvidia-cap1"),
        ("/var/run/docker.sock", "/var/run/docker.sock"),
        ("/var/lib/docker", "/var/lib/docker"),
        ("/mnt/data/", "/data"),
        ("/process", "/process"),
        ("/srv/processed", "/x"),
        ("/var/lib/lxcfs/proc/meminfo", "/proc/meminfo"),
    ],
)
def test_what_people_bind_for_monitoring_and_data_is_let_through(source, target):
    assert refused((source, target), sources=("/process",)) == []


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("/proc", "/p", "under its own name"),
        ("/proc/1", "/host/proc/1", "under its own name"),
        ("/sys", "/s", "under its own name"),
        ("/sys/kernel/debug", "/sys/kernel/debug", "under its own name"),
        ("/dev", "/devices", "ends in /dev"),
        ("/dev/.lxc", "/x", "LXC's own"),
        ("/projects/web", "/web", "miss /projects"),
    ],
)
def test_what_it_leaves_out_is_named_with_the_container_and_a_way_out(source, target, why):
    (said,) = refused((source, target))
    assert said.startswith(f"container app binds {source} at {target}, which {PROFILE} refuses: ")
    assert why in said


def test_a_source_is_let_through_as_the_rules_have_it():
    text = rules(PROFILE)
    for folder in SYS_FOLDERS:
        rule = f"/sys{folder}/ -> @{{dkr_root}}/{{,**/}}sys{folder}/,"
        assert any(one.endswith(rule) for one in text), folder
    binds = [one for one in text if one.startswith("mount options=(rw,rbind) /sys/")]
    assert len(binds) == len(SYS_FOLDERS)


FSTAB = (("tmpfs", "/srv/t"), ("none", "/srv/b2"))


def test_fstab_is_refused_where_mount_is_of_the_new_kind():
    first, second = refused(fstab=FSTAB, mount=(2, 41))
    assert first.startswith("/etc/fstab mounts /srv/t (tmpfs), which lxc-docker-nested refuses")
    assert "mpN" in first
    assert "/srv/b2" in second
    assert refused(fstab=FSTAB, mount=(2, 38)) == refused(fstab=FSTAB, mount=None) == []
    assert refused(fstab=(("tmpfs", "/tmp"),), mount=(2, 41)) == []
    assert len(refused(fstab=FSTAB, mount=(2, 41), mounted=("/srv/t",))) == 1


@pytest.mark.parametrize("driver", ["btrfs", "zfs", "devicemapper"])
def test_a_driver_without_rules_is_known_before(driver):
    (said,) = refused(driver=driver)
    assert said.startswith(
        f"its Docker's storage driver is {driver}, which lxc-docker-nested has no"
    )
    assert refused(driver=driver, accepted=(driver,)) == []


def test_the_image_store_is_known_by_its_snapshotters():
    assert refused(driver="overlayfs", snapshotter=True) == []
    for driver in ("overlay2", "fuse-overlayfs", "vfs", ""):
        assert refused(driver=driver) == []
    (said,) = refused(driver="stargz", snapshotter=True)
    assert "snapshotter is stargz" in said


def test_its_owner_may_go_without():
    assert refused(("/proc", "/p"), accepted=("app",)) == []
    assert len(refused(fstab=FSTAB, mount=(2, 41), accepted=("srv-t.mount",))) == 1


@pytest.mark.parametrize(
    ("path", "unit"),
    [("/srv/t", "srv-t.mount"), ("/srv//my-data/", r"srv-my\x2ddata.mount"), ("/", "-.mount")],
)
def test_a_mount_has_the_unit_that_systemd_gives_it(path, unit):
    assert mount_unit(path) == unit


BASED = {"lxc-docker-nested.j2": '{% extends "base.j2" %}', "base.j2": "profile {{ name }} {}\n"}
MONITOR = ObservedDocker("ok", driver="overlay2", binds=(Bind("monitor", "/proc", "/p"),))


def planned(
    *, label="unconfined", templates=BASED, docker=MONITOR, conf=CONF, other=DOCKER, **options
):
    return plan_node(
        fleet=fleet(ct910=DOCKER, ct952=other),
        options=Options(**options),
        facts=NodeFacts(
            containers=node(container(label=label, conf=conf), container(952)),
            apparmor=apparmor(),
            dockers={910: docker, 952: replace(MONITOR, binds=())},
        ),
        templates=templates,
    )


def test_a_container_whose_stack_would_not_come_back_is_left_alone_and_the_others_go_on():
    result = planned()
    assert [change.ctid for change in result.containers] == [952]
    why = result.alone[910]
    assert "container monitor binds /proc at /p, which lxc-docker-nested refuses" in why
    assert why.endswith("; to go on without: --data accept=monitor, or force=would-break")


def test_what_the_node_mounts_there_is_not_the_guests_to_mount():
    docker = replace(MONITOR, binds=(), fstab=(("ext4", "/mnt/tank"),), mount=(2, 41))
    assert 910 in planned(docker=docker).alone
    conf = CONF.replace("unprivileged", "mp0: tank:vm-910-disk-1,mp=/mnt/tank\nunprivileged", 1)
    assert planned(docker=docker, conf=conf).alone == {}


def test_what_a_profile_names_for_all_its_wearers_counts():
    docker = replace(MONITOR, binds=(Bind("app", "/projects/web", "/web"),))
    mounts = [{"host_path": "/tank/projects", "container_path": "/projects"}]
    assert 910 in planned(docker=docker).alone
    assert planned(docker=docker, other={**DOCKER, "mount_points": mounts}).alone == {}
    # what no rule can name is the profile's problem, told by it
    odd = [{"host_path": "/tank/projects", "container_path": "/projects (old)"}]
    assert planned(docker=docker, other={**DOCKER, "mount_points": odd}).problems


def test_the_templates_are_those_that_are_shipped():
    assert sorted(TEMPLATES) == profile_names(SHIPPED)


@pytest.mark.parametrize(
    "how",
    [
        {"accept": ("monitor",)},
        {"force": True},
        {"restart": "never"},
        {"mode": "complain"},
        # what it refuses is refused already, by another form or another profile of ours, too
        {"label": "lxc-docker-nested (enforce)"},
        {"label": "lxc-phoenix-v2-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"},
        # what others let through is not known
        {"templates": {"lxc-docker-nested.j2": "profile {{ name }} flags=({{ flags }}) {}\n"}},
    ],
)
def test_it_is_changed_where_nothing_is_lost_by_it(how):
    assert [change.ctid for change in planned(**how).containers] == [910, 952]
