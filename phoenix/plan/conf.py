"""How one container's conf changes: features, raw lines, mounts, devices, the profile.

One lossless edit of the main section. What others set stays; what the fleet file sets wins; what
a former run added and the fleet file no longer has goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

from phoenix.apparmor.observed import HOOK, Label
from phoenix.fleet.model import Container, Mount
from phoenix.plan.confinement import PROFILE_KEY, STACKED, Confinement, named_in, winner
from phoenix.plan.raw_rules import raw_rules
from phoenix.plan.reasons import Reason, Why
from phoenix.plan.workarounds import (
    MASK,
    asked_for,
    is_mask,
    shows_apparmor,
    workarounds,
)
from phoenix.pve.conf import PveConf
from phoenix.pve.dev_nodes import FUSE, device_at, devices_of, in_the_way, maker_of
from phoenix.pve.devices import plan_device_entries, read_device, same_device
from phoenix.pve.features import Features, merge
from phoenix.pve.includes import Includes
from phoenix.pve.managed import Managed
from phoenix.pve.mounts import read_mount
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import NOT_HELD, is_privileged
from phoenix.pve.raw_keys import REPEATED_KEYS, RawKey
from phoenix.pve.storage import ObservedStorage


@dataclass(frozen=True)
class ConfPlan:
    """The conf as it shall be, why (`reasons`), what else an operator should know (`notes`).

    `managed`: what our runs have brought once this is done.
    """

    after: PveConf
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]
    managed: Managed


def plan_conf(
    container: Container,
    confinement: Confinement,
    observed: ObservedContainer,
    storage: ObservedStorage,
    reconfine: bool = False,
) -> ConfPlan:
    """Plan the conf of one container that shall be confined as `confinement` says.

    `reconfine`: take the workarounds of others back, too.
    Raises ValueError for a conf that cannot be read (a malformed features line).
    """
    managed = _with_managed_lines(Managed.parse(observed.managed), observed.conf)
    edit = _Edit(observed.ctid, observed.conf, managed, observed.includes)
    edit.features(container)
    seen = _seen_by_docker(container, confinement, edit.conf, managed)
    raw = (
        *container.raw,
        *_nesting(container, confinement),
        *raw_rules(container, confinement.profile),
        *edit.fuse_rule(confinement),
        *confinement.raw,
        *edit.mask(seen, container.raw),
    )
    edit.raw_keys(raw, container.mounts, storage)
    edit.devices(container, storage)
    if reconfine:
        edit.reconfine(container, seen)
    edit.confine(container.ctid, confinement)
    edit.warn(container, confinement)
    return ConfPlan(edit.conf, tuple(edit.reasons), tuple(edit.notes), edit.managed)


def seen_by_docker(
    container: Container, confinement: Confinement, observed: ObservedContainer
) -> str:
    """What shows AppArmor to a container's Docker that could load no profile, "" for nothing."""
    managed = _with_managed_lines(Managed.parse(observed.managed), observed.conf)
    return _seen_by_docker(container, confinement, observed.conf, managed)


def restart_reasons(wanted: Label | None, observed: ObservedContainer) -> tuple[Reason, ...]:
    """In what the running container is not what its conf says; `wanted`: PID 1's label.

    Its mode is the profile's, which no restart changes. A named profile hides nesting and mount in
    the running container: those are not judged.
    """
    reasons = []
    label = Label.parse(observed.label or "")
    if wanted and not label.matches(wanted):
        text = f"restart due: PID 1 runs as {observed.label}, not {wanted.stack}"
        reasons.append(Reason(Why.RESTART_DUE, text))
    for name, value in Features.parse(observed.conf.main["features"]).items():
        live = observed.live.feature(name) if observed.live else None
        if name == "fuse" and value == "0" and _has_fuse_besides(observed):
            # its /dev/fuse is not the feature's
            continue
        if live in ("0", "1") and live != value:
            text = f"restart due: {name}={live} in the running container"
            reasons.append(Reason(Why.RESTART_DUE, text))
    return tuple(reasons)


def _has_fuse_besides(observed: ObservedContainer) -> bool:
    """Whether another line than the feature's brings /dev/fuse, where that is off."""
    conf = observed.conf
    return bool(device_at(conf, FUSE) or maker_of(conf, observed.ctid, FUSE))


