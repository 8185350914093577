"""Containers of the lab whose root does its worst to the node, and what must be true of the node.

`Hostile` puts programs of ours before those of a guest; a mode, one of the files in
guest/hostile/modes, says what they do to whoever comes in from the node. `unharmed` looks at the
node before and after: what is not a run's own business is as it was, to the byte.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from on_node import REPO

from phoenix.apparmor.observed import OWN_FILES

HERE = Path(__file__).parent / "guest/hostile"
STATE = "/var/lib/phoenix-harden"
MIB = 1024 * 1024

#: The programs that are ours in such a guest; PATH in a guest begins with this folder.
FIRST = "/usr/local/sbin"
PROGRAMS = (
    *("sh", "docker", "dockerd", "runc", "dpkg-query", "dpkg", "apt-get"),
    *("sha256sum", "cat", "stat", "mount", "readlink", "wc"),
)

INSTALL = f"""
    mkdir -p /opt/hostile {FIRST}
    tar -x -C /opt/hostile
    chmod 755 /opt/hostile/impostor
    for name in {" ".join(PROGRAMS)}; do ln -f /opt/hostile/impostor {FIRST}/$name; done
    ln -sf /opt/hostile/impostor /usr/bin/sh
    cp /etc/os-release /opt/hostile/os-release
"""

SET_MODE = "sh /opt/hostile/mode"

#: What the node is made of, one entry a line: every file of its own disk with its times (nobody
#: sets a ctime), and what may hold a secret or run as root with its digest. Left out: what runs
#: keep, the disks of the guests, logs and caches.
MANIFEST = r"""
    manifest() {
        left_out=
        for path in /var/lib/phoenix-harden /var/lib/vz/images /var/log /var/cache /var/lib/systemd
        do left_out="$left_out -path $path -prune -o"; done
        file='%p %y %m %U:%G %s %C@ %l\n'
        find / -xdev $left_out -type d -printf '%p %m %U:%G\n' -o -printf "$file"
        find /tmp /dev/shm -mindepth 1 -printf "$file"
        find /etc /root /home /opt /srv /usr/local -xdev -type f -exec sha256sum {} + |
            awk '{ print $2, $1 }'
        for name in core_pattern modprobe; do
            echo "/proc/sys/kernel/$name $(cat /proc/sys/kernel/$name)"
        done
    }
"""

#: The most that the node has ever held while this ran, in bytes: of its disk, the disks of the
#: guests and the logs left out, and of its folders in memory. Ends when its own file goes.
GROWTH = r"""
import glob, os, sys, time
def held():
    total = 0
    for path in ("/", "/tmp", "/run", "/dev/shm"):
        one = os.statvfs(path)
        total += (one.f_blocks - one.f_bfree) * one.f_frsize
    for path in sum(map(glob.glob, ("/var/lib/vz/images/*/*", "/var/log/*", "/var/log/*/*")), []):
        try: total -= os.lstat(path).st_blocks * 512 * os.path.isfile(path)
        except OSError: pass
    return total
began = most = held()
open("/run/growing", "w").close()
print("ready", flush=True)
while os.path.exists("/run/growing"):
    most = max(most, held())
    time.sleep(0.2)
