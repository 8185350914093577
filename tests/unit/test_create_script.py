"""create, against a fake root and fakes of pct and zfs; tests/lab has it against real ones."""

import json
import os
import re
import stat

import pytest
from create_node import CLONE, CONF, CTID, FINAL, MARK, RAW, RUN, SOURCE, Node
from script_node import sha

from phoenix.runs.journal import read_journal

OWNER = (os.getuid(), os.getgid())
TANK = {"name": "tank/web", "quota": 10 * 2**30, "owner": OWNER}
SRV = {"path": "/srv/web/data", "owner": OWNER}
DOCKER = {"source": "distro", "driver": "fuse-overlayfs", "repository": None}
NOTHING_LEFT = "nothing is left of the container"


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def change(node):
    """What the journal says of the container."""
    (found,) = read_journal(RUN, (node.run / "journal.jsonl").read_text()).changes
    return found


def is_gone(node):
    confs = sorted(path.name for path in node.conf.parent.iterdir())
    return confs == ["900.conf"] and node.source.read_text() == SOURCE and node.state == "stopped"


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
        ("type\tvolume\t-\n", "tank/web is there and no file system"),
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


def test_a_folder_that_is_there_is_left_exactly_as_it_is(node):
    there = node.root / "srv/web/data"
    there.mkdir(parents=True, mode=0o700)
    node.asks(folders=[{**SRV, "owner": (4711, 4711)}])
    assert node.create().returncode == 0
    assert (stat.S_IMODE(there.stat().st_mode), there.stat().st_uid) == (0o700, OWNER[0])


def test_what_is_no_folder_stops_it(node):
    node.has("/srv/web/data", "")
    node.asks(folders=[SRV])
    done = node.create()
    assert (done.returncode, node.pct) == (1, [])
    assert "/srv/web/data is there and no folder" in done.stdout


# --- what fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["zfs create", "create", "set", "start", "snapshot"])
def test_a_step_that_fails_takes_the_container_away_and_says_why(node, fails):
    node.asks(
        datasets=[TANK],
        pct=[["create", "970", "local:vztmpl/a"], ["set", "970", "--hostname", "web"]],
        snapshot="ready",
    )
    node.fails(fails)
    done = node.create()
    assert done.returncode == 1
    assert is_gone(node)
    assert node.events[-2:] == ["back", "restored"]
    last = done.stdout.splitlines()[-1]
    assert last.startswith("CT 970: restored: ")
    assert last.endswith(NOTHING_LEFT)
    assert ("cannot" in last) == (fails != "start")


def test_a_pct_that_fails_is_named_with_its_own_last_words(node):
    node.fails("create")
    last = node.create().stdout.splitlines()[-1]
    assert (
        last == f"CT 970: restored: FAILED pct create: pct: create cannot be done; {NOTHING_LEFT}"
    )


@pytest.mark.parametrize("wrong", ["label", "install", "docker"])
def test_what_is_not_proven_is_taken_away(node, wrong):
    node.asks(install=DOCKER)
    if wrong == "label":
        node.label.write_text("unconfined\n")
    elif wrong == "install":
        node.installs(False)
    else:
        (node.fake / "docker-denied").touch()
        node.tool("lxc-attach", 'case "$*" in *"docker import"*) exit 1 ;; esac')
    done = node.create()
    assert done.returncode == 1, done.stdout
    assert is_gone(node)
    step = {"label": "PID 1 runs as", "install": "Docker is installed", "docker": "a container of"}
    assert done.stdout.splitlines()[-1].startswith(f"CT 970: restored: FAILED {step[wrong]}")


def test_one_that_pct_has_made_privileged_never_starts(node):
    (node.fake / "conf").write_text(CONF.replace("unprivileged: 1\n", ""))
    done = node.create()
    assert (done.returncode, is_gone(node)) == (1, True)
    assert not [call for call in node.pct if call.startswith("start")]


def test_one_that_shall_be_privileged_is_made_so(node):
    (node.fake / "conf").write_text(CONF.replace("unprivileged: 1\n", ""))
    node.stage(conf="hostname: web\nunprivileged: 0\n")
    assert node.create().returncode == 0


