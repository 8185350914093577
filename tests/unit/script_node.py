"""A fake node for tests of the scripts that run on nodes: a root, fake tools, a run."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import node.pack
from node.pack import program, stdin
from tests.forks import Forks

SCRIPTS = Path(__file__).parents[2] / "templates/node"

_UNPACKED = tempfile.TemporaryDirectory(prefix="phoenix-harden-")


def unpacked(packed):
    """A folder with this program in it: there Python keeps what it has compiled.

    Packed, each call compiles all of it, which takes longer than most of the tests (see
    `node.pack.BOOT`).
    """
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return laid({name: archive.read(name) for name in archive.namelist()})


def laid(files):
    """The same of its files, each with its name."""
    folder = Path(_UNPACKED.name, hashlib.sha256(repr(files).encode()).hexdigest())
    for name, data in () if folder.exists() else files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def boot(folder):
    """Runs the program from there; like `node.pack.BOOT` it leaves the request on stdin."""
    return f"""\
import sys
sys.stdin.buffer.readline()
sys.path.insert(0, {folder!r})
from node.main import main
sys.exit(main(sys.argv[1:]))
"""


#: All verbs.
UNPACKED = unpacked(program())
BOOT = boot(UNPACKED)
#: Starts it. All that it imports is there already: no module looks at its environment as it is
#: imported (`node.root`).
FORKS = Forks(f"""\
import os, sys
sys.path.insert(0, {UNPACKED!r})
for name in sorted(os.listdir({UNPACKED!r} + "/node")):
    if name.endswith(".py"):
        __import__("node." + name[:-3])
del sys.path[0]
""")
#: In front of a program that shall run on what it brings itself.
ALONE = """\
import sys
for name in [name for name in sys.modules if name.split(".")[0] in ("node", "phoenix")]:
    del sys.modules[name]
"""
#: Ends the program by a kill right after it has put a file on disk, the NTH whose name begins so.
_KILLED = """
import os, signal
def fsync(fd, real=os.fsync):
    global NTH
    real(fd)
    NTH -= os.readlink("/proc/self/fd/%d" % fd).rpartition("/")[2].startswith(NAME)
    if not NTH:
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = fsync
"""


def sha(text):
    """What the scripts take as the digest of a file with this text, or of none."""
    return "none" if text is None else hashlib.sha256(text.encode()).hexdigest()


def base64_of(text):
    return base64.encodebytes(text.encode()).decode()


class ScriptNode:
    """What the scripts find below PHOENIX_ROOT, and fakes in front of the real tools."""

    #: What runs the node's program.
    boot = BOOT

    def __init__(self, folder):
        self.root, self.fake, self.run = folder / "root", folder / "fake", folder / "run"
        self.root.mkdir()
        self.fake.mkdir()

    def has(self, path, text, mode=0o644):
        """Write a file of the node, which is named as there."""
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    @contextmanager
    def killed_at(self, name, number):
        """What runs meanwhile is killed once the file is on disk that is the NUMBERth named so."""
        boot = self.boot
        self.boot = f"NAME, NTH = {name!r}, {number}\n{_KILLED}{boot}"
        yield
        self.boot = boot

    def tool(self, name, text):
        """Put a fake of this tool in front of the real one."""
        (self.fake / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.fake / name).chmod(0o755)

    @property
    def environment(self):
        return {
            **os.environ,
            "PATH": f"{self.fake}:{os.environ['PATH']}",
            "PHOENIX_PATH": str(self.fake),
            "PHOENIX_ROOT": str(self.root),
            "FAKE": str(self.fake),
        }

    def sh(self, script, *arguments, stdin=""):
        """Run the script to its end, in the way in which the operations run it."""
        return subprocess.run(
            ["sh", "-c", (SCRIPTS / f"{script}.sh").read_text(), script, *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def verb(self, verb, *words, request=None, timeout=60):
        """Run a verb of the node's program in the way in which it reaches a node."""
        return FORKS.run(
            self.boot,
            verb,
            *words,
            input=stdin(request),
            env=self.environment,
            timeout=timeout,
        )

    def verb_as_sent(self, verb, *words, request=None):
        """The same as it is sent: packed, in a Python of its own, and several times as slow."""
        return subprocess.run(
            [sys.executable, "-I", "-c", node.pack.BOOT, verb, *words],
            input=stdin(request),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def observe(self, **sections):
        """Ask for these sections, each given as its arguments."""
        done = self.verb("observe", request=sections)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    @property
    def calls(self):
        """What the fakes were asked, if they note it."""
        return self._lines(self.fake / "calls")

    @property
    def journal(self):
        return [json.loads(line) for line in self._lines(self.run / "journal.jsonl")]

    @property
    def events(self):
        return [entry["event"] for entry in self.journal]

    def _lines(self, file):
        return file.read_text().splitlines() if file.exists() else []
