"""What is older than a fix: kernel, LXC, runc, Docker; what is not known is no alarm."""

import pytest

from phoenix.docker.observed import ObservedDocker
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.versions import guest_findings, kernel_findings, parser_findings
from phoenix.pve.versions import Kernel, ObservedVersions, series
from phoenix.report.terminal import audit_lines, plan_lines
from tests.unit.plan_cases import DOCKER, TEMPLATES, apparmor, container, fleet, node, plan

PLAIN = "hostname: web\nunprivileged: 1\n"
NESTING = PLAIN + "features: nesting=1\n"
NAMED = NESTING + "lxc.apparmor.profile: lxc-docker-nested\n"
STACKED = "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined"
GENERATED = {"features": ["docker"], "apparmor_profile": "generated"}
OLD = "6.17.13-1"


def versions(kernel=OLD, built="2026-02-10T14:06Z", vendor="PMX", **packages):
    release = f"{kernel}-pve" if vendor == "PMX" else kernel
    packages = {name.replace("_", "-"): version for name, version in packages.items()}
    return ObservedVersions(release, f"#1 SMP {vendor} {kernel} ({built})", packages)


def on_kernel(seen, *containers, options=None, entry=GENERATED):
    """What is found of the node's kernel."""
    here = node(*(containers or (container(conf=NESTING, label=None),)))
    file = fleet(ct910=entry) if entry else fleet(ct999=GENERATED)
    facts = NodeFacts(containers=here, versions=seen)
    return [*kernel_findings(file, options or Options(), facts)]


def weight(seen):
    found = on_kernel(seen)
    return str(found[0].severity) if found else ""


def in_guest(docker, seen=None, conf=NESTING, entry=GENERATED, options=None):
    """What is found of a guest, as code and severity."""
    facts = NodeFacts(
        containers=node(container(conf=conf)),
        dockers={910: docker},
        versions=seen or ObservedVersions(),
    )
    file = fleet(ct910=entry) if entry else fleet(ct999=GENERATED)
    return [*guest_findings(file, options or Options(), facts, [910])]


def docker(runc="", version="", **more):
    return ObservedDocker("ok", version=version, driver="overlay2", runc=runc, **more)


def codes(*arguments, **more):
    return [(one.code, one.severity) for one in in_guest(*arguments, **more)]


# --- the node's kernel --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "vendor", "built", "expected"),
    [
        ("6.17.13-1", "PMX", "2026-02-10T14:06Z", "warning"),
        ("6.17.13-2", "PMX", "2026-03-13T08:06Z", ""),
        ("6.17.13-21", "PMX", "2026-07-28T08:06Z", ""),
        ("6.17.4-10", "PMX", "2026-05-01T08:06Z", "warning"),
        ("7.0.0-3", "PMX", "2026-04-21T22:56Z", "warning"),
        ("7.0.6-1", "PMX", "2026-05-21T22:56Z", "warning"),
        ("7.0.6-2", "PMX", "2026-05-21T22:56Z", ""),
        ("7.2.3-1", "PMX", "2026-11-01T22:56Z", ""),
        # nothing is known of the series: its day decides, as far as it can
        ("6.14.11-4", "PMX", "2025-10-10T08:04Z", "warning"),
        ("6.14.11-9", "PMX", "2026-04-10T08:04Z", "note"),
        ("5.15.108-1", "PVE", "2023-06-17T09:41Z", "warning"),
        ("6.12.74-2", "Debian", "2026-03-08", ""),
        ("6.12.74-2~bpo12+1", "Debian", "2026-03-09", ""),
        ("6.12.73-1", "Debian", "2026-02-17", "warning"),
        ("6.12.118-1", "Debian", "2026-11-02", ""),
        ("6.1.162-1", "Debian", "2026-02-08", "warning"),
        ("6.1.164-1", "Debian", "2026-03-09", ""),
        ("6.18.9-1~bpo13+1", "Debian", "2026-03-09", "warning"),
        ("6.16.12-1~bpo13+1", "Debian", "2026-03-09", "note"),
        ("7.2.12-1", "Debian", "2026-11-01", ""),
    ],
)
def test_a_kernel_is_held_against_the_fixes_of_its_series(kernel, vendor, built, expected):
    assert weight(versions(kernel, built, vendor)) == expected


