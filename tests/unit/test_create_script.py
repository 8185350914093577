"""create, against a fake root and fakes of pct and zfs; tests/lab has it against real ones."""

import re
import stat

import pytest
from create_node import (
    CLONE,
    CONF,
    DOCKER,
    FINAL,
    MARK,
    OWNER,
    RAW,
    RUN,
    SOURCE,
    SRV,
    TANK,
    Node,
    change,
)
from script_node import sha


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


# --- what succeeds --------------------------------------------------------------------------------


def test_what_is_made_has_the_raw_lines_from_its_first_start_on(node):
    done = node.create()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.conf.read_text() == FINAL
    assert (node.fake / "started-with").read_text() == FINAL
    assert node.events == ["intent", "started", "done"]
    assert node.state == "running"


def test_each_step_says_its_verdict_and_its_time(node):
    node.asks(datasets=[TANK], folders=[SRV], install=DOCKER, snapshot="ready")
    said = re.findall(r"^CT 970: ok (.*) \([0-9]+ s\)$", node.create().stdout, re.MULTILINE)
    assert said == [
        "dataset tank/web",
        "folder /srv/web/data",
        "pct create",
        "its raw lines",
        "its conf, before it starts for the first time",
        "starts",
        "the start has left its conf alone",
        "PID 1 runs as lxc-docker-nested (enforce)",
        "Docker is installed",
        "dockerd answers",
        "a container of our own runs and answers on a published port",
        "its next start will be the same",
        "snapshot ready",
    ]


def test_until_its_conf_is_final_it_carries_the_mark_of_its_run(node):
    node.asks(pct=[*[["create", "970", "local:vztmpl/a"]], ["resize", "970", "rootfs", "10G"]])
    (node.fake / "before-resize").write_text('cp "$conf/970.conf" "$FAKE/seen"')
    assert node.create().returncode == 0
    assert (node.fake / "seen").read_text() == f"#{MARK}\n{FINAL}"
    assert MARK not in node.conf.read_text()
    assert f"create 970 local:vztmpl/a --description {MARK}" in node.pct


def test_the_journal_tells_a_container_that_was_not_there_before(node):
    assert node.create().returncode == 0
    made = change(node)
    assert (made.before, made.after, made.outcome) == ("none", sha(FINAL), "done")


def test_a_clone_keeps_nothing_raw_pending_or_snapshotted_of_its_source(node):
    node.asks(pct=CLONE)
    done = node.create()
    assert done.returncode == 0, done.stdout
    assert (node.fake / "started-with").read_text() == node.conf.read_text()
    assert node.conf.read_text() == FINAL.replace("vm-970", "base-970")
    assert node.source.read_text() == SOURCE
    assert node.pct[0] == f"clone 900 970 --snapname clean --description {MARK}"


def test_a_clone_has_its_own_raw_lines_as_soon_as_it_is_one(node):
    node.asks(pct=CLONE)
    (node.fake / "before-set").write_text('cp "$conf/970.conf" "$FAKE/seen"')
    assert node.create().returncode == 0
    seen = (node.fake / "seen").read_text()
    assert (seen.count("lxc."), seen.count("[")) == (1, 0)
    assert seen.endswith("lxc.apparmor.profile: lxc-docker-nested\n")


def test_the_environment_that_proxmox_keeps_as_raw_lines_stays(node):
    (node.fake / "conf").write_text(f"{CONF}lxc.environment.runtime: TZ=UTC\nlxc.idmap: u 0 0 1\n")
    assert node.create().returncode == 0
    assert node.conf.read_text() == FINAL.replace(
        "lxc.app", "lxc.environment.runtime: TZ=UTC\nlxc.app"
    )


PROGRAM = "lxc.init.uid: 1000\nlxc.init.cwd: /srv\nlxc.signal.halt: SIGQUIT\n"


def test_what_makes_a_program_of_an_image_stays(node):
    (node.fake / "conf").write_text(f"{CONF}{PROGRAM}lxc.cap.keep: sys_admin\n")
    assert node.create().returncode == 0
    assert node.conf.read_text() == FINAL.replace("lxc.app", f"{PROGRAM}lxc.app")


def test_of_a_program_that_is_cloned_nothing_is_there_twice(node):
    pairs = [line.split(": ") for line in PROGRAM.splitlines()]
    node.source.write_text(SOURCE.replace("lxc.cgroup2", f"{PROGRAM}lxc.cgroup2"))
    node.asks(pct=CLONE, raw=[*pairs[:2], *RAW])
    assert node.create().returncode == 0
    assert node.conf.read_text().count("lxc.") == 3


def test_docker_comes_in_once_it_runs_confined_and_before_it_is_proven(node):
    node.asks(install=DOCKER)
    said = node.create().stdout.splitlines()
    (installs,) = (line for line in said if line.startswith("CT 970: installs"))
    assert installs == f"CT 970: installs {DOCKER} while running"
    order = [line.split(" (")[0].removeprefix("CT 970: ") for line in said]
    assert order.index("ok PID 1 runs as lxc-docker-nested") < said.index(installs)
    assert said.index(installs) < order.index("ok dockerd answers")


