"""node/runs.py on a tree of files: what runs wrote down, kept and staged."""

import hashlib

import pytest

from facts.journal import FilesOfRun, Runs
from facts.staged import Staged, StagedConf
from phoenix.pve.conf import PveConf
from phoenix.runs.journal import entry

RUN = "r20261122T013000Z-beef"
LATER = "r20261122T020000Z-cafe"
RUNS = "/var/lib/phoenix-harden/runs"
ABOUT = {"time": "2026-11-22T01:30:07Z", "ctid": 910, "file": "/etc/pve/lxc/910.conf"}
A, B = "a" * 64, "b" * 64


def line(event, **keys):
    return entry(event, **ABOUT, **keys) + "\n"


def of_profile(event, **keys):
    return entry(event, time=ABOUT["time"], profile="lxc-a", **keys) + "\n"


BEGIN = entry("begin", time=ABOUT["time"], format=2) + "\n"
INTENT = line("intent", before=A, after=B, ours="none")
DONE = line("done", after=B)


@pytest.fixture
def pve(node):
    node.tool("systemctl", "exit 1")
    return node


def journal(pve, run, text):
    pve.has(f"{RUNS}/{run}/journal.jsonl", text)


def put(pve, path, data):
    pve.has(path, "").write_bytes(data)


def test_a_node_that_never_saw_a_run_has_none(pve):
    assert pve.see(Runs).runs == ()
    assert pve.see(FilesOfRun, RUN).files == {}
    assert pve.see(Staged, RUN, 910) is None


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        (INTENT + DONE, False),
        (INTENT, True),
        (INTENT + DONE + INTENT, True),
        (INTENT + line("started", after=B), True),
        (INTENT + line("started", after=B) + line("back"), True),
        (INTENT + line("restored", after=A), False),
        (INTENT + line("refused"), False),
        (INTENT + line("failed", after=A), False),
        ("", False),
        (INTENT + DONE[:30], True),
        # with a line of something else behind it
        (INTENT + of_profile("intent", before=A, after=B), True),
        (INTENT + of_profile("intent", before=A, after=B) + of_profile("done", after=B), True),
    ],
)
def test_only_runs_that_were_cut_short_are_told_where_those_are_asked_for(pve, text, unfinished):
    journal(pve, RUN, BEGIN + text)
    told = pve.see(Runs, True).runs
    assert [run.id for run in told] == ([RUN] if unfinished else [])
    assert [run.id for run in pve.see(Runs).runs] == [RUN]


@pytest.mark.parametrize("unfinished", [True, False])
def test_a_journal_that_does_not_fit_is_told_so_that_it_is_refused(pve, unfinished):
    # as a guest's words got into one of the version before
    journal(pve, RUN, BEGIN + INTENT.replace("910.conf", "../../../ld.so.preload") + DONE)
    journal(pve, LATER, BEGIN + INTENT)
    seen = pve.see(Runs, unfinished)
    assert [run.id for run in seen.runs] == [LATER]
    assert RUN in seen.problems[0]


def test_a_line_that_was_cut_off_does_not_swallow_the_next_run(pve):
    journal(pve, RUN, BEGIN + INTENT + DONE[:30])
    journal(pve, LATER, BEGIN + INTENT + DONE)
    runs = pve.see(Runs).runs
    assert [run.id for run in runs] == [RUN, LATER]
    assert [bool(run.open_containers) for run in runs] == [True, False]


def test_only_folders_of_runs_are_read_and_no_journal_without_end(pve):
    for name in ("r1", f"{RUN}.bak", f"{RUN}\n"):
        journal(pve, name, BEGIN + INTENT)
    journal(pve, RUN, "x" * (4 * 1024 * 1024 + 1))
    (pve.root / RUNS[1:] / LATER).mkdir()
    (pve.root / RUNS[1:] / LATER / "journal.jsonl").symlink_to("../r1/journal.jsonl")
    seen = pve.see(Runs)
    assert seen.runs == ()
    assert seen.problems == (f"run {RUN}: its journal is larger than 4 MiB: refused",)


def test_commits_at_work_are_those_whose_unit_there_is(pve):
    units = (
        f"phoenix-harden-{RUN}-910.service loaded active running commit CT 910",
        f"phoenix-harden-recover-{RUN}-911.service loaded active running recover CT 911",
        "phoenix-harden-restart-952.service loaded active running restart CT 952",
        "● phoenix-harden-run.service",
        "",
    )
    pve.tool("systemctl", "cat <<'E'\n" + "\n".join(units) + "\nE")
    assert pve.see(Runs).active == ((RUN, 910),)