def test_what_another_has_built_is_judged_by_its_series_or_not_at_all():
    build = "#1 SMP PREEMPT_DYNAMIC Fri Jan  2 10:00:00 UTC 2026"
    assert weight(ObservedVersions("6.12.60-mine", build)) == "note"
    assert weight(ObservedVersions("7.2.1-mine", build)) == ""
    assert weight(ObservedVersions("odd", "\x1b[2J")) == "note"
    # of a Debian kernel without its own word the revision is not known
    assert weight(ObservedVersions("6.12.74+deb13-amd64")) == "note"
    assert weight(ObservedVersions("6.17.13-1-pve")) == "warning"
    assert weight(ObservedVersions("6.17.13-2-pve")) == ""


def test_a_node_that_does_not_tell_its_kernel_has_no_finding():
    assert on_kernel(ObservedVersions()) == []


def test_only_where_a_containers_root_may_load_policy_does_it_count():
    asked = [
        (container(conf=NESTING, label=None), GENERATED),
        (container(conf=NESTING, label=None), None),
        (container(conf=PLAIN), {**GENERATED, "pct_options": ["nesting=1"]}),
        (container(conf=NAMED), {**DOCKER, "apparmor_stacking": True}),
        (container(conf=NAMED, label=f"{STACKED} (enforce)"), DOCKER),
        (container(conf=NAMED.replace("lxc-docker-nested", STACKED), label=None), DOCKER),
        # it does now, whatever it is going to be
        (container(conf=NESTING), DOCKER),
    ]
    for observed, entry in asked:
        (found,) = on_kernel(versions(), observed, entry=entry)
        assert (found.code, found.ctid) == (Code.OLD_KERNEL, None)
        assert "root in CT 910 may load policy" in found.message
    spared = [
        (container(conf=PLAIN), GENERATED),
        (container(conf=PLAIN), None),
        (container(conf=NAMED), DOCKER),
        (container(conf=NAMED), None),
        (container(conf=PLAIN + "lxc.apparmor.profile: unconfined\n"), None),
        (container(conf=NESTING + "template: 1\n", label=None), GENERATED),
        (container(conf=PLAIN + "features: nesting\n"), None),
    ]
    for observed, entry in spared:
        assert on_kernel(versions(), observed, entry=entry) == []


def test_many_containers_are_told_in_one_line():
    many = [container(200 + number, NESTING, None) for number in range(14)]
    (found,) = on_kernel(versions(), *many)
    assert "CT 200, 201, 202, 203, 204, 205, 206, 207, 208, 209 and 4 more may" in found.message


def test_a_newer_kernel_that_is_installed_needs_a_reboot_alone():
    seen = versions(
        **{
            "proxmox-kernel-6.17.13-1-pve-signed": "6.17.13-1",
            "proxmox-kernel-6.17.13-9-pve-signed": "6.17.13-9",
            "proxmox-kernel-6.17.13-10-pve-signed": "6.17.13-10",
            "proxmox-kernel-7.0.0-3-pve-signed": "7.0.0-3",
            "proxmox-kernel-6.17": "6.17.13-10",
            "linux-image-6.12.74+deb13-amd64-dbg": "6.12.74-2",
            # no kernel of Proxmox's
            "linux-image-7.2.12+deb14-amd64": "7.2.12-1",
        }
    )
    (found,) = on_kernel(seen)
    assert found.fix == "6.17.13-10 is installed and has them: reboot the node into it"
    (found,) = on_kernel(versions())
    assert found.fix == (
        "upgrade the node to a kernel that has them (6.17.13-2 or newer) and reboot it"
    )
    (found,) = on_kernel(versions("6.14.11-4", "2025-10-10T08:04Z"))
    assert "(of Proxmox VE, 6.17.13-2 or 7.0.6-2 or newer)" in found.fix


