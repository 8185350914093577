"""A fake node on which the commit script runs, with a container that is to be committed."""

import json
import subprocess
from pathlib import Path

from script_node import SCRIPTS, ScriptNode, sha

RUN = "var/lib/phoenix-harden/runs/r1"
OLD = "hostname: old\nlxc.apparmor.profile: unconfined\n"
NEW = "hostname: old\nlxc.apparmor.profile: lxc-docker-nested\n"

#: Each fake notes its call; `state` is the container's, `label` what its PID 1 carries once the
#: conf names a profile, `docker` whether Docker works then.
FAKES = {
    "pct": """
        echo "pct $*" >>"$FAKE/calls"
        case $1 in
        status) echo "status: $(cat "$FAKE/state")" ;;
        shutdown | stop) echo stopped >"$FAKE/state" ;;
        start)
            grep -q boots-not "$PHOENIX_ROOT/etc/pve/lxc/910.conf" && exit 255
            echo running >"$FAKE/state"
            ;;
        esac
    """,
    "lxc-info": "echo 4711",
    "lxc-attach": """
        while [ "$1" != -- ]; do shift; done
        shift
        echo "guest $*" >>"$FAKE/calls"
        case "$*" in
        *'docker ps'*) cat "$FAKE/probes" 2>/dev/null ;;
        *'docker images'*) cat "$FAKE/images" 2>/dev/null ;;
        *'docker import'*) echo sha256:image ;;
        *'docker create'*) echo container ;;
        *'docker start'*)
            ! grep -q lxc- "$PHOENIX_ROOT/etc/pve/lxc/910.conf" || [ ! -e "$FAKE/docker-denied" ]
            ;;
        *'docker port'*) echo 127.0.0.1:32768 ;;
        *'docker info -f'*) echo "[name=seccomp$(cat "$FAKE/options" 2>/dev/null)]" ;;
        esac
    """,
    "nsenter": "echo phoenix-harden",
}


class Node(ScriptNode):
    """A fake node on which container 910 is to be committed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.run = self.root / RUN
        for path in (self.run / "910", self.root / "run", self.root / "var/log/audit"):
            path.mkdir(parents=True)
        for name in ("commit", "write-conf", "restart"):
            (self.run / name).write_text((SCRIPTS / f"{name}.sh").read_text())
        (self.run / "probe.tar").touch()
        carried = "lxc-docker-nested (enforce)\n"
        self.label = self.has("/proc/4711/attr/apparmor/current", carried)
        self.conf = self.has("/etc/pve/lxc/910.conf", OLD)
        (self.fake / "state").write_text("running\n")
        for name, text in FAKES.items():
            self.tool(name, text)
        self.stage(conf=NEW, before=sha(OLD))
        self.stage(label="lxc-docker-nested (enforce)", docker="", restart="")

    def stage(self, **files: str) -> None:
        for name, text in files.items():
            (self.run / "910" / name).write_text(text)

    def commit(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", self.run / "commit", "910", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def was_cut_short(self, *events: str, conf: str, state: str = "running") -> None:
        """Leave things as a kill leaves them: the journal ends with these events."""
        digests = {
            "intent": {"before": sha(OLD), "after": sha(NEW)},
            "started": {"after": sha(NEW)},
        }
        self.conf.write_text(conf)
        (self.fake / "state").write_text(f"{state}\n")
        (self.run / "files").mkdir()
        (self.run / "files" / sha(OLD)).write_text(OLD)
        with (self.run / "journal.jsonl").open("w") as journal:
            for event in events:
                entry = {"time": "2026-11-22T01:30:00Z", "ctid": 910, "event": event}
                entry |= {"file": "/etc/pve/lxc/910.conf", **digests.get(event, {})}
                journal.write(json.dumps(entry, separators=(",", ":")) + "\n")

    @property
    def restarts(self) -> int:
        return self.calls.count("pct start 910")
