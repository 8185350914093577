"""Journals: what a run did, what became of it, and which run is undone."""

import json
from datetime import UTC, datetime

import pytest

from phoenix.journal import (
    NONE,
    Thing,
    check_run_id,
    in_the_way,
    last_run,
    new_run_id,
    read_journal,
    run_lines,
)

CONF = "/etc/pve/lxc/910.conf"
PROFILE = "/etc/apparmor.d/lxc-docker-nested"


def entry(event, **keys):
    return json.dumps({"time": "2026-11-22T01:30:00Z", "event": event, **keys})


def of_conf(event, **keys):
    return entry(event, ctid=910, file=CONF, **keys)


def test_an_intent_that_nothing_follows_is_open():
    run = read_journal("r1", [of_conf("intent", before="a", after="b", ours="c")])
    (change,) = run.changes
    assert (change.thing, change.before, change.after) == (Thing(CONF, 910), "a", "b")
    assert (change.outcome, change.ours, change.stands) == ("open", "c", True)
    assert run.open_containers == (910,)


def test_done_tells_the_digest_that_was_found_afterwards():
    lines = [of_conf("intent", before="a", after="b"), of_conf("started", after="b2")]
    run = read_journal("r1", [*lines, of_conf("done", after="b3")])
    assert run.changes[0].after == "b3"
    assert run.open_containers == ()


@pytest.mark.parametrize("event", ["restored", "refused"])
def test_what_went_back_or_never_happened_does_not_stand(event):
    run = read_journal("r1", [of_conf("intent", before="a", after="b"), of_conf(event, after="a")])
    assert not run.changes[0].stands
    assert run.open_containers == ()


def test_a_restart_without_a_new_conf_is_nothing_to_undo():
    lines = [of_conf("intent", before="a", after="a"), of_conf("done", after="a")]
    assert not read_journal("r1", lines).changes[0].stands


def test_profiles_and_packages_have_lines_of_their_own():
    run = read_journal(
        "r1",
        [
            entry("intent", profile="lxc-docker-nested", before=NONE, after="b"),
            entry("done", profile="lxc-docker-nested", after="b"),
            entry("intent", ctid=952, packages="fuse-overlayfs"),
            entry("done", ctid=952, packages="fuse-overlayfs fuse3"),
        ],
    )
    assert [str(change.thing) for change in run.changes] == [
        "profile lxc-docker-nested",
        "CT 952 packages",
    ]
    assert run.changes[1].packages == ("fuse-overlayfs", "fuse3")
    assert all(change.stands for change in run.changes)
    assert run.open_containers == ()


def test_an_end_that_names_no_file_ends_all_that_is_open_of_its_container():
    run = read_journal(
        "r1",
        [
            of_conf("intent", before="a", after="b"),
            entry("intent", ctid=910, file="/etc/docker/daemon.json", before="c", after="d"),
            entry("refused", ctid=910),
        ],
    )
    assert [change.outcome for change in run.changes] == ["refused", "refused"]


def test_a_container_planned_anew_keeps_what_was_there_first():
    lines = [of_conf("intent", before="a", after="b"), of_conf("intent", before="b", after="c")]
    (change,) = read_journal("r1", lines).changes
    assert (change.before, change.after) == ("a", "c")


def test_a_line_that_a_crash_cut_off_is_skipped():
    lines = [of_conf("intent", before="a", after="b"), '{"time":"2026-11-22', "", "null"]
    assert read_journal("r1", lines).open_containers == (910,)


def test_the_last_run_is_never_one_that_undid_another():
    runs = [read_journal("r1", []), read_journal("r3", [entry("begin", undoes="r2")])]
    assert last_run([*runs, read_journal("r2", [])]) == "r2"
    assert last_run([]) is None


def changed(run, *begin):
    lines = [*begin, of_conf("intent", before="a", after="b"), of_conf("done", after="b")]
    return read_journal(run, lines)


def test_a_later_run_over_the_same_thing_is_in_the_way():
    assert in_the_way([changed("r1"), changed("r2")], "r1", Thing(CONF, 910)) == "r2"


def test_a_later_run_that_was_undone_is_not_in_the_way():
    runs = [changed("r1"), changed("r2"), changed("r3", entry("begin", undoes="r2"))]
    assert in_the_way(runs, "r1", Thing(CONF, 910)) is None


def test_a_later_run_over_another_thing_is_not_in_the_way():
    assert in_the_way([changed("r1"), changed("r2")], "r1", Thing(PROFILE)) is None


def test_the_list_shows_the_newest_first_and_what_became_of_each():
    cut = read_journal("r4", [of_conf("intent", before="a", after="b")])
    undo = changed("r3", entry("begin", undoes="r2"))
    assert run_lines({"pve1": [changed("r1"), changed("r2"), undo, cut]}) == [
        "RUN  NODE  STATE        CHANGED",
        "r4   pve1  interrupted  CT 910",
        "r3   pve1  undid r2     CT 910",
        "r2   pve1  rolled back  CT 910",
        "r1   pve1  done         CT 910",
    ]


def test_a_run_at_work_is_not_interrupted():
    cut = read_journal("r4", [of_conf("intent", before="a", after="b")])
    assert run_lines({"pve1": [cut]}, {"r4"})[1] == "r4   pve1  at work  CT 910"


def test_a_node_without_runs_says_so():
    assert run_lines({"pve1": []}) == ["no run has left a journal on these nodes"]


def test_an_id_of_a_run_is_a_folder_and_nothing_else():
    run = new_run_id(datetime(2026, 11, 22, 1, 30, tzinfo=UTC), 0xBEEF)
    assert check_run_id(run) == run
    with pytest.raises(ValueError, match="--data list=true shows them"):
        check_run_id("../r20261122T013000Z-beef")