def _seen_by_docker(
    container: Container, confinement: Confinement, conf: PveConf, managed: Managed
) -> str:
    if not container.docker or not confinement.named or confinement.stacked:
        return ""
    ours = {*managed.raw}
    theirs = (RawKey(key, value) for key, value in conf.main.raw_items())
    stay = [raw for raw in theirs if raw not in ours]
    return shows_apparmor(conf, (*stay, *container.raw))


def _nesting(container: Container, confinement: Confinement) -> Iterator[RawKey]:
    if container.allow_nesting and confinement.named:
        yield RawKey("lxc.apparmor.allow_nesting", "1")


def _with_managed_lines(managed: Managed, conf: PveConf) -> Managed:
    """Ours, and the mask in our words, and the lines of the stacked form beside our script.

    The node's note of what is ours stays behind when a container migrates; with these lines left
    over Docker would go on looking for a policy namespace that the plain form does not give.
    """
    if MASK.value in conf.main.raw(MASK.key):
        managed = replace(managed, raw=tuple(dict.fromkeys((*managed.raw, MASK))))
    if not any(raw.value == HOOK and HOOK in conf.main.raw(raw.key) for raw in STACKED):
        return managed
    there = (raw for raw in STACKED if raw.value in conf.main.raw(raw.key))
    return replace(managed, raw=tuple(dict.fromkeys((*managed.raw, *there))))