def test_one_that_goes_down_again_is_taken_away(node):
    (node.run / "970/docker").unlink()
    goes_down = """
        if grep -qs started "$PHOENIX_ROOT"/var/lib/phoenix-harden/runs/*/journal.jsonl; then
            echo stopped >"$FAKE/state-970"
        fi
    """
    node.tool("pct", goes_down + (node.fake / "pct").read_text())
    done = node.create()
    assert (done.returncode, is_gone(node)) == (1, True)
    assert done.stdout.splitlines()[-1] == (
        f"CT 970: restored: it does not run any more; {NOTHING_LEFT}"
    )


def test_a_dataset_of_a_run_that_failed_stays_and_that_is_said(node):
    node.asks(datasets=[TANK], folders=[SRV])
    node.fails("create")
    done = node.create()
    assert "note: made by this run and left as they are: tank/web, /srv/web/data" in done.stdout
    assert (node.root / "tank/web").is_dir()
    assert (node.root / "srv/web/data").is_dir()
    assert not [call for call in node.calls if call.startswith("zfs destroy")]


def test_a_protected_one_is_taken_away_as_well(node):
    (node.fake / "conf").write_text(CONF.replace("rootfs", "protection: 1\nrootfs"))
    node.fails("start")
    assert (node.create().returncode, is_gone(node)) == (1, True)


def test_one_that_cannot_be_destroyed_is_left_open_for_the_next_run(node):
    node.fails("start", "destroy")
    done = node.create()
    assert done.returncode == 3
    assert (
        "it is still there: pct: destroy cannot be done: pct unlock 970; pct destroy 970"
        in (done.stdout.splitlines()[-1])
    )
    assert node.events[-1] == "back"
    node.fails()
    assert node.recover("--if-cut").returncode == 1
    assert is_gone(node)
    assert node.events[-1] == "restored"


def test_a_hook_that_undoes_the_conf_is_the_reason(node):
    (node.fake / "conf").write_text(CONF.replace("hostname", "hookscript: local:a\nhostname"))
    (node.fake / "at-start").write_text('sed -i /^lxc/d "$conf/$2.conf"')
    done = node.create()
    assert (done.returncode, is_gone(node)) == (1, True)
    assert "restored: FAILED the start has left its conf alone" in done.stdout


def test_one_that_a_hook_undid_and_that_was_killed_then_is_taken_away(node):
    (node.fake / "conf").write_text(CONF.replace("hostname", "hookscript: local:a\nhostname"))
    (node.fake / "at-start").write_text('sed -i /^lxc/d "$conf/$2.conf"; kill -9 $PPID; exit')
    assert node.create().returncode == -9
    assert node.recover().returncode == 0
    assert is_gone(node)


def test_a_link_in_a_new_folders_way_is_not_followed(node):
    (node.root / "srv/web").mkdir(parents=True)
    (node.root / "srv/web/data.phoenix-new").symlink_to(node.root)
    node.asks(folders=[SRV])
    assert node.create().returncode == 1
    assert not (node.root / "srv/web/data").exists()


# --- what is somebody else's ----------------------------------------------------------------------

ANOTHERS = "hostname: another\nrootfs: local:970/vm-970-disk-0.raw\n"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/pve/lxc/970.conf",
        "/etc/pve/qemu-server/970.conf",
        "/etc/pve/nodes/pve2/lxc/970.conf",
        "/etc/pve/nodes/pve2/qemu-server/970.conf",
    ],
)
def test_a_guest_of_that_number_anywhere_is_refused_before_anything(node, path):
    conf = node.has(path, ANOTHERS)
    done = node.create()
    assert done.returncode == 2
    assert done.stdout == f"CT 970: refused: {path} is there already, nothing was changed\n"
    assert conf.read_text() == ANOTHERS
    assert node.calls == []
    assert not (node.run / "journal.jsonl").exists()


def test_a_clone_that_was_cut_short_before_it_named_its_disk_may_have_left_one(node):
    node.asks(pct=CLONE)
    begun = """printf '#%s\\nlock: create\\nhostname: web\\n' "$7" >"$conf/970.conf";"""
    (node.fake / "in-create").write_text(f"{begun} {KILL}")
    assert node.create().returncode == -9
    (node.fake / "in-create").unlink()
    assert "pvesm list STORAGE --vmid 970 shows it" in node.recover().stdout
    assert is_gone(node)


