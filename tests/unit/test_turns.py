"""In which order the containers of several nodes are restarted, and which at the same time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix.fleet.model import Container, Fleet
from phoenix.plan.turns import in_turn, partners, turns


def ct(ctid, *dependencies, boot_order=None):
    return Container(ctid, boot_order=boot_order, dependencies=dependencies)


def fleet(*containers, apart=()):
    return Fleet({one.ctid: one for one in containers}, apart=apart)


def whose(found):
    return [dict(turn.containers) for turn in found]


def test_one_at_a_time_means_of_all_nodes():
    found = turns({"a": [910, 911], "b": [920]}, 1, fleet(ct(910), ct(920), ct(911)))
    assert whose(found) == [{"a": 910}, {"b": 920}, {"a": 911}]


def test_one_of_each_node_goes_on_beside_the_others():
    found = turns({"a": [910, 911], "b": [920]}, "nodes", fleet(ct(910), ct(911), ct(920)))
    assert whose(found) == [{"a": 910, "b": 920}, {"a": 911}]


@pytest.mark.parametrize("rolling", [1, "nodes"])
def test_a_dependency_on_another_node_goes_first_and_both_are_named(rolling):
    known = fleet(ct(920, 911), ct(910), ct(911))
    found = turns({"a": [910, 911], "b": [920]}, rolling, known)
    assert whose(found) == [{"a": 910}, {"a": 911}, {"b": 920}]
    (wait,) = found[2].waits
    assert str(wait) == "CT 920 on b waits for CT 911 on a"
    assert not any(turn.waits for turn in found[:2])


def test_one_holds_also_through_a_container_that_is_not_changed():
    known = fleet(ct(920, 930), ct(930, 911), ct(911))
    (first, second) = turns({"a": [911], "b": [920]}, "nodes", known)
    assert first.containers == {"a": 911}
    assert [(one.ctid, one.other) for one in second.waits] == [(920, 911)]


def test_dependencies_on_the_same_node_need_no_wait():
    found = turns({"a": [911, 910]}, "nodes", fleet(ct(910, 911), ct(911)))
    assert whose(found) == [{"a": 911}, {"a": 910}]
    assert not any(turn.waits for turn in found)


def test_those_that_are_kept_apart_never_have_the_same_turn():
    known = fleet(ct(910), ct(911), ct(912), apart=((910, 911),))
    found = turns({"a": [910], "b": [911], "c": [912]}, "nodes", known)
    assert whose(found) == [{"a": 910, "c": 912}, {"b": 911}]


@pytest.mark.parametrize("known", [None, fleet(ct(910), ct(911, 910))])
@pytest.mark.parametrize("rolling", [1, "nodes"])
def test_nodes_of_no_cluster_may_have_the_same_ctids(rolling, known):
    changed = {"a": [910, 911], "b": [910]}
    found = turns(changed, rolling, known)
    assert sorted(pair for turn in found for pair in turn.containers.items()) == [
        ("a", 910), ("a", 911), ("b", 910),
    ]  # fmt: skip
    # 911 waits for that of its own node
    assert not any(turn.waits for turn in found)


def test_where_nobody_knows_who_depends_on_whom_the_nodes_own_order_stays():
    changed = {"a": [911, 910], "b": [920]}
    assert whose(turns(changed, 1)) == [{"a": 911}, {"a": 910}, {"b": 920}]
    assert whose(turns(changed, "nodes")) == [{"a": 911, "b": 920}, {"a": 910}]


def test_where_that_is_known_alone_who_is_kept_apart_has_turns_of_its_own():
    changed = {"a": [911, 910], "b": [920]}
    assert whose(turns(changed, "nodes", apart={920: {911}, 911: {920}})) == [
        {"a": 911},
        {"a": 910, "b": 920},
    ]


def test_a_nodes_own_order_is_that_of_all_of_them():
    # 910 waits for one of another node, which 911 does not
    known = fleet(ct(910, 920), ct(911, boot_order=5), ct(920, boot_order=9))
    assert in_turn({910, 911}, known, {910, 911, 920}) == [911, 910]


def test_partners_are_those_of_all_groups():
    known = fleet(apart=((910, 911), (910, 920)))
    assert partners(known) == {910: {911, 920}, 911: {910}, 920: {910}}


@given(st.data())
def test_whatever_the_fleet_each_has_one_turn_and_all_that_was_promised_holds(data):
    count = data.draw(st.integers(1, 9))
    ctids = range(100, 100 + count)
    containers = [
        ct(
            ctid,
            *data.draw(st.sets(st.sampled_from(range(100, ctid)) if ctid > 100 else st.nothing())),
        )
        for ctid in ctids
    ]
    group = data.draw(st.lists(st.sampled_from(ctids), unique=True))
    known = fleet(*data.draw(st.permutations(containers)), apart=(tuple(group),))
    changed: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for ctid in data.draw(st.sets(st.sampled_from(ctids))):
        changed[data.draw(st.sampled_from("abc"))].append(ctid)
    changed = {node: in_turn(its, known, {*ctids}) for node, its in changed.items()}
    rolling = data.draw(st.sampled_from([1, "nodes"]))
    found = turns(changed, rolling, known)
    place = {ctid: i for i, turn in enumerate(found) for ctid in turn.containers.values()}
    assert len(place) == sum(len(turn.containers) for turn in found)
    for node, its in changed.items():
        assert [turn.containers[node] for turn in found if node in turn.containers] == its
    for container in containers:
        for other in container.dependencies:
            if container.ctid in place and other in place:
                assert place[other] < place[container.ctid]
    for turn in found:
        assert len({*group} & {*turn.containers.values()}) < 2
        assert rolling == "nodes" or len(turn.containers) == 1
        assert turn.containers
