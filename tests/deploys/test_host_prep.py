"""deploys/host_prep.py on nodes with scripted answers."""

import json

from fake_node import CONF, FakeNode

FLEET = {"910": {"features": ["docker"], "apparmor_profile": "lxc-docker-nested"}}


def test_it_installs_the_profiles_and_speaks_of_no_container(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="portainer")})
    done = pyinfra("host_prep", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "pve1: profile lxc-docker-nested: new" in done.stderr
    assert "Starting operation: AppArmor profile lxc-docker-nested" in done.stderr
    assert "CT 910" not in done.stderr
    assert done.commands == []


def test_profiles_need_no_quorum(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="portainer")}, etc_pve={"quorate": False})
    done = pyinfra("host_prep", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "Starting operation: AppArmor profile lxc-docker-nested" in done.stderr


def test_the_watch_is_installed_only_where_it_is_asked_for(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="portainer")})
    done = pyinfra("host_prep", node, fleet=FLEET, watch="true")
    assert done.code == 0, done.stderr
    assert "pve1: watch: installed" in done.stderr
    assert "Starting operation: The node's watch" in done.stderr
    assert "pve1: watch" not in pyinfra("host_prep", node, fleet=FLEET).stderr


def test_dry_shows_the_files_of_the_watch_as_diffs(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="portainer")})
    done = pyinfra("host_prep", node, fleet=FLEET, watch="true", flags=("--dry",))
    assert "/etc/systemd/system/phoenix-harden-watch.service (new)" in done.stderr
    assert "+ ExecStart=/usr/local/lib/phoenix-harden/watch" in done.stderr
    assert "+ 910 lxc-docker-nested (enforce)" in done.stderr
    # it writes no conf
    assert "+ 910 conf" not in done.stderr


def test_a_watch_that_is_there_learns_of_other_labels_by_any_run(pyinfra):
    node = FakeNode("pve1", {910: CONF.format(name="portainer")}, wanted="910 lxc-old enforce\n")
    done = pyinfra("host_prep", node, fleet=FLEET, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert "pve1: watch: updated" in done.stderr
    assert "- 910 lxc-old enforce" in done.stderr
    assert "+ 910 lxc-docker-nested (enforce)" in done.stderr


def test_removing_a_watch_that_is_not_there_is_nothing_to_do(pyinfra):
    done = pyinfra("host_prep", FakeNode("pve1", {}), fleet=FLEET, watch="false")
    assert done.code == 0, done.stderr
    assert "pve1: nothing to change" in done.stderr
    assert "Starting operation" not in done.stderr


def test_it_installs_the_script_for_namespaces_where_a_container_is_stacked(pyinfra):
    stacked = {"910": {**FLEET["910"], "apparmor_stacking": True}}
    node = FakeNode("pve1", {910: CONF.format(name="portainer")})
    done = pyinfra("host_prep", node, fleet=stacked)
    assert done.code == 0, done.stderr
    assert "pve1: /usr/local/lib/phoenix-harden/namespace: missing" in done.stderr
    assert "Starting operation: Install /usr/local/lib/phoenix-harden/namespace" in done.stderr
    assert done.commands == []


def test_the_sites_tunables_come_before_the_profiles_that_use_them(pyinfra, tmp_path):
    fleet = tmp_path / "site.json"
    tunables = {"apparmor_nesting_profiles": ["lxc-docker-nested", "lxc-phoenix-v2"]}
    fleet.write_text(json.dumps({"lxc_configs": FLEET, "tunables": tunables}))
    confs = {910: CONF.format(name="portainer")}
    node = FakeNode("pve1", confs)
    done = pyinfra("host_prep", node, fleet=fleet)
    assert done.code == 0, done.stderr
    names = ("Tunables of the site", "AppArmor profile lxc-docker-nested")
    order = [done.stderr.index(f"Starting operation: {name}") for name in names]
    assert order == sorted(order)
    dry = pyinfra("host_prep", node, fleet=fleet, flags=("--dry",))
    assert "+ @{apparmor_nesting_profiles} = lxc-docker-nested lxc-phoenix-v2" in dry.stderr
    # a node that would make nothing of them
    deaf = FakeNode("pve1", confs, apparmor={"reads_global_d": False})
    refused = pyinfra("host_prep", deaf, fleet=fleet)
    assert refused.code == 1
    assert "pve1: tunables need AppArmor 4.0 or newer, which reads /etc" in refused.stderr


def test_a_profile_that_does_not_install_fails_it_and_no_container_is_spoken_of(pyinfra):
    failing = {" install-profile ": {"success": False, "stderr": "the old state is back"}}
    node = FakeNode("pve1", {910: CONF.format(name="portainer")}, responses=failing)
    done = pyinfra("host_prep", node, fleet=FLEET)
    assert done.code == 1
    assert "the old state is back" in done.stderr
    assert "portainer" not in done.stderr
