"""create that is killed: what is left is taken away, or was somebody else's."""

import pytest
from create_node import ANOTHERS, CLONE, CONF, CTID, FINAL, NOTHING_LEFT, RUN, SOURCE, Node, is_gone

from phoenix.runs.journal import read_journal


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def is_killed(node, name="", number=0, at=""):
    """Have it killed there; what is left can be taken up by whoever comes."""
    with node.killed_in(at) if at else node.killed_at(name, number):
        assert node.create().returncode == -9


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


def test_a_clone_that_was_cut_short_before_it_named_its_disk_may_have_left_one(node):
    node.asks(pct=CLONE)
    begun = """printf '#%s\\nlock: create\\nhostname: web\\n' "$7" >"$conf/970.conf";"""
    (node.fake / "in-create").write_text(f"{begun} kill -9 $PPID; exit")
    assert node.create().returncode == -9
    (node.fake / "in-create").unlink()
    assert "pvesm list STORAGE --vmid 970 shows it" in node.recover().stdout
    assert is_gone(node)


@pytest.mark.parametrize("copied", [True, False])
def test_the_firewalls_rules_that_a_clone_brought_go_with_it_and_no_others(node, copied):
    rules = node.has("/etc/pve/firewall/900.fw", "[OPTIONS]\nenable: 1\n")
    its_own = node.has("/etc/pve/firewall/970.fw", rules.read_text() if copied else "[RULES]\n")
    node.asks(pct=CLONE)
    is_killed(node, at="in-create")
    assert node.conf.read_text() == "lock: create\n"
    node.recover()
    assert is_gone(node)
    assert (its_own.exists(), rules.exists()) == (not copied, True)


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


def test_a_source_that_another_task_works_on_keeps_its_lock(node):
    node.asks(pct=CLONE)
    is_killed(node, at="in-create")
    node.has("/proc/4712/stat", f"4712 (task UPID:pve1) S {'0 ' * 18}4660 0")
    upid = "UPID:pve1:00001268:00001234:67470000:vzclone:900:root@pam:"
    node.has("/var/log/pve/tasks/active", f"{upid} 0\n")
    assert node.recover().returncode == 0
    assert node.source.read_text() == f"lock: disk\n{SOURCE}"
