"""What AppArmor refused, laid at a container's door: equal refusals together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from phoenix.apparmor.denials import GENERATED, Denial, ObservedDenials
from phoenix.apparmor.observed import Label
from phoenix.plan.options import Options
from phoenix.pve.observed import ObservedContainer

_NAMESPACE = re.compile(r"(?:root//|:)lxc-([0-9]+)_<-var-lib-lxc>(?=$|:|//)")
#: The end of a container's own profile (`phoenix.plan.confinement`).
_OWN = re.compile(r"-([1-9][0-9]{2,8})(?:-ns)?(?:-complain)?$")


@dataclass(frozen=True)
class DenialGroup:
    """All refusals of one kind, as the last of them, and the containers they may belong to.

    `ctids` are several where containers share a profile and the line tells no more. `others`: it
    may also have been one under that profile that has ended or started anew since; without
    any `ctids` it was such a one.
    """

    ctids: tuple[int, ...]
    denial: Denial
    others: bool = False

    @property
    def whose(self) -> str:
        """Whose they are, in words: `CT 910 or 952`."""
        gone = "one under that profile that has ended or started anew since"
        if not self.ctids:
            return gone
        return f"CT {' or '.join(map(str, self.ctids))}{f' or {gone}' if self.others else ''}"


def group_denials(
    seen: ObservedDenials,
    containers: Mapping[int, ObservedContainer],
    options: Options,
    audited: Collection[int] | None = None,
) -> list[DenialGroup]:
    """Equal refusals together, each with the containers it may belong to; the most frequent first.

    Left out: those of nobody, those of containers that are not asked for or not `audited` (None:
    all of them are), and, unless `since` says from when on, those from before their container's
    present start.
    """
    asked = {*containers} if audited is None else {*audited}
    asked &= {*(options.only or asked)}
    groups: dict[tuple[object, ...], DenialGroup] = {}
    for denial in seen.denials:
        found = _whose(denial, containers)
        if found is None or not _is_asked(found, asked, containers, options):
            continue
        words = (denial[name] for name in ("profile", "namespace", "operation", "comm"))
        key = (found.ctids, found.others, denial.complain, denial.logged, denial.subject, *words)
        if before := groups.get(key):
            last = max(denial, before.denial, key=lambda one: one.last)
            found = replace(found, denial=replace(last, count=denial.count + before.denial.count))
        groups[key] = found
    return sorted(groups.values(), key=lambda one: (one.ctids, -one.denial.count, -one.denial.last))


def _is_asked(
    found: DenialGroup,
    asked: Collection[int],
    containers: Mapping[int, ObservedContainer],
    options: Options,
) -> bool:
    mine = [ctid for ctid in found.ctids if ctid in asked]
    if options.since:
        return bool(mine) or not (options.only or found.ctids)
    starts = (containers[ctid].started for ctid in mine)
    return any(start is not None and found.denial.last >= start for start in starts)


def _whose(denial: Denial, containers: Mapping[int, ObservedContainer]) -> DenialGroup | None:
    """The containers that a line may be about, None for nobody here.

    A namespace, in a label too, or a generated profile names one. A profile with a name may have
    several users: of those only who ran at the time can have done it, under the start that it has
    now.
    """
    named = _NAMESPACE.match(denial["namespace"]) or GENERATED.fullmatch(denial.profile)
    named = named or _NAMESPACE.search(denial["label"])
    if named is None and denial.by_lxc_start:
        wanted = denial["target"] or denial["name"]
        named = _NAMESPACE.search(wanted) or GENERATED.match(wanted)
        if named is None:
            profile = wanted.partition("//")[0]
            users = [ctid for ctid, one in containers.items() if _conf_profile(one) == profile]
            return DenialGroup(tuple(sorted(users)), denial) if users else None
    if named is not None:
        ctid = int(named[1])
        return DenialGroup((ctid,), denial) if ctid in containers else None
    sharing = {ctid: one for ctid, one in sorted(containers.items()) if _has(one, denial.profile)}
    own = _OWN.search(denial.profile)
    if not sharing and own and int(own[1]) in containers:
        # it has gone back to another profile since
        return DenialGroup((int(own[1]),), denial)
    ran = tuple(
        ctid
        for ctid, one in sharing.items()
        if one.label and (one.started is None or one.started <= denial.last)
    )
    return DenialGroup(ran, denial, len(ran) < len(sharing)) if sharing else None


def _has(container: ObservedContainer, profile: str) -> bool:
    """Whether a container runs under a profile, or would at its next start."""
    runs_as = Label.parse(container.label).profile if container.label else ""
    return profile in (runs_as, _conf_profile(container))


def _conf_profile(container: ObservedContainer) -> str:
    return ("", *container.conf.main.raw("lxc.apparmor.profile"))[-1].partition("//")[0]
