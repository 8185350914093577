"""Broken AppArmor tunables, on nodes with scripted answers."""

import pytest
from fake_node import CONF, FakeNode

FLEET = {
    "910": {
        "features": ["docker"],
        "pct_options": ["nesting=1", "keyctl=1"],
        "apparmor_profile": "lxc-docker-nested",
    }
}
HOME = "{HOMEDIRS}=/home/\n@{HOME}=@{HOMEDIRS}/*/ /root/\ninclude <tunables/home.d>\n"
ERROR = "AppArmor parser error in profile /etc/apparmor.d/tunables/home at line 1: unexpected"
SHOWN = "pve1: /etc/apparmor.d/tunables/home line 1: {HOMEDIRS}=/home/: the @ is missing: becomes"


def pve(home=HOME, error=ERROR, confs=None, **changes):
    confs = {910: CONF.format(name="ct910")} if confs is None else confs
    said = {"files": {"tunables/home": home}, "tunables_error": error}
    return FakeNode("pve1", confs, apparmor=said, **changes)


@pytest.mark.parametrize(
    ("deploy", "last"),
    [("harden", "Stage the containers' changes"), ("host_prep", "Verdict")],
)
def test_tunables_are_repaired_before_any_profile_is_installed(pyinfra, deploy, last):
    done = pyinfra(deploy, pve(), fleet=FLEET)
    assert done.code == 0, done.stderr
    names = ("AppArmor tunables", "AppArmor profile lxc-docker-nested", last)
    order = [done.stderr.index(f"Starting operation: {name}") for name in names]
    assert order == sorted(order)


def test_dry_shows_line_reason_and_diff_and_runs_nothing(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, flags=("--dry",))
    assert done.code == 0, done.stderr
    for line in (
        f"{SHOWN} @{{HOMEDIRS}}=/home/",
        "- {HOMEDIRS}=/home/",
        "+ @{HOMEDIRS}=/home/",
    ):
        assert line in done.stderr
    assert "- include" not in done.stderr
    assert "Starting operation" not in done.stderr


def test_what_cannot_be_repaired_is_refused_in_one_line_before_anything_changes(pyinfra):
    done = pyinfra("harden", pve("@{HOMEDIRS}=\n"), fleet=FLEET)
    assert done.code == 1
    line = "pve1: /etc/apparmor.d/tunables/home line 1: @{HOMEDIRS}=: it has no value"
    assert done.stderr.count(line) == 1
    assert "Starting operation" not in done.stderr


def test_a_repair_that_is_taken_back_stops_the_run_before_any_profile_or_container(pyinfra):
    failing = {" install-tunables ": {"success": False, "stderr": "the old text is back"}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET)
    assert (done.code, done.commands) == (1, [])
    assert " install-profile " not in done.stderr
    assert "Grand total" in done.stderr


def test_tunables_that_compile_get_no_operation(pyinfra):
    done = pyinfra("harden", pve(error=""), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "AppArmor tunables" not in done.stderr


def test_the_audit_shows_the_line_and_fails_on_it_when_strict(pyinfra):
    shown = pyinfra("audit", pve(confs={}), fleet={})
    assert (shown.code, SHOWN in shown.stderr) == (0, True)
    assert pyinfra("audit", pve(confs={}), fleet={}, strict="true").code == 1
    beyond_repair = pve("@{HOMEDIRS}=\n", confs={})
    assert pyinfra("audit", beyond_repair, fleet={}, strict="true").code == 1
    assert pyinfra("audit", pve(confs={}, error=""), fleet={}, strict="true").code == 0
