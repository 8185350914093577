"""What a fleet file says that loads, and that its author should know about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial

from pydantic import BaseModel

from phoenix.apparmor import generated_rules
from phoenix.fleet.file import ContainerEntry
from phoenix.fleet.making import flaws
from phoenix.fleet.model import Container
from phoenix.fleet.overlays import overlay_file
from phoenix.fleet.permits import HOST_PATHS, health_permit, raw_permit
from phoenix.pve.host_paths import path_danger
from phoenix.pve.privileged import NOT_HELD, WAY_OUT
from phoenix.pve.raw_keys import dangers
from phoenix.text.problems import json_path, shown

PROFILE_KEY = "lxc.apparmor.profile"
NESTING_KEY = "lxc.apparmor.allow_nesting"
#: What adopt proposes for containers with Docker, and for the others.
DOCKER_PROFILE = "lxc-docker-nested"
GENERATED = "generated"


def fleet_warnings(containers: Mapping[int, Container]) -> Iterator[str]:
    """Give the warnings that concern no single container."""
    if not containers:
        yield "lxc_configs: no containers in here"


def apart_warnings(
    apart: Iterable[Iterable[int]], containers: Mapping[int, Container]
) -> Iterator[str]:
    """Give the warnings of the groups that are kept apart."""
    for group in apart:
        for ctid in group:
            if ctid not in containers:
                yield f"apart: {ctid} is not in this file"


def container_warnings(
    key: str,
    container: Container,
    entry: ContainerEntry,
    others: Mapping[int, ContainerEntry],
    templates: Collection[str] | None,
) -> Iterator[str]:
    """Give the warnings of one container, each beginning with its JSON path.

    `key` is the container's id as the file spells it, `others` all containers of the file by
    id, `templates` the profiles that can be rendered (None: not known).
    """

    def at(*parts: str | int) -> str:
        return json_path("lxc_configs", key, *parts)

    if container.is_described:
        container = replace(container, profile=container.profile_when_made)
    named_in = "lxc_options" if entry.apparmor_profile is None else "apparmor_profile"
    yield from _profile_warnings(at(named_in), container, templates)
    for index, raw in enumerate(entry.lxc_options or ()):
        where = at("lxc_options", index)
        if raw.key == PROFILE_KEY:
            if raw.value != container.profile:
                yield f"{where}: {raw.value} contradicts apparmor_profile, {container.profile} wins"
            elif entry.apparmor_profile is None:
                yield f"{where}: belongs into apparmor_profile; used as if it stood there"
        elif raw.key == NESTING_KEY and container.allow_nesting is not None:
            if (raw.value == "1") != container.allow_nesting:
                yield f"{where}: contradicts apparmor_manages_nesting, which wins"
        elif raw.key == "lxc.apparmor.raw" and container.profile != "generated":
            yield f"{where}: has no effect: only Proxmox's generated profile reads it"
        for danger in dangers(raw):
            yield f"{where}: {raw.key} {danger}"
        if permit := raw_permit(raw, privileged=container.unprivileged is False):
            yield f"{where}: {raw.key} {permit.why}: needs --data allow={permit.word}"
    for index, raw in enumerate(entry.id_maps or ()):
        if permit := raw_permit(raw, privileged=container.unprivileged is False):
            where = at("id_maps", index)
            yield f"{where}: {raw.key} {permit.why}: needs --data allow={permit.word}"
    for text, fix in flaws(container.making):
        yield f"{at()}: {text}: create refuses it; {fix}"
    if entry.mac_address and not entry.network_config:
        yield f"{at('mac_address')}: has no effect without network_config"
    if container.apparmor_raw and container.profile != "generated":
        yield f"{at('apparmor_raw')}: has no effect: only Proxmox's generated profile reads it"
    for index, rule in enumerate(container.apparmor_raw):
        for flaw in generated_rules.flaws(rule):
            yield f"{at('apparmor_raw', index)}: {flaw}"
    yield from _mount_warnings(at, entry)
    yield from _docker_warnings(at(), container, entry, others)
    for index, other in enumerate(entry.dependencies or ()):
        if other not in others:
            yield f"{at('dependencies', index)}: {other} is not in this file"
    if permit := health_permit(container, privileged=container.unprivileged is False):
        yield f"{at(permit.key)}: {permit.why}: needs --data allow={permit.word}"
    yield from _misspelt(at, entry)
    for field, part in entry.parts:
        yield from _misspelt(partial(at, field), part)


def _misspelt(at: Callable[..., str], part: BaseModel) -> Iterator[str]:
    for name in part.model_extra or {}:
        # one letter in common first: files may have very many keys
        alike = [known for known in type(part).model_fields if known[:1] == name[:1]]
        if len(name) < 40 and (close := get_close_matches(name, alike, n=1, cutoff=0.85)):
            yield f"{at(name)}: is ignored; is {close[0]} meant?"


def _profile_warnings(
    where: str, container: Container, templates: Collection[str] | None
) -> Iterator[str]:
    if container.profile == "unconfined":
        proposed = DOCKER_PROFILE if container.docker else f"{GENERATED}, Proxmox's own"
        yield f"{where}: unconfined: no AppArmor at all; phoenix adopt proposes {proposed}"
    elif container.named and templates is not None and container.profile not in templates:
        known = ", ".join(sorted(templates)) or "none"
        yield (
            f"{where}: {container.profile}: no template of this name (there are: {known}), "
            "so this container cannot be hardened as it stands"
        )
    if container.named and container.unprivileged is False:
        yield f"{where}: {container.profile} for a privileged container: harden refuses it"
    if not container.named and container.stacking:
        yield f"{where}: {container.profile}, so apparmor_stacking has no effect"
    if not container.named and container.mode == "complain":
        then = "mode has no effect" if container.profile == "unconfined" else "harden refuses it"
        yield f"{where}: {container.profile} has no complain mode: {then}"
    if not container.named and (container.allows or container.audits):
        yield (
            f"{where}: {container.profile}: apparmor_allows and apparmor_audit are for profiles "
            "with a name: harden refuses them"
        )
    if not container.named and container.overlay is not None:
        yield (
            f"{overlay_file(container.ctid)}: {container.profile}: only a profile with a name "
            "takes an overlay: harden refuses it"
        )
    if not container.named and container.own:
        yield f"{where}: {container.profile}, so apparmor_own has no effect"


def _mount_warnings(at: Callable[..., str], entry: ContainerEntry) -> Iterator[str]:
    """Mounts that need the operator's word; a run judges where ZFS really mounts a dataset."""
    sources = {
        "volumes": [f"/{volume.pool}/{volume.name}" for volume in entry.volumes or ()],
        "zfs_volumes": [f"/{volume.pool}/{volume.name}" for volume in entry.zfs_volumes or ()],
        "mount_points": [point.host_path for point in entry.mount_points or ()],
    }
    for key, paths in sources.items():
        for index, path in enumerate(paths):
            if danger := path_danger(path):
                yield f"{at(key, index)}: {danger}: needs --data allow={HOST_PATHS}"


def _docker_warnings(
    where: str, container: Container, entry: ContainerEntry, others: Mapping[int, ContainerEntry]
) -> Iterator[str]:
    if container.docker and container.unprivileged is False:
        yield f"{where}.unprivileged: Docker in a privileged container: {NOT_HELD}; {WAY_OUT}"
    nesting = container.features.get("nesting") == "1"
    if container.docker and container.profile == "generated" and not nesting:
        yield f"{where}.pct_options: Docker under the generated profile needs nesting=1"
    for key in ("storage_driver", "docker_source"):
        if getattr(entry, key) and not container.docker:
            yield f"{where}.{key}: has no effect without 'docker' in features"
    if container.features.get("keyctl") == "1" and container.unprivileged is False:
        yield f"{where}.pct_options: keyctl=1 is for unprivileged containers only"
    origin = others.get(entry.clone_from_ctid) if entry.clone_from_ctid is not None else None
    if origin and not container.docker and "docker" in (origin.features or ()):
        yield (
            f"{where}.features: {shown('docker')} is not among them, yet it is cloned from "
            f"{entry.clone_from_ctid}, which has Docker: it is not treated as a Docker container"
        )
