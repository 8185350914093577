"""What was refused, in words: the thing that a program was not let do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from phoenix.apparmor.advice import VARYING, is_file
from phoenix.apparmor.denials import Denial
from phoenix.text.printable import printable

# apparmor(7), the masks of files in the order in which people say them
_ACCESS = {
    "r": "read",
    "w": "write",
    "a": "append to",
    "c": "create",
    "d": "delete",
    "x": "execute",
    "m": "map as code",
    "l": "link",
    "k": "lock",
}
_TRACES = {
    "trace": "trace",
    "tracedby": "be traced by",
    "read": "read the memory of",
    "readby": "be read by",
}
# what a guest chooses freely: a blank in it could go on with a sentence of ours
_FREE = ("name", "srcname", "target", "peer")
_WORD = re.compile(r"[\w./@:+,=*%~#()\[\]<>&-]+")
# as Docker and podman have it; a guest may answer anything
_ENGINE_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)
# docker's folders of a container are called by its id (data root, containerd's image store)
_ENGINE_ID = re.compile(r"/(?:containers|rootfs/overlayfs)/([0-9a-f]{64})(?:/|$)")


def what(denial: Denial) -> str:
    """What was not allowed, as an infinitive: `read /srv/a`, `mount proc on /tmp/pp/`.

    Printable and bounded; what differs each time is a `*`.
    """
    fields = {name: VARYING.sub("*", value) for name, value in denial.fields.items()}
    fields |= {name: as_word(fields[name]) for name in _FREE if fields.get(name)}
    return printable(_say(fields, denial), 300)


def engine_container(denial: Denial) -> str:
    """What the engine's container is called in which it happened: its name, else its short id.

    By the owner that the node found, else by a path that has its id; "" where neither tells.
    """
    if denial.owner and _ENGINE_NAME.fullmatch(denial.owner.name):
        return denial.owner.name
    if denial.owner and denial.owner.engine_id:
        return printable(denial.owner.engine_id[:12])
    ids = (_ENGINE_ID.search(denial[name]) for name in ("name", "srcname", "target"))
    return next((found[1][:12] for found in ids if found), "")


def as_word(text: str) -> str:
    """A text of a guest's in a sentence of ours: in quotes where it could be taken for words."""
    if not text or _WORD.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _say(fields: Mapping[str, str], denial: Denial) -> str:
    operation, kind = fields.get("operation", ""), fields.get("class", "")
    if operation in _OPERATIONS:
        return _OPERATIONS[operation](fields)
    if is_file(denial.fields):
        return f"{_accesses(fields.get('requested_mask', '')) or operation} {fields['name']}"
    if kind == "net" or fields.get("family"):
        return _socket(fields)
    # the bus has checked the names in its messages
    subject = denial.subject if denial.of_bus else as_word(denial.subject)
    return " ".join(filter(None, (operation, subject)))


def _accesses(mask: str) -> str:
    """The words of a mask; a file that is created is of course written as well."""
    words = [word for letter, word in _ACCESS.items() if letter in mask]
    return " and ".join(word for word in words if not (word == "write" and "c" in mask))


def _mount(fields: Mapping[str, str]) -> str:
    source = fields.get("srcname") or fields.get("fstype") or "something"
    details = ", ".join(filter(None, (fields.get("fstype"), fields.get("flags"))))
    return f"mount {source} on {fields.get('name', '?')}{f' ({details})' if details else ''}"


def _socket(fields: Mapping[str, str]) -> str:
    thing = f"{fields.get('family', '')} {fields.get('sock_type', '')} socket"
    operation = fields.get("operation", "")
    return f"open a {thing}" if operation == "create" else f"{operation} on a {thing}"


def _signal(fields: Mapping[str, str]) -> str:
    sends = fields.get("requested_mask") != "receive"
    name, peer = fields.get("signal", "?"), fields.get("peer", "?")
    return f"send signal {name} to {peer}" if sends else f"receive signal {name} from {peer}"


def _ptrace(fields: Mapping[str, str]) -> str:
    mask = fields.get("requested_mask", "")
    return f"{_TRACES.get(mask, 'trace')} {fields.get('peer', '?')}"


def _profile(fields: Mapping[str, str]) -> str:
    return f"change to profile {fields.get('target') or fields.get('name', '?')}"


_OPERATIONS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "capable": lambda fields: f"use capability {fields.get('capname', '?')}",
    "mount": _mount,
    "umount": lambda fields: f"unmount {fields.get('name', '?')}",
    "pivotroot": lambda fields: f"make {fields.get('name', '?')} its root",
    "signal": _signal,
    "ptrace": _ptrace,
    "change_profile": _profile,
    "userns_create": lambda _: "create a user namespace",
}
