"""What an `lxc.include` in a conf brings in: which profile wins, and what it opens."""

from dataclasses import replace

import pytest

from phoenix.plan.audit import audit_node
from phoenix.plan.confinement import named_in, unread_includes, winner
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.plan.workarounds import workaround_findings
from phoenix.pve.conf import PveConf
from phoenix.pve.includes import includes_from_json
from tests.unit.plan_cases import (
    CONF,
    DOCKER,
    ENFORCED,
    apparmor,
    container,
    fleet,
    hardened,
    installed,
    node,
    plan,
    said,
)

FILE = "/etc/lxc/more.conf"
INCLUDE = f"lxc.include: {FILE}\n"
PROFILE = "lxc.apparmor.profile: lxc-a\n"
GENERATED = {"ct910": {"apparmor_profile": "generated"}}


def brings(*lines, why="", path=FILE):
    """What the node says of such a file; `lines`: key and value, from line 3 on."""
    rows = [[path, number, *line.split(" = ")] for number, line in enumerate(lines, 3)]
    return includes_from_json({FILE: {"lines": rows, "why": why}})


OPEN = brings("lxc.apparmor.profile = unconfined")


def including(conf, includes=OPEN, label="unconfined"):
    return container(conf=conf, label=label, includes=includes)


def findings(*lines, conf=INCLUDE, **more):
    found = workaround_findings(including(f"unprivileged: 1\n{conf}", brings(*lines, **more)), None)
    return [one for one in found if one.code == Code.INCLUDE]


# --- which profile wins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "wins"),
    [
        (PROFILE + INCLUDE, "unconfined"),
        (INCLUDE + PROFILE, "lxc-a"),
        (INCLUDE, "unconfined"),
        (PROFILE, "lxc-a"),
        ("lxc.include: /etc/lxc/unknown.conf\n", "generated"),
        (f"[before]\n{INCLUDE}", "generated"),
    ],
)
def test_the_last_line_counts_and_proxmoxs_own_stands_before_all(conf, wins):
    assert named_in(PveConf(conf), OPEN) == wins


def test_of_several_in_a_file_the_last_counts_and_an_empty_one_is_lxcs_default():
    two = brings("lxc.apparmor.profile = unconfined", "lxc.aa_profile = lxc-b")
    named, line = winner(PveConf(PROFILE + INCLUDE), two)
    assert (named, line.place) == ("lxc-b", f"{FILE}, line 4")
    assert named_in(PveConf(INCLUDE), brings("lxc.apparmor.profile = ")).startswith("lxc-container")


# --- the plan -------------------------------------------------------------------------------------


def test_a_named_profile_goes_behind_an_include_that_names_another_one():
    conf = hardened(CONF).replace("[before]", f"{INCLUDE}\n[before]", 1)
    (change,) = plan(node(including(conf)), installed()).containers
    main = change.after.main.raw_items()
    assert main == (("lxc.include", FILE), ("lxc.apparmor.profile", "lxc-docker-nested"))
    assert said(change)[0] == (f"profile: unconfined (by {FILE}, line 3) becomes lxc-docker-nested")
    after = including(change.after.text, label=ENFORCED)
    assert plan(node(after), installed()).containers == ()


def test_an_include_before_ours_or_without_a_profile_changes_nothing():
    line = "lxc.apparmor.profile: lxc-docker-nested\n"
    conf = hardened(CONF)
    before = conf.replace(line, INCLUDE + line, 1)
    assert plan(node(including(before, label=ENFORCED)), installed()).containers == ()
    behind = conf.replace(line, line + INCLUDE, 1)
    quiet = brings("lxc.mount.auto = sys:rw")
    assert plan(node(including(behind, quiet, ENFORCED)), installed()).containers == ()


def test_the_generated_profile_cannot_win_and_the_container_is_left_with_the_way_out():
    conf = CONF.replace("lxc.apparmor.profile: unconfined\n", INCLUDE, 1)
    planned = plan(node(including(conf)), apparmor(), **GENERATED)
    assert planned.containers == ()
    (found,) = [one for one in planned.findings if one.code == Code.INCLUDED]
    assert found.message.startswith(f"left alone: {FILE}, line 3, which its conf includes, says")
    assert "name a profile in the fleet file" in found.fix


def test_what_is_not_known_of_an_include_changes_no_plan():
    line = "lxc.apparmor.profile: lxc-docker-nested\n"
    conf = hardened(CONF).replace(line, line + INCLUDE, 1)
    assert plan(node(including(conf, {}, ENFORCED)), installed()).containers == ()


# --- the audit ------------------------------------------------------------------------------------


def audited(ct, entry=DOCKER):
    facts = NodeFacts(node(ct), installed())
    planned = plan(facts.containers, installed(), ct910=entry)
    audit = audit_node(fleet=fleet(ct910=entry), options=Options(), facts=facts, plan=planned)
    return audit.containers[0]


