"""Workarounds that people write into a conf: recognised, told, removed when asked to."""

import json

import pytest
from plan_cases import said

from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.audit import audit_node
from phoenix.plan.conf import plan_conf
from phoenix.plan.confinement import Confinement
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.plan.workarounds import MASK, workaround_findings, workarounds
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.storage import ObservedStorage
from phoenix.pve.versions import ObservedVersions

OTHERS_MASK = "lxc.mount.entry: /dev/null sys/module/apparmor/parameters/enabled none bind 0 0"
PLAIN = Confinement("lxc-a")
DEVICES = "lxc.cgroup2.devices.allow: a"
CONF = f"""\
hostname: n8n
unprivileged: 1
lxc.cap.drop:
{DEVICES}
{OTHERS_MASK}

[before]
{OTHERS_MASK}
"""


def found(text):
    return [one.raw.line.rstrip() for one in workarounds(PveConf(text))]


def test_those_of_the_main_section_are_found_in_its_order():
    assert found(CONF) == ["lxc.cap.drop:", DEVICES, OTHERS_MASK]


@pytest.mark.parametrize(
    "line",
    [
        "lxc.mount.entry = /dev/null sys/module/apparmor/parameters/enabled none bind",
        "lxc.mount.entry: /dev/null  /sys/module/apparmor/parameters/enabled none bind,ro 0 0",
        "lxc.mount.entry: /opt/n sys/module/apparmor/parameters/enabled none "
        "bind,create=file,optional 0 0",
        "lxc.mount.entry: tmpfs sys/module/apparmor tmpfs ro 0 0",
        "lxc.mount.entry: /dev/null "
        "/var/lib/lxc/910/rootfs/sys/module/apparmor/parameters/enabled none bind 0 0",
        "lxc.cgroup2.devices.allow: a *:* rwm",
        "lxc.cgroup2.devices.allow: c *:* rwm",
        "lxc.cgroup2.devices.allow: b *:* r",
        "lxc.cgroup.devices.allow: a",
        "lxc.cap.drop=",
        "lxc.mount.auto: proc:rw sys:rw",
        "lxc.mount.auto: cgroup:mixed sys:rw",
        "lxc.mount.auto = proc:rw:force",
        "lxc.mount.entry: /sys sys none rbind,rw 0 0",
        "lxc.mount.entry: /proc/sys/ proc/sys none bind 0 0",
        "lxc.seccomp.profile:",
        "lxc.apparmor.allow_incomplete: 1",
        "lxc.apparmor.allow_nesting = 1",
        "lxc.apparmor.raw: mount,",
        "lxc.apparmor.raw: mount options=(rw,bind),",
        "lxc.apparmor.raw: allow capability, ptrace,",
        "lxc.apparmor.raw: priority=10 file,",
        "lxc.apparmor.raw: /** rwmlkix,",
        "lxc.apparmor.raw: all,",
        "lxc.apparmor.raw = change_profile -> unconfined,",
        "lxc.apparmor.raw: change_profile -> lxc-**,",
        "lxc.apparmor.raw: include <abstractions/lxc/start-container>",
        "lxc.apparmor.raw: /opt/** ux,",
    ],
)
def test_they_are_known_in_other_spellings(line):
    assert len(found(f"{line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "lxc.mount.entry: /dev/fuse dev/fuse none bind,create=file 0 0",
        "lxc.mount.entry: /srv srv/sys/module/apparmorish none bind 0 0",
        "lxc.mount.entry: broken",
        "lxc.cap.drop: sys_rawio",
        "lxc.cgroup2.devices.allow: c 10:200 rwm",
        # as LXC's own common.conf has them
        "lxc.cgroup2.devices.allow: c *:* m",
        "lxc.cgroup2.devices.allow: b *:* m",
        "lxc.cgroup2.devices.deny: a",
        "lxc.mount.auto: proc:mixed sys:ro cgroup:rw:force",
        "lxc.mount.auto: sys:rwx",
        "lxc.mount.entry: /sys/fs/cgroup sys/fs/cgroup none bind 0 0",
        "lxc.seccomp.profile: /usr/share/lxc/config/common.seccomp",
        "lxc.apparmor.allow_incomplete: 0",
        "lxc.apparmor.allow_nesting: 0",
        "lxc.apparmor.raw: mount fstype=fuse,",
        "lxc.apparmor.raw: mount options=(rw,bind) /srv/** -> /mnt/**,",
        "lxc.apparmor.raw: deny mount,",
        "lxc.apparmor.raw: capability sys_nice,",
        "lxc.apparmor.raw: mount",
        "lxc.apparmor.raw:",
        "#lxc.cap.drop:",
    ],
)
def test_what_is_none_is_left_alone(line):
    assert found(f"{line}\n") == []


