"""Rules for the profile that Proxmox generates: what is wrong with one, as text and to a parser.

They stand at the end of that profile, each in a line of the conf (`phoenix.plan.raw_rules`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from phoenix.apparmor.lint import lint
from phoenix.apparmor.profile_text import Rule, read_profiles
from phoenix.apparmor.rule_coverage import covers

_BEGIN = (
    "include <tunables/global>",
    "profile lxc-phoenix-harden-rules flags=(attach_disconnected,mediate_deleted) {",
    # what the generated profile begins with, as far as rules can clash with it
    "include <abstractions/lxc/container-base>",
)


#: Rules that name nothing, and what they grant.
_ALL_OF = {
    ("mount",): "every mount",
    ("capability",): "every capability",
    ("/**", "rw"): "every file",
    ("ptrace",): "every ptrace",
}


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


def rules_from_json(data: Mapping[str, Any]) -> ObservedRules:
    """Read the section `rules` of the node's answer (`node.rules`).

    >>> rules_from_json({"refused": [[953, 1, "Invalid capability foo."]], "unchecked": ""})
    ObservedRules(refused={(953, 1): 'Invalid capability foo.'}, unchecked='')
    """
    refused = {(ctid, number): message for ctid, number, message in data["refused"]}
    return ObservedRules(refused, data["unchecked"])


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


def lets_out(rule: str) -> bool:
    """Whether root in the container gets out of a profile with such a line.

    >>> lets_out("change_profile -> unconfined,")
    True
    """
    return "lets-out" in _lint_rules(rule)


def grants_all(rule: str) -> tuple[str, ...]:
    """Of what a line grants everything, in words; nothing where it names what it grants.

    >>> grants_all("mount, capability,")
    ('every mount', 'every capability')
    >>> grants_all("mount fstype=fuse,")
    ()
    """
    profiles = read_profiles(f"profile x {{\n{rule}\n}}\n").profiles
    # who reads the log and which rule goes first makes no difference to what is granted
    rules = [Rule(0, (), one.words) for each in profiles for one in each.rules if one.allows]
    found = [
        what
        for words, what in _ALL_OF.items()
        if any(covers(one, Rule(0, (), words)) for one in rules)
    ]
    if "mounts-anywhere" in _lint_rules(rule) and "every mount" not in found:
        found.append("mounts without a path")
    return tuple(found)


def _lint_rules(rule: str) -> set[str]:
    return {one.rule for one in lint("\n".join((*_BEGIN, rule, "}", "")))}
