"""CTID.conf: parsed, written and locked as PVE::LXC::Config does it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time

from . import node, schema
from .node import PctError

_VALID = """\
lxc.apparmor.profile lxc.apparmor.allow_incomplete lxc.apparmor.allow_nesting lxc.apparmor.raw
lxc.selinux.context lxc.include lxc.arch lxc.uts.name lxc.signal.halt lxc.signal.reboot
lxc.signal.stop lxc.init.cmd lxc.init.cwd lxc.init.uid lxc.init.gid lxc.init.groups lxc.pty.max
lxc.console.logfile lxc.console.path lxc.tty.max lxc.devtty.dir lxc.hook.autodev lxc.autodev
lxc.kmsg lxc.mount.fstab lxc.mount.entry lxc.mount.auto lxc.rootfs.mount lxc.cap.drop lxc.cap.keep
lxc.seccomp.profile lxc.seccomp.notify.proxy lxc.seccomp.notify.cookie lxc.idmap lxc.hook.pre-start
lxc.hook.pre-mount lxc.hook.mount lxc.hook.start lxc.hook.stop lxc.hook.post-stop lxc.hook.clone
lxc.hook.destroy lxc.hook.version lxc.log.level lxc.log.file lxc.start.auto lxc.start.delay
lxc.start.order lxc.group lxc.environment lxc.environment.runtime lxc.environment.hooks
lxc.sysctl.fs.mqueue lxc.sysctl.kernel.msgmax lxc.sysctl.kernel.msgmnb lxc.sysctl.kernel.msgmni
lxc.sysctl.kernel.sem lxc.sysctl.kernel.shmall lxc.sysctl.kernel.shmmax lxc.sysctl.kernel.shmmni
lxc.sysctl.kernel.shm_rmid_forced
"""
_RENAMED = """\
lxc.aa_profile=lxc.apparmor.profile lxc.aa_allow_incomplete=lxc.apparmor.allow_incomplete
lxc.console=lxc.console.path lxc.devttydir=lxc.tty.dir lxc.haltsignal=lxc.signal.halt
lxc.rebootsignal=lxc.signal.reboot lxc.stopsignal=lxc.signal.stop lxc.id_map=lxc.idmap
lxc.init_cmd=lxc.init.cmd lxc.loglevel=lxc.log.level lxc.logfile=lxc.log.file
lxc.mount=lxc.mount.fstab lxc.network.type=lxc.net.INDEX.type
lxc.network.flags=lxc.net.INDEX.flags lxc.network.link=lxc.net.INDEX.link
lxc.network.mtu=lxc.net.INDEX.mtu lxc.network.name=lxc.net.INDEX.name
lxc.network.hwaddr=lxc.net.INDEX.hwaddr lxc.network.ipv4=lxc.net.INDEX.ipv4.address
lxc.network.ipv4.gateway=lxc.net.INDEX.ipv4.gateway lxc.network.ipv6=lxc.net.INDEX.ipv6.address
lxc.network.ipv6.gateway=lxc.net.INDEX.ipv6.gateway
lxc.network.script.up=lxc.net.INDEX.script.up lxc.network.script.down=lxc.net.INDEX.script.down
lxc.pts=lxc.pty.max lxc.se_context=lxc.selinux.context lxc.seccomp=lxc.seccomp.profile
lxc.tty=lxc.tty.max lxc.utsname=lxc.uts.name
"""
VALID_RAW = set(_VALID.split())
RENAMED_RAW = dict(pair.split("=") for pair in _RENAMED.split())
REFUSED_RAW = {
    "lxc.rootfs.path": "lxc.rootfs.path is auto generated from rootfs",
    "lxc.rootfs.options": "lxc.rootfs.options is not supported, please use mount point options in"
    ' the "rootfs" key',
}


class Section:
    """One section of a conf: plain options (description among them), raw lines, environment."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        self.raw: list[tuple[str, str]] = []
        self.env: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.options or self.raw or self.env)

    def get(self, key: str) -> str | None:
        """An option's value."""
        return self.options.get(key)

    def number(self, key: str, default: int = 0) -> int:
        """A number as Perl reads it: the digits that the value begins with, else the default."""
        digits = re.match(r"\d+", self.get(key) or "")
        return int(digits[0]) if digits else default

    def has_raw(self, key: str) -> bool:
        """Is there a raw line of that key?"""
        return any(found == key for found, _ in self.raw)

    def features(self) -> dict[str, str]:
        """The features value as a dict, or FormatError."""
        return schema.parts(schema.FEATURES, self.get("features") or "")


