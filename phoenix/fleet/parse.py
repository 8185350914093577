"""Reading the fleet file: from the bytes of `phoenix_lxc_configs.json` to a `Fleet`.

`parse_fleet` either gives a `Fleet` or raises `FleetError` with every mistake in the file.
What the file may hold and how it may be written stands in `phoenix.fleet.file`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from phoenix.docker.install import Repository
from phoenix.fleet.document import read_document
from phoenix.fleet.file import KEY, LIST, OBJECT, ContainerEntry, Ctid, FleetFile, Tunables
from phoenix.fleet.making import making
from phoenix.fleet.model import Container, Fleet, Mount
from phoenix.fleet.order import circles
from phoenix.fleet.overlays import overlay_warnings, read_overlays
from phoenix.fleet.values import SWITCHES, ctid, feature, profile
from phoenix.fleet.warnings import (
    NESTING_KEY,
    PROFILE_KEY,
    apart_warnings,
    container_warnings,
    fleet_warnings,
)
from phoenix.pve.features import CANONICAL as FEATURES
from phoenix.pve.id_maps import KEY as ID_MAP
from phoenix.pve.id_maps import map_flaw
from phoenix.pve.raw_keys import RawKey
from phoenix.text.json_document import Json
from phoenix.text.problems import FleetError, Problem, json_path, shown

_GIB = 1024**3

__all__ = ["Container", "Fleet", "FleetError", "Mount", "Problem", "RawKey", "parse_fleet"]


def parse_fleet(
    data: bytes,
    templates: Collection[str] | None = None,
    overlays: Mapping[str, bytes] = MappingProxyType({}),
) -> Fleet:
    """Read a fleet file.

    `templates` are the names of the profiles that can be rendered; a name outside them is a
    warning here (an error for the containers that a run selects). None: no such warning.
    `overlays`: the files of `profiles.d` beside it, name to content.
    Raises FleetError, and nothing else, with all problems at once.
    """
    document = read_document(data)
    problems = list(document.problems)
    entries: dict[int, tuple[str, ContainerEntry]] = {}
    ignored: list[str] = []
    for key, value in _containers_of(document.root.value, problems, ignored):
        number = _new_ctid(key, entries, problems)
        entry = _entry(key, value, problems)
        ignored.extend(_ignored_in(key, entry))
        if number is not None:
            entries[number] = (key, entry)
    tunables = _tunables(document.root.value, problems)
    apart = _apart(document.root.value, problems)
    containers = {
        number: _container(number, key, entry, templates or (), problems)
        for number, (key, entry) in entries.items()
    }
    problems.extend(_circles(entries))
    own_rules = read_overlays(overlays, problems)
    if problems:
        raise FleetError(problems)
    others = {number: entry for number, (_, entry) in entries.items()}
    for number, container in containers.items():
        key, entry = entries[number]
        container = replace(container, overlay=own_rules.get(number))
        found = tuple(container_warnings(key, container, entry, others, templates))
        containers[number] = replace(container, warnings=found)
    warnings = (
        *fleet_warnings(containers),
        *apart_warnings(apart, containers),
        *overlay_warnings(overlays, containers),
    )
    return Fleet(MappingProxyType(containers), warnings, tuple(ignored), tunables, apart)


def _containers_of(
    root: Json, problems: list[Problem], ignored: list[str]
) -> Iterator[tuple[str, Json]]:
    right = 'an object is expected, as in {"lxc_configs": {"910": {…}}}'
    if not isinstance(root, dict):
        problems.append(Problem("$", shown(root), right))
        return
    ignored.extend(json_path(key) for key in root if key not in FleetFile.model_fields)
    if "lxc_configs" not in root:
        problems.append(Problem("lxc_configs", "", f"is missing; {right}"))
        return
    containers = root["lxc_configs"]
    if not isinstance(containers, dict):
        problems.append(Problem("lxc_configs", shown(containers), right))
        return
    yield from containers.items()


def _tunables(root: Json, problems: list[Problem]) -> Mapping[str, tuple[str, ...]]:
    written = root.get("tunables") if isinstance(root, dict) else None
    try:
        tunables = TypeAdapter(Tunables | None).validate_python(written, strict=True)
    except ValidationError as invalid:
        problems.extend(_problem(("tunables",), error) for error in invalid.errors())
        return {}
    return {name: tuple(values) for name, values in (tunables or {}).items()}


def _apart(root: Json, problems: list[Problem]) -> tuple[tuple[int, ...], ...]:
    """One group as a list of CTIDs, several as a list of lists."""
    written = root.get("apart") if isinstance(root, dict) else None
    if written is None:
        return ()
    several = isinstance(written, list) and any(isinstance(one, list) for one in written)
    try:
        if several:
            read = TypeAdapter(list[list[Ctid]]).validate_python(written, strict=True)
        else:
            read = [TypeAdapter(list[Ctid]).validate_python(written, strict=True)]
    except ValidationError as invalid:
        problems.extend(_problem(("apart",), error) for error in invalid.errors())
        return ()
    groups = tuple(tuple(dict.fromkeys(group)) for group in read)
    for index, group in enumerate(groups):
        if len(group) < 2:
            path = json_path("apart", index) if several else "apart"
            hint = "at least two different CTIDs are expected"
            problems.append(Problem(path, shown([*group]), hint))
    return groups


def _new_ctid(
    key: str, entries: Mapping[int, tuple[str, ContainerEntry]], problems: list[Problem]
) -> int | None:
    path = json_path("lxc_configs", key)
    try:
        number = ctid(key)
    except PydanticCustomError as error:
        problems.append(Problem(path, shown(key), error.message()))
        return None
    if number in entries:
        first = shown(entries[number][0])
        problems.append(Problem(path, shown(key), f"the same container as {first}: keep one"))
        return None
    return number


def _entry(key: str, value: Json, problems: list[Problem]) -> ContainerEntry:
    """Read one container; of a wrong one what is right in it, to find all mistakes at once."""
    path = json_path("lxc_configs", key)
    if not isinstance(value, dict):
        problems.append(Problem(path, shown(value), 'an object is expected: {"name": …}'))
        return ContainerEntry.model_validate({})
    hint = "a key must not hold control characters, line breaks or broken Unicode"
    odd = [name for name in value if not name.isprintable()]
    problems += [Problem(json_path("lxc_configs", key, name), shown(name), hint) for name in odd]
    value = {name: item for name, item in value.items() if name.isprintable()}
    try:
        return ContainerEntry.model_validate(value)
    except ValidationError as invalid:
        errors = invalid.errors()
    problems.extend(_problem(("lxc_configs", key), error) for error in errors)
    wrong = {error["loc"][0] for error in errors}
    rest = {name: item for name, item in value.items() if name not in wrong}
    if "apparmor_profile" in wrong:  # it still has the say, so no other is looked for
        rest["apparmor_profile"] = "generated"
    return ContainerEntry.model_validate(rest)


_RIGHT = {
    "bool_type": "true or false is expected, without quotes",
    "int_type": "a whole number is expected, without quotes",
    "float_type": "a number is expected, without quotes",
    "int_from_float": "a whole number is expected",
    "list_type": "a list is expected: […]",
    "string_type": "text is expected, in double quotes",
    "union_tag_not_found": 'a list is expected, as in ["nesting=1", "keyctl=1"]',
    "model_type": "an object is expected: {…}",
    "missing": "is missing",
    "dict_type": "an object is expected: {…}",
    "too_short": "at least one item is expected",
}


def _problem(parent: tuple[str, ...], error: ErrorDetails) -> Problem:
    """Put one of pydantic's errors into our words."""
    where = [part for part in error["loc"] if part not in (LIST, OBJECT, KEY)]
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        hint = f"one of {context['expected']} is expected"
    elif kind in _RIGHT:
        hint = _RIGHT[kind]
    else:
        hint = error["msg"].removeprefix("Input ")
    value = "" if kind == "missing" else shown(error["input"])
    return Problem(json_path(*parent, *where), value, hint)


