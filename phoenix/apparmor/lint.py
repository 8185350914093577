"""What is wrong with an AppArmor profile for a container: findings with line and way out.

Text only, so that it runs before anything is installed and without a parser; what the parser says
can be handed in. Each rule was met in a profile that people run; where it was measured or read
stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from phoenix.apparmor.parser_message import NEEDS_TUNABLES, read_parser_message
from phoenix.apparmor.profile_text import Profile, ProfileText, Rule, read_profiles
from phoenix.apparmor.rule_coverage import Mount, covers, matches
from phoenix.text.problems import printable

_START_CONTAINER = "abstractions/lxc/start-container"
_CONTAINER_BASE = "abstractions/lxc/container-base"

#: What LXC's abstractions grant, those of LXC 5.0 and 6.0 alike (their files of these names).
_GRANTS = {
    _CONTAINER_BASE: """
        network, capability, file, umount, dbus, signal (receive), ptrace (readby),
        ptrace (tracedby), unix (receive), mount fstype=tmpfs, mount fstype=hugetlbfs,
        mount fstype=mqueue, mount fstype=fuse, mount fstype=fuse.*,
        mount fstype=fusectl -> /sys/fs/fuse/connections/,
        mount fstype=securityfs -> /sys/kernel/security/,
        mount fstype=debugfs -> /sys/kernel/debug/,
        mount fstype=proc -> /proc/, mount fstype=sysfs -> /sys/,
        mount fstype=binfmt_misc -> /proc/sys/fs/binfmt_misc/,
        mount options=(ro,remount,bind),
        """,
    _START_CONTAINER: """
        network, capability, file, umount, dbus, signal, ptrace, mount fstype=debugfs,
        """,
}
_DOCKER = re.compile(r"docker|containerd|fuse-overlayfs", re.IGNORECASE)
_VARIABLE = re.compile(r"@\{(\w+)\}")
# set by the parser itself, for every profile (parser_variable.c)
_OWN_VARIABLES = frozenset({"profile_name", "exec_path", "attach_path"})
_PROPAGATION = frozenset(
    {"slave", "shared", "private", "unbindable", "rslave", "rshared", "rprivate", "runbindable"}
)
_BINDS = frozenset({"bind", "rbind", "move", "rmove", "B", "M", "R"})
_UNCONFINED_EXECUTION = re.compile(r"[rwamlk]*[pPcC]?[uU]x[rwamlk]*")
# a profile longer than this is not compared rule by rule: that takes the square of the time
_MOST_COMPARED = 500


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to put right: its line, the rule's id, what is wrong, what to do.

    `severity`: an "error" makes the profile useless or unsafe (refuse it), a "warning" only says
    less than it seems to. `parses`: no for what the parser refuses.
    """

    line: int
    rule: str
    message: str
    way_out: str
    severity: Literal["error", "warning"] = "error"
    parses: bool = True

    def __str__(self) -> str:
        return f"{self.line}: {self.rule}: {self.message} — {self.way_out}"


def lint(
    text: str,
    *,
    expected: str | None = None,
    abis: Collection[str] | None = None,
    parser_message: str | None = None,
    parser_file: str = "",
    by_itself: bool = True,
    docker: bool = False,
    warnings: bool = True,
) -> tuple[Finding, ...]:
    """Find what is wrong with a file of profiles, in the order of its lines. Pure, raises nothing.

    `expected`: the name that a container's conf uses, None for any. `abis`: the files in the
    machine's `/etc/apparmor.d/abi`, None if not known. `parser_message`: None if no parser was
    asked, "" if it took the text, else its standard error; `parser_file` is what it knew the text
    as. `by_itself`: the file is loaded alone, not through another one like `lxc-containers`.
    `docker`: the container runs Docker, even if no rule says so. `warnings`: they too, which takes
    most of the time.
    """
    read = read_profiles(text)
    found = [*_byte_order_marks(read), *_names(read, expected)]
    for profile in read.profiles:
        found += _ways_out_of(profile)
        found += _container_base(profile, docker or _speaks_of_docker(profile))
        found += _mounts_anywhere(profile)
        found += _redundant(profile) if warnings else ()
    if parser_message is None or parser_message:
        # only where the parser has not said that it takes them
        found += _deny_audit(read)
        found += _unknown_abi(read, abis)
        found += _missing_tunables(read) if by_itself else ()
    if parser_message:
        error = read_parser_message(parser_message, parser_file, read)
        # it stops at a byte order mark, and says another thing of it
        if error.line not in read.marks:
            found.append(_unparsable(error.line, error.message, error.way_out))
    elif parser_message is None and read.problem:
        found.append(_unparsable(*read.problem, "close what is open, and nothing else"))
    return tuple(sorted(one for one in set(found) if warnings or one.severity == "error"))


