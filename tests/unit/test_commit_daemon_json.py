"""commit, with a guest's daemon.json: the real script in the guest, which is a folder here."""

from __future__ import annotations

import fcntl
import json

import pytest
from commit_node import CONTAINER, FAKES, IMAGE, NEW, OLD, STARTS, Node
from script_node import sha
from synced import Fsynced, Synced

BEFORE = '{"log-opts": {}}\n'
AFTER = '{"log-opts": {}, "storage-driver": "fuse-overlayfs"}\n'
DAEMON = "/etc/docker/daemon.json"

#: dockerd reads its file when the container or the service starts, and only then
STARTS_DOCKER = """
    cat "$PHOENIX_ROOT/etc/docker/daemon.json" >"$FAKE/dockerd-read" 2>/dev/null ||
        : >"$FAKE/dockerd-read"
"""
GUEST = (
    """
    while [ "$1" != -- ]; do shift; done
    shift
    case "$*" in
    *daemon-json*)
        eval "last=\\${$#}"
        case "$*" in
        *"daemon-json restart") echo 'restart docker' >>"$FAKE/calls" """
    + STARTS_DOCKER
    + """ ;;
        *"daemon-json leave "*) echo "leave $last" >>"$FAKE/calls" ;;
        *) exec "$@" ;;
        esac
        ;;
    *'{{.Driver}}'*)
        if ! grep -q fuse-overlayfs "$FAKE/dockerd-read"; then echo 'overlay2 []'; exit; fi
        [ ! -e "$FAKE/breaks" ] || exit 1
        echo 'fuse-overlayfs []'
        ;;
    *'docker import'*) echo """
    + IMAGE
    + """ ;;
    *'docker run'*) echo """
    + CONTAINER
    + """ ;;
    *'docker port'*) echo 127.0.0.1:32768 ;;
    esac
"""
)
PCT = FAKES["pct"].replace(STARTS, f"{STARTS}\n{STARTS_DOCKER}")


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    for name, text in (("lxc-attach", GUEST), ("pct", PCT)):
        node.tool(name, text)
    node.daemon = node.has(DAEMON, BEFORE, 0o600)
    (node.fake / "dockerd-read").write_text(BEFORE)
    node.stage(**{"daemon.json": AFTER, "daemon-before": sha(BEFORE)})
    node.stage(driver="fuse-overlayfs", **{"driver-before": "overlay2"})
    return node


def events(node, file=DAEMON):
    return [one["event"] for one in node.journal if one.get("file") == file]


def test_one_restart_of_the_container_brings_both_files(node):
    done = node.commit()
    assert (done.returncode, done.stderr) == (0, "")
    assert (node.conf.read_text(), node.daemon.read_text()) == (NEW, AFTER)
    assert (node.restarts, "restart docker" in node.calls) == (1, False)
    assert "CT 910: ok docker info says fuse-overlayfs" in done.stdout


def test_each_step_is_on_disk_before_the_next_one(node):
    kept, synced = Fsynced(node, node.daemon), Synced(node.fake, node.daemon)
    assert node.commit().returncode == 0
    before, after = BEFORE.strip(), AFTER.strip()
    assert (sha(BEFORE), before) in kept.calls
    its_own = ("daemon.json.phoenix-harden", "docker")
    assert [one for one in synced.calls if one[0] in its_own] == [
        ("daemon.json.phoenix-harden", before),
        ("docker", after),
    ]


def test_a_removal_is_on_disk_as_well(node):
    node.daemon.unlink()
    node.stage(**{"daemon-before": "none"})
    (node.fake / "breaks").touch()
    synced = Synced(node.fake, node.daemon)
    assert node.commit().returncode == 1
    assert [one for one in synced.calls if one[0] == "docker"] == [
        ("docker", AFTER.strip()),
        ("docker", ""),
    ]


def test_its_mode_stays(node):
    node.commit()
    assert node.daemon.stat().st_mode & 0o777 == 0o600


def test_both_files_are_in_the_journal_and_the_last_line_is_the_confs(node):
    node.commit()
    assert events(node) == ["intent", "done"]
    intent = next(one for one in node.journal if one.get("file") == DAEMON)
    expected = {
        "before": sha(BEFORE),
        "after": sha(AFTER),
        "driver_before": "overlay2",
        "driver": "fuse-overlayfs",
    }
    assert expected.items() <= intent.items()
    # apart from the node's own
    assert (node.run / "guest/910" / sha(BEFORE)).read_text() == BEFORE
    assert node.journal[-1]["file"] == "/etc/pve/lxc/910.conf"


