"""The `features` line of a container: read, checked and merged.

Source: pve-container `PVE/LXC/Config.pm`, `$features_desc`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phoenix.pve import property_string

# print_property_string sorts the names; the manual lists them the same way
CANONICAL = ("force_rw_sys", "fuse", "keyctl", "mknod", "mount", "nesting")

_TRUE = re.compile(r"1|on|yes|true", re.IGNORECASE)
_FALSE = re.compile(r"0|off|no|false", re.IGNORECASE)
_MOUNT = re.compile(r"[a-zA-Z0-9_; ]+")

Wanted = Mapping[str, "str | bool | int | Sequence[str]"]


class Features(Mapping[str, str]):
    """The features of a container, in the order of the line.

    >>> features = Features.parse("nesting=1,mount=nfs;cifs")
    >>> features["mount"], features.on("nesting"), features.on("fuse")
    ('nfs;cifs', True, False)
    >>> str(features)
    'nesting=1,mount=nfs;cifs'
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    @classmethod
    def parse(cls, text: str | None) -> Features:
        """Read the value of a features line; None and blanks are no features.

        Raises ValueError where Proxmox calls the line malformed: a part without `=`, a name
        that is given twice. Names and values that it does not know are kept; see `problems`.
        """
        try:
            values = property_string.parse(text or "")
        except ValueError as error:
            raise ValueError(f"features: {error}") from None
        return cls(values)

    @classmethod
    def of(cls, wanted: Wanted) -> Features:
        """Features from plain values: true and false, a list of file systems, or text."""
        return cls({name: _text(value) for name, value in wanted.items()})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __str__(self) -> str:
        return property_string.render(self._values)

    def __repr__(self) -> str:
        return f"Features({str(self)!r})"

    def on(self, name: str) -> bool:
        """Is a yes-or-no feature switched on?"""
        return _TRUE.fullmatch(self._values.get(name, "")) is not None

    @property
    def problems(self) -> tuple[str, ...]:
        """What Proxmox refuses: one sentence for each feature that it does not know or read."""
        found = []
        for name, value in self._values.items():
            if name not in CANONICAL:
                found.append(f"{name!r} is not a feature: there are {', '.join(CANONICAL)}")
            elif name == "mount":
                if not _MOUNT.fullmatch(value):
                    found.append(f"mount={value}: write file systems like nfs;cifs")
            elif not _TRUE.fullmatch(value) and not _FALSE.fullmatch(value):
                found.append(f"{name}={value}: write 1 or 0")
        return tuple(found)


@dataclass(frozen=True)
class MergeResult:
    """What a merge comes to.

    `value` is the new line, the very text from before when nothing changes, empty when no
    feature is left. The names: `added` and `changed` for the fleet file, `removed` because a
    former run had added them and nobody wants them any more, `kept` because others set them.
    """

    value: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def merge(
    current: str | None,
    wanted: Wanted | str,
    managed_before: Iterable[str] | Mapping[str, str] = (),
) -> MergeResult:
    """Bring the wanted features into a line; what others set stays, what is wanted wins.

    `managed_before`: the names that a former run added; with their values, if known, one that
    somebody changed since is no longer ours. A feature that is wanted off and is not there is
    off already. Raises ValueError if the current line is malformed, or if Proxmox would refuse
    a wanted feature.

    >>> merge("keyctl=1,fuse=1", {"nesting": True}, managed_before=["fuse"])
    MergeResult(value='keyctl=1,nesting=1', added=('nesting',), changed=(), removed=('fuse',), \
kept=('keyctl',))
    """
    before = Features.parse(current)
    target = Features.parse(wanted) if isinstance(wanted, str) else Features.of(wanted)
    if target.problems:
        raise ValueError(f"features: {target.problems[0]}")

    removed = [n for n in before if n not in target and _is_managed(n, before[n], managed_before)]
    changed = [n for n in before if n in target and not _same(n, before[n], target[n])]
    added = sorted(n for n in target if n not in before and not _FALSE.fullmatch(target[n]))
    kept = [n for n in before if n not in target and n not in removed]
    if not (added or changed or removed):
        return MergeResult(current or "", kept=tuple(kept))

    values = {n: target[n] if n in changed else before[n] for n in before if n not in removed}
    values.update({n: target[n] for n in added})
    return MergeResult(
        str(Features(values)), tuple(added), tuple(changed), tuple(removed), tuple(kept)
    )


def _is_managed(name: str, value: str, managed: Iterable[str] | Mapping[str, str]) -> bool:
    if isinstance(managed, Mapping):
        return name in managed and _same(name, value, managed[name])
    return name in managed


def _same(name: str, one: str, other: str) -> bool:
    return _normal(name, one) == _normal(name, other)


def _normal(name: str, value: str) -> object:
    if name == "mount":
        # make_apparmor_config splits the list (";" or blanks) and writes a rule for each
        return frozenset(re.findall(r"[^; ]+", value))
    if _TRUE.fullmatch(value):
        return True
    return False if _FALSE.fullmatch(value) else value


def _text(value: str | bool | int | Sequence[str]) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (str, int)):
        return str(value)
    return ";".join(value)