class Conf(Section):
    """A container's conf: its main section, what is pending, its snapshots."""

    def __init__(self, ctid: str, content: bytes) -> None:
        super().__init__()
        self.ctid = ctid
        self.content = content
        self.pending = Section()
        self.snapshots: dict[str, Section] = {}

    def digest(self) -> str:
        """What `--digest` is compared with: the SHA-1 of the file."""
        from hashlib import sha1  # slow to import, seldom needed

        return sha1(self.content).hexdigest()  # noqa: S324

    def check_lock(self) -> None:
        """Refuse to go on if `lock:` is set."""
        if lock := self.get("lock"):
            raise PctError(f"CT is locked ({lock})")


def file_of(ctid: str) -> str:
    """The conf file of a container."""
    return node.path(f"/etc/pve/lxc/{ctid}.conf")


def load(ctid: str) -> Conf:
    """Read and parse a conf, with the parser's warnings."""
    content = node.read(file_of(ctid))
    if content is None:
        where = f"nodes/{node.name()}/lxc/{ctid}.conf"
        raise PctError(f"Configuration file '{where}' does not exist", 2)
    return parse(ctid, content)


def parse(ctid: str, content: bytes) -> Conf:
    """A conf's content as data; what cannot be parsed is warned about and dropped."""
    conf = Conf(ctid, content)
    section: Section = conf
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        if not line.strip():
            continue
        if re.match(r"\[pve:pending\]\s*$", line, re.IGNORECASE):
            section = conf.pending = Section()
        elif header := re.match(r"\[([a-z][a-z0-9_\-]+)\]\s*$", line, re.IGNORECASE):
            section = conf.snapshots[header[1]] = Section()
        else:
            _parse_line(conf, section, line)
    return conf


def _parse_line(conf: Conf, section: Section, line: str) -> None:
    """One line that is no section header."""
    if line.startswith("#"):
        _describe(section, decode(line[1:]) + "\n")
    elif raw := re.match(r"(lxc\.[a-z0-9_\-.]+)(?::|\s*=)\s*(.*?)\s*$", line):
        _parse_raw(conf, section, raw[1], raw[2], line)
    elif text := re.match(r"description:\s*(.*\S)\s*$", line):
        _describe(section, decode(text[1]))
    elif state := re.search(r"snapstate:\s*(prepare|delete)\s*$", line):
        section.options["snapstate"] = state[1]
    elif delete := re.match(r"delete:\s*(.*\S)\s*$", line):
        if section is conf.pending:
            section.options["delete"] = delete[1]
        else:
            node.warn(f"vm {conf.ctid} - property 'delete' is only allowed in [pve:pending]")
    elif pair := re.match(r"([a-z][a-z_]*\d*):\s*(.+?)\s*$", line):
        key, value = pair[1], pair[2]
        try:
            value = schema.conf_value(key, value)
        except schema.FormatError as error:
            node.warn(f"vm {conf.ctid} - unable to parse value of '{key}' - {error.lines()}")
        section.options[key] = value
    else:
        node.warn(f"vm {conf.ctid} - unable to parse config: {line}")