def test_one_that_shall_not_run_is_stopped_again_before_its_snapshot(node):
    node.asks(start=False, snapshot="clean")
    assert node.create().returncode == 0
    assert node.state == "stopped"
    assert node.pct[-2:] == [
        "shutdown 970 --timeout 90",
        f"snapshot 970 clean --description made by phoenix-harden {RUN}",
    ]
    assert "[clean]" in node.conf.read_text()
    assert change(node).after == sha(node.conf.read_text())


def test_one_that_shall_not_run_and_has_no_docker_is_never_started(node):
    (node.run / "970/docker").unlink()
    node.asks(start=False)
    assert node.create().returncode == 0
    assert [call.split()[0] for call in node.pct] == ["create"]
    assert node.events == ["intent", "done"]
    assert node.conf.read_text() == FINAL


def test_one_without_docker_is_proven_by_its_label(node):
    (node.run / "970/docker").unlink()
    done = node.create()
    assert done.returncode == 0
    assert "ok PID 1 runs as lxc-docker-nested (enforce)" in done.stdout
    assert "dockerd" not in done.stdout


def test_what_our_runs_have_brought_is_noted(node):
    node.stage(ours="the note")
    assert node.create().returncode == 0
    assert (node.root / "var/lib/phoenix-harden/containers/970").read_text() == "the note"


# --- datasets and folders -------------------------------------------------------------------------


def test_a_dataset_that_is_missing_is_made_with_its_quota_and_its_owner(node):
    node.asks(datasets=[TANK])
    assert node.create().returncode == 0
    zfs = [call for call in node.calls if call.startswith("zfs ") and " get " not in call]
    assert zfs == [
        f"zfs create -p -o phoenix-harden:new=1 -o quota={10 * 2**30} tank/web",
        "zfs inherit phoenix-harden:new tank/web",
    ]
    assert (node.root / "tank/web").stat().st_uid == OWNER[0]


def test_a_dataset_that_is_there_is_left_exactly_as_it_is(node):
    node.asks(datasets=[TANK])
    assert node.create().returncode == 0
    node.conf.unlink()
    (node.fake / "calls").unlink()
    (node.fake / "state-970").unlink()
    node.asks(datasets=[{**TANK, "quota": 1, "owner": (4711, 4711)}])
    assert node.create().returncode == 0
    assert [call.split()[1] for call in node.calls if call.startswith("zfs ")] == ["get"]
    assert (node.root / "tank/web").stat().st_uid == OWNER[0]


def test_one_that_a_cut_left_without_its_owner_gets_it(node):
    (node.fake / "before-create").write_text("kill -9 $PPID; exit")
    node.asks(datasets=[TANK])
    # in front of `zfs inherit`
    zfs = node.fake / "datasets"
    zfs.mkdir()
    (zfs / "tank+web").write_text(
        "type\tfilesystem\t-\nmountpoint\t/tank/web\tdefault\nmounted\tyes\t-\n"
        "phoenix-harden:new\t1\tlocal\n"
    )
    (node.root / "tank/web").mkdir(parents=True)
    node.create()
    assert "zfs inherit phoenix-harden:new tank/web" in node.calls


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ("type\tvolume\t-\n", "tank/web is there and is no file system"),
        ("type\tfilesystem\t-\nmounted\tno\t-\nphoenix-harden:new\t1\tlocal\n", "is not mounted"),
    ],
)
def test_a_dataset_that_cannot_serve_stops_it_before_pct(node, properties, why):
    (node.fake / "datasets").mkdir()
    (node.fake / "datasets/tank+web").write_text(properties)
    node.asks(datasets=[TANK])
    done = node.create()
    assert done.returncode == 1
    assert why in done.stdout.splitlines()[-1]
    assert node.pct == []


def test_a_folder_that_is_missing_is_made_with_its_owner_and_for_all_to_enter(node):
    node.asks(folders=[SRV])
    assert node.create().returncode == 0
    made = (node.root / "srv/web/data").stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid) == (0o755, OWNER[0])
    assert [path.name for path in (node.root / "srv/web").iterdir()] == ["data"]
    assert stat.S_IMODE((node.root / "srv/web").stat().st_mode) == 0o755


def test_a_folder_that_is_there_is_left_exactly_as_it_is(node):
    there = node.root / "srv/web/data"
    there.mkdir(parents=True, mode=0o700)
    node.asks(folders=[{**SRV, "owner": (4711, 4711)}])
    assert node.create().returncode == 0
    assert (stat.S_IMODE(there.stat().st_mode), there.stat().st_uid) == (0o700, OWNER[0])


def test_no_folder_is_made_behind_a_link_which_a_guest_may_have_put_there(node):
    (node.root / "srv").mkdir(exist_ok=True)
    (node.root / "etc").mkdir(exist_ok=True)
    (node.root / "srv/web").symlink_to(node.root / "etc")
    node.asks(folders=[SRV])
    done = node.create()
    assert (done.returncode, node.pct) == (1, [])
    assert "/srv/web/data is not made: /srv/web is a link or no folder" in done.stdout
    assert not (node.root / "etc/data").exists()


def test_what_is_no_folder_stops_it(node):
    node.has("/srv/web/data", "")
    node.asks(folders=[SRV])
    done = node.create()
    assert (done.returncode, node.pct) == (1, [])
    assert "/srv/web/data is there and is no folder" in done.stdout
