"""Planning takes four times the work for four times the fleet: counted in calls, not in seconds."""

import sys
from dataclasses import replace

import pytest
from plan_cases import CONF, DOCKER, TEMPLATES, apparmor, container, fleet, node

from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.pve.storage import ObservedStorage

#: Four times the work, and what does not divide evenly.
MOST = 4.6


def many(containers, mounts):
    """A fleet file of so many containers with so many mounts each, and the node that has them."""
    entries = {
        f"ct{ctid}": {
            **DOCKER,
            "mount_points": [
                {"host_path": f"/srv/{ctid}/{n}", "container_path": f"/mnt/{n}"}
                for n in range(mounts)
            ],
        }
        for ctid in range(1000, 1000 + containers)
    }
    wanted = fleet(**entries)
    ctids = wanted.containers
    sources = tuple(one.source for its in ctids.values() for one in its.mounts)
    disks = {f"rpool/data/subvol-{ctid}-disk-0": f"/rpool/data/subvol-{ctid}-0" for ctid in ctids}
    return wanted, NodeFacts(
        containers=node(*(container(ctid, CONF.replace("/910/", f"/{ctid}/")) for ctid in ctids)),
        apparmor=apparmor(),
        storage=ObservedStorage(paths=sources, datasets=disks),
    )


def calls(work):
    """How many functions are called, and generators asked for their next value."""
    count = 0

    def counted(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def planning(containers, mounts):
    """The calls that take a plan of nothing done yet, of all done, and the judgement of that."""
    wanted, facts = many(containers, mounts)

    def plan():
        return plan_node(fleet=wanted, options=Options(), facts=facts, templates=TEMPLATES)

    counted = [calls(plan)]
    changes = plan().containers
    assert len(changes) == containers
    assert all(change.after.text.count("lxc.mount.entry") == mounts for change in changes)
    facts = replace(
        facts,
        containers=node(*(container(one.ctid, one.after.text) for one in changes)),
    )
    # all of them run under another label still
    counted.append(calls(plan))
    judged = plan()
    judge = {"fleet": wanted, "options": Options(), "facts": facts, "plan": judged}
    counted.append(calls(lambda: audit_node(**judge)))
    return counted


# what is made once in a process is made before it is counted
planning(1, 1)


@pytest.mark.parametrize(
    ("less", "more"), [((2, 100), (2, 400)), ((25, 4), (100, 4))], ids=["mounts", "containers"]
)
def test_four_times_the_fleet_is_four_times_the_work(less, more):
    few, many = planning(*less), planning(*more)
    assert [b / a <= MOST for a, b in zip(few, many, strict=True)] == [True] * 3, (few, many)
