"""What takes containers out of confinement over time: upgrades, snapshots, backups, moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from on_node import conf, pyinfra
from test_lab_watch import PROFILE, said

#: On a container that is hardened first: each of them is minutes of work.
pytestmark = [pytest.mark.lab, pytest.mark.long]

REPACK = Path(__file__).parent / "guest/repack.sh"
ENTRY = {"apparmor_profile": "lxc-docker-nested"}
LABEL = "lxc-docker-nested (enforce)"
GENERATED = "lxc-953_</var/lib/lxc>"


@pytest.fixture(scope="module")
def kept(lab, tmp_path_factory):
    """CT 953 generated, CT 970 under our profile, with a snapshot and a backup of before that.

    The watch stands still. Gives the node, what recipes are given, and the backup's file.
    """
    lab.reset()
    lab.ssh("""
        # the others only cost time
        for ct in $(lxc-ls --running -1); do pct stop $ct; done
        pct clone 953 970 --storage thin --hostname drift
        pct snapshot 970 before
    """)
    backup = lab.ssh("/usr/lib/phoenix-lab/backup-guest 970").stdout.strip()
    lab.ssh("pct start 953; pct start 970")
    fleet = tmp_path_factory.mktemp("drift") / "fleet.json"
    entries = {"953": {"apparmor_profile": "generated"}, "970": ENTRY}
    fleet.write_text(json.dumps({"lxc_configs": entries}))
    given = {"fleet": fleet, "unmanaged": "ignore"}
    done = pyinfra("harden", "-y", fleet=fleet, watch="true")
    assert done.returncode == 0, done.stderr
    lab.ssh("systemctl stop phoenix-harden-watch.timer phoenix-harden-watch.service")
    assert_confined(lab, given)
    return lab, given, backup


def labels(node):
    return node.label(953), node.label(970)


def audit(given, folder):
    """The exit code of a strict audit, and the codes of what needs attention."""
    done = pyinfra("audit", "-y", **given, strict="true", report=folder)
    report = json.loads((folder / "audit.json").read_text())
    found = [one for node in report["nodes"] for one in node["findings"]]
    return done.returncode, {one["code"] for one in found if one["severity"] != "note"}


def assert_confined(node, given):
    """All of it is as harden left it, and the watch, an audit and a plan say so."""
    generated, named = labels(node)
    assert (generated.startswith(GENERATED), named) == (True, LABEL)
    assert said(node) == []
    done = pyinfra("audit", "-y", **given, strict="true")
    assert done.returncode == 0, done.stderr
    done = pyinfra("harden", "-y", fleet=given["fleet"])
    assert "nothing to change" in done.stderr, done.stderr


def harden(given, **more):
    done = pyinfra("harden", "-y", fleet=given["fleet"], **more)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", ["lxc", "apparmor"])
def test_an_upgrade_leaves_labels_profiles_and_the_next_start_as_they_were(kept, source):
    node, given, _ = kept
    before = labels(node), node.ssh(f"sha256sum {PROFILE}").stdout
    node.ssh("cat >/root/repack.sh", input=REPACK.read_text())
    packages = node.ssh(f"sh /root/repack.sh /root/{source}.d {source}").stdout.split()
    assert packages
    done = node.ssh(
        "DEBIAN_FRONTEND=noninteractive dpkg --force-confnew -i " + " ".join(packages) + " 2>&1"
    )
    versions = node.ssh(f"dpkg-query -W -f '${{Version}} ${{Status}}\\n' {source}").stdout
    assert "+drift1 install ok installed" in versions, done.stdout
    assert (labels(node), node.ssh(f"sha256sum {PROFILE}").stdout) == before
    assert_confined(node, given)
    node.ssh("for ct in 953 970; do pct stop $ct; pct start $ct; done")
    assert_confined(node, given)


#: What opens all and still lets the node enter its guest.
OTHER = """\
profile lxc-docker-nested flags=(attach_disconnected) {
  file, mount, umount, pivot_root, capability, network, signal, ptrace, unix, dbus,
}
"""
SHIP = f"""
    set -eu
    mkdir -p /root/ship/DEBIAN /root/ship/etc/apparmor.d
    cat >/root/ship{PROFILE}
    echo {PROFILE} >/root/ship/DEBIAN/conffiles
    printf '%s\\n' 'Package: others-profiles' 'Version: 1' 'Architecture: all' \\
        'Maintainer: lab <lab@localhost>' 'Description: a profile by our name' \\
        >/root/ship/DEBIAN/control
    printf '#!/bin/sh\\napparmor_parser -r {PROFILE}\\n' >/root/ship/DEBIAN/postinst
    chmod 755 /root/ship/DEBIAN/postinst /root/ship /root/ship/DEBIAN
    dpkg-deb --root-owner-group -b /root/ship /root/ship.deb
    DEBIAN_FRONTEND=noninteractive dpkg --force-confnew -i /root/ship.deb
