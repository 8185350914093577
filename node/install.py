"""install RUN CTID - bring Docker into a running container that has none, and prove it.

The guest is confined already: PID 1 carries the wanted label, or nothing is installed; so no
service of a package starts unconfined. Before any package comes daemon.json, so that no other
storage driver ever holds data; every other key that is there stays. Then Docker's repository where
it is to come from there, the packages, and its service, enabled and running. What is done already
is passed over: an installation that was cut short is gone on with.

The request: `{"install": INSTALL, "label": LABEL, "architecture": NAME}`; INSTALL as
`phoenix.docker.install.Install.to_json` writes it, LABEL what PID 1 must carry, null where the
fleet file says unconfined; the architecture that Docker runs on. Runs in a transient unit, so that
losing the operator does not interrupt it. `node.create` calls `install` for a container of its own.

The journal has what came in: daemon.json, and the packages, dependencies included. A rollback takes
them out again. What an installation that fails has brought stays, for the next one.

Exit, and last line: 0 done · 2 refused, nothing was installed · 3 failed
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from node import guest, outside, probe
from node.bounded import MIB
from node.daemon_json import GuestError, GuestFile
from node.docker_repo import PACKAGES as DOCKER_CE
from node.docker_repo import Repo, RepoError
from node.files import digest, raw, text
from node.journal import Journal
from node.main import request
from node.packages import PAUSE, Work, held
from node.proof import Proof
from node.root import seconds
from node.say import Stop, say
from node.state import RunFolder, lock, named
from phoenix.apparmor.observed import Label
from phoenix.docker.daemon_json import DRIVER, SNAPSHOTTER, DaemonJson, DaemonJsonError, first
from phoenix.docker.names import DAEMON_JSON, DRIVER_NAME, MANAGERS, PROBE_DEFAULT
from phoenix.runs.journal import JournalError
from phoenix.runs.outcome import EXIT, Ending, Outcome
from phoenix.runs.record import Change, Thing
from phoenix.text.printable import printable

if TYPE_CHECKING:
    from node.transaction import Transaction

_FUSE = "fuse-overlayfs"
#: What `docker run --gpus` takes; dockerd looks for it when it starts.
_TOOLKIT = "nvidia-container-toolkit"
_SOURCES = ("distro", "docker-ce", "keep")
_DRIVERS = (_FUSE, "overlay2", "auto")
_KEEP = "docker_source keep: nothing is installed"

#: Seconds for what a guest says of itself, an overlay tried, and for starting its Docker.
_ASKS, _STARTS = 120, 300

#: So often its package sources are asked.
_TRIES = 5

#: What Docker itself is called, as a package of each distribution or of Docker: no two of them go
#: together, and a package manager would take out one for the other.
_ENGINES = {"apt": "docker.io", "apk": "docker", "dnf": "moby-engine", "docker-ce": "docker-ce"}

#: How docker.sh ends where there is none.
_ABSENT = 44


def main(words: list[str]) -> int:
    """Do it under the lock; gives the exit code."""
    folder, ctid = named(words)
    asked = request()
    try:
        wanted, label, architecture = _read(asked)
        if wanted.source == "keep":
            raise ValueError(_KEEP)
    except ValueError as error:
        raise _stop(ctid, Ending.REFUSED, f"install: {error}") from None
    with lock(f"run {folder.run}, CT {ctid}", ctid=ctid):
        journal = _journal(folder, ctid)
        its = Installation(ctid, label, folder, journal)
        try:
            its.run(wanted)
        except InstallError as error:
            ending = Ending.FAILED if its.is_begun else Ending.REFUSED
            raise _stop(ctid, ending, f"Docker is not installed: {error}") from None
        if not Proof(ctid).docker_works(its.driver, architecture, clear=True):
            why = "Docker is installed and does not work, see above: journalctl -u docker there"
            raise _stop(ctid, Ending.FAILED, why)
    say(Outcome(Ending.DONE, f"Docker is installed, on {its.driver}").line(ctid))
    return EXIT[Ending.DONE]


def install(its: Transaction, asked: Mapping[str, Any]) -> bool:
    """Bring Docker into a container that `its` run has just made; says why not.

    `asked`: `Install.to_json`. Nothing is written down: what came in goes with the container. That
    it works is for the gate to prove.
    """
    its_own = Installation(its.ctid, its.staged.label)
    try:
        its_own.run(Wanted.read(asked))
    except (InstallError, ValueError) as error:
        its.say(f"Docker is not installed: {error}")
        return False
    # what a clone or a template brings is known only now
    its.staged.driver = its_own.driver
    return True


def is_cut(folder: RunFolder, ctid: int) -> bool:
    """Whether a kill came between the lines of a journal about an installation's daemon.json."""
    try:
        changes = Journal(folder).read().changes
    except JournalError:
        return False
    conf = Thing(f"/etc/pve/lxc/{ctid}.conf", ctid)
    if any(one.thing == conf and one.outcome == "open" for one in changes):
        # then it is the commit's
        return False
    return _of_daemon(changes, ctid) is not None


