"""The members of a cluster, as one of its nodes knows them (pmxcfs, status.c and Setup.pm).

    {"nodename": "pve1", "version": 4,
     "cluster": {"name": "home", "version": 3, "nodes": 2, "quorate": 1},
     "nodelist": {"pve1": {"id": 1, "online": 1, "ip": "192.0.2.11"}, ...}}

A node that is in no cluster has neither `cluster` nor `nodelist`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

# pve-common JSONSchema.pm, `pve-node`
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,251}[a-zA-Z0-9])?")
_KEY = re.compile(r"(?:ssh|ecdsa)-[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,16384}={0,3}")


class ClusterError(ValueError):
    """What a node says of its cluster is not understood; the text says why."""


@dataclass(frozen=True)
class Member:
    """A node of a cluster.

    `address`: where its cluster reaches it by ssh, "" where that is not known: one that was never
    there since the others started; `keys`: of its host, each its type and the key in base64.
    """

    name: str
    online: bool
    address: str = ""
    keys: tuple[str, ...] = ()

    def known_hosts(self, *more: str) -> str:
        """Its lines in sshd(8)'s format, by name, address and `more`; "" without a key."""
        names = ",".join(dict.fromkeys(filter(None, (self.name, self.address, *more))))
        return "".join(f"{names} {key}\n" for key in self.keys)


@dataclass(frozen=True)
class Cluster:
    """What one node says of all: `node` is its own name; alone it is the only member."""

    node: str
    members: tuple[Member, ...]

    @property
    def offline(self) -> tuple[str, ...]:
        """Those that their cluster does not see, or cannot say where they are."""
        return tuple(one.name for one in self.members if one not in self.within_reach)

    @property
    def within_reach(self) -> tuple[Member, ...]:
        """Those that can be asked: online, with an address; the node that said all this has one."""
        return tuple(
            one for one in self.members if one.online and (one.address or one.name == self.node)
        )


def cluster_from_json(data: Mapping[str, Any]) -> Cluster:
    """Read the section `cluster` of a node's answer (`node.cluster`). Raises ClusterError."""
    if data["members"] is None:
        raise ClusterError("it has no /etc/pve/.members: is pve-cluster running?")
    try:
        said = json.loads(data["members"])
        node, listed = _name(said["nodename"]), said.get("nodelist", {})
        members = [_member(name, one, data["known"]) for name, one in listed.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ClusterError(f"its /etc/pve/.members is not understood: {error}") from None
    if not members:
        members = [Member(node, online=True)]
    elif node not in {one.name for one in members}:
        raise ClusterError("its /etc/pve/.members does not list the node itself")
    return Cluster(node, tuple(sorted(members, key=lambda one: one.name)))


def _member(name: str, said: Mapping[str, Any], known: Mapping[str, str | None]) -> Member:
    address = str(ip_address(said["ip"])) if said.get("ip") else ""
    found = [*_keys(known.get(name), (name,))]
    if not found:
        found = [*_keys(known.get(""), (name.lower(), address))]
    return Member(_name(name), said["online"] == 1, address, tuple(dict.fromkeys(found)))


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a node has an odd name")
    return name


def _keys(text: str | None, names: tuple[str, ...]) -> Iterator[str]:
    """The keys of a host in a text of known_hosts; lines that hide whose they are do not count."""
    for line in (text or "").splitlines():
        hosts, _, key = line.strip().partition(" ")
        # a comment may follow
        key = " ".join(key.split()[:2])
        if {*names} & {*hosts.split(",")} - {""} and _KEY.fullmatch(key):
            yield key
