"""What a node needs before its containers can have their profiles: the profiles, and a script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from phoenix.apparmor.abi import abi_text
from phoenix.apparmor.lint import lint
from phoenix.apparmor.observed import ABI, ABI_OURS, HOOK, MARKER, Label, ObservedAppArmor
from phoenix.docker.data_root import DATA_ROOT, MOST_DATA_ROOTS, GuestPathError
from phoenix.fleet.model import Fleet
from phoenix.plan.confinement import PROFILE_KEY, Confinement, wanted
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.guest_paths import GuestPaths, guest_paths, written_data_roots
from phoenix.plan.options import Force, Options
from phoenix.plan.reasons import Reason, Why
from phoenix.plan.render import ProfileError, render_profile
from phoenix.pve.observed import ObservedPct

#: The name under which the templates hold the script for policy namespaces.
HOOK_TEMPLATE = "namespace.sh"


@dataclass(frozen=True)
class ProfileChange:
    """A profile to install and load: its text now (None: not there) and as it shall be.

    `mode`: that in which the kernel shall have it.
    """

    name: str
    before: str | None
    after: str
    reason: Reason
    mode: str = "enforce"

    @property
    def line(self) -> str:
        """What is wrong with it, in one line."""
        return f"profile {self.name}: {self.reason}"


@dataclass(frozen=True)
class OwnFileChange:
    """A file of ours to install: its text now (None: not there), and new.

    `path`: of `phoenix.apparmor.observed.OWN_FILES`.
    """

    path: str
    before: str | None
    after: str

    @property
    def line(self) -> str:
        """What is wrong, in one line."""
        state = "missing" if self.before is None else "not this version's"
        return f"{self.path}: {state}: {_NEEDED[self.path]}"


_NEEDED = {
    HOOK: "stacked containers cannot start without it",
    ABI: "the profiles cannot be compiled without it",
}


@dataclass(frozen=True)
class ProfileUsers:
    """Who uses which profile on a node, or will, and what its rules must know of them.

    `chosen`: the CTIDs of this run that are here; `data_roots`: where Docker keeps its data, by
    CTID, as far as it is known, also of those on other nodes.
    """

    fleet: Fleet
    options: Options
    pct: ObservedPct
    chosen: tuple[int, ...]
    data_roots: Mapping[int, str]

    @cached_property
    def confinements(self) -> list[Confinement]:
        """The forms of named profiles that this run is to bring about, by name.

        Also of containers that are elsewhere in the cluster: confs are shared by it, profiles are
        not, and one that moves here, as high availability has it, would not start without.
        """
        ctids = (*self.chosen, *self.elsewhere)
        confinements = {wanted(self.fleet.containers[ctid], self.options) for ctid in ctids}
        return sorted(
            (confinement for confinement in confinements if confinement.named),
            key=lambda confinement: confinement.profile,
        )

    @cached_property
    def elsewhere(self) -> tuple[int, ...]:
        """The CTIDs of this run that are on other nodes of the cluster."""
        known = self.fleet.containers
        return tuple(
            ctid for ctid in self.pct.elsewhere if ctid in known and self.options.takes(known[ctid])
        )

    def has_here(self, profile: str) -> bool:
        """Whether a container of this run that is here shall have it."""
        return any(
            wanted(self.fleet.containers[ctid], self.options).profile == profile
            for ctid in self.chosen
        )

    def paths(self, profile: str, written: str, keep: bool = False) -> GuestPaths:
        """What the rules of a profile must know; `written`: the text that is installed now.

        A run for some containers leaves the others working: all users count, and of those whose
        data root is not known (they are stopped) what the installed profile says. `keep`: that in
        any case. Raises GuestPathError.
        """
        users = self._users.get(profile, ())
        known = (self.fleet.containers[ctid] for ctid in users if ctid in self.fleet.containers)
        kept = written_data_roots(written) if keep else ()
        return guest_paths(
            (*self._roots(profile, written)[0], *kept),
            (f"/{mount.target}" for container in known for mount in container.mounts),
        )

    def present(self, ctid: int) -> str:
        """The profile that a container's conf names now, as the kernel has it; "" where none."""
        found = self.pct.containers.get(ctid)
        named = found.conf.main.raw(PROFILE_KEY)[-1:] if found else ()
        return Label.parse(named[0]).profile if named else ""

    def written(self, confinement: Confinement, apparmor: ObservedAppArmor) -> str:
        """The text of the installed profile of ours; of a new one of its own, of that before it."""
        before = self.present(confinement.own) if confinement.own is not None else ""
        return _written(apparmor, confinement.profile) or _written(apparmor, before)

    def sources(self, confinement: Confinement, apparmor: ObservedAppArmor) -> tuple[str, ...]:
        """What a profile will name beside its patterns; nothing where it cannot be rendered."""
        try:
            return self.paths(confinement.profile, self.written(confinement, apparmor)).sources
        except GuestPathError:
            return ()

    def without_room(self, profile: str, written: str) -> tuple[int, ...]:
        """The containers of this run whose data root is one too many for their profile."""
        return tuple(
            ctid
            for ctid in self._roots(profile, written)[1]
            if wanted(self.fleet.containers[ctid], self.options).profile == profile
        )

    def _roots(self, profile: str, written: str) -> tuple[list[str], list[int]]:
        """The data roots that the rules name, and the CTIDs of those for which there is no room."""
        users = sorted(self._users.get(profile, ()))
        there = [*written_data_roots(written)] or [DATA_ROOT]
        known = [ctid for ctid in users if ctid in self.data_roots]
        roots = [] if len(known) == len(users) else [*dict.fromkeys(there)][:MOST_DATA_ROOTS]
        outside = []
        # a new one takes nobody's place, nor one of another node that of one here
        away = {*self.elsewhere}
        for ctid in sorted(
            known, key=lambda ctid: (self.data_roots[ctid] not in there, ctid in away)
        ):
            root = self.data_roots[ctid]
            if root not in roots and len(roots) == MOST_DATA_ROOTS:
                outside.append(ctid)
            elif root not in roots:
                roots.append(root)
        return roots, outside

    @cached_property
    def _users(self) -> Mapping[str, Sequence[int]]:
        """The containers by the profiles that their confs name, and that they shall have."""
        chosen = {*self.chosen}
        users: dict[str, list[int]] = {}
        for ctid, observed in self.pct.containers.items():
            named = {Label.parse(value).profile for value in observed.conf.main.raw(PROFILE_KEY)}
            if ctid in chosen:
                named.add(wanted(self.fleet.containers[ctid], self.options).profile)
            for profile in named:
                users.setdefault(profile, []).append(ctid)
        for ctid in self.elsewhere:
            its = wanted(self.fleet.containers[ctid], self.options).profile
            users.setdefault(its, []).append(ctid)
        return users


