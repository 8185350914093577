"""Folders of the node in which root of a container is root of the node, as the audit tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.mounts import read_mount, writes_as_root
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import is_privileged
from phoenix.text.printable import printable


def mounted_ids(observed: ObservedContainer) -> Iterator[Finding]:
    """Find each `mpN` whose `idmap=` reaches the node's 0; no profile asks who owns a file.

    `rootfs` may have one, too. What only the container sees, a block device, is its own affair. In
    a privileged container Proxmox ignores the option (lxc-pve-prestart-hook).
    """
    conf = observed.conf
    if is_privileged(conf):
        return
    for key in conf.main:
        if not re.fullmatch(r"mp[0-9]+|rootfs", key):
            continue
        try:
            mount = read_mount(f"{conf.main[key]}{',mp=/' if key == 'rootfs' else ''}")
        except ValueError:
            # Proxmox itself will tell
            continue
        if writes_as_root(mount) and _is_folder(str(mount["volume"])):
            yield Finding(
                Code.IDMAP,
                Severity.NOTE,
                f"{key}: with its idmap root in it works in {printable(str(mount['volume']))} as "
                "root of the node, and can leave setuid programs of the node's root there",
                observed.ctid,
                printable(conf.hostname or ""),
                f"name an idmap without the disk's 0 (pct set {observed.ctid} --{key})",
            )


def _is_folder(volume: str) -> bool:
    """Whether a volume is a folder of the node: a bind mount, or a `subvol-…` of a storage."""
    return volume.startswith("/") or re.search(r"[:/](?:sub|base)vol-[^/]*$", volume) is not None
