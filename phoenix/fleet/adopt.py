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
from typing import Literal

from phoenix.fleet.document import read_document
from phoenix.fleet.model import Container
from phoenix.fleet.parse import parse_fleet
from phoenix.fleet.warnings import GENERATED, PROFILE_KEY
from phoenix.pve.raw_keys import parse_raw
from phoenix.text.json_document import Edit, JsonDocument, Member, Node, without_member
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
    *,
    spared: Collection[int] = (),
    scope: Literal["all", "docker"] = "all",
    others: str = GENERATED,
) -> Adoption:
    """Make every container of a fleet file name a confining profile.

    Those with Docker name `profile`, those without name `others`; with the scope `docker` only the
    former change. Without `only` that concerns containers that are `unconfined`, or that name a
    profile which is not among `templates` (None: not known, so none of those); a container that is
    confined already is left alone. With `only`, exactly these are changed, whatever they name now;
    those in `spared` never are.

    A changed container also loses `lxc.apparmor.profile` lines that say otherwise, and one with
    Docker gets nesting=1, keyctl=1 (if unprivileged) and, where fuse-overlayfs is wanted, fuse=1;
    an explicit `=0` stays and is noted. One that names `generated` loses the keys that only a
    profile with a name has, each noted: harden refuses some of them beside it.

    Raises FleetError when the file does not load, when `only` or `spared` names a container that it
    doesn't have, and when `only` names one without Docker in the scope `docker`.
    """
    fleet = parse_fleet(data, templates)
    file = read_document(data)
    _check_named(only or (), spared, scope, fleet.containers)
    edits: list[Edit] = []
    changed: dict[int, Container] = {}
    notes: list[str] = []
    moot: list[tuple[str, str]] = []
    for key, member in file.root.members["lxc_configs"].node.members.items():
        container = fleet.containers[int(key)]
        if container.ctid in spared or (only is not None and container.ctid not in only):
            continue
        notes.extend(_clone_warnings(key, container))
        meant = profile if container.docker else others
        in_scope = container.docker or scope == "all"
        if not in_scope or (only is None and not _wants(container, templates)):
            notes.extend(_why_not(key, container, meant, templates))
            continue
        found = list(_container_edits(file.document, member.node, container, meant))
        without = [*_moot(container, member.node)] if meant == GENERATED else []
        moot.extend((key, name) for name in without)
        if found or without:
            changed[container.ctid] = container
            edits.extend(found)
            notes.extend(_what_of_it(key, container, meant, templates))
            notes.extend(_without_keys(key, container, without))
        if container.docker:
            off = [name for name in _needed(container) if container.features.get(name) == "0"]
            notes.extend(
                f"{json_path('lxc_configs', key, 'pct_options')}: {name}=0 stays as it is written"
                for name in off
            )
    bom = _BOM if data.startswith(_BOM) else b""
    document = JsonDocument.parse(file.document.edited(edits))
    for key, name in moot:
        if its := document.find("lxc_configs", key):
            document = JsonDocument.parse(document.edited([without_member(its.node, name)]))
    after = bom + document.text.encode("utf-8")
    # a change that would not load must not leave this function
    now = parse_fleet(after, templates).containers
    for ctid, container in changed.items():
        if now[ctid].profile == GENERATED:
            notes.extend(one for one in now[ctid].warnings if one not in container.warnings)
    return Adoption(data, after, tuple(changed), tuple(notes))


def _check_named(
    only: Collection[int], spared: Collection[int], scope: str, containers: Mapping[int, Container]
) -> None:
    problems = []
    for number in dict.fromkeys((*only, *spared)):
        path = json_path("lxc_configs", str(number))
        if number not in containers:
            problems.append(Problem(path, "", "is not in this file"))
        elif number in only and scope == "docker" and not containers[number].docker:
            hint = (
                'has no Docker as far as the file says: add "docker" to its features first, or '
                "leave out --scope docker"
            )
            problems.append(Problem(path, "", hint))
    if problems:
        raise FleetError(problems)


def _wants(container: Container, templates: Collection[str] | None) -> bool:
    return container.profile == "unconfined" or _without_template(container, templates)


def _without_template(container: Container, templates: Collection[str] | None) -> bool:
    return container.named and templates is not None and container.profile not in templates


def _why_not(
    key: str, container: Container, profile: str, templates: Collection[str] | None
) -> Iterator[str]:
    """Why a container stays as it is, although one might expect otherwise."""
    where = json_path("lxc_configs", key)
    if container.docker and container.profile != profile:
        yield f"{where}: stays with {container.profile}; --only {container.ctid} changes it too"
    elif not container.docker and _without_template(container, templates):
        yield f"{where}: no Docker, so {container.profile} stays, although it has no template"


def _clone_warnings(key: str, container: Container) -> Iterator[str]:
    """What the file's own warnings say of one that may have Docker without its saying so."""
    where = json_path("lxc_configs", key, "features")
    if not container.docker:
        yield from (warning for warning in container.warnings if warning.startswith(where))


def _what_of_it(
    key: str, container: Container, profile: str, templates: Collection[str] | None
) -> Iterator[str]:
    """What a change means that its diff does not show."""
    where = json_path("lxc_configs", key)
    if not container.docker and _without_template(container, templates):
        yield (
            f"{where}: there is no template {container.profile}, what it would grant is gone; to "
            f"write one (--data profiles=DIR) leave this container out: --except {container.ctid}"
        )
    if container.unprivileged is False and profile == GENERATED:
        yield f"{where}: privileged: {profile} confines it, and root in it is root of the node"
    elif container.unprivileged is False:
        yield f"{where}: {profile} for a privileged container: harden refuses it"


def _moot(container: Container, node: Node) -> Iterator[str]:
    """Which keys mean something beside a profile with a name only, and say something."""
    said = {
        "apparmor_stacking": container.stacking,
        "apparmor_mode": container.mode == "complain",
        "mode": container.mode == "complain",
        "apparmor_allows": container.allows,
        "apparmor_audit": container.audits,
        "apparmor_own": container.own,
    }
    yield from (name for name in node.members if said.get(name))


def _without_keys(key: str, container: Container, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield (
            f"{json_path('lxc_configs', key, name)}: taken out: only a profile with a name has it, "
            f"and not {GENERATED}; to keep it leave this container out: --except {container.ctid}"
        )


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
    if container.profile == profile == GENERATED:
        pass  # so it is without the key, too
    elif named is None:
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

    needed = _needed(container) if container.docker else ()
    missing = [name for name in needed if name not in container.features]
    written = node.members.get("pct_options")
    if missing and written is None:
        added.append(f'"pct_options": {layout.new_list([f"{name}=1" for name in missing])}')
    elif missing and written is not None:
        yield layout.grown(written.node, missing)
    anchor = named or node.members.get("features") or next(reversed(node.pairs), None)
    if added and anchor:
        text = "".join(f",{layout.gap(anchor)}{member}" for member in added)
        yield Edit(anchor.node.end, anchor.node.end, text)
    elif added:
        yield Edit(node.start, node.end, f"{{{', '.join(added)}}}")


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
