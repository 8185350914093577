"""packages install|remove CTID RUN|- MANAGER - bring packages into a running container, or take out
of it what a run brought there, by its apt, apk or dnf.

- install: what is missing of these; nothing that is there is upgraded. `done` (or `failed`) in the
  journal names everything that came in, dependencies included.
- remove: all of these at once. They are kept, with the reason, while another package needs them,
  and while fuse-overlayfs is Docker's driver or holds data: without the program dockerd would not
  start over it. With `docker` in the request they are a Docker that a run installed: it goes unless
  it holds anything, and then its daemon.json goes back to what was there before (`text`, null for
  none), if it is still the one with the digest `after`.

RUN: id of the run that does it, for its journal; `-` for none. The request names the packages:
`{"packages": [NAME], "docker": {"after": DIGEST, "text": TEXT}}`, `docker` or not. What the guest
says its packages are is used only where it is a package's name. Runs in a transient unit, so that
losing the operator does not interrupt dpkg.

Exit of install: 0 all are installed, as the guest's own database says, or the container is on
another node by now · 1 they are not · 2 refused
Exit of remove: 0 removed, or kept with the reason · 1 nothing was tried, or daemon.json stayed
  · 2 refused, as a Docker is that holds something
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from typing import Any

from node import guest
from node.bounded import MIB, Ended
from node.daemon_json import GuestError, GuestFile
from node.files import NONE, raw
from node.journal import Journal
from node.main import request
from node.moved import node_of
from node.root import seconds
from node.say import Stop, say
from node.state import lock
from node.target import run_folder
from phoenix.docker.names import DAEMON_JSON, MANAGERS, PACKAGE_NAME
from phoenix.runs.outcome import Ending, Outcome
from phoenix.text.printable import printable_lines

#: Seconds between two attempts; for one command of the guest's package manager, which may wait for
#: another one's lock; and for all that an installation asks of the guest.
PAUSE = 5
_ONE, _ALL = 900, 1500

#: What a guest may have: no distribution is installed as a whole; one line of a journal holds more
#: than what an installation brings.
_MOST_LINES, _MOST_JOURNALED = 20_000, 60_000

_DIGEST = re.compile(rf"[0-9a-f]{{64}}|{NONE}")


def main(words: list[str]) -> int:
    """Install or remove; gives the exit code."""
    if len(words) != 4 or words[0] not in ("install", "remove") or words[3] not in MANAGERS:
        raise Stop(
            2, f"packages: install or remove, a container, a run or -, {' or '.join(MANAGERS)}"
        )
    action, ctid, run, manager = words
    if not re.fullmatch(r"[1-9][0-9]{2,8}", ctid):
        raise Stop(2, f"packages: {ctid} is no container")
    asked = request()
    docker = _docker(asked) if action == "remove" else None
    names = [] if docker and asked.get("packages") == [] else _names(asked)
    journal = None if run == "-" else Journal(run_folder(run))
    who = f"packages of CT {ctid}" if run == "-" else f"run {run}, packages of CT {ctid}"
    with lock(who, _ONE):
        work = Work(int(ctid), manager, journal)
        if docker:
            return work.remove_docker(names, *docker)
        if action == "install" and (node := node_of(work.ctid)):
            say(f"it is on {node} now: nothing is installed from here", work.ctid)
            return 0
        return work.install(names) if action == "install" else work.remove(names)


def _names(asked: Any) -> list[str]:
    """What the request names. Raises Stop."""
    names = asked.get("packages") if isinstance(asked, dict) else None
    if not isinstance(names, list) or not names:
        raise Stop(2, "packages: none are named")
    for name in names:
        if not isinstance(name, str) or not PACKAGE_NAME.fullmatch(name):
            raise Stop(2, f"packages: {name!r} is no package's name")
    return names


def _docker(asked: Any) -> tuple[str, bytes | None] | None:
    """The digest of the daemon.json that goes, and what comes in its place. Raises Stop."""
    said = asked.get("docker") if isinstance(asked, dict) else None
    if said is None:
        return None
    after, text = (said.get(key) if isinstance(said, dict) else 0 for key in ("after", "text"))
    if not isinstance(after, str) or not _DIGEST.fullmatch(after):
        raise Stop(2, "packages: docker has no digest")
    if not (text is None or isinstance(text, str)):
        raise Stop(2, "packages: docker has no text")
    return after, None if text is None else raw(text)


class Work:
    """What is done in one container; `journal`: of the run that does it, if there is one.

    `came`: what came in so far.
    """

    def __init__(self, ctid: int, manager: str, journal: Journal | None) -> None:
        self.ctid, self.journal = ctid, journal
        self.manager: _Apk = _KINDS[manager](ctid)
        self.came: list[str] = []

    def install(self, names: Sequence[str]) -> int:
        """Install what is missing of these."""
        before = self._installed()
        wanted = _missing(names, before)
        if not wanted:
            self._say("all packages are installed")
            return 0
        # what this one brought before is of the same run: one line names all of it
        self._write("intent", packages=" ".join((*self.came, *wanted)))
        ended, now = Ended(None), before
        for attempt in (1, 2, 3):
            ended = self.manager.add(wanted)
            found = self.manager.installed()
            now = before if found is None else found
            if not _missing(wanted, now):
                break
            self.manager.repair(ended)
            if attempt != 3:
                time.sleep(seconds("PATIENCE", PAUSE))
        known = set(before) - set(self.came)
        self.came = [name for name in now if name not in known]
        came = " ".join(self.came)
        left = _missing(wanted, now)
        if len(came) > _MOST_JOURNALED:
            came, left = " ".join(name for name in wanted if name not in left), wanted
            self._say("says that more packages came in than an installation brings")
        if left:
            self._write("failed", packages=came)
            self._tell(ended)
            self._end(Ending.FAILED, f"not installed: {' '.join(left)}")
            return 1
        self._write("done", packages=came)
        self._end(Ending.INSTALLED, came)
        return 0

    def remove(self, names: Collection[str]) -> int:
        """Remove what is there of these, unless something needs it."""
        there = [name for name in self._installed() if name in names]
        if not there:
            return 0
        why = held(self.ctid) if "fuse-overlayfs" in there else ""
        if why:
            self._end(Ending.KEPT, f"{' '.join(there)}: {why}")
            return 0
        self._purge(there)
        return 0

    def remove_docker(self, names: Collection[str], after: str, text: bytes | None) -> int:
        """Remove a Docker that a run installed, its daemon.json last."""
        there = [name for name in self._installed() if name in names]
        if why := held(self.ctid, "docker"):
            self._end(Ending.REFUSED, f"Docker stays: {why}")
            return 2
        if there and not self._purge(there):
            self._end(Ending.REFUSED, "Docker stays, see above")
            return 2
        file = GuestFile(self.ctid)
        try:
            if file.digest() != after:
                self._say(f"{DAEMON_JSON} was changed since and is left as it is")
            elif text is None:
                file.remove(after)
            else:
                file.put(text, after, trust=True)
        except GuestError as error:
            self._end(Ending.FAILED, f"the packages are gone, and its {error.text}")
            return 1
        guest.attach(self.ctid, ["sh", "-c", guest.script("install"), "install", "forget"])
        self._end(Ending.REMOVED, " ".join(there) or DAEMON_JSON)
        return 0

    def _purge(self, there: Sequence[str]) -> bool:
        """Remove these; says what came of it."""
        listed = " ".join(there)
        self._write("intent", removed=listed)
        ended = self.manager.purge(there)
        now = self.manager.installed()
        left = " ".join(name for name in there if now is None or name in now)
        if left:
            self._write("failed", removed=left)
            self._tell(ended)
            self._end(Ending.KEPT, f"{left}: something needs it, see above")
            return False
        self._write("done", removed=listed)
        self._end(Ending.REMOVED, listed)
        return True

    def _installed(self) -> list[str]:
        found = self.manager.installed()
        if found is None:
            refused = Outcome(Ending.REFUSED, "its list of packages cannot be read")
            raise Stop(1, refused.line(self.ctid))
        return found

    def _write(self, event: str, **names: str) -> None:
        if self.journal is not None:
            self.journal.write(event, ctid=self.ctid, **names)

    def _say(self, text: str) -> None:
        say(text, self.ctid)

    def _end(self, ending: Ending, text: str) -> None:
        say(Outcome(ending, text).line(self.ctid))

    def _tell(self, ended: Ended) -> None:
        """The end of what the guest said."""
        if ended.why:
            self._say(guest.last_line(ended))
        for line in printable_lines(ended.out.decode("utf-8", "replace"), 15):
            self._say(f"  {line}")


class _Apk:
    """Alpine's, in a container; all that is asked of it together has an end."""

    #: Lists what is installed, and how a line of that reads.
    lists: Sequence[str] = ("apk", "info", "-q")
    line = re.compile(rf"({PACKAGE_NAME.pattern})")

    def __init__(self, ctid: int) -> None:
        self.ctid = ctid
        self.deadline = time.monotonic() + _ALL

    def installed(self) -> list[str] | None:
        """All that is; what is no package's name is none. None where the guest gives no list."""
        ended = guest.attach(self.ctid, self.lists, seconds=60, limit=2 * MIB)
        lines = (ended.text or "").split("\n")
        if not ended.ok or ended.text is None or len(lines) > _MOST_LINES:
            return None
        return [found[1] for line in lines if (found := self.line.fullmatch(line.strip()))]

    def add(self, names: Sequence[str]) -> Ended:
        """Install these."""
        return self._does("apk", "add", "--no-cache", *names)

    def purge(self, names: Sequence[str]) -> Ended:
        """Remove these, all at once: they may need each other. Refused if something else does."""
        return self._does("apk", "del", *names)

    def repair(self, ended: Ended) -> None:
        """Finish what was cut short earlier, if this attempt says that something was."""

    def refresh(self) -> Ended:
        """Have its sources' lists as they are now; it ends well if all of them answer."""
        return self._does("apk", "update")

    def has(self, name: str) -> bool:
        """Whether its sources have a package of that name."""
        return True

    def _does(self, *words: str) -> Ended:
        seconds = min(_ONE, max(60, self.deadline - time.monotonic()))
        variables = {"DEBIAN_FRONTEND": "noninteractive"}
        return guest.attach(
            self.ctid,
            words,
            seconds=seconds,
            limit=4 * MIB,
            merge=True,
            variables=variables,
            services=True,
        )


