"""Journals: what a run did, what became of it, and which run is undone."""

import hashlib
import json
import re
from datetime import UTC, datetime

import pytest

from phoenix.runs.journal import FORMAT, JournalError, entry, read_journal
from phoenix.runs.record import (
    NONE,
    Thing,
    check_run_id,
    in_the_way,
    is_of_node,
    last_run,
    new_run_id,
)

TIME = "2026-11-22T01:30:00Z"
CONF = "/etc/pve/lxc/910.conf"
DAEMON = "/etc/docker/daemon.json"
PROFILE = "/etc/apparmor.d/lxc-docker-nested"
HOME = "/etc/apparmor.d/tunables/home"
A, B, C, D, E = (digit * 64 for digit in "abcde")
R1, R2, R3, R4 = (f"r20261122T0{hour}0000Z-beef" for hour in range(1, 5))
OPENED = entry("begin", time=TIME, format=FORMAT)


def line(event, **keys):
    """A line as the scripts of the version before wrote it."""
    return json.dumps({"time": TIME, "event": event, **keys}, separators=(",", ":"))


def of_conf(event, ctid=910, **keys):
    return line(event, ctid=ctid, file=f"/etc/pve/lxc/{ctid}.conf", **keys)


def of_daemon(event, ctid=910, **keys):
    return line(event, ctid=ctid, file=DAEMON, **keys)


def of_file(event, file=HOME, **keys):
    return line(event, file=file, **keys)


INTENT = of_conf("intent", before=A, after=B, ours=NONE)
DAEMON_INTENT = of_daemon("intent", before=C, after=D, driver_before="overlay2", driver="vfs")


def read(*lines, run=R1):
    return read_journal(run, "".join(f"{one}\n" for one in lines))


def read_new(*lines):
    return read(OPENED, *lines)


def refused(*lines, text=None):
    with pytest.raises(JournalError) as error:
        read_journal(R1, "".join(f"{one}\n" for one in lines) if text is None else text)
    return str(error.value)


# --- what a journal says ----------------------------------------------------------------------


def test_an_intent_that_nothing_follows_is_open():
    run = read(of_conf("intent", before=A, after=B, ours=C))
    (change,) = run.changes
    assert (change.thing, change.before, change.after) == (Thing(CONF, 910), A, B)
    assert (change.outcome, change.managed, change.stands) == ("open", C, True)
    assert run.open_containers == (910,)


def test_why_a_commit_went_back_is_one_word_of_ours():
    undone = {"time": TIME, "ctid": 910, "file": CONF}
    assert '"why":"undone"' in entry("back", **undone, why="undone")
    with pytest.raises(JournalError, match='key "why" has a value that is none of ours'):
        entry("back", **undone, why="a guest says so")
    # format 1 had none
    assert "does not belong" in refused(INTENT, of_conf("back", why="undone"))


@pytest.mark.parametrize("event", ["restored", "failed"])
def test_a_conf_that_was_replaced_and_kept_is_a_digest(event):
    about = {"time": TIME, "ctid": 910, "file": CONF, "after": A}
    assert f'"kept":"{B}"' in entry(event, **about, kept=B)
    with pytest.raises(JournalError, match='key "kept" has a value that is none of ours'):
        entry(event, **about, kept="/etc/passwd")
    # format 1 had none
    assert "does not belong" in refused(INTENT, of_conf(event, after=A, kept=B))


def test_done_tells_the_digest_that_was_found_afterwards():
    run = read(INTENT, of_conf("started", after=C), of_conf("done", after=D))
    assert run.changes[0].after == D
    assert run.open_containers == ()


@pytest.mark.parametrize("end", [of_conf("restored", after=A), of_conf("refused")])
def test_what_went_back_or_never_happened_does_not_stand(end):
    run = read(INTENT, end)
    assert not run.changes[0].stands
    assert run.open_containers == ()


MAKES = of_conf("intent", before=NONE, after=B, ours=NONE)


