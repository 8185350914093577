"""The LXC configuration that Proxmox derives from a conf (PVE::LXC update_lxc_config)."""

from __future__ import annotations

import os
import re
import stat

from . import node, schema
from .conf import Conf
from .node import PctError

SHARE = "/usr/share/lxc/config"
IMAGES = "/var/lib/vz/images"


def directory(ctid: str) -> str:
    """Where LXC looks for the container, as the node sees it."""
    return f"/var/lib/lxc/{ctid}"


def update(conf: Conf) -> None:
    """Write /var/lib/lxc/CTID/config and, for an unprivileged container, rules.seccomp."""
    ctid = conf.ctid
    target = node.path(directory(ctid))
    if schema.truth(conf.get("template")):
        if os.path.exists(f"{target}/config"):
            os.unlink(f"{target}/config")
        return
    os.makedirs(f"{target}/rootfs", exist_ok=True)
    text, rules = derive(conf)
    if rules:
        common = node.read(node.path(f"{SHARE}/common.seccomp")) or b""
        node.replace(f"{target}/rules.seccomp", common + rules.encode())
    node.replace(f"{target}/config", text.encode("utf-8", "surrogateescape"))


def derive(conf: Conf) -> tuple[str, str]:
    """The config's text, and the seccomp rules that come after LXC's common ones."""
    ctid = conf.ctid
    if not conf.get("arch"):
        raise PctError("missing 'arch' - internal error at /usr/share/perl5/PVE/LXC.pm line 729.")
    if not conf.get("ostype"):
        raise PctError("missing 'ostype' - internal error at /usr/share/perl5/PVE/LXC.pm line 735.")
    unprivileged = schema.truth(conf.get("unprivileged")) or conf.has_raw("lxc.idmap")
    features: set[str] = {key for key, value in conf.features().items() if schema.truth(value)}
    rules = _seccomp(conf, unprivileged, features)
    if conf.get("rootfs") is None:
        raise PctError("missing 'rootfs' configuration")
    lines = [
        "lxc.cgroup.relative = 0",
        f"lxc.cgroup.dir.monitor = lxc.monitor/{ctid}",
        f"lxc.cgroup.dir.container = lxc/{ctid}",
        "lxc.cgroup.dir.container.inner = ns",
        f"lxc.arch = {conf.get('arch')}",
        f"lxc.include = {_include(conf, 'common.conf')}",
        *([f"lxc.include = {_include(conf, 'userns.conf')}"] if unprivileged else []),
        *([f"lxc.seccomp.profile = {directory(ctid)}/rules.seccomp"] if rules else []),
        *_apparmor(conf, features),
        *_fuse(features),
        *_sys(unprivileged, features),
        *_shm(conf),
        *_devices(conf),
        "lxc.monitor.unshare = 1",
        *_idmap(conf, unprivileged),
        *_console(conf),
        f"lxc.tty.max = {conf.get('tty') or 2}",
        "lxc.environment = TERM=linux",
        f"lxc.uts.name = {conf.get('hostname') or f'CT{ctid}'}",
        *_limits(conf),
        f"lxc.rootfs.path = {directory(ctid)}/rootfs",
        *[f"lxc.init.cmd = {command}" for command in (conf.get("entrypoint"),) if command],
        *_mount_points(conf),
        *_networks(conf),
        # for hooks, too, with this key; Debian 13's LXC does not know the other one
        *[f"lxc.environment = {variable}" for variable in conf.env],
        *[f"{key} = {value}" for key, value in conf.raw],
        *_cpuset(conf),
    ]
    return "".join(f"{line}\n" for line in lines), rules


def _include(conf: Conf, name: str) -> str:
    own = f"{SHARE}/{conf.get('ostype')}.{name}"
    return own if os.path.isfile(node.path(own)) else f"{SHARE}/{name}"


