"""A container that is to be made: its conf as Proxmox makes it, and what `pct` is told for that.

Of the conf what is known before is predicted: not its disk, not what Proxmox finds in the template.
Sources: pct(1); pve-container API2/LXC.pm, create_vm and clone_vm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from phoenix.fleet.model import Container, Making
from phoenix.fleet.new_values import hostname_of
from phoenix.plan.clones import Source
from phoenix.plan.confinement import PROFILE_KEY
from phoenix.pve import property_string
from phoenix.pve.conf import PveConf
from phoenix.pve.id_maps import KEY
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer

#: GiB of a disk of which the file does not say how large it is: as Proxmox's own dialog proposes.
DEFAULT_SIZE = 8

#: What a clone has of its source and shall not: a protected one could not be taken away again.
_NOT_KEPT = ("protection",)

_DEVICE = re.compile(r"dev[0-9]+")
#: As Proxmox's own templates are called: NAME_VERSION_ARCH.tar.zst.
_ARCH = re.compile(r"_(amd64|arm64|armhf|i386|riscv32|riscv64)\.(?:tar|tgz)")


@dataclass(frozen=True)
class Draft:
    """A container before the planner has had its say; `conf`: without features and devices."""

    container: Container
    conf: PveConf
    source: Source | None = None
    notes: tuple[str, ...] = ()

    @property
    def ctid(self) -> int:
        """Its number."""
        return self.container.ctid

    @property
    def mapped(self) -> PveConf:
        """With the maps of ids that it is going to have."""
        conf = self.conf
        for raw in self.container.raw:
            conf = conf.add_raw(raw.key, raw.value) if raw.key == KEY else conf
        return conf

    @property
    def size(self) -> float | None:
        """GiB of its disk, None where that is not known."""
        mine, source = self.container.making.size, self.source
        if source is None:
            return mine or DEFAULT_SIZE
        if mine is None or source.size is None:
            return source.size
        return max(mine, source.size)

    def observed(self, node: str) -> ObservedContainer:
        """As if it were there: stopped, with what runs of ours brought into its source.

        Before its first start nothing confines it: so there is always something to plan.
        """
        managed = self.source.managed if self.source else None
        if managed is not None:
            managed = replace(Managed.parse(managed), profile="").render()
        return ObservedContainer(
            self.ctid,
            self.conf.set_raw(PROFILE_KEY, "unconfined"),
            False,
            None,
            None,
            None,
            node,
            managed=managed or None,
        )

    def pct(self, planned: PveConf) -> tuple[tuple[str, ...], ...]:
        """The argument lists, without `pct`; `planned`: its conf as the planner wants it."""
        if self.source is None:
            return (self._create(planned),)
        return (
            self._clone(self.source),
            *self._set(self.source, planned),
            *self._resize(self.source),
        )

    def _create(self, planned: PveConf) -> tuple[str, ...]:
        making = self.container.making
        options = {**_options(self.container)}
        disk = {"rootfs": f"{making.storage}:{making.size or DEFAULT_SIZE:.12g}"}
        options |= {**disk, "unprivileged": "1" if self.conf.unprivileged else "0"}
        options |= {key: planned.main[key] or "" for key in _ours(planned)}
        return ("create", str(self.ctid), making.template or "", *_words(options))

    def _clone(self, source: Source) -> tuple[str, ...]:
        making = self.container.making
        options = {"hostname": _hostname(self.container)}
        if source.snapshot:
            options["snapname"] = source.snapshot
        if source.full:
            options["full"] = "1"
            if making.storage:
                options["storage"] = making.storage
        return ("clone", str(source.ctid), str(self.ctid), *_words(options))

    def _set(self, source: Source, planned: PveConf) -> Iterator[tuple[str, ...]]:
        """What is otherwise than in the source."""
        options = _options(self.container)
        del options["hostname"]
        there, then = source.conf.main, planned.main
        options |= {key: then[key] or "" for key in _ours(planned) if then[key] != there[key]}
        gone = [
            key for key in (*_ours(source.conf), *_NOT_KEPT) if key in there and key not in then
        ]
        words = [*_words(options), *(("--delete", ",".join(gone)) if gone else ())]
        if words:
            yield ("set", str(self.ctid), *words)

    def _resize(self, source: Source) -> Iterator[tuple[str, ...]]:
        size = self.container.making.size
        # pct refuses a size that it has already, and one that is smaller
        if size and source.size and size > source.size:
            yield ("resize", str(self.ctid), "rootfs", f"{size:.12g}G")


def from_template(container: Container) -> Draft:
    """One that is made from a template."""
    conf = PveConf.parse("")
    values = _options(container)
    if found := _ARCH.search(container.making.template or ""):
        values["arch"] = found[1]
    if container.unprivileged is not False:
        values["unprivileged"] = "1"
    for key, value in values.items():
        conf = conf.set_key(key, value)
    return Draft(container, conf, notes=tuple(_name_notes(container)))


def from_source(container: Container, source: Source) -> Draft:
    """A clone."""
    conf = source.conf
    for key in _NOT_KEPT:
        conf = conf.drop_key(key)
    for key, value in _options(container).items():
        conf = conf.set_key(key, value)
    notes = [*_name_notes(container)]
    size = container.making.size
    if size and source.size is None:
        notes.append(
            f"storage_size_gb: the conf of CT {source.ctid} does not say how large its disk is: "
            "that of its clone is as large (pct resize makes it larger)"
        )
    elif size and source.size and size < source.size:
        notes.append(
            f"storage_size_gb: its disk is as large as that of CT {source.ctid}, "
            f"{source.size:.12g} GiB: a disk never shrinks"
        )
    kept = dict(_cards(source.conf))
    if container.making.network:
        kept.pop("net0", None)
    for key, value in kept.items():
        address = property_string.parse(value).get("ip", "")
        if "/" in address:
            how = "network_config gives it another" if key == "net0" else "pct set changes it"
            notes.append(f"{key} keeps the address {address} of CT {source.ctid}: {how}")
    return Draft(container, conf, source, tuple(notes))


def addresses(conf: PveConf) -> Iterator[tuple[str, str]]:
    """The addresses of a container's cards: `mac` or `ip`, and what it is."""
    for _, value in _cards(conf):
        options = property_string.parse(value)
        if mac := options.get("hwaddr"):
            yield "mac", mac.upper()
        for key in ("ip", "ip6"):
            address, slash, _ = options.get(key, "").partition("/")
            if slash:
                yield "ip", address


