"""What was denied: read from audit lines, laid at a container's door, grouped, explained."""

from dataclasses import replace
from pathlib import Path

import pytest

from phoenix.apparmor.denials import (
    Flood,
    ObservedDenials,
    Owner,
    denials_from_json,
    read_line,
)
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer
from phoenix.report.denial_groups import group_denials
from phoenix.report.denial_lines import denial_lines

SAMPLES = Path(__file__).parents[1] / "recordings/apparmor/audit-samples.txt"
NESTED = "lxc-docker-nested"
FILE = (
    'apparmor="DENIED" operation="open" class="file" profile="lxc-docker-nested" '
    'name="/srv/a" comm="dd" requested_mask="r" denied_mask="r" fsuid=100000 ouid=0'
)
GENERATED = FILE.replace(NESTED, "lxc-910_</var/lib/lxc>")
INSIDE = (
    'apparmor="DENIED" operation="change_profile" class="file" info="label not found" error=-2 '
    'namespace="root//lxc-910_<-var-lib-lxc>" profile="unconfined" name=":root:unconfined" '
    'comm="sh"'
)


def container(ctid, label=f"{NESTED} (enforce)", started=1000, conf=""):
    running = label is not None
    return ObservedContainer(
        ctid, PveConf(conf), running, 1 if running else None, label, None, "pve1", started
    )


def containers(*those):
    return {one.ctid: one for one in those}


def denial(line, count=1, last=2000.0):
    return replace(read_line(line), count=count, last=last)


def groups(*denials, here=None, **options):
    here = here or containers(container(910), container(952))
    return group_denials(ObservedDenials("audit.log", denials=denials), here, Options(**options))


def whose(line, here=None):
    return [group.ctids for group in groups(denial(line), here=here)]


def test_a_line_of_auditd_is_read_up_to_its_enriched_fields():
    line = (
        f"type=AVC msg=audit(1795305662.556:4769): {FILE}\x1dFSUID="
        '"unknown(100000)" OUID="root" comm="another"'
    )
    one = read_line(line)
    assert (one.last, one.complain, one["comm"], one["ouid"]) == (1795305662.556, False, "dd", "0")


def test_a_name_in_hex_is_decoded_and_other_values_are_not():
    one = read_line('apparmor="DENIED" name=2F6120C3A4 comm=FF requested_mask=AB fsuid=10')
    assert dict(one.fields) == {
        "name": "/a ä",
        "comm": "�",
        "requested_mask": "AB",
        "fsuid": "10",
    }


@pytest.mark.parametrize("word", ["STATUS", "audit", "denied", ""])
def test_what_is_no_refusal_is_skipped(word):
    assert read_line(FILE.replace("DENIED", word)) is None
    assert read_line("a line of somebody else") is None


def test_a_profile_of_one_container_tells_whose_line_it_is():
    assert whose(GENERATED) == [(910,)]
    assert whose(GENERATED.replace("lxc/lib>", "lxc/lib>//child")) == [(910,)]
    assert whose(INSIDE) == [(910,)]
    nested = INSIDE.replace("-lxc>", "-lxc>//docker")
    assert whose(nested) == [(910,)]


def test_a_profile_that_several_share_names_all_of_them():
    assert whose(FILE) == [(910, 952)]
    stacked = f"{NESTED}//&:lxc-952_<-var-lib-lxc>:unconfined (enforce)"
    here = containers(container(910, "unconfined"), container(952, stacked))
    assert whose(FILE, here) == [(952,)]


def test_lines_of_nobody_here_are_left_out():
    assert whose(FILE.replace(NESTED, "lxc-other")) == []
    assert whose(GENERATED.replace("910", "911")) == []


def test_what_lxc_start_was_refused_is_laid_at_the_door_of_the_container_that_it_starts():
    start = 'apparmor="DENIED" operation="change_profile" info="label not found" '
    start += 'profile="/usr/bin/lxc-start" name="{}" comm="lxc-start"'
    assert whose(start.format("lxc-gone//&:lxc-952_<-var-lib-lxc>:unconfined")) == [(952,)]
    here = containers(container(910), container(952, conf="lxc.apparmor.profile: lxc-gone\n"))
    assert whose(start.format("lxc-gone"), here) == [(952,)]


def test_equal_lines_are_one_group_with_their_number_and_the_last_time():
    layer = FILE.replace("/srv/a", f"/var/lib/docker/{'a1' * 32}/merged")
    other = layer.replace("a1", "b2")
    found = groups(denial(layer, 2, 3000.0), denial(other, 3, 2500.0), denial(FILE))
    assert [(g.denial.count, g.denial.last) for g in found] == [(5, 3000.0), (1, 2000.0)]
    assert found[0].denial.subject == "r /var/lib/docker/*/merged"


