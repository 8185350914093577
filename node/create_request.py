"""`create.json`, what a container is made of: a closed form (`phoenix.plan.creation`)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from phoenix.pve.conf import PveConf

#: uid and gid on the node, None: root's.
Owner = Optional[tuple[int, int]]

_KEYS = frozenset(("pct", "raw", "datasets", "folders", "start", "snapshot", "install"))
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(?:=.*)?", re.DOTALL)
#: What would start it before it is confined, replace one that is there, take it to another node, or
#: speak where we do. An option may be shortened (Getopt::Long, which Proxmox reads them with).
_FORBIDDEN = ("description", "start", "force", "restore", "target", "template", "lock")
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*(?:/[A-Za-z0-9_.:-]+)*")
#: pve-common JSONSchema.pm, `pve-configid`.
_SNAPSHOT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")
_CTID = re.compile(r"[1-9][0-9]{2,8}")


@dataclass(frozen=True)
class Dataset:
    """A ZFS dataset; `quota`: bytes, None for none."""

    name: str
    quota: int | None
    owner: Owner


@dataclass(frozen=True)
class Folder:
    """A folder of the node."""

    path: str
    owner: Owner


@dataclass(frozen=True)
class CreateRequest:
    """What is to be made; `pct`: lists of words, `create` or `clone` first; `source`: of a clone.

    `install`: as `node.install` takes it.
    """

    pct: tuple[tuple[str, ...], ...]
    raw: tuple[tuple[str, str], ...]
    datasets: tuple[Dataset, ...]
    folders: tuple[Folder, ...]
    start: bool
    snapshot: str
    install: Mapping[str, Any] | None

    @property
    def source(self) -> int | None:
        """The container that is cloned, None where none is."""
        return int(self.pct[0][1]) if self.pct[0][0] == "clone" else None


def read_request(ctid: int, text: str) -> CreateRequest:
    """Read it. Raises ValueError where it is not of that form."""
    try:
        asked = json.loads(text)
    except RecursionError:
        raise ValueError("it is no JSON") from None
    if not isinstance(asked, dict) or asked.keys() != _KEYS:
        raise ValueError("its keys are not those of a container to make")
    install, start, snapshot = asked["install"], asked["start"], asked["snapshot"]
    if not isinstance(start, bool) or not isinstance(install, (dict, type(None))):
        raise ValueError("start is true or false, install an object or null")
    if not isinstance(snapshot, str) or (snapshot and not _SNAPSHOT.fullmatch(snapshot)):
        raise ValueError(f"{snapshot!r} is no name of a snapshot")
    return CreateRequest(
        pct=_pct(ctid, asked["pct"]),
        raw=_raw(asked["raw"]),
        datasets=tuple(_dataset(one) for one in _list(asked["datasets"])),
        folders=tuple(_folder(one) for one in _list(asked["folders"])),
        start=start,
        snapshot=snapshot,
        install=install,
    )


def _pct(ctid: int, asked: Any) -> tuple[tuple[str, ...], ...]:
    lists = tuple(tuple(_texts(words)) for words in _list(asked))
    if not lists:
        raise ValueError("pct makes nothing")
    for place, words in enumerate(lists):
        if place:
            well = words[:1] in (("set",), ("resize",)) and words[1:2] == (f"{ctid}",)
        elif words[:1] == ("clone",):
            well = bool(words[1:2]) and _CTID.fullmatch(words[1]) is not None
            well = well and words[1] != f"{ctid}" and words[2:3] == (f"{ctid}",)
        else:
            well = words[:2] == ("create", f"{ctid}")
        if not well:
            raise ValueError(f"pct {' '.join(words[:2])} does not make CT {ctid}")
        for word in words:
            _check_word(word)
    return lists


def _check_word(word: str) -> None:
    if not word.isprintable():
        raise ValueError(f"{word!r} is not printable")
    if not word.startswith("-"):
        return
    option = _OPTION.fullmatch(word)
    if option is None or any(one.startswith(option[1]) for one in _FORBIDDEN):
        raise ValueError(f"{word} is no option that a container is made with")


def _raw(asked: Any) -> tuple[tuple[str, str], ...]:
    found, conf = [], PveConf("")
    for pair in _list(asked):
        words = _texts(pair)
        if len(words) != 2:
            raise ValueError("a raw line is a key and a value")
        # raises ValueError for one that Proxmox would not read so
        conf.add_raw(words[0], words[1])
        found.append((words[0], words[1]))
    return tuple(found)


def _dataset(asked: Any) -> Dataset:
    name, quota = _object(asked, "name", "quota", "owner")[:2]
    if not isinstance(name, str) or not _DATASET.fullmatch(name):
        raise ValueError(f"{name!r} is no ZFS dataset")
    if quota is not None and (type(quota) is not int or quota <= 0):
        raise ValueError(f"{name}: quota {quota!r} is no number of bytes")
    return Dataset(name, quota, _owner(asked["owner"]))


def _folder(asked: Any) -> Folder:
    path = _object(asked, "path", "owner")[0]
    good = isinstance(path, str) and path.isprintable() and os.path.normpath(path) == path
    if not good or not path.startswith("/") or path.startswith("//") or path == "/":
        raise ValueError(f"{path!r} is no folder's path")
    return Folder(path, _owner(asked["owner"]))


def _owner(asked: Any) -> Owner:
    if asked is None:
        return None
    ids = _list(asked)
    # -1, as 32 bits, is no id
    if len(ids) != 2 or any(type(one) is not int or not 0 <= one < 2**32 - 1 for one in ids):
        raise ValueError(f"{asked!r} is no uid and gid")
    return ids[0], ids[1]


def _object(asked: Any, *keys: str) -> list[Any]:
    if not isinstance(asked, dict) or asked.keys() != {*keys}:
        raise ValueError(f"it is not of {', '.join(keys)}")
    return [asked[key] for key in keys]


def _list(asked: Any) -> list[Any]:
    if not isinstance(asked, list):
        raise ValueError(f"{asked!r} is no list")
    return asked


def _texts(asked: Any) -> list[str]:
    words = _list(asked)
    if not all(isinstance(one, str) for one in words):
        raise ValueError(f"{asked!r} is no list of texts")
    return words
