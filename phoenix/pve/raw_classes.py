"""Which raw keys a fleet file may set: an allow-list, with the reason beside each key.

A fleet file may come from somebody else, and raw keys are handed to LXC, which acts on them as
root of the node. So there are three classes: what stays within the container; what needs the
operator's word, `--data allow=raw-hooks`; and the rest, which is refused. Lines that stand in a
conf already are their owner's and are not judged here.

Sources: lxc.container.conf(5); lxc, src/lxc/confile.c, `config_jump_table`; which keys Proxmox
lets through: `phoenix.pve.keys`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

#: Controllers of cgroups (kernel, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst).
_VERSION_1 = ("blkio", "cpu", "cpuacct", "cpuset", "freezer", "hugetlb", "memory", "pids")
_VERSION_2 = ("cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma")

#: Key, or family where it ends in a dot, and why a fleet file may have it.
ALLOWED: Mapping[str, str] = {
    "lxc.apparmor.profile": "read as apparmor_profile, and checked as that",
    "lxc.apparmor.allow_nesting": "two mounts that the generated profile permits",
    "lxc.apparmor.allow_incomplete": "warned of; harden proves the label all the same",
    "lxc.apparmor.raw": "rules of the generated profile",
    "lxc.selinux.context": "a label of another LSM, which Proxmox VE's kernels do not enforce",
    "lxc.cap.drop": "takes away; the empty list is judged by its value",
    "lxc.cap.keep": "takes away; judged by its value",
    # not lxc.cgroup.dir, nor cgroup2's cgroup.procs: those move processes, the node's included
    **{f"lxc.cgroup.{name}.": "version 1: does nothing on today's nodes" for name in _VERSION_1},
    **{f"lxc.cgroup2.{name}.": "a limit" for name in _VERSION_2},
    "lxc.cgroup.devices.": "judged by its value",
    "lxc.cgroup2.devices.": "judged by its value",
    "lxc.prlimit.": "a limit (getrlimit(2))",
    "lxc.sysctl.fs.mqueue": "of its own IPC namespace (namespaces(7))",
    "lxc.sysctl.kernel.msgmax": "of its own IPC namespace",
    "lxc.sysctl.kernel.msgmnb": "of its own IPC namespace",
    "lxc.sysctl.kernel.msgmni": "of its own IPC namespace",
    "lxc.sysctl.kernel.sem": "of its own IPC namespace",
    "lxc.sysctl.kernel.shmall": "of its own IPC namespace",
    "lxc.sysctl.kernel.shmmax": "of its own IPC namespace",
    "lxc.sysctl.kernel.shmmni": "of its own IPC namespace",
    "lxc.sysctl.kernel.shm_rmid_forced": "of its own IPC namespace",
    "lxc.idmap": "judged by its value",
    "lxc.arch": "what uname(1) says inside",
    "lxc.uts.name": "its host name",
    "lxc.signal.halt": "a signal to its own init",
    "lxc.signal.reboot": "a signal to its own init",
    "lxc.signal.stop": "a signal to its own init",
    "lxc.init.cmd": "runs inside, under the container's label",
    "lxc.init.cwd": "a directory inside",
    "lxc.init.uid": "the user of its init, as the container counts",
    "lxc.init.gid": "the group of its init, as the container counts",
    "lxc.init.groups": "further groups of its init, as the container counts",
    "lxc.pty.max": "a number",
    "lxc.tty.max": "a number",
    "lxc.autodev": "a tmpfs on its /dev",
    "lxc.kmsg": "a link in its /dev",
    "lxc.mount.auto": "its own /proc, /sys and cgroups; writable ones are warned of",
    "lxc.mount.entry": "its source is judged by phoenix.pve.host_paths",
    "lxc.environment": "variables of its init; judged by the variable",
    "lxc.environment.runtime": "variables of its init alone",
    "lxc.seccomp.profile": "judged by its value",
    "lxc.hook.version": "how hooks get their arguments; names no program",
    "lxc.log.level": "how much LXC logs, where Proxmox says",
    "lxc.start.auto": "for lxc-autostart, which Proxmox does not run",
    "lxc.start.delay": "for lxc-autostart, which Proxmox does not run",
    "lxc.start.order": "for lxc-autostart, which Proxmox does not run",
    "lxc.group": "for lxc-autostart, which Proxmox does not run",
}

#: Key, or family where it ends in a dot, and what it does on the node as root.
NEEDS_PERMISSION: Mapping[str, str] = {
    "lxc.hook.": "runs a program as root on the host",
    "lxc.environment.hooks": "sets variables of programs that run as root on the host",
    "lxc.console.logfile": "writes what the container prints to a file of the host, as root",
    "lxc.console.path": "opens a file or device of the host as the container's console, as root",
    "lxc.log.file": "writes a log to a file of the host, as root",
    "lxc.include": "brings in more keys that are not looked at here",
    "lxc.mount.fstab": "mounts what a file of the host says, which is not looked at here",
    "lxc.rootfs.": "says where the host mounts the container's root",
    "lxc.seccomp.notify.": "lets a program on the host answer the container's system calls",
}

#: lxc.net.N.KEY: those that lead to nothing but an interface of the container's own.
_NET = re.compile(
    r"lxc\.net\.\d+\.(type|link|flags|name|hwaddr|mtu|ipv[46]\.(address|gateway)|l2proxy"
    r"|veth\.(mode|pair|n_[rt]xqueues|ipv[46]\.route|vlan\.id|vlan\.tagged\.id)"
    r"|macvlan\.mode|ipvlan\.(mode|isolation)|vlan\.id|script\.(up|down))",
    re.ASCII,
)
_DEVICE_RULE = re.compile(r"[abc] (\d+|\*):(\d+|\*) [rwm]+", re.ASCII)
_IDMAP = re.compile(r"[ug] \d+ \d+ \d+", re.ASCII)

#: lxc, src/lxc/confile.c set_config_init_uid, _gid and _groups: anything else is an error, with
#: which the container does not start.
_IDS: Mapping[str, re.Pattern[str]] = {
    "lxc.init.uid": re.compile(r"[0-9]{1,10}"),
    "lxc.init.gid": re.compile(r"[0-9]{1,10}"),
    "lxc.init.groups": re.compile(r"[0-9]{1,10}(?:,[0-9]{1,10})*"),
}

#: Character devices by which one reaches memory or disks of the node: kernel,
#: Documentation/admin-guide/devices.txt (1: mem, kmem, port; 21: SCSI generic).
_MEMORY, _MEMORY_MINORS, _SCSI_GENERIC = "1", ("1", "2", "4", "*"), "21"

#: Character devices that root of the node may be given, by major number and minors, "" for all: a
#: device that is on no list here may be any other one's disk, memory or console. devices.txt again;
#: what Docker's guides and GPUs use, and what phoenix.pve.host_paths has as ordinary devices.
_ORDINARY: Mapping[str, str] = {
    "1": "3 5 7 8 9",  # null, zero, full, random, urandom
    "5": "0 1 2",  # tty, console, ptmx: of the container's own devpts
    "10": "200 229 232",  # net/tun, fuse, kvm
    "29": "",  # fb
    "81": "",  # video
    "116": "",  # snd
    "136": "",  # pts
    "166": "",  # ttyACM
    "188": "",  # ttyUSB
    "195": "",  # nvidia; nvidia-uvm has a number that any driver may get
    "212": "",  # dvb
    "226": "",  # dri
}

#: What LXC takes back for privileged containers, because it reaches the node's own kernel:
#: lxc, config/templates/common.conf.
_KERNEL_CAPABILITIES = frozenset({"mac_admin", "mac_override", "sys_module", "sys_rawio"})

#: LXC sets `lxc.environment` for its hooks as well (lxc, src/lxc/start.c do_start), and what they
#: start looks for code in more variables than anybody lists: LD_*, PERL5OPT, TC_LIB_DIR,
#: OPENSSL_CONF. These say in which language, time zone and terminal, and which proxy to ask.
_HARMLESS_VARIABLES = re.compile(
    r"LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLORTERM|NO_COLOR|DEBIAN_FRONTEND"
    r"|(?:http|https|ftp|all|no)_proxy|(?:HTTP|HTTPS|FTP|ALL|NO)_PROXY",
    re.ASCII,
)


def refusal(key: str, value: str) -> str | None:
    """Why no fleet file may set this, or None; `key` is one that Proxmox passes on.

    >>> refusal("lxc.pty.max", "8")
    >>> refusal("lxc.cgroup2.cgroup.procs", "1").partition(":")[0]
    'it is not among the raw keys that a fleet file may set'
    """
    if not (_listed(key, ALLOWED) or _listed(key, NEEDS_PERMISSION) or _NET.fullmatch(key)):
        return (
            "it is not among the raw keys that a fleet file may set: take it out; a line that you "
            "write into the conf yourself stays as it is"
        )
    # lxc, src/lxc/confile.c parse_line
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return "LXC strips the quotes: write the value without them"
    words = " ".join(value.split())
    if key in _DEVICES and words not in ("", "a") and not _DEVICE_RULE.fullmatch(words):
        return "a device rule is expected, as in c 10:200 rwm"
    if key == "lxc.idmap" and words and not _IDMAP.fullmatch(words):
        return "a map of ids is expected, as in u 0 100000 65536"
    if key in _IDS and words and not _IDS[key].fullmatch(words):
        groups = key == "lxc.init.groups"
        return f"{'numbers with commas between are' if groups else 'a number is'} expected"
    return None


def needs_permission(key: str, value: str, privileged: bool) -> str | None:
    """What this raw key does on the node that needs the operator's word, or None.

    `privileged`: whether root in the container is root of the node; then more does.

    >>> needs_permission("lxc.hook.stop", "/root/x.sh", privileged=False)
    'runs a program as root on the host'
    """
    if reason := _listed(key, NEEDS_PERMISSION):
        harmless = key == "lxc.hook.version" or (key == "lxc.console.path" and value == "none")
        return None if harmless else reason
    if _NET.fullmatch(key):
        return _net(key, value)
    judge = _BY_VALUE.get(key)
    return judge(value, privileged) if judge else None


def _listed(key: str, table: Mapping[str, str]) -> str | None:
    """What a table says of a key: of itself, else of its family."""
    if key in table:
        return table[key]
    families = (name for name in table if name.endswith(".") and key.startswith(name))
    return next((table[name] for name in families), None)


def _net(key: str, value: str) -> str | None:
    name = key.split(".", 3)[3]
    if name.startswith("script."):
        return "runs a program as root on the host"
    if name == "type" and value == "none":
        return "puts the container into the host's own network"
    if name == "type" and value == "phys":
        return "takes a network card away from the host"
    return None


def _device(value: str, privileged: bool) -> str | None:
    kind, _, rest = value.strip().partition(" ")
    major, _, minor = rest.strip().partition(" ")[0].partition(":")
    if kind == "b":
        return "lets the container use disks of the host"
    if kind == "c" and (
        major in ("*", _SCSI_GENERIC) or (major == _MEMORY and minor in _MEMORY_MINORS)
    ):
        return "lets the container use memory or disks of the host"
    if kind == "c" and privileged and not _is_ordinary(major, minor):
        return "lets root of the host in the container use a device that is no ordinary one"
    if kind == "a" and privileged:
        # an unprivileged one makes no node (mknod(2)), and who brings one in is judged there:
        # what guides for Docker say is warned of
        return "lets root of the host in the container use every disk"
    return None


def _is_ordinary(major: str, minor: str) -> bool:
    minors = _ORDINARY.get(major)
    return minors is not None and (not minors or minor in minors.split())


def _idmap(value: str, privileged: bool) -> str | None:
    words = value.split()
    if len(words) == 4 and int(words[2]) == 0:
        return "maps ids of the container to the host's own root"
    return None


def _seccomp(value: str, privileged: bool) -> str | None:
    if value in ("", "none", "/dev/null"):
        return "turns the system call filter off"
    # LXC's own and Proxmox's
    if re.fullmatch(r"/usr/share/lxc/config/[a-z-]+\.seccomp", value, re.ASCII):
        return None
    return "replaces the system call filter by a file of the host, which is not looked at here"


def _cap_drop(value: str, privileged: bool) -> str | None:
    if privileged and value in ("", "none"):
        return "leaves root of the host in the container every capability"
    return None


def _cap_keep(value: str, privileged: bool) -> str | None:
    kept = set(re.split(r"[\s,]+", value.lower())) & _KERNEL_CAPABILITIES
    if privileged and kept:
        return f"leaves root of the host in the container {', '.join(sorted(kept))}"
    return None


def _environment(value: str, privileged: bool) -> str | None:
    name = value.partition("=")[0].strip()
    if not _HARMLESS_VARIABLES.fullmatch(name):
        return (
            f"sets {name} for LXC's hooks on the host, too; lxc.environment.runtime sets it in "
            "the container alone"
        )
    return None


_DEVICES = ("lxc.cgroup.devices.allow", "lxc.cgroup2.devices.allow")
_BY_VALUE: Mapping[str, Callable[[str, bool], str | None]] = {
    **dict.fromkeys(_DEVICES, _device),
    "lxc.cap.drop": _cap_drop,
    "lxc.cap.keep": _cap_keep,
    "lxc.environment": _environment,
    "lxc.idmap": _idmap,
    "lxc.seccomp.profile": _seccomp,
}