@pytest.mark.parametrize("conf", [ANOTHERS, "lock: create\n"], ids=["made", "being made"])
def test_one_that_somebody_makes_meanwhile_is_theirs(node, conf):
    (node.fake / "theirs").write_text(conf)
    (node.fake / "before-create").write_text('cp "$FAKE/theirs" "$conf/970.conf"')
    done = node.create()
    assert done.returncode == 2
    assert node.conf.read_text() == conf
    assert node.events[-1] == "refused"
    last = done.stdout.splitlines()[-1]
    assert last.startswith("CT 970: refused: FAILED pct create: unable to create CT 970")
    assert last.endswith("970.conf is not known to be this run's: it is left as it is")


def test_one_that_somebody_begins_before_pct_has_its_turn_is_theirs(node):
    node.asks(datasets=[TANK])
    node.tool("zfs", f'echo "lock: create" >"{node.conf}"; exit 1')
    done = node.create()
    assert (done.returncode, node.events[-1]) == (2, "refused")
    assert node.conf.read_text() == "lock: create\n"


def test_while_the_conf_cannot_be_read_nobody_says_that_it_is_gone(node):
    (node.fake / "before-start").write_text('rm "$conf/970.conf"; mkdir "$conf/970.conf"; exit 1')
    done = node.create()
    assert done.returncode == 3
    assert "cannot read /etc/pve/lxc/970.conf: Is a directory" in done.stdout.splitlines()[-1]
    assert node.events[-1] == "back"


def test_one_that_somebody_changes_meanwhile_is_left_as_it_is(node):
    node.tool("lxc-attach", f'echo "cores: 2" >>"{node.conf}"; exit 1')
    done = node.create()
    assert done.returncode == 3
    assert node.conf.read_text() == f"{FINAL}cores: 2\n"
    assert node.events[-1] == "failed"
    assert "was changed meanwhile: it is left as it is" in done.stdout.splitlines()[-1]


def test_while_a_task_of_proxmox_works_on_it_nothing_is_taken_away(node):
    node.has("/proc/4712/stat", f"4712 (task UPID:pve1) S {'0 ' * 18}4660 0")
    upid = "UPID:pve1:00001268:00001234:67470000:vzcreate:970:root@pam:"
    node.has("/var/log/pve/tasks/active", f"{upid} 0\n")
    node.fails("start")
    done = node.create()
    assert done.returncode == 3
    assert "a task of Proxmox (vzcreate) works on it still" in done.stdout
    assert node.conf.read_text() == FINAL


def test_a_task_that_has_ended_is_none(node):
    node.has("/proc/4712/stat", f"4712 (another) S {'0 ' * 18}9999 0")
    upid = "UPID:pve1:00001268:00001234:67470000:vzcreate:970:root@pam:"
    node.has("/var/log/pve/tasks/active", f"{upid} 1 67470100 OK\n")
    node.fails("start")
    assert (node.create().returncode, is_gone(node)) == (1, True)


# --- what is cut short ----------------------------------------------------------------------------

#: Ends the program by a kill right after it has put a file on disk, the NTH whose name begins so.
KILLED = """
import os, signal
def fsync(fd, real=os.fsync):
    global NTH
    real(fd)
    NTH -= os.readlink("/proc/self/fd/%d" % fd).rpartition("/")[2].startswith(NAME)
    if not NTH:
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
"""
KILL = "kill -9 $PPID; exit"


def is_killed(node, name="", number=0, at=""):
    """Have it killed there; what is left can be taken up by whoever comes."""
    boot = node.boot
    if at:
        (node.fake / at).write_text(KILL)
    else:
        node.boot = f"NAME, NTH = {name!r}, {number}\n{KILLED}{boot}"
    assert node.create().returncode == -9
    node.boot = boot
    if at:
        (node.fake / at).unlink()