def _seccomp(conf: Conf, unprivileged: bool, features: set[str]) -> str:
    # make_seccomp_config: no btrfs ioctls, no AF_ALG, no keyctl unless asked for; a privileged
    # container keeps LXC's own rules. No `notify` rules for mknod=1: there is no proxy.
    if conf.has_raw("lxc.seccomp.profile"):
        _overrides("lxc.seccomp.profile", _among(features, "keyctl", "mknod"))
        return ""
    if not unprivileged:
        return ""
    return (
        "ioctl errno 1 [1,0x9400,SCMP_CMP_MASKED_EQ,0xff00]\n"
        + ("" if "keyctl" in features else "keyctl errno 38\n")
        + "socket errno 97 [0,38,SCMP_CMP_EQ]\n"
    )


def _apparmor(conf: Conf, features: set[str]) -> list[str]:
    # make_apparmor_config: an explicit profile drops all of this, with a warning
    filesystems = re.split(r"[,;\s\0]+", conf.features().get("mount", "").strip(",; \0"))
    filesystems = [name for name in filesystems if name]
    if conf.has_raw("lxc.apparmor.profile"):
        used = [*_among(features, "fuse", "nesting"), *(["mount"] if filesystems else [])]
        _overrides("lxc.apparmor.profile", [f"features:{name}" for name in used])
        return []
    if "nesting" in features:
        nesting = ["lxc.apparmor.allow_nesting = 1", "lxc.apparmor.raw = allow userns,"]
    else:
        nesting = [f"lxc.apparmor.raw = deny mount -> /{name}/," for name in ("proc", "sys")]
    return [
        "lxc.apparmor.profile = generated",
        "lxc.apparmor.raw = allow mqueue,",
        *nesting,
        *[f"lxc.apparmor.raw = mount fstype={name}," for name in filesystems],
    ]


def _among(features: set[str], *names: str) -> list[str]:
    return [name for name in names if name in features]


def _overrides(key: str, used: list[str]) -> None:
    if used:
        listed = ", ".join(used)
        node.warn(f"explicitly configured {key} overrides the following settings: {listed}")


def _fuse(features: set[str]) -> list[str]:
    # beside a named profile, too: LXC ignores the raw rule then, the bind stays
    if "fuse" not in features:
        return []
    return [
        "lxc.apparmor.raw = mount fstype=fuse,",
        "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0",
    ]


def _sys(unprivileged: bool, features: set[str]) -> list[str]:
    return ["lxc.mount.auto = sys:mixed"] if unprivileged and "force_rw_sys" not in features else []


def _shm(conf: Conf) -> list[str]:
    # what an init system would mount
    if conf.get("entrypoint") in (None, "/sbin/init"):
        return []
    return ["lxc.mount.entry = shm dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0"]


def devices(conf: Conf) -> list[dict[str, str]]:
    """What each devN says, in its parts; `path` is always there."""
    found = []
    for key, value in _numbered(conf, "dev"):
        device = schema.parts(schema.DEVICE, value)
        if device.get("path") is None:
            raise PctError(f"Path is not defined for passthrough device {key}")
        found.append(device)
    return found


def _devices(conf: Conf) -> list[str]:
    lines = []
    for device in devices(conf):
        kind, number = device_number(device["path"])
        access = "r" if schema.truth(device.get("deny-write")) else "rw"
        lines.append(f"lxc.cgroup2.devices.allow = {kind} {number} {access}")
        if access == "r":
            lines.append(f"lxc.cgroup2.devices.deny = {kind} {number} w")
    return lines


