"""create and restore: a container out of a template's or a backup's archive (PVE::API2::LXC)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess

from . import change, container, disks, guest, node, schema
from .conf import Conf, Section, file_of, load, locked, parse, save
from .node import PctError
from .storage import Storage, for_disks, holds_disks, is_volume, parsed, run, size_of, size_text

_NOT_RESTORED = re.compile(r"rootfs|unprivileged|parent|template|lock|mp\d+|unused\d+")
_COMPRESSION = {"gz": "-z", "bz2": "-j", "xz": "-J", "lzo": "--lzop", "zst": "--zstd"}
_UNPACK = (
    *("--totals", "--one-file-system", "-p", "--sparse", "--numeric-owner", "--acls", "--xattrs"),
    *("--xattrs-include=user.*", "--xattrs-include=security.capability"),
    *("--warning=no-file-ignored", "--warning=no-xattr-write"),
)


def create(ctid: str, archive: str, options: dict[str, str], *, restore: bool = False) -> None:
    """Make the container that the options describe out of an archive; `restore`: of a backup."""
    given = {key: value for key, value in options.items() if schema.option(key)}
    given.pop("unprivileged", None)
    restore = restore or schema.truth(options.get("restore"))
    overwrite = restore and schema.truth(options.get("force")) and os.path.exists(file_of(ctid))
    if not overwrite:
        check_unused(ctid)
    else:
        if ctid in node.running():
            raise PctError("can't overwrite running container")
        protect(load(ctid), f"unable to restore CT {ctid}")
    unprivileged = options.get("unprivileged", None if restore else "1")
    made = _Made(ctid, options.get("storage", "local"), restore=restore)
    made.take(given, unprivileged)
    with _prefix(made.failure):
        lock_new(ctid, allow_existing=overwrite)
    node.enter_task()
    on_signals()
    with _prefix(made.failure):
        made.make(archive)
    if schema.truth(options.get("start")):
        container.start(ctid)


def check_unused(ctid: str) -> None:
    """Refuse a number that a container or VM of any node has (PVE::Cluster check_vmid_unused)."""
    nodes = node.path("/etc/pve/nodes")
    places = [
        (name, f"{nodes}/{name}") for name in (os.listdir(nodes) if os.path.isdir(nodes) else [])
    ]
    for name, place in [*places, (node.name(), node.path("/etc/pve"))]:
        for kind, folder in (("CT", "lxc"), ("VM", "qemu-server")):
            if os.path.exists(f"{place}/{folder}/{ctid}.conf"):
                raise PctError(f"{kind} {ctid} already exists on node '{name}'")


def lock_new(ctid: str, *, allow_existing: bool = False) -> None:
    """Begin a conf, which says no more than that its container is being made."""
    with locked(ctid):
        if not allow_existing:
            check_unused(ctid)
        conf = load(ctid) if os.path.exists(file_of(ctid)) else Conf(ctid, b"")
        conf.check_lock()
        conf.options["lock"] = "create"
        save(conf)


def protect(conf: Conf, text: str) -> None:
    """Refuse what `protection: 1` is there against."""
    if schema.truth(conf.get("protection")):
        raise PctError(f"{text} - protection mode enabled")


def on_signals() -> None:
    """Fail of a signal, so that what was made is taken back (PVE::RESTEnvironment fork_worker)."""

    def fail(*_: object) -> None:
        raise PctError("received interrupt")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, fail)


@contextlib.contextmanager
def _prefix(text: str):  # type: ignore[no-untyped-def]
    try:
        yield
    except PctError as why:
        raise PctError(f"{text} {why}") from None


class _Made:
    """A container that is being made."""

    def __init__(self, ctid: str, storage: str, *, restore: bool) -> None:
        self.ctid = ctid
        self.storage = storage
        self.restore = restore
        self.failure = f"unable to {'restore' if restore else 'create'} CT {ctid} -"
        self.conf = Conf(ctid, b"")
        self.points: dict[str, str] = {}
        self.delayed: dict[str, str] = {}
        self.volumes: list[tuple[Storage, str]] = []

    def take(self, given: dict[str, str], unprivileged: str | None) -> None:
        """What the options say, checked as far as that needs no archive."""
        plain: dict[str, str] = {}
        for key, value in given.items():
            if re.fullmatch(r"rootfs|mp\d+", key):
                number = re.fullmatch(r"\d+(\.\d+)?", value)
                self.points[key] = f"{self.storage}:{value}" if number else value
            elif re.fullmatch(r"unused\d+", key):
                node.warn(f"ignoring '{key}', cannot create/restore with unused volume")
            else:
                plain[key] = value
        if self.points and "rootfs" not in self.points:
            raise PctError("mount points configured, but 'rootfs' not set - aborting")
        for key, value in self.points.items():
            volume = disks.parts_of(key, value)["volume"]
            if is_volume(volume):
                _check_storage(volume.partition(":")[0])
        if not self.points:
            _check_storage(self.storage)
        change.apply(self.conf, plain, [], [], running=False)
        if schema.truth(unprivileged):
            self.conf.options["unprivileged"] = "1"
        self.says_unprivileged = unprivileged is not None

    def make(self, archive: str) -> None:
        """All of it, or nothing."""
        with locked(self.ctid):
            old = load(self.ctid)
            changed = not self.restore or len(old.options) == 1
            try:
                backup = self._recover(archive) if self.restore else None
                self._choose_disks(backup)
                changed = True
                self._allocate()
                if len(old.options) > 1:
                    self._replace(old)
                self._fill(archive, backup)
                save(self.conf)
            except (PctError, OSError) as why:
                self._take_back(old, changed=changed)
                raise PctError(str(why)) from None

    def _recover(self, archive: str) -> Conf:
        """The conf in a backup; what the container's ids depend on is taken from it at once."""
        print(f"recovering backed-up configuration from '{archive}'", flush=True)
        how, path = _archive(archive)
        content = run("tar", "-xO", *how, "-f", path, "./etc/vzdump/pct.conf")
        backup = parse(self.ctid, content.encode())
        self.conf.raw = [*backup.raw]
        if not self.says_unprivileged and schema.truth(backup.get("unprivileged")):
            self.conf.options["unprivileged"] = "1"
        return backup

    def _choose_disks(self, backup: Section | None) -> None:
        """Where none are given: a backup's own ones on the chosen storage, else 4 GiB."""
        if self.points:
            return
        if backup is None:
            self.points["rootfs"] = f"{self.storage}:4"
            return
        for key, point in disks.mount_points(backup).items():
            if not is_volume(point["volume"]):
                self.delayed[key] = disks.text_of(point)
                continue
            if "size" not in point:
                raise PctError(f"unable to detect disk size - please specify {key} (size)")
            gib = size_of(point.pop("size")) / 1024**3
            self.points[key] = disks.text_of(point | {"volume": f"{self.storage}:{gib:g}"})

    def _allocate(self) -> None:
        owner = disks.root_owner(self.conf)
        for key, value in self.points.items():
            point = disks.parts_of(key, value)
            name, _, size = point["volume"].partition(":")
            if re.fullmatch(r"\d+(\.\d+)?", size):
                storage = for_disks(name)
                kib = int(float(size) * 1024) * 1024
                # no image can be mounted for a container here, but for its rootfs
                volume = storage.allocate(self.ctid, kib if key == "rootfs" else 0, owner)
                self.volumes.append((storage, volume))
                point |= {"volume": f"{name}:{volume}", "size": size_text(kib * 1024)}
            self.conf.options[key] = disks.text_of(point)

    def _replace(self, old: Conf) -> None:
        """Remove the container whose place a restored one takes."""
        from .destroy import remove

        remove(old)
        only_locked = Conf(self.ctid, b"")
        only_locked.options["lock"] = "create"
        save(only_locked)

    def _fill(self, archive: str, backup: Conf | None) -> None:
        rootfs = mount(self.conf)
        try:
            if backup:
                print(f"restoring '{archive}' now..", flush=True)
            self._unpack(archive, rootfs)
            if backup:
                print("merging backed-up and given configuration..", flush=True)
                self._merge(backup)
                _forget(rootfs)
            else:
                system = guest.Guest(self.conf, rootfs)
                save(self.conf)
                system.set_up()
        finally:
            unmount(self.conf)
        for key, value in (("hostname", f"CT{self.ctid}"), ("memory", "512"), ("swap", "512")):
            self.conf.options.setdefault(key, value)
        self.conf.options |= self.delayed

    def _unpack(self, archive: str, rootfs: str) -> None:
        how, path = _archive(archive)
        print(f"extracting archive '{path}'", flush=True)
        command = [*container.as_root_of(self.conf), "tar", "xpf", "-", *how, *_UNPACK]
        command += ["-C", rootfs, "--skip-old-files", "--anchored", "--exclude", "./dev/*"]
        with open(path, "rb") as content:
            done = subprocess.run(command, stdin=content, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            text = " ".join(command)
            raise PctError(f"command '{text}' failed: exit code {done.returncode}")

    def _merge(self, backup: Conf) -> None:
        for key, value in backup.options.items():
            if not _NOT_RESTORED.fullmatch(key):
                self.conf.options.setdefault(key, value)
        self.conf.env = [*backup.env]

    def _take_back(self, old: Conf, *, changed: bool) -> None:
        for storage, volume in self.volumes:
            with contextlib.suppress(PctError, OSError):
                storage.free(volume)
        if changed:
            os.unlink(file_of(self.ctid))
        else:
            old.options.pop("lock", None)
            save(old)


def _check_storage(name: str) -> None:
    if not holds_disks(for_disks(name)):
        problem = f"storage: storage '{name}' does not support container directories"
        raise PctError(f"400 Parameter verification failed.\n{problem}\n", 255)


def _archive(archive: str) -> tuple[list[str], str]:
    """How tar unpacks it, and where it is; refused if it is not there, or not what it must be."""
    path = archive
    if is_volume(archive):
        storage, volume = parsed(archive)
        kind, _, name = volume.partition("/")
        folder = {"vztmpl": "template/cache", "backup": "dump"}.get(kind)
        if folder is None or not name or "/" in name:
            raise PctError(f"unable to parse directory volume name '{volume}'")
        path = node.path(f"{storage.settings.get('path', '')}/{folder}/{name}")
        if not os.path.exists(path):
            raise PctError(f"volume '{archive}' does not exist")
    elif not os.path.isfile(path):
        raise PctError(f"can't find file '{archive}'")
    ending = re.search(r"\.tar(?:\.([^.]+))?$", path)
    if not ending:
        raise PctError(f"file does not look like a template archive: {path}")
    if ending[1] is None:
        return [], path
    if ending[1] not in _COMPRESSION:
        raise PctError(f"unrecognized compression format: .{ending[1]}")
    return [_COMPRESSION[ending[1]]], path


def mount(conf: Conf) -> str:
    """Mount the container's rootfs where it has it when it runs; that place."""
    from .lxcconf import directory

    unmount(conf)  # what a creation that was killed has left there
    rootfs = f"{directory(conf.ctid)}/rootfs"
    os.makedirs(node.path(rootfs), exist_ok=True)
    container.helper("mount-rootfs", conf.ctid, conf.options["rootfs"].partition(",")[0])
    return node.path(rootfs)


def unmount(conf: Conf) -> None:
    """Take that back."""
    container.helper("umount-rootfs", conf.ctid, conf.options["rootfs"].partition(",")[0])


def _forget(rootfs: str) -> None:
    """What a backup brought into the container with it."""
    run("rm", "-rf", f"{rootfs}/etc/vzdump")
