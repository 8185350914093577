"""What a run has come to: of several nodes a line each, and as data."""

import json
from datetime import UTC, datetime

import pytest

from phoenix.report.endings import Ended, Kind, NodeEnd, end_data, end_json, end_lines

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
TEXTS = {
    Kind.DONE: "done",
    Kind.UNCHANGED: "left as it was found",
    Kind.ATTENTION: "restored: as it was",
    Kind.UNKNOWN: "failed or connection lost",
    Kind.NOT_BEGUN: "not begun",
}


def ended(ctid, kind):
    return Ended(ctid, f"ct{ctid}", kind, TEXTS[kind])


def end(name, *kinds, first=910, **more):
    containers = tuple(ended(first + place, kind) for place, kind in enumerate(kinds))
    return NodeEnd(name, containers, **more)


def lines(*ends, recipe="harden", left_out=(), everything=False):
    return list(end_lines(ends, recipe, left_out, everything))


def test_of_one_node_every_container_has_its_row():
    assert lines(end("pve1", *Kind)) == [
        "pve1: 5 containers:",
        "CTID  NAME   RESULT",
        "910   ct910  done",
        "911   ct911  left as it was found",
        "912   ct912  restored: as it was",
        "913   ct913  failed or connection lost",
        "914   ct914  not begun",
    ]


def test_of_several_each_has_a_line_and_a_row_has_who_is_to_be_looked_at():
    told = lines(
        end("pve1", *[Kind.DONE] * 12, as_wanted=3),
        end("pve2", *Kind, Kind.ATTENTION),
        end("pve3", as_wanted=2),
    )
    assert told == [
        "pve2: 3 containers:",
        "CTID  NAME   RESULT",
        "912   ct912  restored: as it was",
        "913   ct913  failed or connection lost",
        "915   ct915  restored: as it was",
        "pve1: 12 hardened, 3 unchanged",
        "pve2: 1 hardened, 1 unchanged, 2 need attention (CT 912, 915), 1 unknown (CT 913), "
        "1 not begun",
        "pve3: 2 unchanged",
    ]


def test_everything_has_every_row_and_the_lines():
    told = lines(end("pve1", Kind.DONE), end("pve2", Kind.NOT_BEGUN), everything=True)
    assert told[:3] == ["pve1: 1 container:", "CTID  NAME   RESULT", "910   ct910  done"]
    assert told[-2:] == ["pve1: 1 hardened", "pve2: 1 not begun"]


@pytest.mark.parametrize(
    ("recipe", "line"), [("rollback", "1 undone"), ("create", "1 made"), ("harden", "1 hardened")]
)
def test_what_was_done_is_said_in_the_word_of_the_recipe(recipe, line):
    assert lines(end("pve1", Kind.DONE), end("pve2"), recipe=recipe)[0] == f"pve1: {line}"


def test_many_are_named_by_some_of_them():
    told = lines(end("pve1", *[Kind.UNKNOWN] * 100), end("pve2"))
    assert "100 unknown (CT 910, 911, 912, 913, 914 … and 95 more)" in told[-2]


def test_what_failed_of_a_node_itself_and_who_was_left_out_is_told():
    told = lines(end("pve1", failed=True), end("pve2"), left_out=["pve3"])
    assert told == [
        "pve1: a step of the node itself failed, see above",
        "pve2: done",
        "pve3: left out, nothing is known of what runs there",
    ]


def test_a_name_that_no_terminal_shall_see_is_made_printable():
    evil = NodeEnd("pve1", (Ended(910, "a\x1b[2J", Kind.ATTENTION, "b\x07"),))
    assert not any(character in "".join(lines(evil)) for character in "\x1b\x07")


def test_as_data_each_container_has_its_kind_and_each_node_its_counts():
    ends = [end("pve1", *Kind, as_wanted=3), end("pve2", Kind.DONE), end("pve3", failed=True)]
    data = json.loads(end_json(end_data(ends, "harden", "r1", ["pve4"], NOW)))
    assert data["time"] == "2026-11-22T01:30:00Z"
    assert (data["recipe"], data["run"], data["left_out"]) == ("harden", "r1", ["pve4"])
    assert [one["ok"] for one in data["nodes"]] == [False, True, False]
    first = data["nodes"][0]
    assert first["counts"] == {
        "done": 1, "unchanged": 4, "attention": 1, "unknown": 1, "not-begun": 1,
    }  # fmt: skip
    assert first["containers"][2] == {
        "ctid": 912, "name": "ct912", "ended": "attention", "text": "restored: as it was",
    }  # fmt: skip
