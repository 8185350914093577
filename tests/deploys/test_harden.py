"""deploys/harden.py from end to end, on nodes with scripted answers."""

import json
import re

import pytest
from fake_node import CONF, FakeNode, docker, installed, journal

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}
FLEET = {"910": DOCKER, "952": DOCKER, "953": {"apparmor_profile": "generated"}}


A, B = "a" * 64, "b" * 64


def pve(name="pve1", ctids=(910, 952), **changes):
    return FakeNode(name, {ctid: CONF.format(name=f"ct{ctid}") for ctid in ctids}, **changes)


def test_profile_stage_and_one_commit_per_container_in_the_files_order(pyinfra):
    done = pyinfra("harden", pve(ctids=(952, 910)), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "952"]
    order = [done.stderr.index(f"Starting operation: {name}") for name in NAMES]
    assert order == sorted(order)


NAMES = (
    "AppArmor profile lxc-docker-nested",
    "Stage the containers' changes",
    "CT 910 ct910",
    "CT 952 ct952",
    "Verdict",
)


def test_dependencies_and_boot_order_come_before_the_files_order(pyinfra):
    fleet = {
        "910": {**DOCKER, "boot_order": 1, "dependencies": ["952"]},
        "952": {**DOCKER, "boot_order": 3},
        "956": {**DOCKER, "boot_order": 2},
    }
    done = pyinfra("harden", pve(ctids=(910, 952, 956)), fleet=fleet)
    assert done.commands == ["956", "952", "910"]


