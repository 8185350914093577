"""The site's own variables: in the fleet file, in the plan of a node, in the profiles."""

import json

import pytest

from phoenix.apparmor.observed import TUNABLES_SITE, ObservedAppArmor
from phoenix.fleet.parse import FleetError, parse_fleet
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.site_tunables import plan_site_tunables, render_tunables
from phoenix.pve.observed import ObservedPct
from phoenix.report.terminal import plan_lines

PEERS = {"apparmor_nesting_profiles": ("lxc-a", "lxc-b")}
TEXT = """\
# Managed by phoenix-harden: changes are overwritten by its next run.
@{apparmor_nesting_profiles} = lxc-a lxc-b
"""


def parsed(tunables):
    return parse_fleet(json.dumps({"lxc_configs": {}, "tunables": tunables}).encode())


def node(text=None, parser=(4, 1, 0), reads_global_d=True):
    files = {} if text is None else {TUNABLES_SITE: text}
    return ObservedAppArmor(True, parser, files=files, reads_global_d=reads_global_d)


def test_the_fleet_file_gives_names_and_values_in_its_order():
    fleet = parsed({"b": ["/srv/{a,b}/", "/tank/*/"], "a": ["lxc-a"]})
    assert list(fleet.tunables.items()) == [("b", ("/srv/{a,b}/", "/tank/*/")), ("a", ("lxc-a",))]
    assert fleet.ignored == ()


@pytest.mark.parametrize("tunables", [None, {}])
def test_without_any_there_is_no_file(tunables):
    assert render_tunables(parsed(tunables).tunables) is None


@pytest.mark.parametrize(
    ("tunables", "problem"),
    [
        (["lxc-a"], "tunables: "),
        ({"a": "lxc-a"}, "tunables.a: 'lxc-a': a list is expected"),
        ({"a": []}, "tunables.a: []: at least one item is expected"),
        ({"@{a}": ["b"]}, "a variable's name is expected, without @{}"),
        ({"a": ["b,"]}, "tunables.a[0]: 'b,': a path or a name is expected"),
        ({"a": ["b c"]}, "tunables.a[0]: 'b c': a path or a name is expected"),
        ({"a": ["b\n@{HOME}=/"]}, "tunables.a[0]: "),
        ({"a": ["@{HOME}"]}, "tunables.a[0]: '@{HOME}': a path or a name is expected"),
        ({"a": [1]}, "tunables.a[0]: 1: text is expected"),
    ],
)
def test_what_is_no_variable_is_refused_with_its_place(tunables, problem):
    with pytest.raises(FleetError) as caught:
        parsed(tunables)
    (found,) = caught.value.problems
    assert problem in str(found)


def test_the_file_has_one_line_for_each_variable():
    assert render_tunables(PEERS) == TEXT


@pytest.mark.parametrize(
    ("before", "tunables", "line"),
    [
        (None, PEERS, "new"),
        (TEXT.replace("lxc-b", "lxc-c"), PEERS, "changed"),
        (TEXT, {}, "goes: the fleet file sets no tunables"),
    ],
)
def test_what_differs_is_one_line_of_the_plan(before, tunables, line):
    change, problems = plan_site_tunables(tunables, node(before))
    assert change.line == f"/etc/apparmor.d/{TUNABLES_SITE}: {line}"
    assert (change.before, change.after, problems) == (before, render_tunables(tunables), ())


@pytest.mark.parametrize(("before", "tunables"), [(TEXT, PEERS), (None, {}), ("# theirs\n", {})])
def test_what_is_right_or_not_ours_to_remove_stays(before, tunables):
    assert plan_site_tunables(tunables, node(before)) == (None, ())


def test_a_file_of_that_name_that_is_not_ours_is_refused():
    change, (problem,) = plan_site_tunables(PEERS, node("# theirs\n"))
    assert change is None
    assert problem.text == f"/etc/apparmor.d/{TUNABLES_SITE} is there and not ours: move it away"


@pytest.mark.parametrize("old", [node(parser=(3, 1, 7)), node(reads_global_d=False)])
def test_a_node_that_would_make_nothing_of_it_is_refused(old):
    change, (problem,) = plan_site_tunables(PEERS, old)
    assert change is None
    assert (
        "tunables need AppArmor 4.0 or newer, which reads /etc/apparmor.d/tunables/glo"
        in problem.text
    )


def test_the_plan_of_a_node_has_it_before_any_container():
    fleet = parsed({name: [*values] for name, values in PEERS.items()})
    plan = plan_node(
        fleet=fleet,
        options=Options(),
        facts=NodeFacts(containers=ObservedPct("pve1", {}), apparmor=node()),
        templates={},
    )
    assert plan.prepares
    assert f"pve1: /etc/apparmor.d/{TUNABLES_SITE}: new" in list(plan_lines(plan))