BOUNDARIES = [
    *(("journal.jsonl", number, "") for number in (2, 3)),
    *(("made", 1, ""), ("970.conf.tmp.", 1, ""), ("970.conf.tmp.", 2, "")),
    *(("", 0, at) for at in ("before-create", "in-create", "before-set", "before-start")),
    *(("", 0, at) for at in ("at-start", "before-snapshot", "before-status")),
]


@pytest.mark.parametrize("clones", [False, True], ids=["created", "cloned"])
@pytest.mark.parametrize(("name", "number", "at"), BOUNDARIES)
def test_killed_at_any_moment_nothing_is_left_and_the_next_run_begins_anew(
    node, name, number, at, clones
):
    first = CLONE[0] if clones else ["create", "970", "local:vztmpl/a"]
    at = at.replace("-create", "-clone") if clones and at == "before-create" else at
    node.asks(pct=[first, ["set", "970", "--hostname", "web"]], snapshot="ready")
    is_killed(node, name, number, at)
    ended = node.recover("--if-cut")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert is_gone(node)
    assert node.events[-1] == "restored"
    last = ended.stdout.splitlines()[-1]
    assert last == f"CT 970: restored: run {RUN} was interrupted; {NOTHING_LEFT}"
    assert node.create().returncode == 0
    assert node.events[-1] == "done"


def test_killed_with_its_first_line_nothing_has_begun(node):
    is_killed(node, "journal.jsonl", 1)
    assert node.recover("--if-cut").returncode == 0
    assert node.create().returncode == 0


def test_what_cannot_be_written_down_as_made_is_taken_away_now_and_not_when_it_is_in_use(node):
    # a full disk, from the moment on at which all is proven
    node.boot = f"""
import os
def write(fd, data, real=os.write):
    if b'"event":"done"' in bytes(data):
        raise OSError(28, "No space left on device")
    return real(fd, data)
os.write = write
{node.boot}"""
    done = node.create()
    assert done.returncode == 1, done.stdout
    assert is_gone(node)
    assert done.stdout.splitlines()[-1].startswith(
        "CT 970: restored: FAILED its making is written down"
    )
    assert node.events == ["intent", "started", "back", "restored"]


def test_killed_when_all_is_done_it_stays(node):
    is_killed(node, "journal.jsonl", 4)
    assert "has ended for it already" in node.recover().stdout
    assert node.conf.read_text() == FINAL
    assert node.state == "running"


@pytest.mark.parametrize("at", ["before-destroy", "before-unlock"])
def test_a_failure_that_is_killed_while_it_is_taken_away_stays_one(node, at):
    node.fails("start")
    (node.fake / "conf").write_text(f"{CONF}lock: mounted\n")
    if at == "before-destroy":
        (node.fake / "conf").write_text(CONF)
    is_killed(node, at=at)
    assert node.events[-1] == "back"
    assert node.recover("--if-cut").returncode == 1
    assert is_gone(node)


def test_what_a_destroy_of_ours_has_left_that_was_cut_short_is_taken_away(node):
    node.fails("start")
    is_killed(node, at="before-destroy")
    # pct has freed its disks by then (pve-container LXC.pm, destroy_lxc_container)
    node.conf.write_text("lock: destroyed\n")
    assert node.recover("--if-cut").returncode == 1
    assert is_gone(node)
    assert node.events[-1] == "restored"


def test_what_is_being_made_is_open_for_other_runs(node):
    is_killed(node, at="in-create")
    record = read_journal(RUN, (node.run / "journal.jsonl").read_text())
    assert record.open_containers == (CTID,)


def test_a_conf_with_nothing_but_the_lock_may_have_left_a_disk_which_is_said(node):
    is_killed(node, at="in-create")
    assert node.conf.read_text() == "lock: create\n"
    assert "pvesm list STORAGE --vmid 970 shows it" in node.recover().stdout
    assert is_gone(node)


@pytest.mark.parametrize("conf", [ANOTHERS, "lock: create\nmemory: 512\n", "lock: backup\n"])
def test_what_somebody_has_made_since_is_theirs(node, conf):
    is_killed(node, at="before-create")
    node.conf.write_text(conf)
    assert node.recover().returncode == 2
    assert node.conf.read_text() == conf
    assert node.events[-1] == "refused"
    assert "has ended for it already" in node.recover().stdout


