"""The fleet file's `apparmor_raw`: rules that Proxmox adds to the profile it generates.

LXC puts each `lxc.apparmor.raw` line as it stands at the end of the generated profile, and a
container whose profile does not compile does not start (lxc, src/lxc/lsm/apparmor.c). So each
rule is looked at here and compiled by the node's own parser before it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from phoenix.apparmor import ObservedAppArmor
from phoenix.fleet import Container
from phoenix.lint import lint
from phoenix.observed import ObservedContainer
from phoenix.parser_message import read_parser_message
from phoenix.problems import json_path
from phoenix.profile_text import read_profiles
from phoenix.pve_values import same_raw_value
from phoenix.raw_keys import RawKey

KEY = "lxc.apparmor.raw"

_BEGIN = (
    "include <tunables/global>",
    "profile lxc-phoenix-harden-rules flags=(attach_disconnected,mediate_deleted) {",
    # what the generated profile begins with, as far as rules can clash with it
    "include <abstractions/lxc/container-base>",
)


@dataclass(frozen=True)
class ObservedRules:
    """What the node's parser says of the rules that it was asked about.

    `refused`: the container and the rule's number (None: only together with others) to the
    parser's words; `unchecked`: why it could not be asked, "" if it could.
    """

    refused: Mapping[tuple[int, int | None], str] = field(default_factory=dict)
    unchecked: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`: the refused ones in a list."""
        refused = [[ctid, number, text] for (ctid, number), text in self.refused.items()]
        return {"refused": refused, "unchecked": self.unchecked}


def flaws(rule: str, abis: Collection[str] | None = None) -> Iterator[str]:
    """What is wrong with one rule, as far as text can tell; `abis`: those of the node, if known."""
    read = read_profiles(f"profile x {{\n{rule}\n}}\n")
    if len(read.profiles) != 1 or read.problem:
        yield "a rule may neither open nor close a profile: write rules only"
    elif not read.profiles[0].rules and not read.profiles[0].includes:
        yield 'this is no complete rule: end it with a comma, as in "deny mount fstype=debugfs,"'
    else:
        for finding in lint("\n".join((*_BEGIN, rule, "}", "")), abis=abis):
            if finding.severity == "error" and finding.line == len(_BEGIN) + 1:
                yield f"{finding.rule}: {finding.message} — {finding.way_out}"


def raw_rules(container: Container, profile: str) -> tuple[RawKey, ...]:
    """The lines of the conf that a container's rules become; none beside another profile."""
    if profile != "generated":
        return ()
    return tuple(RawKey(KEY, rule) for rule in container.apparmor_raw)


def new_rules(container: Container, profile: str, observed: ObservedContainer) -> tuple[str, ...]:
    """The rules to ask the node's parser about: all of them if one is not in the conf yet."""
    wanted = [raw.value for raw in raw_rules(container, profile)]
    there = observed.conf.main.raw(KEY)
    if all(any(same_raw_value(KEY, one, rule) for one in there) for rule in wanted):
        return ()
    return tuple(wanted)


def rule_problems(
    container: Container, profile: str, apparmor: ObservedAppArmor, seen: ObservedRules
) -> Iterator[str]:
    """What is wrong with a container's rules, each with its place in the fleet file."""
    if not raw_rules(container, profile):
        return
    found = {
        number: list(flaws(rule, apparmor.abis))
        for number, rule in enumerate(container.apparmor_raw)
    }
    for (ctid, number), message in seen.refused.items():
        if ctid != container.ctid:
            continue
        if number is None:
            if not any(found.values()):
                yield f"{_place(ctid)}: these rules do not go together: {_said(message)}"
        elif not found[number]:
            found[number] = [f"does not compile on this node: {_said(message)}"]
    for number, problems in found.items():
        for problem in problems:
            yield f"{_place(container.ctid, number)}: {problem}"


def rules_from_json(data: Mapping[str, Any]) -> ObservedRules:
    """Read the section `rules` of the node's answer (`node.rules`).

    >>> rules_from_json({"refused": [[953, 1, "Invalid capability foo."]], "unchecked": ""})
    ObservedRules(refused={(953, 1): 'Invalid capability foo.'}, unchecked='')
    """
    refused = {(ctid, number): message for ctid, number, message in data["refused"]}
    return ObservedRules(refused, data["unchecked"])


def _said(message: str) -> str:
    error = read_parser_message(message, "", read_profiles(""))
    return error.message


def _place(ctid: int, number: int | None = None) -> str:
    parts = ("lxc_configs", str(ctid), "apparmor_raw")
    return json_path(*parts) if number is None else json_path(*parts, number)