print(most - began)
"""

#: What may never reach a screen: all control characters but the end of a line, and what turns the
#: direction of writing.
UNPRINTABLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)

#: What a guest may be given: pipes are not the node's, and its own names are its own.
HARMLESS = re.compile(r"fd [0-2] (pipe:\[\d+\]|/dev/null)|(start|rm|rmi) .*")

KEYS = {
    *("time", "ctid", "event", "file", "before", "after", "ours", "driver", "driver_before"),
    *("packages", "removed", "undoes", "format", "profile", "kept"),
}
EVENTS = {"begin", "intent", "started", "done", "back", "restored", "refused", "failed"}
VALUE = re.compile(r"[ -!#-\[\]-~]*")


@dataclass(frozen=True)
class Hostile:
    """A container that is hostile from now on; `ctid` runs."""

    node: object
    ctid: int

    def install(self, mode="honest", daemon_json=None):
        """Put our programs before the guest's own.

        `daemon_json`: make Docker's configuration one of those of guest/hostile/daemon-json.
        """
        make = f"sh /opt/hostile/daemon-json {daemon_json}" if daemon_json else ""
        self.inside(f"{INSTALL}\n{make}\n{SET_MODE} {mode}", _tar())
        return self

    def mode(self, name):
        """What it does from now on."""
        self.inside(f"{SET_MODE} {name}")

    def inside(self, script, data=b""):
        """Run a script in it, past our own programs; gives what it printed."""
        shell = "/usr/bin/busybox sh -euc"
        path = "PATH=/usr/sbin:/usr/bin"
        attach = f"lxc-attach -n {self.ctid} --clear-env --set-var {path} -- {shell}"
        return self.node.ssh(f"{attach} {_quoted(script)}", input=data, timeout=600).stdout

    def saw(self):
        """What its programs noted of what they were given, one thing a line."""
        return self.node.ssh(f"cat {self._own}/saw", check=False).stdout.splitlines()

    def been(self, word):
        """Whether its programs came by that place since the mode was set."""
        return self.node.ssh(f"test -e {self._own}/seen/{word}", check=False).returncode == 0

    @property
    def _own(self):
        """Its folder as the node sees it: nobody goes in for it."""
        return f"/proc/$(lxc-info -n {self.ctid} -pH)/root/opt/hostile"

    def stayed(self):
        """The processes that came in from the node and are there still."""
        # whatever the folder above it is called on this node
        look = f"cat /sys/fs/cgroup/*/{self.ctid}/ns/.lxc*/cgroup.procs"
        look += f" /sys/fs/cgroup/*/{self.ctid}/.lxc*/cgroup.procs"
        look += f" /sys/fs/cgroup/lxc.payload.{self.ctid}/.lxc*/cgroup.procs"
        return self.node.ssh(f"{look} 2>/dev/null", check=False).stdout.split()


@dataclass
class Ran:
    """How a run of pyinfra ended: `code` is None if it had not within its limit."""

    code: int | None
    out: str
    err: str
    seconds: float

    def __str__(self):
        return f"exit {self.code} after {self.seconds:.0f} s\n{self.out}\n{self.err}"


@dataclass
class Look:
    """What is looked at while it runs: `problems` are in words, none at the end is fine."""

    node: object
    problems: list[str] = field(default_factory=list)

    def run(self, deploy, *flags, limit, inventory="inventory.py", **data):
        """Run a deploy to its end, or for `limit` seconds."""
        with self.begin(deploy, *flags, inventory=inventory, **data) as run:
            ran = finish(run, limit)
        self.heard(deploy, ran, limit)
        return ran

    @contextmanager
    def begin(self, deploy, *flags, inventory="inventory.py", **data):
        """A deploy that has begun."""
        given = [f"--data={key}={value}" for key, value in data.items()]
        call = [sys.executable, "-m", "pyinfra", "-y", *flags, str(inventory)]
        run = subprocess.Popen(
            [*call, f"deploys/{deploy}.py", *given],
            cwd=REPO,
            env={**os.environ, "NO_COLOR": "1", "PYINFRA_PROGRESS": "off"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        run.began = time.monotonic()
        try:
            yield run
        finally:
            end(run)

    def heard(self, deploy, ran, limit):
        """Hold what it said against what a screen may be given."""
        print(f"{deploy}: {ran}")
        if ran.code is None:
            self.problems.append(f"{deploy} has not ended in {limit} s")
        said = ran.out + ran.err
        if bad := sorted(set(UNPRINTABLE.findall(said))):
            self.problems.append(f"{deploy}: on the screen: {bad}")
        if "Traceback" in said:
            self.problems.append(f"{deploy}: a traceback")


def finish(run, limit):
    """Wait for the end of a run."""
    try:
        out, err = run.communicate(timeout=limit)
        code = run.returncode
    except subprocess.TimeoutExpired:
        code = None
        end(run)
        out, err = run.communicate()
    seconds = time.monotonic() - run.began
    return Ran(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), seconds)


def end(run):
    """End a run on this side; what it began on the node goes on there."""
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)


@contextmanager
def unharmed(node, hostile, changes=(), growth=48):
    """Whatever is done meanwhile: the node is as it was but for what a run may change.

    `hostile`: the hostile containers; `changes`: the containers that are changed, by CTID;
    `growth`: MiB that the node may hold more than before at any moment.
    """
    node.ssh(f"{MANIFEST} manifest >/run/manifest", timeout=900)
    look = Look(node)
    watch = subprocess.Popen(
        node.target.command([f"python3 -c {_quoted(GROWTH)}"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    watch.stdout.readline()
    there = {one.ctid: set(one.stayed()) for one in hostile}
    try:
        yield look
    except BaseException as error:
        look.problems += _harm(node, there, hostile, changes, watch, growth)
        if look.problems:
            error.add_note("\n".join(["and besides:", *look.problems]))
        raise
    look.problems += _harm(node, there, hostile, changes, watch, growth)
    assert not look.problems, "\n".join(look.problems)


def _harm(node, there, hostile, changes, watch, growth):
    """All that is not as it should be, in words; `there`: what had come in before, by CTID."""
    problems = []
    node.ssh("rm -f /run/growing")
    grown = int(watch.communicate(timeout=600)[0]) / MIB
    print(f"the node grew by {grown:.1f} MiB")
    if grown > growth:
        problems.append(f"the node held {grown:.0f} MiB more for a while")
    allowed = re.compile(
        "|".join(
            [
                r"/etc/apparmor\.d/(lxc-[a-z0-9-]+|abi/phoenix-harden)",
                r"/usr/local/lib/phoenix-harden(/namespace)?",
                *(rf"/etc/pve/nodes/pve-lab/lxc/{ctid}\.conf" for ctid in changes),
                *(rf"/var/lib/lxc/{ctid}/(config|apparmor.*|rules\.seccomp)" for ctid in changes),
            ]
        )
    )
    changed = node.ssh(f"{MANIFEST} manifest | diff /run/manifest -", check=False, timeout=900)
    for line in changed.stdout.splitlines():
        if line.startswith(("< ", "> ")) and not allowed.fullmatch(line.split(" ")[1]):
            problems.append(f"the node's files: {line}")
    problems += _journal_problems(node)
    look = f"[ ! -e {STATE} ] || find {STATE} -perm /077 -printf '%p %m\\n'"
    problems += [f"open to others: {line}" for line in node.ssh(look).stdout.splitlines()]
    size = node.ssh(f"[ ! -e {STATE} ] || du -sm {STATE}").stdout.split()
    if size and int(size[0]) > 8:
        problems.append(f"{STATE} is {size[0]} MiB large")
    lock = node.ssh(f"[ ! -e {STATE}/lock ] || flock -n {STATE}/lock true", check=False)
    if lock.returncode != 0:
        problems.append("somebody holds the node's lock")
    nobody = node.ssh(f"runuser -u nobody -- flock -n {STATE}/lock true", check=False)
    if nobody.returncode == 0:
        problems.append("nobody can take the node's lock")
    for one in hostile:
        if given := {line for line in one.saw() if not HARMLESS.fullmatch(line)}:
            problems.append(f"CT {one.ctid} was given {sorted(given)}")
        if stayed := set(one.stayed()) - there[one.ctid]:
            problems.append(f"CT {one.ctid}: {len(stayed)} processes of the node's stayed")
    return problems


def _journal_problems(node):
    """What is in a journal and was never written by us."""
    problems = []
    names = node.ssh(f"ls {STATE}/runs/*/journal.jsonl 2>/dev/null", check=False).stdout.split()
    for name in names:
        for line in node.ssh(f"cat {name}").stdout.splitlines():
            try:
                pairs = json.loads(line, object_pairs_hook=list)
                if reason := _not_ours(pairs):
                    raise ValueError(reason)
            except (ValueError, TypeError, RecursionError) as error:
                problems.append(f"journal: {error}: {line[:300]}")
    return problems


def _not_ours(pairs):
    """Why these pairs are no line of ours, or None."""
    entry = dict(pairs)
    if len(entry) != len(pairs):
        return "a key twice"
    if strange := entry.keys() - KEYS:
        return f"keys {sorted(strange)}"
    if entry.get("event") not in EVENTS:
        return "no event of ours"
    ctid = entry.get("ctid")
    for value in entry.values():
        if type(value) is not int and not (isinstance(value, str) and VALUE.fullmatch(value)):
            return f"a value {value!r}"
    guest = ("/etc/docker/daemon.json", f"/etc/pve/lxc/{ctid}.conf")
    managed = r"/etc/apparmor\.d/lxc-[a-z0-9-]+"
    file = entry.get("file")
    if file and not (file in guest if ctid else file in OWN_FILES or re.fullmatch(managed, file)):
        return f"a file {file}"
    return None


def _tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("impostor", "clinger", "init", "mode", "daemon-json", "modes"):
            tar.add(HERE / name, name)
    return buffer.getvalue()


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"