def plan_own_files(
    confinements: Iterable[Confinement], apparmor: ObservedAppArmor, templates: Mapping[str, str]
) -> tuple[OwnFileChange, ...]:
    """What the wanted profiles need beside themselves and is not there, or not right.

    The abi by which they are compiled, and for a stacked one the script for policy namespaces.
    """
    confinements = [*confinements]
    needed = {}
    if confinements and (abi := abi_text(apparmor)):
        needed[ABI] = abi
    if any(confinement.stacked for confinement in confinements):
        needed[HOOK] = templates[HOOK_TEMPLATE]
    there = {path: apparmor.own_file(path) for path in needed}
    return tuple(
        OwnFileChange(path, there[path], after)
        for path, after in needed.items()
        if there[path] != after
    )


def without_room(users: ProfileUsers, apparmor: ObservedAppArmor) -> Mapping[int, str]:
    """Whom a run leaves alone because its data root is one too many, with the reason."""
    return {
        ctid: (
            f"Docker's data lies in {users.data_roots[ctid]}, and {confinement.profile} names "
            f"{MOST_DATA_ROOTS} such folders already: use one of them, or a profile of its own"
        )
        for confinement in users.confinements
        for ctid in users.without_room(confinement.profile, users.written(confinement, apparmor))
    }