def recover(folder: RunFolder, ctid: int) -> int:
    """Write down what came of it, as the guest has it now; gives the exit code.

    To be called under the lock.
    """
    journal = Journal(folder)
    journal.drop_cut_line()
    change = _of_daemon(journal.read().changes, ctid)
    if change is None:
        say(f"run {folder.run} has ended for it already", ctid)
        return 0
    try:
        found = GuestFile(ctid).digest()
    except GuestError as error:
        say(error.text, ctid)
        found = ""
    if found == change.after:
        journal.write("done", ctid=ctid, file=DAEMON_JSON, after=found)
    elif found == change.before:
        journal.write("restored", ctid=ctid, file=DAEMON_JSON, after=found)
    else:
        journal.write("failed", ctid=ctid, file=DAEMON_JSON)
    say(f"run {folder.run} was interrupted while it installed Docker here: it can be gone on with")
    return 0


def _of_daemon(changes: tuple[Change, ...], ctid: int) -> Change | None:
    """An installation's daemon.json that is open; that of a commit names a driver before it."""
    thing = Thing(DAEMON_JSON, ctid)
    its = (one for one in changes if one.thing == thing and one.outcome == "open")
    return next((one for one in its if not one.driver_before), None)


class InstallError(Exception):
    """Why Docker is not installed, in a printable line."""


@dataclass(frozen=True)
class Wanted:
    """What is to be installed: see `phoenix.docker.install.Install`."""

    source: str
    driver: str
    repo: Repo | None
    nvidia: bool
    insists: bool

    @classmethod
    def read(cls, asked: Any) -> Wanted:
        """Read it. Raises ValueError for what is none."""
        if not isinstance(asked, dict):
            raise ValueError("nothing is asked for")
        source, driver, repo = (asked.get(key) for key in ("source", "driver", "repository"))
        if source not in _SOURCES or driver not in _DRIVERS:
            raise ValueError("a source or driver that is not known")
        if not (repo is None or isinstance(repo, dict)):
            raise ValueError("a repository that is none")
        nvidia, insists = asked.get("nvidia", False), asked.get("insists", False)
        if not (isinstance(nvidia, bool) and isinstance(insists, bool)):
            raise ValueError("nvidia or insists that is neither true nor false")
        return cls(source, driver, None if repo is None else Repo.read(repo), nvidia, insists)