def test_a_container_that_was_not_there_is_made_and_open_until_it_ends():
    run = read_new(MAKES, of_conf("started", after=C))
    (change,) = run.changes
    assert (change.creates, change.stands, run.open_containers) == (True, True, (910,))
    (change,) = read_new(MAKES, of_conf("started", after=C), of_conf("done", after=D)).changes
    assert (change.after, change.planned, change.stands) == (D, B, True)


def test_one_that_was_taken_away_again_does_not_stand():
    run = read_new(MAKES, of_conf("back"), of_conf("restored", after=NONE))
    assert (run.changes[0].stands, run.open_containers) == (False, ())


def test_one_that_is_destroyed_is_not_made():
    goes = of_conf("intent", before=A, after=NONE, ours=B)
    (change,) = read_new(goes, of_conf("done", after=NONE)).changes
    assert (change.creates, change.after) == (False, NONE)


def test_a_restart_without_a_new_conf_is_nothing_to_undo():
    same = of_conf("intent", before=A, after=A, ours=NONE)
    assert not read(same, of_conf("done", after=A)).changes[0].stands


def test_profiles_and_packages_have_lines_of_their_own():
    run = read(
        line("intent", profile="lxc-docker-nested", before=NONE, after=B),
        line("done", profile="lxc-docker-nested", after=B),
        line("intent", ctid=952, packages="fuse-overlayfs"),
        line("done", ctid=952, packages="fuse-overlayfs libfuse3-4:amd64"),
    )
    assert [str(change.thing) for change in run.changes] == [
        "profile lxc-docker-nested",
        "CT 952 packages",
    ]
    assert run.changes[1].packages == ("fuse-overlayfs", "libfuse3-4:amd64")
    assert all(change.stands for change in run.changes)
    assert run.open_containers == ()


def test_packages_that_a_rollback_takes_out_are_nothing_to_undo():
    lines = [line(event, ctid=952, removed="fuse3 fuse-overlayfs") for event in ("intent", "done")]
    assert read(*lines).changes == ()


def test_an_end_that_names_no_file_ends_all_that_is_open_of_its_container():
    run = read(INTENT, DAEMON_INTENT, line("refused", ctid=910))
    assert [change.outcome for change in run.changes] == ["refused", "refused"]


def test_a_container_planned_anew_keeps_what_was_there_first():
    again = of_conf("intent", before=B, after=C, ours=NONE)
    (change,) = read(INTENT, again).changes
    assert (change.before, change.after) == (A, C)


def test_a_journal_comes_as_a_text_or_as_lines():
    assert read_journal(R1, [INTENT, of_conf("back")]) == read(INTENT, of_conf("back"))
    assert read_journal(R1, "").changes == ()


def test_the_first_line_names_the_format_and_the_run_that_is_undone():
    assert read(INTENT).format == 1
    assert (read_new().format, read_new().undoes) == (2, None)
    assert read(entry("begin", time=TIME, format=FORMAT, undoes=R2)).undoes == R2
    # as the version before began it, without a time
    old = read(json.dumps({"event": "begin", "undoes": R2}), INTENT)
    assert (old.format, old.undoes) == (1, R2)
    assert 'journal line 1: key "format"' in refused(OPENED.replace("2}", "3}"))
    assert "a run begins only once" in refused(OPENED, OPENED)
    assert "no event of ours" not in refused(INTENT, OPENED)


