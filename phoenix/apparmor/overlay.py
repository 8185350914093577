"""An overlay: the rules that one container's own profile has beside its template's.

A file `profiles.d/CTID.rules` beside the fleet file, for people to review. One rule a line, of a
closed grammar; comments and empty lines stand between. What must never be is refused with the
reason, whoever wrote it: what templates/apparmor/base.j2 denies or leaves out on purpose (a deny
beats every allow), and what gives the kernel's own files another name, by which its list of denied
files would not meet them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from phoenix.apparmor.advice import KERNELS_TOPS
from phoenix.apparmor.profile_text import ProfileText, Rule, read_profiles
from phoenix.apparmor.rule_coverage import Mount, covers, file_access, matches
from phoenix.text.printable import printable

#: The longest overlay, in bytes, and the longest line of one, in characters.
MOST_BYTES, LONGEST = 64 * 1024, 1000

#: Variables of base.j2 that a path may begin with.
PLACES = ("@{dkr_data}", "@{dkr_root}", "@{ctd_data}", "@{unit_root}")
#: 64 hexadecimal digits, the id of one of Docker's containers or layers: it stands within a path.
DOCKER_ID = "@{dkr_id}"

#: What base.j2 grants. What it leaves out is left out on purpose.
CAPABILITIES = frozenset(
    {
        *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid"),
        *("setuid", "setpcap", "setfcap", "linux_immutable", "net_bind_service", "net_broadcast"),
        *("net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_chroot", "sys_ptrace", "sys_admin"),
        *("sys_boot", "sys_nice", "sys_resource", "sys_tty_config", "mknod", "lease"),
        "audit_write",
    }
)

#: The families of sockets that base.j2 grants, with their types as the kernel calls them.
SOCKETS: Mapping[str, tuple[str, ...]] = {
    "unix": ("stream", "dgram", "seqpacket"),
    "inet": ("stream", "dgram", "seqpacket", "raw"),
    "inet6": ("stream", "dgram", "seqpacket", "raw"),
    "netlink": ("dgram", "raw"),
    "packet": ("dgram", "raw"),
}

#: Types of mounts that hold the container's own data, and that a user namespace may mount.
DATA_TYPES = re.compile(r"overlay|tmpfs|ramfs|mqueue|fuse(\.[a-z0-9][a-z0-9._-]*)?")

#: Flags that only make a mount stricter or quieter, in AppArmor's words.
MOUNT_FLAGS = frozenset(
    {
        *("rw", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"),
        *("strictatime", "sync", "dirsync", "mand", "silent"),
    }
)

#: Where base.j2 lets a file system of any type be moved to, a procfs among them (`@{moved}`).
MOVED = ("tmp", "run/lock", "dev/mqueue", "dev/hugepages", "run/credentials/*")

# a procfs, a sysfs, devices, and files that are denied by their names, wherever they are
_DENIED_NAMES = ("proc", "sys", "dev", "sysrq-trigger", "kcore", "kmem")
_SYSTEMDS = ["run", "systemd"]

_PART = re.compile(r"[\w. +:@-]*\*?[\w. +:@-]*", re.ASCII)
_TOKENS = (
    r"->",
    r"[a-z][a-z0-9_]*",
    r"[/@][\w.+:*@{}/-]*",
    r'"[/@][\w. +:*@{}/-]*"',
    r"(?:options|fstype)=(?:[a-z0-9._-]+|\([a-z0-9._, -]+\))",
)
_TOKEN = f"(?:{'|'.join(_TOKENS)})"
_RULE = re.compile(f"{_TOKEN}(?: +{_TOKEN})*,", re.ASCII)
_EXAMPLE = 'mount options=(rw) fstype=overlay -> "/srv/my data/",'
# by this profiles of ours are read again (phoenix/apparmor/allows.py)
_OURS = re.compile(r"# *(?:allowed|logged) here:")

_NEVER = {
    "change_profile": "it lets root in the container leave the profile",
    "change_hat": "it lets root in the container leave the profile",
    "userns": 'user namespaces are granted by name, "apparmor_allows": ["nested-userns"]',
    "io_uring": "what the profile refuses of io_uring leads around it",
    "pivot_root": "it gives every file another name, and the list of denied files goes by names",
    "all": "it allows everything",
    "dbus": "the node's services do what a message asks: take the bus's socket out of the conf",
    "ptrace": "another label is no business of its, and its own is the template's",
    "signal": "another label is no business of its, and its own is the template's",
    "unix": "another label is no business of its, and its own is the template's",
}


@dataclass(frozen=True)
class Flaw:
    """A line (from 1) of an overlay that cannot stand there: what it says, printable, and why."""

    line: int
    text: str
    why: str


def read_overlay(data: bytes) -> tuple[tuple[str, ...], tuple[Flaw, ...]]:
    """The lines of an overlay without their ends, and all that is wrong with them."""
    if len(data) > MOST_BYTES:
        return (), (Flaw(1, "", f"larger than {MOST_BYTES} bytes"),)
    try:
        text = data.decode("utf-8").rstrip()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return (), (Flaw(line, "", "not UTF-8: save it as UTF-8"),)
    lines = tuple(line.rstrip() for line in text.split("\n")) if text else ()
    found = ((number, line, flaw(line)) for number, line in enumerate(lines, 1))
    return lines, tuple(Flaw(number, printable(line), why) for number, line, why in found if why)


def rules(lines: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of an overlay that has no flaw."""
    return tuple(read_profiles("\n".join(("profile x {", *lines, "}"))).profiles[0].rules)