def _unparsable(line: int, message: str, way_out: str) -> Finding:
    return Finding(line, "does-not-parse", message, way_out, parses=False)


def _byte_order_marks(read: ProfileText) -> Iterator[Finding]:
    # measured, parser 3.0.8: Lexer found unexpected character
    for line in read.marks:
        yield Finding(
            line,
            "byte-order-mark",
            "begins with a byte order mark, which apparmor_parser does not take: nothing in this "
            "file loads",
            r"save it as UTF-8 without one, or take it out: sed -i 's/^\xef\xbb\xbf//' FILE",
            parses=False,
        )


def _names(read: ProfileText, expected: str | None) -> Iterator[Finding]:
    declared = [profile for profile in read.profiles if profile.parent is None]
    if not declared:
        yield Finding(1, "no-profile", "no profile is declared here", "write `profile lxc-… { … }`")
        return
    # a conf that names a profile which is not loaded: the container does not start (measured)
    if expected is not None and expected not in [profile.name for profile in declared]:
        yield Finding(
            declared[0].line,
            "name-mismatch",
            f"declares {declared[0].name}, not {expected}: a container that names {expected} "
            "does not start",
            f"declare it as `profile {expected}`: the name counts, not the file's",
        )
    for profile in declared:
        # usr.bin.lxc-start: change_profile -> lxc-*; anything else is refused (measured)
        if not profile.name.startswith("lxc-"):
            yield Finding(
                profile.line,
                "name-not-lxc",
                f"lxc-start may not enter {profile.name}, only profiles called lxc-*",
                "call it lxc-…, with a hyphen",
            )


def _ways_out_of(profile: Profile) -> Iterator[Finding]:
    """Whatever lets root in the container leave the profile."""
    if "unconfined" in profile.flags:
        yield Finding(
            profile.line,
            "lets-out",
            f"flags=(unconfined): {profile.name} confines nothing",
            "take the flag out",
        )
    for include in profile.includes:
        if include.path == _START_CONTAINER:
            # measured: echo changeprofile unconfined > /proc/self/attr/current
            yield Finding(
                include.line,
                "lets-out",
                f"{_START_CONTAINER} is lxc-start's own and holds `change_profile -> unconfined`: "
                "root in the container leaves the profile with one write",
                "take the include out: a container needs nothing of it",
            )
    for rule in profile.rules:
        if not rule.allows:
            continue
        if rule.words[0] == "change_profile" and _leaves(rule):
            yield Finding(
                rule.line,
                "lets-out",
                f"{_shown(rule)} lets root in the container leave the profile",
                "take it out, or name the one profile to change to",
            )
        elif any(_UNCONFINED_EXECUTION.fullmatch(word) for word in rule.words[:3]) and (
            any(word[:1] in ("/", "@") for word in rule.words)
        ):
            yield Finding(
                rule.line,
                "lets-out",
                f"{_shown(rule)} runs a program unconfined, as root in the container",
                "use ix: it keeps the profile",
            )


def _leaves(rule: Rule) -> bool:
    """Whether a change_profile rule reaches unconfined or every container's profile."""
    if "->" not in rule.words[:-1]:
        return True
    target = rule.words[rule.words.index("->") + 1]
    if target.startswith("&"):  # stacked on top: confines more, not less
        return False
    if target.startswith(":"):
        target = target.rpartition(":")[2]
    return any(matches(target, name) for name in ("unconfined", "lxc-0"))


def _container_base(profile: Profile, docker: bool) -> Iterator[Finding]:
    # a deny beats every allow: since the fix for CVE-2025-52881 runc reopens the sysctls it sets
    for include in profile.includes:
        if docker and include.path == _CONTAINER_BASE:
            yield Finding(
                include.line,
                "container-base-with-docker",
                f"{_CONTAINER_BASE} denies most of /proc/sys and /sys, and a deny beats every "
                "allow: runc 1.2.8, 1.3.3, 1.4 and newer cannot start a container",
                "take the include out and grant what Docker needs, as lxc-docker-nested does",
            )


def _speaks_of_docker(profile: Profile) -> bool:
    words = (word for rule in profile.rules if rule.allows for word in rule.words)
    return any(_DOCKER.search(word) for word in (profile.name, *words))


