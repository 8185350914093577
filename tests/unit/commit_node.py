"""A fake node on which a commit runs, with a container that is to be committed."""

import json
import subprocess
import sys
from pathlib import Path

from script_node import UNPACKED, ScriptNode, sha

RUN = "r20261122T013000Z-beef"
FOLDER = f"var/lib/phoenix-harden/runs/{RUN}"
OLD = "hostname: old\nlxc.apparmor.profile: unconfined\n"
NEW = "hostname: old\nlxc.apparmor.profile: lxc-docker-nested\n"

IMAGE = f"sha256:{'1' * 64}"
CONTAINER = "2" * 64

#: The sockets of a node (proc_net_unix(5)) on which one other container runs, and that of ours.
SOCKETS = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 16021 /run/dbus/system_bus_socket
0000000000000000: 00000002 00000000 00010000 0001 01 20907 @/var/lib/lxc/9100/command
"""
SOCKET = "0000000000000000: 00000002 00000000 00010000 0001 01 20910 @/var/lib/lxc/910/command"

#: What a fake does that stops the container, and that starts it.
STOPS = 'sed -i "/lxc.910.command/d" "$PHOENIX_ROOT/proc/net/unix"'
STARTS = f'echo "{SOCKET}" >>"$PHOENIX_ROOT/proc/net/unix"'

#: Each fake notes its call; `label` is what its PID 1 carries once the conf names a profile,
#: `docker` whether Docker works then.
FAKES = {
    "pct": f"""
        echo "pct $*" >>"$FAKE/calls"
        case $1 in
        shutdown | stop) {STOPS} ;;
        start)
            grep -q boots-not "$PHOENIX_ROOT/etc/pve/lxc/910.conf" && exit 255
            {STARTS}
            cat "$FAKE/refused" >>"$PHOENIX_ROOT/var/log/audit/audit.log" 2>/dev/null
            ;;
        esac
        :
    """,
    "lxc-attach": f"""
        while [ "$1" != -- ]; do shift; done
        shift
        echo "guest $*" >>"$FAKE/calls"
        case "$*" in
        *"echo 'works 1'"*)
            when=before
            ! grep -q lxc- "$PHOENIX_ROOT/etc/pve/lxc/910.conf" || when=after
            echo >>"$FAKE/asked"
            cat "$FAKE/works-$(wc -l <"$FAKE/asked")" || cat "$FAKE/works-$when"
            ;;
        'sh -c docker rm '*)
            docker() {{ "$FAKE/lxc-attach" -- docker "$@"; }}
            removes=$3
            shift 4
            eval "$removes"
            ;;
        *'until said=$(docker info'*)
            echo "$(cat "$FAKE/driver" 2>/dev/null || echo overlay2)" \
                "[name=seccomp$(cat "$FAKE/options" 2>/dev/null)]"
            ;;
        *'docker ps'*) cat "$FAKE/probes" 2>/dev/null ;;
        *'docker images'*) cat "$FAKE/images" 2>/dev/null ;;
        *'docker import'*) cat >"$FAKE/image.tar"; echo {IMAGE} ;;
        *'docker run'*)
            echo {CONTAINER}
            ! grep -q lxc- "$PHOENIX_ROOT/etc/pve/lxc/910.conf" || [ ! -e "$FAKE/docker-denied" ]
            ;;
        *'docker port'*) echo 127.0.0.1:32768 ;;
        esac
        exit
    """,
    "nsenter": "echo phoenix-harden",
    # this machine's own says nothing of the node either, and takes its time
    "journalctl": "",
}


class Node(ScriptNode):
    """A fake node on which container 910 is to be committed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.run = self.root / FOLDER
        for path in (self.run / "910", self.root / "run", self.root / "var/log/audit"):
            path.mkdir(parents=True)
        (self.run / "node.pyz").symlink_to(UNPACKED)
        carried = "lxc-docker-nested (enforce)\n"
        self.has("/sys/fs/cgroup/lxc/910/cgroup.procs", "4711\n")
        self.has("/proc/4711/status", "Name:\tsystemd\nNSpid:\t4711\t1\n")
        self.has("/proc/4711/ns/net", "")
        self.label = self.has("/proc/4711/attr/apparmor/current", carried)
        self.conf = self.has("/etc/pve/lxc/910.conf", OLD)
        self.sockets = self.has("/proc/net/unix", "")
        self.state = "running"
        for name, text in FAKES.items():
            self.tool(name, text)
        self.stage(conf=NEW, before=sha(OLD))
        self.stage(label="lxc-docker-nested (enforce)", docker="", restart="")

    @property
    def state(self) -> str:
        """The container's, as Proxmox tells it: whether LXC's process for it listens."""
        return "running" if SOCKET in self.sockets.read_text() else "stopped"

    @state.setter
    def state(self, state: str) -> None:
        self.sockets.write_text(SOCKETS + (f"{SOCKET}\n" if state == "running" else ""))

    def refuses(self, *lines: str) -> None:
        """Have AppArmor refuse something at each start."""
        (self.fake / "refused").write_text("".join(f"{line}\n" for line in lines))

    def stage(self, **files: str) -> None:
        for name, text in files.items():
            (self.run / "910" / name).write_text(text)

    @property
    def call(self) -> list[str]:
        """How the unit of a commit begins it."""
        return [sys.executable, "-I", str(self.run / "node.pyz"), "commit", RUN, "910"]

    def commit(self) -> subprocess.CompletedProcess[str]:
        return self.verb("commit", RUN, "910")

    def recover(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Take up a commit that was cut short, as the next run does."""
        return self.verb("recover", RUN, "910", *words)

    def guest_says(self, command: str, does: str) -> None:
        """Have the guest do something else when it is told a `docker` command."""
        attach = self.fake / "lxc-attach"
        first = 'case "$*" in'
        attach.write_text(attach.read_text().replace(first, f"{first}\n*'{command}'*) {does} ;;"))

    def was_cut_short(self, *events: str, conf: str, state: str = "running") -> None:
        """Leave things as a kill leaves them: the journal ends with these events.

        It is one of the version before, which had no first line.
        """
        digests = {
            "intent": {"before": sha(OLD), "after": sha(NEW), "ours": "none"},
            "started": {"after": sha(NEW)},
            "done": {"after": sha(NEW)},
            "restored": {"after": sha(OLD)},
        }
        self.conf.write_text(conf)
        self.state = state
        (self.run / "files").mkdir()
        (self.run / "files" / sha(OLD)).write_text(OLD)
        with (self.run / "journal.jsonl").open("w") as journal:
            for event in events:
                entry = {"time": "2026-11-22T01:30:00Z", "ctid": 910, "event": event}
                entry |= {"file": "/etc/pve/lxc/910.conf", **digests.get(event, {})}
                journal.write(json.dumps(entry, separators=(",", ":")) + "\n")

    @property
    def events(self) -> list[str]:
        """Those of the container; the first line of a journal is not about any."""
        return [entry["event"] for entry in self.journal if entry["event"] != "begin"]

    @property
    def intent(self) -> dict[str, object]:
        """The first line about the container."""
        return next(entry for entry in self.journal if entry["event"] == "intent")

    @property
    def restarts(self) -> int:
        return self.calls.count("pct start 910")
