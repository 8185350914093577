"""From what AppArmor refused one container, or would have, to rules for its overlay.

A guest can provoke any line. So a rule allows what was seen and no more, and stands only if a
person might write it as well: `phoenix.apparmor.overlay.flaw` has the last word on each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from phoenix.apparmor.advice import is_file, permission
from phoenix.apparmor.denials import GENERATED, Denial
from phoenix.apparmor.overlay import DOCKER_ID, MOST_BYTES, flaw, path_flaw, rules
from phoenix.apparmor.profile_text import Rule
from phoenix.apparmor.rule_coverage import covers
from phoenix.text.printable import printable

#: The most rules of one lesson: more than that nobody reviews.
MOST_RULES = 100

# bytes of what stands in front of the first of them
_HEAD = 1000
# the last time that Python can tell
_LATEST = 253402300799
# what a file rule calls the accesses of a log line: creating and deleting is writing
_ACCESS = {"r": "r", "w": "w", "c": "w", "d": "w", "a": "a", "l": "l", "k": "k", "m": "m"}
_ORDER = "rwalkm"
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_ENGINES = ("@{dkr_data}/", "@{ctd_data}/", "/run/docker/", "/run/containerd/")
# in words, and with the action of docs/confinement.md that does the same
_OPENS = {
    "overlay": "files of the container laid over others of its own, there (old-overlay-tmp)",
    "tmpfs": "memory as files, there (old-tmpfs-tmp)",
    "ramfs": "memory as files, there, without a size of its own (old-tmpfs-tmp)",
    "mqueue": "the container's own message queues, there",
    "fuse": "more of the kernel's FUSE: a program of the guest answers for the files there",
    "bind": "the same files by another name, there (old-bind-etc-tmp)",
    "remount": "other flags of what is mounted there, also from read-only to writable",
    "umount": "what is mounted there goes, and what lies under it is seen",
    "capability": "that right over what is the container's own",
    "network": "sockets of that kind in the container's own network",
    "file": "that file, as far as its owner and mode let the container",
}


@dataclass(frozen=True)
class Whose:
    """By which profiles a line is known to be about one container, on one node.

    `own`: nobody else carries these; `shared`: others may, so that only the process tells.
    `data_roots`: where Docker keeps its data in it.
    """

    ctid: int
    own: Collection[str]
    shared: Collection[str]
    data_roots: Sequence[str]


@dataclass(frozen=True)
class Seen:
    """A rule, or what none is given for, and what it was seen for.

    `text`: the rule, or what was refused, printable; `why`: no rule, "" for one. `by`: programs,
    and containers of Docker.
    """

    text: str
    why: str = ""
    count: int = 0
    last: float = 0.0
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """What is learned: new rules, what is refused, and lines that are not surely the container's.

    Of the latter the text is the profile.
    """

    rules: tuple[Seen, ...] = ()
    refused: tuple[Seen, ...] = ()
    left_out: tuple[Seen, ...] = ()


def learn(seen: Iterable[tuple[Whose, Iterable[Denial]]], present: Sequence[str]) -> Lesson:
    """Make rules of what was seen on each node. `present`: the lines of the overlay as it is."""
    there = rules(present)
    wanted, refused, left_out = _Table(), _Table(), _Table()
    for whose, denials in seen:
        for denial in denials:
            if denial.logged:
                continue
            if why := _not_surely(denial, whose):
                left_out.add((printable(denial.profile), why), denial)
                continue
            rule, access, why = _wanted(denial, whose.data_roots)
            if why:
                refused.add((_words(denial), why), denial)
            else:
                wanted.add((rule, ""), denial, access)
    new = [one for one in wanted.seen() if not _is_among(there, one.text)]
    kept, more = _as_much_as_fits(new, present)
    kept = sorted(kept, key=lambda one: one.text)
    return Lesson(tuple(kept), (*refused.seen(), *more), left_out.seen())


def _as_much_as_fits(new: Iterable[Seen], present: Iterable[str]) -> tuple[list[Seen], list[Seen]]:
    """Those that one reviews and that have room in the file, and the others with the reason."""
    room = MOST_BYTES - _HEAD - sum(len(line.encode()) + 1 for line in present)
    kept, more = list[Seen](), list[Seen]()
    for one in new:
        size = len(_block(one).encode()) + 2
        if len(kept) == MOST_RULES:
            first = "those seen more often come first"
            why = f"more than {MOST_RULES} rules, {first}: nobody reviews them"
        elif size > room:
            why = f"an overlay has at most {MOST_BYTES} bytes: tidy up what stands there"
        else:
            kept.append(one)
            room -= size
            continue
        more.append(replace(one, why=why))
    return kept, more


def written(present: str, lesson: Lesson, ctid: int, since: str, now: datetime) -> str:
    """The overlay with the new rules at its end; what stands in it stays as it is.

    `since`: from when on was looked, in words.
    """
    if not lesson.rules:
        return present
    head = f"# CT {ctid}: what its own profile has beside the template; reviewed, then hardened\n"
    text = present if present.endswith("\n") or not present else f"{present}\n"
    blocks = [f"# learned on {now:%Y-%m-%d}, from what was seen since {printable(since)}"]
    blocks += map(_block, lesson.rules)
    return f"{text or head}\n" + "\n\n".join(blocks) + "\n"


def _block(one: Seen) -> str:
    """A rule as it stands in the file, with what it was seen for."""
    return f"# seen {_times(one)}\n# opens: {opens(one.text)}\n{one.text}"


def opens(rule: str) -> str:
    """What a rule opens, in words."""
    kind = rule.split(" ", 1)[0]
    if kind == "mount":
        found = re.search(r"fstype=([a-z]+)|(remount)|(bind)", rule)
        kind = next(filter(None, found.groups())) if found else ""
    return _OPENS[kind if kind in _OPENS else "file"]


# --- whose ----------------------------------------------------------------------------------------


def _not_surely(denial: Denial, whose: Whose) -> str:
    """Why a line does not count as the container's, "" if it does."""
    if denial.by_lxc_start:
        return "about lxc-start, not about what runs in a container"
    if denial.inside:
        return "refused by the policy of a container's own namespace (Docker's)"
    if GENERATED.fullmatch(denial.profile):
        return "Proxmox's generated profile takes no overlay"
    if denial.owner and denial.owner.ctid != whose.ctid:
        return f"CT {denial.owner.ctid}'s, by its process"
    if denial.profile in whose.own or (denial.owner and denial.profile in whose.shared):
        return ""
    if denial.profile in whose.shared:
        return 'others may carry it, and the process has ended: learn under "apparmor_own": true'
    return f"no profile of CT {whose.ctid}"