@pytest.mark.parametrize(
    ("holder", "more"),
    [
        (f"run {RUN}, CT 952\n", ((RUN, 952),)),
        (f"run {RUN}, CT 910\n", ()),
        (f"run {LATER}, CT 952\n", ()),
        ("another run\n", ()),
        ("\0" * 9, ()),
    ],
)
def test_of_a_unit_for_several_the_lock_says_at_which_it_is(pve, holder, more):
    unit = f"phoenix-harden-{RUN}-910.service loaded active running commit CT 910 and 2 more"
    pve.tool("systemctl", f"echo '{unit}'")
    pve.has("/var/lib/phoenix-harden/lock", holder)
    assert pve.see(Runs).active == ((RUN, 910), *more)


def test_every_byte_of_what_a_run_kept_and_staged_arrives(pve):
    data = bytes(range(256)) + b"\\n\\x41%20"
    digest = hashlib.sha256(data).hexdigest()
    run = f"{RUNS}/{RUN}"
    put(pve, f"{run}/files/{digest}", data)
    put(pve, f"{run}/guest/910/{digest}", data + b"x")
    put(pve, f"{run}/910/conf", data)
    put(pve, f"{run}/910/docker", b"")
    put(pve, "/etc/apparmor.d/lxc-a", data)
    kept = pve.see(FilesOfRun, RUN, ("/etc/apparmor.d/lxc-a", "/etc/apparmor.d/lxc-b"))
    text = data.decode("utf-8", "surrogateescape")
    assert kept.files == {digest: text}
    assert kept.guest_files == {910: {digest: f"{text}x"}}
    assert kept.staged == {910: {"conf": text, "docker": ""}}
    assert kept.now == {"/etc/apparmor.d/lxc-a": text, "/etc/apparmor.d/lxc-b": None}


def test_of_a_runs_folder_only_files_of_ours_are_told(pve):
    run = f"{RUNS}/{RUN}"
    for name in ("files/x", "910/other", "910/conf.new", "node.pyz", "abc/conf", "guest/x/y"):
        pve.has(f"{run}/{name}", "x")
    put(pve, f"{run}/files/{A}", b"x" * (2 * 1024 * 1024 + 1))
    (pve.root / f"{run}/910/label"[1:]).symlink_to("/etc/hostname")
    kept = pve.see(FilesOfRun, RUN)
    assert (kept.files, kept.guest_files, kept.staged) == ({}, {}, {910: {}})


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/apparmor.d/../shadow", "/etc/pve/lxc/910.conf"]
)
def test_only_places_that_a_run_of_ours_changes_are_looked_at(pve, path):
    pve.has(path, "secret")
    asked = {"run": RUN, "paths": ["/etc/apparmor.d/lxc-a", path]}
    done = pve.verb("observe", request={"run_files": asked})
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == f"refused: {path} is no file that a run of ours changes\n"


def test_a_new_file_that_never_came_into_its_place_is_told(pve):
    pve.has("/etc/apparmor.d/lxc-a.dpkg-new", "")
    pve.has("/etc/apparmor.d/lxc-b", "b")
    timer = "/etc/systemd/system/phoenix-harden-watch.timer"
    pve.has(f"{timer}.phoenix-new", "c")
    paths = ("/etc/apparmor.d/lxc-a", "/etc/apparmor.d/lxc-b", timer)
    kept = pve.see(FilesOfRun, RUN, paths)
    assert kept.now == {paths[0]: None, paths[1]: "b", paths[2]: None}
    assert kept.left == (paths[0], paths[2])


def test_what_is_staged_for_a_container_is_told_with_what_it_was_made_from(pve):
    folder = f"{RUNS}/{RUN}/910"
    put(pve, f"{folder}/conf", b"features: nesting=1\r\n#\xff\n")
    assert pve.see(Staged, RUN, 910) is None
    pve.has(f"{folder}/before", A)
    conf = PveConf("features: nesting=1\r\n#\udcff\n")
    assert pve.see(Staged, RUN, 910) == StagedConf(A, conf)
    assert pve.see(Staged, RUN, 911) is None
