"""A first look at a node: what is said of it and of each container, and what to type next."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from node.observe import SECTIONS
from phoenix.apparmor.denials import ObservedDenials
from phoenix.docker.observed import Bind, Engine, ObservedDocker
from phoenix.fleet.model import Fleet
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.doctor import Readiness, fleet_text, look_at, look_without
from phoenix.plan.doctor_next import FLEET, Next, next_command
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code
from phoenix.plan.options import Options
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.plan.questions import asked_by_doctor
from phoenix.pve.backups import backups_from_json
from phoenix.pve.etc_pve import ObservedEtcPve
from phoenix.pve.login import ObservedLogin
from phoenix.pve.versions import ObservedVersions
from phoenix.report.doctor import doctor_data, doctor_json, doctor_lines, next_lines
from tests.unit.plan_cases import apparmor, container, node

FOLDER = Path(__file__).parents[2] / "templates"
TEMPLATES = {path.name: path.read_text() for path in (FOLDER / "apparmor").glob("*.j2")}
TEMPLATES[HOOK_TEMPLATE] = (FOLDER / "node" / HOOK_TEMPLATE).read_text()

ROOT = ObservedLogin(0, "root", (3, 13), "/usr/sbin/pct")
PLAIN = "hostname: web\nunprivileged: 1\nfeatures: nesting=1\n"
OPEN = f"{PLAIN}lxc.apparmor.profile: unconfined\n"
NAMED = f"{PLAIN}lxc.apparmor.profile: lxc-docker-nested\n"
GENERATED_LABEL = "lxc-910_</var/lib/lxc> (enforce)"
DOCKER = ObservedDocker("ok", "28.5.1", "overlay2", images=2)
NONE = ObservedDocker("none")
DOCKER_ENTRY = {
    "features": ["docker"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}


def facts(*containers, dockers=None, **changes):
    """`dockers`: without any, one that answers in each container that runs."""
    here = node(*(containers or (container(conf=OPEN),)))
    if dockers is None:
        dockers = {ctid: DOCKER for ctid, one in here.containers.items() if one.running}
    values = {"containers": here, "apparmor": apparmor(), "dockers": dockers, **changes}
    return NodeFacts(**values)


def look(*containers, fleet=None, options=None, login=ROOT, **changes):
    return look_at(
        login=login,
        facts=facts(*containers, **changes),
        options=options or Options(),
        templates=TEMPLATES,
        fleet=fleet,
    )


def only(*containers, **changes):
    """The one container of a node."""
    (one,) = look(*containers, **changes).containers
    return one


def check(seen, aspect):
    (one,) = [one for one in seen.checks if one.aspect == aspect]
    return one


# --- containers ------------------------------------------------------------------------------


def test_one_with_docker_is_held_against_our_profile_and_one_without_against_proxmoxs():
    seen = look(container(910, OPEN), container(953, OPEN), dockers={910: DOCKER, 953: NONE})
    assert [one.readiness for one in seen.containers] == [Readiness.READY] * 2
    assert seen.entries == {910: DOCKER_ENTRY, 953: {"apparmor_profile": "generated"}}
    first, second = (one.text for one in seen.containers)
    assert first == "profile: unconfined becomes lxc-docker-nested; restarts"
    assert second == "profile: unconfined becomes generated; restarts"


def test_the_entries_make_a_fleet_file_by_which_the_same_is_seen():
    seen = look()
    fleet = parse_fleet(fleet_text(seen.entries).encode(), ["lxc-docker-nested"])
    again = look(fleet=fleet, options=Options(fleet="f.json"))
    assert again.containers == seen.containers
    assert again.entries == {}


def test_the_storage_driver_of_an_empty_docker_stays_too():
    empty = ObservedDocker("ok", "28.5.1", "overlay2", manager="apt")
    assert "storage driver" not in only(dockers={910: empty}).text


def test_docker_with_nvidias_devices_gets_the_profile_for_them():
    conf = f"{OPEN}dev0: /dev/nvidia0\n"
    (entry,) = look(container(conf=conf)).entries.values()
    assert entry["apparmor_profile"] == "lxc-nesting-gpu-docker-storage"
    assert entry["features"] == ["docker", "nvidia"]


@pytest.mark.parametrize(
    ("observed", "docker", "readiness", "text"),
    [
        (container(conf=PLAIN, label=GENERATED_LABEL), NONE, "confined", "confined"),
        (container(conf=PLAIN, label=None), None, "confined", "stopped, its conf says generated"),
        (
            container(conf=PLAIN.replace("hostname", "template: 1\nhostname"), label=None),
            None,
            "template",
            "template",
        ),
        (
            container(conf=OPEN.replace("hostname", "template: 1\nhostname"), label=None),
            None,
            "template",
            "its conf says unconfined, and so will those of its clones",
        ),
        (
            container(conf=PLAIN + "lxc.apparmor.profile: lxc-mine\n", label="lxc-mine (enforce)"),
            DOCKER,
            "confined",
            "confined",
        ),
        (
            container(conf=PLAIN + "lxc.apparmor.profile: lxc-mine\n"),
            DOCKER,
            "unknown",
            "runs as unconfined, its conf says lxc-mine: a restart makes that true",
        ),
        (
            container(conf=f"{PLAIN}lxc.apparmor.profile: lxc-a\n", label="lxc-a (complain)"),
            DOCKER,
            "unknown",
            "runs as lxc-a (complain): in mode complain its profile confines nothing",
        ),
        (container(conf=OPEN, label=None), None, "unknown", "stopped, its conf says unconfined"),
        (container(conf=OPEN), ObservedDocker("hung"), "unknown", "see with pct console 910"),
        (container(conf=OPEN), None, "unknown", "its guest was not asked"),
        (container(conf=f"lock: backup\n{OPEN}"), DOCKER, "blocked", "left alone: locked (backup)"),
        (container(conf=OPEN, ha="started"), DOCKER, "blocked", "left alone: managed by HA"),
        (
            container(conf=f"{OPEN}[pve:pending]\nmemory: 512\n"),
            DOCKER,
            "blocked",
            "a restart would apply these pending changes",
        ),
        (
            container(conf=OPEN),
            ObservedDocker("ok", "28.5.1", "btrfs", images=1),
            "blocked",
            "storage driver is btrfs, which lxc-docker-nested has no rules for",
        ),
        (
            container(conf=OPEN),
            replace(DOCKER, fstab=(("nfs", "/srv/data"),), mount=(2, 41)),
            "blocked",
            '"apparmor_allows": ["guest-mounts"]',
        ),
        (
            container(conf=OPEN),
            replace(DOCKER, binds=(Bind("db", "/proc/sys", "/x"),)),
            "blocked",
            "container db binds /proc/sys at /x",
        ),
        (
            container(conf=OPEN),
            replace(DOCKER, architecture="riscv64"),
            "blocked",
            "its Docker runs on riscv64",
        ),
        (container(conf=OPEN), ObservedDocker("noshell"), "ready", "becomes generated"),
        (
            container(conf=OPEN),
            ObservedDocker("elsewhere", engines=(Engine("podman", 0, "/usr/bin/podman"),)),
            "ready",
            "becomes generated",
        ),
        (
            container(conf=OPEN.replace("unprivileged: 1\n", "")),
            DOCKER,
            "ready",
            "privileged: root in it is root of the node",
        ),
    ],
)
def test_each_is_ready_or_not_and_it_is_said_why(observed, docker, readiness, text):
    one = only(observed, dockers={910: docker} if docker else {})
    assert (str(one.readiness), text in one.text) == (readiness, True), one.text


def test_one_that_harden_has_proven_is_confined_by_its_own_profile():
    seen = look(container(conf=NAMED, label="lxc-docker-nested (enforce)"))
    assert [(one.readiness, one.is_open) for one in seen.containers] == [
        (Readiness.CONFINED, False)
    ]
    assert seen.entries == {}


def test_docker_under_proxmoxs_profile_is_not_open_and_may_have_ours():
    one = only(container(conf=PLAIN, label=GENERATED_LABEL))
    assert (one.readiness, one.is_open) == (Readiness.READY, False)
    assert "generated becomes lxc-docker-nested" in one.text


def test_what_is_to_be_known_beside_is_told_of_those_that_are_not_confined():
    hold = replace(DOCKER, runc="1.2.5")
    found = look(dockers={910: hold}).findings
    assert [one.code for one in found] == [Code.OLD_RUNC]


def test_where_the_node_takes_no_conf_nobody_is_ready():
    seen = look(etc_pve=ObservedEtcPve(quorate=False))
    assert [one.code for one in seen.stops] == [Code.PVE_READ_ONLY]
    assert seen.containers[0].readiness == Readiness.BLOCKED
    assert seen.containers[0].text.startswith("waits for what stands against the node: profile:")
    assert seen.broken == ()
    assert next_command([seen], Options()).code == Next.CLEAR


# --- the node itself -------------------------------------------------------------------------


def test_a_node_on_which_all_is_well_says_so_of_each_aspect():
    versions = ObservedVersions(
        "6.17.13-2-pve",
        "#1 SMP PMX 6.17.13-2 (2026-03-13T08:06Z)",
        {"pve-manager": "9.1.4", "lxc-pve": "6.0.5-2"},
    )
    backups = backups_from_json(
        {
            "now": "2026-11-22T02:00:00Z",
            "storages": {},
            "backups": [[910, "2026-11-21T02:00:00Z", "local"]],
            "problems": [],
        }
    )
    seen = look(versions=versions, backups=backups, denials=ObservedDenials("audit.log"))
    assert {one.state for one in seen.checks} == {"ok"}
    assert [str(one.aspect) for one in seen.checks] == [
        *("login", "python3", "proxmox", "kernel", "lxc", "apparmor", "denials", "backups")
    ]
    assert only(backups=backups).backup == "24 h"


@pytest.mark.parametrize(
    ("aspect", "changes", "state", "text"),
    [
        (
            "kernel",
            {"versions": ObservedVersions("6.17.4-1-pve")},
            "warning",
            "kernel 6.17.4-1-pve is older than the fixes",
        ),
        (
            "lxc",
            {"versions": ObservedVersions(packages={"lxc-pve": "6.0.5-1"})},
            "note",
            "lxc-pve 6.0.5-1: under the profile that it generates runc",
        ),
        (
            "lxc",
            {"versions": ObservedVersions(packages={"lxc": "1:5.0.2-1"})},
            "note",
            "nothing is",
        ),
        ("apparmor", {"apparmor": apparmor(parser=(3, 0, 8))}, "warning", "has CVE-2016-1585"),
        ("apparmor", {"apparmor": apparmor(enabled=False)}, "error", "is not enabled"),
        ("apparmor", {"apparmor": apparmor(mode="complain")}, "error", "only logs violations"),
        ("apparmor", {"apparmor": apparmor(parser=None)}, "error", "apparmor_parser is missing"),
        (
            "denials",
            {"denials": ObservedDenials("kernel log", missing="the kernel leaves out much")},
            "note",
            "no auditd: kernel log is read, the kernel leaves out much",
        ),
        (
            "denials",
            {"denials": ObservedDenials("audit.log", missing="3 lines of audit were lost")},
            "note",
            "3 lines of audit were lost",
        ),
        ("backups", {}, "warning", "none is known of CT 910"),
    ],
)
def test_what_is_not_well_with_a_node_is_told_with_its_weight(aspect, changes, state, text):
    # root in it may load policy, so that the kernel's holes matter
    one = check(look(container(conf=PLAIN, label=GENERATED_LABEL), **changes), aspect)
    assert (one.state, text in one.text) == (state, True), one.text


def test_without_apparmor_nothing_is_said_of_containers():
    seen = look(apparmor=apparmor(enabled=False))
    assert (seen.containers, seen.entries) == ((), {})
    assert [str(one.aspect) for one in seen.broken] == ["apparmor"]


def test_a_template_needs_no_backup():
    conf = f"template: 1\n{PLAIN}"
    seen = look(container(conf=conf, label=None))
    assert "backups" not in [str(one.aspect) for one in seen.checks]


@pytest.mark.parametrize(
    ("login", "text"),
    [
        (ObservedLogin(), "its shell does not say who logs in"),
        (replace(ROOT, uid=1000, user="joe"), "joe is not root"),
        # whose PATH has no sbin, so that nothing is said of pct
        (replace(ROOT, uid=1000, user="joe", pct=""), "joe is not root"),
        (replace(ROOT, python=None), "python3 is missing"),
        (replace(ROOT, python=(3, 7)), "3.7 is older than 3.9"),
        (replace(ROOT, pct=""), "pct is missing"),
    ],
)
def test_a_node_that_cannot_be_asked_says_what_it_lacks(login, text):
    seen = look_without("pve1", login)
    (one,) = seen.broken
    assert one.text == text
    assert one.fix
    assert look_without("pve1", ROOT) is None


def test_what_is_asked_is_what_the_nodes_program_can_be_asked():
    asked = asked_by_doctor(Fleet({}), Options())
    for section, arguments in asked.items():
        module, function = SECTIONS[section]
        signature(getattr(import_module(f"node.{module}"), function)).bind(**arguments)
    assert asked["apparmor"] == {"files": ["lxc-docker-nested"]}


# --- what to type next -----------------------------------------------------------------------


def step(*looks, **options):
    return next_command(looks, Options(**options))


def test_a_node_that_is_broken_comes_before_all_others():
    broken = look_without("pve2", replace(ROOT, python=None))
    found = step(look(), broken)
    assert (found.code, found.node) == (Next.REPAIR, "pve2")
    assert "apt install python3" in found.why


def test_without_a_fleet_file_one_is_written_first_and_then_one_container_is_tried():
    found = step(look())
    assert (found.code, found.command.split()[-1]) == (Next.WRITE, f"write={FLEET}")
    found = step(look(), write="my fleet.json")
    assert found.command == "phoenix harden --dry --fleet 'my fleet.json' --only 910"


def test_the_next_command_names_the_nodes_as_the_last_one_did():
    found = next_command([look()], Options(write="f"), "root@pve1 root@pve2")
    assert found.command == "phoenix harden root@pve1 root@pve2 --dry --fleet f --only 910"
    found = next_command([look()], Options(), "--cluster root@pve1")
    assert found.command == f"phoenix doctor --cluster root@pve1 --data write={FLEET}"


def test_of_nodes_with_the_same_ids_one_is_looked_at_as_it_was_named():
    both = look(), replace(look(), node="pve2")
    found = next_command(both, Options(), "admin@pve1 admin@pve2")
    assert (found.code, found.command) == (Next.ONE_NODE, "phoenix doctor admin@pve1")
    found = next_command(both, Options(), "--cluster root@192.0.2.1")
    assert found.command == "phoenix doctor root@pve1"


def test_an_entry_would_be_about_one_of_the_same_id_that_is_not_ready_too():
    stopped = look(container(conf=OPEN, label=None))
    assert stopped.entries == {}
    found = step(look(), replace(stopped, node="pve2"))
    assert found.code == Next.ONE_NODE
    assert "CT 910 is on pve1 and pve2" in found.why


def test_what_is_denied_is_asked_of_the_same_nodes():
    seen = look(container(conf=PLAIN, label=GENERATED_LABEL), dockers={910: NONE})
    found = next_command([seen], Options(), "root@pve1 @local")
    assert found.command == "phoenix denials --node root@pve1 --node @local"
    found = next_command([seen], Options(), "--cluster root@pve1")
    assert found.command == "PHOENIX_CLUSTER=root@pve1 phoenix denials"


def test_another_look_is_one_by_the_same_fleet_file():
    found = step(look(container(conf=f"lock: backup\n{OPEN}")), fleet="my f")
    assert found.command == "phoenix doctor --fleet 'my f'"


def test_first_comes_what_is_open_and_has_a_backup():
    backups = backups_from_json(
        {
            "now": "2026-11-22T02:00:00Z",
            "storages": {},
            "backups": [[ctid, "2026-11-22T01:00:00Z", "local"] for ctid in (910, 912)],
            "problems": [],
        }
    )
    seen = look(
        container(910, PLAIN, GENERATED_LABEL),
        container(911, OPEN),
        container(912, OPEN),
        backups=backups,
    )
    assert [one.readiness for one in seen.containers] == [Readiness.READY] * 3
    assert step(seen, write="f").command.endswith("--only 912")


def test_what_is_stopped_is_started_where_it_is():
    found = step(look(container(conf=OPEN, label=None)))
    assert (found.code, found.command, found.node) == (Next.START, "pct start 910", "pve1")


def test_what_stands_against_all_is_told():
    found = step(look(container(conf=f"lock: backup\n{OPEN}")))
    assert found.code == Next.UNBLOCK
    assert "CT 910: left alone: locked (backup)" in found.why


def test_where_all_is_confined_there_is_still_something_to_see():
    seen = look(container(conf=PLAIN, label=GENERATED_LABEL), dockers={910: NONE})
    assert (step(seen).code, step(seen).command) == (Next.DONE, "phoenix denials")
    assert step(seen, fleet="f").command == "phoenix audit --fleet f"
    nothing = replace(seen, containers=())
    assert (step(nothing).code, step(nothing).command) == (Next.DONE, "")


# --- how it is told --------------------------------------------------------------------------


def test_lines_and_data_say_the_same_and_are_printable():
    conf = OPEN.replace("web", "w\x1b[2Jb")
    seen = look(container(conf=conf), dockers={910: replace(DOCKER, version="28\x1b]0;x\x07")})
    found = step(seen)
    text = "\n".join([*doctor_lines([seen]), *next_lines(found)])
    assert all(char.isprintable() or char == "\n" for char in text)
    data = doctor_data([seen], found, "", datetime(2026, 11, 22, tzinfo=UTC))
    assert json.loads(doctor_json(data)) == data
    (one,) = data["nodes"]
    (its,) = one["containers"]
    for words in (its["text"], its["docker"], its["name"], *(c["text"] for c in one["checks"])):
        assert words.isprintable()
        assert words in text
    assert one["entries"] == {"910": DOCKER_ENTRY}
    assert (data["next"]["code"], data["fleet"]) == ("write", "")


def test_a_broken_node_has_no_line_of_containers():
    lines = [*doctor_lines([look_without("pve1", ObservedLogin())])]
    assert lines[0] == "pve1: a first look, nothing was changed"
    assert len(lines) == 2