def _ignored_in(key: str, entry: ContainerEntry) -> Iterator[str]:
    for name in entry.model_extra or {}:
        if name not in SWITCHES:
            yield json_path("lxc_configs", key, name)
    for field in ("volumes", "zfs_volumes", "mount_points"):
        for index, part in enumerate(getattr(entry, field) or ()):
            for name in part.model_extra or {}:
                yield json_path("lxc_configs", key, field, index, name)
    for field, part in entry.parts:
        for name in part.model_extra or {}:
            yield json_path("lxc_configs", key, field, name)


def _container(
    number: int,
    key: str,
    entry: ContainerEntry,
    templates: Collection[str],
    problems: list[Problem],
) -> Container:
    installed = entry.features or []
    if entry.mode and entry.apparmor_mode and entry.mode != entry.apparmor_mode:
        path = json_path("lxc_configs", key, "mode")
        hint = f"contradicts apparmor_mode ({entry.apparmor_mode}): keep one of them"
        problems.append(Problem(path, shown(entry.mode), hint))
    for index, other in enumerate(entry.dependencies or ()):
        if other == number:
            path = json_path("lxc_configs", key, "dependencies", index)
            problems.append(Problem(path, str(other), "a container cannot wait for itself"))
    named = _profile(key, entry, problems)
    if named not in templates and (meant := named.replace("_", "-")) in templates:
        path = json_path("lxc_configs", key, "apparmor_profile")
        problems.append(Problem(path, shown(named), f"write '{meant}': that is its name"))
    return Container(
        ctid=number,
        name=entry.name,
        profile=named,
        says_profile=_says_profile(entry),
        allow_nesting=entry.apparmor_manages_nesting,
        stacking=bool(entry.apparmor_stacking),
        mode=entry.apparmor_mode or entry.mode or "enforce",
        allows=tuple(sorted({*(entry.apparmor_allows or ())})),
        audits=tuple(sorted({*(entry.apparmor_audit or ())})),
        own=bool(entry.apparmor_own),
        apparmor_raw=tuple(entry.apparmor_raw or ()),
        features=MappingProxyType(_features(key, entry, problems)),
        raw=_raw(key, entry, problems),
        mounts=_mounts(key, entry, problems),
        gpus=entry.gpu_assignment,
        docker="docker" in installed,
        nvidia="nvidia" in installed,
        unprivileged=entry.unprivileged,
        storage_driver=entry.storage_driver,
        health=entry.health_check.meaning if entry.health_check else None,
        install_source=entry.docker_source or "distro",
        install_repository=_repository(key, entry, problems),
        boot_order=entry.boot_order,
        dependencies=tuple(dict.fromkeys(entry.dependencies or ())),
        making=making(number, key, entry, problems),
    )