def test_a_conf_that_equals_the_expected_one_is_not_ours_by_that(node):
    is_killed(node, at="before-create")
    node.conf.write_text("hostname: web\nunprivileged: 1\n")
    assert node.recover().returncode == 2


def test_a_source_that_somebody_locked_before_is_refused(node):
    node.source.write_text(f"lock: backup\n{SOURCE}")
    node.asks(pct=CLONE)
    done = node.create()
    assert (done.returncode, node.pct) == (2, [])
    assert "CT 900, its source, is locked (backup)" in done.stdout


def test_a_source_that_another_task_works_on_keeps_its_lock(node):
    node.asks(pct=CLONE)
    is_killed(node, at="in-create")
    node.has("/proc/4712/stat", f"4712 (task UPID:pve1) S {'0 ' * 18}4660 0")
    upid = "UPID:pve1:00001268:00001234:67470000:vzclone:900:root@pam:"
    node.has("/var/log/pve/tasks/active", f"{upid} 0\n")
    assert node.recover().returncode == 0
    assert node.source.read_text() == f"lock: disk\n{SOURCE}"


def test_without_a_source_there_is_nothing_to_clone(node):
    node.source.unlink()
    node.asks(pct=CLONE)
    done = node.create()
    assert done.returncode == 2
    assert "CT 900, its source, is not here: nothing was changed" in done.stdout


# --- a request that is none -----------------------------------------------------------------------

CREATE = ["create", "970", "local:vztmpl/a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pct": []},
        {"pct": [["create", "971", "a"]]},
        {"pct": [["clone", "970", "970"]]},
        {"pct": [["destroy", "970"]]},
        {"pct": [CREATE, ["set", "971", "--memory", "1"]]},
        {"pct": [CREATE, ["start", "970"]]},
        {"pct": [[*CREATE, "--start", "1"]]},
        {"pct": [[*CREATE, "--sta=1"]]},
        {"pct": [[*CREATE, "-start", "1"]]},
        {"pct": [[*CREATE, "--force"]]},
        {"pct": [[*CREATE, "--description", "mine"]]},
        {"pct": [[*CREATE, "--hostname", "a\nb"]]},
        {"pct": [[*CREATE, 1]]},
        {"raw": [["lxc.apparmor.profile"]]},
        {"raw": [["hostname", "a"]]},
        {"raw": [["lxc.apparmor.profile", "a\nlxc.apparmor.profile: unconfined"]]},
        {"datasets": [{**TANK, "name": "-r tank"}]},
        {"datasets": [{**TANK, "quota": "1G"}]},
        {"datasets": [{**TANK, "owner": [0, -1]}]},
        {"datasets": [{**TANK, "more": 1}]},
        {"folders": [{**SRV, "path": "srv"}]},
        {"folders": [{**SRV, "path": "/srv/../etc"}]},
        {"folders": [{**SRV, "path": "/"}]},
        {"start": "true"},
        {"snapshot": "--force"},
        {"install": "docker"},
        {"more": 1},
    ],
    ids=json.dumps,
)
def test_what_is_not_of_its_form_is_refused_before_anything(node, changes):
    node.asks(**changes)
    done = node.create()
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("CT 970: refused: create.json: ")
    assert node.calls == []


def test_an_option_that_only_begins_like_one_of_those_is_fine(node):
    node.asks(pct=[[*CREATE, "--startup", "order=1", "--storage", "local", "--tags", "a"]])
    assert node.create().returncode == 0


@pytest.mark.parametrize("text", ["", "null", "[", "[" * 100_000])
def test_a_broken_file_is_refused_without_a_traceback(node, text):
    (node.run / "970/create.json").write_text(text)
    done = node.create()
    assert (done.returncode, done.stderr) == (2, "")


def test_the_raw_lines_are_the_files_and_none_of_pcts(node):
    node.asks(raw=[*RAW, ["lxc.cap.drop", "mknod"], ["lxc.cap.drop", "sys_rawio"]])
    assert node.create().returncode == 0
    assert node.conf.read_text() == f"{FINAL}lxc.cap.drop: mknod\nlxc.cap.drop: sys_rawio\n"
