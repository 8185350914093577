"""What stands against making a container: what `pct` would refuse, as far as that is known before.

Sources: pve-container API2/LXC.pm, create_vm and clone_vm; pve-storage Storage.pm.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from phoenix.fleet.making import flaws
from phoenix.fleet.model import Container, Fleet, Making
from phoenix.fleet.new_values import TEMPLATE
from phoenix.plan.confinement import wanted
from phoenix.plan.facts import NodeFacts
from phoenix.plan.fallbacks import WITHOUT_SNAPSHOTS, volumes
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.new_conf import addresses, wanted_addresses
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.text.printable import printable

_HARDEN = "phoenix harden"
#: Of a run on one node.
NO_OTHERS: Mapping[str, Collection[int]] = MappingProxyType({})
_MOUNT_POINT = re.compile(r"mp[0-9]+")


@dataclass(frozen=True)
class Checks:
    """A node as it is; `new`: the CTIDs that it is to make.

    `inventory`: all nodes of the run, each with the CTIDs that it has once that is done.
    """

    fleet: Fleet
    options: Options
    facts: NodeFacts
    new: Collection[int]
    inventory: Mapping[str, Collection[int]]

    def selection(self) -> Iterator[Finding]:
        """What of the selected containers is there already."""
        pct, options = self.facts.containers, self.options
        there = []
        for ctid, container in self.fleet.containers.items():
            if not options.takes(container):
                continue
            node = pct.elsewhere.get(ctid)
            if ctid in pct.containers and ctid in options.only:
                fix = f"{_HARDEN} brings it to what the fleet file says"
                yield self._finding(Code.EXISTS, Severity.NOTE, ctid, "is there already", fix)
            elif ctid in pct.containers:
                there.append(ctid)
            elif node and ctid in options.only and node not in self.inventory:
                text = f"is on {node}, which is not in this inventory"
                fix = "add it to PHOENIX_NODES"
                yield self._finding(Code.TAKEN, Severity.ERROR, ctid, text, fix)
        if there:
            text = f"there already: {', '.join(map(str, there))}; {_HARDEN} is for them"
            yield Finding(Code.EXISTS, Severity.NOTE, text)

    def without_source(self, container: Container) -> Finding | None:
        """That the file does not say what it is made from, or None."""
        if container.is_described:
            return None
        named = container.ctid in self.options.only
        return self._finding(
            Code.NO_SOURCE,
            Severity.ERROR if named else Severity.NOTE,
            container.ctid,
            "not made: the fleet file names neither template nor clone_from_ctid",
            "add one of them, and storage_pool",
        )

    def container(self, container: Container) -> Iterator[Finding]:
        """What stands against one that is to be made."""
        for text, fix in self._problems(container):
            yield self._finding(Code.NOT_MADE, Severity.ERROR, container.ctid, text, fix)
        if node := self.facts.stock.guests.get(container.ctid):
            text = f"a virtual machine on {node} has this id"
            fix = "give the container another one"
            yield self._finding(Code.TAKEN, Severity.ERROR, container.ctid, text, fix)

    def _problems(self, container: Container) -> Iterator[tuple[str, str]]:
        making = container.making
        yield from flaws(making)
        if making.template and making.clone_from is None:
            yield from self._template(making.template)
        elif making.clone_from is not None and not making.template:
            yield from self._origin(making.clone_from)
        if making.storage:
            yield from self._storage("storage_pool", making.storage, "rootdir")
        yield from self._snapshots(making)
        if wanted(container, self.options).template == "unconfined":
            proposed = "lxc-docker-nested" if container.docker else "generated"
            text = "apparmor_profile says unconfined: create makes no container like that"
            yield text, f"say {proposed} (phoenix adopt does), or leave it out"
        yield from self._dependencies(container)
        yield from self._addresses(container)

    def _template(self, template: str) -> Iterator[tuple[str, str]]:
        stock = self.facts.stock
        if not stock.storages:
            return
        if TEMPLATE.fullmatch(template):
            storage = template.partition(":")[0]
            problems = [*self._storage("template", storage, "vztmpl")]
            yield from problems
            if problems:
                return
        if template not in stock.templates:
            way = "pveam download gets one, pveam list shows those that are there"
            yield f"template: {template} is not on this node", way

    def _storage(self, key: str, name: str, content: str) -> Iterator[tuple[str, str]]:
        storages = self.facts.stock.storages
        if not storages:
            return
        which = "pvesm status lists them"
        if name not in storages:
            yield f"{key}: there is no storage {name}", which
        elif not storages[name].usable:
            yield f"{key}: storage {name} is disabled or not for this node", which
        elif not storages[name].holds(content):
            kind = "disks of containers" if content == "rootdir" else "templates"
            held = ",".join((*storages[name].content, content))
            yield f"{key}: storage {name} is not for {kind}", f"pvesm set {name} --content {held}"

    def _snapshots(self, making: Making) -> Iterator[tuple[str, str]]:
        """What a storage without snapshots cannot do (pve-storage, volume_has_feature)."""
        name = self._disk_on(making)
        storage = self.facts.stock.storages.get(name)
        if storage is None or storage.type not in WITHOUT_SNAPSHOTS:
            return
        place = f"storage {name} ({storage.type})"
        if making.snapshot:
            text = f"template_snapshot_name: {place}, where its disk is, has no snapshots"
            yield text, "take it out, or name another storage_pool"
        origin = self.facts.containers.containers.get(making.clone_from or 0)
        if origin and origin.conf.template and not making.storage:
            text = f"CT {origin.ctid}, which it is cloned from, is a template on {place}"
            yield f"{text}, which has no linked clones", "add storage_pool: then it is a copy"

    def _disk_on(self, making: Making) -> str:
        """The storage of its disk, "" where that is not known."""
        source = making.clone_from
        if making.storage or source is None:
            return making.storage or ""
        if observed := self.facts.containers.containers.get(source):
            disks = dict(volumes(observed.conf))
            return disks.get("rootfs", "").partition(":")[0]
        # of those that are made no two wait for each other
        return self._disk_on(self.fleet.containers[source].making) if source in self.new else ""

    def _origin(self, origin: int) -> Iterator[tuple[str, str]]:
        pct, stock = self.facts.containers, self.facts.stock
        what = f"CT {origin}, which it is cloned from,"
        if origin in self.new:
            return
        if observed := pct.containers.get(origin):
            yield from _source_problems(what, observed.conf)
        elif origin in pct.elsewhere:
            node = pct.elsewhere[origin]
            yield f"{what} is on {node}", f"make the clone there: pyinfra's --limit {node}"
        elif origin in stock.guests:
            yield f"{what} is a virtual machine", "name a container"
        elif origin in self.fleet.containers:
            yield f"{what} is not there", f"make it as well: {self._also(origin)}"
        else:
            yield f"{what} is not there, and not in the fleet file", "name another one"

    def _dependencies(self, container: Container) -> Iterator[tuple[str, str]]:
        there = {*self.facts.containers.containers, *self.facts.containers.elsewhere, *self.new}
        there |= {ctid for its in self.inventory.values() for ctid in its}
        for other in container.dependencies:
            if other not in there and other in self.fleet.containers:
                text = f"dependencies: CT {other}, which has to run before it, is not there"
                yield text, f"make it as well: {self._also(other)}"

    def _also(self, other: int) -> str:
        both = sorted({*self.options.only, other})
        return f"--data only={','.join(map(str, both))}"

    def _addresses(self, container: Container) -> Iterator[tuple[str, str]]:
        keys = {"mac": "mac_address", "ip": "network_config"}
        for kind, address in wanted_addresses(container.making):
            owners = self._owners.get((kind, address), set()) - {container.ctid}
            if owners:
                others = ", ".join(f"CT {owner}" for owner in sorted(owners))
                yield f"{keys[kind]}: {address} is that of {others}", "give it one of its own"

    @cached_property
    def _owners(self) -> dict[tuple[str, str], set[int]]:
        """Whose each address is: by the fleet file, and by the confs of the node."""
        owners: dict[tuple[str, str], set[int]] = {}
        for ctid, container in self.fleet.containers.items():
            for one in wanted_addresses(container.making):
                owners.setdefault(one, set()).add(ctid)
        for ctid, observed in self.facts.containers.containers.items():
            for one in addresses(observed.conf):
                owners.setdefault(one, set()).add(ctid)
        return owners

    def _finding(
        self, code: Code, severity: Severity, ctid: int, message: str, fix: str
    ) -> Finding:
        name = printable(self.fleet.containers[ctid].name or "")
        return Finding(code, severity, message, ctid, name, fix)


def _source_problems(what: str, conf: PveConf) -> Iterator[tuple[str, str]]:
    if conf.lock:
        yield f"{what} is locked ({conf.lock})", "run again when the lock is gone"
    for key in conf.main:
        volume = (conf.main[key] or "").partition(",")[0].removeprefix("volume=")
        if _MOUNT_POINT.fullmatch(key) and volume.startswith("/"):
            # clone_vm: unable to clone mountpoint (type bind, type device)
            text = f"{what} mounts {printable(volume)} ({key}), and pct clones none such"
            yield text, f"pct set {what.split()[1].rstrip(',')} --delete {key}, or name another one"