def _repository(key: str, entry: ContainerEntry, problems: list[Problem]) -> Repository | None:
    repo = entry.docker_repo
    if repo is None:
        return None
    if entry.docker_source != "docker-ce":
        path = json_path("lxc_configs", key, "docker_repo")
        hint = 'only "docker_source": "docker-ce" takes one: add that, or take this out'
        problems.append(Problem(path, shown(repo.url), hint))
    return Repository(repo.url, repo.key, repo.fingerprint)


def _circles(entries: Mapping[int, tuple[str, ContainerEntry]]) -> Iterator[Problem]:
    """Give one problem per circle of dependencies, at the first of them in the file."""
    waits = {number: entry.dependencies or [] for number, (_, entry) in entries.items()}
    for chain in circles({one: list(dict.fromkeys(others)) for one, others in waits.items()}):
        key, entry = entries[chain[0]]
        index = (entry.dependencies or []).index(chain[1])
        path = json_path("lxc_configs", key, "dependencies", index)
        circle = " → ".join(map(str, chain))
        yield Problem(path, str(chain[1]), f"they wait for each other ({circle}): take one out")


def _profile(key: str, entry: ContainerEntry, problems: list[Problem]) -> str:
    """What `apparmor_profile` says; without it the last raw key, as LXC would read them."""
    if entry.apparmor_profile is not None:
        return entry.apparmor_profile
    for index, raw in reversed(list(enumerate(entry.lxc_options or ()))):
        if raw.key == PROFILE_KEY:
            try:
                return profile(raw.value)
            except PydanticCustomError as error:
                path = json_path("lxc_configs", key, "lxc_options", index)
                problems.append(Problem(path, shown(raw.value), error.message()))
                break
    return "generated"


