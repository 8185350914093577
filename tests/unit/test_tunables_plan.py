"""Broken tunables in the plan of a node: shown, repaired first, or refused."""

import json

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.tunables import plan_tunables
from phoenix.pve.observed import ObservedPct
from phoenix.report.terminal import plan_lines

HOME = "{HOMEDIRS}=/home/\n@{HOME}=@{HOMEDIRS}/*/ /root/\ninclude if exists <tunables/home.d>\n"
ERROR = (
    "Cache read/write disabled: interface file missing.\n"
    "AppArmor parser error in profile /etc/apparmor.d/tunables/home at line 1: syntax error, "
    "unexpected TOK_OPEN, expecting end of file\n"
)


def apparmor(home=HOME, error=ERROR, **site):
    files = {f"tunables/home.d/{name}": text for name, text in site.items()}
    files |= {"tunables/home": home} if home is not None else {}
    return ObservedAppArmor(True, (4, 1, 0), files=files, tunables_error=error)


def plan(host):
    fleet = parse_fleet(json.dumps({"lxc_configs": {}}).encode())
    return plan_node(
        fleet=fleet,
        options=Options(),
        facts=NodeFacts(containers=ObservedPct("pve1", {}), apparmor=host),
        templates={},
    )


def test_a_node_with_broken_tunables_is_not_as_it_should_be():
    found = plan(apparmor())
    assert not found.empty
    assert found.problems == ()
    assert found.tunables.before == HOME
    assert found.tunables.after == HOME.replace("{HOMEDIRS}", "@{HOMEDIRS}", 1)


def test_the_plan_shows_the_line_why_and_what_it_becomes():
    (line,) = plan_lines(plan(apparmor()))
    assert line == (
        "pve1: /etc/apparmor.d/tunables/home line 1: {HOMEDIRS}=/home/: the @ is missing: "
        "becomes @{HOMEDIRS}=/home/"
    )


def test_a_line_that_is_missing_is_shown_as_what_it_becomes():
    home = HOME.replace("{HOMEDIRS}=/home/\n", "")
    (line,) = plan_lines(plan(apparmor(home)))
    assert line == (
        "pve1: /etc/apparmor.d/tunables/home line 2: nothing sets @{HOMEDIRS}: "
        "becomes @{HOMEDIRS}=/home/"
    )


def test_what_the_parser_takes_is_not_looked_at():
    assert plan(apparmor(error="")).empty


def test_what_cannot_be_repaired_is_a_problem_of_the_node_in_one_line():
    (problem,) = plan(apparmor(HOME.replace("/home/", ""))).problems
    assert problem.startswith("pve1: /etc/apparmor.d/tunables/home line 1: {HOMEDIRS}=: ")
    assert "it has no value" in problem
    assert "\n" not in problem


def test_a_repair_is_not_begun_where_another_line_stays_broken():
    change, problems = plan_tunables(apparmor(f"{HOME}what is this\n"))
    assert change is None
    (problem,) = problems
    assert "tunables/home line 4: what is this: neither a comment" in problem.text


def test_a_site_file_is_held_against_what_home_sets_once_repaired():
    change, problems = plan_tunables(apparmor(local="# ours\n@{HOMEDIRS}=/srv/\n"))
    assert change is None
    (problem,) = problems
    assert problem.text.startswith(
        "/etc/apparmor.d/tunables/home.d/local line 2: @{HOMEDIRS}=/srv/: "
    )
    assert "write @{HOMEDIRS}+=/srv/" in problem.text
    assert plan_tunables(apparmor(local="@{HOMEDIRS}+=/srv/\n"))[1] == ()


def test_a_parser_that_gives_no_reason_is_told_as_such():
    sound = HOME.replace("{HOMEDIRS}", "@{HOMEDIRS}", 1)
    (problem,) = plan_tunables(apparmor(sound, "Warning: slow\n\n"))[1]
    assert "the parser gave no reason" in problem.text