def _mounts_anywhere(profile: Profile) -> Iterator[Finding]:
    """Mounts of anything to anywhere: they undo every rule that names a path."""
    for rule in profile.rules:
        mount = Mount.parse(rule) if rule.allows else None
        if mount is None or not mount.anywhere or mount.fstype is not None:
            continue
        exact = mount.exact or frozenset()
        if not mount.flags & _BINDS and mount.flags & (_PROPAGATION | {"remount"}):
            continue  # changes a mount that is there
        if exact & (_PROPAGATION | {"remount"}):
            continue  # a bind flag beside these only says which mount is changed
        yield Finding(
            rule.line,
            "mounts-anywhere",
            f"{_shown(rule)} names no path, so it allows what every mount rule with a path refuses",
            "say from where and to where: `mount options=(rw,bind) /srv/** -> /mnt/**`",
        )


def _redundant(profile: Profile) -> Iterator[Finding]:
    """Allows that do nothing, because a broader rule or an included abstraction gives them.

    Not looked for in a profile of more than 500 allows.
    """
    lines = {include.path: include.line for include in reversed(profile.includes)}
    grants = [
        (f"{path} (line {line})", grant) for path, line in lines.items() for grant in _granted(path)
    ]
    allows = [rule for rule in profile.rules if rule.allows]
    if len(allows) > _MOST_COMPARED:
        return
    for number, rule in enumerate(allows):
        giver = next((name for name, grant in grants if covers(grant, rule)), None)
        for other_number, other in enumerate(allows):
            if giver is not None:
                break
            # of two that say the same, the later one is too many
            if covers(other, rule) and (other_number < number or not covers(rule, other)):
                giver = f"line {other.line}, {_shown(other)},"
        if giver is not None:
            yield Finding(
                rule.line,
                "redundant-allow",
                f"{_shown(rule)} does nothing: {giver} already gives it",
                "keep one of the two: this one, if no more is needed",
                "warning",
            )


@cache
def _granted(path: str) -> list[Rule]:
    read = read_profiles(f"profile x {{{_GRANTS.get(path, '')}}}")
    return read.profiles[0].rules


def _shown(rule: Rule) -> str:
    return f"`{printable(str(rule))}`"


def _deny_audit(read: ProfileText) -> Iterator[Finding]:
    # apparmor.d(5): [priority=N] [audit] [allow|deny] rule; syntax error on 3.0.8 and 4.1
    for profile in read.profiles:
        for rule in profile.rules:
            for before, after in zip(rule.qualifiers, rule.qualifiers[1:], strict=False):
                if before in ("deny", "allow") and after == "audit":
                    yield Finding(
                        rule.line,
                        "deny-audit-order",
                        f"`{before} audit` is a syntax error: nothing in this file loads",
                        f"write `audit {before}`",
                        parses=False,
                    )


def _unknown_abi(read: ProfileText, abis: Collection[str] | None) -> Iterator[Finding]:
    for abi in read.abis if abis is not None else ():
        name = abi.path.removeprefix("abi/")
        if abis is not None and abi.path.startswith("abi/") and name not in abis:
            there = ", ".join(sorted(abis)) or "none"
            yield Finding(
                abi.line,
                "unknown-abi",
                f"abi {name} is not on this machine (there: {there})",
                "name one that is there, or leave the line out",
                parses=False,
            )


def _missing_tunables(read: ProfileText) -> Iterator[Finding]:
    # measured: `Found reference to variable PROC, but is never declared`
    if any(not include.path.startswith("abstractions/") for include in read.includes):
        return  # declared there, as far as text can tell
    uses = [
        (rule.line, variable, "")
        for profile in read.profiles
        for rule in profile.rules
        for word in rule.words
        for variable in _VARIABLE.findall(word)
        if variable not in read.variables | _OWN_VARIABLES
    ]
    uses += [
        (include.line, NEEDS_TUNABLES[include.path], f" (in {include.path})")
        for profile in read.profiles
        for include in profile.includes
        if include.path in NEEDS_TUNABLES and NEEDS_TUNABLES[include.path] not in read.variables
    ]
    for line, variable, where in sorted(uses)[:1]:
        yield Finding(
            line,
            "missing-tunables",
            f"@{{{variable}}}{where} is never declared: the profile does not load by itself",
            "put `include <tunables/global>` in front of the profile",
            parses=False,
        )
