"""The datasets and folders that a new container mounts and its node lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phoenix.fleet.model import Mount
from phoenix.plan.creation import Dataset, Folder
from phoenix.plan.new_conf import Draft
from phoenix.pve.id_maps import owner_on_node, owner_words
from phoenix.pve.stock import ObservedStock
from phoenix.pve.storage import ObservedStorage

#: A dataset that is made has no blank in its name, although ZFS would take one.
_NEW_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*(/[A-Za-z0-9_.:-]+)*", re.ASCII)


@dataclass(frozen=True)
class NewStorage:
    """What is made for a container; `problems`: why something cannot be, each with what to do.

    `places`: where ZFS is going to mount the datasets, by the names that the fleet file has.
    """

    datasets: tuple[Dataset, ...] = ()
    folders: tuple[Folder, ...] = ()
    places: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()


def plan_storage(draft: Draft, storage: ObservedStorage, stock: ObservedStock) -> NewStorage:
    """What has to be made for the mounts of a container; what is there stays as it is."""
    datasets, folders, places, problems = [], [], [], []
    for mount in draft.container.mounts:
        source = mount.source_on(storage.datasets)
        if storage.has(source):
            continue
        if why := storage.silent.get(source):
            text = f"{mount.origin}: {source} gives no answer ({why})"
            problems.append((text, "mount it, or take it out"))
            continue
        inside = mount.owner or (0, 0)
        owner = owner_on_node(draft.mapped, *inside)
        name = _dataset(mount, stock)
        if owner is None:
            text = f"{mount.origin}: its id maps have none for owner {owner_words(inside)}"
            problems.append((text, "name one that they map, or map it with id_maps"))
        elif name is None or mount.dataset is None:
            folders.append(Folder(source, owner))
        elif problem := _problem(mount, name, stock):
            problems.append(problem)
        else:
            datasets.append(Dataset(name, mount.quota, owner))
            places.append((mount.dataset, _place(name, storage)))
    return NewStorage(tuple(datasets), tuple(folders), tuple(places), tuple(problems))


def _problem(mount: Mount, name: str, stock: ObservedStock) -> tuple[str, str] | None:
    pool = name.partition("/")[0]
    if pool not in stock.pools:
        text = f"there is no ZFS pool {pool} on this node, and no folder {mount.source}"
        return f"{mount.origin}: {text}", "name a pool (zpool list), or make the folder"
    if not _NEW_DATASET.fullmatch(name):
        text = f"{mount.origin}: {name} is no name for a dataset that is made"
        return text, "letters, digits and _ . : - between slashes"
    return None


def _dataset(mount: Mount, stock: ObservedStock) -> str | None:
    """The dataset that is meant, None for a folder: its pool may be a storage of Proxmox's."""
    name = mount.dataset
    if name is None:
        return None
    pool, _, rest = name.partition("/")
    storage = stock.storages.get(pool)
    if pool in stock.pools or storage is None or not storage.pool:
        return name
    return f"{storage.pool}/{rest}"


def _place(name: str, storage: ObservedStorage) -> str:
    """Where ZFS is going to mount a new dataset: below what is above it."""
    parts = name.split("/")
    for length in range(len(parts) - 1, 0, -1):
        if place := storage.datasets.get("/".join(parts[:length])):
            return "/".join([place.rstrip("/"), *parts[length:]])
    return f"/{name}"