def test_what_each_opens_depends_on_who_root_in_it_is():
    told = {one.raw.key: one.opens for one in workarounds(PveConf(CONF))}
    privileged = PveConf(CONF.replace("unprivileged: 1\n", ""))
    worse = {one.raw.key: one.opens for one in workarounds(privileged)}
    assert told["lxc.cap.drop"] == "changes nothing in an unprivileged container"
    assert worse["lxc.cap.drop"] == "lets root in it keep every capability on the node"
    assert worse["lxc.cgroup2.devices.allow"].endswith("its disks included")
    assert told["lxc.mount.entry"] == worse["lxc.mount.entry"]


def plan(conf=CONF, managed=None, confinement=PLAIN, reconfine=True, **entry):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"954": entry}}).encode())
    observed = ObservedContainer(
        954, PveConf(conf), False, None, None, None, "pve1", managed=managed
    )
    return plan_conf(fleet.containers[954], confinement, observed, ObservedStorage(), reconfine)


def test_without_being_asked_nothing_of_others_is_taken_back():
    assert workarounds(plan(reconfine=False).after) == workarounds(PveConf(CONF))


def test_reconfine_takes_them_back_with_what_each_opened_and_nothing_of_a_snapshot():
    result = plan()
    main, _, snapshot = result.after.render().partition("\n[")
    assert main == "hostname: n8n\nunprivileged: 1\nlxc.apparmor.profile: lxc-a\n"
    assert snapshot == CONF.partition("\n[")[2]
    assert (
        "no lxc.cgroup2.devices.allow: a any more: it lets it use whatever device node gets into it"
        in said(result)
    )
    assert result.notes == ()


def test_what_the_fleet_file_asks_for_itself_stays_and_is_said():
    result = plan(lxc_options=["lxc.cgroup2.devices.allow=a"])
    assert [one.raw.line for one in workarounds(result.after)] == [DEVICES]
    assert result.notes == (f"{DEVICES} stays: the fleet file asks for it",)


def test_one_that_a_run_of_ours_brought_goes_with_the_file_without_being_asked():
    first = plan("unprivileged: 1\n", reconfine=False, lxc_options=["lxc.cgroup2.devices.allow=a"])
    assert DEVICES in first.after.render()
    second = plan(first.after.render(), first.managed.render(), reconfine=False)
    assert workarounds(second.after) == ()


OUT = "lxc.apparmor.raw: change_profile -> unconfined,"
RULES = ["lxc.apparmor.raw: mount,", "lxc.apparmor.allow_nesting: 1", OUT]


def findings(conf, managed=None, **entry):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"954": entry}}).encode())
    observed = ObservedContainer(
        954, PveConf(conf), False, None, None, None, "pve1", managed=managed
    )
    return [*workaround_findings(observed, fleet.containers[954])]


def test_rules_of_others_for_the_generated_profile_are_told_and_go_when_asked_to():
    conf = "\n".join(["unprivileged: 1", *RULES, ""])
    assert [(one.code, one.severity) for one in findings(conf)] == [
        (Code.RAW_RULE, Severity.NOTE),
        (Code.NESTING, Severity.NOTE),
        # with it the profile is no confinement
        (Code.RAW_RULE, Severity.WARNING),
    ]
    named = findings(f"{conf}lxc.apparmor.profile: lxc-a\n")
    assert {one.severity for one in named} == {Severity.NOTE}
    after = plan(conf, confinement=Confinement("generated")).after
    assert after.render() == "unprivileged: 1\n"


def test_rules_that_the_fleet_file_has_or_had_are_none_of_others_and_stay():
    entry = {"lxc_options": ["lxc.apparmor.raw=mount,"], "apparmor_raw": ["capability,"]}
    entry["apparmor_profile"] = "generated"
    its = plan("unprivileged: 1\n", confinement=Confinement("generated"), **entry)
    conf = its.after.render()
    assert found(conf) == ["lxc.apparmor.raw: mount,", "lxc.apparmor.raw: capability,"]
    assert findings(conf, **entry) == []
    assert findings(conf, its.managed.render()) == []
    assert plan(conf, its.managed.render(), Confinement("generated"), **entry).after == its.after
    nesting = "unprivileged: 1\nlxc.apparmor.allow_nesting: 1\n"
    managing = {"apparmor_manages_nesting": True, "apparmor_profile": "lxc-a"}
    assert findings(nesting, **managing) == []
    assert "allow_nesting: 1" in plan(nesting, **managing).after.render()


