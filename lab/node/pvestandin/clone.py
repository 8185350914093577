"""clone, template and resize (PVE::API2::LXC clone_vm, template, resize_vm)."""

from __future__ import annotations

import contextlib
import os
import re

from . import change, create, disks, guest, lxcconf, node, schema
from .conf import Conf, Section, file_of, load, locked, save
from .node import PctError
from .storage import (
    Storage,
    copy_folder,
    copy_image,
    for_disks,
    is_volume,
    parsed,
    size_of,
    size_text,
)

_NOT_CLONED = re.compile(r"lock|parent|snaptime|snapstate|template|unused\d+")


def clone(ctid: str, newid: str, options: dict[str, str]) -> None:
    """Copy a container: of a template all of it with `full` only, of others always."""
    if (chosen := options.get("storage")) is not None:
        for_disks(chosen)
    with locked(ctid):
        source = load(ctid)
        source.check_lock()
        source.options["lock"] = "disk"
        save(source)
    try:
        create.lock_new(newid)
        try:
            new, copies = _planned(load(ctid), newid, options)
            with locked(newid):
                save(new)
            node.enter_task()
            create.on_signals()
            _copy(ctid, new, copies, options)
        except BaseException:
            os.unlink(file_of(newid))
            raise
    finally:
        _unlock(ctid)
    _unlock(newid)


def _unlock(ctid: str) -> None:
    with locked(ctid):
        conf = load(ctid)
        conf.options.pop("lock", None)
        save(conf)


def _planned(source: Conf, newid: str, options: dict[str, str]) -> tuple[Conf, dict[str, bool]]:
    """The new conf without its volumes, and for each volume whether all of it is copied."""
    full = schema.truth(options.get("full", "0" if _is_template(source) else "1"))
    if "storage" in options and not full:
        raise PctError("parameter 'storage' not allowed for linked clones")
    taken: Section = source
    if (name := options.get("snapname")) is not None:
        if name not in source.snapshots:
            raise PctError(f"snapshot '{name}' does not exist")
        taken = source.snapshots[name]
    new = Conf(newid, b"")
    copies: dict[str, bool] = {}
    for key in sorted(taken.options):
        value = taken.options[key]
        if re.fullmatch(r"rootfs|mp\d+", key):
            _check_volume(source, key, value, full=full, snapshot=name)
            copies[key] = full
        elif re.fullmatch(r"net\d+", key):
            new.options[key] = change.network(value, new_address=True)
        elif not _NOT_CLONED.fullmatch(key):
            new.options[key] = value
    new.raw, new.env = [*taken.raw], [*taken.env]
    new.options["lock"] = "create"
    for key in ("hostname", "description"):
        if options.get(key):
            new.options[key] = options[key]
    return new, copies


def _check_volume(source: Conf, key: str, value: str, *, full: bool, snapshot: str | None) -> None:
    volid = disks.parts_of(key, value)["volume"]
    if not is_volume(volid):
        kind = "device" if volid.startswith("/dev/") else "bind"
        raise PctError(f"unable to clone mountpoint '{key}' (type {kind})")
    storage, volume = parsed(volid)
    if full and source.ctid in node.running() and snapshot is None:
        raise PctError("Full clone of a running container is only possible from a snapshot")
    # a directory's linked clone would be a qcow2 file
    is_base = re.search(r"(?:^|/)base(?:vol)?-", volume)
    if not full and not (storage.has_snapshots and (is_base or snapshot)):
        raise PctError(f"Linked clone feature for '{volid}' is not available")


