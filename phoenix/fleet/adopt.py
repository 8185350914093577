"""Bringing a fleet file over to a confining profile, byte for byte the same elsewhere.

Works on the text, not on the data: a file that is kept by hand has its own order, indentation
and line ends, and a diff that shows more than the change is no use to whoever reviews it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phoenix.fleet.document import read_document
from phoenix.fleet.model import Container
from phoenix.fleet.parse import parse_fleet
from phoenix.fleet.warnings import PROFILE_KEY
from phoenix.pve.raw_keys import parse_raw
from phoenix.text.json_document import Edit, JsonDocument, Member, Node
from phoenix.text.problems import FleetError, Problem, json_path

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Adoption:
    """A fleet file before and after, `changed` container ids, and what was left alone.

    `notes` are sentences about containers that stay as they are although one might expect
    otherwise.
    """

    before: bytes
    after: bytes
    changed: tuple[int, ...]
    notes: tuple[str, ...]

    def diff(self, name: str) -> str:
        """The unified diff from before to after, "" without a change; `name` heads it."""
        old, new = (_lines(data.decode("utf-8")) for data in (self.before, self.after))
        text = ""
        for line in difflib.unified_diff(old, new, name, name):
            text += line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        return text


def adopt(
    data: bytes,
    profile: str,
    only: Collection[int] | None = None,
    templates: Collection[str] | None = None,
) -> Adoption:
    """Make every Docker container of a fleet file name `profile`.

    Without `only` that concerns containers that are `unconfined`, or that name a profile which
    is not among `templates` (None: not known, so none of those); a container that is confined
    already is left alone. With `only`, exactly these are changed, whatever they name now.

    A changed container also loses `lxc.apparmor.profile` lines that say otherwise and gets
    nesting=1, keyctl=1 (if unprivileged) and, where fuse-overlayfs is wanted, fuse=1; an
    explicit `=0` stays and is noted.

    Raises FleetError when the file does not load, and when `only` names a container that it
    doesn't have or that has no Docker.
    """
    fleet = parse_fleet(data, templates)
    file = read_document(data)
    _check_only(only, fleet.containers)
    edits: list[Edit] = []
    changed: list[int] = []
    notes: list[str] = []
    for key, member in file.root.members["lxc_configs"].node.members.items():
        container = fleet.containers[int(key)]
        if only is not None and container.ctid not in only:
            continue
        if only is None and not _wants(container, templates):
            notes.extend(_why_not(key, container, profile, templates))
            continue
        found = list(_container_edits(file.document, member.node, container, profile))
        if found:
            changed.append(container.ctid)
            edits.extend(found)
            if container.unprivileged is False:
                where = json_path("lxc_configs", key)
                notes.append(f"{where}: {profile} for a privileged container: harden refuses it")
        off = [name for name in _needed(container) if container.features.get(name) == "0"]
        notes.extend(
            f"{json_path('lxc_configs', key, 'pct_options')}: {name}=0 stays as it is written"
            for name in off
        )
    bom = _BOM if data.startswith(_BOM) else b""
    after = bom + file.document.edited(edits).encode("utf-8")
    parse_fleet(after)  # a change that would not load must not leave this function
    return Adoption(data, after, tuple(changed), tuple(notes))


def _check_only(only: Collection[int] | None, containers: Mapping[int, Container]) -> None:
    problems = []
    for number in only or ():
        path = json_path("lxc_configs", str(number))
        if number not in containers:
            problems.append(Problem(path, "", "is not in this file"))
        elif not containers[number].docker:
            hint = 'has no Docker as far as the file says: add "docker" to its features first'
            problems.append(Problem(path, "", hint))
    if problems:
        raise FleetError(problems)


def _wants(container: Container, templates: Collection[str] | None) -> bool:
    return container.docker and (
        container.profile == "unconfined" or _without_template(container, templates)
    )


def _without_template(container: Container, templates: Collection[str] | None) -> bool:
    return container.named and templates is not None and container.profile not in templates


def _why_not(
    key: str, container: Container, profile: str, templates: Collection[str] | None
) -> Iterator[str]:
    where = json_path("lxc_configs", key)
    if container.docker and container.profile != profile:
        yield f"{where}: stays with {container.profile}; --only {container.ctid} changes it too"
    elif not container.docker and _without_template(container, templates):
        yield f"{where}: no Docker, so {container.profile} stays, although it has no template"
    for warning in container.warnings:
        if not container.docker and warning.startswith(f"{where}.features"):
            yield warning


def _needed(container: Container) -> Iterator[str]:
    """Which features Docker needs, as the fleet file's author would write them."""
    yield "nesting"
    if container.unprivileged is not False:  # Proxmox: keyctl is for unprivileged ones only
        yield "keyctl"
    if container.storage_driver in (None, "fuse-overlayfs"):  # absent means fuse-overlayfs
        yield "fuse"


