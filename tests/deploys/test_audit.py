"""deploys/audit.py on nodes with scripted answers."""

import json
from dataclasses import replace

import pytest
from fake_node import CONF, FakeNode, docker, installed

from phoenix.apparmor.observed import MARKER
from phoenix.plan.findings import Code

PROFILE = "lxc-docker-nested"
FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}


def pve(conf=CONF, **changes):
    return FakeNode("pve1", {910: conf.format(name="portainer")}, **changes)


def row(done):
    return next(line for line in done.stderr.splitlines() if line.startswith("910 "))


def test_an_unconfined_container_is_named_with_what_to_do(pyinfra):
    done = pyinfra("audit", pve(dockers=docker(910)), fleet=FLEET)
    assert done.code == 0
    assert "unconfined  26.1.5 overlay2  !!  drift: profile: unconfined becomes" in row(done)
    assert "drift is put right by phoenix harden" in done.stderr


def test_a_confined_container_is_ok_and_strict_agrees(pyinfra):
    node = pve(
        CONF.replace("unconfined", "lxc-docker-nested"),
        label="lxc-docker-nested (enforce)",
        apparmor=installed(),
        dockers=docker(910),
    )
    done = pyinfra("audit", node, fleet=FLEET, strict="true")
    assert done.code == 0, done.stderr
    assert "ok  confined" in row(done)


def test_a_container_that_learns_is_a_finding_with_the_way_out(pyinfra):
    node = pve(
        CONF.replace("unconfined", "lxc-docker-nested-complain"),
        label="lxc-docker-nested-complain (complain)",
        dockers=docker(910),
    )
    learning = {"910": {**FLEET["910"], "mode": "complain"}}
    for fleet in (FLEET, learning):
        done = pyinfra("audit", node, fleet=fleet, strict="true")
        assert done.code == 1
        assert "!!  learning: complain mode only logs violations" in row(done)


@pytest.mark.parametrize("flags", [("-y",), ("--dry",), ("-y", "--json")])
def test_strict_exits_1_on_any_finding(pyinfra, flags):
    done = pyinfra("audit", pve(), fleet=FLEET, flags=flags, strict="true")
    assert done.code == 1


def test_several_nodes_make_one_table(pyinfra):
    other = FakeNode("pve2", {952: CONF.format(name="qdrant")})
    done = pyinfra("audit", pve(), other, fleet=FLEET)
    assert done.stderr.count("VERDICT") == 1
    assert "2 containers, 2 need attention" in done.stderr


def test_what_would_stop_a_hardening_run_is_shown_and_does_not_stop_the_audit(pyinfra):
    fleet = {"910": {"features": ["docker"], "apparmor_profile": "lxc-nobody-wrote-it"}}
    done = pyinfra("audit", pve("lock: backup\n" + CONF), fleet=fleet, only=910)
    assert done.code == 0, done.stderr
    assert "pve1: apparmor_profile lxc-nobody-wrote-it: no template" in done.stderr
    assert "pve1: CT 910 portainer: left alone: locked (backup)" in done.stderr
    assert "runs as unconfined, not lxc-nobody-wrote-it (enforce)" in row(done)


def test_what_is_older_than_a_fix_fails_a_strict_audit_and_stops_no_run(pyinfra):
    fleet = {"910": {"features": ["docker"]}}
    node = pve(
        dockers=docker(910, RuncCommit={"ID": "v1.2.5-0-g59923ef"}),
        versions={
            "release": "6.17.4-1-pve",
            "packages": {
                "lxc-pve": "6.0.5-1",
                "proxmox-kernel-6.17.13-2-pve-signed": "6.17.13-2",
            },
        },
    )
    audit = pyinfra("audit", node, fleet=fleet, strict="true")
    assert audit.code == 1
    assert "runc 1.2.5 is older than the fixes for CVE-2025-31133" in row(audit)
    harden = pyinfra("harden", node, fleet=fleet)
    assert (harden.code, harden.commands) == (0, ["910"])
    for done in (audit, harden):
        (kernel,) = [line for line in done.stderr.splitlines() if "6.17.4-1-pve" in line]
        assert kernel.startswith("pve1: kernel 6.17.4-1-pve is older than the fixes")
        assert kernel.endswith("6.17.13-2 is installed and has them: reboot the node into it")
    assert "pve1: CT 910 portainer: runc 1.2.5 is older" in harden.stderr