def nobodys(
    users: ProfileUsers, apparmor: ObservedAppArmor, templates: Iterable[str]
) -> Iterator[Finding]:
    """One for each profile of one container's own that it has no more."""
    names = "|".join(map(re.escape, templates))
    own = re.compile(rf"(?:{names})-([1-9][0-9]{{2,8}})(?:-ns)?(?:-complain)?")
    used = {users.present(ctid) for ctid in users.pct.containers}
    used |= {Label.parse(one.label or "").profile for one in users.pct.containers.values()}
    used |= {confinement.profile for confinement in users.confinements} | {*templates}
    # asked for by the fleet file, in a run for others
    used |= {wanted(one, users.options).profile for one in users.fleet.containers.values()}
    for name in sorted({*apparmor.loaded} - used):
        if own.fullmatch(name):
            file = f"/etc/apparmor.d/{name}"
            yield Finding(
                Code.PROFILE_UNUSED,
                Severity.NOTE,
                f"profile {name} is nobody's any more",
                fix=f"apparmor_parser -R {file} && rm {file} (a snapshot or a backup may name it)",
            )


def plan_profile(
    confinement: Confinement,
    users: ProfileUsers,
    apparmor: ObservedAppArmor,
    templates: Mapping[str, str],
    findings: list[Finding],
) -> ProfileChange | None:
    """The profile to install, None where it is right; what stands against it goes to `findings`."""
    name = confinement.profile
    # one that only may come here from another node is no reason to stop
    severity = Severity.ERROR if users.has_here(name) else Severity.WARNING
    before = apparmor.files.get(name)
    managed = before is None or before.startswith(MARKER)
    written = users.written(confinement, apparmor)
    try:
        paths = users.paths(name, written)
        after = render_profile(confinement, templates, apparmor, paths)
        # a folder that nobody has any more is no reason to touch a profile: whose data root is
        # known differs from run to run
        if before not in (None, after):
            paths = users.paths(name, written, keep=True)
            more = render_profile(confinement, templates, apparmor, paths)
            after = more if more == before else after
    except (ProfileError, GuestPathError) as error:
        text = f"apparmor_profile {confinement.template}: {error}"
        findings.append(Finding(Code.PROFILE_REFUSED, severity, text))
        return None
    # its own abi is installed before it
    abis = (*apparmor.abis, ABI_OURS.removeprefix("abi/"))
    found = lint(after, expected=name, abis=abis, docker=True, warnings=False)
    if found:
        lines = (f"profile {name}: line {one}" for one in found)
        findings += [Finding(Code.PROFILE_REFUSED, severity, line) for line in lines]
        return None
    if not managed and Force.FOREIGN_PROFILE not in users.options.force:
        findings.append(
            Finding(
                Code.PROFILE_FOREIGN,
                severity,
                f"/etc/apparmor.d/{name} is there and not ours",
                fix=f"move it away, or replace it with --data force={Force.FOREIGN_PROFILE}",
            )
        )
        return None
    mode = apparmor.loaded.get(name)
    if before != after:
        reason = Reason(Why.NEW, "new") if before is None else Reason(Why.CHANGED, "changed")
    elif mode is None:
        reason = Reason(Why.NOT_LOADED, "installed but not loaded")
    elif mode != confinement.mode:
        reason = Reason(Why.MODE, f"loaded in {mode} mode")
    elif name in apparmor.stale:
        reason = Reason(Why.STALE, "the kernel has another text")
    else:
        return None
    return ProfileChange(name, before, after, reason, confinement.mode)


def _written(apparmor: ObservedAppArmor, name: str) -> str:
    """The text of an installed profile of ours, "" where there is none."""
    text = apparmor.files.get(name) or ""
    return text if text.startswith(MARKER) else ""
