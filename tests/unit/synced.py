"""A stand-in for sync(1) that notes how a file stands whenever something is put on disk.

It asks the real one, so that what cannot be put on disk fails; what it is told to fail for, too.
"""

from script_node import BOOT

TOOL = """#!/bin/sh
for path; do echo "${path##*/} $(cat '%(file)s' 2>/dev/null)" >>'%(tools)s/synced'; done
case $* in */"$(cat '%(tools)s/sync-fails')") exit 1 ;; esac
exec /bin/sync "$@"
"""


class Synced:
    """What was put on disk; `tools`: a folder in front of PATH, `file`: the one to look at."""

    def __init__(self, tools, file):
        self.tools = tools
        (tools / "sync").write_text(TOOL % {"tools": tools, "file": file})
        (tools / "sync").chmod(0o755)
        self.fails_for("nothing")

    def fails_for(self, name):
        """Have it fail for a file or folder of that name."""
        (self.tools / "sync-fails").write_text(name)

    @property
    def calls(self):
        """In order: the last part of each path, and the text of the file then."""
        lines = (self.tools / "synced").read_text().splitlines()
        return [tuple(line.split(" ", 1)) for line in lines]


#: The same for the node's program: in front of what runs it.
FSYNC = """\
import errno,os,time
def fsync(fd, real=os.fsync):
    path = os.readlink("/proc/self/fd/%d" % fd)
    name = path.rpartition("/")[2]
    with open(TOOLS + "/fsynced", "a") as notes, open(os.devnull) as none:
        try:
            text = open(FILE).read()
        except OSError:
            text = ""
        root = os.environ["PHOENIX_ROOT"]
        ours = path == root or path.startswith(root + "/var")
        if not (ours and os.path.isdir(path)):
            notes.write(name + " " + " ".join(text.split()) + chr(10))
    while STOPS and name.startswith(STOPS):
        time.sleep(0.1)
    if FAILS and name.startswith(FAILS):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    real(fd)
os.fsync = fsync
"""


class Fsynced:
    """What the program of a `ScriptNode` put on disk, apart from the folders of its own runs."""

    def __init__(self, node, file):
        self.node, self.file = node, file
        self._set()

    def _set(self, fails="", stops=""):
        known = f"TOOLS, FILE = {str(self.node.fake)!r}, {str(self.file)!r}\n"
        self.node.boot = f"{known}FAILS, STOPS = {fails!r}, {stops!r}\n{FSYNC}{BOOT}"

    def fails_for(self, name):
        """Have it fail for files and folders whose names begin so."""
        self._set(fails=name)

    def stops_at(self, name):
        """Have it wait there for ever."""
        self._set(stops=name)

    @property
    def calls(self):
        """In order: the last part of each path, and the text of the file then."""
        lines = (self.node.fake / "fsynced").read_text().splitlines()
        return [tuple(line.split(" ", 1)) for line in lines]