def _parse_raw(conf: Conf, section: Section, key: str, value: str, line: str) -> None:
    """One raw lxc line: kept, kept with a warning, or dropped with one."""
    prefix = f"vm {conf.ctid} - "
    if key in REFUSED_RAW:
        node.warn(f"{prefix}{key}: {REFUSED_RAW[key]}")
        return
    if key == "lxc.environment.runtime":
        section.env.append(value)
        return
    if key.startswith("lxc.limit."):
        node.warn(f"{prefix}{key}: lxc.limit.* was renamed to lxc.prlimit.*")
    elif key in RENAMED_RAW:
        node.warn(f"{prefix}{key} is deprecated and was renamed to {RENAMED_RAW[key]}")
    elif key.startswith("lxc.cgroup."):
        node.warn(f"{prefix}{key} is deprecated, this will be a hard error in the future!")
    elif key not in VALID_RAW and not re.match(r"lxc\.(?:cgroup2|prlimit|net)\.", key):
        node.warn(f"{prefix}unable to parse config: {line}")
        return
    section.raw.append((key, value))


def _describe(section: Section, text: str) -> None:
    section.options["description"] = section.options.get("description", "") + text


def render(conf: Conf) -> bytes:
    """The conf as pct writes it: comments, sorted keys, raw lines; pending; sorted snapshots."""
    chunks = [_render_section(conf)]
    if conf.pending:
        chunks.append("\n[pve:pending]\n" + _render_section(conf.pending))
    for name, snapshot in sorted(conf.snapshots.items()):
        chunks.append(f"\n[{name}]\n" + _render_section(snapshot))
    return "".join(chunks).encode("utf-8", "surrogateescape")


def _render_section(section: Section) -> str:
    description = section.options.get("description", "").rstrip("\n")
    lines = [f"#{encode(line)}" for line in description.split("\n")] if description else []
    for key in sorted(section.options):
        value = section.options[key]
        if key == "description" or (key == "snapstate" and isinstance(section, Conf)):
            continue
        if re.search(r"[\r\n]", value):
            raise PctError(f"detected invalid newline or carriage return inside property '{key}'")
        lines.append(f"{key}: {value}")
    lines += [f"lxc.environment.runtime: {variable}" for variable in section.env]
    lines += [f"{key}: {value}" for key, value in section.raw]
    return "".join(f"{line}\n" for line in lines)


def save(conf: Conf) -> Conf:
    """Write a conf and read it back."""
    node.replace(file_of(conf.ctid), render(conf), 0o640)
    return load(conf.ctid)


def decode(text: str) -> str:
    """Undo the percent-encoding of descriptions (PVE::Tools decode_text)."""
    raw = text.encode("utf-8", "surrogateescape")
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), raw)
    return raw.decode("utf-8", "replace")


def encode(text: str) -> str:
    """Percent-encode what a description may not hold as it is: control, `%`, `:`, non-ASCII."""
    return "".join(
        char
        if " " <= char <= "~" and char not in "%:"
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in text
    )


@contextlib.contextmanager
def locked(ctid: str):  # type: ignore[no-untyped-def]
    """Hold the conf's flock; wait at most 10 s for it."""
    directory = node.path("/run/lock/lxc")
    os.makedirs(directory, exist_ok=True)
    file = f"{directory}/pve-config-{ctid}.lock"
    deadline = time.monotonic() + float(os.environ.get("PCT_LOCK_TIMEOUT", "10"))
    with open(file, "ab") as handle:
        waiting = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                stream = node.warn_stream()
                if not waiting:
                    print("trying to acquire lock...", end="", file=stream, flush=True)
                    waiting = True
                if time.monotonic() >= deadline:
                    print(file=stream, flush=True)
                    shown = f"/run/lock/lxc/pve-config-{ctid}.lock"
                    raise PctError(f"can't lock file '{shown}' - got timeout", 4) from None
                time.sleep(0.05)
        if waiting:
            print(" OK", file=node.warn_stream(), flush=True)
        yield


def ctids() -> list[str]:
    """The CTIDs that have a conf on this node, in numeric order."""
    try:
        names = os.listdir(node.path("/etc/pve/lxc"))
    except OSError:
        names = []
    found = [m[1] for m in (re.fullmatch(r"([1-9]\d*)\.conf", name) for name in names) if m]
    return sorted(found, key=int)
