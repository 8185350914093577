"""Whole fleets as people have them, made from nothing on a node that has their storages."""

import shlex

import pytest
from create_cases import TEMPLATES
from fleet_cases import real
from plan_cases import SOURCE, apparmor

from phoenix.fleet.adopt import adopt
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.create import creation_plan
from phoenix.plan.facts import NodeFacts
from phoenix.plan.options import Options
from phoenix.plan.predict import predict
from phoenix.pve.observed import ObservedPct
from phoenix.pve.stock import ObservedStock, Storage
from phoenix.pve.storage import ObservedStorage

GPUS = ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm")


def made(name):
    """The plan for a fleet that was adopted."""
    confined = adopt(real(name), "lxc-docker-nested", templates=["lxc-docker-nested"]).after
    fleet = parse_fleet(confined, ["lxc-docker-nested", "lxc-phoenix-v2"])
    storages = {one.making.storage for one in fleet.containers.values()}
    pools = {mount.pool for one in fleet.containers.values() for mount in one.mounts}
    stock = ObservedStock(
        storages={
            **{one: Storage("zfspool", ("rootdir",), pool="tank/ct") for one in storages if one},
            **{one: Storage("zfspool", pool=f"tank/{one}") for one in pools if one},
        },
        templates=tuple(
            one.making.template for one in fleet.containers.values() if one.making.template
        ),
        pools=("tank",),
    )
    facts = NodeFacts(
        containers=ObservedPct("pve1"),
        apparmor=apparmor(),
        storage=ObservedStorage(GPUS, {"tank": "/tank"}),
        stock=stock,
    )
    options = Options(allow=("raw-hooks", "host-paths"))
    templates = {**TEMPLATES, "lxc-phoenix-v2.j2": SOURCE}
    return fleet, creation_plan(predict(fleet, options, facts, templates), templates)


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_a_real_fleet_is_made_from_nothing_each_after_what_it_needs(name):
    fleet, plan = made(name)
    assert plan.problems == ()
    order = [one.ctid for one in plan.creations]
    assert sorted(order) == sorted(fleet.containers)
    assert order[0] == 900
    for ctid, container in fleet.containers.items():
        needed = {*container.dependencies, container.making.clone_from} - {None}
        assert all(order.index(other) < order.index(ctid) for other in needed)


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_each_of_a_real_fleet_is_confined_and_has_what_its_file_says(name):
    fleet, plan = made(name)
    for one in plan.creations:
        container, conf = fleet.containers[one.ctid], one.change.after.main
        assert one.change.label is not None
        assert conf["memory"] == str(container.making.memory)
        assert f"hwaddr={container.making.mac}" in conf["net0"]
        assert conf["unprivileged"] == "1"
        assert one.change.docker is container.docker
        assert len(conf.raw("lxc.mount.entry")) >= len(container.mounts)
        # nothing of the file is more than one word of a command
        for words in one.pct:
            assert shlex.split(shlex.join(words)) == [*words]
            assert words[0] in ("create", "clone", "set", "resize")
    by_ctid = {one.ctid: one for one in plan.creations}
    (data,) = by_ctid[910].datasets
    assert (data.quota, data.owner) == (10 * 1024**3, (100000, 100000))
    words = ("--snapname", "pre-configured", "--full", "1", "--storage")
    assert by_ctid[910].pct[0][5:10] == words
    assert [one.ctid for one in plan.creations if one.snapshot] == [900, 901, 902, 903, 920]
    assert by_ctid[955].change.after.main["dev0"] == "/dev/nvidia0"
