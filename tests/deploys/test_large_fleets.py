"""What an operator of a large fleet reads: things of one kind once, and all of it with -v."""

import json

from fake_node import CONF, FakeNode, installed

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}
RIGHT = CONF.replace("unconfined", "lxc-docker-nested").replace("nesting=1", "nesting=1,keyctl=1")
#: Of pyinfra's own there is one for each operation.
OWN = "    CT "


def fleet(ctids, mounts=0, path="/srv/{ctid}/data{n}", **entry):
    return {
        str(ctid): {
            **DOCKER,
            "mount_points": [
                {"host_path": path.format(ctid=ctid, n=n), "container_path": f"/mnt/data{n}"}
                for n in range(mounts)
            ],
            **entry,
        }
        for ctid in ctids
    }


def pve(ctids, conf=CONF, mounts=0, **changes):
    confs = {ctid: conf.format(name=f"ct{ctid}") for ctid in ctids}
    paths = [f"/srv/{ctid}/data{n}" for ctid in ctids for n in range(mounts)]
    return FakeNode("pve1", confs, storage={"paths": paths}, **changes)


def lines(done):
    """All but pyinfra's own table, and the profile's text."""
    told = [line for line in done.stderr.splitlines() if not line.startswith(OWN)]
    begin = next((n for n, line in enumerate(told) if "/etc/apparmor.d/" in line), len(told))
    end = next((n for n, line in enumerate(told) if "/etc/pve/lxc/" in line), len(told))
    return told[:begin] + told[end:]


def test_a_compliant_fleet_of_stopped_containers_is_one_note_and_nothing_to_change(pyinfra):
    ctids = range(1000, 1100)
    label = "lxc-docker-nested (enforce)"
    node = pve(ctids, RIGHT, label=label, apparmor=installed(), stopped=[*ctids][2:])
    told = lines(pyinfra("harden", node, fleet=fleet(ctids), flags=("--dry",), verbose=()))
    assert [line for line in told if line.startswith("pve1: ")] == [
        "pve1: 98 containers: stopped: Docker inside was not checked: CT 1002, 1003, 1004, 1005, "
        "1006 … and 93 more",
        "pve1: nothing to change",
        "pve1: pyinfra's -v shows all of it, --data plan=FILE has it",
    ]
    assert len(told) < 30


def test_a_dry_run_that_changes_hundreds_shows_each_kind_of_change_once(pyinfra, tmp_path):
    ctids = range(1000, 1120)
    node = pve(ctids, mounts=10, stopped=[1003])
    node.confs[1001] = CONF.format(name="ct1001").replace("nesting=1", "nesting=1,keyctl=1")
    plan = tmp_path / "plan.json"
    asked = {"fleet": fleet(ctids, mounts=10), "flags": ("--dry",), "plan": plan}
    told = lines(pyinfra("harden", node, verbose=(), **asked))
    assert len(told) < 100
    assert max(map(len, told)) < 500
    table = told[told.index("pve1: 120 containers, one after another:") + 1 :][:4]
    assert [row.split()[0] for row in table] == ["CONTAINERS", "118", "1", "1"]
    assert "1000, 1002, 1004, 1005, 1006 … and 113 more  yes" in table[1]
    assert "features: keyctl=1; lxc.mount.entry: /srv/CTID/data0 mnt/data0 none" in table[1]
    assert table[1].endswith(" … and 7 more")
    assert [line for line in told if "/etc/pve/lxc/" in line] == [
        f"[@fake/pve1] /etc/pve/lxc/{ctid}.conf" for ctid in (1000, 1001)
    ]
    said = "the same in 118 more, but for its CTID and name: CT 1002, 1003, 1004, 1005, 1006 … and"
    assert len([line for line in told if said in line]) == 1
    # nothing of it is lost
    actions = json.loads(plan.read_text())["nodes"][0]["actions"]
    assert len([one for one in actions if one["action"] == "container" and one["diff"]]) == 120
    assert len(actions[-1]["reasons"]) == 12
    everything = lines(pyinfra("harden", node, verbose=("-v",), **asked))
    assert len([line for line in everything if line.endswith(".conf")]) == 120
    assert len([line for line in everything if "  yes  " in line or "  no  " in line]) >= 119


def test_ten_containers_keep_their_diffs_and_their_rows(pyinfra):
    ctids = range(1000, 1010)
    done = pyinfra("harden", pve(ctids), fleet=fleet(ctids), flags=("--dry",), verbose=())
    told = lines(done)
    assert len([line for line in told if "/etc/pve/lxc/" in line]) == 10
    assert "#   CTID  NAME    RESTART  WHY" in told
    assert "-v shows all" not in done.stderr