#: all that the version before writes, script by script
OF_THE_VERSION_BEFORE = {
    "commit": [
        *[INTENT, DAEMON_INTENT, of_conf("started", after=C), of_daemon("done", after=D)],
        of_conf("done", after=B),
    ],
    "commit that fails": [
        *[INTENT, DAEMON_INTENT, of_conf("started", after=C), of_conf("back")],
        *[of_daemon("restored", after=C), of_conf("restored", after=A)],
    ],
    "commit that is lost": [
        *[INTENT, DAEMON_INTENT, of_conf("back"), of_daemon("failed")],
        of_conf("failed", after=A),
    ],
    "commit that is refused": [INTENT, DAEMON_INTENT, of_daemon("refused"), of_conf("refused")],
    "commit whose guest did not answer": [
        *[INTENT, DAEMON_INTENT, of_daemon("done", after=""), of_conf("done", after=B)],
    ],
    "commit that is recovered twice": [
        *[INTENT, DAEMON_INTENT, of_daemon("done", after=D), of_daemon("restored", after=C)],
        of_conf("restored", after=A),
    ],
    "install-profile": [
        line("intent", profile="lxc-a", before=NONE, after=B),
        line("restored", profile="lxc-a", after=NONE),
    ],
    "install-tunables": [of_file("intent", before=A, after=B), of_file("done", after=B)],
    "install-hook": [
        of_file("intent", "/usr/local/lib/phoenix-harden/namespace", before=NONE, after=B),
        of_file("done", "/usr/local/lib/phoenix-harden/namespace", after=B),
    ],
    "install-watch": [
        of_file("intent", "/var/lib/phoenix-harden/wanted", before=A, after=B),
        of_file("done", "/var/lib/phoenix-harden/wanted", before=A, after=B),
    ],
    "put-back": [
        json.dumps({"event": "begin", "undoes": R2}),
        *[of_file("intent", PROFILE, before=A, after=NONE), of_file("done", PROFILE, after=NONE)],
    ],
    "packages": [
        line("intent", ctid=952, packages="fuse3"),
        line("failed", ctid=952, packages=""),
        line("intent", ctid=952, removed="fuse3"),
        line("failed", ctid=952, removed="fuse3"),
    ],
}


@pytest.mark.parametrize("lines", OF_THE_VERSION_BEFORE.values(), ids=OF_THE_VERSION_BEFORE)
def test_what_the_version_before_wrote_is_read(lines):
    assert read(*lines).format == 1


