"""What a stack is made of, beside what it was when this was written down.

A suite that moves brings other versions with the next image that is built; what was seen to work
with the old ones is to be looked at again then, and nothing else says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lab.recipe import Stack
from lab.ssh import SshTarget

SEEN = Path(__file__).with_name("versions.json")

#: One container stands for all: they share their base.
ASK = """
    echo "kernel $(uname -r)"
    echo "LXC $(lxc-info --version)"
    ask='-W -f ${Version}'
    echo "AppArmor $(dpkg-query $ask apparmor)"
    echo "systemd $(dpkg-query $ask systemd)"
    for package in docker.io containerd runc fuse-overlayfs; do
        echo "$package $(chroot /var/lib/lxc/954/rootfs dpkg-query $ask $package)"
    done
"""


def versions(target: SshTarget) -> dict[str, str]:
    """Part to version, of a running node."""
    return dict(line.split(" ", 1) for line in target.run(ASK).stdout.splitlines())


def seen(stack: Stack) -> dict[str, str]:
    """Part to version, as written down in ``versions.json``."""
    every: dict[str, dict[str, str]] = json.loads(SEEN.read_text())
    return every[stack.name]


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Each part that has another version now, in words."""
    return [
        f"{part} {before.get(part, 'not there')} -> {now.get(part, 'gone')}"
        for part in {**before, **now}
        if before.get(part) != now.get(part)
    ]
