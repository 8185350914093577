"""Scripts that confs have run on the node: judged by their text, told by plan and audit."""

import pytest
from plan_cases import CONF, container, fleet, installed, node

from phoenix.apparmor.observed import HOOK
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.hookscripts import hookscript_findings
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.pve.hookscripts import HookScript, hookscripts_from_json

NAME = "local:snippets/docker-unconfined.sh"
PATH = "/var/lib/vz/snippets/docker-unconfined.sh"
UNDOES = """\
#!/bin/bash
# keep docker running
CONF=/etc/pve/lxc/$1.conf
if [ "$2" = pre-start ]; then
    sed -i '/lxc.apparmor.profile/d' "$CONF"
    echo 'lxc.apparmor.profile: unconfined' >>"$CONF"
fi
"""


def found(text, why="", conf=f"hookscript: {NAME}\n", need="", **entry):
    scripts = hookscripts_from_json({NAME: {"path": PATH, "text": text, "why": why}})
    observed = container(conf=f"hostname: a\n{conf}")
    entries = fleet(ct910=entry) if entry else None
    its = entries.containers[910] if entries else None
    return [*hookscript_findings(observed, its, scripts, need)]


def test_one_that_takes_the_profile_out_is_a_warning_with_its_words_and_the_way_out():
    (one,) = found(UNDOES, need="not needed under lxc-a")
    assert (one.code, one.severity, one.ctid) == (Code.HOOKSCRIPT, Severity.WARNING, 910)
    assert one.message == (
        f"hookscript {NAME} runs on the node at each start and undoes confinement by its text "
        "(lxc.apparmor.profile, unconfined): what it writes into the conf counts from the next "
        "start on; not needed under lxc-a"
    )
    assert one.fix == "pct set 910 --delete hookscript takes it out, with whatever else it does"


@pytest.mark.parametrize(
    "line",
    [
        "sed -i 's/^lxc.apparmor.*//' $CONF",
        "print $fh qq{lxc.apparmor.profile: unconfined\\n};",
        "lxc.aa_profile = unconfined",
        "apparmor_parser -R /etc/apparmor.d/lxc-a",
        "apparmor_parser  -vR x",
        "aa-teardown",
        "aa-disable lxc-a",
    ],
)
def test_whatever_undoes_confinement_is_known(line):
    (one,) = found(f"#!/bin/sh\n{line}\n")
    assert one.severity == Severity.WARNING


@pytest.mark.parametrize(
    "line",
    [
        "cat /etc/pve/lxc/$1.conf",
        "f=/etc/pve/nodes/$(hostname)/lxc/$1.conf",
        "cd /etc/pve; vi lxc/910.conf",
        "pct set $1 --features nesting=1",
        "pvesh set /nodes/pve1/lxc/910/config --tags a",
        "echo x >>/var/lib/lxc/$1/config",
        "echo 'lxc.mount.auto: proc:rw sys:rw' >>$F",
    ],
)
def test_one_that_names_confs_may_write_them(line):
    (one,) = found(f"#!/bin/sh\n{line}\n")
    assert one.severity == Severity.NOTE
    assert " and may write confs by its text (" in one.message


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\nlogger start\n", "# unconfined\n  # /etc/pve/lxc\nip link set a up\n", ""]
)
def test_one_that_names_no_conf_is_told_as_such(text):
    (one,) = found(text)
    assert one.severity == Severity.NOTE
    assert one.message.endswith("runs on the node at each start; its text names no conf")


@pytest.mark.parametrize(
    ("text", "why", "told"),
    [
        (None, "not there", "not there"),
        (None, "no answer in 10 s", "no answer in 10 s"),
        ("\x7fELF\0unconfined", "", "a program, no text"),
    ],
)
def test_of_one_that_cannot_be_judged_the_reason_is_told(text, why, told):
    (one,) = found(text, why)
    assert one.severity == Severity.NOTE
    assert f"nobody can tell what it does ({told}): if it writes lxc.apparmor" in one.message


def test_one_that_was_read_in_part_says_so():
    (one,) = found("#!/bin/sh\n", "longer than 64 KiB")
    assert one.message.endswith("no conf (of it the first part: it is longer than 64 KiB)")


def test_one_of_a_snapshot_is_none_and_ours_is_none():
    assert found(UNDOES, conf=f"\n[before]\nhookscript: {NAME}\n") == []
    assert found(UNDOES, conf=f"lxc.hook.pre-start: {HOOK}\n") == []


def test_a_hook_of_lxc_is_told_by_its_line():
    (one,) = found(None, conf="lxc.hook.pre-start: /opt/a.sh x\n")
    assert one.message.startswith("lxc.hook.pre-start: /opt/a.sh x runs on the node at each start")
    assert one.fix == "take the line out of /etc/pve/lxc/910.conf"
    asked = {"lxc_options": ["lxc.hook.pre-start=/opt/a.sh x"]}
    (one,) = found(None, conf="lxc.hook.pre-start: /opt/a.sh x\n", **asked)
    assert one.fix.startswith("the fleet file asks for it")


def facts(*confs):
    script = HookScript(PATH, UNDOES)
    here = [container(910 + number, conf) for number, conf in enumerate(confs)]
    return NodeFacts(containers=node(*here), apparmor=installed(), hookscripts={NAME: script})


HOOKED = CONF.replace("hostname:", f"hookscript: {NAME}\nhostname:")


def test_the_plan_tells_those_of_the_selected_containers():
    here = facts(HOOKED, HOOKED)
    plan = plan_node(fleet=fleet(), options=Options(), facts=here, templates={})
    told = [one.ctid for one in plan.findings if one.code == Code.HOOKSCRIPT]
    assert told == [910]
    assert any("undoes confinement by its text" in note for note in plan.notes)


def test_the_audit_tells_those_of_all_containers_each_once():
    here = facts(HOOKED, HOOKED)
    plan = plan_node(fleet=fleet(), options=Options(), facts=here, templates={})
    audit = audit_node(
        fleet=fleet(),
        options=Options(),
        facts=NodeFacts(containers=here.containers, hookscripts=here.hookscripts),
        plan=plan,
    )
    told = [one.ctid for one in audit.findings if one.code == Code.HOOKSCRIPT]
    assert told == [910, 911]
    assert not any(one.ok for one in audit.containers)