# --- what does not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        # of two equal keys the last one would win
        (INTENT[:-1] + f',"file":"{HOME}"}}', 'duplicate key "file"'),
        ('{"time":"x","\\u001b[2J":1,"\\u001b[2J":2}', 'duplicate key "\\x1b[2J"'),
        # where no run of ours has anything to restore
        (of_file("intent", "/etc/ld.so.preload", before=A, after=B), "is none of ours"),
        (of_file("intent", "/etc/profile.d/zz.sh", before=A, after=B), "is none of ours"),
        (of_file("intent", "/etc/apparmor.d/usr.bin.man", before=A, after=B), "is none of ours"),
        (of_file("intent", "/etc/apparmor.d/lxc-a/b", before=A, after=B), "is none of ours"),
        (of_file("intent", "/etc/apparmor.d/../lxc-a", before=A, after=B), "is none of ours"),
        (of_file("intent", CONF, before=A, after=B), "is none of ours"),
        (line("intent", profile="../cron.d/x", before=A, after=B), "is none of ours"),
        (line("intent", profile="lxc-a\n", before=A, after=B), "is none of ours"),
        # another container's, or no container at all
        (INTENT.replace("910.conf", "952.conf"), "is none of ours"),
        (INTENT.replace(":910,", ":91,"), "is none of ours"),
        (INTENT.replace(":910,", ":1000000000,"), "is none of ours"),
        (INTENT.replace(":910,", ':"910",'), "is none of ours"),
        (INTENT.replace(":910,", ":true,"), "neither a text nor a number"),
        (INTENT.replace(":910,", ":910.0,"), "neither a text nor a number"),
        (INTENT.replace(":910,", f":{'9' * 5000},"), "is none of ours"),
        # digests, times, names
        (INTENT.replace(A, "a"), "is none of ours"),
        (INTENT.replace(A, f"../{A[3:]}"), "is none of ours"),
        (INTENT.replace(A, A.upper()), "is none of ours"),
        (INTENT.replace(A, ""), "is none of ours"),
        (INTENT.replace(TIME, "now"), "is none of ours"),
        (line("done", ctid=952, packages="fuse3 --force"), "is none of ours"),
        (line("done", ctid=952, packages="fuse3  x"), "is none of ours"),
        (line("done", ctid=952, packages="fuse3\nx"), "is none of ours"),
        (DAEMON_INTENT.replace("vfs", "a b"), "is none of ours"),
        (DAEMON_INTENT.replace("vfs", "v" * 33), "is none of ours"),
        # keys and events
        (line("done", ctid=952, packages="x", file=CONF), 'key "file" does not belong to done'),
        (of_conf("intent", before=A, ours=NONE), 'intent of conf lacks the key "after"'),
        (of_conf("back", after=A), 'key "after" does not belong to back'),
        (of_conf("erase"), "no event of ours for conf: erase"),
        (line("done"), "no event of ours for nothing: done"),
        (of_file("failed"), "no event of ours for file: failed"),
        (json.dumps({"ctid": 910, "file": CONF, "event": "back"}), 'lacks the key "time"'),
        # nesting, and what is no object
        (INTENT.replace(f'"{CONF}"', "[]"), "neither a text nor a number"),
        (INTENT.replace(f'"{CONF}"', '{"a":1}'), "neither a text nor a number"),
        ("[" * 60000, "no JSON object"),
        ("null", "no JSON object"),
        ("[]", "no JSON object"),
        ("", "no JSON object"),
        ("\udcff", "no JSON object"),
        ("x" * 70000, "longer than 64 KiB"),
    ],
)
def test_a_line_that_does_not_fit_has_the_whole_journal_refused(bad, reason):
    said = refused(OPENED, bad, of_conf("back"))
    assert said.startswith(f"run {R1}: journal line 2: ")
    assert reason in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "lines",
    [
        [line("refused", ctid=910)],
        [of_conf("intent", before=A, after=B)],
        [of_daemon("intent", before=A, after=B)],
        [of_daemon("done", after="")],
    ],
)
def test_what_only_the_version_before_wrote_is_refused_in_new_journals(lines):
    assert "journal line 2" in refused(OPENED, *lines)


def test_only_the_very_last_line_may_be_cut_short():
    whole = read_new(INTENT)
    assert read_journal(R1, f"{OPENED}\n{INTENT}\n" + '{"time":"2026-11-22') == whole
    assert read_journal(R1, f"{OPENED}\n{INTENT}") == whole
    assert "journal line 3: no JSON object" in refused(OPENED, INTENT, '{"time":"2026-11-22')
    assert "no JSON object" in refused(OPENED, '{"time":"2026-11-22', INTENT)
    # whole, and not one of ours
    assert "no event of ours" in refused(text=f'{OPENED}\n{{"a":1}}')


def test_of_the_version_before_one_line_may_be_cut_short_and_recovered_behind():
    cut = of_conf("started", after=C)[:50]
    run = read(INTENT, cut, of_conf("restored", after=A))
    assert run.changes[0].outcome == "restored"
    assert "journal line 3" in refused(INTENT, cut, cut, of_conf("restored", after=A))
    assert "no JSON object" in refused(INTENT, "\0\0\0", of_conf("restored", after=A))


# --- a guest had a word in the journals of the version before -----------------------------------


def test_a_guest_that_forged_lines_within_its_own_commit_is_found_out():
    """Its answers stood unescaped in `done` and in `driver_before` of its daemon.json."""
    forged = [of_file("intent", before=NONE, after=A), of_file("done", after=A)]
    inside = [INTENT, DAEMON_INTENT, of_daemon("done", after=D)]
    assert "journal line 4: it stands within the commit of CT 910" in refused(*inside, *forged)
    # closing its own commit first does not help: the true end comes behind
    closed = [*inside, of_conf("done", after=B), *forged]
    last = of_daemon("done", after=D)
    assert "CT 910 has no commit that this could belong to" in refused(*closed, last)
    reopened = [*closed, INTENT, DAEMON_INTENT, last, of_conf("done", after=B)]
    assert "CT 910 has no commit that this could belong to" in refused(*reopened)
    aborted = [
        INTENT,
        DAEMON_INTENT,
        of_conf("refused"),
        *forged,
        INTENT,
        of_conf("started", after=B),
    ]
    assert "CT 910 has no commit that this could belong to" in refused(*aborted)


