"""deploys/create.py from end to end, on nodes with scripted answers."""

import json
import re

import pytest
from fake_node import CONF, FakeNode, installed, journal

TEMPLATE = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
NEW = {"template": TEMPLATE, "storage_pool": "local-zfs"}
DOCKER = {
    **NEW,
    "name": "web",
    "features": ["docker"],
    "network_config": {"bridge": "vmbr0", "ip": "10.0.0.97/24", "gw": "10.0.0.1"},
}
STORAGE = {"type": "zfspool", "content": "rootdir", "usable": True, "pool": "rpool/data"}
STOCK = {
    "storages": {
        "local": {"type": "dir", "content": "vztmpl", "usable": True, "pool": ""},
        "local-zfs": STORAGE,
    },
    "templates": [TEMPLATE],
    "pools": ["rpool"],
}
FLEET = {"970": DOCKER, "971": {**NEW, "dependencies": ["970"]}}
RUN = "r20261122T013000Z-beef"


def pve(name="pve1", confs=(), **changes):
    confs = {ctid: CONF.format(name=f"ct{ctid}") for ctid in confs}
    return FakeNode(name, confs, **{"stock": STOCK, **changes})


def lines(done, text):
    return [line for line in done.stderr.splitlines() if text in line]


def test_profile_first_then_container_by_container_each_staged_and_made(pyinfra):
    done = pyinfra("create", pve(), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert done.commands == ["970", "971"]
    names = (
        *("Try whether /etc/pve takes changes", "AppArmor profile lxc-docker-nested"),
        *("CT 970 web: make", "CT 971 CT971: make", "Verdict"),
    )
    order = [done.stderr.index(f"Starting operation: {name}") for name in names]
    assert order == sorted(order)


def test_dry_shows_each_command_and_the_conf_that_comes_and_does_nothing(pyinfra):
    done = pyinfra("create", pve(), fleet={"970": DOCKER}, flags=("--dry",))
    assert done.code == 0, done.stderr
    assert done.commands == []
    for line in (
        "pve1: 1 container to make, one after another:",
        "1  970   web   lxc-docker-nested (enforce)  distro, fuse-overlayfs  runs",
        f"CT 970: pct create 970 {TEMPLATE} --hostname web --net0 "
        "name=eth0,bridge=vmbr0,ip=10.0.0.97/24,gw=10.0.0.1 --rootfs local-zfs:8 "
        "--unprivileged 1 --features fuse=1",
        "/etc/pve/lxc/970.conf (new)",
        "+ features: fuse=1",
        "+ lxc.apparmor.profile: lxc-docker-nested",
    ):
        assert line in done.stderr


def test_of_many_that_are_alike_one_conf_is_shown(pyinfra):
    fleet = {str(ctid): NEW for ctid in range(970, 990)}
    done = pyinfra("create", pve(), fleet=fleet, flags=("--dry",), verbose=())
    assert done.code == 0, done.stderr
    assert lines(done, "/etc/pve/lxc/") == ["[@fake/pve1] /etc/pve/lxc/970.conf (new)"]
    (others,) = lines(done, "the same in")
    assert "the same in 19 more, but for its CTID and name: CT 971, 972, 973" in others


def test_a_second_run_finds_all_of_it_and_runs_no_operation(pyinfra):
    done = pyinfra("create", pve(confs=(970, 971)), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "pve1: there already: 970, 971; phoenix harden is for them" in done.stderr
    assert "pve1: nothing to change" in done.stderr
    assert "Starting operation" not in done.stderr


def test_harden_after_it_has_nothing_to_do(pyinfra):
    conf = (
        "features: fuse=1\nhostname: web\nunprivileged: 1\n"
        "lxc.apparmor.profile: lxc-docker-nested\n"
    )
    label = "lxc-docker-nested (enforce)"
    node = FakeNode("pve1", {970: conf}, label=label, apparmor=installed())
    done = pyinfra("harden", node, fleet={"970": DOCKER})
    assert done.code == 0, done.stderr
    assert "pve1: nothing to change" in done.stderr


def test_a_container_that_comes_to_nothing_ends_the_run_with_a_table_and_exit_code_1(pyinfra):
    failing = {"create CT 970": {"success": False, "stdout": "CT 970: restored: no route"}}
    done = pyinfra("create", pve(responses=failing), fleet=FLEET)
    assert (done.code, done.commands) == (1, ["970"])
    assert "970   web    restored: no route" in done.stderr
    assert "971   CT971  not begun" in done.stderr


def test_one_command_asks_a_node_for_everything(pyinfra):
    done = pyinfra("create", pve(), fleet=FLEET, flags=("--dry",))
    facts = [line.split()[3] for line in done.stderr.splitlines() if "Loaded fact" in line]
    assert facts == ["facts.observe.Observe"]


@pytest.mark.parametrize(
    ("fleet", "data", "said"),
    [
        ({"970": {"template": TEMPLATE}}, {}, "CT 970: storage_pool is missing"),
        ({"970": NEW}, {"only": 972}, "only=972: "),
        ({"970": NEW, "972": {}}, {"only": 972}, "names neither template nor clone_from_ctid"),
        ({"970": NEW}, {"restart": "never"}, "--data restart: belongs to harden"),
        ({"970": NEW}, {"force": "pending"}, "means nothing to create"),
    ],
)
def test_what_is_refused_is_one_line_before_anything_is_changed(pyinfra, fleet, data, said):
    done = pyinfra("create", pve(), fleet=fleet, **data)
    assert done.code == 1
    assert said in done.stderr
    assert "Starting operation" not in done.stderr


def test_the_id_of_a_virtual_machine_is_refused(pyinfra):
    done = pyinfra("create", pve(stock={**STOCK, "guests": {"970": "pve2"}}), fleet=FLEET)
    assert (done.code, done.commands) == (1, [])
    assert "pve1: CT 970 web: a virtual machine on pve2 has this id" in done.stderr


def test_of_several_nodes_the_operator_says_which(pyinfra):
    done = pyinfra("create", pve(), pve("pve2"), fleet={"970": DOCKER})
    assert (done.code, done.commands) == (1, [])
    assert "CT 970: 2 nodes could make it: say which with pyinfra's --limit NODE" in done.stderr


def test_the_node_that_is_named_makes_it_and_no_other_is_asked(pyinfra):
    nodes, limit = [pve(), pve("pve2")], ("-y", "--limit", "@fake/pve2")
    done = pyinfra("create", *nodes, fleet={"970": DOCKER}, flags=limit)
    assert (done.code, done.commands) == (0, ["970"]), done.stderr
    assert lines(done, "pve2: 1 container to make")
    assert not lines(done, "pve1")


def test_a_clone_is_made_on_the_node_of_its_source(pyinfra):
    fleet = {"902": {}, "970": {"clone_from_ctid": 902}}
    nodes = [pve(), pve("pve2", confs=(902,), stopped=(902,))]
    done = pyinfra("create", *nodes, fleet=fleet)
    assert done.code == 0, done.stderr
    assert lines(done, "pve2: 1 container to make")
    assert "pct clone 902 970 --hostname CT970 --full 1" in done.stderr


def test_the_watch_learns_of_the_new_container(pyinfra):
    node = pve(confs=(910,), wanted="910 lxc-old (enforce)\n")
    done = pyinfra("create", node, fleet={"910": {}, "970": DOCKER})
    assert done.code == 0, done.stderr
    assert "' install-watch r2" in done.stderr


def test_the_plan_is_written_as_json_also_under_dry(pyinfra, tmp_path):
    file = tmp_path / "plan.json"
    pyinfra("create", pve(), fleet={"970": DOCKER}, flags=("--dry",), plan=file)
    plan = json.loads(file.read_text())
    assert plan["recipe"] == "create"
    profile, its = plan["nodes"][0]["actions"][-2:]
    assert profile["action"] == "profile"
    assert its["action"] == "create"
    assert its["pct"][0][:4] == ["pct", "create", "970", TEMPLATE]
    assert its["install"] == {"source": "distro", "driver": "fuse-overlayfs"}
    assert "+lxc.apparmor.profile: lxc-docker-nested" in its["diff"]


# --- interrupted runs -----------------------------------------------------------------------------


def begun(ctid):
    """The journal of a run that was cut short in making a container."""
    intent = {"event": "intent", "ctid": ctid, "file": f"/etc/pve/lxc/{ctid}.conf"}
    begin = {"event": "begin", "format": 2}
    return {RUN: journal(begin, {**intent, "before": "none", "after": "a" * 64, "ours": "none"})}


def recoveries(done):
    return lines(done, f"--unit=phoenix-harden-recover-{RUN}-970")


@pytest.mark.parametrize("confs", [(), (970,)])
def test_what_was_cut_short_is_taken_away_and_made_before_the_others(pyinfra, confs):
    node = pve(confs=confs, runs=begun(970))
    done = pyinfra("create", node, fleet=FLEET)
    assert f"CT 970: run {RUN} was interrupted" in done.stderr
    assert recoveries(done)
    taken = f"Starting operation: CT 970: take away what run {RUN} has begun, then make it"
    assert done.stderr.index(taken) < done.stderr.index("Starting operation: CT 971 CT971: make")
    # the fake node shows the same conf after the recovery: there it is, and nothing is made
    made = [name for name in done.commands if name == "970"]
    assert len(made) == (2 if not confs else 1)
    assert re.search(r"^970 .* (done|left as it was found)$", done.stderr, re.MULTILINE)
    assert done.code == 0, done.stderr


def test_what_is_cut_short_of_another_recipes_run_is_left_to_that(pyinfra):
    intent = {"ctid": 910, "event": "intent", "file": "/etc/pve/lxc/910.conf", "before": "b" * 64}
    runs = {RUN: journal({**intent, "after": "a" * 64, "ours": "none"})}
    done = pyinfra("create", pve(confs=(910,), runs=runs), fleet={**FLEET, "910": {}})
    assert done.code == 0, done.stderr
    assert f"CT 910: run {RUN} was interrupted there" in done.stderr
    assert done.commands == ["970", "971"]
