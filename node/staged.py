"""What a run has staged for one container: the files of RUN/CTID.

    conf         the new /etc/pve/lxc/CTID.conf
    before       sha256 of the conf that it was planned on; written last, without it nothing is
                 whole
    label        if there: what PID 1 must carry, PROFILE[//&:NAMESPACE:PROFILE] (MODE)
    docker       if there: Docker must work in it; the architecture that it runs on, empty for amd64
    restart      if there: restart it (a stopped container stays stopped)
    ours         if there: what our runs have brought into the conf after this one; empty: nothing
    daemon-before   if there: the guest's /etc/docker/daemon.json changes; sha256 of the one that
                 this was planned on, or `none`
    daemon.json  the new one; without it, the file shall go
    accept       if there: names, one a line, of the owner's containers and units that need not
                 work afterwards
    settle       if there: so many seconds after the proof nothing may have gone down
    health       if there: its owner's own check, as `phoenix.pve.health` writes it
    driver, driver-before   if there: the storage driver that Docker must say afterwards, and the
                 one that it says with the old daemon.json
    ha           if there: where HA manages it, it is taken out of its hands for as long (`node.ha`)
    apart        if there: CTIDs, one a line, that must not be down meanwhile; for the rollback
    create.json  if there: it is to be made (`node.create`); `before` and `conf` are as expected
    destroy      if there: it is to be destroyed (`node.destroy`)

Beside them commit leaves `works`, what worked in the guest before (templates/guest/works.sh), and
`unhealthy` where its owner's check failed before; create leaves `made`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass

from node.files import digest, raw, read, sync_folder, text, write
from node.say import Stop
from node.state import RunFolder
from phoenix.apparmor.observed import Label
from phoenix.docker.names import PROBE_DEFAULT

#: Names that a request may give; `before` is the last to be written.
NAMES = (
    "conf",
    "label",
    "docker",
    "restart",
    "ours",
    "driver",
    "driver-before",
    "accept",
    "settle",
    "health",
    "ha",
    "apart",
    "daemon.json",
    "daemon-before",
    "create.json",
    "destroy",
    "before",
)

_SHA = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DaemonFiles:
    """A staged change of the guest's daemon.json: the digest of the old one, and the new one."""

    before: str
    new: bytes | None

    @property
    def after(self) -> str:
        """The digest of the new one."""
        return digest(self.new)


class Staged:
    """What is staged for one container."""

    def __init__(self, folder: RunFolder, ctid: int) -> None:
        """Read it. Raises Stop where nothing whole is staged."""
        self._path = folder.staged(ctid, "")
        before, conf = self._text("before"), self._read("conf")
        if conf is None or not _SHA.fullmatch(before):
            path = os.path.dirname(self._path)
            raise Stop(2, f"CT {ctid}: refused: nothing whole is staged in {path}")
        self.before, self.conf, self.after = before, conf, digest(conf)
        label = self._text("label")
        self.label = Label.parse(label) if label else None
        self.docker = self._read("docker") is not None
        self.architecture = self._text("docker") or PROBE_DEFAULT
        self.restart = self._read("restart") is not None
        self.ours = self._read("ours")
        self.driver = self._text("driver")
        self.driver_before = self._text("driver-before")
        self.accept = frozenset(self._text("accept").split("\n")) - {""}
        settle = self._text("settle")
        self.settle = int(settle) if re.fullmatch(r"[0-9]{1,3}", settle) else 0
        self.works = self._text("works")
        self.health = self._text("health")
        self.ha = self._read("ha") is not None
        self.unhealthy = self._read("unhealthy") is not None
        daemon = self._text("daemon-before")
        self.daemon = DaemonFiles(daemon, self._read("daemon.json")) if daemon else None

    def forget_restart(self) -> None:
        """It does not run: it shall stay so, also for whoever takes this up later."""
        self.restart = False
        self._remove("restart")

    def forget_daemon(self) -> None:
        """The guest's file shall stay as it is, also for whoever takes this up later."""
        self.daemon = None
        self._remove("daemon-before")

    def keep_works(self, said: str) -> None:
        """Note what works now, also for whoever takes this up later."""
        self.works = said
        write(f"{self._path}works", raw(said))

    def forget_works(self) -> None:
        """What an earlier commit noted is no longer so."""
        self.works = ""
        self._remove("works")

    def mark_unhealthy(self) -> None:
        """Its owner's check fails before anything is changed, also for whoever takes this up."""
        self.unhealthy = True
        write(f"{self._path}unhealthy", b"")

    def unmark_unhealthy(self) -> None:
        """What an earlier commit noted is no longer so."""
        self.unhealthy = False
        self._remove("unhealthy")

    def _read(self, name: str) -> bytes | None:
        return read(f"{self._path}{name}")

    def _text(self, name: str) -> str:
        return (text(self._read(name)) or "").strip("\n")

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self._path}{name}")
            sync_folder(os.path.dirname(self._path))