def test_a_guest_that_forged_lines_of_another_guest_is_found_out():
    other = of_conf("intent", 952, before=A, after=B, ours=NONE)
    assert "CT 952 has no commit" in refused(INTENT, DAEMON_INTENT, other)
    assert "CT 952 has no commit" in refused(of_daemon("done", 952, after=A))


@pytest.mark.parametrize(
    "stolen",
    [
        [of_file("intent", before=C, after=A)],
        [of_file("intent", PROFILE, before=D, after=A)],
        [line("intent", profile="lxc-a", before=C, after=A)],
        [of_conf("intent", 952, before=C, after=A, ours=NONE)],
        [of_conf("intent", 952, before=A, after=B, ours=C)],
        [
            of_conf("intent", 952, before=A, after=B, ours=NONE),
            of_daemon("intent", 952, before=C, after=E, driver_before="", driver=""),
        ],
        [
            of_conf("intent", 952, before=A, after=B, ours=NONE),
            of_daemon("intent", 952, before=D, after=E, driver_before="", driver=""),
        ],
    ],
    ids=["file", "put back", "profile", "conf", "ours", "daemon.json", "daemon.json as left"],
)
def test_what_a_guest_had_goes_back_to_no_one_else(stolen):
    lines = [INTENT, DAEMON_INTENT, of_conf("done", after=B), *stolen]
    # of two guests it is the first that has what the other one had as well
    where = f"journal line ({len(lines)}|2): (cccc|dddd)[cd]* is what a guest had"
    assert re.search(where, refused(*lines))
    # of a new journal the images of guests lie apart
    new = [*lines[:2], of_daemon("done", after=D), *lines[2:]]
    assert read_new(*new)


def test_two_guests_may_have_had_the_same_file():
    lines = [INTENT, DAEMON_INTENT, of_conf("done", after=B)]
    same = [one.replace("910", "952") for one in lines]
    assert [change.thing.ctid for change in read(*lines, *same).changes] == [910, 910, 952, 952]
    none = [one.replace(C, NONE) for one in (*lines, *same)]
    assert len(read(*none, of_file("intent", before=NONE, after=A)).changes) == 5


