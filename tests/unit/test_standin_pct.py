"""The stand-in `pct` gives the answers of the real one: its recordings, replayed.

A case names a recording (a pattern that only one file matches), the confs that were there before
and, where the recordings show it, the conf afterwards. LXC's tools are fakes on PATH.
"""

import fnmatch
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from standin_node import Node

RECORDINGS = Path(__file__).parents[1] / "recordings/pct"

pytestmark = [
    pytest.mark.skipif(not shutil.which("bash"), reason="bash replays the recordings"),
]


@dataclass(frozen=True)
class Recording:
    command: str
    stdout: str
    stderr: str
    code: int


def recording(pattern: str) -> Recording:
    matches = [name for name in recorded_names() if fnmatch.fnmatchcase(name, pattern)]
    assert len(matches) == 1, f"{pattern} matches {matches}"
    text = (RECORDINGS / matches[0]).read_bytes().decode("utf-8", "surrogateescape")
    shape = r"\$ (.*?)\n((?:# .*\n)*)--- stdout\n(.*)--- stderr\n(.*)--- exit=(\d+) wall=.*"
    parts = re.fullmatch(shape, text.rstrip("\n"), re.DOTALL)
    assert parts, f"{matches[0]} is no recording"
    return Recording(parts[1], parts[3], parts[4], int(parts[5]))


def recorded_names() -> list[str]:
    return sorted(str(path.relative_to(RECORDINGS)) for path in RECORDINGS.glob("*/*.txt"))


def shown(pattern: str) -> str:
    """The conf that a recording of `cat` shows."""
    return recording(pattern).stdout


def shown_first(pattern: str) -> str:
    """The conf at the top of a recording of `cat …; pct …`."""
    head, main, *_ = re.split(r"(?m)^arch: ", recording(pattern).stdout, maxsplit=2)
    return f"{head}arch: {main}"


def shown_last(pattern: str, start: str = "arch: ") -> str:
    """The conf at the end of a recording of `pct …; cat …`."""
    text = recording(pattern).stdout
    return text[text.index("\n" + start) + 1 :] if not text.startswith(start) else text


def plain(ctid: str) -> str:
    """The conf that the recordings of stopped containers began with."""
    return (
        f"arch: amd64\ncores: 1\nhostname: ct{ctid}\nmemory: 256\nostype: debian\n"
        "rootfs: local:911/subvol-911-disk-0.subvol,size=0T\nswap: 0\nunprivileged: 1\n"
    )


@dataclass
class Case:
    pattern: str
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    running: str = ""
    env: dict[str, str] = field(default_factory=dict)
    any_order: bool = False
    log: str = ""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def cases() -> list[Case]:
    return [
        *stopped_cases(),
        *hand_written_cases(),
        *first_cases(),
        *features_cases(),
        *labbox_cases(),
    ]


def stopped_cases() -> list[Case]:
    """native/1: usage, refused options."""
    described = shown("native/1i__*")
    p911 = described.split("\n", 1)[1]
    pending = shown_first("native/1j__cat*")
    refused = [name for name in recorded_names() if name.startswith("native/1h__")]
    return [
        Case("native/1a__pct_list.txt"),
        *[Case(name.replace("[", "[[]"), {"911": p911}, {"911": p911}) for name in refused],
        Case("native/1i__*", {"911": p911}, {"911": described}, env={"LC_ALL": "C.UTF-8"}),
        Case("native/1j__cat*", {"912": pending}, {"912": pending}),
        Case("native/1j__pct_set*", {"912": pending}),
        Case("native/1k__*", {"913": shown_first("native/1k__*")}),
    ]


