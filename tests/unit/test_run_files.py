"""What a node keeps of its runs, as it answers."""

import hashlib
import json

import pytest

from phoenix.runs.files import Interrupted, RunFileError, run_files_from_json, runs_from_json
from phoenix.runs.journal import entry
from phoenix.runs.record import NONE

TIME = "2026-11-22T01:30:00Z"
RUN, LATER = "r20261122T013000Z-beef", "r20261122T020000Z-cafe"
CONF = {"ctid": 910, "file": "/etc/pve/lxc/910.conf"}
INTENT = entry("intent", time=TIME, **CONF, before="a" * 64, after="b" * 64, ours=NONE)
DONE = entry("done", time=TIME, **CONF, after="b" * 64)
OPENED = entry("begin", time=TIME, format=2)


def runs(active=(), problems=(), **journals):
    texts = {run: "".join(f"{line}\n" for line in lines) for run, lines in journals.items()}
    return runs_from_json({"runs": texts, "active": active, "problems": problems})


def sha(text):
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def test_runs_are_told_the_oldest_first_with_what_was_cut_short():
    seen = runs(**{LATER: [OPENED, INTENT], RUN: [INTENT, DONE]}, active=[[LATER, 910]])
    assert [(run.id, run.format) for run in seen.runs] == [(RUN, 1), (LATER, 2)]
    assert seen.interrupted == (Interrupted(LATER, 910, active=True),)
    assert seen.problems == ()
    assert json.dumps(seen.to_json())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (NONE, "b" * 64, "while it made this container; unless it is finished by then, what"),
        ("a" * 64, NONE, "while it destroyed this container; that is finished first"),
        ("a" * 64, "b" * 64, "was interrupted; it is recovered first"),
    ],
)
def test_that_a_recovery_ends_a_container_is_said_before_it_does(before, after, said):
    begun = entry("intent", time=TIME, **CONF, before=before, after=after, ours=NONE)
    (one,) = runs(**{LATER: [OPENED, begun]}).interrupted
    assert said in str(one)
    assert (one.makes, one.destroys) == (before == NONE, after == NONE)
    ended = entry("restored", time=TIME, **CONF, after=NONE)
    assert runs(**{LATER: [OPENED, begun, ended]}).interrupted == ()


def test_a_journal_that_does_not_fit_is_a_problem_and_the_others_count():
    bad = INTENT[:-1] + ',"file":"/etc/ld.so.preload"}'
    seen = runs(**{RUN: [OPENED, bad], LATER: [OPENED, INTENT, DONE]}, problems=["run x: odd"])
    assert [run.id for run in seen.runs] == [LATER]
    assert seen.problems == (
        "run x: odd",
        f'run {RUN}: journal line 2: duplicate key "file": refused; look at '
        f"/var/lib/phoenix-harden/runs/{RUN}/journal.jsonl, and move the folder out of "
        "/var/lib/phoenix-harden/runs if what it did need not be rolled back",
    )


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 5000, "\x00", '{"event":[]}\n', "\udcff\n"])
def test_no_journal_is_an_exception(text):
    data = {"runs": {RUN: text}, "active": [], "problems": []}
    assert runs_from_json(data).to_json()


def test_what_a_run_kept_comes_with_every_byte_and_each_guest_apart():
    odd = b"\xff\r\n\\".decode("utf-8", "surrogateescape")
    kept = run_files_from_json(
        {
            "files": {sha(odd): odd},
            "guest": {"910": {sha("{}"): "{}"}},
            "staged": {"910": {"conf": odd, "docker": ""}},
            "now": {"/etc/apparmor.d/lxc-a": None},
            "left": ["/etc/apparmor.d/lxc-a"],
        }
    )
    assert kept.of_node(sha(odd)) == odd
    assert kept.staged == {910: {"conf": odd, "docker": ""}}
    assert kept.now == {"/etc/apparmor.d/lxc-a": None}
    assert kept.left == ("/etc/apparmor.d/lxc-a",)
    assert kept.of_guest(910, sha("{}"), 2) == "{}"
    assert kept.of_node(NONE) is kept.of_guest(910, NONE, 2) is None
    with pytest.raises(RunFileError, match="is not kept"):
        kept.of_node(sha("{}"))
    with pytest.raises(RunFileError, match="is not kept"):
        kept.of_guest(952, sha("{}"), 2)


def test_a_guests_file_lies_with_the_nodes_only_in_runs_of_the_version_before():
    kept = run_files_from_json(
        {"files": {sha("{}"): "{}"}, "guest": {}, "staged": {}, "now": {}, "left": []}
    )
    assert kept.of_guest(910, sha("{}"), 1) == "{}"
    with pytest.raises(RunFileError, match="is not kept"):
        kept.of_guest(910, sha("{}"), 2)


def test_a_text_that_has_another_digest_is_not_whole():
    data = {"files": {"a" * 64: "x"}, "guest": {"910": {"a" * 64: "x"}}}
    kept = run_files_from_json({**data, "staged": {}, "now": {}, "left": []})
    for ask in (kept.of_node, lambda digest: kept.of_guest(910, digest, 2)):
        with pytest.raises(RunFileError, match="is not whole"):
            ask("a" * 64)
