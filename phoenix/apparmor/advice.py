"""What to do about a refusal: a rule that would let it pass, only where that does little harm.

A guest can provoke any line, and an operator may paste what is proposed. So what is allowed here is
a closed list; what the profiles deny on purpose (`templates/apparmor/base.j2`) is never proposed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from phoenix.apparmor.sources import is_unreached

#: `rule`: one can be proposed; `own`: the operator may write one; `purpose`: denied on purpose;
#: `unknown`: nothing is known of such a kind.
Verdict = Literal["rule", "own", "purpose", "unknown"]

#: Capabilities that count within the container's user namespace only and open nothing of the node.
#: Left out, beside those that base.j2 leaves out: sys_admin, sys_ptrace, sys_boot, mknod,
#: dac_read_search, linux_immutable, which do harm in a privileged container.
_CAPABILITIES = frozenset(
    {
        *("audit_write", "chown", "dac_override", "fowner", "fsetid", "ipc_lock", "ipc_owner"),
        *("kill", "lease", "net_admin", "net_bind_service", "net_broadcast", "net_raw"),
        *("setfcap", "setgid", "setpcap", "setuid", "sys_chroot", "sys_nice", "sys_resource"),
        "sys_tty_config",
    }
)
_SOCKETS = {
    "inet": ("dgram", "raw", "seqpacket", "stream"),
    "inet6": ("dgram", "raw", "seqpacket", "stream"),
    "netlink": ("dgram", "raw"),
    "unix": ("dgram", "seqpacket", "stream"),
}
# folders of the kernel's own, wherever a procfs or a sysfs may be mounted, and what boots a machine
_KERNELS_OWN = frozenset({"proc", "sys", "dev", "boot", "efi", "modules", "firmware", "lost+found"})
#: What lies at the top of a procfs or a sysfs, or of one within: a path to a file system that is
#: mounted nowhere begins there.
KERNELS_TOPS = re.compile(
    r"[0-9]+|acpi|apparmor|block|bus|class|debug|devices|driver|fs|hypervisor|irq|kernel|module|"
    r"mtrr|power|scsi|security|sysvipc|tracing"
)
# and beneath where one is mounted under another name
_KERNELS_PARTS = re.compile(
    r".*/(?:kernel|power|bus|irq|security|debug|tracing|mtrr|"
    r"[0-9]+/(?:root|cwd|exe|fd|map_files|mem|ns|task))(?:/.*)?"
)
# files of theirs, should one be mounted under another name
_KERNELS_FILES = re.compile(
    r"sysrq-trigger|k?core|kmem|mem|kallsyms|kmsg|core_pattern|modprobe|hotplug|uevent_helper|"
    r"release_agent|notify_on_release|binfmt_misc|register|poweroff_cmd|.*_helper|acpi|scsi"
)
# of a path in a rule that is told in a sentence; one may have 4 KiB
_LONGEST_PATH = 300
_PLAIN_PATH = re.compile(r"(?:/[\w. @:+-]+)+/?", re.ASCII)
# file systems that are data; the kernel's own ones (proc, sysfs, debugfs, ...) are not
_DATA = re.compile(r"overlay|tmpfs|ramfs|fuse(\..+)?|nfs4?|cifs|smb3|ext[234]|xfs|btrfs|squashfs")
# what is of the container alone where both sides have its own label
_AMONG_ITS_OWN = ("signal", "ptrace", "unix")
#: ids of containers and layers, processes, random names: many refusals of one kind
VARYING = re.compile(r"[0-9a-f]{64}|(?<=/proc/)[0-9]+|[0-9]{6,}")


def is_file(fields: Mapping[str, str]) -> bool:
    """Whether a refusal is about a file, by its path. Kernels before 6.3 say no class."""
    kind, name = fields.get("class", ""), fields.get("name", "")
    return kind in ("file", "") and name[:1] == "/" and "fsuid" in fields


def verdict(fields: Mapping[str, str]) -> tuple[Verdict, str]:
    """Judge a refusal by one of our profiles or the operator's own; with the rule if there is one.

    >>> verdict({"operation": "capable", "capname": "sys_module"})
    ('purpose', '')
    """
    operation, kind = fields.get("operation", ""), fields.get("class", "")
    if operation == "capable":
        name = fields.get("capname", "")
        if name in _CAPABILITIES:
            return "rule", f"capability {name},"
        return "purpose", ""
    if kind == "net" or fields.get("family"):
        return _socket(fields)
    if operation in ("mount", "umount", "pivotroot"):
        return _mount(fields), ""
    if is_file(fields):
        return _file(fields)
    if kind in _AMONG_ITS_OWN or operation in _AMONG_ITS_OWN:
        return _among(fields), ""
    if operation.startswith("dbus_"):
        # only the node's bus has a line in the node's log
        return "purpose", ""
    if kind == "posix_mqueue":
        return "own", ""
    if operation in ("userns_create", "change_profile", "change_hat") or kind == "io_uring":
        return "purpose", ""
    return "unknown", ""


def permission(fields: Mapping[str, str]) -> str:
    """The name of `apparmor_allows` that grants what was refused, "" where none does.

    >>> permission({"operation": "mount", "flags": "rw, move", "name": "/srv/data/"})
    'guest-mounts'
    """
    if fields.get("operation") == "userns_create":
        return "nested-userns"
    if fields.get("operation") != "mount":
        return ""
    kind, target = fields.get("fstype", ""), fields.get("name", "")
    if target == "/proc/sys/fs/binfmt_misc/" and kind in ("", "binfmt_misc"):
        return "binfmt"
    source = fields.get("srcname", "")
    if _is_kernels(target) or is_unreached(target.strip("/").split("/")[0]):
        return ""
    if re.fullmatch(r"fuse(\..+)?", kind):
        return "fuse-mounts"
    plain = {*re.split(r", *", fields.get("flags", ""))} <= {"rw", "move", "bind", "rbind"}
    binds = plain and not kind and not _is_kernels(source)
    return "guest-mounts" if binds or kind == "overlay" else ""


def _socket(fields: Mapping[str, str]) -> tuple[Verdict, str]:
    family, sort = fields.get("family", ""), fields.get("sock_type", "")
    if family not in _SOCKETS:
        return "purpose", ""
    if fields.get("operation") == "create" and sort in _SOCKETS[family]:
        return "rule", f"network {family} {sort},"
    return "own", ""


def _mount(fields: Mapping[str, str]) -> Verdict:
    target, source = fields.get("name", ""), fields.get("srcname", "")
    # the new mount API tells neither type nor source: that may be anything
    told = fields.get("fstype") or source[:1] == "/" or fields.get("operation") != "mount"
    if fields.get("fstype") and not _DATA.fullmatch(fields["fstype"]):
        return "purpose"
    if not told or source == "/" or _is_kernels(target) or _is_kernels(source):
        return "purpose"
    return "own"


def _file(fields: Mapping[str, str]) -> tuple[Verdict, str]:
    path, mask = fields["name"], fields.get("requested_mask", "")
    # systemd mounts a procfs below /run/systemd (base.j2: any_proc)
    if _is_kernels(path) or path.startswith("/run/systemd/"):
        return "purpose", ""
    is_called_so = _KERNELS_FILES.fullmatch(path.rstrip("/").rpartition("/")[2])
    if is_called_so or _KERNELS_PARTS.fullmatch(path):
        return "unknown", ""
    # a path that could not be resolved says why
    plain = _PLAIN_PATH.fullmatch(path) and not VARYING.search(path) and not fields.get("info")
    if not plain or len(path) > _LONGEST_PATH or not mask or set(mask) - set("rwcdk"):
        return "own", ""
    parts = {"r": "r", "w": "wcd", "k": "k"}
    access = "".join(one for one, asked in parts.items() if set(asked) & set(mask))
    return "rule", f'"{path}" {access},' if " " in path else f"{path} {access},"


def _among(fields: Mapping[str, str]) -> Verdict:
    """Signals and the like: base.j2 lets everybody send them in, and out to the own label only."""
    own = fields.get("peer", "") == fields.get("profile", "")
    return "own" if own or fields.get("requested_mask") in ("receive", "readby") else "purpose"


def _is_kernels(path: str) -> bool:
    """Whether a path may lead into a file system of the kernel's, or to what boots a machine."""
    parts = path.strip("/").split("/")
    is_top = KERNELS_TOPS.fullmatch(parts[0]) is not None
    return is_top or bool(_KERNELS_OWN & {*parts}) or ".." in parts
