"""Mounts of the node that give no answer: who has them is told, and no run restarts him."""

import pytest

from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.pve.bind_sources import bind_sources
from phoenix.pve.conf import PveConf
from phoenix.pve.storage import ObservedStorage
from tests.unit.plan_cases import (
    CONF,
    DOCKER,
    ENFORCED,
    container,
    fleet,
    hardened,
    installed,
    node,
    plan,
)

SILENT = ObservedStorage(silent={"/mnt/nas": "no answer in 2 s"})
MOUNTS = CONF.replace("hostname", "mp0: /mnt/nas,mp=/nas\nhostname", 1)


def left(planned):
    return [one for one in planned.findings if one.code == Code.MOUNT]


def audited(ct, storage=SILENT):
    planned = plan(node(ct), installed(), storage=storage)
    facts = NodeFacts(node(ct), installed(), storage)
    return audit_node(fleet=fleet(), options=Options(), facts=facts, plan=planned)


@pytest.mark.parametrize(
    ("line", "sources"),
    [
        ("mp0: /mnt/nas,mp=/a", ["/mnt/nas"]),
        ("mp0: mp=/a,volume=/mnt/nas", ["/mnt/nas"]),
        ("mp0: volume=local:1/a.raw,mp=/a", []),
        ("rootfs: /srv/ct", ["/srv/ct"]),
        ("rootfs: local:910/vm-910-disk-0.raw,size=4G", []),
        ("lxc.mount.entry: /mnt/my\\040nas nas none bind 0 0", ["/mnt/my nas"]),
        ("lxc.mount.entry = /dev/dri dev/dri none bind 0 0", []),
        ("lxc.mount.entry: /sys/kernel/security sys/kernel/security none bind 0 0", []),
        ("lxc.mount.entry: tmpfs tmp tmpfs rw 0 0", []),
        ("[before]\nmp0: /mnt/nas,mp=/a", []),
    ],
)
def test_what_a_start_looks_at_on_the_node_is_known_by_the_conf(line, sources):
    assert list(bind_sources(PveConf(f"arch: amd64\n{line}\n"))) == sources


def test_a_container_with_such_a_mount_is_not_restarted_and_the_way_out_is_told():
    planned = plan(node(container(conf=MOUNTS)), storage=SILENT)
    assert planned.containers == ()
    (found,) = left(planned)
    assert found.severity == Severity.WARNING
    assert found.message == (
        "left alone: /mnt/nas (no answer in 2 s) on the node: its next start waits for that"
    )
    assert "umount -l" in found.fix
    assert "CT 910" in found.fix


def test_who_names_it_is_refused():
    (found,) = left(
        plan(node(container(conf=MOUNTS)), storage=SILENT, options=Options(only=(910,)))
    )
    assert found.severity == Severity.ERROR


def test_a_stopped_one_is_planned_and_told_by_the_audit():
    ct = container(conf=MOUNTS, label=None)
    assert len(plan(node(ct), storage=SILENT).containers) == 1
    assert [one.code for one in audited(ct).findings].count(Code.MOUNT) == 1


def test_a_confined_one_is_told_by_the_audit_as_confined_with_that_beside_it():
    (row,) = audited(container(conf=hardened(MOUNTS), label=ENFORCED)).containers
    assert row.verdict.startswith("confined, but /mnt/nas (no answer in 2 s) on the node")
    assert not row.ok


def test_it_is_told_once():
    found = audited(container(conf=MOUNTS)).findings
    assert [one.code for one in found].count(Code.MOUNT) == 1


def test_another_mount_that_answers_is_nothing_to_tell():
    other = ObservedStorage(silent={"/mnt/other": "no answer in 2 s"})
    assert left(plan(node(container(conf=MOUNTS)), storage=other)) == []
    assert audited(container(conf=hardened(MOUNTS), label=ENFORCED), other).containers[0].ok


def test_a_mount_of_the_fleet_file_that_gives_no_answer_is_left_out_and_not_to_be_created():
    volume = {"name": "data", "pool": "tank", "size_gb": 1, "mount_point": "/data"}
    storage = ObservedStorage(silent={"/tank/data": "Stale file handle"})
    planned = plan(storage=storage, ct910={**DOCKER, "volumes": [volume]})
    assert "/tank/data" not in planned.containers[0].after.text
    notes = [one.text for one in planned.findings]
    assert any("/tank/data gives no answer (Stale file handle): left out" in one for one in notes)
    assert not any("zfs create" in one for one in notes)