def hand_written_cases() -> list[Case]:
    """native/3 and 5: malformed lines, descriptions, locks."""
    bad = shown("native/3a__cat*")
    rewritten = shown("native/3b__cat*")
    sections = shown("native/3e__cat*")
    crlf = shown("native/3d__cat*").replace("^M$", "\r")
    p911, p913, p915 = plain("911"), plain("913"), plain("915")
    odd = "features : keyctl=1\nfeatures = nesting=1\nfeatures=nesting=1\n"
    described = shown("native/3i__cat*")
    mounted = shown("native/3j__cat*")
    locked = p915.replace("memory", "lock: backup\nmemory")
    lines = [name for name in recorded_names() if re.match(r"native/3g|native/3h__cat", name)]
    return [
        Case("native/3a__pct_config*", {"912": bad}, {"912": bad}, any_order=True),
        Case("native/3a__pct_list*", {"912": bad}),
        Case("native/3a__pct_status*", {"912": bad}),
        Case("native/3b__pct_set*", {"912": bad}, {"912": rewritten}),
        Case("native/3c__pct_config_913.txt", {"913": p913 + "memory: lots\n"}),
        Case(
            "native/3c__*.2.txt",
            {"913": p913 + "features: nesting=maybe\nunprivileged: 7\n"},
            any_order=True,
        ),
        Case("native/3c__*.3.txt", {"913": p913 + "features: keyctl=1\nfeatures:nesting=1\n"}),
        Case("native/3c__*.4.txt", {"913": p913 + odd}),
        Case("native/3d__cat*", {"913": crlf}),
        Case("native/3d__pct*", {"913": crlf}),
        Case("native/3e__pct_config_913.txt", {"913": sections}, {"913": sections}),
        Case("native/3e__*nosuch*", {"913": sections}),
        Case("native/3e__*snap1*", {"913": sections}),
        Case("native/3f__pct_config*", {"914": ""}),
        Case("native/3f__pct_list*", {"912": rewritten, "913": sections, "914": ""}),
        *[Case(name, {"913": shown_first(name)}) for name in lines],
        Case("native/3h__pct_set*", {"913": p913}, {"913": described}),
        Case("native/3i__pct_set*", {"913": described}, {"913": described}),
        Case("native/3j__*digest*", {"913": described}, {"913": described}),
        Case("native/3j__*nonexistent*", {"913": described}, {"913": mounted}),
        Case("native/3j__*srv_shared*", {"913": described}),
        Case("native/5a__pct_list*", {"911": p911, "915": locked}),
        Case("native/5a__pct_config*", {"915": locked}),
        Case("native/5a__pct_set*cores*", {"915": locked}, {"915": locked}),
        Case("native/5a__pct_set*features*", {"915": locked}, {"915": locked}),
        Case("native/5a__pct_start*", {"915": locked}),
        Case("native/5a__pct_stop*", {"915": locked}),
        Case("native/5a__pct_destroy*", {"915": locked}, {"915": locked}),
        Case("native/5a__pct_exec*", {"915": locked}),
        Case("native/5c__*pct_config*", {"911": p911}),
        Case("native/5c__*pct_set*", {"911": p911}, {"911": p911}, env={"PCT_LOCK_TIMEOUT": "0.2"}),
        Case(
            "native/5c__*pct_start*", {"911": p911}, {"911": p911}, env={"PCT_LOCK_TIMEOUT": "0.2"}
        ),
        Case("native/5d__*", {"915": locked}),
    ]


def first_cases() -> list[Case]:
    """in-vm/1: a conf with every kind of section, written by hand, and after `pct set`."""
    by_hand = shown("in-vm/1c__*")
    written = shown("in-vm/1g__cat*")
    running = shown("in-vm/2d__cat*910.conf.2.txt")
    both = {"910": running, "911": by_hand}
    return [
        Case("in-vm/1a__*", {"910": running}, running="910"),
        Case("in-vm/1b__pct_status_910.txt", {"910": running}, running="910"),
        Case("in-vm/1b__pct_status_999*"),
        Case("in-vm/1d__*", both, running="910"),
        *[
            Case(f"in-vm/1e__{name}.txt", both, both, running="910")
            for name in (
                "pct_config_911",
                "pct_config_911_--current",
                "pct_config_911_--snapshot_snap1",
                "pct_config_999",
                "pct_listsnapshot_911",
                "pct_pending_911",
            )
        ],
        Case("in-vm/1f__*", {"911": by_hand}, {"911": written}),
        Case("in-vm/1g__pct_config*", {"911": written}),
    ]