def variables(overlay: Iterable[Rule]) -> frozenset[str]:
    """The variables that rules use, without their braces."""
    words = " ".join(word for rule in overlay for word in rule.words)
    return frozenset(re.findall(r"@\{(\w+)\}", words))


def beaten(overlay: Iterable[Rule], text: str) -> Iterator[tuple[Rule, Rule]]:
    """Rules of an overlay that do nothing in a rendered profile, each with the deny that beats it.

    Sound, not complete (`phoenix.apparmor.rule_coverage.covers`).
    """
    every = [rule for profile in read_profiles(text).profiles for rule in profile.rules]
    for rule in overlay:
        for deny in every:
            if not deny.allows and covers(Rule(deny.line, (), deny.words), rule):
                yield rule, deny
                break


@lru_cache(4096)
def flaw(line: str) -> str:
    """Why a line cannot stand in an overlay, "" if it can.

    >>> flaw("mount fstype=overlay options=(rw) -> /srv/merged/,")
    ''
    """
    line = line.strip(" \t")
    if len(line) > LONGEST:
        return f"longer than {LONGEST} characters"
    if not line.isprintable():
        return "holds a character that cannot be printed"
    if line.startswith("#"):
        return _comment_flaw(line)
    return _rule_flaw(line) if line else ""


def path_flaw(path: str) -> str:
    """Why a path cannot stand in a rule here, "" if it can: its form, or where it may lead."""
    if "**" in path:
        return "** reaches everything below, a /proc too: name the folder; * is for part of a name"
    first, *parts = path.removesuffix("/").split("/")
    plain = all(_PART.fullmatch(part.replace(DOCKER_ID, "")) for part in parts)
    if not path or (first and first not in PLACES) or not plain or {".", "..", ""} & {*parts}:
        return (
            "a path begins with / or one of " + ", ".join(PLACES) + ", and has letters, digits, "
            "blanks, . _ + : @ - and one * in a name: rename what is called otherwise"
        )
    for part in parts:
        if name := next((one for one in _DENIED_NAMES if matches(part, one)), ""):
            return _reached(f"{printable(part)} may lead to {name}")
    return "" if first else _top_flaw(parts)


# --- one line -------------------------------------------------------------------------------------


def _comment_flaw(line: str) -> str:
    if re.match(r"# *include\b", line):
        return "the parser may take it for an include: begin the comment with another word"
    return "so our own profiles speak of themselves: say it otherwise" if _OURS.match(line) else ""


def _rule_flaw(line: str) -> str:
    read = read_profiles(f"profile x {{\n{line}\n}}")
    if found := _structure_flaw(line, read):
        return found
    (rule,) = read.profiles[0].rules
    kind = rule.words[0]
    if rule.qualifiers:
        return f"no `{printable(rule.qualifiers[0])}` here: such a rule belongs into a template"
    if kind in _NEVER:
        return f"never allowed: {_NEVER[kind]}"
    is_file = file_access(rule) is not None or kind[:1] in ("/", "@")
    check = _file if is_file else _KINDS.get(kind)
    if check is None:
        return f"a rule here is for a file, or begins with {', '.join(_KINDS)}"
    if found := check(rule):
        return found
    return "" if _RULE.fullmatch(line) else f"write it like this: {_EXAMPLE}"


def _structure_flaw(line: str, read: ProfileText) -> str:
    if read.includes or any(profile.includes for profile in read.profiles):
        return "never an include: write the rules of it that you need"
    if read.variables or read.abis:
        return f"no variables of its own; there are {', '.join((*PLACES, DOCKER_ID))}"
    if len(read.profiles) != 1 or read.problem or len(read.profiles[0].rules) != 1:
        return "one rule a line, with a comma at its end, and nothing else"
    if not line.endswith(",") or read.profiles[0].rules[0].conditional:
        return "a rule ends with a comma, without an `if`; a comment has its own line"
    return ""


# --- what each kind of rule may say ---------------------------------------------------------------


