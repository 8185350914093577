"""watch - one line for each thing that is no longer as harden left it: a container's label, its
conf, a profile on disk or in the kernel, a file of ours, tunables that do not compile.

phoenix-harden-watch.timer runs it every five minutes; what it prints goes to the system's journal,
<4> is a warning there (sd-daemon(3)), and each line begins with a code of
docs/reference/findings.md. What is wanted comes from /var/lib/phoenix-harden/wanted
(`phoenix.plan.watch`).

Exit: 1 where something is wrong that was not at the last look, so that OnFailure= tells of it once;
else 0
"""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress

from node.containers import init_pid, label, started
from node.files import digest, make_folder, read, replace, text
from node.kernel import loaded, stale
from node.refusal import tunables_refusal
from node.root import STATE, at
from node.say import say
from phoenix.apparmor.observed import FOLDER, Label
from phoenix.pve.conf import PveConf, Section
from phoenix.text.printable import printable

#: What was wrong at the last look, and what was found right since the node was booted.
_SAID = "/run/phoenix-harden-watch/said"
_RIGHT = "/run/phoenix-harden-watch/loaded"

#: Seconds that a first process may be lxc-start; a guest can call its own init so, too.
_STARTING = 60

#: Seconds after which a run that notes nothing has broken off, and those between its last notes.
_RUN, _SAME_TIME = 1800, 60

_CTID = r"(?P<ctid>[1-9][0-9]{2,8})"
_LABEL = re.compile(rf"{_CTID} (?P<label>\S.* \([a-z]+\))")
_CONF = re.compile(rf"{_CTID} conf (?P<key>[a-z][a-z0-9_.-]*): (?P<value>.*)")
_PROFILE = re.compile(
    r"profile (?P<name>lxc-[A-Za-z0-9._-]+) (?P<mode>[a-z]+) (?P<sha>[0-9a-f]{64})"
)
_FILE = re.compile(r"file (?P<path>/\S+) (?P<sha>[0-9a-f]{64})")
_TUNABLES = "tunables"

_ANEW = "harden writes it anew"


def main(_: list[str]) -> int:
    """Look at everything that has a line, and say what is wrong."""
    if _is_run_under_way():
        return 0
    found = [*_wrong((text(read(at(f"{STATE}/wanted"))) or "").splitlines())]
    for line in found:
        say(f"<4>{line}")
    before = (text(read(at(_SAID))) or "").splitlines()
    if found != before:
        # else it is told of once more
        with suppress(OSError):
            make_folder(os.path.dirname(at(_SAID)))
            lines = "".join(f"{line}\n" for line in found)
            replace(at(_SAID), lines.encode(), ".new", 0o600, anew=True)
    return 0 if {*found} <= {*before} else 1


def _is_run_under_way() -> bool:
    """Whether a run has noted something since the watch was told of one's end, and not long ago.

    Half-way nothing is as it was, nor as it will be. One that broke off does not keep us quiet.
    """
    noted = [_changed(path) for path in glob.glob(at(f"{STATE}/runs/*/journal.jsonl"))]
    last = max(noted, default=0.0)
    return last > _changed(at(f"{STATE}/wanted")) + _SAME_TIME and time.time() - last < _RUN


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _wrong(lines: list[str]) -> Iterator[str]:
    """What is wrong, each a printable line; one container is told of once."""
    told: set[str] = set()
    kernel = _Kernel([match["name"] for line in lines if (match := _PROFILE.fullmatch(line))])
    for number, line in enumerate(lines, 1):
        ctid = line.split(" ", 1)[0]
        if ctid in told:
            continue
        try:
            what = _look(line, kernel)
        except ValueError:
            what = f"drift.watch: line {number} of {STATE}/wanted is not understood: {_ANEW}"
        if what:
            yield what
            told |= {ctid} if ctid.isdigit() else set()


def _look(line: str, kernel: _Kernel) -> str | None:
    """What is wrong with one thing. Raises ValueError for a line that is none of ours."""
    if match := _CONF.fullmatch(line):
        return _conf(int(match["ctid"]), match["key"], match["value"])
    if match := _LABEL.fullmatch(line):
        return _label(int(match["ctid"]), match["label"])
    if match := _PROFILE.fullmatch(line):
        return kernel.look(match["name"], match["mode"], match["sha"])
    if match := _FILE.fullmatch(line):
        return _file(match["path"], match["sha"])
    if line == _TUNABLES:
        return _tunables()
    raise ValueError


def _label(ctid: int, wanted: str) -> str | None:
    pid = init_pid(ctid)
    said = None if pid is None or _is_starting(pid) else label(pid)
    if said is None:
        return None
    found, expected = Label.parse(said), Label.parse(wanted)
    if found.matches(expected) and found.mode == expected.mode:
        return None
    # the guest names what is in its half
    name = printable(str(found), limit=300)
    why = f"label: CT {ctid} runs as {name}, not as {expected}"
    return f"{why}: phoenix harden --only {ctid} confines it"


def _is_starting(pid: int) -> bool:
    """Until its init runs it is lxc-start itself, under that one's label; that takes a moment."""
    began = started(pid)
    if began is not None and time.time() - began > _STARTING:
        return False
    with suppress(OSError):
        return os.readlink(at(f"/proc/{pid}/exe")).endswith("/lxc-start")
    return False


def _conf(ctid: int, key: str, value: str) -> str | None:
    """What its conf lacks, None where it is there; one that is gone is no affair of ours."""
    conf = _bytes(f"/etc/pve/lxc/{ctid}.conf")
    if conf is None or _has(PveConf.from_bytes(conf).main, key, value):
        return None
    line = printable(f"{key}: {value}", limit=300)
    if (key, value) == ("lxc.apparmor.profile", "generated"):
        line = "line for Proxmox's generated profile"
    why = f"drift.container: the conf of CT {ctid} has no {line}"
    return f"{why}: phoenix harden --only {ctid} puts it right"


def _has(main: Section, key: str, value: str) -> bool:
    if key == "lxc.apparmor.profile":
        return (*main.raw(key)[-1:], "generated")[0] == value
    if key == "features":
        return value in (main[key] or "").split(",")
    if key == "dev":
        return any(main[one] == value for one in main if re.fullmatch("dev[0-9]+", one))
    return value in main.raw(key)


class _Kernel:
    """What the kernel has of the profiles that are watched."""

    def __init__(self, names: list[str]) -> None:
        self._modes = loaded() if names else {}
        self._stale = stale(names, at(_RIGHT), notes_equal=True) if names else []

    def look(self, name: str, mode: str, sha: str) -> str | None:
        """What is wrong with a profile: `mode` and the digest of its text as they shall be."""
        file = f"{FOLDER}/{name}"
        if digest(_bytes(file)) != sha:
            why = f"{file} is not as harden left it"
        elif name not in self._modes:
            why = f"profile {name} is not loaded"
        elif self._modes[name] != mode:
            why = f"profile {name} is loaded in {self._modes[name]} mode"
        elif name in self._stale:
            why = f"profile {name}: the kernel has another text than {file}"
        else:
            return None
        return f"drift.profile: {why}: harden installs and loads it"


def _file(path: str, sha: str) -> str | None:
    if digest(_bytes(path)) == sha:
        return None
    return f"drift.file: {path} is not as harden left it: harden installs it"


def _tunables() -> str | None:
    why = tunables_refusal()
    if not why:
        return None
    said = printable(" ".join(why.split()), limit=300)
    return f"drift.tunables: AppArmor's tunables do not compile, so no profile loads: {said}"


def _bytes(path: str) -> bytes | None:
    try:
        return read(at(path))
    except OSError:
        return None
