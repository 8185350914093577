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
        "echo lxc.aa_profile = unconfined >>/var/lib/lxc/$1/config",
        "apparmor_parser -R /etc/apparmor.d/lxc-a",
        "apparmor_parser  -vR x",
        "aa-teardown",
        "aa-disable lxc-a",
        "echo -n lxc-910 >/sys/kernel/security/apparmor/.remove",
    ],
)
def test_whatever_undoes_confinement_is_known(line):
    (one,) = found(f"#!/bin/sh\n{line}\n")
    assert one.severity == Severity.WARNING


WRITERS = {
    "variable": "conf=/etc/pve/lxc/${1}.conf\nsed -i s/lxc-a/unconfined/ $conf\n",
    "all nodes": 'for f in /etc/pve/nodes/*/lxc/*.conf; do sed -i "s/lxc-a/unconfined/" "$f"; done',
    "node's name": "echo lxc.apparmor.profile: unconfined >>/etc/pve/nodes/$(uname -n)/lxc/$1.conf",
    "folder": "D=/etc/pve/lxc\nF=$D/$1.conf\nprintf 'lxc.apparmor.profile: a\\n' >> \"$F\"",
    "of LXC": "sed -i -e 's/^lxc.apparmor.*//' /var/lib/lxc/$1/config",
    "its variable": "echo 'lxc.apparmor.profile = unconfined' >>\"$LXC_CONFIG_FILE\"",
    "in a folder": "cd /etc/pve/lxc && echo 'lxc.apparmor.profile: unconfined' >>$1.conf",
    "tee": "echo lxc.apparmor.profile: unconfined | tee -a /etc/pve/lxc/$1.conf >/dev/null",
    "put in place": "grep -v lxc.apparmor $C >/tmp/c && mv /tmp/c /etc/pve/lxc/$1.conf",
    "copied": 'sed s/lxc-a/unconfined/ $C >/tmp/c\ncp -f /tmp/c "$C" 2>/dev/null || exit 1',
    "here": "cat >>/etc/pve/lxc/$1.conf <<EOF\nlxc.apparmor.profile: unconfined\nEOF",
    "function": 'u() { local f="$1"; sed -i s/lxc-a/unconfined/ "$f"; }\nu /etc/pve/lxc/$2.conf',
    "two lines": "sed -i \\\n  -e s/lxc-a/unconfined/ \\\n  /etc/pve/lxc/$1.conf",
    "a hash": "sed -i 's/^ # lxc.apparmor.*/lxc.apparmor.profile: unconfined/' /etc/pve/lxc/1.conf",
    "beside a test": "C=/etc/pve/lxc/$1.conf\ngrep -q unconfined $C || echo lxc.apparmor.profile: "
    "unconfined >>$C",
    "pct": "pct set $1 --features nesting=1\nP='lxc.apparmor.profile: unconfined'",
    "perl, open": "my $conf = \"/etc/pve/lxc/$id.conf\";\nopen(my $fh, '>>', $conf) or die;\n"
    "print $fh qq{lxc.apparmor.profile: unconfined\\n};",
    "perl, old": 'open(F, ">>/etc/pve/lxc/$ARGV[0].conf");\nprint F "lxc.apparmor.profile: a";',
    "perl, in place": "perl -pi -e 's/lxc-a/unconfined/' /etc/pve/lxc/$1.conf",
    "perl, Proxmox": "my $c = PVE::LXC::Config->load_config($id);\n"
    "push @{$c->{lxc}}, ['lxc.apparmor.profile', 'unconfined'];\n"
    "PVE::LXC::Config->write_config($id, $c);",
    "perl, object": 'my $f = IO::File->new("/etc/pve/lxc/$id.conf", "w");\n'
    'print $f "lxc.apparmor.profile: unconfined";',
    "in place of it": "cp /root/unconfined.conf /etc/pve/lxc/$1.conf",
    "a group": "{ echo 'lxc.apparmor.profile: unconfined'; } >> \"/etc/pve/lxc/${1}.conf\"",
    "added": "ed -s /etc/pve/lxc/$1.conf </root/unconfined",
    "python, open": "conf = f'/etc/pve/lxc/{sys.argv[1]}.conf'\nwith open(conf, 'a') as f:\n"
    "    f.write('lxc.apparmor.profile: unconfined\\n')",
    "python, path": "p = Path('/etc/pve/lxc') / f'{vmid}.conf'\n"
    "p.write_text(p.read_text().replace('lxc-a', 'unconfined'))",
    "python, sed": "subprocess.run(['sed', '-i', 's/lxc-a/unconfined/', '/etc/pve/lxc/1.conf'])",
    "python, shell": "os.system(f\"sed -i 's/lxc-a/unconfined/' /etc/pve/lxc/{vmid}.conf\")",
}


@pytest.mark.parametrize("text", WRITERS.values(), ids=WRITERS)
def test_one_that_writes_a_conf_undoes_confinement(text):
    (one,) = found(text)
    assert one.severity == Severity.WARNING, one.message


