"""Whether there is something to fall back on."""

from datetime import UTC, datetime, timedelta

import pytest

from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.fallbacks import check_backups, check_snapshots
from phoenix.pve.backups import Backup, ObservedBackups, RequiredBackup, age_text
from phoenix.pve.conf import PveConf

DAY = RequiredBackup(24)
NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
ROOTFS = "rootfs: fast:subvol-910-disk-0,size=4G\n"


def plan(conf=ROOTFS, ctids=(910,)):
    before = PveConf.parse(conf)
    changes = [
        ContainerChange(ctid, f"ct{ctid}", before, before, None, True, True, ()) for ctid in ctids
    ]
    return NodePlan("pve1", containers=tuple(changes))


def backups(*problems, **hours):
    found = {
        int(ct[2:]): (Backup(NOW - timedelta(hours=ago), "local"),) for ct, ago in hours.items()
    }
    kinds = {"fast": "zfspool", "local": "dir"}
    return ObservedBackups(NOW, kinds, found, problems)


def test_a_backup_that_is_new_enough_is_no_problem():
    assert list(check_backups(plan(), backups(ct910=24), DAY)) == []


def test_every_container_with_an_old_backup_or_none_is_named_with_what_makes_one():
    found = check_backups(plan(ctids=(910, 952, 953)), backups(ct910=25, ct952=1), DAY)
    assert list(map(str, found)) == [
        "CT 910 ct910: the newest backup is 25 h old, require_backup=24 (hours): "
        "vzdump 910 makes one",
        "CT 953 ct953: no backup, require_backup=24 (hours): vzdump 953 makes one",
    ]


def test_a_storage_that_could_not_be_asked_is_told_beside_it():
    (problem,) = check_backups(plan(), backups("storage nas: no answer in 60 s"), DAY)
    assert "no backup, require_backup=24 (hours) (storage nas: no answer in 60 s)" in problem.text


def on_server(*states):
    """Of CT 910, each as its age in hours and what the server says of it."""
    its = tuple(Backup(NOW - timedelta(hours=ago), "pbs", state) for ago, state in states)
    return ObservedBackups(NOW, {"pbs": "pbs"}, {910: its}, ())


@pytest.mark.parametrize(
    ("states", "required"),
    [
        ([(7, "ok")], RequiredBackup(24, verified=True)),
        ([(7, "none"), (20, "ok")], RequiredBackup(24, verified=True)),
        ([(9000, "ok")], RequiredBackup(verified=True)),
        ([(7, "none")], DAY),
        ([(7, "failed"), (20, "ok")], DAY),
        ([(7, "failed"), (20, "")], DAY),
    ],
)
def test_a_backup_that_is_as_it_is_asked_for_is_no_problem(states, required):
    assert list(check_backups(plan(), on_server(*states), required)) == []


@pytest.mark.parametrize(
    ("states", "required", "why"),
    [
        (
            [(7, "none"), (31, "ok")],
            RequiredBackup(24, verified=True),
            "the newest verified backup is 31 h old (one on pbs is 7 h old and not verified), "
            "require_backup=24,verified (hours)",
        ),
        (
            [(7, "")],
            RequiredBackup(verified=True),
            "no verified backup (one on pbs is 7 h old and on a storage that verifies nothing), "
            "require_backup=verified",
        ),
        ([], RequiredBackup(verified=True), "no verified backup, require_backup=verified"),
        # what is broken is nothing to fall back on
        (
            [(7, "failed")],
            DAY,
            "no backup (one on pbs is 7 h old and failed its verification), "
            "require_backup=24 (hours)",
        ),
        (
            [(7, "failed"), (31, "ok")],
            DAY,
            "the newest backup is 31 h old (one on pbs is 7 h old and failed its verification), "
            "require_backup=24 (hours)",
        ),
    ],
)
def test_one_that_is_not_is_refused_with_what_there_is(states, required, why):
    (found,) = check_backups(plan(), on_server(*states), required)
    assert found.message == why
    assert found.fix.startswith("vzdump 910 makes one")
    assert ("its storage verifies it" in found.fix) is required.verified


@pytest.mark.parametrize(
    ("states", "verified", "text"),
    [
        ([], False, "none"),
        ([(7, "")], False, "7 h"),
        ([(7, "ok")], False, "7 h, verified"),
        ([(7, "none"), (20, "ok")], False, "7 h, not verified"),
        ([(7, "none"), (20, "ok")], True, "20 h, verified"),
        ([(7, "failed"), (20, "ok")], False, "20 h, verified, a newer one failed"),
        ([(7, "failed")], False, "none, failed its verification"),
    ],
)
def test_the_table_shows_what_is_known_of_the_verification(states, verified, text):
    assert on_server(*states).text(910, verified) == text


def test_containers_that_nothing_happens_to_need_no_backup():
    assert list(check_backups(plan(ctids=()), backups(), RequiredBackup(1))) == []


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(40, "40 min"), (119, "119 min"), (120, "2 h"), (47 * 60, "47 h"), (72 * 60, "3 d")],
)
def test_an_age_is_short_and_rounded_down(minutes, text):
    assert age_text(timedelta(minutes=minutes)) == text


def test_volumes_on_a_storage_with_snapshots_are_no_problem():
    conf = ROOTFS + "mp0: fast:subvol-910-disk-1,mp=/data,size=4G\nlxc.mount.entry: /srv srv none\n"
    assert list(check_snapshots(plan(conf), backups())) == []


def test_a_storage_that_nobody_knows_is_left_to_the_attempt():
    assert list(check_snapshots(plan("rootfs: new:910/disk\n"), backups())) == []


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ("rootfs: local:910/vm-910-disk-0.raw\n", "rootfs is on local (dir), which has no snap"),
        (ROOTFS + "mp3: local:910/disk.raw,mp=/data\n", "mp3 is on local (dir), which has no"),
        (ROOTFS + "mp0: /srv/data,mp=/data\n", "mp0 is a bind mount of /srv/data; Proxmox cannot"),
    ],
)
def test_a_container_that_surely_cannot_have_one_is_refused_with_the_way_out(conf, why):
    (problem,) = check_snapshots(plan(conf), backups())
    assert str(problem).startswith(f"CT 910 ct910: snapshot=true: {why}")
    assert str(problem).endswith("leave snapshot=true out, and have a backup (vzdump 910)")