def _says_profile(entry: ContainerEntry) -> bool:
    """Whether the file says under which profile; null says so, too."""
    given = "apparmor_profile" in entry.model_fields_set
    return given or any(raw.key == PROFILE_KEY for raw in entry.lxc_options or ())


def _raw(key: str, entry: ContainerEntry, problems: list[Problem]) -> tuple[RawKey, ...]:
    """Keep the raw keys that no other key of the file has the say on."""
    dropped = {PROFILE_KEY}
    if entry.apparmor_manages_nesting is not None:
        dropped.add(NESTING_KEY)
    written = [raw for raw in entry.lxc_options or () if raw.key not in dropped]
    maps = dict.fromkeys(raw for raw in entry.id_maps or () if raw not in written)
    raws = (*written, *maps)
    if flaw := map_flaw(raw.value for raw in raws if raw.key == ID_MAP):
        path = json_path("lxc_configs", key, "id_maps" if entry.id_maps else "lxc_options")
        problems.append(Problem(path, "", f"{flaw}: it would not start"))
    return raws


def _features(key: str, entry: ContainerEntry, problems: list[Problem]) -> dict[str, str]:
    found: dict[str, str] = {}
    for where, pairs in _written_features(key, entry, problems):
        for name, value in pairs:
            if found.setdefault(name, value) != value:
                hint = f"contradicts {name}={found[name]} before it: keep one of them"
                problems.append(Problem(where, shown(value), hint))
    return {name: found[name] for name in FEATURES if name in found}


def _written_features(
    key: str, entry: ContainerEntry, problems: list[Problem]
) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Give every place that asks for features, and what it asks for."""
    options = entry.pct_options
    if isinstance(options, list):
        for index, pairs in enumerate(options):
            yield json_path("lxc_configs", key, "pct_options", index), pairs
    single = (
        [("pct_options", name, value) for name, value in options.items()]
        if isinstance(options, dict)
        else []
    )
    # "nesting": true directly in the container: meant the same
    extra = entry.model_extra or {}
    single += [("", name, extra[name]) for name in SWITCHES if extra.get(name) is not None]
    for parent, name, value in single:
        path = json_path("lxc_configs", key, *filter(None, (parent, name)))
        try:
            yield path, (feature(name, value),)
        except PydanticCustomError as error:
            problems.append(Problem(path, shown(value), error.message()))


def _mounts(key: str, entry: ContainerEntry, problems: list[Problem]) -> tuple[Mount, ...]:
    mounts: dict[str, Mount] = {}
    for path, mount in _written_mounts(key, entry):
        first = mounts.setdefault(mount.target, mount)
        if first.source != mount.source:
            hint = f"{first.source} is mounted there already: choose another directory"
            problems.append(Problem(path, shown(mount.target), hint))
    return tuple(mounts.values())


def _written_mounts(key: str, entry: ContainerEntry) -> Iterator[tuple[str, Mount]]:
    for origin, volumes in (("volumes", entry.volumes), ("zfs_volumes", entry.zfs_volumes)):
        for index, volume in enumerate(volumes or ()):
            yield (
                json_path("lxc_configs", key, origin, index, "mount_point"),
                Mount(
                    source=f"/{volume.pool}/{volume.name}",
                    target=volume.mount_point.lstrip("/"),
                    origin="volumes" if origin == "volumes" else "zfs_volumes",
                    pool=volume.pool,
                    name=volume.name,
                    quota=None if volume.size_gb is None else int(volume.size_gb * _GIB),
                ),
            )
    for index, point in enumerate(entry.mount_points or ()):
        uid, gid = point.owner_uid, point.owner_gid
        # one of the two alone: user and group of the same number, as images have them
        owner = (uid if uid is not None else gid), (gid if gid is not None else uid)
        yield (
            json_path("lxc_configs", key, "mount_points", index, "container_path"),
            Mount(
                source=point.host_path,
                target=point.container_path.lstrip("/"),
                origin="mount_points",
                owner=(owner[0], owner[1])
                if owner[0] is not None and owner[1] is not None
                else None,
            ),
        )
