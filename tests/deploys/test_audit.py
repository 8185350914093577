"""deploys/audit.py on nodes with scripted answers."""

import json

import pytest
from fake_node import CONF, FakeNode, docker, installed

from phoenix.apparmor.observed import MARKER

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
    assert "drift is put right by pyinfra inventory.py deploys/harden.py" in done.stderr


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
    assert "pve1: CT 910 portainer: locked (backup), left alone" in done.stderr
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
    assert "  CT 910: 3x create vsock stream by perl under lxc-docker-nested" in below
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
    assert f"{line}: docker logs web" in (tmp_path / "audit.html").read_text()


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
    assert "deploys/harden.py --data reconfine=true takes it back" in done.stderr
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


def right(**changes):
    conf = CONF.replace("unconfined", PROFILE)
    values = {"label": f"{PROFILE} (enforce)", "apparmor": installed(), "dockers": docker(910)}
    return pve(conf, **{**values, **changes})


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
