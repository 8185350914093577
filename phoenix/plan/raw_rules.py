"""The fleet file's `apparmor_raw`: rules that Proxmox adds to the profile it generates.

LXC puts each `lxc.apparmor.raw` line as it stands at the end of the generated profile, and a
container whose profile does not compile does not start (lxc, src/lxc/lsm/apparmor.c). So each
rule is looked at here and compiled by the node's own parser before it is written.
"""

from __future__ import annotations

from collections.abc import Iterator

from phoenix.apparmor.generated_rules import ObservedRules, flaws
from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.apparmor.parser_message import read_parser_message
from phoenix.apparmor.profile_text import read_profiles
from phoenix.fleet.model import Container
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.pve.values import same_raw_value
from phoenix.text.problems import json_path

KEY = "lxc.apparmor.raw"


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


def _said(message: str) -> str:
    error = read_parser_message(message, "", read_profiles(""))
    return error.message


def _place(ctid: int, number: int | None = None) -> str:
    parts = ("lxc_configs", str(ctid), "apparmor_raw")
    return json_path(*parts) if number is None else json_path(*parts, number)
