"""destroy, against a fake root and a fake pct: what the rollback of a run that made it does."""

import pytest
from create_node import FINAL, LATER, Node
from script_node import UNPACKED, sha

from phoenix.runs.journal import read_journal

#: What else a container of that number may have.
OTHER = FINAL.replace("hostname: web", "hostname: another")


class Made(Node):
    """A fake node that has a container 970 which a run has made and another one undoes."""

    def __init__(self, folder):
        super().__init__(folder)
        self.run = self.root / f"var/lib/phoenix-harden/runs/{LATER}"
        (self.run / "970").mkdir(parents=True)
        (self.run / "node.pyz").symlink_to(UNPACKED)
        self.conf.write_text(FINAL)
        (self.fake / "state-970").write_text("running\n")
        self.stage(conf="", destroy="", before=sha(FINAL))

    def destroy(self):
        return self.verb("destroy", LATER, "970")

    def recover(self, *words):
        return self.verb("recover", LATER, "970", *words)


@pytest.fixture
def node(tmp_path):
    return Made(tmp_path)


def test_it_is_shut_down_and_destroyed(node):
    note = node.has("/var/lib/phoenix-harden/containers/970", "what was ours")
    done = node.destroy()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.pct == ["shutdown 970 --timeout 90", "destroy 970"]
    assert done.stdout.splitlines()[-1] == "CT 970: done: destroyed"
    assert (node.conf.exists(), note.exists()) == (False, False)
    assert node.events == ["intent", "done"]


def test_its_conf_is_kept_by_the_run_that_destroys_it(node):
    node.destroy()
    assert (node.run / "files" / sha(FINAL)).read_text() == FINAL
    (change,) = read_journal(LATER, (node.run / "journal.jsonl").read_text()).changes
    assert (change.before, change.after, change.outcome) == (sha(FINAL), "none", "done")
    assert not change.creates


def test_one_that_somebody_changed_since_is_refused_and_untouched(node):
    node.conf.write_text(OTHER)
    done = node.destroy()
    assert done.returncode == 4
    assert node.conf.read_text() == OTHER
    assert node.pct == []
    assert not (node.run / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("lock: backup", "locked (backup)"),
        ("template: 1", "a template"),
        ("protection: 1", "protected (protection: 1)"),
    ],
)
def test_one_that_is_not_to_be_destroyed_is_refused(node, line, why):
    conf = FINAL.replace("rootfs", f"{line}\nrootfs")
    node.conf.write_text(conf)
    node.stage(before=sha(conf))
    done = node.destroy()
    assert done.returncode == 2
    assert done.stdout == f"CT 970: refused: {why}: nothing was changed\n"
    assert node.conf.read_text() == conf


def test_what_is_not_staged_to_be_destroyed_is_not(node):
    (node.run / "970/destroy").unlink()
    assert node.destroy().returncode == 2
    assert node.conf.read_text() == FINAL


def test_one_that_cannot_be_destroyed_runs_again(node):
    node.fails("destroy")
    done = node.destroy()
    assert done.returncode == 1
    assert (node.conf.read_text(), node.state) == (FINAL, "running")
    assert node.events == ["intent", "restored"]
    last = done.stdout.splitlines()[-1]
    assert last == "CT 970: restored: it is not destroyed: pct: destroy cannot be done"


def test_one_that_is_changed_while_it_shuts_down_stays_and_runs_again(node):
    (node.fake / "before-shutdown").write_text('echo "tags: kept" >>"$conf/970.conf"')
    done = node.destroy()
    assert done.returncode == 3
    assert (node.conf.read_text(), node.state) == (f"{FINAL}tags: kept\n", "running")
    assert "destroy 970" not in node.pct
    assert node.events == ["intent", "failed"]
    last = done.stdout.splitlines()[-1]
    assert last == "CT 970: failed: /etc/pve/lxc/970.conf was changed meanwhile: left as it is"


def test_one_that_cannot_be_stopped_stays(node):
    node.fails("shutdown", "stop")
    done = node.destroy()
    assert done.returncode == 1
    assert node.conf.read_text() == FINAL
    assert "destroy 970" not in node.pct


def test_one_that_is_gone_in_part_is_left_open_and_gone_on_with(node):
    half = 'echo "lock: destroyed" >"$conf/970.conf"; exit 255'
    (node.fake / "before-destroy").write_text(half)
    done = node.destroy()
    assert done.returncode == 3
    assert "it is gone in part" in done.stdout.splitlines()[-1]
    (node.fake / "before-destroy").unlink()
    assert node.recover("--if-cut").returncode == 0
    assert not node.conf.exists()
    assert node.events == ["intent", "done"]


@pytest.mark.parametrize(
    ("number", "at"),
    [(2, ""), (0, "before-shutdown"), (0, "before-destroy"), (0, "before-status")],
)
def test_killed_at_any_moment_it_is_gone_on_with(node, number, at):
    with node.killed_in(at) if at else node.killed_at("journal.jsonl", number):
        assert node.destroy().returncode == -9
    assert node.conf.read_text() == FINAL
    assert node.recover("--if-cut").returncode == 0
    assert (node.conf.exists(), node.state) == (False, "stopped")
    assert node.events == ["intent", "done"]
    assert "has ended for it already" in node.recover().stdout


def test_killed_and_changed_by_somebody_it_stays(node):
    (node.fake / "before-destroy").write_text("kill -9 $PPID; exit")
    node.destroy()
    node.conf.write_text(OTHER)
    assert node.recover().returncode == 3
    assert (node.conf.read_text(), node.events[-1]) == (OTHER, "failed")