def test_only_what_came_after_the_present_start_counts_unless_a_time_is_given():
    here = containers(container(910, started=1000), container(953, "unconfined", 2500))
    early = denial(GENERATED, last=999.9)
    assert groups(early, here=here) == []
    assert len(groups(early, here=here, since="2h")) == 1
    # a stopped container has no present start
    here = containers(container(910, None, None))
    assert groups(denial(GENERATED), here=here) == []
    assert len(groups(denial(GENERATED), here=here, since="2h")) == 1


def test_only_keeps_to_the_containers_that_are_asked_for():
    assert groups(denial(GENERATED), only=952) == []
    assert [g.ctids for g in groups(denial(FILE), only=952)] == [(910, 952)]


def test_who_started_after_a_denial_is_not_blamed_for_it():
    here = containers(container(910, started=1000), container(952, started=2500))
    (group,) = groups(denial(FILE, last=2000.0), here=here)
    assert (group.ctids, group.others) == ((910,), True)
    assert group.whose == "CT 910 or one under that profile that has ended or started anew since"


def test_a_user_of_the_profile_that_has_stopped_since_may_have_been_it():
    conf = f"lxc.apparmor.profile: {NESTED}\n"
    here = containers(container(910), container(952, None, None, conf))
    (group,) = groups(denial(FILE), here=here)
    assert (group.ctids, group.others) == ((910,), True)
    # a line that names the container is about that one, whoever else there is
    (group,) = groups(denial(GENERATED), here=here)
    assert (group.ctids, group.others) == ((910,), False)


def test_a_denial_from_before_every_present_start_is_laid_at_nobodys_door():
    here = containers(container(910, started=3000), container(952, started=2500))
    assert groups(denial(FILE, last=2000.0), here=here) == []
    (group,) = groups(denial(FILE, last=2000.0), here=here, since="2h")
    assert (group.ctids, group.others) == ((), True)
    assert group.whose.startswith("one under that profile that has ended")
    assert groups(denial(FILE, last=2000.0), here=here, since="2h", only=910) == []


def test_a_namespace_that_only_begins_like_a_containers_is_not_its():
    odd = INSIDE.replace("-lxc>", "-lxc>x")
    assert whose(odd) == []


MOUNT = (
    'apparmor="DENIED" operation="mount" class="mount" info="failed flags match" error=-13 '
    'profile="lxc-a" name="/tmp/pp/" comm="busybox" fstype="proc" srcname="proc" flags="rw, silent"'
)


@pytest.mark.parametrize(
    ("line", "subject", "rule"),
    [
        (FILE, "r /srv/a", "/srv/a r,"),
        (FILE.replace('="r"', '="wc"'), "wc /srv/a", "/srv/a w,"),
        (FILE.replace('"/srv/a"', "2F7372762F612062"), "r /srv/a b", '"/srv/a b" r,'),
        # a profile's own `audit deny` may be the reason: no rule would help
        (FILE.replace("/srv/a", "/proc/kcore"), "r /proc/kcore", ""),
        (FILE.replace("/srv/a", "/proc/17/mem"), "r /proc/*/mem", ""),
        (FILE.replace("/srv/a", "/srv/[a]"), "r /srv/[a]", ""),
        (FILE.replace('="r"', '="x"'), "x /srv/a", ""),
        (MOUNT, "fstype=proc (rw, silent) proc -> /tmp/pp/", ""),
        (
            'apparmor="DENIED" operation="capable" class="cap" capability=16 capname="sys_module"',
            "sys_module",
            "",
        ),
        (
            'apparmor="DENIED" operation="create" class="net" family="vsock" sock_type="stream" '
            'requested_mask="create"',
            "vsock stream",
            "",
        ),
        (
            'apparmor="DENIED" operation="signal" class="signal" requested_mask="receive" '
            'signal=exists peer="lxc-attach"',
            "exists, peer lxc-attach",
            "",
        ),
        (
            'apparmor="DENIED" operation="userns_create" class="namespace" '
            'requested="userns_create"',
            "",
            "",
        ),
        (INSIDE, ":root:unconfined", ""),
    ],
)
def test_each_kind_is_told_in_few_words_and_with_a_rule_only_where_that_is_certain(
    line, subject, rule
):
    one = read_line(line)
    assert (one.subject, one.rule) == (subject, rule)


def test_a_path_that_could_not_be_resolved_gets_no_rule():
    one = read_line(FILE.replace("class=", 'info="Failed name lookup" error=-13 class='))
    assert one.rule == ""


