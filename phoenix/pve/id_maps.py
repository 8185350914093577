"""Which ids of the node the users of a container have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phoenix.pve.conf import PveConf

#: What Proxmox maps an unprivileged container to (pve-container LXC.pm, parse_id_maps).
FIRST, COUNT = 100_000, 65_536

KEY = "lxc.idmap"


def owner_on_node(conf: PveConf, uid: int, gid: int) -> tuple[int, int] | None:
    """A user and a group of a container as the node counts them; None: the node has none for them.

    Lines of its own take the place of Proxmox's map.

    >>> owner_on_node(PveConf.parse("unprivileged: 1\\n"), 33, 33)
    (100033, 100033)
    >>> owner_on_node(PveConf.parse("arch: amd64\\n"), 33, 33)
    (33, 33)
    """
    user, group = _on_node(conf, "u", uid), _on_node(conf, "g", gid)
    return None if user is None or group is None else (user, group)


def map_flaw(lines: Iterable[str]) -> str:
    """Why the kernel would refuse these maps, values of `lxc.idmap`, "" where it would not.

    It takes no number twice, on either side, and none beyond 32 bits (user_namespaces(7)).

    >>> map_flaw(["u 0 100000 65536", "u 5 200000 10"])
    'u 5 200000 10: 5 is in u 0 100000 65536 already'
    """
    taken: list[tuple[str, int, int, int]] = []
    for entry in _split(lines):
        kind, inside, outside, count = entry
        line = _line(entry)
        if count == 0 or max(inside, outside) + count > 2**32 - 1:
            return f"{line}: an id is a number below {2**32 - 1}"
        for other in taken:
            if kind != other[0] and "b" not in (kind, other[0]):
                continue
            for mine, its in ((inside, other[1]), (outside, other[2])):
                first = max(mine, its)
                if first < min(mine + count, its + other[3]):
                    return f"{line}: {first} is in {_line(other)} already"
        taken.append(entry)
    return ""


def owner_words(owner: tuple[int, int] | None) -> str:
    """A user and a group as `chown` takes them; nobody for None."""
    return "nobody" if owner is None else f"{owner[0]}:{owner[1]}"


def _on_node(conf: PveConf, kind: str, number: int) -> int | None:
    entries = [*_entries(conf)]
    if not entries:
        if not conf.unprivileged:
            return number
        return FIRST + number if number < COUNT else None
    for its, inside, outside, count in entries:
        # b: both (lxc, src/lxc/confile_utils.c parse_idmaps)
        if its in (kind, "b") and inside <= number < inside + count:
            return outside + number - inside
    return None


def _entries(conf: PveConf) -> Iterator[tuple[str, int, int, int]]:
    return _split(conf.main.raw(KEY))


def _line(entry: tuple[str, int, int, int]) -> str:
    return " ".join(map(str, entry))


def _split(lines: Iterable[str]) -> Iterator[tuple[str, int, int, int]]:
    for value in lines:
        words = value.strip("'\" \t").split()
        if len(words) == 4 and all(word.isdecimal() for word in words[1:]):
            yield words[0], int(words[1]), int(words[2]), int(words[3])