"""


def test_a_profile_that_a_package_replaces_is_named_and_put_right(kept, tmp_path):
    node, given, _ = kept
    node.ssh(SHIP, input=OTHER)
    told = f"drift.profile: {PROFILE} is not as harden left it"
    assert said(node) == [told]
    assert audit(given, tmp_path) == (1, {"profile.foreign"})
    refused = pyinfra("harden", "-y", fleet=given["fleet"])
    assert refused.returncode == 1
    assert "force=foreign-profile" in refused.stderr
    harden(given, force="foreign-profile")
    assert_confined(node, given)
    # with the package its file goes, ours by now
    node.ssh("dpkg --purge others-profiles")
    assert said(node) == [told]
    assert audit(given, tmp_path) == (1, {"drift.profile"})
    harden(given)
    assert_confined(node, given)


def test_an_include_that_names_another_profile_wins_until_ours_stands_behind_it(kept, tmp_path):
    node, given, _ = kept
    node.ssh("""
        printf '# of somebody\\nlxc.apparmor.profile = unconfined\\n' >/etc/lxc/open.conf
        line='lxc.include: /etc/lxc/open.conf'
        sed -i "0,/^lxc.apparmor.profile.*/s||&\\n$line|" /etc/pve/lxc/970.conf
        pct stop 970; pct start 970
    """)
    assert node.label(970) == "unconfined"
    done = pyinfra("audit", "-y", **given, strict="true")
    assert done.returncode == 1
    assert "/etc/lxc/open.conf, line 2" in done.stderr
    harden(given)
    lines = conf(node, 970).partition("[")[0].splitlines()
    raw = [line for line in lines if line.startswith(("lxc.include", "lxc.apparmor.profile"))]
    assert raw == [
        "lxc.include: /etc/lxc/open.conf",
        "lxc.apparmor.profile: lxc-docker-nested",
    ]
    assert_confined(node, given)


def assert_fell_out_and_comes_back(node, given, folder):
    assert "lxc.apparmor.profile: unconfined" in conf(node, 970)
    (told,) = said(node)
    assert told.startswith(("label: CT 970 runs as unconfined", "drift.container: the conf of CT"))
    code, found = audit(given, folder)
    assert code == 1
    assert "fell-out" in found
    harden(given)
    assert_confined(node, given)


def test_a_rollback_to_a_snapshot_of_before_is_named_and_confined_again(kept, tmp_path):
    node, given, _ = kept
    node.ssh("pct rollback 970 before --start 1")
    assert node.label(970) == "unconfined"
    assert_fell_out_and_comes_back(node, given, tmp_path)


def test_a_move_to_another_node_and_back_is_no_drift_unless_the_conf_was_changed(kept, tmp_path):
    node, given, _ = kept
    away = "/etc/pve/nodes/other/lxc"
    node.ssh(f"pct stop 970; mkdir -p {away}; mv /etc/pve/lxc/970.conf {away}/")
    assert said(node) == []
    done = pyinfra("audit", "-y", **given, strict="true")
    assert done.returncode == 0, done.stderr
    assert "970 (on other)" in done.stderr
    node.ssh(f"mv {away}/970.conf /etc/pve/lxc/; pct start 970")
    assert_confined(node, given)
    change = "sed -i '/^lxc.apparmor.profile/s/:.*/: unconfined/'"
    node.ssh(f"pct stop 970; mv /etc/pve/lxc/970.conf {away}/; {change} {away}/970.conf")
    node.ssh(f"mv {away}/970.conf /etc/pve/lxc/; pct start 970; rmdir -p {away} 2>&-; :")
    assert_fell_out_and_comes_back(node, given, tmp_path)


def test_a_restore_of_a_backup_of_before_is_named_and_confined_again(kept, tmp_path):
    node, given, backup = kept
    node.ssh(f"pct stop 970; pct restore 970 {backup} --force 1 --storage thin; pct start 970")
    assert node.label(970) == "unconfined"
    assert_fell_out_and_comes_back(node, given, tmp_path)


def test_a_restore_that_nobody_starts_is_named_while_it_is_stopped(kept, tmp_path):
    node, given, backup = kept
    node.ssh(f"pct stop 970; pct restore 970 {backup} --force 1 --storage thin")
    assert said(node) == [
        "drift.container: the conf of CT 970 has no lxc.apparmor.profile: lxc-docker-nested"
    ]
    code, found = audit(given, tmp_path)
    assert (code, "fell-out" in found) == (1, True)
    harden(given)
    node.ssh("pct start 970")
    assert_confined(node, given)