def test_a_file_that_a_conf_includes_is_told_and_stays():
    line = "lxc.include: /root/more.conf"
    (note,) = findings(f"unprivileged: 1\n{line}\n")
    assert (note.code, note.severity) == (Code.INCLUDE, Severity.NOTE)
    assert line in note.message
    assert note.fix.startswith("move what it needs")
    assert line in plan(f"unprivileged: 1\n{line}\n").after.render()
    (asked,) = findings(f"{line}\n", lxc_options=["lxc.include=/root/more.conf"])
    assert asked.fix.startswith("the fleet file asks for it")


SECURITYFS = "lxc.mount.entry: /sys/kernel/security sys/kernel/security none bind,optional 0 0"


@pytest.mark.parametrize(
    ("line", "seen"), [("ostype: ubuntu", "ostype: ubuntu"), (SECURITYFS, SECURITYFS)]
)
def test_docker_that_sees_apparmor_and_may_load_nothing_is_spared_the_sight(line, seen):
    first = plan(f"unprivileged: 1\n{line}\n", features=["docker"])
    assert f"{MASK.line}\n" in first.after.render()
    assert MASK in first.managed.raw
    assert any(f"({seen})" in note and "apparmor_stacking" in note for note in first.notes)
    again = plan(first.after.render(), first.managed.render(), features=["docker"])
    assert (again.after, again.managed, again.notes) == (first.after, first.managed, ())


def test_the_mask_of_others_stays_where_it_is_needed_and_is_said():
    conf = f"ostype: ubuntu\nunprivileged: 1\n{OTHERS_MASK}\n"
    result = plan(conf, features=["docker"])
    assert OTHERS_MASK in result.after.render()
    assert MASK.line not in result.after.render()
    assert any(note.startswith(f"{OTHERS_MASK} stays: ") for note in result.notes)


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "migrated"])
@pytest.mark.parametrize(
    "confinement", [Confinement("lxc-a", stacked=True), Confinement("generated")]
)
def test_a_docker_with_a_policy_namespace_needs_no_mask_and_ours_goes(confinement, noted):
    first = plan("ostype: ubuntu\n", features=["docker"])
    managed = first.managed.render() if noted else None
    second = plan(first.after.render(), managed, confinement, reconfine=False, features=["docker"])
    assert MASK.line not in second.after.render()
    assert MASK not in second.managed.raw


def test_the_securityfs_of_the_stacked_form_goes_with_it_and_needs_no_mask():
    first = plan(
        "unprivileged: 1\n", confinement=Confinement("lxc-a", stacked=True), features=["docker"]
    )
    assert SECURITYFS in first.after.render()
    second = plan(first.after.render(), first.managed.render(), features=["docker"])
    assert second.after.render() == "unprivileged: 1\nlxc.apparmor.profile: lxc-a\n"


def test_without_docker_nobody_needs_a_mask():
    assert MASK.line not in plan("ostype: ubuntu\n").after.render()


def test_our_own_mask_is_no_workaround_to_the_audit():
    first = plan("ostype: ubuntu\n", features=["docker"])
    conf = first.after.render()
    assert lines(conf, managed=first.managed.render(), features=["docker"]) == []
    # the note of what is ours stays behind when a container migrates
    assert lines(conf, features=["docker"]) == []
    assert lines(f"{OTHERS_MASK}\n", features=["docker"]) != []


def test_single_devices_stay_when_the_line_for_all_of_them_goes():
    # Proxmox's userns.conf.d allows an unprivileged container the common ones in any case
    result = plan(f"unprivileged: 1\n{DEVICES}\nlxc.cgroup2.devices.allow: c 10:200 rwm\n")
    assert result.notes == ()
    assert result.after.main.raw("lxc.cgroup2.devices.allow") == ("c 10:200 rwm",)


def lines(conf=CONF, managed=None, **entry):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"954": entry}}).encode())
    observed = ObservedContainer(
        954, PveConf(conf), False, None, None, None, "pve1", managed=managed
    )
    return [str(one) for one in workaround_findings(observed, fleet.containers[954])]


