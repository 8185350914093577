"""A fake node on which the commit script runs: a root, a run, and tools that note their calls."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "templates/node"
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


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Node:
    """A fake node on which container 910 is to be committed."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.fake = folder / "fake"
        self.run = self.root / RUN
        self.conf = self.root / "etc/pve/lxc/910.conf"
        for path in (self.run / "910", self.conf.parent, self.root / "run", self.fake):
            path.mkdir(parents=True)
        for name in ("commit", "write-conf", "restart"):
            (self.run / name).write_text((SCRIPTS / f"{name}.sh").read_text())
        (self.run / "probe.tar").touch()
        label = self.root / "proc/4711/attr/apparmor/current"
        label.parent.mkdir(parents=True)
        label.write_text("lxc-docker-nested (enforce)\n")
        (self.root / "var/log/audit").mkdir(parents=True)
        self.label = label
        self.conf.write_text(OLD)
        (self.fake / "state").write_text("running\n")
        for name, text in FAKES.items():
            (self.fake / name).write_text(f"#!/bin/sh\n{text}")
            (self.fake / name).chmod(0o755)
        self.stage(conf=NEW, before=sha256(OLD))
        self.stage(label="lxc-docker-nested (enforce)", docker="", restart="")

    def stage(self, **files: str) -> None:
        for name, text in files.items():
            (self.run / "910" / name).write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        tools = {
            "PHOENIX_ROOT": str(self.root),
            "PHOENIX_PATH": str(self.fake),
            "FAKE": str(self.fake),
        }
        return {**os.environ, **tools}

    def commit(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", self.run / "commit", "910", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        calls = self.fake / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    @property
    def events(self) -> list[object]:
        return [entry["event"] for entry in self.journal]

    def was_cut_short(self, *events: str, conf: str, state: str = "running") -> None:
        """Leave things as a kill leaves them: the journal ends with these events."""
        digests = {
            "intent": {"before": sha256(OLD), "after": sha256(NEW)},
            "started": {"after": sha256(NEW)},
        }
        self.conf.write_text(conf)
        (self.fake / "state").write_text(f"{state}\n")
        (self.run / "files").mkdir()
        (self.run / "files" / sha256(OLD)).write_text(OLD)
        with (self.run / "journal.jsonl").open("w") as journal:
            for event in events:
                entry = {"time": "2026-11-22T01:30:00Z", "ctid": 910, "event": event}
                entry |= {"file": "/etc/pve/lxc/910.conf", **digests.get(event, {})}
                journal.write(json.dumps(entry, separators=(",", ":")) + "\n")

    @property
    def restarts(self) -> int:
        return self.calls.count("pct start 910")

    @property
    def journal(self) -> list[dict[str, object]]:
        text = (self.run / "journal.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]