def _copy(ctid: str, new: Conf, copies: dict[str, bool], options: dict[str, str]) -> None:
    name = options.get("snapname")
    print(f"creating a clone of container {ctid} with ID {new.ctid}", flush=True)
    source = load(ctid)
    taken = source.snapshots[name] if name is not None else source
    made: list[tuple[Storage, str]] = []
    try:
        for key, full in copies.items():
            point = disks.parts_of(key, taken.options[key])
            volid = point["volume"]
            if full:
                print(f"create full clone of mountpoint {key} ({volid})", flush=True)
            else:
                print(f"create linked clone of mount point {key} ({volid})", flush=True)
            target = for_disks(options.get("storage", volid.partition(":")[0]))
            volume = _copy_volume(volid, name, point, target, new, made)
            point["volume"] = f"{target.name}:{volume}"
            new.options[key] = disks.text_of(point)
            with locked(new.ctid):
                save(new)
        rootfs = create.mount(new)
        try:
            system = guest.Guest(new, rootfs)
            if new.get("ostype") != "unmanaged":
                # the real one writes the name at each start
                system.name()
                system.forget_machine()
        finally:
            create.unmount(new)
    except (PctError, OSError) as why:
        for storage, volume in made:
            with contextlib.suppress(PctError, OSError):
                storage.free(volume)
        raise PctError(f"clone failed: {why}") from None


def _copy_volume(
    volid: str,
    snapshot: str | None,
    point: dict[str, str],
    target: Storage,
    new: Conf,
    made: list[tuple[Storage, str]],
) -> str:
    storage, volume = parsed(volid)
    origin = storage.image(volume) if snapshot is None else storage.frozen(volume, snapshot)
    raw = storage.is_raw(volume)
    if not os.path.exists(node.path(origin)):
        raise PctError(f"volume '{volid}' does not exist")
    kib = size_of(point.get("size", "0T")) // 1024 if raw or target.has_snapshots else 0
    copied = target.allocate(new.ctid, kib, disks.root_owner(new))
    made.append((target, copied))
    if raw != target.is_raw(copied):
        raise PctError("the stand-in copies no image into a folder, and no folder into an image")
    copy = copy_image if raw else copy_folder
    copy(node.path(origin), node.path(target.image(copied)))
    return copied


def template(ctid: str) -> None:
    """Turn a stopped container into a template."""
    with locked(ctid):
        conf = load(ctid)
        conf.check_lock()
        if conf.snapshots:
            raise PctError("unable to create template, because CT contains snapshots")
        if _is_template(conf):
            raise PctError("you can't convert a template to a template")
        if ctid in node.running():
            raise PctError("you can't convert a CT to template if the CT is running")
        volumes = disks.volumes(conf)
        for key, point in disks.mount_points(conf).items():
            if key not in volumes:
                raise PctError(f"Template feature is not available for '{point['volume']}'")
        node.enter_task()
        for key, volid in volumes.items():
            storage, volume = parsed(volid)
            base = f"{storage.name}:{storage.make_base(volume)}"
            point = disks.parts_of(key, conf.options[key]) | {"volume": base}
            conf.options[key] = disks.text_of(point)
        conf.options["template"] = "1"
        lxcconf.update(save(conf))


def resize(ctid: str, key: str, size: str) -> None:
    """Make a volume larger: to that size, with `+` by it."""
    _larger(load(ctid), key, size)
    node.enter_task()
    with locked(ctid):
        conf = load(ctid)
        point, new = _larger(conf, key, size)
        storage, volume = parsed(point["volume"])
        storage.grow(volume, new)
        conf.options[key] = disks.text_of(point | {"size": size_text(new)})
        save(conf)


def _larger(conf: Conf, key: str, size: str) -> tuple[dict[str, str], int]:
    """The mount point, and the bytes that it is to have."""
    conf.check_lock()
    point = disks.mount_points(conf).get(key)
    if point is None or not is_volume(point["volume"]):
        raise PctError(f"unable to parse volume ID '{(point or {}).get('volume', '')}'")
    now = size_of(point.get("size", "0T"))
    new = size_of(size.removeprefix("+")) + (now if size.startswith("+") else 0)
    if new < now:
        raise PctError("unable to shrink disk size")
    if new == now:
        raise PctError("disk is already at specified size")
    return point, new


def _is_template(conf: Conf) -> bool:
    return schema.truth(conf.get("template"))