#: As LXC's own hooks/nvidia asks for itself.
ASKS = 'echo "changeprofile unconfined" > /proc/self/attr/current'
TELLERS = {
    "logs": "logger 'vm is unconfined'",
    "logs to a file": 'echo "$1 is unconfined" >>/var/log/hooks.log',
    "greps": "grep -q lxc.apparmor.profile /etc/pve/lxc/$1.conf || logger 'no profile'",
    "tests": '[ "$(cat /proc/$pid/attr/current)" = unconfined ] && logger "CT $1 has no profile"',
    "keeps a list": "L=/var/log/x\ngrep -l unconfined /etc/pve/lxc/*.conf >>$L 2>&1",
    "keeps a copy": "cp /etc/pve/lxc/$1.conf /root/backup/ # while it is unconfined",
    "behind it": "ip link set a up # lxc.apparmor.profile: unconfined",
    "logs and writes": "logger 'not unconfined'\necho lxc.cap.drop: >>/etc/pve/lxc/$1.conf",
    "says what was": "sed -n s/^lxc.apparmor.profile:.//p /etc/pve/lxc/$1.conf >/run/profile.$1",
    "tests in words": "test $p = unconfined || pct set $1 --onboot 1",
    "tests and writes": "[ $p = unconfined ] || pct set $1 --onboot 1",
    "another's hook": ASKS,
    "another's file": "sed -i s/unconfined/enforced/ /etc/app/policy.conf",
    "python reads": "if 'unconfined' in open('/etc/pve/lxc/910.conf').read():\n    print('!')",
    "perl reads": "open(my $f, '<', '/etc/pve/lxc/910.conf'); print 'x' if <$f> =~ /unconfined/;",
}


@pytest.mark.parametrize("text", TELLERS.values(), ids=TELLERS)
def test_one_that_only_says_the_word_is_a_note(text):
    (one,) = found(f"#!/bin/sh\n{text}\n")
    assert one.severity == Severity.NOTE, one.message


def test_the_word_is_told_where_no_conf_is_named():
    (one,) = found("#!/bin/sh\necho unconfined\n")
    assert one.message.endswith("; its text names unconfined, but no conf")


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


def hook(line, **texts):
    """What is told of a raw line; `texts`: of the scripts below /root, by their names."""
    scripts = {
        f"/root/{name}.sh": HookScript(f"/root/{name}.sh", text) for name, text in texts.items()
    }
    return [*hookscript_findings(container(conf=f"hostname: a\n{line}\n"), None, scripts)]


@pytest.mark.parametrize(
    "command",
    [
        "/bin/sh -c 'sed -i s/lxc-a/unconfined/ /etc/pve/lxc/910.conf'",
        'sh -c "echo lxc.apparmor.profile: unconfined >>/etc/pve/lxc/910.conf"',
        "/usr/bin/sed -i s/lxc-a/unconfined/ /etc/pve/lxc/910.conf",
        "/usr/bin/perl -pi -e s/lxc-a/unconfined/ /etc/pve/lxc/910.conf",
    ],
)
def test_a_command_in_a_hook_of_lxc_is_judged_itself(command):
    (one,) = hook(f"lxc.hook.pre-start: {command}")
    assert one.severity == Severity.WARNING
    assert "undoes confinement by its text" in one.message


@pytest.mark.parametrize(
    "command",
    [
        "/bin/bash /root/a.sh",
        "/bin/sh -e /root/a.sh 910",
        "sh -c '/root/a.sh x'",
        "bash -c 'true; exec /root/a.sh'",
        "/usr/bin/env FOO=1 bash /root/a.sh",
        "timeout 10 /root/a.sh",
        "python3 -u /root/a.sh",
        '"/bin/sh /root/a.sh"',
        "FOO=1 /root/a.sh",
    ],
)
def test_the_script_behind_an_interpreter_is_the_one_that_is_judged(command):
    (one,) = hook(f"lxc.hook.pre-start: {command}", a=UNDOES)
    assert one.severity == Severity.WARNING
    (one,) = hook(f"lxc.hook.pre-start: {command}")
    assert "nobody can tell what it does (not read)" in one.message


def test_a_command_that_writes_no_conf_is_told_as_such():
    (one,) = hook("lxc.hook.post-stop: /bin/sh -c 'echo stopped >>/var/log/x'")
    assert one.message.endswith("; its text names no conf")


@pytest.mark.parametrize("command", ["a.sh", "python3 a.py", "/bin/sh -c"])
def test_of_a_command_whose_script_is_anywhere_nobody_can_tell(command):
    (one,) = hook(f"lxc.hook.pre-start: {command}")
    assert one.severity == Severity.NOTE


def test_what_runs_nothing_on_the_node_is_none():
    assert hook("lxc.hook.version: 1") == []
    assert hook("lxc.hook.start: /root/a.sh", a=UNDOES) == []


@pytest.mark.parametrize("text", [f"#!/bin/sh\n{ASKS}\n", None])
def test_lxcs_own_hooks_are_told_as_such(text):
    path = "/usr/share/lxc/hooks/nvidia"
    observed = container(conf=f"hostname: a\nlxc.hook.mount: {path}\n")
    (one,) = hookscript_findings(observed, None, {path: HookScript(path, text)})
    assert one.severity == Severity.NOTE
    assert one.message.endswith("; it is one of LXC's own")


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
