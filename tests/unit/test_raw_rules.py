"""Rules for the generated profile: looked at, compiled by the node, told with their place."""

import json

import pytest

from phoenix.apparmor.generated_rules import ObservedRules, rules_from_json
from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node, rules_to_compile
from phoenix.plan.options import Options
from phoenix.plan.raw_rules import rule_problems
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.text.problems import FleetError

NODE = ObservedAppArmor(True, (4, 1, 0), ("3.0", "4.0"))
PLACE = "lxc_configs.953.apparmor_raw"


def fleet(*rules, **entry):
    entry = {"apparmor_raw": list(rules), **entry}
    return parse_fleet(json.dumps({"lxc_configs": {"953": entry}}).encode())


def problems(*rules, refused=None):
    container = fleet(*rules).containers[953]
    return list(rule_problems(container, "generated", NODE, ObservedRules(refused or {})))


@pytest.mark.parametrize(
    "rule",
    [
        "deny mount fstype=debugfs,",
        "audit deny /srv/** w,",
        "deny /a r, deny /b r,",
        "include <abstractions/nameservice>",
        "mount fstype=nfs -> /mnt/**,",
        "change_profile -> lxc-other,",
        "deny /x r, # not for this one",
        # beside Docker this is the generated profile's own business
        "/usr/bin/dockerd rix,",
        # says less than it seems to, and does no harm
        "capability,",
    ],
)
def test_a_rule_in_order_is_no_problem(rule):
    assert problems(rule) == []


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("deny audit /srv/** w,", "deny-audit-order: `deny audit` is a syntax error"),
        ("mount,", "mounts-anywhere: `mount` names no path"),
        ("mount options=(rw,bind),", "mounts-anywhere: `mount options=(rw,bind)` names no path"),
        ("change_profile -> unconfined,", "lets-out: `change_profile -> unconfined` lets root"),
        ("include <abstractions/lxc/start-container>", "lets-out: abstractions/lxc/start-cont"),
        ("/usr/bin/x Ux,", "lets-out: `/usr/bin/x Ux` runs a program unconfined"),
        ("deny mount fstype=debugfs", "this is no complete rule: end it with a comma"),
        ("}", "a rule may neither open nor close a profile"),
        ("} profile evil {", "a rule may neither open nor close a profile"),
        ("profile inner { file, }", "a rule may neither open nor close a profile"),
        ('deny "/x r,', "a rule may neither open nor close a profile"),
    ],
)
def test_a_rule_that_breaks_or_opens_the_profile_is_told_with_its_place(rule, problem):
    (message,) = problems("deny /ok r,", rule)
    assert message.startswith(f"{PLACE}[1]: {problem}")


def test_what_the_nodes_parser_says_stands_at_the_rule_it_is_about():
    said = "AppArmor parser error at line 4: Invalid capability foo."
    assert problems("deny /a r,", "capability foo,", refused={(953, 1): said}) == [
        f"{PLACE}[1]: does not compile on this node: Invalid capability foo."
    ]
    # lint has said it already, and better
    (message,) = problems("deny audit /x r,", refused={(953, 0): "syntax error"})
    assert "deny-audit-order" in message
    # another container's
    assert problems("deny /a r,", refused={(954, 0): said}) == []


def test_rules_that_only_clash_are_told_together():
    said = (
        "profile lxc-phoenix-harden-rules: has merged rule /a with conflicting x modifiers\n"
        "ERROR merging rules for profile lxc-phoenix-harden-rules, failed to load"
    )
    (message,) = problems("/a ix,", "/a px,", refused={(953, None): said})
    assert message.startswith(f"{PLACE}: these rules do not go together: profile lxc-phoenix")


def test_phoenix_check_warns_of_a_rule_that_a_run_would_refuse():
    (warning,) = fleet("deny /a r,", "deny audit /b r,").containers[953].warnings
    assert warning.startswith(f"{PLACE}[1]: deny-audit-order")


@pytest.mark.parametrize("rule", ["deny /x r,\nmount,", "deny /x\x1b r,", "[pve:pending]", ""])
def test_a_rule_is_one_line(rule):
    with pytest.raises(FleetError, match=r"apparmor_raw\[0\]"):
        fleet(rule)


def node(conf):
    observed = ObservedContainer(953, PveConf(conf), True, 1, "unconfined", None, "pve1")
    return ObservedPct("pve1", {953: observed})


def plan(fleet, conf="", rules=None, **options):
    return plan_node(
        fleet=fleet,
        options=Options(**options),
        facts=NodeFacts(containers=node(conf), apparmor=NODE, rules=rules or ObservedRules()),
        templates={},
    )


def test_only_rules_that_the_conf_does_not_have_are_compiled():
    two = fleet("deny /a r,", "deny /b r,")
    asked = ((953, "deny /a r,"), (953, "deny /b r,"))
    assert rules_to_compile(two, Options(), node("lxc.apparmor.raw: deny /a r,\n")) == asked
    both = "lxc.apparmor.raw: deny /a r,\nlxc.apparmor.raw: deny /b r,\n"
    assert rules_to_compile(two, Options(), node(both)) == ()
    named = fleet("deny /a r,", apparmor_profile="lxc-a")
    assert rules_to_compile(named, Options(), node("")) == ()


def test_a_bad_rule_stops_the_run_before_anything_changes():
    (problem, *_) = plan(fleet("mount,")).problems
    assert problem.startswith(f"pve1: CT 953: {PLACE}[0]: mounts-anywhere")
    refused = ObservedRules({(953, 0): "bad"})
    assert plan(fleet("deny /a r,"), rules=refused).problems == (
        f"pve1: CT 953: {PLACE}[0]: does not compile on this node: bad",
    )


def test_a_container_that_is_left_alone_or_named_otherwise_has_no_say():
    assert plan(fleet("mount,"), "lock: backup\n").problems == ()
    assert plan(fleet("mount,", apparmor_profile="unconfined")).problems == ()


def test_where_nothing_compiles_the_rules_are_linted_and_that_is_said():
    unchecked = ObservedRules(unchecked="no\ntunables")
    assert plan(fleet("deny /a r,"), rules=unchecked).notes == (
        "apparmor_raw is not compiled beforehand: no tunables",
    )


def test_the_answer_of_the_node_is_read():
    refused = [[953, 1, "a b"], [954, None, "c"]]
    seen = rules_from_json({"refused": refused, "unchecked": "d\ne"})
    assert seen == ObservedRules({(953, 1): "a b", (954, None): "c"}, "d\ne")
    assert seen.to_json()["refused"] == refused
    assert rules_from_json({"refused": [], "unchecked": ""}) == ObservedRules()