def wanted_addresses(making: Making) -> Iterator[tuple[str, str]]:
    """Those that the fleet file gives to a container."""
    network = making.network
    if network is None:
        return
    if making.mac:
        yield "mac", making.mac
    for given in (network.ip, network.ip6):
        address, slash, _ = (given or "").partition("/")
        if slash:
            yield "ip", address


def _cards(conf: PveConf) -> Iterator[tuple[str, str]]:
    for key in conf.main:
        if re.fullmatch(r"net[0-9]+", key):
            value = conf.main[key] or ""
            try:
                property_string.parse(value)
            except ValueError:
                continue
            yield key, value


def _ours(conf: PveConf) -> tuple[str, ...]:
    """The keys that the planner has the say on."""
    return tuple(key for key in conf.main if key == "features" or _DEVICE.fullmatch(key))


def _options(container: Container) -> dict[str, str]:
    """What the fleet file says, by the keys that are pct's options and the conf's alike."""
    making = container.making
    found: dict[str, str | None] = {
        "hostname": _hostname(container),
        "memory": _number(making.memory),
        "swap": _number(making.swap),
        "cores": _number(making.cores),
        "net0": _net0(making),
        "nameserver": " ".join(making.nameservers) or None,
        "searchdomain": making.searchdomain,
        "onboot": None if making.start_at_boot is None else str(int(making.start_at_boot)),
        "startup": _startup(container),
        "tags": ";".join(making.tags) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _hostname(container: Container) -> str:
    its = container.making.hostname or container.name
    return hostname_of(its or "", container.ctid)


def _name_notes(container: Container) -> Iterator[str]:
    used = _hostname(container)
    its = container.making.hostname or container.name
    if its and its != used:
        yield f"its host is called {used}: {its} cannot be a host's name"


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _net0(making: Making) -> str | None:
    network = making.network
    if network is None:
        return None
    options: dict[str, str | None] = {
        "name": network.name,
        "bridge": network.bridge,
        "hwaddr": making.mac,
        "ip": network.ip,
        "gw": network.gw,
        "ip6": network.ip6,
        "gw6": network.gw6,
        "tag": _number(network.tag),
        "mtu": _number(network.mtu),
        "firewall": None if network.firewall is None else str(int(network.firewall)),
    }
    return property_string.render({key: one for key, one in options.items() if one is not None})


def _startup(container: Container) -> str | None:
    order, delay = container.boot_order, container.making.boot_delay
    options = {"order": _number(order), "up": _number(delay)}
    return property_string.render({key: one for key, one in options.items() if one}) or None


def _words(options: dict[str, str]) -> Iterator[str]:
    for key, value in options.items():
        yield f"--{key}"
        yield value