DENIED = (
    3,
    1795308400.5,
    'apparmor="DENIED" operation="create" class="net" '
    'profile="lxc-docker-nested" comm="perl" family="vsock" sock_type="stream"',
)


def test_what_was_denied_is_shown_below_the_table_and_is_no_finding(pyinfra):
    node = pve(
        CONF.replace("unconfined", "lxc-docker-nested"),
        label="lxc-docker-nested (enforce)",
        apparmor=installed(),
        dockers=docker(910),
        denials=[DENIED],
    )
    done = pyinfra("audit", node, fleet=FLEET, strict="true")
    assert done.code == 0, done.stderr
    below = done.stderr.partition("1 container, 0 need attention")[2]
    assert "pve1: denied since each container's start (audit.log):" in below
    assert (
        "  CT 910 portainer: 3x open a vsock stream socket by perl under lxc-docker-nested" in below
    )
    assert "the profile denies this on purpose: find out what in it tried that" in below


def test_what_fell_over_since_a_run_proved_it_is_shown_and_is_no_finding(pyinfra, tmp_path):
    thing = ["container", "web", "is restarting, it was running"]
    node = pve(
        CONF.replace("unconfined", "lxc-docker-nested"),
        label="lxc-docker-nested (enforce)",
        apparmor=installed(),
        dockers=docker(910),
        fallen={"910": {"run": "r1", "fallen": [thing], "more": 0, "why": ""}},
    )
    done = pyinfra("audit", node, fleet=FLEET, strict="true", report=tmp_path)
    assert done.code == 0, done.stderr
    line = "fell over since run r1 proved it: container web is restarting, it was running"
    assert f"pve1: CT 910 portainer: {line}: docker logs web" in done.stderr
    (node,) = json.loads((tmp_path / "audit.json").read_text())["nodes"]
    assert node["findings"][-1] == {
        "code": "fell-over",
        "severity": "note",
        "scope": "container",
        "ctid": 910,
        "message": line,
        "fix": "docker logs web",
    }
    page = (tmp_path / "audit.html").read_text()
    assert page.index(f"{line}</p>") < page.index("→ docker logs web")


def test_nothing_that_was_denied_is_said_with_the_time_that_was_given(pyinfra):
    done = pyinfra("audit", pve(), fleet=FLEET, since="2h")
    assert "pve1: nothing was denied since the time given (audit.log)" in done.stderr


def test_the_same_is_written_as_json_and_as_a_page(pyinfra, tmp_path):
    node = pve(
        f"lxc.cap.drop:\n{CONF}".replace("unconfined", "lxc-docker-nested"),
        label="lxc-docker-nested (enforce)",
        denials=[DENIED],
    )
    folder = tmp_path / "new/report"
    done = pyinfra("audit", node, fleet=FLEET, report=folder)
    assert done.code == 0, done.stderr
    assert "pve1: CT 910 portainer: workaround lxc.cap.drop: changes nothing" in done.stderr
    assert "phoenix harden --data reconfine=true takes it back" in done.stderr
    assert f"written: {folder}/audit.json\n" in done.stderr
    assert f"written: {folder}/audit.html\n" in done.stderr
    data = json.loads((folder / "audit.json").read_text())
    assert (data["containers"], data["need_attention"]) == (1, 0)
    assert data["nodes"][0]["denials"][0]["rule"] == ""
    page = (folder / "audit.html").read_text()
    assert "create vsock stream" in page
    assert "workaround lxc.cap.drop: changes nothing" in page


def test_a_report_that_cannot_be_written_is_one_line(pyinfra, tmp_path):
    (tmp_path / "file").touch()
    done = pyinfra("audit", pve(), fleet=FLEET, report=tmp_path / "file")
    assert done.code == 1
    assert f"cannot write --data report={tmp_path}/file/audit.json: File exists" in done.stderr


def test_an_audit_has_no_operation(pyinfra):
    done = pyinfra("audit", pve(), fleet=FLEET)
    assert "Starting operation" not in done.stderr