def test_dry_shows_every_change_as_a_diff_and_runs_nothing(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert done.commands == []
    for line in (
        "/etc/apparmor.d/lxc-docker-nested (new)",
        "/etc/pve/lxc/910.conf",
        "- features: nesting=1",
        "+ features: nesting=1,keyctl=1",
        "- lxc.apparmor.profile: unconfined",
        "+ lxc.apparmor.profile: lxc-docker-nested",
        "#  CTID  NAME   RESTART  WHY",
        "1  910   ct910  yes      features: keyctl=1; profile: unconfined becomes lxc-docker-ne",
    ):
        assert line in done.stderr


def test_a_node_that_is_right_gets_no_operation_at_all(pyinfra):
    conf = CONF.replace("unconfined", "lxc-docker-nested").replace(
        "nesting=1", "nesting=1,keyctl=1"
    )
    node = FakeNode(
        "pve1",
        {910: conf.format(name="ct910")},
        label="lxc-docker-nested (enforce)",
        apparmor=installed(),
    )
    done = pyinfra("harden", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "pve1: nothing to change" in done.stderr
    assert "Starting operation" not in done.stderr


def test_after_a_failed_commit_no_node_begins_another_container_and_the_table_comes_out(pyinfra):
    failing = {"commit CT 910": {"success": False, "stdout": "CT 910: restored: as it was"}}
    nodes = [pve(responses=failing), pve("pve2", ctids=(954, 956))]
    fleet = {**FLEET, "954": DOCKER, "956": DOCKER}
    done = pyinfra("harden", *nodes, fleet=fleet, rolling="nodes")
    assert done.code == 1
    # pve2's first one stands beside 910: it may have begun; the second ones must not
    assert {"910"} <= set(done.commands) <= {"910", "954"}
    assert "Results:" in done.stderr
    assert "Grand total" in done.stderr
    assert "910   ct910  restored" in done.stderr
    assert "952   ct952  not begun" in done.stderr
    assert "956   ct956  not begun" in done.stderr


def test_json_comes_out_of_a_failed_run_with_the_exit_code_1(pyinfra):
    failing = {"commit CT 910": {"success": False, "stderr": "CT 910: restored"}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET, flags=("-y", "--json"))
    assert done.code == 1
    assert json.loads(done.stdout)["results"]
    assert "952   ct952  not begun" in done.stderr


def test_the_watch_learns_what_is_wanted_also_of_a_run_that_failed(pyinfra):
    failing = {"commit CT 910": {"success": False, "stdout": "CT 910: restored: as it was"}}
    node = pve(responses=failing, wanted="910 lxc-old (enforce)\n")
    done = pyinfra("harden", node, fleet=FLEET)
    assert done.code == 1
    assert "' install-watch r2" in done.stderr


def test_a_profile_that_does_not_install_stops_the_run_before_any_container(pyinfra):
    failing = {"install-profile": {"success": False, "stderr": "it does not compile"}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET)
    assert (done.code, done.commands) == (1, [])


def test_containers_of_the_file_that_no_node_has_are_one_line(pyinfra):
    done = pyinfra("harden", pve(ctids=(910,)), fleet=FLEET)
    assert done.code == 0, done.stderr
    lines = [
        line
        for line in done.stderr.splitlines()
        if "on no node of this inventory: 952, 953" in line
    ]
    assert len(lines) == 1


def loaded(done):
    return [line.split()[3] for line in done.stderr.splitlines() if "Loaded fact" in line]


# --- what it asks, and what it refuses ------------------------------------------------------------


def test_one_command_asks_a_node_for_everything(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, flags=("--dry",))
    assert loaded(done) == ["facts.observe.Observe"]


def test_new_rules_and_backups_cost_one_more_each(pyinfra):
    fleet = {**FLEET, "953": {"apparmor_raw": ["deny /a r,"]}}
    node = pve(ctids=(910, 953), backups=BACKUPS)
    done = pyinfra("harden", node, fleet=fleet, flags=("--dry",), require_backup=9000)
    assert loaded(done) == ["facts.observe.Observe"] * 3


@pytest.mark.parametrize(
    ("fleet", "data", "message"),
    [
        ("/no/such/fleet.json", {}, "cannot read the fleet file /no/such/fleet.json: No such file"),
        (FLEET, {"only": 999}, "only=999: "),
        (FLEET, {"only": 953}, "only=953: no node of this inventory has a container 953"),
        (FLEET, {"profiles": "/no/such"}, "--data profiles=/no/such: no template in it"),
        (FLEET, {"onyl": 910}, "--data onyl: unknown key"),
        (FLEET, {"restart": "later"}, "--data restart=later: "),
        (FLEET, {"mode": "learn"}, "--data mode=learn: "),
        (
            {"910": {**DOCKER, "apparmor_profile": "generated"}},
            {"mode": "complain"},
            "CT 910 ct910: mode=complain needs a named profile",
        ),
        (FLEET, {"profile": "lxc-nosuch"}, "apparmor_profile lxc-nosuch: no template lxc-nosuch"),
        ({"910": {"apparmor_profile": "lxc_docker_nested"}}, {}, "lxc_configs.910"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_changes(pyinfra, fleet, data, message):
    done = pyinfra("harden", pve(), fleet=fleet, **data)
    assert done.code == 1
    assert len([line for line in done.stderr.splitlines() if message in line]) == 1, done.stderr
    assert "Starting operation" not in done.stderr


# --- profiles and their forms ---------------------------------------------------------------------


def test_a_template_of_the_operators_own_extends_ours(pyinfra, tmp_path):
    (tmp_path / "lxc-mine.j2").write_text(
        '{% extends "base.j2" %}{% block purpose %}mine{% endblock %}'
        "{% block promises %}  # tun devices\n  mount options=(rw,bind) /dev/net/tun -> /srv/tun,\n"
        "{% endblock %}"
    )
    fleet = {"910": {**DOCKER, "apparmor_profile": "lxc-mine"}}
    done = pyinfra("harden", pve(ctids=(910,)), fleet=fleet, profiles=tmp_path, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert "+ profile lxc-mine flags=(attach_disconnected,mediate_deleted) {" in done.stderr
    assert "+   mount options=(rw,bind) /dev/net/tun -> /srv/tun," in done.stderr
    assert "profile: unconfined becomes lxc-mine" in done.stderr


def test_stacking_and_learning_are_tried_on_the_command_line(pyinfra):
    done = pyinfra("harden", pve(ctids=(910,)), fleet=FLEET, stacking="true", mode="complain")
    assert done.code == 0, done.stderr
    name = "lxc-docker-nested-ns-complain"
    order = [
        done.stderr.index(f"Starting operation: {operation}")
        for operation in (
            "Install /usr/local/lib/phoenix-harden/namespace",
            f"AppArmor profile {name}",
            "Stage the containers' changes",
            "CT 910 ct910",
        )
    ]
    assert order == sorted(order)
    dry = pyinfra(
        *("harden", pve(ctids=(910,))),
        fleet=FLEET,
        stacking="true",
        mode="complain",
        flags=("--dry",),
    )
    for line in (
        "/usr/local/lib/phoenix-harden/namespace (new)",
        f"+ profile {name} flags=(attach_disconnected,mediate_deleted,complain) {{",
        "+   capability mac_admin,",
        f"+ lxc.apparmor.profile: {name}//&:lxc-910_<-var-lib-lxc>:unconfined",
        "+ lxc.hook.pre-start: /usr/local/lib/phoenix-harden/namespace",
        "+ lxc.hook.post-stop: /usr/local/lib/phoenix-harden/namespace",
        "CT 910 ct910: learning: complain mode only logs",
    ):
        assert line in dry.stderr


def test_the_abi_is_there_before_the_profiles_that_are_compiled_by_it(pyinfra):
    there = {"files": {"abi/4.0": "file {mask {read\n}\n}\n"}}
    done = pyinfra("harden", pve(ctids=(910,), apparmor=there), fleet=FLEET)
    assert done.code == 0, done.stderr
    names = ("Install /etc/apparmor.d/abi/phoenix-harden", "AppArmor profile lxc-docker-nested")
    order = [done.stderr.index(f"Starting operation: {name}") for name in names]
    assert order == sorted(order)
    dry = pyinfra("harden", pve(ctids=(910,), apparmor=there), fleet=FLEET, flags=("--dry",))
    assert "+ abi <abi/phoenix-harden>," in dry.stderr
    strict = pyinfra("audit", pve(ctids=(910,), apparmor=there), fleet=FLEET)
    why = "the profiles cannot be compiled without it"
    assert f"pve1: /etc/apparmor.d/abi/phoenix-harden: missing: {why}" in strict.stderr


def test_a_script_for_namespaces_that_does_not_install_stops_the_run(pyinfra):
    failing = {"install-file": {"success": False, "stderr": "cannot be written"}}
    done = pyinfra("harden", pve(responses=failing), fleet=FLEET, stacking="true")
    assert (done.code, done.commands) == (1, [])


def test_a_file_that_is_no_json_says_where(pyinfra, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"lxc_configs": {\n  "910": {,}\n}}')
    done = pyinfra("harden", pve(), fleet=broken)
    assert done.code == 1
    assert "broken.json" in done.stderr
    assert "line 2" in done.stderr


def test_a_node_that_does_not_answer_stops_the_run_before_anything_changes(pyinfra):
    node = pve("pve2", responses={"observe ": {"success": False}})
    done = pyinfra("harden", pve(), node, fleet=FLEET)
    assert done.code == 1
    assert "could not collect facts from @fake/pve2 (see above)" in done.stderr
    assert "Starting operation" not in done.stderr


def test_the_only_node_not_answering_is_one_line_as_well(pyinfra):
    done = pyinfra("harden", pve(responses={"observe ": {"success": False}}), fleet=FLEET)
    assert done.code == 1
    assert "could not collect facts from @fake/pve1 (see above)" in done.stderr


# --- meanwhile, and snapshots ---------------------------------------------------------------------


def test_a_conf_that_somebody_changed_meanwhile_is_planned_anew_once(pyinfra):
    changed = "CT 910: changed: somebody changed its conf since: nothing was changed"
    node = pve(ctids=(910,), responses={"--unit=phoenix-harden-r2": {"stdout": changed}})
    done = pyinfra("harden", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "910"]
    assert done.stderr.count(" stage r2") == 2


def test_a_volume_that_the_node_has_not_is_left_out(pyinfra):
    volume = {"name": "data", "pool": "tank", "size_gb": 1, "mount_point": "/data"}
    done = pyinfra("harden", pve(ctids=(910,)), fleet={"910": {**DOCKER, "volumes": [volume]}})
    assert "CT 910 ct910: volumes: /tank/data is not on this node: left out" in done.stderr


def test_a_snapshot_comes_before_each_commit_and_what_is_staged_is_planned_anew(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, snapshot="true")
    assert done.code == 0, done.stderr
    assert done.commands == ["910", "910", "952", "952"]
    order = re.findall(
        r"unit=phoenix-harden-snapshot-(\d+)| (stage) r2|-(\d+) .* commit r2", done.stderr
    )
    steps = ["".join(found) for found in order]
    assert steps == ["stage", "910", "stage", "910", "952", "stage", "952"]


def test_a_snapshot_that_fails_refuses_its_container_and_stops_the_run(pyinfra):
    refused = {"success": False, "stdout": "CT 910: refused: no snapshot was taken (why): do this"}
    node = pve(responses={"--unit=phoenix-harden-snapshot-910": refused})
    done = pyinfra("harden", node, fleet=FLEET, snapshot="true")
    assert (done.code, done.commands) == (1, ["910"])
    assert "910   ct910  refused: no snapshot was taken (why): do this" in done.stderr
    assert "952   ct952  not begun" in done.stderr


def test_a_container_that_came_to_its_snapshot_and_not_to_its_commit_has_not_begun(pyinfra):
    refused = {"success": False, "stdout": "CT 910: refused: no snapshot was taken (why): do this"}
    responses = {"--unit=phoenix-harden-snapshot-910": refused}
    slow = pve(ctids=(910,), responses=responses, delay=0.2)
    other = pve("pve2", ctids=(952,))
    done = pyinfra("harden", slow, other, fleet=FLEET, snapshot="true", rolling="nodes")
    assert (done.code, sorted(done.commands)) == (1, ["910", "952"])
    assert "952   ct952  not begun" in done.stderr


# --- what is asked for before it begins -----------------------------------------------------------

BACKUPS = {
    "now": "2026-11-22T02:00:00Z",
    "storages": {"local": "dir"},
    "backups": [[910, "2026-11-22T00:00:00Z", "local"]],
}


def test_containers_without_a_new_backup_are_refused_all_at_once_before_anything(pyinfra):
    node = pve(backups=BACKUPS)
    done = pyinfra("harden", node, fleet=FLEET, require_backup=1)
    assert done.code == 1
    assert "pve1: CT 910 ct910: the newest backup is 2 h old, require_backup=1" in done.stderr
    assert "pve1: CT 952 ct952: no backup, require_backup=1" in done.stderr
    assert "Starting operation" not in done.stderr


def test_the_age_of_the_backup_stands_in_the_table_where_it_was_asked_for(pyinfra):
    node = pve(ctids=(910,), backups=BACKUPS)
    done = pyinfra("harden", node, fleet=FLEET, require_backup=3, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert "#  CTID  NAME   RESTART  BACKUP  WHY" in done.stderr
    assert "1  910   ct910  yes      2 h     features: keyctl=1" in done.stderr


def test_what_the_backup_server_has_verified_stands_there_too_and_can_be_insisted_on(pyinfra):
    found = [
        [910, "2026-11-22T00:00:00Z", "pbs", "none"],
        [910, "2026-11-21T00:00:00Z", "pbs", "ok"],
    ]
    node = pve(ctids=(910,), backups={"storages": {"pbs": "pbs"}, "backups": found})
    done = pyinfra("harden", node, fleet=FLEET, require_backup=3, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert "1  910   ct910  yes      2 h, not verified  features: keyctl=1" in done.stderr
    done = pyinfra("harden", node, fleet=FLEET, require_backup="24,verified", flags=("--dry",))
    assert done.code == 1
    assert "the newest verified backup is 26 h old (one on pbs is 2 h old and not" in done.stderr


def test_a_snapshot_that_the_storage_cannot_take_is_refused_before_anything(pyinfra):
    conf = CONF.format(name="ct910") + "rootfs: local:910/disk.raw\n"
    node = FakeNode("pve1", {910: conf}, backups=BACKUPS)
    done = pyinfra("harden", node, fleet=FLEET, snapshot="true")
    assert done.code == 1
    assert "snapshot=true: rootfs is on local (dir), which has no snapshots" in done.stderr
    assert "Starting operation" not in done.stderr


@pytest.mark.parametrize("flags", [("-y",), ("--dry",)])
def test_without_quorum_nothing_is_installed_either(pyinfra, flags):
    quorate, other = pve("pve1"), pve("pve2", ctids=(953,), etc_pve={"mode": 0o555})
    done = pyinfra("harden", quorate, other, fleet=FLEET, flags=flags)
    assert done.code == 1
    assert (
        "pve2: this node has no quorum: /etc/pve takes no changes: "
        "pvecm status says which nodes are missing"
    ) in done.stderr
    assert "Starting operation" not in done.stderr


def test_before_anything_is_installed_it_is_tried_whether_confs_can_be_written(pyinfra):
    refused = {"try-etc-pve": {"success": False, "stderr": "/etc/pve takes no changes"}}
    done = pyinfra("harden", pve(responses=refused), pve("pve2", ctids=(953,)), fleet=FLEET)
    assert (done.code, done.commands) == (1, [])
    assert "/etc/pve takes no changes" in done.stderr
    assert "install-profile" not in done.stderr
    assert "910   ct910  not begun" in done.stderr


def test_a_run_that_installs_nothing_does_not_try(pyinfra):
    conf = CONF.format(name="ct910")
    done = pyinfra("harden", FakeNode("pve1", {910: conf}, apparmor=installed()), fleet=FLEET)
    assert (done.code, done.commands) == (0, ["910"])
    assert "Try whether" not in done.stderr


def test_a_node_that_is_right_needs_no_quorum(pyinfra):
    conf = CONF.replace("lxc.apparmor.profile: unconfined\n", "")
    node = FakeNode("pve1", {953: conf}, label=GENERATED, etc_pve={"quorate": False})
    done = pyinfra("harden", node, fleet={"953": FLEET["953"]})
    assert done.code == 0, done.stderr
    assert "nothing to change" in done.stderr


GENERATED = "lxc-953_</var/lib/lxc>//&:lxc-953_<-var-lib-lxc>:unconfined (enforce)"


def test_a_rule_that_the_node_does_not_compile_stops_the_run_before_anything_changes(pyinfra):
    node = FakeNode("pve1", {953: CONF}, rules=[[953, 1, "Invalid capability foo."]])
    fleet = {"953": {"apparmor_raw": ["deny /a r,", "capability foo,"]}}
    done = pyinfra("harden", node, fleet=fleet)
    assert done.code == 1
    rule = "pve1: CT 953: lxc_configs.953.apparmor_raw[1]"
    assert f"{rule}: does not compile on this node: Invalid capability" in done.stderr
    assert done.commands == []


# --- in the guests --------------------------------------------------------------------------------


def test_missing_packages_come_before_anything_is_staged(pyinfra):
    node = pve(ctids=(910,), dockers=docker(910, "manager apt", Images=0))
    done = pyinfra("harden", node, fleet=FLEET)
    assert done.code == 0, done.stderr
    names = ("CT 910 ct910: packages ", "Stage the containers' changes ", "CT 910 ct910 ")
    order = [done.stderr.index(f"Starting operation: {name}") for name in names]
    assert order == sorted(order)
    assert done.commands == ["packages", "910"]


def test_dry_shows_the_driver_the_package_and_daemon_json_as_a_diff(pyinfra):
    node = pve(ctids=(910,), dockers=docker(910, "manager apt", Images=0))
    done = pyinfra("harden", node, fleet=FLEET, flags=("--dry",))
    assert done.code == 0, done.stderr
    for line in (
        "storage driver: overlay2 becomes fuse-overlayfs; package fuse-overlayfs",
        "CT 910: /etc/docker/daemon.json (new)",
        '+     "storage-driver": "fuse-overlayfs"',
        "+ features: nesting=1,fuse=1,keyctl=1",
    ):
        assert line in done.stderr


def test_packages_that_do_not_come_stop_the_run_before_any_container(pyinfra):
    failing = {"-910-packages": {"success": False, "stderr": "CT 910: not installed"}}
    node = pve(dockers=docker(910, "manager apt", Images=0), responses=failing)
    done = pyinfra("harden", node, fleet=FLEET)
    assert done.code == 1
    assert done.commands == ["packages"]


def test_what_a_guest_says_stands_against_itself_alone(pyinfra):
    bad = docker(952, "daemon-file 0 0 644", "{", "  // mine", "}")
    fleet = {**FLEET, "910": {**DOCKER, "storage_driver": "fuse-overlayfs"}}
    node = pve(ctids=(910, 952, 953), dockers={**docker(910), **bad})
    done = pyinfra("harden", node, fleet=fleet)
    # who asked for all of them hears it from the exit code, too
    assert (done.code, done.commands) == (1, ["953"])
    table = done.stderr.partition("CTID  NAME   RESULT")[2]
    for line in (
        "910   ct910  left alone: storage_driver fuse-overlayfs: Docker runs on overlay2",
        "952   ct952  left alone: /etc/docker/daemon.json: line 2, column 3: JSON has no comments",
    ):
        assert line in table


# --- left alone, and selected ---------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [(), (952,)], ids=["running", "stopped"])
def test_one_that_is_left_unconfined_has_its_line_and_the_exit_code_says_so(pyinfra, stopped):
    node = pve(ctids=(910, 952, 953), stopped=stopped, ha={952: "started"})
    done = pyinfra("harden", node, fleet=FLEET)
    assert (done.code, done.commands) == (1, ["910", "953"])
    table = done.stderr.partition("CTID  NAME   RESULT")[2]
    said = "952   ct952  left alone: managed by HA (started), its restart belongs to the cluster"
    assert said in table
    assert "; still to do: " in table
    assert "profile: unconfined becomes lxc-docker-nested: ha-manager set ct:952 --state" in table


def test_one_that_is_right_and_left_alone_is_only_noted(pyinfra):
    node = pve(ctids=(910, 952), stopped=(952,), ha={952: "started"})
    right = node.confs[952].replace("unconfined", "lxc-docker-nested")
    node.confs[952] = right.replace("nesting=1", "nesting=1,keyctl=1")
    done = pyinfra("harden", node, fleet=FLEET)
    assert (done.code, done.commands) == (0, ["910"])
    assert "CT 952 ct952: left alone: managed by HA (started)" in done.stderr
    assert "still to do" not in done.stderr


def test_who_names_one_that_is_right_and_left_alone_has_nothing_to_do(pyinfra):
    node = pve(ctids=(910, 952), label="lxc-docker-nested (enforce)", ha={952: "started"})
    right = node.confs[952].replace("unconfined", "lxc-docker-nested")
    node.confs[952] = right.replace("nesting=1", "nesting=1,keyctl=1")
    done = pyinfra("harden", node, fleet=FLEET, only=952)
    assert (done.code, done.commands) == (0, [])
    audit = pyinfra("audit", node, fleet=FLEET, only=952, strict="true")
    assert "ok  confined; left alone: managed by HA (started)" in audit.stderr


def test_the_scope_docker_hardens_no_other_container(pyinfra):
    node = pve(ctids=(910, 953))
    assert pyinfra("harden", node, fleet=FLEET).commands == ["910", "953"]
    assert pyinfra("harden", node, fleet=FLEET, scope="docker").commands == ["910"]
    done = pyinfra("harden", node, fleet=FLEET, scope="docker", only=953)
    assert done.code == 1
    assert "only=953: has no Docker as far as the file says, and scope=docker" in done.stderr


def test_who_names_a_container_is_refused_where_its_guest_stands_against_it(pyinfra):
    bad = docker(952, "daemon-file 0 0 644", "{", "  // mine", "}")
    done = pyinfra("harden", pve(dockers=bad), fleet=FLEET, only=952)
    assert done.code == 1
    said = "CT 952 ct952: left alone: /etc/docker/daemon.json: line 2, column 3: JSON has no"
    assert said in done.stderr
    assert "Starting operation" not in done.stderr


# --- interrupted runs -----------------------------------------------------------------------------


def test_what_an_earlier_run_was_cut_short_in_has_its_line_among_the_results(pyinfra):
    earlier = "r20261122T013000Z-beef"
    intent = {"ctid": 952, "event": "intent", "file": "/etc/pve/lxc/952.conf", "before": A}
    settled = {"stdout": "CT 952: restored: as it was", "success": False}
    node = pve(
        runs={earlier: journal({**intent, "after": B, "ours": "none"})},
        responses={f"--unit=phoenix-harden-recover-{earlier}-952": settled},
    )
    done = pyinfra("harden", node, fleet=FLEET)
    assert (done.code, done.commands) == (1, ["952"])
    assert "952   ct952  restored: as it was" in done.stderr
    assert "910   ct910  not begun" in done.stderr


def test_what_stands_against_a_container_once_it_is_settled_fails_the_run(pyinfra):
    earlier = "r20261122T013000Z-beef"
    intent = {"ctid": 952, "event": "intent", "file": "/etc/pve/lxc/952.conf", "before": A}
    node = pve(runs={earlier: journal({**intent, "after": B, "ours": "none"})})
    node.confs[952] += "lock: backup\n"
    done = pyinfra("harden", node, fleet=FLEET)
    assert (done.code, done.commands) == (1, ["952"])
    assert "952   ct952  refused: pve1: CT 952 ct952: left alone: locked (backup)" in done.stderr
    assert "910   ct910  not begun" in done.stderr


# --- plan=FILE ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [("--dry",), ("-y",)])
def test_the_plan_is_written_for_review_with_its_diffs_and_what_was_found(pyinfra, tmp_path, flags):
    file = tmp_path / "out/plan.json"
    node = pve(ctids=(910,), dockers=docker(910))
    done = pyinfra("harden", node, fleet={"910": DOCKER}, flags=flags, plan=file)
    assert done.code == 0, done.stderr
    assert f"written: {file}" in done.stderr
    plan = json.loads(file.read_text())
    assert plan["recipe"] == "harden"
    (pve1,) = plan["nodes"]
    profile, container = pve1["actions"]
    assert (profile["action"], profile["name"]) == ("profile", "lxc-docker-nested")
    assert profile["reason"] == {"why": "new", "text": "new"}
    named = "profile: unconfined becomes lxc-docker-nested"
    assert container["reasons"][-1] == {"why": "profile", "text": named}
    assert (container["action"], container["ctid"], container["restart"]) == (
        "container",
        910,
        True,
    )
    assert "+lxc.apparmor.profile: lxc-docker-nested" in container["diff"]
    assert {one["severity"] for one in pve1["findings"]} == {"note"}


def test_what_the_gate_will_ask_stands_in_the_plan_and_is_not_asked_by_a_dry_run(pyinfra, tmp_path):
    file, node = tmp_path / "plan.json", pve(ctids=(910,), dockers=docker(910))
    fleet = {"910": {**DOCKER, "health_check": {"command": "echo '$(reboot)'", "retries": 2}}}
    done = pyinfra("harden", node, fleet=fleet, flags=("--dry",), plan=file)
    assert done.code == 0, done.stderr
    (container,) = json.loads(file.read_text())["nodes"][0]["actions"][-1:]
    assert container["health_check"]["argv"] == ["sh", "-c", "echo '$(reboot)'"]
    assert "CT 910 ct910: its health_check is asked before and after: echo" in done.stderr


@pytest.mark.parametrize("recipe", ["harden", "host_prep"])
def test_a_plan_that_is_refused_is_written_too(pyinfra, tmp_path, recipe):
    entry = {**DOCKER, "apparmor_profile": "lxc-nobody-wrote-it"}
    file = tmp_path / "plan.json"
    done = pyinfra(recipe, pve(ctids=(910,)), fleet={"910": entry}, plan=file)
    assert done.code == 1
    codes = {
        (one["code"], one["severity"])
        for one in json.loads(file.read_text())["nodes"][0]["findings"]
    }
    assert ("profile.refused", "error") in codes
