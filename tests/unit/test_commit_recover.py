"""recover: what a kill or a power cut left of a commit is brought to its end."""

import pytest
from commit_node import NEW, OLD, Node
from script_node import sha


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_a_commit_that_never_came_to_its_swap_is_recovered_without_a_restart(node):
    node.was_cut_short("intent", conf=OLD)
    assert node.recover().returncode == 0
    assert (node.conf.read_text(), node.restarts) == (OLD, 0)
    assert node.events == ["intent", "restored"]


def test_one_that_was_stopped_before_its_swap_is_started_when_it_is_recovered(node):
    node.was_cut_short("intent", conf=OLD, state="stopped")
    done = node.recover()
    assert (done.returncode, node.restarts) == (0, 1)
    assert "CT 910: ok starts again" in done.stdout
    assert node.events == ["intent", "restored"]


def test_one_that_does_not_start_again_when_it_is_recovered_is_told(node):
    conf = OLD + "# boots-not\n"
    node.stage(before=sha(conf))
    node.was_cut_short("intent", conf=conf, state="stopped")
    done = node.recover()
    assert done.returncode == 3
    assert done.stdout.endswith("it ran before and does not start: pct start 910 --debug\n")
    assert node.events == ["intent", "restored"]


def test_a_swap_that_was_not_proven_is_proven_when_it_is_recovered(node):
    node.was_cut_short("intent", conf=NEW)
    done = node.recover()
    assert done.returncode == 0, done.stdout
    assert (node.conf.read_text(), node.restarts) == (NEW, 1)
    assert node.events == ["intent", "started", "done"]


def test_a_container_that_was_left_stopped_is_started_when_it_is_recovered(node):
    node.was_cut_short("intent", conf=NEW, state="stopped")
    assert node.recover().returncode == 0
    assert node.state == "running"


def test_one_that_was_restarted_already_is_only_proven_when_it_is_recovered(node):
    node.was_cut_short("intent", "started", conf=NEW)
    assert node.recover().returncode == 0
    assert node.restarts == 0
    assert node.events == ["intent", "started", "done"]


def test_what_a_gate_left_in_docker_when_it_was_cut_short_goes_when_it_is_recovered(node):
    (node.fake / "probes").write_text(f"{'c' * 12}\n")
    (node.fake / "images").write_text(f"{'d' * 12}\n{'e' * 12}\n")
    node.was_cut_short("intent", "started", conf=NEW)
    assert node.recover().returncode == 0
    assert f"guest docker rm -f {'c' * 12}" in node.calls
    assert f"guest docker rmi {'d' * 12} {'e' * 12}" in node.calls


def test_what_does_not_prove_itself_when_it_is_recovered_goes_back(node):
    (node.fake / "docker-denied").touch()
    node.was_cut_short("intent", "started", conf=NEW)
    assert node.recover().returncode == 1
    assert (node.conf.read_text(), node.restarts) == (OLD, 1)
    assert node.events == ["intent", "started", "back", "restored"]


@pytest.mark.parametrize("conf", [OLD, NEW], ids=["before", "after"])
def test_a_restoration_that_was_cut_short_is_finished(node, conf):
    node.was_cut_short("intent", "started", "back", conf=conf, state="stopped")
    assert node.recover().returncode == 1
    assert node.conf.read_text() == OLD
    assert node.state == "running"
    assert node.events == ["intent", "started", "back", "back", "restored"]


def test_an_edit_since_then_is_not_overwritten_when_it_is_recovered(node):
    (node.fake / "docker-denied").touch()
    node.was_cut_short("intent", "started", conf=NEW + "cores: 2\n")
    assert node.recover().returncode == 3
    assert node.conf.read_text() == NEW + "cores: 2\n"


@pytest.mark.parametrize("end", ["done", "restored", "failed"])
def test_what_has_ended_is_recovered_by_doing_nothing(node, end):
    node.was_cut_short("intent", end, conf=NEW)
    assert node.recover().returncode == 0
    assert node.events == ["intent", end]
    assert node.restarts == 0


def test_a_line_of_the_journal_that_was_cut_off_does_not_count(node):
    node.was_cut_short("intent", conf=NEW)
    with (node.run / "journal.jsonl").open("a") as journal:
        journal.write('{"time":"2026-11-22T01:30:00Z","ctid":910,"ev')
    assert node.recover().returncode == 0
    assert node.restarts == 1
    assert node.events == ["intent", "started", "done"]


def test_a_file_that_a_kill_left_beside_the_conf_is_removed(node):
    node.was_cut_short("intent", conf=OLD)
    node.conf.with_name("910.conf.tmp.4711").write_text("half of it")
    node.recover()
    assert [path.name for path in node.conf.parent.iterdir()] == ["910.conf"]


# --- when the unit of a commit has ended ----------------------------------------------------------


@pytest.mark.parametrize("events", [(), ("intent", "done"), ("intent", "refused")])
def test_a_commit_that_has_ended_or_never_began_is_left_alone_without_a_word(node, events):
    node.was_cut_short(*events, conf=NEW)
    before = (node.run / "journal.jsonl").read_bytes()
    done = node.recover("--if-cut")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (node.run / "journal.jsonl").read_bytes() == before
    assert node.calls == []


def test_what_the_commit_has_refused_is_not_refused_again(node):
    (node.run / "910/before").unlink()
    done = node.recover("--if-cut")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_that_was_cut_short_is_taken_up_at_once(node):
    node.was_cut_short("intent", conf=NEW)
    done = node.recover("--if-cut")
    assert done.returncode == 0, done.stdout
    assert node.events == ["intent", "started", "done"]


def test_while_the_node_goes_down_it_waits_for_the_next_run(node):
    node.tool("systemctl", "echo stopping; exit 1")
    node.was_cut_short("intent", conf=NEW)
    done = node.recover("--if-cut")
    assert (done.returncode, done.stdout) == (0, "")
    assert node.events == ["intent"]
    assert node.restarts == 0
