"""create that does not come to its end by itself: what it made goes, what is not its own stays."""

import pytest
from create_node import (
    ANOTHERS,
    CLONE,
    CONF,
    DOCKER,
    FINAL,
    NOTHING_LEFT,
    SOURCE,
    SRV,
    TANK,
    Node,
    is_gone,
)

from phoenix.pve.health import HealthCheck


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


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


def test_one_whose_owners_check_fails_is_taken_away_with_the_way_to_go_without(node):
    attach = node.fake / "lxc-attach"
    text = attach.read_text()
    attach.write_text(text.replace('case "$*" in', 'case "$*" in\nis-it-up) exit 7 ;;', 1))
    check = HealthCheck(("is-it-up",), retries=1, interval=0)
    node.stage(health=check.render())
    done = node.create()
    assert done.returncode == 1
    assert is_gone(node)
    assert "CT 970: FAILED the owner's health check passes" in done.stdout
    assert "to go on without: --data accept=health_check" in done.stdout
    assert node.calls.count("guest is-it-up") == 2
    attach.write_text(text)
    done = node.create()
    assert (done.returncode, node.state) == (0, "running")
    assert "CT 970: ok the owner's health check passes" in done.stdout


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


def test_without_a_source_there_is_nothing_to_clone(node):
    node.source.unlink()
    node.asks(pct=CLONE)
    done = node.create()
    assert done.returncode == 2
    assert "CT 900, its source, is not here: nothing was changed" in done.stdout


# --- what is somebody else's ----------------------------------------------------------------------


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


def test_a_source_that_somebody_locked_before_is_refused(node):
    node.source.write_text(f"lock: backup\n{SOURCE}")
    node.asks(pct=CLONE)
    done = node.create()
    assert (done.returncode, node.pct) == (2, [])
    assert "CT 900, its source, is locked (backup)" in done.stdout