@pytest.mark.parametrize(
    ("line", "step"),
    [
        (FILE, "if its software needs that: `/srv/a r,` in profiles.d/CTID.rules, which phoenix"),
        # it allows every file by itself
        (GENERATED, "an `audit deny` rule says so: look at lxc.apparmor.raw in its conf"),
        (
            MOUNT.replace("lxc-a", "lxc-910_</var/lib/lxc>").replace('"proc"', '"ext4"'),
            "if its software needs that: a rule for it in apparmor_raw of the fleet file",
        ),
        (
            MOUNT.replace("proc", "nfs4"),
            "if its software needs that: a rule for it in profiles.d/CTID.rules, which phoenix",
        ),
        (MOUNT, "the profile denies this on purpose: find out what in it tried that"),
        (INSIDE, "refused by the container's own policy"),
        (FILE.replace('"open"', '"change_profile"'), "something tried to leave its profile"),
        (
            'apparmor="DENIED" info="label not found" profile="/usr/bin/lxc-start"',
            "that profile is not loaded: phoenix host-prep",
        ),
        ('apparmor="DENIED" profile="/usr/bin/lxc-start"', "lxc-start may enter only"),
    ],
)
def test_each_kind_comes_with_what_to_do(line, step):
    assert read_line(line).next_step.startswith(step)


def test_the_answer_of_the_node_is_read_and_noise_is_skipped():
    told = [[3, 20.5, FILE], [1, 21, "noise"]]
    seen = denials_from_json({"source": "kernel log", "begins": 17.5, "left": 4, "denials": told})
    assert (seen.source, seen.begins, seen.left) == ("kernel log", 17.5, 4)
    (one,) = seen.denials
    assert (one.count, one.last, one["comm"]) == (3, 20.5, "dd")
    nothing = {"source": "", "begins": None, "left": 0, "denials": []}
    assert denials_from_json(nothing) == ObservedDenials()


def lines(*found, seen=None, **options):
    options = Options(**options)
    seen = seen or ObservedDenials("audit.log", denials=found)
    here = containers(container(910), container(952))
    return list(denial_lines("pve1", seen, group_denials(seen, here, options), options))


def test_the_audit_tells_what_was_denied_and_then_what_would_have_been():
    allowed = denial(FILE.replace("DENIED", "ALLOWED"), 2, 1795307262.0)
    assert lines(denial(INSIDE, last=1795307262.0), allowed) == [
        "pve1: denied since each container's start (audit.log):",
        "  CT 910: 1x change to profile :root:unconfined by sh under unconfined, last 2026-11-22 "
        "00:27:42Z: refused by the container's own policy (Docker's): look there, not here",
        "pve1: would have been denied since each container's start (audit.log):",
        "  one of CT 910, 952: 2x read /srv/a by dd under lxc-docker-nested, last 2026-11-22 "
        "00:27:42Z: if its software needs that: `/srv/a r,` in profiles.d/CTID.rules, which "
        "phoenix learn proposes",
    ]


def test_nothing_denied_is_said_with_how_far_that_can_be_trusted():
    assert lines() == ["pve1: nothing was denied since each container's start (audit.log)"]
    assert lines(seen=ObservedDenials("kernel log"), since="2h") == [
        "pve1: nothing was denied since the time given "
        "(kernel log, which misses some: apt install auditd)"
    ]
    assert lines(seen=ObservedDenials("audit.log", begins=0.0, left=7)) == [
        "pve1: nothing was denied since 1970-01-01 00:00:00Z, where the log begins (audit.log)",
        "pve1: 7 more lines of other kinds are left out: a later since shows more",
    ]
    assert lines(seen=ObservedDenials()) == []


def test_control_characters_of_a_name_do_not_reach_the_terminal():
    (_, line) = lines(denial(FILE.replace('"/srv/a"', "2F1B5B326A").replace('"dd"', "1B63")))
    assert line.isprintable()


def test_every_recorded_line_is_read_and_none_of_them_is_misunderstood():
    here = containers(
        container(910, "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"),
        container(952, "lxc-phoenix-v2 (enforce)", conf="lxc.apparmor.profile: lxc_docker_nested"),
        container(953, conf="lxc.apparmor.profile: lxc-docker-nested"),
    )
    text = SAMPLES.read_text(errors="surrogateescape")
    refused = [line for line in text.splitlines() if 'apparmor="' in line]
    refused = [line for line in refused if 'apparmor="STATUS"' not in line]
    assert len(refused) > 15
    for line in refused:
        one = read_line(line)
        assert one["operation"]
        assert one.subject or one["operation"] == "userns_create"
        assert len(whose(line, here)) == 1, line