def test_debians_kernels_are_known_by_their_packages():
    seen = ObservedVersions(packages={"linux-image-6.12.74+deb13-amd64": "6.12.74-2"})
    assert seen.installed == (Kernel("Debian", "6.12.74-2"),)
    assert series("1:6.17") == (6, 17)
    assert (series(""), series("x6.17"), Kernel().series) == ((0, 0),) * 3


# --- runc ---------------------------------------------------------------------------------

WARNING = [(Code.OLD_RUNC, Severity.WARNING)]
NOTE = [(Code.OLD_RUNC, Severity.NOTE)]


@pytest.mark.parametrize(
    ("runc", "expected"),
    [
        ("1.2.5", WARNING),
        ("1.2.7", WARNING),
        ("1.2.8", []),
        ("1.3.0-rc.1", WARNING),
        ("1.3.2", WARNING),
        ("1.3.3", []),
        ("1.4.0-rc.2", WARNING),
        ("1.4.0-rc.2+dev", WARNING),
        ("1.4.0-rc.3", []),
        ("1.4.0", []),
        ("1.4.0-rc.10", []),
        ("1.5.1", []),
        ("2.0.0-rc.1", []),
        ("1.1.12", WARNING),
        ("1.0.0-rc95", WARNING),
        # what a distribution builds may be mended under its number
        ("1.1.15+ds1", NOTE),
        ("1.1.15+ds1-2+b4", NOTE),
        ("1.3.0-0ubuntu2~24.04.1", NOTE),
        ("1.3.3-0ubuntu1~24.04.2", []),
        ("1.3.6+ds1-1", []),
        ("1.4.0~rc3+ds1-1", []),
        ("1.4.0~rc2+ds1-1", NOTE),
        # says nothing
        ("", []),
        ("commit", []),
        ("unknown-1.2", []),
    ],
)
def test_runc_is_held_against_the_fixes_of_its_series(runc, expected):
    assert codes(docker(runc), conf=NAMED, entry=DOCKER) == expected


def test_the_runc_that_dockerd_uses_counts_before_the_one_that_a_shell_finds():
    assert codes(docker("1.2.5", runc_build="1.2.8")) == []
    assert codes(docker("1.2.8", runc_build="1.2.5")) == WARNING


def test_a_package_of_the_distribution_is_told_and_no_alarm():
    for state in ("ii", "hi"):
        assert codes(docker("1.1.12", packages={"runc": state})) == NOTE
    assert codes(docker("1.1.12", packages={"runc": "rc", "containerd.io": "ii"})) == WARNING


def test_of_debians_own_what_it_has_mended_is_left_out():
    (found,) = in_guest(docker("1.1.15+ds1", runc_build="1.1.15+ds1-2+deb13u1"))
    assert "for CVE-2025-52881;" in found.message
    (found,) = in_guest(docker("1.1.15+ds1", runc_build="1.1.15+ds1-2+b4"))
    assert "for CVE-2025-31133, CVE-2025-52565, CVE-2025-52881;" in found.message


# --- LXC and runc -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packages", "runc", "told"),
    [
        ({"lxc-pve": "6.0.5-1"}, "1.3.3", True),
        ({"lxc-pve": "6.0.5-1"}, "1.2.8", True),
        ({"lxc-pve": "6.0.5-1"}, "1.5.0", True),
        ({"lxc-pve": "6.0.0-1"}, "1.3.6+ds1-1", True),
        ({"lxc-pve": "6.0.5-2"}, "1.3.3", False),
        ({"lxc-pve": "6.0.5-10"}, "1.3.3", False),
        ({"lxc-pve": "7.0.0-1"}, "1.3.3", False),
        ({"lxc-pve": "6.0.5-1"}, "1.2.7", False),
        ({"lxc-pve": "6.0.5-1"}, "1.1.15", False),
        ({"lxc-pve": "6.0.5-1"}, "", False),
        ({"lxc": "1:6.0.4-4+deb13u3"}, "1.3.3", True),
        ({"lxc": "1:6.0.4-4+deb13u4"}, "1.3.3", False),
        ({"lxc": "1:6.0.5-1"}, "1.3.3", True),
        ({"lxc": "1:6.0.5-3~bpo13+1"}, "1.3.3", True),
        ({"lxc": "1:6.0.6-1~bpo13+1"}, "1.3.3", False),
        ({"lxc": "1:7.0.0-2"}, "1.3.3", False),
        ({"lxc": "1:5.0.2-1+deb12u3"}, "1.3.3", False),
        ({}, "1.3.3", False),
    ],
)
def test_a_new_runc_under_the_profile_of_an_old_lxc_is_told(packages, runc, told):
    found = codes(docker(runc), ObservedVersions(packages=packages))
    assert ((Code.OLD_LXC, Severity.WARNING) in found) == told


