"""Whether this node's parser takes rules in the profile that is generated for a container."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from node.refusal import refusal

# what the generated profile begins with, as far as rules can clash with it
_PROFILE = """\
include <tunables/global>
profile lxc-phoenix-harden-rules flags=(attach_disconnected,mediate_deleted) {{
include <abstractions/lxc/container-base>
{rules}
}}
"""


def observe(rules: list[list[Any]]) -> dict[str, Any]:
    """What the parser refuses; nothing is loaded. `rules`: CTID and rule, a container's in a row.

    - `refused`: CTID, the rule's number from 0 (null: only all of them together), the parser's
      words
    - `unchecked`: why a profile without any of them does not compile here either, or ""
    """
    refused: list[list[Any]] = []
    for ctid, pairs in groupby(rules, key=lambda pair: pair[0]):
        own = [rule for _, rule in pairs]
        together = _refusal("\n".join(own))
        if not together:
            continue
        if without := _refusal(""):
            return {"refused": refused, "unchecked": without}
        alone = [[ctid, number, why] for number, rule in enumerate(own) if (why := _refusal(rule))]
        refused += alone or [[ctid, None, together]]
    return {"refused": refused, "unchecked": ""}


def _refusal(rules: str) -> str:
    return refusal(_PROFILE.format(rules=rules))
