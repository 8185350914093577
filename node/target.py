"""A file of the node that a verb changes.

What is there is kept first, and each step is on disk before the next one: whenever the power goes,
the journal knows what may be there and where the old text is.
"""

from __future__ import annotations

import os
from contextlib import suppress

from node.files import digest, make_folder, read, replace, sync_folder
from node.journal import Journal
from node.root import at
from node.say import Stop
from node.state import RunFolder


def run_folder(run: str) -> RunFolder:
    """The folder of a run. Raises Stop for what is no run id."""
    try:
        return RunFolder(run)
    except ValueError as error:
        raise Stop(2, str(error)) from None


class Target:
    """The file, as it was found (`before`), and the run that changes it.

    `about`: how people know it; `keys`: how the journal does. Methods raise Stop with what to tell.
    """

    def __init__(self, run: str, path: str, about: str = "", profile: str = "") -> None:
        """Read what is there. `path`: as named on the node; `profile`: whose file it is."""
        self.folder = run_folder(run)
        self.journal = Journal(self.folder)
        self.path, self.about = path, about or path
        self.file = at(path)
        self.keys = {"profile": profile} if profile else {"file": path}
        self.before = read(self.file)

    def follow(self) -> None:
        """Where it is a link, change what it names: the link stays."""
        self.file = os.path.realpath(self.file)

    def failed(self, why: str) -> Stop:
        """The end of the verb with this reason."""
        return Stop(1, f"{self.about}: {why}")

    def digest(self) -> str:
        """Of what is there now."""
        return digest(read(self.file))

    def intend(self, after: bytes | None) -> None:
        """Keep what is there and write down what shall be; where that fails nothing was changed."""
        try:
            if self.before is not None:
                self.folder.keep(self.before)
        except OSError:
            kept = f"{self.folder.path}/files"
            raise self.failed(f"cannot keep a copy in {kept}; nothing was changed") from None
        try:
            before, planned = digest(self.before), digest(after)
            self.journal.write("intent", **self.keys, before=before, after=planned)
        except OSError:
            raise self.failed(f"cannot write {self.journal.path}; nothing was changed") from None

    def put(self, data: bytes | None, suffix: str, mode: int = 0o644, anew: bool = False) -> str:
        """Put a text in its place, None: take it away. Gives "", or why that may not last.

        Raises OSError where nothing was changed; the arguments are those of `node.files.replace`.
        """
        folder = os.path.dirname(self.file)
        try:
            if data is None:
                self._remove()
            else:
                make_folder(folder, 0o755)
                replace(self.file, data, suffix, mode, anew)
            # it may be new itself
            sync_folder(os.path.dirname(folder))
        except OSError:
            if self.digest() != digest(data):
                raise
            return f"{folder} does not reach the disk"
        return ""

    def done(self) -> None:
        """Write down that it is in place, and what is found there."""
        self.journal.write("done", **self.keys, after=self.digest())

    def restored(self) -> None:
        """Write down that it is as it was before."""
        self.journal.write("restored", **self.keys, after=digest(self.before))

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.file)
        # of what never was there no folder
        with suppress(FileNotFoundError):
            sync_folder(os.path.dirname(self.file))