# --- the rule -------------------------------------------------------------------------------------


def _wanted(denial: Denial, data_roots: Sequence[str]) -> tuple[str, str, str]:
    """The rule that would let it pass, without the access of a file; that; why there is none."""
    try:
        rule, access = _rule(denial, data_roots)
    except _RefusedError as error:
        return "", "", _with_permission(denial, str(error))
    why = flaw(_whole(rule, access))
    return rule, access, _with_permission(denial, why) if why else ""


class _RefusedError(Exception):
    """There is no rule for it; says why."""


def _rule(denial: Denial, data_roots: Sequence[str]) -> tuple[str, str]:
    operation, kind = denial["operation"], denial["class"]
    for begin, word in _NEVER.items():
        if operation.startswith(begin) or kind == word:
            return f"{word},", ""
    if operation == "capable":
        return f"capability {denial['capname']},", ""
    if kind == "net" or denial["family"]:
        return f"network {denial['family']} {denial['sock_type'] or 'untold'},", ""
    if operation == "mount":
        return _mount(denial, data_roots), ""
    if operation == "umount":
        return f"umount {_path(denial['name'], data_roots)},", ""
    if is_file(denial.fields):
        return _file(denial, data_roots)
    raise _RefusedError("no rule is known for such a thing: find out what in it tried that")


# what overlays never hold, by how the kernel's word for it begins
_NEVER = {
    "change_": "change_profile",
    "stack": "change_profile",
    "userns": "userns",
    "pivotroot": "pivot_root",
    "dbus_": "dbus",
    "uring_": "io_uring",
    "ptrace": "ptrace",
    "signal": "signal",
}


def _mount(denial: Denial, data_roots: Sequence[str]) -> str:
    flags = [one for one in re.split(r", *", denial["flags"]) if one] or ["rw"]
    options = f"mount options=({','.join(flags)})"
    target = _path(denial["name"], data_roots)
    if denial["fstype"]:
        return f"{options} fstype={denial['fstype']} -> {target},"
    if {"bind", "rbind"} & {*flags} and "remount" not in flags:
        return f"{options} {_path(denial['srcname'], data_roots)} -> {target},"
    return f"{options} -> {target},"


def _file(denial: Denial, data_roots: Sequence[str]) -> tuple[str, str]:
    if "lookup" in denial["info"]:
        raise _RefusedError("its path could not be told for sure")
    mask = denial["denied_mask"] or denial["requested_mask"]
    if not mask or {*mask} - {*_ACCESS}:
        raise _RefusedError("no rule here lets a program run, or is for such an access")
    return _path(denial["name"], data_roots), "".join(_ACCESS[one] for one in mask)