def test_only_under_the_generated_profile():
    old = ObservedVersions(packages={"lxc-pve": "6.0.5-1"})
    # as it shall be: the run brings it under that, or out of it
    assert codes(docker("1.3.3"), old, conf=NAMED) != []
    assert codes(docker("1.3.3"), old, entry=DOCKER) == []
    assert codes(docker("1.3.3"), old, options=Options(profile="lxc-docker-nested")) == []
    assert codes(docker("1.3.3"), old, entry=None) != []
    assert codes(docker("1.3.3"), old, conf=NAMED, entry=None) == []


def test_what_to_do_about_one_does_not_bring_the_other():
    old = ObservedVersions(packages={"lxc-pve": "6.0.5-1"})
    (found,) = in_guest(docker("1.2.5"), old)
    assert found.fix.startswith("upgrade lxc-pve 6.0.5-1 on the node, then upgrade it (containerd")
    (found,) = in_guest(docker("1.3.3"), old, conf=PLAIN)
    assert found.fix == (
        "upgrade that on the node to 6.0.5-2 or newer, and nesting=1 for it; or name a profile "
        "for it"
    )


# --- Docker -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "release", "told"),
    [
        ("29.4.3", "6.17.0-1-pve", True),
        ("29.5.0-rc.1", "7.0.6-2-pve", True),
        ("28.5.2+dfsg4", "7.2.12+deb14-amd64", True),
        ("9.0.0", "6.17.0-1-pve", True),
        ("29.5.0", "6.17.0-1-pve", False),
        ("29.10.0", "6.17.0-1-pve", False),
        ("5:29.5.0", "6.17.0-1-pve", False),
        ("28.5.2", "6.14.11-4-pve", False),
        ("28.5.2", "6.8.12-20-pve", False),
        ("28.5.2", "", False),
        ("", "6.17.0-1-pve", False),
    ],
)
def test_an_old_docker_on_a_kernel_that_mediates_unix_sockets_is_told(version, release, told):
    expected = [(Code.OLD_DOCKER, Severity.NOTE)] if told else []
    assert codes(docker(version=version), ObservedVersions(release)) == expected


def test_only_where_docker_confines_its_containers_itself():
    seen, old = ObservedVersions("6.17.0-1-pve"), docker(version="28.5.2")
    stacked = {**DOCKER, "apparmor_stacking": True}
    assert codes(old, seen, conf=NAMED, entry=stacked) != []
    assert codes(old, seen, conf=NAMED, entry=DOCKER) == []
    assert codes(old, seen, conf=PLAIN) == []
    # what nobody plans is as it says
    assert codes(old, seen, conf=NAMED, entry=None) == []
    uses = docker(version="28.5.2", apparmor=True)
    assert codes(uses, seen, conf=NAMED, entry=None) != []
    assert codes(uses, seen, conf=NAMED, entry=DOCKER) == []


# --- where it is said ---------------------------------------------------------------------