class _Apt(_Apk):
    """That of Debian and Ubuntu."""

    lists = ("dpkg-query", "-W", "-f", r"${db:Status-Abbrev} ${binary:Package}\n")
    line = re.compile(rf".i +({PACKAGE_NAME.pattern})")
    call: Sequence[str] = (
        *("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"),
        *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
    )

    def add(self, names: Sequence[str]) -> Ended:
        """Install these; another apt may be at work: wait for its lock."""
        # lists that cannot be renewed may still do: the installation tells
        self.refresh()
        return self._does(*self.call, "install", "--no-upgrade", *names)

    def purge(self, names: Sequence[str]) -> Ended:
        """The same as apk's `del`."""
        return self._does("dpkg", "--purge", *names)

    def repair(self, ended: Ended) -> None:
        """A dpkg that was cut short, by a reboot say, is finished first."""
        if b"dpkg --configure -a" in ended.out:
            self._does("dpkg", "--force-confdef", "--force-confold", "--configure", "-a")

    def refresh(self) -> Ended:
        """The same; an old apt, which does not know that option, ends well in any case."""
        return self._does(*self.call, "-o", "APT::Update::Error-Mode=any", "update")

    def has(self, name: str) -> bool:
        """Also where an older version of it is installed, whose source has gone."""
        return self._does("apt-cache", "show", "--no-all-versions", name).ok


