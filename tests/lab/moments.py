"""The moments of one run on the lab's node, each kept as a saved state of the whole VM.

A run calls fsync(2) whenever something must be on disk: before-images, every line of a journal,
what is staged. Python on the node is made to stop the run right after each of those calls, so that
the VM can be saved there; and a saved state can be gone on from in three ways: the operator is gone
and the node finishes what it does, or everything that the run does on the node is killed, or the
node loses its power and with it whatever has not been brought to the disk.
"""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from on_node import REPO, command

from lab.vm import Lab

#: Added to what every Python on the node loads first; only our own program is stopped by it, and of
#: the files of one staged container only at the last.
WRAPPER = """
import os, re, sys

def _stopping(fsync=os.fsync):
    def stop(fd):
        fsync(fd)
        path = os.readlink("/proc/self/fd/%d" % (fd if isinstance(fd, int) else fd.fileno()))
        passes = os.path.isdir(path) or re.search("/runs/[^/]*/([1-9][0-9]*/(?!before)|node)", path)
        if passes or "node.main" not in sys.modules or not os.path.exists("/run/lab/at"):
            return
        with open("/run/lab/at", "w") as at:
            at.write("%d %s\\n" % (os.getpid(), path))
        with open("/run/lab/go") as go:
            go.readline()
    return stop

os.fsync = _stopping()
"""

#: Kills what the run does at this moment: nothing is tidied up but by what systemd starts then.
KILL = """
    rm -f /run/lab/at
    systemctl kill -s KILL 'phoenix-harden-*' 2>/dev/null
    kill -KILL $(cat /run/lab/waiting) 2>/dev/null
    while systemctl list-units --plain --no-legend --state=active,deactivating 'phoenix-harden-*' |
        grep -q .; do sleep 0.2; done
"""

#: The operator is gone; what works on the node goes on by itself and ends.
LEAVE = """
    rm -f /run/lab/at
    echo >/run/lab/go
    while systemctl list-units --plain --no-legend --state=active,deactivating 'phoenix-harden-*' |
        grep -q .; do sleep 0.2; done
    while pgrep -f 'sys.exit.main.* ([i]nstall-|[r]estore)' >/dev/null; do sleep 0.2; done
"""


@dataclass(frozen=True)
class Moment:
    """A saved state: its name in the VM's disk, and what was just put on disk then."""

    tag: str
    synced: str


def moments(node, deploy="harden", tag="moment", **data):
    """Run a deploy to its end and give the moments of it, in order; `tag` begins their names."""
    node.ssh(
        "mkdir -p /run/lab && mkfifo /run/lab/at /run/lab/go && "
        "cat >>$(python3 -c 'import sitecustomize; print(sitecustomize.__file__)')",
        input=WRAPPER,
    )
    found = []
    with subprocess.Popen(
        command(deploy, "-y", **data),
        cwd=REPO,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        said = []
        reader = threading.Thread(target=lambda: _read_to_the_end(run, said, node))
        reader.start()
        while (line := node.ssh("cat /run/lab/at", timeout=1800).stdout) != "end\n":
            pid, synced = line.strip().split(" ", 1)
            node.ssh(f"echo {pid} >/run/lab/waiting")
            found.append(Moment(f"{tag}{len(found)}", synced))
            Lab(REPO).save(found[-1].tag)
            node.ssh("echo >/run/lab/go")
        reader.join()
    assert run.returncode == 0, "".join(said)
    return found


@contextmanager
def at(node, moment, *, node_dies):
    """Be back in that moment with the operator gone; afterwards the run is over in one way."""
    Lab(REPO).load(moment.tag)
    node.ssh(KILL if node_dies else LEAVE, check=False, timeout=1800)
    yield node


def cut(node, moment):
    """Be back in that moment and take the node's power: it boots, with what is on its disk."""
    Lab(REPO).load(moment.tag)
    Lab(REPO).power_cut()
    # the wrapper is there still, and stops nobody: /run is empty
    assert node.ssh("ls -d /run/lab", check=False).returncode != 0


def _read_to_the_end(run, said, node):
    said.extend(run.stderr)
    node.ssh("[ ! -p /run/lab/at ] || echo end >/run/lab/at")
