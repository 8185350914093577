"""What people write into a conf to make Docker run without AppArmor, and how to be rid of it.

Each of these was met in guides and forums. With a profile that Docker works under none is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from phoenix.apparmor.generated_rules import grants_all, lets_out
from phoenix.fleet.model import Container
from phoenix.plan.confinement import INCLUDE_KEY, PROFILE_KEY, named_in, says_open, winner
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.raw_rules import KEY
from phoenix.pve.conf import PveConf
from phoenix.pve.host_paths import entry_danger
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.pve.values import same_raw_value
from phoenix.text.printable import printable

#: Hides AppArmor from Docker in a guest that has no policy namespace of its own.
MASK = RawKey(
    "lxc.mount.entry", "/dev/null sys/module/apparmor/parameters/enabled none bind,optional 0 0"
)

_NESTING = "lxc.apparmor.allow_nesting"
_ASKED = "the fleet file asks for it; take it out of lxc_options there"
_DEVICES = ("lxc.cgroup2.devices.allow", "lxc.cgroup.devices.allow")
# the switch itself, or a folder above it; LXC takes a target below the rootfs' own path, too
_SECURITYFS = re.compile(r"(?:.*/)?sys/kernel/security(?:/apparmor)?/*")
_MASKED = re.compile(r"(?:.*/)?sys/module/apparmor(?:/parameters(?:/enabled)?)?/*")
_OF_THE_NODE = re.compile(r"/(?:proc|sys)/*|/proc/sys/*")
# lxc.container.conf(5); LXC's common.conf has mixed for both
# lxc.container.conf(5): `version` runs nothing, `start` runs in the container
_NO_PROGRAMS = ("lxc.hook.version", "lxc.hook.start")
# as LXC's own configuration has them
_LXCS_HOOKS = ("/usr/share/lxc/hooks/", "/usr/share/lxcfs/")
_WRITABLE = re.compile(r"(proc|sys):rw(?::.*)?")


@dataclass(frozen=True)
class Workaround:
    """A raw line of a conf, in a predicate what it opens, and its code."""

    raw: RawKey
    opens: str
    code: Code


def workarounds(conf: PveConf) -> tuple[Workaround, ...]:
    """The workarounds in the main section of a conf, in its order."""
    found = (
        Workaround(raw, *found)
        for raw in dict.fromkeys(RawKey(key, value) for key, value in conf.main.raw_items())
        if (found := opens(raw, conf.unprivileged))
    )
    return tuple(found)


def is_mask(raw: RawKey) -> bool:
    """Whether a line hides AppArmor's switch from the guest, in whatever spelling."""
    return _mounts_on(raw, _MASKED)


def shows_apparmor(conf: PveConf, raw: Iterable[RawKey]) -> str:
    """What makes the guest see AppArmor's files, "" for nothing; `raw`: the conf's own raw lines.

    Docker takes AppArmor for usable then (moby, `apparmor.HostSupports`), loads its docker-default
    and fails: under a plain profile root in the guest may load nothing.
    """
    # pve-container Setup/Ubuntu.pm has ubuntu.common.conf of LXC, which binds the whole of it
    if conf.main["ostype"] == "ubuntu":
        return "ostype: ubuntu"
    return next((one.line for one in raw if _mounts_on(one, _SECURITYFS)), "")


def asked_for(container: Container | None, raw: RawKey) -> bool:
    """Whether the fleet file itself asks for this line: then it has the say."""
    if container is None:
        return False
    if raw.key == _NESTING and container.allow_nesting:
        return True
    rules = (RawKey(KEY, rule) for rule in container.apparmor_raw)
    return any(
        one.key == raw.key and same_raw_value(raw.key, one.value, raw.value)
        for one in (*container.raw, *rules)
    )


def workaround_findings(
    observed: ObservedContainer,
    container: Container | None,
    need: Callable[[Code], str] = lambda _: "",
    first: Callable[[Code], str] = lambda _: "",
) -> Iterator[Finding]:
    """What the audit says of the workarounds in a conf, and how they go.

    None is wrong alone, but a rule by which root in it leaves the profile. `container`: its entry
    in the fleet file, if any; `need`: whether one is needed still, in words; `first`: what is to be
    done before it can go. The mask in our words is none: it is there as long as it is needed. Nor
    is a rule that the fleet file has, or had.
    """
    conf = observed.conf
    name = printable(conf.hostname or "")

    def found(code: Code, text: str, fix: str, severity: Severity = Severity.NOTE) -> Finding:
        return Finding(code, severity, text, observed.ctid, name, fix)

    managed = Managed.parse(observed.managed).raw
    for one in workarounds(conf):
        asked = asked_for(container, one.raw)
        if not asked and one.raw == MASK:
            continue
        if one.code in (Code.RAW_RULE, Code.NESTING) and (asked or one.raw in managed):
            continue
        fix = "phoenix harden --data reconfine=true takes it back"
        if container is None:
            fix = f"add the container to the fleet file: {fix}"
        if asked:
            fix = _ASKED
        text = f"workaround {one.raw.line.rstrip()} {one.opens}"
        text = "; ".join(filter(None, (text, need(one.code))))
        is_out = one.code == Code.RAW_RULE and lets_out(one.raw.value)
        loud = is_out and named_in(conf, observed.includes) == "generated"
        severity = Severity.WARNING if loud else Severity.NOTE
        yield found(one.code, text, first(one.code) or fix, severity)
    for value in dict.fromkeys(filter(None, conf.main.raw(INCLUDE_KEY))):
        raw = RawKey(INCLUDE_KEY, value)
        include = observed.includes.get(value)
        asked = asked_for(container, raw)
        for line in include.lines if include else ():
            if opened := included_opens(line.raw, conf.unprivileged):
                text = f"workaround {raw.line} brings in {line.raw.line.rstrip()} ({line.place}): "
                text += "; ".join(filter(None, (f"it {opened}", need(Code.INCLUDE))))
                way = f"take that line out of {line.path}, or the lxc.include out of the conf"
                yield found(Code.INCLUDE, printable(text, None), _ASKED if asked else way)
        if include is None or include.why:
            why = f" ({include.why})" if include else ""
            text = (
                f"workaround {raw.line.rstrip()} brings in lines that are not looked at here{why}"
            )
            by_hand = "move what it needs of that into the conf, and take the line out"
            yield found(Code.INCLUDE, printable(text, None), _ASKED if asked else by_hand)
    yield from _named_by_include(observed, found)