class Installation:
    """One installation.

    `label`: what PID 1 must carry, None for anything; `folder`, `journal`: of the run that tells
    what it did, None where nobody needs to know. `driver`: the storage driver that Docker shall say
    then; `is_begun`: something may have changed.
    """

    def __init__(
        self,
        ctid: int,
        label: Label | None,
        folder: RunFolder | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.ctid, self.label = ctid, label
        self.folder, self.journal = folder, journal
        self.driver = ""
        self.is_begun = False

    def run(self, wanted: Wanted) -> None:
        """Do what is not done yet. Raises InstallError."""
        if wanted.source == "keep":
            self._say(_KEEP)
            return
        self._check_label()
        system = _System.ask(self.ctid, probe=wanted.driver == "auto")
        if system.manager not in MANAGERS:
            raise InstallError(
                f"its guest ({system.os or 'of an unknown kind'}) has none of "
                f"{', '.join(MANAGERS)}: install Docker there by hand"
            )
        has_changed = self._put_daemon_json(wanted, system)
        work = Work(self.ctid, system.manager, self.journal)
        names = self._names(work, wanted, system)
        self._bring(work, names)
        if _TOOLKIT in names:
            # no unprivileged container may write the rules for devices of its cgroups
            self._script("gpu", "its NVIDIA toolkit cannot be set up")
        self._start((has_changed and system.has_docker) or _TOOLKIT in work.came)

    def _check_label(self) -> None:
        if self.label is None:
            self._say("note: it is unconfined as the fleet file asks, and so is its Docker")
        elif not Proof(self.ctid).carries(self.label):
            raise InstallError("it is not confined as it shall be: nothing is started in it")

    # --- daemon.json ----------------------------------------------------------------------------

    def _put_daemon_json(self, wanted: Wanted, system: _System) -> bool:
        """Have the storage driver in it before there is a Docker; True if it was changed."""
        file = GuestFile(self.ctid)
        try:
            old = file.read()
            document = DaemonJson.parse(text(old) or "")
        except GuestError as error:
            raise InstallError(error.text) from None
        except DaemonJsonError as error:
            raise InstallError(f"its {DAEMON_JSON}: {error}: correct it there") from None
        if system.has_docker and (keeps := self._keeps(wanted, document)):
            said = probe.ask(self.ctid, "info", "--format", "{{.Driver}}") or ""
            self.driver = said if DRIVER_NAME.fullmatch(said) else ""
            if wanted.insists and self.driver not in ("", wanted.driver):
                raise InstallError(
                    f"its Docker runs on {self.driver} ({keeps}), which {wanted.driver} would "
                    'hide: write "storage_driver": "keep" in the fleet file'
                )
            self._say(f"its Docker keeps the storage driver that it has: {keeps}")
            return False
        if document[SNAPSHOTTER] is True:
            raise InstallError(f"its {DAEMON_JSON} says {SNAPSHOTTER} true: take that out there")
        self.driver = self._choose(wanted.driver, document[DRIVER], system)
        if self.driver == _FUSE and not system.fuse:
            raise InstallError(f"{_FUSE} needs /dev/fuse, and it has none: give it fuse=1")
        after = first(document, self.driver)
        if after.text == document.text:
            return False
        self._replace(file, old, raw(after.text))
        return True

    def _keeps(self, wanted: Wanted, document: DaemonJson) -> str:
        """What its Docker holds, for which daemon.json stays as it is; "" where it need not.

        A clone brings what its source has, and with another driver it would find nothing of that.
        """
        said, is_store = document[DRIVER], document[SNAPSHOTTER] is True
        if (said == wanted.driver and not is_store) or (wanted.insists and (said or is_store)):
            return ""
        return held(self.ctid, "docker")

    def _choose(self, wanted: str, said: Any, system: _System) -> str:
        """The storage driver; `said`: what a daemon.json that is there says."""
        if said is not None and not (isinstance(said, str) and DRIVER_NAME.fullmatch(said)):
            raise InstallError(f"its {DAEMON_JSON} names no storage driver: correct it there")
        if wanted == "auto":
            if said in (_FUSE, "overlay2"):
                return str(said)
            if system.overlay is None:
                raise InstallError("its guest does not say whether an overlay can be mounted")
            wanted = "overlay2" if system.overlay else _FUSE
        if said not in (None, wanted):
            raise InstallError(
                f"its {DAEMON_JSON} says {said}, and {wanted} is wanted: take the line out there, "
                f'or write "storage_driver": "{said}" in the fleet file'
            )
        return wanted

    def _replace(self, file: GuestFile, old: bytes | None, new: bytes) -> None:
        before = digest(old)
        if self.folder and old is not None:
            self.folder.keep_guest(self.ctid, old)
        drivers = {"driver_before": "", "driver": self.driver}
        self._write("intent", before=before, after=digest(new), **drivers)
        self.is_begun = True
        try:
            file.put(new, before, trust=True)
        except GuestError as error:
            # one that gave no answer in time may have come through: the next one finds it
            self._write("failed")
            raise InstallError(error.text) from None
        self._write("done", after=digest(new))
        self._say(f"{DAEMON_JSON}: {DRIVER} {self.driver}")

    # --- packages -------------------------------------------------------------------------------

    def _names(self, work: Work, wanted: Wanted, system: _System) -> list[str]:
        """The packages."""
        self._refresh(work)
        names = self._dockers(work, wanted, system)
        fuse = [_FUSE] if self.driver == _FUSE else []
        return [*names, *fuse, *(self._toolkit(work, system.manager) if wanted.nvidia else [])]

    def _dockers(self, work: Work, wanted: Wanted, system: _System) -> list[str]:
        """Docker's own, of which its sources have those that they may not."""
        manager, is_ce = system.manager, wanted.source == "docker-ce"
        its_own = self._its_own(work, system)
        if its_own not in ("", _ENGINES["docker-ce" if is_ce else manager]):
            self._say(f"it has a Docker ({its_own}), which stays as it is")
            return []
        if is_ce:
            self._have_docker_ce(work, wanted.repo, manager)
            return [*DOCKER_CE]
        if manager == "apt":
            return ["docker.io", *self._there(work, "docker-cli")]
        if manager != "dnf":
            return ["docker"]
        if moby := self._there(work, "moby-engine"):
            return [*moby, *self._there(work, "docker-cli")]
        self._have_docker_ce(work, None, manager)
        return [*DOCKER_CE]

    def _its_own(self, work: Work, system: _System) -> str:
        """The Docker that it has, by the name of its package; "" for none, or for half of one."""
        if not system.has_docker:
            return ""
        there = {name.partition(":")[0] for name in work.manager.installed() or ()}
        # Debian's `docker` is something else
        for name in (_ENGINES["docker-ce"], _ENGINES[system.manager]):
            if name in there:
                return name
        answers = guest.attach(self.ctid, ["docker", "info"], seconds=_ASKS, limit=2 * MIB).ok
        return "installed by hand" if answers else ""

    def _toolkit(self, work: Work, manager: str) -> list[str]:
        found = self._there(work, _TOOLKIT) if manager != "apk" else []
        if not found:
            self._say(
                f"note: its package sources have no {_TOOLKIT}: docker run --gpus works once it is "
                "installed there"
            )
        return found

    def _refresh(self, work: Work) -> None:
        """Have its sources answer; one that has just started may have no network yet."""
        for attempt in range(_TRIES):
            ended = work.manager.refresh()
            if ended.ok:
                return
            if attempt + 1 < _TRIES:
                time.sleep(seconds("PATIENCE", PAUSE))
        self._say(f"not all of its package sources answer: {guest.last_line(ended)}")

    def _there(self, work: Work, name: str) -> list[str]:
        return [name] if work.manager.has(name) else []

    def _have_docker_ce(self, work: Work, repo: Repo | None, manager: str) -> None:
        if manager == "apk":
            raise InstallError('Docker has no packages for apk: write "docker_source": "distro"')
        if work.manager.has(DOCKER_CE[0]):
            return
        if repo is None:
            raise InstallError(
                f"its package sources have no {DOCKER_CE[0]}: name a repository with docker_repo "
                'in the fleet file, beside "docker_source": "docker-ce"'
            )
        if manager == "apt" and repo.url.startswith("https:"):
            self._bring(work, ["ca-certificates"])
        self.is_begun = True
        try:
            repo.put(self.ctid, manager)
        except RepoError as error:
            raise InstallError(str(error)) from None
        self._refresh(work)
        if not work.manager.has(DOCKER_CE[0]):
            raise InstallError(
                f"docker_repo ({repo.url}) has no {DOCKER_CE[0]} for it, or it cannot reach it"
            )

    def _bring(self, work: Work, names: list[str]) -> None:
        self.is_begun = True
        try:
            code = work.install(names)
        except Stop as stop:
            say(stop.text)
            code = stop.code
        if code != 0:
            raise InstallError("its packages did not all come in, see above")

    def _script(self, action: str, fails: str) -> None:
        """Have templates/guest/install.sh do it; `fails`: what is said where it does not."""
        words = ["sh", "-c", guest.script("install"), "install", action]
        ended = guest.attach(self.ctid, words, seconds=_STARTS, services=True)
        if not ended.ok:
            raise InstallError(f"{fails}: {guest.last_line(ended)}")

    def _start(self, anew: bool) -> None:
        """`anew`: what runs already does not know all that is there now."""
        self._script("enable", "its Docker does not start")
        if anew:
            try:
                GuestFile(self.ctid).restart()
            except GuestError as error:
                raise InstallError(error.text) from None

    def _write(self, event: str, **keys: str) -> None:
        if self.journal is None:
            return
        try:
            self.journal.write(event, ctid=self.ctid, file=DAEMON_JSON, **keys)
        except (OSError, JournalError) as error:
            raise InstallError(f"cannot write {self.journal.path}: {error}") from None

    def _say(self, text: str) -> None:
        say(text, self.ctid)


@dataclass(frozen=True)
class _System:
    """What a guest says of itself (templates/guest/docker.sh), each in its closed form or ""."""

    os: str
    manager: str
    has_docker: bool
    fuse: bool
    overlay: bool | None

    @classmethod
    def ask(cls, ctid: int, probe: bool) -> _System:
        """Ask it. Raises InstallError where it cannot be asked, or something else runs there."""
        if outside.applies(ctid):
            raise InstallError("it is one program (entrypoint), not a system")
        words = ["sh", "-c", guest.script("docker"), "docker", "20", ":probe" if probe else ""]
        ended = guest.attach(ctid, words, seconds=_ASKS, limit=2 * MIB)
        if ended.code not in (0, _ABSENT):
            raise InstallError(f"its guest cannot be asked: {guest.last_line(ended)}")
        said = ended.out.partition(b"\ndaemon-file ")[0].decode("ascii", "replace").split("\n")
        is_absent = "absent" in said
        if is_absent and ended.code == 0:
            raise InstallError("its containers are run by something else than Docker")

        def of(pattern: str) -> str:
            found = (re.fullmatch(pattern, line) for line in said)
            return next((one[1] for one in found if one), "")

        overlay = of("overlay (yes|no)")
        return cls(
            os=of("os ([a-z0-9][a-z0-9._-]{0,31}).*"),
            manager=of("manager ([a-z]{2,8})"),
            has_docker=not is_absent,
            fuse=of("fuse (yes|no)") == "yes",
            overlay=overlay == "yes" if overlay else None,
        )


def _read(asked: Any) -> tuple[Wanted, Label | None, str]:
    """The request. Raises ValueError for what is none."""
    if not isinstance(asked, dict):
        raise ValueError("nothing is asked for")
    label, architecture = asked.get("label"), asked.get("architecture", PROBE_DEFAULT)
    if not (label is None or isinstance(label, str)) or not isinstance(architecture, str):
        raise ValueError("a label or architecture that is none")
    return Wanted.read(asked.get("install")), Label.parse(label) if label else None, architecture


def _journal(folder: RunFolder, ctid: int) -> Journal:
    """That of the run, ready for another line. Raises Stop where not all that it says is ours."""
    journal = Journal(folder)
    try:
        journal.read()
    except JournalError as error:
        raise _stop(ctid, Ending.REFUSED, f"{journal.path}: {error}") from None
    journal.drop_cut_line()
    return journal


def _stop(ctid: int, ending: Ending, text: str) -> Stop:
    return Stop(EXIT[ending], Outcome(ending, printable(text, None)).line(ctid))
