"""What an audit says of the node itself where that takes confinement away from its containers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.workarounds import included_opens
from phoenix.pve.keys import modern_key
from phoenix.pve.overrides import ObservedOverrides
from phoenix.pve.raw_keys import RawKey
from phoenix.text.printable import printable

_RUNNING = "/proc/cmdline"
_CONFIG = "/usr/share/lxc/config"
_BASE = "/etc/apparmor.d/abstractions/lxc/container-base"
_UNUSED = "neither Proxmox's generated profiles nor ours read it, and none needs the change"
# beside what lxcfs and pve-container bring
_ADDED = re.compile(r"conf\.d/(?!00-lxcfs\.conf$|01-pve\.conf$)")
# what every container includes by itself (node.overrides)
_STOCK = re.compile(rf"{_CONFIG}/(?:[^/]*(?:common|userns)\.conf$|(?:common|userns)\.conf\.d/)")
_LINE = re.compile(r"(lxc\.[a-z0-9_.]+)\s*=\s*(.*?)\s*")
# between words of the kernel's line, and before the first one in GRUB's file
_BETWEEN = re.compile(r"(?:GRUB_CMDLINE_\w+=|[\s\"'])+")

#: What each key of LXC's own configuration does to all containers; Proxmox's lines come after it.
_OPENS = {
    "lxc.apparmor.raw": "which every generated profile has then, too",
    "lxc.apparmor.allow_incomplete": (
        "with which containers start also where the kernel enforces only part of a profile"
    ),
    "lxc.apparmor.allow_nesting": "with which every generated profile allows nested mounts",
    "lxc.apparmor.profile": "which a container has for which Proxmox writes no profile of its own",
}
# of those keys, what opens nothing
_TIGHTENS = re.compile(
    r"lxc\.apparmor\.(?:allow_(?:incomplete|nesting): 0|raw: (?:audit )?deny\s[^,]*,)"
)

#: Rules that whoever loosens container-base takes out, and rules with which it does nothing.
_MUST = {
    "writing to /proc/sys": re.compile(r"^\s*deny\s+(?:@\{PROC\}|/proc)/sys/", re.MULTILINE),
    "sysrq-trigger": re.compile(r"^\s*deny\s+(?:@\{PROC\}|/proc)/sysrq-trigger", re.MULTILINE),
    "writing to /sys": re.compile(r"^\s*deny\s+/sys/", re.MULTILINE),
}
_MUST_NOT = {
    "every mount": re.compile(r"^\s*(?:allow\s+)?mount\s*,", re.MULTILINE),
    "leaving the profile": re.compile(r"^\s*change_profile\b.*\bunconfined\b", re.MULTILINE),
}


def override_findings(seen: ObservedOverrides) -> Iterator[Finding]:
    """Each of them, what it opens, whether it is needed, and how it is reverted."""
    for path, line in seen.kernel.items():
        if word := switches_off(line):
            yield _kernel(path, word)
    changed = seen.changed or ()
    for path, lines in seen.lxc.items():
        for line in lines:
            yield from _lxc(path, line, path in changed or _is_added(path))
    for value, why in seen.unread.items():
        text = f"LXC's own configuration has lxc.include = {value}, which nobody could read ({why})"
        fix = f"look into it; grep -r {shlex.quote(value)} {_CONFIG} finds the line"
        yield _finding(Code.OVERRIDE_LXC, text, fix, Severity.NOTE)
    # of the package's own one only its maker can judge
    theirs = seen.changed is None or _BASE in seen.changed
    loose = _loosened(seen.base) if theirs else ""
    if loose:
        text = f"{_BASE} {loose}: so do the profiles of LXC that include it; {_UNUSED}"
        yield _finding(Code.OVERRIDE_FILE, text, _reinstall(_BASE), Severity.WARNING)
    for path in changed:
        if not (loose and path == _BASE):
            text = f"{path} is not as its package has it"
            if path == _BASE:
                text += f": profiles of LXC that include it may grant more; {_UNUSED}"
            yield _finding(Code.OVERRIDE_FILE, text, _reinstall(path), Severity.NOTE)


def switches_off(line: str) -> str:
    """The word of a kernel's line that switches AppArmor off, "" for none.

    Of several the last counts; `lsm=` is taken before `security=` (Linux, security/security.c).

    >>> switches_off('GRUB_CMDLINE_LINUX_DEFAULT="quiet apparmor=0"')
    'apparmor=0'
    """
    last = {}
    for word in _BETWEEN.split(line):
        key, _, value = word.partition("=")
        last[key] = value
    if last.get("apparmor") == "0":
        return "apparmor=0"
    if "lsm" in last:
        return "" if "apparmor" in last["lsm"].split(",") else f"lsm={last['lsm']}"
    if last.get("security", "apparmor") != "apparmor":
        return f"security={last['security']}"
    return ""


def _kernel(path: str, word: str) -> Finding:
    when = "now" if path == _RUNNING else "from the next boot on"
    text = (
        f"{word} in {path} switches AppArmor off: no container of this node is confined {when}; "
        "Docker does not need it"
    )
    update = "proxmox-boot-tool refresh" if path == "/etc/kernel/cmdline" else "update-grub"
    where = path
    if path == _RUNNING:
        where = "/etc/default/grub or /etc/kernel/cmdline"
        update = "update-grub or proxmox-boot-tool refresh"
    fix = f"take it out of {where}, run {update} and reboot"
    return _finding(Code.OVERRIDE_KERNEL, text, fix, Severity.WARNING)


def _is_added(path: str) -> bool:
    """Whether no package of LXC's has this file of its configuration."""
    return bool(_ADDED.search(path)) or not _STOCK.match(path)


def _lxc(path: str, line: str, others: bool) -> Iterator[Finding]:
    """`others`: it is not the package's own line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return
    raw = RawKey(modern_key(found[1]), found[2])
    if _TIGHTENS.fullmatch(raw.line):
        return
    fix = f"take that line out of {path}, and restart the containers"
    if what := _OPENS.get(raw.key):
        text = f"{path} has {line}, {what}; Docker does not need it"
        yield _finding(Code.OVERRIDE_LXC, text, fix, Severity.WARNING)
    elif (
        others
        and not path.endswith("userns.conf")
        and (opened := included_opens(raw, unprivileged=True))
    ):
        whose = "every unprivileged container" if "/userns." in path else "every container"
        text = f"{path} has {line} for {whose}: it {opened}; Docker does not need it"
        yield _finding(Code.OVERRIDE_LXC, text, fix, Severity.NOTE)


def _loosened(base: str | None) -> str:
    """What container-base does not hold any more, in a predicate; "" for nothing."""
    if base is None:
        return ""
    lost = [what for what, rule in _MUST.items() if not rule.search(base)]
    free = [what for what, rule in _MUST_NOT.items() if rule.search(base)]
    words = [f"does not deny {', '.join(lost)}"] if lost else []
    words += [f"allows {', '.join(free)}"] if free else []
    return " and ".join(words)


def _reinstall(path: str) -> str:
    keep = "-o Dpkg::Options::=--force-confask,confnew,confmiss " if "/etc/" in path else ""
    then = ", then systemctl reload apparmor" if path.startswith("/etc/apparmor.d/") else ""
    return f"apt-get install --reinstall {keep}$(dpkg -S {path} | cut -d: -f1){then}"


def _finding(code: Code, text: str, fix: str, severity: Severity) -> Finding:
    return Finding(code, severity, printable(text, None), fix=printable(fix, None))