def _whole(rule: str, access: str) -> str:
    """The rule for a file with its accesses, each once; another rule as it is."""
    # whoever writes may append as well, and the parser takes but one of them
    order = _ORDER.replace("a", "") if "w" in access else _ORDER
    return f"{rule} {''.join(one for one in order if one in access)}," if access else rule


def _path(path: str, data_roots: Sequence[str]) -> str:
    """A path as a rule has it. Raises _RefusedError for one that no rule has."""
    rule = _generalised(path, data_roots)
    if why := path_flaw(rule):
        raise _RefusedError(why)
    if path[:1] != "/" or {*"*{"} & {*path}:
        raise _RefusedError("its name holds what a rule takes for more than that name")
    return f'"{rule}"' if " " in rule else rule


def _generalised(path: str, data_roots: Sequence[str]) -> str:
    """The path by the variables of base.j2 and, in folders of engines, without their ids."""
    for variable, place in _places(data_roots).items():
        if found := re.match(rf"{place}(?=/|$)", path):
            path = f"@{{{variable}}}{path[found.end() :]}"
            break
    return _ID.sub(DOCKER_ID, path) if path.startswith(_ENGINES) else path


def _places(data_roots: Sequence[str]) -> Mapping[str, str]:
    """What base.j2 says of its variables, as regular expressions; the narrower come first."""
    data = f"(?:{'|'.join(map(re.escape, data_roots))})"
    layers = "(?:overlay2|fuse-overlayfs)/[^/]+/merged"
    others = "rootfs/[^/]+/[^/]+|vfs/dir/[^/]+|buildkit/executor/[^/]+/rootfs"
    return {
        "dkr_root": f"{data}/(?:{layers}|{others})",
        "ctd_data": f"(?:/var/lib/containerd|{data}/containerd/daemon)",
        "dkr_data": data,
        "unit_root": "/run/systemd/(?:mount-rootfs|unit-root)",
    }


def _with_permission(denial: Denial, why: str) -> str:
    """The reason, and the name of `apparmor_allows` that grants it, if there is one."""
    name = permission(denial.fields)
    if not name or name in why:
        return why
    return f'{why}; "apparmor_allows": ["{name}"] grants it, and more (docs/apparmor.md)'


def _is_among(there: Iterable[Rule], text: str) -> bool:
    (rule,) = rules([text])
    return any(covers(mine, rule) for mine in there)


# --- what it was seen for -------------------------------------------------------------------------


@dataclass
class _Table:
    """Equal things together: how often, when last, by whom, and the accesses of a file."""

    _found: dict[tuple[str, str], list[Denial]] = field(default_factory=dict)
    _access: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, key: tuple[str, str], denial: Denial, access: str = "") -> None:
        self._found.setdefault(key, []).append(denial)
        self._access[key] = self._access.get(key, "") + access

    def seen(self) -> tuple[Seen, ...]:
        """Everything, the most frequent first."""
        found = [self._of(key, denials) for key, denials in self._found.items()]
        return tuple(sorted(found, key=lambda one: (-one.count, one.text)))

    def _of(self, key: tuple[str, str], denials: Sequence[Denial]) -> Seen:
        text, why = key
        count = sum(one.count for one in denials)
        last = max(one.last for one in denials)
        return Seen(_whole(text, self._access[key]), why, count, last, _by(denials))


def _by(denials: Iterable[Denial]) -> tuple[str, ...]:
    found = dict.fromkeys(_who(one) for one in sorted(denials, key=lambda one: -one.count))
    return tuple(name for name in found if name)


def _who(denial: Denial) -> str:
    program, owner = printable(denial["comm"], 40), denial.owner
    if owner is None or not owner.engine_id:
        return program
    return f"{program} in container {printable(owner.name or owner.engine_id[:12], 60)}"


def _times(one: Seen) -> str:
    """How often, until when, and by whom, for a comment."""
    last = datetime.fromtimestamp(min(max(one.last, 0), _LATEST), UTC)
    more = f" and {len(one.by) - 3} more" if len(one.by) > 3 else ""
    by = f", by {', '.join(one.by[:3])}{more}" if one.by else ""
    return f"{one.count}x, last {last:%Y-%m-%d %H:%M} UTC{by}"


def _words(denial: Denial) -> str:
    return printable(f"{denial['operation']} {denial.subject}".strip())