def _named_by_include(
    observed: ObservedContainer, found: Callable[[Code, str, str, Severity], Finding]
) -> Iterator[Finding]:
    """The profiles that its includes name, and which one wins."""
    conf, includes = observed.conf, observed.includes
    named, wins = winner(conf, includes)
    for value in dict.fromkeys(conf.main.raw(INCLUDE_KEY)):
        for line in includes[value].lines if value in includes else ():
            if line.raw.key != PROFILE_KEY:
                continue
            text = f"workaround {INCLUDE_KEY}: {value} brings in {line.raw.line} ({line.place}): "
            text += "of all such lines the last counts, "
            text += "which is this one" if line == wins else f"which says {named}"
            loud = line == wins and bool(says_open(conf, includes))
            fix = f"take that line out of {line.path}, or the lxc.include out of the conf"
            severity = Severity.WARNING if loud else Severity.NOTE
            yield found(Code.INCLUDE, printable(text, None), printable(fix, None), severity)


def included_opens(raw: RawKey, unprivileged: bool) -> str:
    """What a line of a file that a conf includes opens, in a predicate, "" for nothing."""
    if opened := opens(raw, unprivileged):
        return opened[0]
    if raw.key == "lxc.mount.entry" and (danger := entry_danger(raw.value)):
        return danger
    if raw.key == "lxc.mount.fstab" and raw.value:
        return f"mounts what {raw.value} on the node says"
    if raw.key == "lxc.cap.keep" and raw.value:
        return "says which capabilities root in it keeps"
    is_hook = raw.key.startswith("lxc.hook.") and raw.key not in _NO_PROGRAMS
    if is_hook and raw.value and not raw.value.startswith(_LXCS_HOOKS):
        return "runs a program on the node at each start, as its root"
    return ""


def _mounts_on(raw: RawKey, place: re.Pattern[str]) -> bool:
    words = raw.value.split()
    return raw.key == "lxc.mount.entry" and len(words) > 1 and bool(place.fullmatch(words[1]))


def opens(raw: RawKey, unprivileged: bool) -> tuple[str, Code] | None:
    """What a raw line opens, in a predicate, if it is a workaround, and its code; else None."""
    words = raw.value.split()
    if is_mask(raw):
        return "hides AppArmor from Docker, which then confines nothing inside", Code.MASK
    if raw.key == "lxc.cap.drop" and not words:
        # userns.conf of LXC has the same line
        if unprivileged:
            return "changes nothing in an unprivileged container", Code.CAPABILITIES
        return "lets root in it keep every capability on the node", Code.CAPABILITIES
    if raw.key == "lxc.mount.auto" and (found := [*filter(None, map(_WRITABLE.fullmatch, words))]):
        places = " and ".join("/proc/sys" if one[1] == "proc" else "/sys" for one in found)
        if unprivileged:
            text = f"makes {places} writable, as far as the kernel lets root in it"
            return text, Code.WRITABLE
        return f"lets root in it write the node's {places}", Code.WRITABLE
    if raw.key == "lxc.mount.entry" and words and _OF_THE_NODE.fullmatch(words[0]):
        return f"puts the node's own {words[0]} into it", Code.WRITABLE
    if raw.key == "lxc.seccomp.profile" and not words:
        return "lets it make every system call, without LXC's seccomp filter", Code.SECCOMP
    if raw.key == "lxc.apparmor.allow_incomplete" and words and words != ["0"]:
        text = "starts it also where the kernel enforces only part of its profile"
        return text, Code.INCOMPLETE
    if raw.key == KEY and (opened := _opened_by(raw.value)):
        return f"{opened} the profile that Proxmox generates", Code.RAW_RULE
    if raw.key == _NESTING and words and words != ["0"]:
        text = "does what nesting=1 in features does for the profile that Proxmox generates"
        return text, Code.NESTING
    if raw.key in _DEVICES and _every_device(words):
        if raw.key == _DEVICES[1]:
            text = "does nothing with cgroup v2, and lets it use every device with v1"
            return text, Code.DEVICES
        if unprivileged:
            return "lets it use whatever device node gets into it", Code.DEVICES
        return "lets it use every device of the node, its disks included", Code.DEVICES
    return None


def _opened_by(rule: str) -> str:
    """What such a line opens, in words that the profile's name ends; "" for nothing."""
    if lets_out(rule):
        return "lets root in it leave"
    granted = grants_all(rule)
    return f"grants {', '.join(granted)} under" if granted else ""


def _every_device(words: list[str]) -> bool:
    """Whether it is every device to read or write; LXC's common.conf has `c *:* m`, to make any."""
    named = words[:1] == ["a"] or words[1:2] == ["*:*"]
    return named and (len(words) < 3 or not {"r", "w"}.isdisjoint(words[2]))
