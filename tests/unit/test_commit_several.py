"""commit of several containers in one call: each is a transaction as if it were the only one."""

import json

import pytest
from commit_node import NEW, OLD, RUN, Node
from script_node import sha

from phoenix.runs.journal import read_journal
from phoenix.runs.outcome import Ending, read_outcomes

CTIDS = (910, 911, 912)


class Several(Node):
    """A node with three stopped containers of which nothing but the conf changes."""

    def __init__(self, folder):
        super().__init__(folder)
        self.state = "stopped"
        (self.run / "910/restart").unlink()
        for ctid in CTIDS[1:]:
            self.has(f"/etc/pve/lxc/{ctid}.conf", OLD)
            (self.run / f"{ctid}").mkdir()
            for name, text in (("conf", NEW), ("before", sha(OLD))):
                (self.run / f"{ctid}/{name}").write_text(text)

    def commit(self, *ctids):
        return self.verb("commit", RUN, *map(str, ctids or CTIDS))

    @property
    def confs(self):
        return [(self.root / f"etc/pve/lxc/{ctid}.conf").read_text() for ctid in CTIDS]

    @property
    def told(self):
        """The journal: container and event."""
        return [(one["ctid"], one["event"]) for one in self.journal if one["event"] != "begin"]


@pytest.fixture
def node(tmp_path):
    return Several(tmp_path)


def endings(done):
    return {
        ctid: told.ending.value for ctid, told in read_outcomes(done.stdout.splitlines()).items()
    }


def test_each_has_its_own_lines_in_the_journal_and_its_own_ending(node):
    done = node.commit()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.confs == [NEW, NEW, NEW]
    assert node.told == [(ctid, event) for ctid in CTIDS for event in ("intent", "done")]
    assert endings(done) == dict.fromkeys(CTIDS, "done")


def test_each_can_be_undone_by_itself_from_its_before_image(node):
    (node.root / "etc/pve/lxc/911.conf").write_text(f"{OLD}cores: 2\n")
    (node.run / "911/before").write_text(sha(f"{OLD}cores: 2\n"))
    node.commit()
    changes = read_journal(RUN, (node.run / "journal.jsonl").read_text()).changes
    kept = {one.thing.ctid: (node.run / "files" / one.before).read_text() for one in changes}
    assert kept == {910: OLD, 911: f"{OLD}cores: 2\n", 912: OLD}


def test_after_one_that_is_refused_no_other_is_begun(node):
    (node.run / "911/before").unlink()
    done = node.commit()
    assert done.returncode == 2
    assert node.confs == [NEW, OLD, OLD]
    assert endings(done) == {910: "done", 911: "refused"}
    assert {ctid for ctid, _ in node.told} == {910}


def test_one_that_somebody_changed_is_left_for_another_plan_and_the_others_are_done(node):
    (node.root / "etc/pve/lxc/911.conf").write_text(f"{OLD}cores: 2\n")
    done = node.commit()
    assert done.returncode == 4
    assert node.confs == [NEW, f"{OLD}cores: 2\n", NEW]
    assert endings(done) == {910: "done", 911: Ending.CHANGED.value, 912: "done"}


def test_what_is_no_container_among_them_is_refused_before_anything(node):
    done = node.commit(910, "911; reboot")
    assert done.returncode == 2
    assert node.confs == [OLD, OLD, OLD]


@pytest.mark.parametrize("at", range(1, 10))
def test_wherever_it_is_killed_only_the_one_that_was_cut_short_is_taken_up(node, at):
    """Each container writes three lines to the disk: its before-image, intent and done."""
    with node.killed_at("journal.jsonl", at):
        done = node.commit()
    begun = {ctid for ctid, _ in node.told}
    if done.returncode == 0:
        assert begun == {*CTIDS}
        return
    assert done.returncode == -9
    recovered = node.verb("recover", RUN, *map(str, CTIDS), "--if-cut")
    assert recovered.returncode == 0, recovered.stdout
    # whole: each that was begun has come to its end, and of the others nothing was touched
    for ctid, conf in zip(CTIDS, node.confs, strict=True):
        events = [event for of, event in node.told if of == ctid]
        if ctid in begun:
            assert (events[-1], conf) in (("done", NEW), ("restored", OLD))
        else:
            assert (events, conf) == ([], OLD)


def test_one_that_cannot_be_taken_up_keeps_none_of_the_others(node):
    with node.killed_at("journal.jsonl", 2):
        node.commit()
    cut = node.told[-1][0]
    other = next(ctid for ctid in CTIDS if ctid != cut)
    (node.run / f"{other}/before").unlink()
    done = node.verb("recover", RUN, str(other), str(cut))
    assert done.returncode != 0
    assert node.told[-1] in ((cut, "done"), (cut, "restored"))


def test_where_none_was_cut_short_nothing_is_said_and_nothing_done(node):
    node.commit()
    before = json.dumps(node.journal)
    done = node.verb("recover", RUN, *map(str, CTIDS), "--if-cut")
    assert (done.returncode, done.stdout) == (0, "")
    assert json.dumps(node.journal) == before


@pytest.mark.parametrize("words", [(), (RUN,), (RUN, "910; reboot"), ("r1", "910")])
def test_what_names_no_container_of_a_run_is_taken_up_nowhere(node, words):
    done = node.verb("recover", *words, "--if-cut")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("refused: ")