def test_what_a_rule_logs_is_told_apart_and_is_no_denial():
    logged = FILE.replace("DENIED", "AUDIT").replace("/srv/a", "/etc/passwd")
    found = groups(denial(logged, count=3), denial(FILE))
    lines = [*denial_lines("pve1", ObservedDenials("audit.log"), found, Options())]
    assert lines[0].startswith("pve1: denied since")
    assert lines[2].startswith("pve1: logged on request since")
    assert "3x read /etc/passwd by dd" in lines[3]
    only = [*denial_lines("pve1", ObservedDenials("audit.log"), groups(denial(logged)), Options())]
    assert any("nothing was denied" in line for line in only)


@pytest.mark.parametrize(
    ("line", "granted"),
    [
        ('operation="userns_create" class="namespace"', "nested-userns"),
        ('operation="mount" name="/srv/there/" flags="rw, move"', "guest-mounts"),
        ('operation="mount" name="/srv/b/" srcname="/srv/a/" flags="rw, bind"', "guest-mounts"),
        ('operation="mount" name="/srv/b/" fstype="fuse.sshfs" srcname="h:"', "fuse-mounts"),
        ('operation="mount" name="/proc/sys/fs/binfmt_misc/" flags="rw, move"', "binfmt"),
        ('operation="mount" name="/srv/b/" fstype="overlay" srcname="o"', "guest-mounts"),
        # what no permission grants
        ('operation="mount" name="/proc/x/" fstype="fuse.sshfs" srcname="h:"', None),
        ('operation="mount" name="/projects/x/" flags="rw, move"', None),
        ('operation="mount" name="/proc/" flags="rw, move"', None),
        ('operation="mount" name="/srv/b/" srcname="/proc/" flags="rw, bind"', None),
        ('operation="mount" name="/srv/b/" fstype="proc" srcname="proc" flags="rw"', None),
        ('operation="capable" capname="sys_module"', None),
    ],
)
def test_the_permission_that_grants_it_is_named(line, granted):
    one = denial(f'apparmor="DENIED" {line} profile="{NESTED}" comm="x"')
    assert one.rule == ""
    assert (f'"apparmor_allows": ["{granted}"]' in one.next_step) == (granted is not None)
    assert granted or "apparmor_allows" not in one.next_step
    generated = denial(f'apparmor="DENIED" {line} profile="lxc-910_</var/lib/lxc>" comm="x"')
    assert "apparmor_allows" not in generated.next_step


def test_an_own_profile_names_its_container_also_when_that_has_gone_back():
    own = FILE.replace(NESTED, f"{NESTED}-910-ns")
    here = containers(container(910, label="unconfined", started=1000), container(952))
    assert whose(own, here) == [(910,)]
    assert whose(FILE.replace(NESTED, "lxc-x-999"), here) == []


BUS = (
    "audit: type=1107 audit(2000.000:157): pid=829 uid=101 auid=4294967295 ses=4294967295 "
    'subj=unconfined msg=\'apparmor="DENIED" operation="dbus_method_call"  bus="system" '
    'path="/org/freedesktop/systemd1" interface="org.freedesktop.systemd1.Manager" '
    'member="StartUnit" mask="send" name="org.freedesktop.systemd1" pid=4711 '
    'label="lxc-docker-nested" peer_pid=1 peer_label="unconfined"'
)


def test_a_message_that_the_nodes_bus_refused_is_laid_at_a_containers_door_and_explained():
    assert whose(BUS) == [(910, 952)]
    stack = "lxc-docker-nested//&:lxc-952_<-var-lib-lxc>:unconfined"
    assert whose(BUS.replace(NESTED, stack)) == [(952,)]
    assert whose(BUS.replace(NESTED, "lxc-910_</var/lib/lxc>")) == [(910,)]
    assert whose(BUS.replace(NESTED, "snap.firefox.firefox")) == []
    one = read_line(BUS)
    assert (one.last, one.complain, one.logged, one.rule) == (2000.0, False, False, "")
    assert one.subject == "send org.freedesktop.systemd1.Manager.StartUnit on the system bus"
    assert "message bus" in one.next_step
    generated = read_line(BUS.replace(NESTED, "lxc-910_</var/lib/lxc>"))
    assert generated.next_step == one.next_step