def _capability(rule: Rule) -> str:
    names = {*rule.words[1:]}
    if not names:
        return "never allowed: without a name it is every capability"
    refused = printable(", ".join(sorted(names - CAPABILITIES)))
    return f"never allowed: no container has the capability {refused}" if refused else ""


def _network(rule: Rule) -> str:
    family, *types = rule.words[1:] or ("",)
    if family not in SOCKETS:
        return f"never allowed: only sockets of a family among {', '.join(SOCKETS)} are"
    if len(types) > 1 or not {*types} <= {*SOCKETS[family]}:
        return f"one type may follow the family: {', '.join(SOCKETS[family])}"
    return ""


def _umount(rule: Rule) -> str:
    return path_flaw(rule.words[1]) if len(rule.words) == 2 else "name the one place"


def _file(rule: Rule) -> str:
    access = file_access(rule)
    if access is None or access.execute not in ("", "ix"):
        return "never allowed: a program keeps the profile (ix), whatever runs it"
    if found := path_flaw(access.path):
        return found
    if {*"wa"} <= access.permissions:
        return "w and a exclude each other: w is more"
    letters = next(word for word in rule.words if word != "file" and word[0] not in "/@")
    return "name each access once" if len(letters) != len({*letters}) else ""


def _mount(rule: Rule) -> str:
    mount = Mount.parse(rule)
    if mount is None or mount.subset is not None or mount.exact == frozenset():
        return "write its flags once and exactly: options=(…)"
    conditions = ["=" in word for word in rule.words[1:]]
    if conditions != sorted(conditions, reverse=True):
        return "options= and fstype= stand in front of the source"
    if mount.target is None:
        return "never allowed: a mount without a target"
    flags = mount.exact or frozenset()
    if {"rw", "ro"} <= flags:
        return "rw and ro exclude each other"
    if found := _untyped(mount, flags) if mount.fstype is None else _typed(mount, flags):
        return found
    # beside a type the source is but a name, if it is no path
    is_path = mount.fstype is None or (mount.source or "")[:1] in ("/", "@")
    source = mount.source if is_path else None
    return path_flaw(mount.target) or (path_flaw(source) if source is not None else "")


def _typed(mount: Mount, flags: frozenset[str]) -> str:
    odd = sorted(one for one in mount.fstype or () if not DATA_TYPES.fullmatch(one))
    if odd or not mount.fstype:
        return (
            f"never allowed: {printable(', '.join(odd))} is a file system of the kernel's own, or "
            "one that no user namespace may mount: have the node mount it"
        )
    odd = sorted(flags - MOUNT_FLAGS)
    return f"{printable(odd[0])} is not for a mount with a type" if odd else ""


def _untyped(mount: Mount, flags: frozenset[str]) -> str:
    if "remount" in flags and flags <= MOUNT_FLAGS | {"remount", "bind", "rbind"}:
        return "a remount has no source" if mount.source else ""
    if len(flags & {"bind", "rbind"}) != 1 or not flags <= {"rw", "bind", "rbind"}:
        return (
            "never allowed: a mount that says no type (fstype=) and is neither a bind, "
            "options=(rw,bind), nor a remount may be a procfs under another name"
        )
    if mount.source is None:
        return "never allowed: a bind without a source"
    if mount.source.startswith("@{unit_root}"):
        return _reached("systemd mounts a procfs there")
    return ""


_KINDS: Mapping[str, Callable[[Rule], str]] = {
    "capability": _capability,
    "mount": _mount,
    "network": _network,
    "umount": _umount,
}


# --- where a path may lead ------------------------------------------------------------------------


def _top_flaw(parts: list[str]) -> str:
    """Why it may be in a procfs: one that is at a place by another name, or is mounted nowhere.

    Of the latter the kernel gives paths from its own root.
    """
    if not parts:
        return _reached("/ has a procfs in it")
    if _is_along(parts, _SYSTEMDS):
        return _reached("systemd mounts a procfs in a folder of /run/systemd")
    for place in ([], *(place.split("/") for place in MOVED)):
        if not _is_along(parts, place):
            continue
        whole, top = "/" + "/".join(place), "".join(parts[len(place) :][:1])
        if not top:
            return _reached(f"{whole} may be a procfs, or has one in it")
        if "*" in top or top == "firmware" or KERNELS_TOPS.fullmatch(top):
            return _reached(f"{top} in {whole} may be a folder of a procfs or sysfs")
    return ""


def _is_along(parts: list[str], place: list[str]) -> bool:
    """Whether a path may be a place, or lie above or below it; either may hold a `*`."""
    return all(matches(a, b) or matches(b, a) for a, b in zip(parts, place, strict=False))


def _reached(what: str) -> str:
    return f"never allowed: {what}, and the profile denies what is in there"
