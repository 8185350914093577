"""Which raw `lxc.*` keys Proxmox accepts in a container's conf.

Source: pve-container `PVE/LXC/Config.pm`, `is_valid_lxc_conf_key` and the tables above it.
A key that it does not know is dropped, with a warning, the next time Proxmox writes the file.
`lxc.init.uid`, `.gid` and `.groups` are known since pve-container 6.1.0; an older one drops them.

Packed into the node's program: Python 3.9 and the standard library.
"""

from __future__ import annotations

_PREFIXES = ("lxc.cgroup.", "lxc.cgroup2.", "lxc.prlimit.", "lxc.net.", "lxc.limit.")

_REFUSED = {
    "lxc.rootfs.path": "Proxmox makes it from the `rootfs` key",
    "lxc.rootfs.options": "Proxmox wants mount options in the `rootfs` key",
}

_NAMES = """
apparmor.allow_incomplete apparmor.allow_nesting apparmor.profile apparmor.raw
selinux.context seccomp.profile seccomp.notify.proxy seccomp.notify.cookie
cap.drop cap.keep idmap include arch uts.name
signal.halt signal.reboot signal.stop
init.cmd init.cwd init.uid init.gid init.groups
pty.max tty.max console.logfile console.path devtty.dir autodev kmsg
mount.auto mount.entry mount.fstab rootfs.mount
hook.autodev hook.clone hook.destroy hook.mount hook.post-stop hook.pre-mount
hook.pre-start hook.start hook.stop hook.version
log.file log.level start.auto start.delay start.order group
environment environment.hooks environment.runtime
sysctl.fs.mqueue sysctl.kernel.msgmax sysctl.kernel.msgmnb sysctl.kernel.msgmni
sysctl.kernel.sem sysctl.kernel.shmall sysctl.kernel.shmmax sysctl.kernel.shmmni
sysctl.kernel.shm_rmid_forced
"""
_KNOWN = frozenset(f"lxc.{name}" for name in _NAMES.split())

# The names of LXC 1 and 2, which Proxmox keeps with a warning.
_OLD = {
    "lxc.aa_allow_incomplete": "lxc.apparmor.allow_incomplete",
    "lxc.aa_profile": "lxc.apparmor.profile",
    "lxc.console": "lxc.console.path",
    "lxc.devttydir": "lxc.tty.dir",
    "lxc.haltsignal": "lxc.signal.halt",
    "lxc.id_map": "lxc.idmap",
    "lxc.init_cmd": "lxc.init.cmd",
    "lxc.logfile": "lxc.log.file",
    "lxc.loglevel": "lxc.log.level",
    "lxc.mount": "lxc.mount.fstab",
    "lxc.network.flags": "lxc.net.INDEX.flags",
    "lxc.network.hwaddr": "lxc.net.INDEX.hwaddr",
    "lxc.network.ipv4": "lxc.net.INDEX.ipv4.address",
    "lxc.network.ipv4.gateway": "lxc.net.INDEX.ipv4.gateway",
    "lxc.network.ipv6": "lxc.net.INDEX.ipv6.address",
    "lxc.network.ipv6.gateway": "lxc.net.INDEX.ipv6.gateway",
    "lxc.network.link": "lxc.net.INDEX.link",
    "lxc.network.mtu": "lxc.net.INDEX.mtu",
    "lxc.network.name": "lxc.net.INDEX.name",
    "lxc.network.script.down": "lxc.net.INDEX.script.down",
    "lxc.network.script.up": "lxc.net.INDEX.script.up",
    "lxc.network.type": "lxc.net.INDEX.type",
    "lxc.pts": "lxc.pty.max",
    "lxc.rebootsignal": "lxc.signal.reboot",
    "lxc.se_context": "lxc.selinux.context",
    "lxc.seccomp": "lxc.seccomp.profile",
    "lxc.stopsignal": "lxc.signal.stop",
    "lxc.tty": "lxc.tty.max",
    "lxc.utsname": "lxc.uts.name",
}


def raw_key_problem(key: str) -> str | None:
    """Why Proxmox would drop a raw key, or None if it keeps it.

    >>> raw_key_problem("lxc.apparmor.profile")
    >>> raw_key_problem("lxc.nosuchkey")
    'Proxmox does not know the key'
    """
    if key in _REFUSED:
        return _REFUSED[key]
    if key in _KNOWN or key in _OLD or key.startswith(_PREFIXES):
        return None
    return "Proxmox does not know the key"


def modern_key(key: str) -> str:
    """Today's name of a raw key: `lxc.aa_profile` is `lxc.apparmor.profile`.

    A key that was never renamed comes back as it is.
    """
    return _OLD.get(key, key)