def test_a_stopped_container_whose_include_is_known_and_harmless_is_taken_for_confined():
    conf = hardened(CONF).replace("[before]", f"{INCLUDE}\n[before]", 1)
    assert audited(including(conf, brings("lxc.tty.max = 4"), None)).ok
    assert not audited(including(conf, brings(why=f"{FILE}: not there"), None)).ok
    assert not audited(including(conf, {}, None)).ok


def test_one_outside_the_fleet_file_that_an_include_opens_is_never_ok():
    facts = NodeFacts(node(including(PROFILE + INCLUDE, label=None)), installed())
    planned = plan(facts.containers, installed(), ct911=DOCKER)
    audit = audit_node(fleet=fleet(ct911=DOCKER), options=Options(), facts=facts, plan=planned)
    (row,) = audit.containers
    assert not row.ok
    assert f"its conf says unconfined (by {FILE}, line 3)" in row.verdict


def test_facts_of_a_node_have_each_container_know_what_it_includes():
    facts = NodeFacts(node(container(conf=INCLUDE)), includes=OPEN)
    assert named_in(facts.containers.containers[910].conf, OPEN) == "unconfined"
    assert facts.containers.containers[910].includes == OPEN
    # what is asked again of containers alone does not lose it
    again = replace(facts, containers=node(container(conf=INCLUDE)))
    assert again.containers.containers[910].includes == OPEN


def test_a_profile_of_an_include_that_wins_and_confines_nothing_is_a_warning():
    (one,) = findings("lxc.apparmor.profile = unconfined", conf=PROFILE + INCLUDE)
    assert one.severity == Severity.WARNING
    assert one.message == (
        f"workaround lxc.include: {FILE} brings in lxc.apparmor.profile: unconfined ({FILE}, line "
        "3): of all such lines the last counts, which is this one"
    )
    (other,) = findings("lxc.apparmor.profile = unconfined", conf=INCLUDE + PROFILE)
    assert other.severity == Severity.NOTE
    assert other.message.endswith("the last counts, which says lxc-a")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lxc.mount.auto = proc:rw sys:rw", "makes /proc/sys and /sys writable"),
        ("lxc.cap.drop = ", "changes nothing in an unprivileged container"),
        ("lxc.cap.keep = sys_admin", "says which capabilities"),
        ("lxc.cgroup2.devices.allow = a", "lets it use whatever device node"),
        ("lxc.apparmor.allow_incomplete = 1", "only part of its profile"),
        ("lxc.aa_allow_incomplete = 1", "only part of its profile"),
        ("lxc.apparmor.raw = mount,", "grants every mount under the profile"),
        ("lxc.hook.pre-start = /root/open.sh", "runs a program on the node at each start"),
        ("lxc.mount.entry = /etc etc none bind 0 0", "hands the host's /etc"),
        ("lxc.mount.fstab = /etc/lxc/fstab", "mounts what /etc/lxc/fstab on the node says"),
        ("lxc.seccomp.profile = ", "without LXC's seccomp filter"),
    ],
)
def test_each_line_that_opens_something_is_told_with_file_and_line_and_the_way_out(line, words):
    (one,) = findings("lxc.tty.max = 4", line)
    assert (one.code, one.severity) == (Code.INCLUDE, Severity.NOTE)
    assert f"({FILE}, line 4): it" in one.message
    assert words in one.message
    assert one.fix == f"take that line out of {FILE}, or the lxc.include out of the conf"


@pytest.mark.parametrize(
    "line",
    [
        "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed",
        "lxc.cap.drop = mac_admin mac_override sys_time",
        "lxc.cgroup2.devices.allow = c 1:3 rwm",
        "lxc.hook.clone = /usr/share/lxc/hooks/clonehostname",
        "lxc.hook.version = 1",
        "lxc.hook.pre-start = ",
        "lxc.mount.entry = mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0",
        "lxc.environment = TERM=linux",
    ],
)
def test_what_opens_nothing_is_not_told(line):
    assert findings(line) == []


def test_what_could_not_be_read_is_told_with_the_reason_beside_what_could():
    one, other = findings("lxc.mount.auto = sys:rw", why="/mnt/nas/x: no answer in 2 s")
    assert "writable" in one.message
    assert other.message.endswith("not looked at here (/mnt/nas/x: no answer in 2 s)")
    assert other.fix.startswith("move what it needs")


def test_what_a_file_has_in_letters_that_no_screen_shows_is_escaped():
    found = findings("lxc.hook.pre-start = /a\x1b[2J", "lxc.apparmor.profile = a\u202eb")
    assert len(found) == 2
    assert all((one.message + one.fix).isprintable() for one in found)


def test_an_empty_include_clears_and_brings_in_nothing():
    assert findings(conf="lxc.include:\n") == []
    assert unread_includes(including("lxc.include:\n", {})) == ()