def features_cases() -> list[Case]:
    """in-vm/2: features, on a stopped container (911) and on a running one (910)."""
    written = shown("in-vm/1g__cat*")
    fused = written.replace("nesting=1,keyctl=1", "fuse=1")
    without = shown("in-vm/2a__cat*").partition("cur arch: ")[0]
    mounts = shown("in-vm/2b__cat*")
    before = shown("in-vm/2d__cat*910.conf.2.txt")
    first = shown("in-vm/2d__cat*910.conf.txt")
    second = first.replace("nesting=1,keyctl=1", "nesting=1")
    deleting = shown_last("in-vm/2d__pct_pending_910_cat*conf.txt")
    reverted = shown_last("in-vm/2d__pct_pending_910_cat*conf.2.txt")
    rebooted = before.replace("fuse=1", "nesting=1,keyctl=1")
    on_stopped = [name for name in recorded_names() if re.match(r"in-vm/2[bc]__pct_set", name)]
    accepted = ("mount=", "features_.txt", "nesting=yes")
    return [
        Case("in-vm/2a__*nesting=1,keyctl*", {"911": written}, {"911": written}),
        Case("in-vm/2a__*fuse=1.txt", {"911": written}, {"911": fused}),
        Case("in-vm/2a__pct_config*", {"911": fused}),
        Case("in-vm/2a__pct_set*delete*", {"911": fused}, {"911": without}),
        Case("in-vm/2a__cat*", {"911": without}),
        *[
            Case(
                name.replace("[", "[[]"),
                {"911": without},
                {} if any(part in name for part in accepted) else {"911": without},
            )
            for name in on_stopped
            if "mount=" not in name
        ],
        Case("in-vm/2b__*mount=*", {"911": without}, {"911": mounts}),
        Case("in-vm/2d__*keyctl=1.txt", {"910": before}, {"910": first}, "910"),
        Case("in-vm/2d__*keyctl=1.2.txt", {"910": before}, {"910": first}, "910"),
        Case("in-vm/2d__pct_pending_910.txt", {"910": first}, running="910"),
        Case("in-vm/2d__pct_config_910.txt", {"910": first}, running="910"),
        Case("in-vm/2d__pct_config_910_--current*", {"910": first}, running="910"),
        Case("in-vm/2d__*features_nesting=1.txt", {"910": first}, {"910": second}, "910"),
        Case("in-vm/2d__pct_pending_910.2.txt", {"910": second}, running="910"),
        Case("in-vm/2d__*delete*", {"910": second}, {"910": deleting}, "910"),
        Case("in-vm/2d__pct_pending_910_cat*conf.txt", {"910": deleting}, running="910"),
        Case("in-vm/2d__*revert*", {"910": deleting}, {"910": reverted}, "910"),
        Case("in-vm/2d__pct_pending_910_cat*conf.2.txt", {"910": reverted}, running="910"),
        Case("in-vm/2d__*set_910_--features_fuse*", {"910": before}, {"910": before}, "910"),
        Case("in-vm/2e__pct_reboot*", {"910": first}, {"910": rebooted}, "910"),
        Case("in-vm/2e__pct_status*", {"910": rebooted}, running="910"),
    ]


