"""snapshot, rollback and delsnapshot (PVE::AbstractConfig snapshot_create and its neighbours)."""

from __future__ import annotations

import contextlib
import re
import time

from . import container, disks, node, schema
from .conf import Conf, Section, load, locked, save
from .node import PctError
from .storage import NO_SNAPSHOTS, parsed, run

_NOT_COPIED = re.compile(r"snapstate|snaptime|vmstate|lock|digest|description|unused\d+")


def snapshot(ctid: str, name: str, description: str | None) -> None:
    """Freeze the container's conf and its volumes under that name."""
    if name in ("current", "vzdump"):
        raise PctError(f"unable to use snapshot name '{name}' (reserved name)")
    load(ctid)
    node.enter_task()
    with locked(ctid):
        _prepare(load(ctid), name, description)
    frozen: list[str] = []
    try:
        with _frozen(ctid):
            for key, volid in disks.volumes(load(ctid).snapshots[name]).items():
                storage, volume = parsed(volid)
                storage.snapshot(volume, name)
                frozen.append(key)
    except (PctError, OSError):
        node.warn("snapshot create failed: starting cleanup")
        _delete(ctid, name, frozen)
        raise
    with locked(ctid):
        conf = load(ctid)
        conf.snapshots[name].options.pop("snapstate", None)
        conf.options.pop("lock", None)
        conf.options["parent"] = name
        save(conf)


def _prepare(conf: Conf, name: str, description: str | None) -> None:
    if schema.truth(conf.get("template")):
        raise PctError("you can't take a snapshot if it's a template")
    conf.check_lock()
    if name in conf.snapshots:
        raise PctError(f"snapshot name '{name}' already used")
    points = disks.mount_points(conf)
    volumes = disks.volumes(conf)
    if len(points) > len(volumes) or not all(
        parsed(volid)[0].has_snapshots for volid in volumes.values()
    ):
        raise PctError(NO_SNAPSHOTS)
    taken = conf.snapshots[name] = Section()
    _copy(conf, taken)
    taken.options |= {"snapstate": "prepare", "snaptime": str(int(time.time()))}
    if description:
        taken.options["description"] = description
    conf.options["lock"] = "snapshot"
    save(conf)


def _copy(source: Section, target: Section) -> None:
    """What a snapshot keeps of a section, and what a rollback takes back (copy_config)."""
    target.options |= {
        key: value for key, value in source.options.items() if not _NOT_COPIED.fullmatch(key)
    }
    target.raw = [*source.raw]
    target.env = [*source.env]


@contextlib.contextmanager
def _frozen(ctid: str):  # type: ignore[no-untyped-def]
    """Nothing is written to a running container's image meanwhile."""
    rootfs = node.path(f"/var/lib/lxc/{ctid}/rootfs")
    volumes = [parsed(volid) for volid in disks.volumes(load(ctid)).values()]
    needed = ctid in node.running() and any(at.is_raw(volume) for at, volume in volumes)
    if needed:
        run("fsfreeze", "--freeze", rootfs)
    try:
        yield
    finally:
        if needed:
            run("fsfreeze", "--unfreeze", rootfs)


def delete(ctid: str, name: str, *, force: bool) -> None:
    """Forget a snapshot; `force`: even if a volume's cannot be removed."""
    if name not in load(ctid).snapshots:
        raise PctError(f"snapshot '{name}' does not exist")
    node.enter_task()
    with locked(ctid):
        conf = load(ctid)
        conf.check_lock()
        if schema.truth(conf.get("template")):
            raise PctError("you can't delete a snapshot if vm is a template")
        conf.options["lock"] = "snapshot-delete"
        conf.snapshots[name].options["snapstate"] = "delete"
        save(conf)
    _delete(ctid, name, [*disks.volumes(load(ctid).snapshots[name])], force=force)


def _delete(ctid: str, name: str, keys: list[str], *, force: bool = True) -> None:
    """Remove the volumes' snapshots behind these keys, then what the conf says of it."""
    for key, volid in disks.volumes(load(ctid).snapshots[name]).items():
        storage, volume = parsed(volid)
        try:
            if key in keys:
                storage.delete_snapshot(volume, name)
        except (PctError, OSError) as why:
            if not force:
                raise
            node.warn(str(why))
    with locked(ctid):
        conf = load(ctid)
        gone = conf.snapshots.pop(name)
        for section in (conf, *conf.snapshots.values()):
            if section.get("parent") == name:
                section.options.pop("parent")
                if (parent := gone.get("parent")) is not None:
                    section.options["parent"] = parent
        conf.options.pop("lock", None)
        used = disks.volumes(conf).values()
        for volid in disks.volumes(gone).values():
            if volid not in used:
                disks.add_unused(conf, volid)
        save(conf)


def roll_back(ctid: str, name: str, *, start: bool) -> None:
    """Give conf and volumes the state of a snapshot; a running container is stopped for that."""
    load(ctid)
    node.enter_task()
    with locked(ctid):
        conf = load(ctid)
        taken = _complete(conf, name)
        for volid in disks.volumes(taken).values():
            storage, volume = parsed(volid)
            storage.check_rollback(volume, name)
        conf.check_lock()
        if ctid in node.running():
            container.kill(ctid)
        conf.options["lock"] = "rollback"
        save(conf)
    for volid in disks.volumes(taken).values():
        storage, volume = parsed(volid)
        storage.roll_back(volume, name)
    with locked(ctid):
        conf = load(ctid)
        save(_rolled_back(conf, _complete(conf, name), name))
    if start:
        container.start(ctid)


def _complete(conf: Conf, name: str) -> Section:
    """That snapshot, or the refusal."""
    if schema.truth(conf.get("template")):
        raise PctError("you can't rollback if vm is a template")
    taken = conf.snapshots.get(name)
    if taken is None:
        raise PctError(f"snapshot '{name}' does not exist")
    if (state := taken.get("snapstate")) is not None:
        raise PctError(f"unable to rollback to incomplete snapshot (snapstate = {state})")
    return taken


def _rolled_back(conf: Conf, taken: Section, name: str) -> Conf:
    """The conf with a snapshot's options, its own description and unused volumes."""
    before = disks.volumes(conf).values()
    conf.options = {
        key: value
        for key, value in conf.options.items()
        if key == "description" or re.fullmatch(r"unused\d+", key)
    }
    _copy(taken, conf)
    conf.pending = Section()
    conf.options["parent"] = name
    for volid in before:
        if volid not in disks.volumes(taken).values():
            disks.add_unused(conf, volid)
    return conf