def _container_edits(
    document: JsonDocument, node: Node, container: Container, profile: str
) -> Iterator[Edit]:
    """Give the edits of one container: its profile, its raw lines, its options."""
    layout = _Layout(document, node)
    added: list[str] = []
    named = node.members.get("apparmor_profile")
    if named is None:
        added.append(f'"apparmor_profile": {json.dumps(profile)}')
    elif named.node.value != profile:
        yield Edit(named.node.start, named.node.end, json.dumps(profile))

    options = node.members.get("lxc_options")
    if options is not None:
        drop = [
            index
            for index, item in enumerate(options.node.items)
            if (raw := parse_raw(str(item.value))).key == PROFILE_KEY and raw.value != profile
        ]
        yield from _without(options.node, drop)

    missing = [name for name in _needed(container) if name not in container.features]
    written = node.members.get("pct_options")
    if missing and written is None:
        added.append(f'"pct_options": {layout.new_list([f"{name}=1" for name in missing])}')
    elif missing and written is not None:
        yield layout.grown(written.node, missing)
    if added:
        anchor = named or node.members["features"]
        text = "".join(f",{layout.gap(anchor)}{member}" for member in added)
        yield Edit(anchor.node.end, anchor.node.end, text)


def _without(node: Node, drop: Sequence[int]) -> Iterator[Edit]:
    """Take items out of a list, each with the comma and the blanks that belong to it."""
    kept = [index for index in range(len(node.items)) if index not in drop]
    if not drop:
        return
    if not kept:
        yield Edit(node.start, node.end, "[]")
        return
    for index in drop:
        if index < kept[-1]:
            yield Edit(node.items[index].start, node.items[index + 1].start, "")
    if drop[-1] > kept[-1]:
        yield Edit(node.items[kept[-1]].end, node.items[-1].end, "")


class _Layout:
    """How one container of the file is laid out, so that what is added looks the same."""

    def __init__(self, document: JsonDocument, container: Node) -> None:
        self.text = document.text
        self.container = container

    def gap(self, member: Member) -> str:
        """The blanks before a member of the container; at least one."""
        return self._blanks_before(member.start) or " "

    def new_list(self, items: Sequence[str]) -> str:
        """Write a list of strings as the container's other lists are written."""
        words = [json.dumps(item) for item in items]
        model = self._model()
        if model is None:
            return f"[{', '.join(words)}]"
        inner = self._blanks_before(model.items[0].start)
        outer = self._blanks_before(model.end - 1)
        return f"[{inner}{(',' + inner).join(words)}{outer}]"

    def grown(self, node: Node, names: Sequence[str]) -> Edit:
        """Add features to `pct_options` in whichever form it is.

        Where each option has its own line the new ones come first: no line that stays needs
        another comma.
        """
        if isinstance(node.value, dict):
            words = [f'"{name}": true' for name in names]
            starts = [member.start for member in node.members.values()]
            ends = [member.node.end for member in node.members.values()]
            empty = f"{{{', '.join(words)}}}"
        else:
            words = [json.dumps(f"{name}=1") for name in names]
            starts = [item.start for item in node.items]
            ends = [item.end for item in node.items]
            empty = self.new_list([f"{name}=1" for name in names])
        if not starts:
            return Edit(node.start, node.end, empty)
        gap = self._blanks_before(starts[0])
        if "\n" in gap:
            text = "".join(f"{word},{gap}" for word in words)
            return Edit(starts[0], starts[0], text)
        return Edit(ends[-1], ends[-1], "".join(f", {word}" for word in words))

    def _model(self) -> Node | None:
        """A list of the container with an item per line, if its first filled list is such."""
        for member in self.container.members.values():
            if member.node.items:
                own_lines = "\n" in self._blanks_before(member.node.items[0].start)
                return member.node if own_lines else None
        return None

    def _blanks_before(self, index: int) -> str:
        start = index
        while start > 0 and self.text[start - 1] in " \t\r\n":
            start -= 1
        return self.text[start:index]


def _lines(text: str) -> list[str]:
    """Split at line feeds alone, as diff(1) does."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