def labbox_cases() -> list[Case]:
    """in-vm/4 and 9: start and stop, exec, what is refused, snapshots."""
    created = re.sub(r"(?s)total .*", "", shown("in-vm/40__cat*"))
    unknown = created.replace("lxc-container-default-with-nesting", "nosuch-profile")
    unconfined = created.replace("lxc-container-default-with-nesting", "unconfined")
    both_features = shown_last("in-vm/4h__pct_status_920_cat_etc*")
    keyctl_pending = unconfined + "\n[pve:pending]\nfeatures: nesting=1,keyctl=1\n"
    generated = shown("in-vm/4n__cat*")
    three = {"910": plain("910"), "911": plain("911"), "920": created}
    thin_snapshot = shown("in-vm/9b__cat*")
    thin = thin_snapshot.replace("unconfined", "lxc-container-default-with-nesting", 1)
    two_snapshots = shown("in-vm/9d__cat*").replace("parent: snap1", "parent: snap2", 1)
    replayed_4c = [name for name in recorded_names() if re.match(r"in-vm/4c__", name)]
    left_out = [pattern for pattern, _ in LEFT_OUT]
    return [
        Case("in-vm/4a__pct_start*", {"920": created}, {"920": created}),
        Case("in-vm/4b__*", {"920": created}, running="920"),
        *[
            Case(name.replace("[", "[[]"), {"920": created}, running="920")
            for name in replayed_4c
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in left_out)
        ],
        Case("in-vm/4d__*u=rw*", {"920": created}, running="920"),
        Case("in-vm/4d__*root_nofile*", {"920": created}, running="920"),
        *[
            Case(f"in-vm/4f__pct_{name}.txt", {"920": created})
            for name in (
                "exec_920_--_true",
                "exec_999_--_true",
                "push_920_root_f_root_f1",
                "push_999_root_f_x",
                "reboot_920",
                "shutdown_920",
                "start_999",
                "stop_920.2",
                "stop_999",
            )
        ],
        Case("in-vm/4f__pct_stop_920.txt", {"920": created}, running="920"),
        Case("in-vm/4g__pct_start*", {"920": unknown}, {"920": unknown}, log=NO_SUCH_PROFILE),
        Case("in-vm/4h__pct_start*", {"920": unconfined}),
        Case("in-vm/4h__pct_set*", {"920": unconfined}, {"920": keyctl_pending}, "920"),
        Case("in-vm/4h__pct_shutdown*", {"920": keyctl_pending}, running="920"),
        Case("in-vm/4h__pct_status_920_cat_etc*", {"920": both_features}),
        Case(
            "in-vm/4i__pct_start*",
            {"920": generated + "\n[pve:pending]\nfeatures: nesting=1,keyctl=1\n"},
            {"920": generated.replace("nesting=1", "nesting=1,keyctl=1")},
        ),
        Case("in-vm/4j__pct_destroy*", {"920": created}, {"920": created}, running="920"),
        Case("in-vm/4j__pct_snapshot*", {"920": created}, {"920": created}),
        Case(
            "in-vm/4j__pct_stop*",
            three | {"920": created.replace("lab920", "lab920")},
            running="910 920",
        ),
        Case("in-vm/4k__pct_start_920.txt", {"920": generated}, log=NO_SUCH_SOURCE),
        Case("in-vm/4k__pct_status*", {"920": generated}),
        Case("in-vm/4n__pct_list*", {"910": shown_last("in-vm/4n__pct_list*"), "920": generated}),
        Case("in-vm/4x__*od_-c_x_.txt", {"920": created}, running="920", env={"LC_ALL": "C.UTF-8"}),
        Case("in-vm/4x__*od_-c_x_.2.txt", {"920": created}, running="920"),
        Case("in-vm/9b__pct_snapshot*", {"921": shown("in-vm/9a__cat*")}, {"921": thin_snapshot}),
        Case("in-vm/9c__pct_listsnapshot*", {"921": two_snapshots}),
        Case("in-vm/9c__pct_set*", {"921": thin}),
        Case("in-vm/9c__pct_snapshot*", {"921": shown_last("in-vm/9c__pct_set*")}),
        Case("in-vm/9d__pct_rollback*", {"921": two_snapshots}, {"921": shown("in-vm/9d__cat*")}),
        Case("in-vm/9e__pct_snapshot*1bad*", {"921": thin}),
    ]


# what is not replayed, and why; every other recording is
LEFT_OUT = [
    ("*/6*", "pmxcfs itself; `pct list` beside a 99.conf has a test of its own"),
    ("*/[78]_*", "timings"),
    ("native/[35]?__cat*conf.txt", "a state, used by the cases around it (3d, 3g and 3h apart)"),
    ("in-vm/[12]?__cat*conf*.txt", "a state, used by the cases around it (2a apart)"),
    ("in-vm/4[0n]__cat*", "a state, used by the cases around it"),
    ("in-vm/9[abd]__cat*", "a state, used by the cases around it"),
    ("in-vm/40__pct_create*", "the speed of an unpacking; has a test of its own"),
    ("in-vm/9a__pct_create*", "the UUID of a file system; has a test of its own"),
    ("native/5b__*", "strace; the rename has a test of its own"),
    ("in-vm/1b__pct_status_910_--verbose.txt", "figures of a live container"),
    ("in-vm/2e__grep*", "a live label; its LXC lines are compared in a test of their own"),
    ("in-vm/4a__pct_status*", "a live label; its LXC config is compared in a test of its own"),
    ("in-vm/4i__pct_status*", "a live label; its LXC lines are compared in a test of their own"),
    ("in-vm/4h__pct_status_920_cat_proc*", "a live label"),
    ("in-vm/4c__*_env.txt", "the recorder's own environment; has a test of its own"),
    ("in-vm/4c__*sha256sum*", "random bytes; has a test of its own"),
    ("in-vm/4c__*id_pwd*", "a live container: label, cgroup, working directory"),
    ("in-vm/4c__*etc_passwd*", "lxc-attach's own text"),
    ("in-vm/4c__*nosuchcmd*", "lxc-attach's own text"),
    ("in-vm/4[de]__*", "files in a live container's namespaces (bad perms, missing file apart)"),
    ("in-vm/4f__pct_enter*", "no enter"),
    ("in-vm/4g__pct_status*", "systemd's unit and task log of the real node"),
    ("in-vm/4k__pct_start_920.2.txt", "the real one waits for its monitor, then asks lxc-info"),
    ("in-vm/4m__*", "LXC's whole debug log; has a test of its own"),
    ("in-vm/4x__*", "lxc-attach's own behaviour in a live container (od -c apart)"),
    ("in-vm/9_first_try*", "several commands in one file, with a storage that failed"),
    ("in-vm/9d__pct_delsnapshot*", "a live container's PID; has a test of its own"),
    ("in-vm/9e__pct_stop*", "what LVM lists; has a test of its own"),
]

