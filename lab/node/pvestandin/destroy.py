"""destroy: a container, its volumes and what names it (PVE::API2::LXC destroy_vm)."""

from __future__ import annotations

import contextlib
import os
import re

from . import container, disks, ha, node
from .conf import Conf, file_of, load, locked, save
from .create import protect
from .lxcconf import directory
from .node import PctError
from .storage import parsed, storages


def destroy(ctid: str, *, force: bool, purge: bool, unreferenced: bool) -> None:
    """Destroy a stopped container; `force`: a running one is stopped for that."""
    _check(load(ctid), purge=purge)
    if not force:
        _refuse_running(ctid)
    node.enter_task()
    with locked(ctid):
        conf = load(ctid)
        _check(conf, purge=purge)
        if ctid in node.running():
            if not force:
                _refuse_running(ctid)
            node.warn(f"forced to stop CT {ctid} before destroying!")
            container.kill(ctid)
        remove(conf)
        if unreferenced:
            for storage in storages().values():
                for volume in storage.volumes(ctid):
                    storage.free(volume)
        zombie = Conf(ctid, b"")
        zombie.options["lock"] = "destroyed"
        save(zombie)
        if purge:
            print(f"purging CT {ctid} from related configurations..")
            if ha.forget(ctid):
                print(f"NOTE: removed CT {ctid} from HA resource configuration.")
        os.unlink(file_of(ctid))


def _check(conf: Conf, *, purge: bool) -> None:
    protect(conf, f"can't remove CT {conf.ctid}")
    conf.check_lock()
    if not purge and ha.manages(conf.ctid):
        why = "used in HA resources and purge parameter not set."
        raise PctError(f"unable to remove CT {conf.ctid} - {why}")


def _refuse_running(ctid: str) -> None:
    if ctid in node.running():
        raise PctError(f"unable to destroy CT {ctid} - container is running")


def remove(conf: Conf) -> None:
    """Remove a container's volumes and its place among LXC's (destroy_lxc_container)."""
    container.helper("umount-rootfs", conf.ctid)
    for section in (conf, conf.pending):
        for volid in dict.fromkeys(disks.volumes(section, unused=True).values()):
            storage, volume = parsed(volid)
            owner = re.search(r"-(\d+)-", volume)
            if owner and owner[1] == conf.ctid:
                storage.free(volume)
    place = node.path(directory(conf.ctid))
    for what, where in ((os.rmdir, "/rootfs"), (os.unlink, "/config"), (os.rmdir, "")):
        # what else is there stays, and so does the folder then
        with contextlib.suppress(OSError):
            what(place + where)