def device_number(where: str) -> tuple[str, str]:
    """Kind and MAJOR:MINOR of a device node, or the refusal that pct prints."""
    try:
        status = os.stat(where)
    except OSError:
        raise PctError(f"Device {where} does not exist") from None
    if not (stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        raise PctError(f"Path '{where}' is not a device")
    kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
    return kind, f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def host_id(conf: Conf, kind: str, number: int) -> int:
    """The node's id of a user (`u`) or group (`g`) of the container (map_ct_id_to_host)."""
    whole = "100000 65536" if schema.truth(conf.get("unprivileged")) else "0 4294967295"
    maps = [value for key, value in conf.raw if key == "lxc.idmap"]
    for value in maps or [f"{kind} 0 {whole}"]:
        name, first, on_node, count = value.split()
        if name == kind and int(first) <= number < int(first) + int(count):
            return int(on_node) + number - int(first)
    raise PctError(f"{kind}id {number} is not mapped into the container")


def _idmap(conf: Conf, unprivileged: bool) -> list[str]:
    if not unprivileged or conf.has_raw("lxc.idmap"):
        return []
    return ["lxc.idmap = u 0 100000 65536", "lxc.idmap = g 0 100000 65536"]


def _console(conf: Conf) -> list[str]:
    if conf.get("console") != "0":
        return []
    return ["lxc.console.path = none", "lxc.cgroup2.devices.deny = c 5:1 rwm"]


def memory_limits(conf: Conf) -> tuple[int, int, int]:
    """memory.max, memory.high and memory.swap.max in bytes."""
    memory = conf.number("memory") or 512
    swap = conf.number("swap", 0)
    high = (memory - 128) * 1024 * 1024 if memory >= 16 * 1024 else memory * 1024 * 1016
    return memory * 1024 * 1024, high, swap * 1024 * 1024


def _limits(conf: Conf) -> list[str]:
    most, high, swap = memory_limits(conf)
    lines = [
        f"lxc.cgroup2.memory.max = {most}",
        f"lxc.cgroup2.memory.high = {high}",
        f"lxc.cgroup2.memory.swap.max = {swap}",
    ]
    limit = re.match(r"\d+(?:\.\d+)?", conf.get("cpulimit") or "")
    if limit and float(limit[0]):
        lines.append(f"lxc.cgroup2.cpu.max = {int(100000 * float(limit[0]))} 100000")
    if conf.get("cpuunits") is not None:
        units = conf.number("cpuunits", 0)
        lines.append(f"lxc.cgroup2.cpu.weight = {min(max(units, 1), 10000)}")
    return lines


def _mount_points(conf: Conf) -> list[str]:
    # the real one mounts these in a hook, below rootfs; an entry of LXC's does the same here
    lines = []
    for _, value in _numbered(conf, "mp"):
        point = schema.parts(schema.MOUNT_POINT, value)
        source = point["volume"]
        if not source.startswith("/"):
            source = f"{IMAGES}/{source.partition(':')[2]}"
        options = "bind,create=dir" + (",ro" if schema.truth(point.get("ro")) else "")
        lines.append(f"lxc.mount.entry = {source} {point['mp'].lstrip('/')} none {options} 0 0")
    return lines


def _networks(conf: Conf) -> list[str]:
    # the real one joins the bridge in a hook and lets the guest set its address
    lines = []
    for key, value in _numbered(conf, "net"):
        net = schema.parts(schema.NETWORK, value)
        prefix = f"lxc.net.{key[3:]}."
        entries = {
            "type": "veth",
            "veth.pair": f"veth{conf.ctid}i{key[3:]}",
            "hwaddr": net.get("hwaddr"),
            "name": net.get("name"),
            "mtu": net.get("mtu"),
            "link": net.get("bridge"),
            "flags": "up",
        }
        if net.get("ip", "manual") not in ("manual", "dhcp"):
            entries["ipv4.address"] = net["ip"]
            entries["ipv4.gateway"] = net.get("gw")
        lines += [f"{prefix}{name} = {entry}" for name, entry in entries.items() if entry]
    return lines


def _cpuset(conf: Conf) -> list[str]:
    # the real one picks `cores` of the node's CPUs at random, here it is the first ones
    cores = conf.number("cores", 0)
    listed = node.read(node.path("/sys/fs/cgroup/cpuset.cpus.effective"))
    if not cores or not listed or conf.has_raw("lxc.cgroup2.cpuset.cpus"):
        return []
    cpus: list[int] = []
    for part in listed.decode().strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return [f"lxc.cgroup2.cpuset.cpus = {','.join(map(str, cpus[:cores]))}"]


def _numbered(conf: Conf, prefix: str) -> list[tuple[str, str]]:
    """Options like mp0, in the order in which Perl's sort puts them."""
    return sorted(
        (key, value) for key, value in conf.options.items() if re.fullmatch(rf"{prefix}\d+", key)
    )
