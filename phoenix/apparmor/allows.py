"""What a named profile may grant one container beyond what it grants all: `apparmor_allows`.

The rules stand in templates/apparmor/allows.j2, one block for each, under the comment of
`written_allows`; docs/apparmor.md says what each opens.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

#: The names, as the fleet file has them.
Allow = Literal["binfmt", "fuse-mounts", "guest-mounts", "nested-userns"]

ALLOWS: tuple[str, ...] = get_args(Allow)

_WRITTEN = re.compile(r"^ *# (allowed here|logged here): (\S+)$", re.MULTILINE)


def written_allows(text: str) -> frozenset[str]:
    """The permissions that a rendered profile holds."""
    return frozenset(what for kind, what in _WRITTEN.findall(text) if kind == "allowed here")


def written_audits(text: str) -> frozenset[str]:
    """The paths whose writes a rendered profile logs."""
    return frozenset(what for kind, what in _WRITTEN.findall(text) if kind == "logged here")
