"""What AppArmor refused on a node, read from its audit lines and laid at a container's door.

The lines are those of the kernel's audit subsystem, as auditd and the kernel's own log have them:
`apparmor="DENIED"` was refused, `apparmor="ALLOWED"` would have been (complain mode), anything
else (`STATUS`, `AUDIT`) is no refusal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from phoenix.apparmor import Label
from phoenix.observed import ObservedContainer
from phoenix.options import Options
from phoenix.problems import printable

_FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
# the fields that the kernel writes in hex if they hold a blank, a quote or no ASCII
# (audit_log_untrustedstring in security/apparmor)
_UNTRUSTED = frozenset({"profile", "namespace", "name", "srcname", "target", "peer", "comm"})
_GENERATED = re.compile(r"lxc-([0-9]+)_</var/lib/lxc>")
_NAMESPACE = re.compile(r"(?:root//|:)lxc-([0-9]+)_<-var-lib-lxc>")
_LXC_START = "/usr/bin/lxc-start"
# ids of containers and layers, processes, random names: many refusals of one kind
_VARYING = re.compile(r"[0-9a-f]{64}|(?<=/proc/)[0-9]+|[0-9]{6,}")
_PLAIN_PATH = re.compile(r"/[\w./ @:+-]*", re.ASCII)


@dataclass(frozen=True)
class Denial:
    """One kind of refusal, `count` times, the last time at `last` (seconds since the epoch).

    `complain`: it was let through and only logged. `fields`: the line's own, decoded.
    """

    count: int
    last: float
    complain: bool
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def profile(self) -> str:
        """The profile that refused, without the child profile in it."""
        return self["profile"].partition("//")[0]

    @property
    def by_lxc_start(self) -> bool:
        """Whether a container could not be started under its profile."""
        return self.profile == _LXC_START

    @property
    def inside(self) -> bool:
        """Whether the policy of the container's own namespace refused, not the node's."""
        return bool(self["namespace"])

    @cached_property
    def subject(self) -> str:
        """What was refused, in few words; what differs each time is a `*`."""
        if self["operation"] == "capable":
            text = self["capname"]
        elif self["class"] == "net" or self["family"]:
            text = f"{self['family']} {self['sock_type']}"
        elif self["operation"] in ("mount", "umount", "pivotroot"):
            words = [f"fstype={self['fstype']}" if self["fstype"] else ""]
            words += [f"({self['flags']})" if self["flags"] else ""]
            words += [f"{self['srcname']} ->" if self["srcname"] else "", self["name"]]
            text = " ".join(filter(None, words))
        elif self["signal"]:
            text = f"{self['signal']}, peer {self['peer']}"
        else:
            text = self["target"] or self["name"] or self["peer"]
        mask = self["requested_mask"] if self._about_file else ""
        return printable(" ".join(filter(None, (mask, _VARYING.sub("*", text.strip())))))

    @property
    def _generated(self) -> bool:
        return _GENERATED.fullmatch(self.profile) is not None

    @property
    def _about_file(self) -> bool:
        # kernels before 6.3 say no class
        return self["class"] in ("file", "") and self["name"][:1] == "/" and "fsuid" in self.fields

    @property
    def rule(self) -> str:
        """The rule that would let it pass, "" where that is not certain.

        Certain are capabilities, sockets, user namespaces, and files that no profile of ours
        denies explicitly: a deny beats every allow. The generated profile allows all of these, so
        there a deny is the reason.
        """
        operation, mask = self["operation"], self["requested_mask"]
        if self.inside or self.by_lxc_start or self._generated:
            return ""
        if operation == "capable" and self["capname"]:
            return f"capability {self['capname']},"
        if operation == "userns_create":
            return "userns,"
        if self["class"] == "net" and operation == "create" and self["sock_type"]:
            return f"network {self['family']} {self['sock_type']},"
        path = self["name"]
        certain = self._about_file and not set(mask) - set("rwcdk")
        if not certain or self["info"] or not _PLAIN_PATH.fullmatch(path):
            return ""
        if path.startswith(("/proc", "/sys", "/dev/.lxc")) or _VARYING.search(path):
            return ""
        parts = {"r": "r", "w": "wcd", "k": "k"}
        access = "".join(one for one, asked in parts.items() if set(asked) & set(mask))
        return f'"{path}" {access},' if " " in path else f"{path} {access},"

    @property
    def next_step(self) -> str:
        """What to do about it."""
        if self.by_lxc_start:
            if self["info"] == "label not found":
                return "that profile is not loaded: deploys/host_prep.py loads what the file names"
            return "lxc-start may enter only profiles called lxc-*: correct the conf"
        if self.inside:
            return "refused by the container's own policy (Docker's): look there, not here"
        if self["operation"] == "change_profile":
            return "something tried to leave its profile: find out who ran that"
        if self._generated:
            if self._about_file or self["capname"] or self["family"]:
                return "an `audit deny` rule says so: look at lxc.apparmor.raw in its conf"
            return "if its software needs that: a rule for it in apparmor_raw of the fleet file"
        rule = f"`{self.rule}`" if self.rule else "a rule for it"
        return f"if its software needs that: {rule} in a template of your own, --data profiles=DIR"


@dataclass(frozen=True)
class ObservedDenials:
    """What a node's log has. `source`: `audit.log` or `kernel log`, "" where nobody looked.

    `begins`: the log's first time, if that is later than what was asked for; `left`: lines of
    further kinds that were counted and not sent.
    """

    source: str = ""
    begins: float | None = None
    left: int = 0
    denials: tuple[Denial, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class DenialGroup:
    """All refusals of one kind, as the last of them, and the containers they may belong to.

    `ctids` are several where containers share a profile and the line tells no more.
    """

    ctids: tuple[int, ...]
    denial: Denial


def parse_denials(lines: Iterable[str]) -> ObservedDenials:
    """Read the answer of `templates/node/denials.sh`; what is not understood is skipped."""
    source, begins, left = "", None, 0
    denials = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "source":
            source = rest
        elif word == "begins" and _is_number(rest):
            begins = float(rest)
        elif word == "left" and rest.isdecimal():
            left = int(rest)
        elif word == "denial":
            count, last, text = (*rest.split(" ", 2), "", "")[:3]
            if count.isdecimal() and _is_number(last) and (denial := read_line(text)):
                denials.append(Denial(int(count), float(last), denial.complain, denial.fields))
    return ObservedDenials(source, begins, left, tuple(denials))


def read_line(line: str) -> Denial | None:
    r"""Read one audit line; None for what is no refusal. Never raises.

    >>> read_line('audit(17.5:1): apparmor="DENIED" operation="open" name=2F6120').fields["name"]
    '/a '
    """
    # auditd's enriched fields follow a group separator: they repeat, in words
    text = line.partition("\x1d")[0]
    fields = {name: _value(name, value) for name, value in _FIELD.findall(text)}
    verdict = fields.pop("apparmor", "")
    if verdict not in ("DENIED", "ALLOWED"):
        return None
    time = re.search(r"audit\(([0-9.]+):", text)
    last = float(time[1]) if time and _is_number(time[1]) else 0.0
    return Denial(1, last, verdict == "ALLOWED", fields)


def group_denials(
    seen: ObservedDenials,
    containers: Mapping[int, ObservedContainer],
    options: Options,
) -> list[DenialGroup]:
    """Equal refusals together, each with the containers it may belong to; the most frequent first.

    Left out: those of nobody, those of containers that are not asked for, and, unless `since` says
    from when on, those from before their container's present start.
    """
    groups: dict[tuple[object, ...], DenialGroup] = {}
    for denial in seen.denials:
        ctids = _whose(denial, containers)
        asked = [ctid for ctid in ctids if not options.only or ctid in options.only]
        starts = [start for ctid in asked if (start := containers[ctid].started) is not None]
        if not asked or not (options.since or any(denial.last >= start for start in starts)):
            continue
        words = (denial[name] for name in ("profile", "namespace", "operation", "comm"))
        key = (ctids, denial.complain, denial.subject, *words)
        if before := groups.get(key):
            last = max(denial, before.denial, key=lambda one: one.last)
            denial = replace(last, count=denial.count + before.denial.count)
        groups[key] = DenialGroup(ctids, denial)
    return sorted(groups.values(), key=lambda one: (one.ctids, -one.denial.count, -one.denial.last))


def denial_starts(containers: Iterable[ObservedContainer], only: Collection[int]) -> list[int]:
    """From when on the log is of interest: the present starts of the containers, each once."""
    asked = (ct for ct in containers if not only or ct.ctid in only)
    return sorted({ct.started for ct in asked if ct.started is not None})


def _whose(denial: Denial, containers: Mapping[int, ObservedContainer]) -> tuple[int, ...]:
    """The containers that a line may be about: what it names, else all that carry its profile."""
    named = _NAMESPACE.match(denial["namespace"]) or _GENERATED.fullmatch(denial.profile)
    if named is None and denial.by_lxc_start:
        wanted = denial["target"] or denial["name"]
        named = _NAMESPACE.search(wanted) or _GENERATED.match(wanted)
        if named is None:
            profile = wanted.partition("//")[0]
            return tuple(c for c, ct in sorted(containers.items()) if _conf_profile(ct) == profile)
    if named is not None:
        return (int(named[1]),) if int(named[1]) in containers else ()
    return tuple(
        ctid
        for ctid, container in sorted(containers.items())
        if container.label and Label.parse(container.label).profile == denial.profile
    )


def _conf_profile(container: ObservedContainer) -> str:
    return ("", *container.conf.main.raw("lxc.apparmor.profile"))[-1].partition("//")[0]


def _value(name: str, value: str) -> str:
    if value.startswith('"'):
        return value.strip('"')
    if name in _UNTRUSTED and _HEX.fullmatch(value):
        return bytes.fromhex(value).decode("utf-8", "replace")
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is not None