ERROR = "lxc-start 920 20261122001407.123 ERROR    "
NO_SUCH_PROFILE = (
    f"{ERROR}apparmor - ../src/lxc/lsm/apparmor.c:apparmor_process_label_set_at:1185 - "
    'No such file or directory - Failed to write AppArmor profile "nosuch-profile" to 16\n'
    f"{ERROR}sync - ../src/lxc/sync.c:sync_wait:34 - An error occurred in another process "
    "(expected sequence number 4)\n"
    f'{ERROR}start - ../src/lxc/start.c:__lxc_start:2127 - Failed to spawn container "920"\n'
)
NO_SUCH_SOURCE = (
    f"{ERROR}utils - ../src/lxc/utils.c:safe_mount:1334 - No such file or directory - Failed to "
    'mount "/srv/doesnotexist" onto "/usr/lib/x86_64-linux-gnu/lxc/rootfs/srv/x"\n'
    f"{ERROR}conf - ../src/lxc/conf.c:mount_entry:2202 - No such file or directory - Failed to "
    'mount "/srv/doesnotexist" on "/usr/lib/x86_64-linux-gnu/lxc/rootfs/srv/x"\n'
    f"{ERROR}conf - ../src/lxc/conf.c:lxc_setup:3910 - Failed to setup mount entries\n"
    f'{ERROR}start - ../src/lxc/start.c:do_start:1277 - Failed to setup container "920"\n'
    f"{ERROR}sync - ../src/lxc/sync.c:sync_wait:34 - An error occurred in another process "
    "(expected sequence number 3)\n"
)

#: When a snapshot was taken.
NOW = r"(?m)^snaptime: \d+\n"

CASES = cases() if RECORDINGS.is_dir() else []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pattern)
def test_it_answers_as_recorded(node: Node, case: Case) -> None:
    for ctid, text in case.before.items():
        node.has(ctid, text, running=ctid in case.running.split())
    node.has_thin("921", "snap1", "snap2")
    if case.log:
        (node.root / "lxc.log").write_text(case.log)
    expected = recording(case.pattern)

    done = node.run(expected.command, **case.env)

    stderr = re.sub(r"\n(?:real|user|sys)\t.*", "", done.stderr.replace(str(node.root), ""))
    expected_stderr = re.sub(r"\n(?:real|user|sys)\t.*", "", expected.stderr)
    if case.any_order:
        assert sorted(stderr.splitlines()) == sorted(expected_stderr.splitlines())
    else:
        assert stderr == expected_stderr
    assert done.stdout == expected.stdout
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    assert code == expected.code
    for ctid, text in case.after.items():
        now = node.conf(ctid).read_bytes().decode("utf-8", "surrogateescape")
        assert re.sub(NOW, "", now) == re.sub(NOW, "", text)


def test_every_recording_is_replayed_or_left_out_for_a_reason() -> None:
    patterns = [case.pattern for case in CASES] + [pattern for pattern, _ in LEFT_OUT]
    unused = {
        name
        for name in recorded_names()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    assert unused == set()