def test_the_audit_tells_each_and_how_it_goes():
    how = "phoenix harden --data reconfine=true takes it back"
    assert lines() == [
        f"CT 954 n8n: workaround lxc.cap.drop: changes nothing in an unprivileged container: {how}",
        f"CT 954 n8n: workaround {DEVICES} lets it use whatever device node gets into it: {how}",
        f"CT 954 n8n: workaround {OTHERS_MASK} hides AppArmor from Docker, which then confines "
        f"nothing inside: {how}",
    ]
    assert lines("hostname: a\n") == []


def test_a_container_that_is_not_in_the_fleet_file_has_them_told_and_how_they_go():
    observed = ObservedContainer(954, PveConf(CONF), False, None, None, None, "pve1")
    found = [*workaround_findings(observed, None)]
    assert [one.code for one in found] == [Code.CAPABILITIES, Code.DEVICES, Code.MASK]
    how = "phoenix harden --data reconfine=true takes it back"
    assert {one.fix for one in found} == {f"add the container to the fleet file: {how}"}


def test_whether_one_is_needed_still_is_told_with_it():
    observed = ObservedContainer(954, PveConf(f"{DEVICES}\n"), False, None, None, None, "pve1")
    (found,) = workaround_findings(observed, None, lambda code: f"{code} is not needed")
    assert found.message.endswith("; workaround.devices is not needed")


def test_a_writable_proc_and_sys_are_told_by_what_they_open():
    text = "lxc.mount.auto: proc:rw sys:rw\n"
    (raw,) = workarounds(PveConf(f"unprivileged: 1\n{text}"))
    assert raw.opens == "makes /proc/sys and /sys writable, as far as the kernel lets root in it"
    (raw,) = workarounds(PveConf(text))
    assert raw.opens == "lets root in it write the node's /proc/sys and /sys"


def test_of_one_that_the_fleet_file_asks_for_the_audit_says_so():
    (line,) = lines(f"{DEVICES}\n", lxc_options=["lxc.cgroup2.devices.allow=a"])
    assert line.endswith(": the fleet file asks for it; take it out of lxc_options there")


# --- the audit and reconfine of one mind ----------------------------------------------------------

UBUNTU = f"ostype: ubuntu\nunprivileged: 1\n{OTHERS_MASK}\n"


def audited(conf, lxc="6.0.5-3", profile="lxc-a", **entry):
    """What the audit finds of the mask, of a container with Docker in the fleet file."""
    configs = {"954": {"features": ["docker"], "apparmor_profile": profile, **entry}}
    observed = ObservedContainer(954, PveConf(conf), False, None, None, None, "pve1")
    audit = audit_node(
        fleet=parse_fleet(json.dumps({"lxc_configs": configs}).encode()),
        options=Options(),
        facts=NodeFacts(
            containers=ObservedPct("pve1", {954: observed}),
            versions=ObservedVersions(packages={"lxc-pve": lxc}),
        ),
        plan=NodePlan("pve1"),
    )
    (found,) = (one for one in audit.findings if one.code == Code.MASK)
    return found


def test_of_a_mask_that_reconfine_leaves_the_audit_says_that_it_is_needed():
    found = audited(UBUNTU)
    assert OTHERS_MASK in plan(UBUNTU, features=["docker"]).after.render()
    assert found.message.endswith(
        "needed as long as its Docker sees AppArmor's files (ostype: ubuntu)"
    )
    assert '"apparmor_stacking": true' in found.fix
    assert "reconfine" not in found.fix


def test_of_a_mask_that_reconfine_takes_the_audit_says_that_it_is_not_needed():
    stacked = Confinement("lxc-a", stacked=True)
    after = plan(UBUNTU, confinement=stacked, features=["docker"]).after
    assert OTHERS_MASK not in after.render()
    for found in (audited(UBUNTU, apparmor_stacking=True), audited(f"{OTHERS_MASK}\n")):
        assert "; not needed under lxc-a" in found.message
        assert found.fix == "phoenix harden --data reconfine=true takes it back"


def test_of_a_mask_that_an_old_lxc_needs_the_upgrade_is_told_and_not_reconfine():
    found = audited(UBUNTU, lxc="6.0.5-1", profile="generated")
    assert "needs it under Proxmox's generated profile until" in found.message
    assert found.fix == "upgrade lxc-pve on the node to 6.0.5-2 or newer: then it can go"