@pytest.mark.parametrize(
    "stolen",
    [
        of_file("intent", before=A, after=D),
        line("intent", profile="lxc-a", before=A, after=D),
        line("intent", profile="lxc-a", before=C, after=D),
    ],
    ids=["conf as a file", "conf as a profile", "ours as a profile"],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_a_conf_was_is_no_file_of_the_node(stolen, first):
    conf = [of_conf("intent", before=A, after=B, ours=C), of_conf("done", after=B)]
    lines = [stolen, *conf] if first else [*conf, stolen]
    assert "/etc/pve/lxc/910.conf was, not " in refused(*lines)
    assert read_new(*lines)


def test_what_one_file_of_the_node_was_is_no_other_one_unless_it_was_empty():
    empty = hashlib.sha256(b"").hexdigest()
    file, profile = (
        [one.replace(A, image) for image in (A, empty)]
        for one in (
            of_file("intent", before=A, after=B),
            line("intent", profile="lxc-a", before=A, after=B),
        )
    )
    assert f"is what {HOME} was, not lxc-a" in refused(file[0], profile[0])
    assert len(read(file[1], profile[1]).changes) == 2


# --- writing ------------------------------------------------------------------------------------


def test_an_entry_is_one_line_of_ascii_that_can_be_read_again():
    lines = [
        OPENED,
        entry("intent", time=TIME, profile="lxc-a", before=NONE, after=A),
        entry("done", time=TIME, profile="lxc-a", after=A),
        entry("intent", time=TIME, ctid=910, packages="fuse3"),
        entry("done", time=TIME, ctid=910, packages="fuse3 libfuse3-4:amd64"),
        entry("intent", time=TIME, ctid=910, file=CONF, before=A, after=B, ours=NONE),
        entry("started", time=TIME, ctid=910, file=CONF, after=B),
        entry("done", time=TIME, ctid=910, file=CONF, after=B),
        entry("intent", time=TIME, file=HOME, before=A, after=B),
        entry("restored", time=TIME, file=HOME, after=A),
        entry("done", time=TIME, ctid=952, removed="fuse3"),
    ]
    assert all(one.isascii() and one.isprintable() for one in lines)
    assert len(read(*lines).changes) == 4


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        ("done", {"ctid": 910, "file": DAEMON, "after": f'{A}"}}\n{{'}),
        ("done", {"ctid": 910, "file": DAEMON, "after": f"{A}\n"}),
        ("done", {"ctid": 910, "file": DAEMON, "after": ""}),
        ("done", {"ctid": 910, "packages": 'x","file":"/etc/ld.so.preload'}),
        ("done", {"ctid": 910, "packages": "a " * 40000 + "a"}),
        ("intent", {"file": "/etc/ld.so.preload", "before": A, "after": B}),
        ("done", {"ctid": 910, "file": CONF}),
        ("done", {"ctid": 910, "file": CONF, "after": A, "more": "x"}),
        ("gone", {"ctid": 910, "file": CONF}),
        ("begin", {"format": 1}),
        ("begin", {"format": 2, "undoes": "../x"}),
        ("back", {"ctid": 910, "file": CONF, "time": "later"}),
    ],
)
def test_what_could_not_be_read_again_is_not_written(event, keys):
    with pytest.raises(JournalError, match="journal entry: "):
        entry(event, **{"time": TIME, **keys})


def test_the_files_of_the_node_that_a_run_may_restore_are_a_closed_set():
    assert all(map(is_of_node, (HOME, PROFILE, "/usr/local/lib/phoenix-harden/watch")))
    for path in (
        "/etc/ld.so.preload",
        CONF,
        DAEMON,
        "/etc/apparmor.d/lxc-a/",
        "",
        "/",
        f"{HOME}\n",
    ):
        assert not is_of_node(path)


# --- which run is undone ------------------------------------------------------------------------


def test_the_last_run_is_never_one_that_undid_another():
    undo = read(entry("begin", time=TIME, format=FORMAT, undoes=R2), run=R3)
    assert last_run([read(run=R1), undo, read(run=R2)]) == R2
    assert last_run([]) is None


def changed(run, undoes=None):
    begin = {"undoes": undoes} if undoes else {}
    first = entry("begin", time=TIME, format=FORMAT, **begin)
    return read(first, INTENT, of_conf("done", after=B), run=run)


def test_a_later_run_over_the_same_thing_is_in_the_way():
    assert in_the_way([changed(R1), changed(R2)], R1, Thing(CONF, 910)) == R2


def test_a_later_run_that_was_undone_is_not_in_the_way():
    runs = [changed(R1), changed(R2), changed(R3, undoes=R2)]
    assert in_the_way(runs, R1, Thing(CONF, 910)) is None


def test_a_later_run_over_another_thing_is_not_in_the_way():
    assert in_the_way([changed(R1), changed(R2)], R1, Thing(PROFILE)) is None


def test_an_id_of_a_run_is_a_folder_and_nothing_else():
    run = new_run_id(datetime(2026, 11, 22, 1, 30, tzinfo=UTC), 0xBEEF)
    assert check_run_id(run) == run
    with pytest.raises(ValueError, match="--data list=true shows them"):
        check_run_id("../r20261122T013000Z-beef")
