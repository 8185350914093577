"""How one container's conf changes: features, raw lines, mounts, devices, the profile.

One lossless edit of the main section. What others set stays; what the fleet file sets wins; what
a former run added and the fleet file no longer has goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from phoenix.apparmor import Label
from phoenix.devices import plan_device_entries
from phoenix.features import Features, merge
from phoenix.fleet import Container, Mount
from phoenix.mounts import read_mount
from phoenix.observed import ObservedContainer
from phoenix.ours import Ours
from phoenix.pve_conf import PveConf
from phoenix.raw_keys import REPEATED_KEYS, RawKey
from phoenix.raw_rules import raw_rules
from phoenix.storage import ObservedStorage
from phoenix.workarounds import asked_for, devices_alone, workarounds

PROFILE = "lxc.apparmor.profile"


@dataclass(frozen=True)
class ConfPlan:
    """The conf as it shall be, why (`reasons`), what else an operator should know (`notes`).

    `ours`: what our runs have brought once this is done.
    """

    after: PveConf
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    ours: Ours


def plan_conf(
    container: Container,
    profile: str,
    observed: ObservedContainer,
    storage: ObservedStorage,
    reconfine: bool = False,
) -> ConfPlan:
    """Plan the conf of one container; `profile`: a name, `generated` or `unconfined`.

    `reconfine`: take the workarounds of others back, too.
    Raises ValueError for a conf that cannot be read (a malformed features line).
    """
    edit = _Edit(observed.conf, Ours.parse(observed.ours))
    edit.features(container)
    raw = (*container.raw, *_nesting(container, profile), *raw_rules(container, profile))
    edit.raw_keys(raw, container.mounts, storage)
    edit.devices(container, storage)
    if reconfine:
        edit.reconfine(container)
    edit.confine(profile)
    edit.mind(container, profile)
    return ConfPlan(edit.conf, tuple(edit.reasons), tuple(edit.notes), edit.ours)


def restart_reasons(profile: str, observed: ObservedContainer) -> tuple[str, ...]:
    """In what the running container is not what its conf says; `profile`: the label's host half.

    A named profile hides nesting and mount in the running container: those are not judged.
    """
    reasons = []
    label = Label.parse(observed.label or "")
    if profile and label.profile != profile:
        reasons.append(f"restart due: PID 1 runs as {observed.label}, not {profile}")
    for name, value in Features.parse(observed.conf.main["features"]).items():
        live = observed.live.feature(name) if observed.live else None
        if live in ("0", "1") and live != value:
            reasons.append(f"restart due: {name}={live} in the running container")
    return tuple(reasons)


def _nesting(container: Container, profile: str) -> Iterator[RawKey]:
    if container.allow_nesting and profile not in ("generated", "unconfined"):
        yield RawKey("lxc.apparmor.allow_nesting", "1")


@dataclass
class _Edit:
    """A conf on its way, with what is said about it."""

    conf: PveConf
    ours: Ours
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def features(self, container: Container) -> None:
        current = self.conf.main["features"]
        merged = merge(current, container.features, self.ours.features)
        kept = {name: value for name, value in self.ours.features.items() if name in merged.kept}
        values = Features.parse(merged.value)
        mine = {
            name: value
            for name, value in self.ours.features.items()
            if name in container.features and name not in merged.changed
        }
        self.ours = replace(
            self.ours, features={**kept, **mine, **{name: values[name] for name in merged.added}}
        )
        if merged.value == (current or ""):
            return
        set_ = self.conf.set_key("features", merged.value) if merged.value else None
        self.conf = set_ or self.conf.drop_key("features")
        said = [f"{name}={values[name]}" for name in (*merged.added, *merged.changed)]
        said += [f"no {name} any more" for name in merged.removed]
        keeps = f" (keeps {', '.join(merged.kept)})" if merged.kept else ""
        self.reasons.append(f"features: {', '.join(said)}{keeps}")

    def raw_keys(
        self, raw: tuple[RawKey, ...], mounts: tuple[Mount, ...], storage: ObservedStorage
    ) -> None:
        wanted = [*raw, *self._mount_entries(mounts, storage)]
        for old in self.ours.raw:
            if old not in wanted and old.value in self.conf.main.raw(old.key):
                self.conf = self.conf.remove_raw(old.key, old.value)
                self.reasons.append(f"no {old.line} any more")
        added = []
        for one in wanted:
            before = self.conf
            there = before.main.raw(one.key)
            if one.key.startswith(REPEATED_KEYS):
                self.conf = before.add_raw(one.key, one.value)
            else:
                self.conf = before.set_raw(one.key, one.value)
            if self.conf != before:
                self.reasons.append(one.line)
                if one.key.startswith(REPEATED_KEYS) or not there:
                    added.append(one)
        still = [old for old in self.ours.raw if old in wanted]
        self.ours = replace(self.ours, raw=tuple(dict.fromkeys((*still, *added))))

    def _mount_entries(
        self, mounts: tuple[Mount, ...], storage: ObservedStorage
    ) -> Iterator[RawKey]:
        """The entries of those mounts whose source is there and whose target is free."""
        for mount in mounts:
            dataset = f"{mount.pool}/{mount.name}" if mount.pool and mount.name else None
            source = storage.datasets.get(dataset, mount.source) if dataset else mount.source
            entry = RawKey("lxc.mount.entry", replace(mount, source=source).raw_value)
            if entry in self.ours.raw or entry.value in self.conf.main.raw(entry.key):
                yield entry
            elif holder := _holder(self.conf, mount.target):
                # what the operator mounted there holds the data: nothing goes on top of it
                self.notes.append(f"/{mount.target} is {holder} already: kept")
            elif source in storage.paths or source in storage.datasets.values():
                yield entry
            else:
                self.notes.append(
                    f"{mount.origin}: {source} is not on this node: left out; create it "
                    f"({f'zfs create {dataset}' if dataset else 'mkdir'}) and run again"
                )

    def devices(self, container: Container, storage: ObservedStorage) -> None:
        there = [device for device in container.devices if device in storage.paths]
        if missing := [device for device in container.devices if device not in there]:
            self.notes.append(f"gpu_assignment: not on this node: {', '.join(missing)}")
        plan = plan_device_entries(self.conf, there, self.ours.devices)
        self.conf = plan.apply(self.conf)
        self.reasons += [f"{key}: {value}" for key, value in (*plan.new, *plan.changed)]
        self.reasons += [f"no {key}: {value} any more" for key, value in plan.removed]
        self.notes += plan.conflicts
        still = [device for device in self.ours.devices if device in there]
        added = [value for _, value in plan.new]
        self.ours = replace(self.ours, devices=tuple(dict.fromkeys((*still, *added))))

    def reconfine(self, container: Container) -> None:
        """Take back what somebody wrote there to do without AppArmor."""
        for one in workarounds(self.conf):
            if asked_for(container, one.raw):
                self.notes.append(f"{one.raw.line} stays: the fleet file asks for it")
                continue
            self.conf = self.conf.remove_raw(one.raw.key, one.raw.value)
            self.reasons.append(f"no {one.raw.line.rstrip()} any more: it {one.opens}")
            # where there is Docker, the proof after the restart tells
            lone = one.raw.key == "lxc.cgroup2.devices.allow" and devices_alone(self.conf)
            if lone and not container.docker:
                self.notes.append("single devices stay allowed: see that it has /dev/null")

    def confine(self, profile: str) -> None:
        """Name the wanted profile.

        pve-container LXC.pm make_apparmor_config: without `lxc.apparmor.profile` the profile is
        generated, with it everything that the generated one would grant is gone.
        """
        current = self.conf.main.raw(PROFILE)
        is_now = (*current[-1:], "generated")[0]
        if profile == "unconfined":
            if is_now != "unconfined":
                # never take confinement away because an old file says so
                self.notes.append(f"the fleet file says unconfined, the conf {is_now}: kept")
            return
        if is_now != profile:
            self.reasons.append(f"profile: {is_now} becomes {profile}")
        if profile == "generated":
            self.conf = self.conf.drop_raw(PROFILE)
        else:
            self.conf = self.conf.set_raw(PROFILE, profile)

    def mind(self, container: Container, profile: str) -> None:
        """Say what no edit can put right, and what the file asks for and does not get yet."""
        for key, asked, instead in (
            ("apparmor_stacking", container.stacking, "the plain form of the profile is used"),
            ("mode", container.mode == "complain", "the profile is enforced"),
        ):
            if asked:
                self.notes.append(f"{key} is not acted on by this version: {instead}")
        if container.apparmor_raw and profile != "generated":
            self.notes.append(
                f"apparmor_raw has no effect under {profile}: only Proxmox's generated profile "
                "reads it"
            )
        privileged = not self.conf.unprivileged
        if container.unprivileged is privileged:
            words = ("privileged", "unprivileged")[container.unprivileged]
            self.notes.append(
                f"the fleet file says {words}, the conf is not: only a backup and a restore "
                "(pct restore --unprivileged) change that"
            )
        if container.docker and privileged:
            self.notes.append(
                "privileged: root in it is root of the node, AppArmor is all that holds it"
            )


def _holder(conf: PveConf, target: str) -> str | None:
    """Which line of the conf mounts something at this place of the container, or None."""
    for key in conf.main:
        if key.startswith("mp") and key[2:].isdigit():
            try:
                mount = read_mount(conf.main[key] or "")
            except ValueError:
                continue
            if mount["mp"] == f"/{target}":
                return key
    for value in conf.main.raw("lxc.mount.entry"):
        fields = value.split()
        if len(fields) > 1 and fields[1].strip("/").replace("\\040", " ") == target:
            return f"lxc.mount.entry: {value}"
    return None
