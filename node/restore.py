"""restore PATH NOW BEFORE FROM RUN - give a file of the node back what a run replaced, or take away
what it brought. NOW: the SHA-256 of what is there; BEFORE: that of the text that the run FROM kept,
or `none`; RUN: the run that rolls it back, for the journal.

What a container still needs stays: a profile that a process carries or a conf names (removed from
the kernel it would leave its tasks unconfined, for good), a hook that a conf names, an abi that a
profile names.

Exit: 0 restored, or so already, or kept with the reason · 1 as it was, unless it says otherwise ·
2 refused: no file that a run may restore
"""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress

from node import containers
from node.bounded import run as start
from node.files import NONE, digest, read
from node.kernel import loaded, remember
from node.parser import FOLDER, compile_anew, naming, reload_ours, succeeds
from node.root import at
from node.say import Stop, say
from node.target import Target, run_folder
from phoenix.apparmor.observed import ABI, ABI_OURS, OWN_FILES, TUNABLES_SITE, Label
from phoenix.runs.record import is_of_node

_UNITS = "/etc/systemd/system"


def main(words: list[str]) -> None:
    """Restore it, unless somebody needs it."""
    path, planned, before, kept_by, run = words
    if not is_of_node(path):
        raise Stop(2, f"{path}: refused: no run of ours changes such a file")
    target = Target(run, path)
    # a new one that a cut left beside it, never put in place
    for suffix in (".dpkg-new", ".phoenix-new"):
        with suppress(FileNotFoundError):
            os.unlink(target.file + suffix)
    if path.startswith(f"{FOLDER}/tunables/"):
        target.follow()
    now = digest(target.before)
    if now == before:
        return
    if now != planned:
        raise target.failed("somebody changed it since this was planned: run it again")
    if before == NONE and (users := _users(path)):
        say(f"{path} is kept: {', '.join(users)}")
        return
    data = _kept(target, kept_by, before)
    target.intend(data)
    why = _remove(target) if data is None else _put(target, data)
    _tell_others(target, now)
    if target.digest() != before:
        raise target.failed("is not what it was before")
    if why:
        raise target.failed(f"is as it was before, but {why}")
    target.done()


def _kept(target: Target, kept_by: str, sha: str) -> bytes | None:
    """The text from before, None where there was none."""
    if sha == NONE:
        return None
    try:
        return run_folder(kept_by).kept(sha)
    except (OSError, ValueError) as error:
        raise target.failed(str(error)) from None


def _users(path: str) -> list[str]:
    """Who still needs it, in words."""
    if path == ABI:
        return [f"profile {name} names it" for name in naming(ABI_OURS)]
    profile = _profile(path)
    named = rb"lxc\.apparmor\.profile[:=\s]*" + re.escape(profile.encode()) if profile else b""
    confs = _confs_with(named or re.escape(path.encode()))
    users = [f"the conf of CT {ctid} names it" for ctid in confs]
    carriers = _carriers(profile) if profile else 0
    # a task that has ended meanwhile carries nothing
    return users + ([f"{carriers} processes carry it"] if carriers else [])


def _confs_with(pattern: bytes) -> list[int]:
    """The containers of the cluster whose confs have it as a word, in a snapshot as well."""
    found = set()
    for place in ("/etc/pve/nodes/*/lxc/*.conf", "/etc/pve/lxc/*.conf"):
        for conf in glob.glob(at(place)):
            ctid = re.search(r"/([1-9][0-9]*)\.conf$", conf)
            if ctid and re.search(pattern + rb"(?![^\s/])", read(conf) or b""):
                found.add(int(ctid[1]))
    return sorted(found)


def _carriers(profile: str) -> int:
    """How many processes the node's own half of whose label is this profile."""
    pids = [int(name) for name in os.listdir(at("/proc")) if name.isdigit()]
    labels = [found for pid in pids if (found := containers.label(pid))]
    # a child profile goes with it
    return sum(Label.parse(found).profile.partition("//")[0] == profile for found in labels)


def _remove(target: Target) -> str:
    profile = _profile(target.path)
    if profile and profile in loaded():
        if not succeeds("-R", target.file):
            raise target.failed("cannot be restored")
    elif _is_unit(target.path):
        _systemctl("-q", "disable", "--now", os.path.basename(target.path))
    why = _changed(target, None)
    # a folder of our own goes with the last file in it
    if "/phoenix-harden/" in target.path:
        with suppress(OSError):
            os.rmdir(os.path.dirname(target.file))
    return why


def _put(target: Target, data: bytes) -> str:
    why = _changed(target, data)
    # replaced, never removed and added; a text that did not load before does not stop us
    profile = _profile(target.path)
    if profile and succeeds("-r", target.file):
        remember([profile])
    elif profile:
        say(
            f"{target.path}: the old text is back, and does not load: "
            "the kernel keeps the newer one"
        )
    return why


def _changed(target: Target, data: bytes | None) -> str:
    try:
        return target.put(data, ".dpkg-new", _mode(target.path))
    except OSError:
        raise target.failed("cannot be restored") from None


def _tell_others(target: Target, now: str) -> None:
    """Have those work with it that have read the file before."""
    loads = True
    if target.path == f"{FOLDER}/{TUNABLES_SITE}":
        loads = reload_ours()
    elif target.path == ABI:
        loads = compile_anew(ABI_OURS)
    if not loads:
        raise target.failed("is what it was, and a profile of ours does not load with it")
    if _is_unit(target.path):
        _systemctl("daemon-reload")
        if now == NONE:
            _switch_on(target)


def _switch_on(target: Target) -> None:
    """A timer that was switched off to go runs again, once its service is there, too."""
    stem = target.file.rpartition(".")[0]
    timer = f"{os.path.basename(stem)}.timer"
    whole = os.path.isfile(f"{stem}.timer") and os.path.isfile(f"{stem}.service")
    if whole and not _systemctl("-q", "enable", "--now", timer):
        raise target.failed(f"{timer} does not start: systemctl status {timer}")


def _mode(path: str) -> int:
    """That of a file that is gone; one that is there keeps owner and mode."""
    if path in OWN_FILES or path.startswith("/usr/local/lib/"):
        return OWN_FILES.get(path, 0o755)
    return 0o600 if path.startswith("/var/lib/phoenix-harden/") else 0o644


def _profile(path: str) -> str:
    """The name of the profile whose file it is, "" for another."""
    folder, _, name = path.rpartition("/")
    return name if folder == FOLDER else ""


def _is_unit(path: str) -> bool:
    return path.rpartition("/")[0] == _UNITS


def _systemctl(*words: str) -> bool:
    return start(["systemctl", *words]).ok