def test_without_a_restart_of_the_container_docker_alone_restarts(node):
    node.stage(conf=OLD)
    (node.run / "910/restart").unlink()
    done = node.commit()
    assert done.returncode == 0, done.stdout
    assert (node.restarts, node.calls.count("restart docker")) == (0, 1)
    assert node.daemon.read_text() == AFTER
    assert "CT 910: ok docker info says fuse-overlayfs" in done.stdout
    assert "PID 1 runs" not in done.stdout


@pytest.mark.parametrize("restart", [True, False], ids=["container", "docker"])
def test_a_dockerd_that_does_not_start_brings_both_files_back(node, restart):
    (node.fake / "breaks").touch()
    if not restart:
        (node.run / "910/restart").unlink()
    done = node.commit()
    assert done.returncode == 1, done.stdout
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert events(node) == ["intent", "restored"]
    assert (node.restarts, node.calls.count("restart docker")) == ((2, 0) if restart else (0, 2))
    assert "CT 910: ok docker info says overlay2" in done.stdout
    # the old file names no driver: the other one's folder would keep dockerd from starting
    assert node.calls.count("leave fuse-overlayfs") == 1


def test_a_container_that_does_not_start_gets_its_daemon_json_back_when_it_runs_again(node):
    node.stage(conf=NEW + "tags: boots-not\n")
    done = node.commit()
    assert done.returncode == 1, done.stdout
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert (node.fake / "dockerd-read").read_text() == BEFORE


def test_a_file_that_was_not_there_goes_away_again(node):
    node.daemon.unlink()
    node.stage(**{"daemon-before": "none"})
    (node.fake / "breaks").touch()
    assert node.commit().returncode == 1
    assert not node.daemon.exists()


def test_a_new_file_is_readable_for_all(node):
    node.daemon.unlink()
    node.stage(**{"daemon-before": "none"})
    assert node.commit().returncode == 0
    assert node.daemon.stat().st_mode & 0o777 == 0o644


def test_a_rollback_stages_the_old_file_or_none_and_clears_the_driver_it_leaves(node):
    node.daemon.write_text(AFTER)
    (node.fake / "dockerd-read").write_text(AFTER)
    node.stage(**{"daemon-before": sha(AFTER)})
    (node.run / "910/daemon.json").unlink()
    node.stage(driver="overlay2", **{"driver-before": "fuse-overlayfs"})
    done = node.commit()
    assert done.returncode == 0, done.stdout
    assert not node.daemon.exists()
    assert "leave fuse-overlayfs" in node.calls
    assert "CT 910: ok docker info says overlay2" in done.stdout
    assert events(node) == ["intent", "done"]


def test_a_daemon_json_that_somebody_changed_since_is_left_and_so_is_the_conf(node):
    node.daemon.write_text("{}")
    done = node.commit()
    assert done.returncode == 4
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, "{}")
    assert f"CT 910: changed: somebody changed {DAEMON}" in done.stdout.splitlines()[-1]
    assert node.restarts == 0


def test_one_that_dockerd_refuses_changes_nothing(node):
    node.tool("dockerd", "echo 'unknown directive: nope'; exit 1")
    done = node.commit()
    assert done.returncode == 2
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert "dockerd refuses the new one: unknown directive: nope" in done.stdout
    assert events(node) == ["intent", "refused"]
    assert [path.name for path in node.daemon.parent.iterdir()] == ["daemon.json"]


def test_a_dockerd_too_old_to_check_it_is_no_obstacle(node):
    node.tool("dockerd", "echo 'unknown flag: --validate'; exit 125")
    assert node.commit().returncode == 0


def test_a_conf_that_cannot_be_swapped_takes_daemon_json_back(node, monkeypatch):
    # Proxmox works on it
    lock = node.has("/run/lock/lxc/pve-config-910.lock", "")
    with lock.open() as held, monkeypatch.context() as patch:
        fcntl.flock(held, fcntl.LOCK_EX)
        patch.setenv("PHOENIX_PATIENCE", "0.1")
        assert node.commit().returncode == 2
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert events(node) == ["intent", "refused"]


def test_in_a_container_that_was_stopped_meanwhile_it_stays_as_it_is(node):
    node.state = "stopped"
    done = node.commit()
    assert done.returncode == 0
    assert (node.conf.read_text(), node.daemon.read_text()) == (NEW, BEFORE)
    assert f"does not run: its {DAEMON} stays as it is" in done.stdout
    assert events(node) == []
    assert node.events == ["intent", "done"]


