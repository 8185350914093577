"""The guest's daemon.json as part of a transaction: kept, replaced, and restored.

The guest reads and writes it for us (`node.daemon_json`); digests are ours, made of its bytes.
"""

from __future__ import annotations

from node.daemon_json import GuestError, GuestFile
from node.files import NONE, digest
from node.say import say
from node.staged import DaemonFiles, Staged
from node.state import RunFolder
from phoenix.docker.names import DAEMON_JSON


class DaemonChange:
    """A change of daemon.json that a run has staged.

    `docker_due`: dockerd has not read what is there now.
    """

    def __init__(self, ctid: int, folder: RunFolder, staged: Staged, files: DaemonFiles) -> None:
        self.ctid, self.folder, self.files = ctid, folder, files
        self.file = GuestFile(ctid)
        self.driver, self.driver_before = staged.driver, staged.driver_before
        self.before, self.after = files.before, files.after
        self.docker_due = False
        self._leaving = ""

    def intent(self) -> dict[str, str]:
        """What the journal says of it before anything is done."""
        drivers = {"driver_before": self.driver_before, "driver": self.driver}
        return {"before": self.before, "after": self.after, **drivers}

    def keep(self) -> bool:
        """Have a copy of the old one; False if it is another than this was planned on.

        Raises GuestError, and OSError where the copy cannot be made.
        """
        data = self.file.read()
        if digest(data) != self.before:
            return False
        if data is not None:
            self.folder.keep_guest(self.ctid, data)
        return True

    def put_new(self) -> int:
        """Replace the old one; gives 0, or the code of what stood against it, and says that."""
        try:
            self._put(self.files.new, self.before, self.driver_before)
        except GuestError as error:
            self._say(error)
            return error.code
        return 0

    def back(self) -> bool:
        """The old one, if it is not there; never over somebody else's."""
        try:
            found = self.file.digest()
            if found == self.before:
                return True
            if found != self.after:
                say(f"{DAEMON_JSON} was changed meanwhile and is left as it is", self.ctid)
                return False
            self._put(self._kept(), self.after, self.driver, trust=True)
        except GuestError as error:
            self._say(error)
            return False
        except (OSError, ValueError) as error:
            say(f"{DAEMON_JSON}: {error}", self.ctid)
            return False
        return True

    def digest(self) -> str | None:
        """That of the file as it is now; None where the guest does not tell, which is said."""
        try:
            return self.file.digest()
        except GuestError as error:
            self._say(error)
            return None

    def clear_driver(self) -> None:
        """Clear away the folder of a driver, before dockerd starts with a file that names none."""
        leaving, self._leaving = self._leaving, ""
        if leaving:
            try:
                self.file.leave(leaving)
            except GuestError as error:
                # should that keep dockerd from starting, the gate finds it
                self._say(error)

    def restart(self) -> bool:
        """Have dockerd read it."""
        try:
            self.file.restart()
        except GuestError as error:
            self._say(error)
            return False
        return True

    def _put(self, data: bytes | None, expected: str, left: str, trust: bool = False) -> None:
        """`left`: the driver that is left with this file."""
        if data is None:
            self.file.remove(expected)
        else:
            self.file.put(data, expected, trust=trust)
        self.docker_due = True
        names_driver = data is not None and b'"storage-driver"' in data
        self._leaving = "" if names_driver or self.driver == self.driver_before else left

    def _kept(self) -> bytes | None:
        if self.before == NONE:
            return None
        return self.folder.kept_guest(self.ctid, self.before)

    def _say(self, error: GuestError) -> None:
        say(error.text, self.ctid)