def test_messages_to_one_peer_are_one_group_whatever_its_connection_is_called():
    lines = [BUS.replace('name="org.freedesktop.systemd1"', f'name=":1.{n}"') for n in (7, 42)]
    (group,) = groups(*(denial(line) for line in lines))
    assert group.denial.count == 2
    assert (
        "dbus_method_call send"
        in list(denial_lines("pve1", ObservedDenials("audit.log"), [group], Options()))[1]
    )


def test_what_a_profile_killed_for_was_refused():
    one = read_line(FILE.replace("DENIED", "KILLED"))
    assert (one.complain, one.logged, one.rule) == (False, False, "/srv/a r,")


def test_a_process_that_lives_still_tells_whose_line_it_is():
    mine = replace(denial(FILE), owner=Owner(952, "ab" * 32, "web"))
    (group,) = groups(mine)
    assert (group.ctids, group.others) == ((952,), False)


def test_of_several_equal_lines_only_the_last_ones_process_is_known():
    several = replace(denial(FILE, count=3), owner=Owner(952))
    (group,) = groups(several)
    assert group.ctids == (910, 952)
    assert group.whose == "one of CT 910, 952 (the last time 952)"
    alone = containers(container(952), container(953, "unconfined"))
    assert [group.whose for group in groups(several, here=alone)] == ["CT 952"]


def test_what_the_line_names_comes_before_whose_process_it_was():
    forged = replace(denial(GENERATED), owner=Owner(952))
    assert [group.ctids for group in groups(forged)] == [(910,)]


def test_an_owner_that_is_none_of_the_nodes_containers_counts_for_nothing():
    assert [one.ctids for one in groups(replace(denial(FILE), owner=Owner(999)))] == [(910, 952)]


def test_many_that_share_a_profile_are_not_all_named():
    here = containers(*(container(ctid) for ctid in range(900, 950)))
    (group,) = groups(denial(FILE), here=here)
    assert group.whose == "one of CT 900, 901, 902, 903, 904, 905, 906, 907, others"


def test_a_container_is_called_by_its_name_and_its_advice_by_its_ctid():
    here = containers(container(910, conf="hostname: portainer\n"))
    (group,) = groups(denial(FILE), here=here)
    assert (group.whose, group.who) == ("CT 910", "CT 910 portainer")
    assert "`/srv/a r,` in profiles.d/910.rules" in group.next_step


def test_equal_lines_that_are_put_together_keep_when_they_were():
    layer = FILE.replace("/srv/a", f"/var/lib/docker/{'a1' * 32}/merged")
    one = replace(denial(layer, 2, 3000.0), first=2900.0, spread=((4, 1), (5, 1)))
    other = denial(layer.replace("a1", "b2"), 3, 2500.0)
    other = replace(other, first=2400.0, spread=((1, 2), (4, 1)))
    (group,) = groups(one, other)
    assert (group.denial.first, group.denial.last) == (2400.0, 3000.0)
    assert group.denial.spread == ((1, 2), (4, 2), (5, 1))


def test_the_docker_container_is_in_the_line():
    one = replace(denial(FILE, last=1795307262.0), owner=Owner(952, "ab" * 32, "web"))
    line = lines(one)[1]
    assert line.startswith("  CT 952: 1x read /srv/a by dd in container web under lxc-docker-")


def test_a_flood_is_told_as_one_and_its_lines_are_not_told_twice():
    flood = Flood(NESTED, 990, 1795307262.0, 1795307300.0)
    seen = ObservedDenials("audit.log", left=1000, floods=(flood,))
    assert lines(seen=seen) == [
        "pve1: from 2026-11-22 00:27:42Z to 2026-11-22 00:28:20Z: flood: lxc-docker-nested "
        "logged 990 more lines of too many kinds to tell apart: find out what under it tries so "
        "much",
        "pve1: 10 more lines of other kinds are left out: a later since shows more",
    ]
    assert len(lines(seen=replace(seen, left=990))) == 1


def test_what_the_log_lacks_is_told_in_the_nodes_words():
    seen = ObservedDenials("journal", missing="auditd has not run from 14:00 to 14:10")
    assert lines(seen=seen) == [
        "pve1: nothing was denied since each container's start (journal, auditd has not run from "
        "14:00 to 14:10)"
    ]


def test_a_time_that_no_calendar_has_is_no_traceback():
    assert len(lines(denial(FILE, last=999999999999.0))) == 2


def test_what_a_guest_calls_its_programs_cannot_go_on_with_our_sentence():
    forged = b"dd under x: rm -rf".hex().upper()
    line = lines(denial(FILE.replace('comm="dd"', f"comm={forged}")))[1]
    assert 'read /srv/a by "dd under x: rm -rf" under lxc-docker-nested, last' in line