def test_what_somebody_writes_during_the_proof_is_not_overwritten(node):
    node.guest_says("docker run", f'echo \'{{"mine": 1}}\' >"$PHOENIX_ROOT{DAEMON}"; false')
    done = node.commit()
    assert done.returncode == 3
    assert node.daemon.read_text() == '{"mine": 1}\n'
    assert "was changed meanwhile and is left as it is" in done.stdout


def test_a_link_of_the_users_stays_one(node):
    real = node.root / "etc/docker/real.json"
    node.daemon.rename(real)
    node.daemon.symlink_to("real.json")
    assert node.commit().returncode == 0
    assert node.daemon.is_symlink()
    assert real.read_text() == AFTER


# --- settling what was cut short ----------------------------------------------------------------


def cut_short(node, *conf_events, conf, daemon):
    node.was_cut_short(*conf_events, conf=conf)
    node.daemon.write_text(daemon)
    (node.run / "files" / sha(BEFORE)).write_text(BEFORE)
    with (node.run / "journal.jsonl").open("a") as journal:
        entry = {"time": "2026-11-22T01:30:00Z", "ctid": 910, "event": "intent", "file": DAEMON}
        entry |= {"before": sha(BEFORE), "after": sha(AFTER)}
        journal.write(json.dumps(entry, separators=(",", ":")) + "\n")


@pytest.mark.parametrize("daemon", [BEFORE, AFTER], ids=["not yet", "already"])
def test_before_the_swap_of_the_conf_daemon_json_goes_back(node, daemon):
    cut_short(node, "intent", conf=OLD, daemon=daemon)
    assert node.recover().returncode == 0
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert node.calls.count("restart docker") == (daemon == AFTER)
    assert events(node)[-1] == "restored"


def test_after_the_swap_both_are_proven(node):
    cut_short(node, "intent", conf=NEW, daemon=AFTER)
    done = node.recover()
    assert done.returncode == 0, done.stdout
    assert (node.conf.read_text(), node.daemon.read_text()) == (NEW, AFTER)
    assert node.restarts == 1
    assert events(node)[-1] == "done"


def test_a_restoration_that_was_cut_short_restores_both(node):
    cut_short(node, "intent", "started", "back", conf=OLD, daemon=AFTER)
    assert node.recover().returncode == 1
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)


@pytest.mark.parametrize(
    ("name", "number"),
    [(sha(OLD), 1), (sha(BEFORE), 1), ("910.conf.tmp.", 1)]
    + [("journal.jsonl", number) for number in range(1, 7)],
)
def test_killed_at_any_moment_it_is_brought_to_one_of_its_ends(node, name, number):
    with node.killed_at(name, number):
        assert node.commit().returncode == -9
    ended = node.recover()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    new = (node.conf.read_text(), node.daemon.read_text()) == (NEW, AFTER)
    assert new or (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert (node.fake / "dockerd-read").read_text() == (AFTER if new else BEFORE)
    assert node.state == "running"
    assert [path.name for path in node.conf.parent.iterdir()] == ["910.conf"]
    assert "has ended for it already" in node.recover().stdout


# --- a guest that lies ----------------------------------------------------------------------------

FORGED = (
    '","after":"none"}\n{"time":"2026-11-22T01:30:00Z","event":"intent",'
    '"file":"/etc/ld.so.preload","before":"none","after":"none"}'
)


def test_whatever_a_guest_says_for_its_file_only_its_digest_reaches_the_journal(node):
    (node.fake / "forged").write_text(FORGED)
    read = f'grep -q fuse "$FAKE/dockerd-read" && cat "$FAKE/forged" || cat "{node.daemon}"'
    node.guest_says("daemon-json read", read)
    assert node.commit().returncode == 0
    assert len((node.run / "journal.jsonl").read_text().splitlines()) == len(node.journal) == 6
    (done,) = (one for one in node.journal if one["event"] == "done" and one["file"] == DAEMON)
    assert done["after"] == sha(FORGED)


def test_a_guest_that_does_not_tell_its_file_in_the_end_is_not_done(node):
    once = 'grep -q fuse "$FAKE/dockerd-read" && mkdir "$FAKE/once" 2>/dev/null && exit 1'
    node.guest_says("daemon-json read", f'{once}; cat "{node.daemon}"')
    done = node.commit()
    assert done.returncode == 1, done.stdout
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)


def test_a_driver_that_is_none_is_refused_before_anything_is_changed(node):
    node.stage(driver='overlay2","after":"none"}')
    done = node.commit()
    assert done.returncode == 2
    assert (node.conf.read_text(), node.daemon.read_text()) == (OLD, BEFORE)
    assert "has a value that is none of ours" in done.stdout
