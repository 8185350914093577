"""What the node takes for the section `denials` of a long log: 1,000,000 lines, 200 MB.

Half of the lines are AppArmor's about containers; their paths are all distinct, which is the
worst that one can have the log say. Usage: python bench/denials_section.py [LINES]
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).parents[1]

_OURS = (
    'type=AVC msg=audit({at}.{ms:03}:{n}): apparmor="DENIED" operation="open" class="file" '
    'profile="lxc-docker-nested-{ctid}" name="/srv/data/{n:040}" pid={pid} comm="backup" '
    'requested_mask="r" denied_mask="r" fsuid=100000 ouid=0\n'
)
_OTHERS = (
    "type=SYSCALL msg=audit({at}.{ms:03}:{n}): arch=c000003e syscall=257 success=no exit=-13 "
    "a0=ffffff9c a1=7ffd8c1f a2=0 a3=0 items=1 ppid=1 pid={pid} auid=4294967295 uid=0 gid=0 "
    'comm="backup" exe="/usr/bin/backup"\n'
)

_ASK = """
import json, sys, time
from node.denials import observe
began = time.process_time()
seen = observe([int(sys.argv[1])], [])
took = time.process_time() - began
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
told = len(json.dumps(seen)) / 1e6
print(json.dumps([took, int(peak) / 1024, len(seen["denials"]), seen["left"], told]))
"""


def write(folder: Path, lines: int) -> tuple[int, int]:
    """A log of a day, the first half of it compressed; gives its bytes and when it begins."""
    began, size = int(time.time()) - 86400, 0
    with gzip.open(folder / "audit.log.1.gz", "wt") as old, (folder / "audit.log").open("w") as new:
        for n in range(lines):
            form = _OTHERS if n % 2 else _OURS
            at = began + n * 86400 // lines
            line = form.format(at=at, ms=n % 1000, n=n, ctid=910 + n % 5, pid=1000 + n % 30000)
            (old if n < lines // 2 else new).write(line)
            size += len(line)
    return size, began


def main() -> None:
    """Write, ask, print."""
    lines = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "var/log/audit")
        folder.mkdir(parents=True)
        systemctl = Path(name, "systemctl")
        systemctl.write_text("#!/bin/sh\nexit 0\n")
        systemctl.chmod(0o755)
        size, began = write(folder, lines)
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, str(began)],
            env={**os.environ, "PYTHONPATH": str(TOP), "PHOENIX_ROOT": name, "PHOENIX_PATH": name},
            stdout=subprocess.PIPE,
            check=True,
        )
    took, peak, kinds, left, told = json.loads(asked.stdout)
    print(f"{lines:,} lines, {size / 1e6:.0f} MB: {took:.1f} s of processor, {peak:.0f} MB in use")
    print(f"told: {kinds} kinds, {told:.1f} MB; {left:,} lines are floods")


if __name__ == "__main__":
    main()