def everything():
    """A node with all of it, and its plan."""
    named = container(952, NAMED.replace("web", "other"))
    here = node(container(conf=NESTING), named, container(953, NESTING))
    facts = NodeFacts(
        containers=here,
        apparmor=apparmor(),
        dockers={
            910: docker("1.3.3", "28.5.2"),
            952: docker("1.2.5", "28.5.2"),
            953: docker("1.1.15+ds1", "26.1.5"),
        },
        versions=versions(lxc_pve="6.0.5-1"),
    )
    file = fleet(ct910={**GENERATED, "storage_driver": "keep"}, ct952=DOCKER)
    options = Options()
    made = plan_node(fleet=file, options=options, facts=facts, templates=TEMPLATES)
    return file, options, facts, made


def test_the_plan_tells_and_is_not_stopped():
    made = everything()[3]
    assert made.problems == ()
    lines = [line for line in plan_lines(made) if "older than" in line or "cannot start" in line]
    assert [line.partition(": ")[2][:24] for line in lines] == [
        *("kernel 6.17.13-1-pve is ", "CT 910 web: runc 1.3.3 c", "CT 952 other: runc 1.2.5")
    ]


def test_the_audit_tells_of_every_guest_once_and_what_is_known_needs_attention():
    file, options, facts, made = everything()
    audit = audit_node(
        fleet=file,
        options=options,
        facts=NodeFacts(
            containers=facts.containers, dockers=facts.dockers, versions=facts.versions
        ),
        plan=made,
    )
    found = [(one.code, one.ctid) for one in audit.findings if one.code.startswith("version.")]
    assert sorted(found, key=str) == [
        *((Code.OLD_DOCKER, 910), (Code.OLD_DOCKER, 953)),
        *((Code.OLD_KERNEL, None), (Code.OLD_LXC, 910), (Code.OLD_RUNC, 952)),
        (Code.OLD_RUNC, 953),
    ]
    assert audit.needs_attention
    assert not audit.ok
    lines = [*audit_lines([audit])]
    assert sum("kernel 6.17.13-1-pve is older" in line for line in lines) == 1
    assert sum("runc 1.2.5 is older" in line for line in lines) == 1
    assert sum("CT 953 web: runc 1.1.15+ds1 is older" in line for line in lines) == 1
    assert sum("CT 910 web: Docker 28.5.2 has no abi" in line for line in lines) == 1


def test_what_is_beside_its_confinement_is_told_so():
    here = node(container(conf=NAMED, label="lxc-docker-nested (enforce)"))
    facts = NodeFacts(containers=here, dockers={910: docker("1.2.5", "26.1.5")})
    file = fleet(ct910=DOCKER)
    (found,) = guest_findings(file, Options(), facts, [910])
    made = plan_node(fleet=file, options=Options(), facts=facts, templates=TEMPLATES)
    quiet = type(made)("pve1", findings=(found,))
    audit = audit_node(
        fleet=file,
        options=Options(),
        facts=NodeFacts(containers=here, dockers=facts.dockers),
        plan=quiet,
    )
    assert audit.containers[0].verdict.startswith("confined, but runc 1.2.5 is older")


@pytest.mark.parametrize(
    ("parser", "warns"),
    [
        *(((2, 12, 9), True), ((2, 13, 7), True), ((2, 13, 8), False), ((3, 0), True)),
        *(((3, 0, 8), True), ((3, 0, 10), False), ((3, 1, 3), True), ((3, 1, 7), False)),
        *(((4, 0, 1), False), ((4, 1, 0), False), (None, False)),
    ],
)
def test_a_parser_that_makes_more_of_rules_for_mounts_is_a_warning(parser, warns):
    facts = NodeFacts(containers=node(), apparmor=apparmor(parser=parser))
    found = [*parser_findings(facts)]
    assert [(one.code, one.severity) for one in found] == (
        [(Code.OLD_PARSER, Severity.WARNING)] if warns else []
    )


def test_a_run_on_a_node_with_such_a_parser_is_not_stopped_by_it():
    found = plan(host=apparmor(parser=(3, 0, 8))).findings
    assert [one.severity for one in found if one.code == Code.OLD_PARSER] == [Severity.WARNING]
    assert not [one for one in found if one.severity == Severity.ERROR]
