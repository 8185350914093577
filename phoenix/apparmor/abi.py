"""The features of AppArmor by which our profiles are compiled: those of a release, and io_uring.

A profile is mediated in what its abi names, and in nothing else. `abi/4.0` does not know io_uring:
by it alone a container may have a thread of the kernel that polls (IORING_SETUP_SQPOLL), which the
profile that Proxmox generates refuses. So a node gets a file of our own: its `abi/4.0`, and that.
"""

from __future__ import annotations

import re

from phoenix.apparmor.observed import ABI_BASE, ABI_OURS, ObservedAppArmor

# as the kernel has it (security/apparmor/apparmorfs.c, aa_sfs_entry_io_uring)
_IO_URING = "io_uring {mask {sqpoll override_creds\n}\n}\n"


def abi_text(node: ObservedAppArmor) -> str | None:
    """The text of `ABI_OURS` for a node; None where it needs none, or its parser knows no such.

    >>> node = ObservedAppArmor(parser=(4, 1, 0), files={"abi/4.0": "file {mask {read\\n}\\n}\\n"})
    >>> abi_text(node)
    'file {mask {read\\n}\\n}\\nio_uring {mask {sqpoll override_creds\\n}\\n}\\n'
    """
    base = node.files.get(ABI_BASE)
    if not base or node.parser is None or node.parser < (4, 0):
        return None
    if re.search(r"^io_uring\b", base, re.MULTILINE):
        return None
    return base.rstrip("\n") + "\n" + _IO_URING


def abi_name(node: ObservedAppArmor) -> str | None:
    """What a profile names in `abi <abi/NAME>` on this node; None: it has none that we know."""
    if abi_text(node):
        return ABI_OURS.removeprefix("abi/")
    return next((abi for abi in ("4.0", "3.0") if abi in node.abis), None)