HOOKSCRIPT = "local:snippets/docker-unconfined.sh"
#: A node with one of each workaround, and a container that is confined all the same.
WORKED_AROUND = {
    "hookscripts": {
        HOOKSCRIPT: {
            "path": "/var/lib/vz/snippets/docker-unconfined.sh",
            "text": "sed -i '/lxc.apparmor/d' /etc/pve/lxc/$1.conf\n",
            "why": "",
        }
    },
    "overrides": {
        "kernel": {"/etc/default/grub": 'GRUB_CMDLINE_LINUX="apparmor=0"'},
        "lxc": {
            "/usr/share/lxc/config/common.conf.d/99-a.conf": [
                "lxc.apparmor.raw = mount,",
                "lxc.mount.auto = proc:rw sys:rw",
            ]
        },
        "base": "mount,\n",
        "changed": [
            "/etc/apparmor.d/abstractions/lxc/container-base",
            "/usr/share/lxc/config/debian.common.conf",
        ],
    },
    "dockers": docker(
        910,
        "hold containerd.io",
        "pin runc",
        "wrapper script /usr/local/bin/runc",
        "secopt /web apparmor=unconfined",
        "compose 4 apparmor /opt/stack/compose.yaml",
    ),
}
IN_THE_CONF = f"""\
hookscript: {HOOKSCRIPT}
lxc.hook.pre-start: /opt/pre.sh
lxc.mount.entry: /dev/null sys/module/apparmor/parameters/enabled none bind 0 0
lxc.cap.drop:
lxc.mount.auto: proc:rw sys:rw
lxc.cgroup2.devices.allow: a
lxc.seccomp.profile:
lxc.apparmor.allow_incomplete: 1
lxc.apparmor.allow_nesting: 1
lxc.apparmor.raw: change_profile -> unconfined,
lxc.include: /root/more.conf
mp0: /tank/media,mp=/media,idmap=passthrough
"""


@pytest.mark.parametrize("fleet", [FLEET, {}], ids=["in the fleet file", "not in it"])
def test_the_audit_of_a_node_with_one_of_each_workaround_lists_them_all_with_the_way_out(
    pyinfra, tmp_path, fleet
):
    conf = CONF.replace("unconfined", PROFILE) + IN_THE_CONF
    node = right(**WORKED_AROUND, confs={910: conf.format(name="portainer")})
    done = pyinfra("audit", node, fleet=fleet, strict="true", report=tmp_path)
    assert done.code == 1
    (seen,) = json.loads((tmp_path / "audit.json").read_text())["nodes"]
    found = [one for one in seen["findings"] if one["code"].startswith(("work", "over"))]
    assert sorted({one["code"] for one in found}) == sorted(
        {one for one in Code if one.startswith(("workaround.", "override."))}
    )
    assert len(found) == 22
    assert all(one["fix"] for one in found)
    # what opens the node or is sure to undo us needs attention, the rest is shown below
    loud = {one["code"] for one in found if one["severity"] == "warning"}
    assert loud == {"override.kernel", "override.lxc", "override.file", "workaround.hookscript"}
    for one in found:
        assert done.stderr.count(f"{one['message']}: {one['fix']}") == 1
    if fleet:
        needed = [one for one in found if one["code"].startswith("work")]
        said = [one for one in needed if f"not needed under {PROFILE}" in one["message"]]
        # what the other hook and the file do nobody can tell; ids are no matter of the profile
        assert len(needed) - len(said) == 3


def right(**changes):
    conf = CONF.replace("unconfined", PROFILE)
    values = {"label": f"{PROFILE} (enforce)", "apparmor": installed(), "dockers": docker(910)}
    return replace(pve(conf), **{**values, **changes})


WATCH = {"files": {"/var/lib/phoenix-harden/wanted": "old\n"}, "timer": True}


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        (
            {
                "apparmor": {
                    **installed(),
                    "files": {PROFILE: f"{MARKER}\nprofile x {{}}\n"},
                }
            },
            "drift.profile",
            f"pve1: profile {PROFILE}: changed",
        ),
        (
            {"apparmor": {**installed(), "files": {PROFILE: f"profile {PROFILE} {{ file, }}\n"}}},
            "profile.foreign",
            f"pve1: /etc/apparmor.d/{PROFILE} is there and not ours: move it away",
        ),
        (
            {"apparmor": {**installed(), "loaded": {PROFILE: "complain"}}},
            "drift.profile",
            f"pve1: profile {PROFILE}: loaded in complain mode",
        ),
        ({"watch": WATCH}, "drift.watch", "pve1: watch: installed"),
    ],
    ids=["replaced", "foreign", "complain", "watch"],
)
def test_whatever_harden_would_change_on_a_node_is_a_finding_of_a_strict_audit(
    pyinfra, tmp_path, changes, code, line
):
    done = pyinfra("audit", right(**changes), fleet=FLEET, strict="true", report=tmp_path)
    assert done.code == 1
    assert line in done.stderr
    # the container itself runs as it should
    assert "ok  confined" in row(done)
    (node,) = json.loads((tmp_path / "audit.json").read_text())["nodes"]
    assert [one["code"] for one in node["findings"] if one["severity"] != "note"] == [code]
    # harden says the same of the same node, or refuses it
    dry = pyinfra("harden", right(**changes), fleet=FLEET, flags=("--dry",))
    assert line in dry.stderr