class _Dnf(_Apk):
    """That of Fedora and its kin, by rpm where dnf would take more than it is told."""

    lists = ("rpm", "-qa", "--qf", r"%{NAME}\n")
    # a key of a repository counts as a package by that name, as often as there are keys
    line = re.compile(rf"(?!gpg-pubkey$)({PACKAGE_NAME.pattern})")

    def add(self, names: Sequence[str]) -> Ended:
        """Install these; it waits for another dnf by itself."""
        return self._does("dnf", "-y", "install", *names)

    def purge(self, names: Sequence[str]) -> Ended:
        """The same as apk's `del`; `dnf remove` would take what needs them, too."""
        return self._does("rpm", "-e", *names)

    def refresh(self) -> Ended:
        """The same as the others'."""
        return self._does("dnf", "-q", "-y", "makecache")

    def has(self, name: str) -> bool:
        """What it prints counts: it ends well either way."""
        ended = self._does("dnf", "-q", "-y", "repoquery", name)
        return ended.ok and bool(ended.out.strip())


#: Each of `MANAGERS`.
_KINDS = {"apt": _Apt, "apk": _Apk, "dnf": _Dnf}


def _missing(names: Collection[str], installed: Collection[str]) -> list[str]:
    # dpkg names some with their architecture
    there = {*installed, *(name.partition(":")[0] for name in installed)}
    return [name for name in names if name not in there]


def held(ctid: int, by: str = "fuse-overlayfs") -> str:
    """What Docker still keeps with fuse-overlayfs, or at all (`docker`), in words."""
    ended = guest.attach(ctid, ["sh", "-c", guest.script("held"), "held", by], limit=4096)
    if not ended.ok:
        return f"its guest does not say what Docker keeps: {guest.last_line(ended)}"
    return ", ".join(printable_lines(ended.out.decode("utf-8", "replace"), 5))