@dataclass
class _Edit:
    """A conf on its way, with what is said about it.

    `fuse_device`: the devN that serves instead of fuse=1, as key and value.
    """

    ctid: int
    conf: PveConf
    managed: Managed
    includes: Includes
    reasons: list[Reason] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fuse_device: tuple[str, str] | None = None

    def _because(self, why: Why, text: str) -> None:
        self.reasons.append(Reason(why, text))

    def features(self, container: Container) -> None:
        current = self.conf.main["features"]
        wanted = dict(container.features)
        if Features.of(wanted).on("fuse") and (served := device_at(self.conf, FUSE)):
            self.fuse_device = served
            del wanted["fuse"]
        merged = merge(current, wanted, self.managed.features)
        kept = {name: value for name, value in self.managed.features.items() if name in merged.kept}
        values = Features.parse(merged.value)
        mine = {
            name: value
            for name, value in self.managed.features.items()
            if name in wanted and name not in merged.changed
        }
        self.managed = replace(
            self.managed, features={**kept, **mine, **{name: values[name] for name in merged.added}}
        )
        if self.fuse_device:
            self.notes.append(
                f"{_line(self.fuse_device)} brings {FUSE} already: fuse=1, which makes it too, is "
                "left out"
            )
        if merged.value == (current or ""):
            return
        set_ = self.conf.set_key("features", merged.value) if merged.value else None
        self.conf = set_ or self.conf.drop_key("features")
        said = [f"{name}={values[name]}" for name in (*merged.added, *merged.changed)]
        said += [f"no {name} any more" for name in merged.removed]
        keeps = f" (keeps {', '.join(merged.kept)})" if merged.kept else ""
        self._because(Why.FEATURES, f"features: {', '.join(said)}{keeps}")

    def raw_keys(
        self, raw: tuple[RawKey, ...], mounts: tuple[Mount, ...], storage: ObservedStorage
    ) -> None:
        wanted = [*self._beside_devices((*raw, *self._mount_entries(mounts, storage)))]
        asked, there = {*wanted}, _raw_of(self.conf)
        gone = [one for one in self.managed.raw if one not in asked and one in there]
        self.conf = self.conf.remove_raws((one.key, one.value) for one in gone)
        for one in gone:
            self._because(Why.RAW_KEY, f"no {one.line} any more")
        added: list[RawKey] = []
        for repeated, several in groupby(wanted, lambda one: one.key.startswith(REPEATED_KEYS)):
            bring = self._add if repeated else self._set
            added += bring(several)
        still = [old for old in self.managed.raw if old in asked]
        self.managed = replace(self.managed, raw=tuple(dict.fromkeys((*still, *added))))

    def _add(self, raw: Iterable[RawKey]) -> Iterator[RawKey]:
        """Add those lines of several; gives what was not there."""
        self.conf, added = self.conf.add_raws((one.key, one.value) for one in raw)
        for key, value in added:
            line = RawKey(key, value)
            self._because(Why.RAW_KEY, line.line)
            yield line

    def _set(self, raw: Iterable[RawKey]) -> Iterator[RawKey]:
        """Set those that stand once; gives those of which there was none."""
        for one in raw:
            before = self.conf
            self.conf = before.set_raw(one.key, one.value)
            if self.conf != before:
                self._because(Why.RAW_KEY, one.line)
                if not before.main.raw(one.key):
                    yield one

    def fuse_rule(self, confinement: Confinement) -> Iterator[RawKey]:
        """What fuse=1 grants in Proxmox's generated profile, where a devN serves in its place."""
        if self.fuse_device and confinement.template == "generated":
            # pve-container LXC.pm update_lxc_config
            yield RawKey("lxc.apparmor.raw", "mount fstype=fuse,")

    def _beside_devices(self, raw: tuple[RawKey, ...]) -> Iterator[RawKey]:
        """Those lines that make no node which a devN of somebody else brings already."""
        there = devices_of(self.conf)
        for one in raw:
            found = in_the_way(there, self.ctid, one.value) if _mounts(one) else ()
            theirs = [device for device in found if not self._is_ours(device[1])]
            if theirs:
                self.notes.append(f"{one.line} is left out: {_line(theirs[0])} makes the same node")
            else:
                yield one

    def _is_ours(self, device: str) -> bool:
        return any(same_device(device, one) for one in self.managed.devices)

    def _mount_entries(
        self, mounts: tuple[Mount, ...], storage: ObservedStorage
    ) -> Iterator[RawKey]:
        """The entries of those mounts whose source is there and whose target is free."""
        there, held_by = _raw_of(self.conf).union(self.managed.raw), holders(self.conf)
        for mount in mounts:
            dataset, source = mount.dataset, mount.source_on(storage.datasets)
            entry = RawKey("lxc.mount.entry", replace(mount, source=source).raw_value)
            if entry in there:
                yield entry
            elif held := held_by.get(mount.target):
                # what the operator mounted there holds the data: nothing goes on top of it
                self.notes.append(f"/{mount.target} is {held} already: kept")
            elif storage.has(source):
                yield entry
            elif why := storage.silent.get(source):
                self.notes.append(f"{mount.origin}: {source} gives no answer ({why}): left out")
            else:
                self.notes.append(
                    f"{mount.origin}: {source} is not on this node: left out; create it "
                    f"({f'zfs create {dataset}' if dataset else 'mkdir'}) and run again"
                )

    def devices(self, container: Container, storage: ObservedStorage) -> None:
        there = [*self._gpu_devices(container, storage)]
        for device in [*there]:
            if maker := maker_of(self.conf, self.ctid, str(read_device(device)["path"])):
                self.notes.append(f"{device} is left to {maker}, which makes it: no devN for it")
                there.remove(device)
        plan = plan_device_entries(self.conf, there, self.managed.devices)
        self.conf = plan.apply(self.conf)
        for key, value in (*plan.new, *plan.changed):
            self._because(Why.DEVICE, f"{key}: {value}")
        for key, value in plan.removed:
            self._because(Why.DEVICE, f"no {key}: {value} any more")
        self.notes += plan.conflicts
        still = [device for device in self.managed.devices if device in there]
        added = [value for _, value in plan.new]
        self.managed = replace(self.managed, devices=tuple(dict.fromkeys((*still, *added))))

    def _gpu_devices(self, container: Container, storage: ObservedStorage) -> Iterator[str]:
        """What this node has of the device nodes that its GPUs need."""
        missing = [device for device in container.devices if not storage.has(device)]
        gpus = [gpu for gpu in container.gpus if f"/dev/nvidia{gpu}" not in missing]
        if missing:
            told = f"gpu_assignment: not on this node: {', '.join(missing)}"
            none = ": no GPU for this container, see whether nvidia-smi finds one on the node"
            self.notes.append(told if gpus else f"{told}{none}")
        yield from (device for device in container.devices if device not in missing)
        nvidia = storage.nvidia
        yield from nvidia.of(gpus)
        lacking = [str(gpu) for gpu in gpus if gpu not in nvidia.dri]
        if lacking and nvidia.unclear:
            self.notes.append(
                f"gpu_assignment: nothing tells which of {', '.join(nvidia.unclear)} is of GPU "
                f"{', '.join(lacking)}: left out; write it into the conf where it is needed "
                f"(pct set {self.ctid} --dev0 PATH)"
            )

    def mask(self, seen: str, asked: tuple[RawKey, ...]) -> tuple[RawKey, ...]:
        """The line that hides it, where none does yet; `asked`: those of the fleet file."""
        if not seen:
            return ()
        there = (RawKey(key, value) for key, value in self.conf.main.raw_items())
        others = (*there, *asked)
        if any(is_mask(raw) and raw not in self.managed.raw for raw in others):
            return ()
        if MASK not in self.managed.raw:
            self.notes.append(
                f"Docker in it sees AppArmor's files ({seen}) and could load no profile: hidden "
                'from it; with "apparmor_stacking": true it has a namespace for its own'
            )
        return (MASK,)

    def reconfine(self, container: Container, seen: str) -> None:
        """Remove what somebody wrote there to do without AppArmor; `seen`: see above."""
        for one in workarounds(self.conf):
            if seen and is_mask(one.raw):
                if one.raw not in self.managed.raw:
                    self.notes.append(
                        f"{one.raw.line} stays: without it Docker would try to load a profile "
                        f'({seen}); with "apparmor_stacking": true it can'
                    )
                continue
            if asked_for(container, one.raw):
                self.notes.append(f"{one.raw.line} stays: the fleet file asks for it")
                continue
            self.conf = self.conf.remove_raw(one.raw.key, one.raw.value)
            text = f"no {one.raw.line.rstrip()} any more: it {one.opens}"
            self._because(Why.WORKAROUND, text)

    def confine(self, ctid: int, confinement: Confinement) -> None:
        """Name the wanted profile.

        pve-container LXC.pm make_apparmor_config: without `lxc.apparmor.profile` the profile is
        generated, with it everything that the generated one would grant is gone.
        """
        is_now, line = winner(self.conf, self.includes)
        if confinement.template == "unconfined":
            if is_now != "unconfined":
                # never take confinement away because an old file says so
                self.notes.append(f"the fleet file says unconfined, the conf {is_now}: kept")
            return
        value = confinement.conf_value(ctid)
        if is_now != value:
            old, new = _shown(is_now), _shown(value)
            if old == new:
                old, new = is_now, value
            if line:
                old += f" (by {line.place})"
            self._because(Why.PROFILE, f"profile: {old} becomes {new}")
        if confinement.named:
            self.conf = self.conf.set_raw(PROFILE_KEY, value)
            if named_in(self.conf, self.includes) != value:
                # an include behind it names another one, and the last counts
                self.conf = self.conf.drop_raw(PROFILE_KEY).add_raw(PROFILE_KEY, value)
        else:
            self.conf = self.conf.drop_raw(PROFILE_KEY)

    def warn(self, container: Container, confinement: Confinement) -> None:
        """Say what no edit can put right."""
        if container.apparmor_raw and confinement.template != "generated":
            self.notes.append(
                f"apparmor_raw has no effect under {confinement.profile}: only Proxmox's generated "
                "profile reads it"
            )
        if confinement.learning:
            self.notes.append(
                "learning: complain mode only logs violations; the container is not confined. Run "
                "again without mode=complain when finished"
            )
        privileged = not self.conf.unprivileged
        if container.unprivileged is privileged:
            words, other = "privileged", "unprivileged"
            if container.unprivileged:
                words, other = other, words
            self.notes.append(
                f"the fleet file says {words}, but the container is {other}: only a backup and a "
                "restore (pct restore --unprivileged) change that"
            )
        if is_privileged(self.conf) and (container.docker or confinement.named):
            self.notes.append(f"privileged: {NOT_HELD}")


def _line(device: tuple[str, str]) -> str:
    key, value = device
    return f"{key}: {value}"


def _mounts(raw: RawKey) -> bool:
    return raw.key == "lxc.mount.entry"


def _shown(value: str) -> str:
    """A profile as people read it: in a stacked one the word "unconfined" would mislead."""
    label = Label.parse(value)
    return f"{label.profile} (stacked)" if label.namespace else value


def holders(conf: PveConf) -> dict[str, str]:
    """What is mounted in the container: its place, without the first slash, to the line for it."""
    found: dict[str, str] = {}
    for key in conf.main:
        if key.startswith("mp") and key[2:].isdigit():
            try:
                mount = read_mount(conf.main[key] or "")
            except ValueError:
                continue
            found.setdefault(str(mount["mp"]).removeprefix("/"), key)
    for value in conf.main.raw("lxc.mount.entry"):
        fields = value.split()
        if len(fields) > 1:
            target = fields[1].strip("/").replace("\\040", " ")
            found.setdefault(target, f"lxc.mount.entry: {value}")
    return found


def _raw_of(conf: PveConf) -> frozenset[RawKey]:
    return frozenset(RawKey(key, value) for key, value in conf.main.raw_items())