OPEN = CONF.format(name="web")
ENTRY = {"apparmor_profile": "generated"}


@pytest.mark.parametrize(
    ("conf", "ha", "entry", "said"),
    [
        (
            f"lock: backup\n{OPEN}",
            {},
            ENTRY,
            "left alone: locked (backup); still to do: profile:",
        ),
        (OPEN, {970: "started"}, ENTRY, "left alone: managed by HA (started), its restart belongs"),
        (OPEN, {}, None, "not in "),
        (f"lock: backup\n{OPEN}", {970: "started"}, None, "not in "),
    ],
    ids=["locked", "HA", "not in the file", "neither"],
)
@pytest.mark.parametrize("only", [{}, {"only": "910,970"}], ids=["all", "only"])
def test_an_unconfined_stopped_container_is_never_ok(pyinfra, conf, ha, entry, said, only):
    node = right(stopped=(970,), ha=ha)
    node.confs = {**node.confs, 970: conf}
    fleet = {**FLEET, **({"970": entry} if entry else {})}
    done = pyinfra("audit", node, fleet=fleet, strict="true", **only)
    assert done.code == 1
    if entry or not only:
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("970 ")]
        assert f"!!  {said}" in line
        assert "2 containers, 1 needs attention" in done.stderr
        assert "ok  confined" in row(done)
    else:
        assert "has no lxc_configs.970: add it there" in done.stderr


@pytest.mark.parametrize(
    ("unmanaged", "conf", "code"),
    [
        ({}, OPEN, 1),
        ({"unmanaged": "show"}, OPEN, 1),
        ({"unmanaged": "fail"}, OPEN, 1),
        ({"unmanaged": "ignore"}, OPEN, 0),
        ({}, "unprivileged: 1\n", 0),
        ({"unmanaged": "fail"}, "unprivileged: 1\n", 1),
        ({"unmanaged": "ignore"}, "unprivileged: 1\n", 0),
    ],
)
def test_what_the_fleet_file_does_not_name_is_shown_as_asked(
    pyinfra, tmp_path, unmanaged, conf, code
):
    node = right(stopped=(970,))
    node.confs = {**node.confs, 970: conf}
    done = pyinfra("audit", node, fleet=FLEET, strict="true", report=tmp_path, **unmanaged)
    assert done.code == code, done.stderr
    shown = unmanaged.get("unmanaged") != "ignore"
    data = json.loads((tmp_path / "audit.json").read_text())
    listed = {one["ctid"]: one["managed"] for one in data["nodes"][0]["containers"]}
    assert listed == ({910: True, 970: False} if shown else {910: True})
    assert ("its conf says" in done.stderr) == shown
    assert ("its conf says" in (tmp_path / "audit.html").read_text()) == shown


def test_the_scope_docker_leaves_containers_without_it_out(pyinfra):
    node = right()
    node.confs = {**node.confs, 953: OPEN}
    fleet = {**FLEET, "953": ENTRY}
    assert "2 containers, 1 needs attention" in pyinfra("audit", node, fleet=fleet).stderr
    done = pyinfra("audit", node, fleet=fleet, scope="docker", strict="true")
    assert (done.code, "1 container, 0 need attention" in done.stderr) == (0, True)


def test_what_was_denied_to_one_that_is_ignored_is_not_shown(pyinfra):
    denied = (1, 1795308400.5, DENIED[2].replace("lxc-docker-nested", "lxc-other"))
    node = right(denials=[denied])
    node.confs = {**node.confs, 970: OPEN.replace("unconfined", "lxc-other")}
    assert "1x open a vsock stream socket" in pyinfra("audit", node, fleet=FLEET).stderr
    done = pyinfra("audit", node, fleet=FLEET, unmanaged="ignore")
    assert "vsock" not in done.stderr