def test_profiles_of_their_own_are_not_told_by_the_hundred(pyinfra):
    ctids = range(1000, 1030)
    entries = fleet(ctids, apparmor_allows=["guest-mounts"])
    done = pyinfra("harden", pve(ctids), fleet=entries, flags=("--dry",), verbose=())
    told = [line for line in done.stderr.splitlines() if line.startswith("pve1: ")]
    assert "pve1: … and 25 more of this kind (drift.profile)" in told
    assert done.stderr.count("/etc/apparmor.d/lxc-docker-nested-1") <= 20
    assert "the same in 29 more, but for its CTID and name" in done.stderr


def test_a_thousand_containers_of_ten_mounts_make_no_long_command_and_no_long_line(pyinfra):
    ctids = range(1000, 2000)
    node = pve(ctids, mounts=10)
    done = pyinfra("harden", node, fleet=fleet(ctids, mounts=10), flags=("--dry",), verbose=())
    assert done.code == 0
    assert max(map(len, done.stderr.splitlines())) < 500
    # with the commands, those of a run too, and all reasons of each; one brings the program along
    ctids = [*ctids][:20]
    done = pyinfra("harden", node, fleet=fleet(ctids, mounts=10))
    assert done.code == 0
    assert len(done.commands) == 20
    assert max(map(len, done.stderr.splitlines())) < 40_000
    assert max(len(line) for line in done.stderr.splitlines() if "/srv/" in line) < 1000


def test_a_node_that_fails_is_told_without_the_question(pyinfra):
    ctids = range(1000, 2000)
    node = pve(ctids, mounts=10, responses={"observe ": {"success": False, "stderr": "no"}})
    done = pyinfra("harden", node, fleet=fleet(ctids, mounts=10), flags=("--dry",))
    assert done.code == 1
    assert max(map(len, done.stderr.splitlines())) < 500
    (line,) = [line for line in done.stderr.splitlines() if "could not load fact" in line]
    assert "facts.observe.Observe asked=containers,apparmor,storage," in line


def test_a_thousand_refusals_of_a_kind_are_one_line(pyinfra):
    ctids = range(1000, 1100)
    entries = fleet(ctids, mounts=1, path="/etc/ct{ctid}")
    done = pyinfra("harden", pve(ctids), fleet=entries, flags=("--dry",), verbose=())
    assert done.code == 1
    told = [line for line in done.stderr.splitlines() if "allow=host-paths" in line]
    assert len(told) == 1
    assert "pve1: 100 containers: " in told[0]
    assert ": CT 1000, 1001, 1002, 1003, 1004 … and 95 more" in told[0]


def test_of_a_file_full_of_mistakes_some_are_told_and_where_the_others_are(pyinfra):
    entries = {str(ctid): {"apparmor_profile": "x"} for ctid in range(1000, 1300)}
    done = pyinfra("harden", pve([910]), fleet=entries, verbose=())
    assert done.code == 1
    assert "… and 295 more: phoenix check " in done.stderr
    assert len(done.stderr.splitlines()) < 30


def test_containers_that_no_node_has_are_named_up_to_twenty(pyinfra):
    done = pyinfra("harden", pve([910]), fleet=fleet([910, *range(1000, 1300)]), verbose=())
    (line,) = [line for line in done.stderr.splitlines() if "but on no node" in line]
    assert line.endswith("1018, 1019 … and 280 more")


def test_an_audit_tells_what_many_containers_have_once_beside_their_rows(pyinfra):
    ctids = range(1000, 1040)
    conf = f"{RIGHT}lxc.cgroup2.devices.allow: a\n"
    label = "lxc-docker-nested (enforce)"
    node = pve(ctids, conf, label=label, apparmor=installed())
    done = pyinfra("audit", node, fleet=fleet(ctids), verbose=())
    told = done.stderr.splitlines()
    assert len([line for line in told if line.startswith("10") and "  ok  " in line]) == 40
    (line,) = [line for line in told if "workaround" in line]
    assert line.startswith("pve1: 40 containers: workaround ")
    assert line.endswith(": CT 1000, 1001, 1002, 1003, 1004 … and 35 more")
    everything = pyinfra("audit", node, fleet=fleet(ctids), verbose=("-v",)).stderr.splitlines()
    assert len([line for line in everything if "workaround" in line]) == 40
