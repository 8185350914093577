"""What AppArmor refused on a node, read from its audit lines.

The lines are those of the kernel's audit subsystem (`phoenix.apparmor.audit_line`):
`apparmor="DENIED"` and `"KILLED"` were refused, `"ALLOWED"` would have been (complain mode),
`"AUDIT"` was let through by a rule that asks for a line (`apparmor_audit` of the fleet file).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from phoenix.apparmor.advice import VARYING, is_file, permission, verdict
from phoenix.apparmor.audit_line import read_fields, read_time
from phoenix.text.printable import LONGEST_LINE, printable

#: A profile that Proxmox generated for a container.
GENERATED = re.compile(r"lxc-([0-9]+)_</var/lib/lxc>")
_LXC_START = "/usr/bin/lxc-start"


@dataclass(frozen=True)
class Owner:
    """Whose process was refused: a container, and the one of an engine (Docker, podman) in it.

    `engine_id`: 64 hexadecimal digits, "" for a process of the container's own; `name`: what the
    engine calls it, printable, "" where that is not known.
    """

    ctid: int
    engine_id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Flood:
    """`lines` of one profile that were counted and not kept, from `first` to `last` (seconds since
    the epoch): they are of more kinds than a profile's share.
    """

    profile: str
    lines: int
    first: float
    last: float


@dataclass(frozen=True)
class Denial:
    """One kind of refusal, `count` times from `first` to `last` (seconds since the epoch).

    `complain`: it was let through and only logged; `logged`: no refusal, a rule asks for the line.
    `fields`: the line's own, decoded. `spread`: (bucket of `ObservedDenials`, lines), ascending.
    `pid`: the process of the last line as the node counts, 0 if the line names none; `owner`: whose
    that is, where the node could still see it.
    """

    count: int
    last: float
    complain: bool
    fields: Mapping[str, str]
    logged: bool = False
    first: float = 0.0
    spread: tuple[tuple[int, int], ...] = ()
    pid: int = 0
    owner: Owner | None = None

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

    @property
    def of_bus(self) -> bool:
        """Whether it is about a message on one of the node's buses."""
        return self["operation"].startswith("dbus_")

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
        elif self.of_bus:
            what = ".".join(filter(None, (self["interface"], self["member"]))) or self["name"]
            text = f"{self['mask']} {what} on the {self['bus']} bus"
        elif self["signal"]:
            text = f"{self['signal']}, peer {self['peer']}"
        else:
            text = self["target"] or self["name"] or self["peer"]
        mask = self["requested_mask"] if is_file(self.fields) else ""
        return printable(" ".join(filter(None, (mask, VARYING.sub("*", text.strip())))))

    @property
    def _generated(self) -> bool:
        return GENERATED.fullmatch(self.profile) is not None

    @property
    def rule(self) -> str:
        """The rule that would let it pass, "" where none is proposed (`phoenix.apparmor.advice`).

        The generated profile allows all that is proposed, so there a deny is the reason, which
        beats every allow.
        """
        if self.logged or self.inside or self.by_lxc_start or self._generated:
            return ""
        return verdict(self.fields)[1]

    @property
    def next_step(self) -> str:
        """What to do about it, whichever container it was."""
        return self.step_for("CTID")

    def step_for(self, ctid: str) -> str:
        """What to do about it in the container `ctid`."""
        if self.logged:
            return "a rule with `audit` asks for it: apparmor_audit, or one of your own"
        if self.by_lxc_start:
            if self["info"] == "label not found":
                return "that profile is not loaded: phoenix host-prep loads what the file names"
            return "lxc-start may enter only profiles called lxc-*: correct the conf"
        if self.inside:
            return "refused by the container's own policy (Docker's): look there, not here"
        if self.of_bus:
            return (
                "it has a socket of the node's message bus, by which the node's services do what "
                "they are asked to: take the mount that brings it out of the conf"
            )
        if self["operation"] == "change_profile":
            return "something tried to leave its profile: find out who ran that"
        granted = "" if self._generated else permission(self.fields)
        if granted:
            return (
                "the profile denies this on purpose: find out what tried that; if its software "
                f'needs it, "apparmor_allows": ["{granted}"] (docs/apparmor.md says what it opens)'
            )
        kind, rule = verdict(self.fields)
        if self._generated and (is_file(self.fields) or self["capname"] or self["family"]):
            return "an `audit deny` rule says so: look at lxc.apparmor.raw in its conf"
        if kind == "purpose":
            return "the profile denies this on purpose: find out what in it tried that"
        if kind == "unknown":
            return "no rule is proposed for such a thing: find out what in it tried that"
        if self._generated:
            return "if its software needs that: a rule for it in apparmor_raw of the fleet file"
        words = f"`{rule}`" if rule else "a rule for it"
        where = f"profiles.d/{ctid}.rules, which phoenix learn proposes"
        return f"if its software needs that: {words} in {where}"


@dataclass(frozen=True)
class ObservedDenials:
    """What a node's log has. `source`: `audit.log`, `journal` or `kernel log`, "" where nobody
    looked; `missing`: what it may lack, "" for nothing.

    `begins`: the log's first time, if that is later than what was asked for; `left`: lines of
    further kinds that were counted and not sent, of which `floods` tells by profile. Bucket N of a
    denial's `spread` begins at `begin` + N * `width` (seconds; a width of 0: no buckets).
    """

    source: str = ""
    begins: float | None = None
    left: int = 0
    denials: tuple[Denial, ...] = ()
    begin: float = 0.0
    width: int = 0
    floods: tuple[Flood, ...] = ()
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def denials_from_json(data: Mapping[str, Any]) -> ObservedDenials:
    """Read the section `denials` of the node's answer (`node.denials.observe`).

    Raises KeyError, TypeError, ValueError or AttributeError where it is none.
    """
    begins = data["begins"]
    floods = ((printable(str(name)), *numbers) for name, *numbers in data.get("floods", ()))
    return ObservedDenials(
        source=data["source"],
        begins=None if begins is None else float(begins),
        left=int(data["left"]),
        denials=tuple(filter(None, (_denial(*told) for told in data["denials"]))),
        begin=float(data.get("begin", 0)),
        width=int(data.get("width", 0)),
        floods=tuple(
            Flood(name, int(lines), float(first), float(last))
            for name, lines, first, last in floods
        ),
        missing=printable(str(data.get("missing", "")), LONGEST_LINE),
    )


def _denial(count: Any, last: Any, line: str, more: Mapping[str, Any] = {}) -> Denial | None:
    denial = read_line(line)
    if denial is None:
        return None
    owner = more.get("owner")
    return replace(
        denial,
        count=int(count),
        last=float(last),
        first=float(more.get("first", last)),
        spread=tuple((int(bucket), int(times)) for bucket, times in more.get("spread", ())),
        pid=int(more.get("pid", 0)),
        owner=None if owner is None else Owner(int(owner[0]), printable(str(owner[1]))),
    )


def read_line(line: str) -> Denial | None:
    r"""Read one audit line; None for what is none of AppArmor's. Never raises.

    >>> read_line('audit(17.5:1): apparmor="DENIED" operation="open" name=2F6120').fields["name"]
    '/a '
    """
    fields = {**read_fields(line)}
    if not fields:
        return None
    verdict = fields.pop("apparmor")
    return Denial(1, read_time(line), verdict == "ALLOWED", fields, verdict == "AUDIT")
