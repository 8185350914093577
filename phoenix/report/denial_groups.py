"""What AppArmor refused, laid at a container's door: equal refusals together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from phoenix.apparmor.denials import GENERATED, Denial, ObservedDenials
from phoenix.apparmor.observed import Label, own_ctid
from phoenix.plan.options import Options
from phoenix.pve.observed import ObservedContainer

_NAMESPACE = re.compile(r"(?:root//|:)lxc-([0-9]+)_<-var-lib-lxc>(?=$|:|//)")
#: So many of those that share a profile are told.
MOST_NAMED = 8


@dataclass(frozen=True)
class DenialGroup:
    """All refusals of one kind, as the last of them, and the containers they may belong to.

    `ctids` are several where containers share a profile and the line tells no more. `others`: it
    may also have been one under that profile that has ended or started anew since; without
    any `ctids` it was such a one. `names`: what each is called, as `ctids` has them, "" where
    that is not known.
    """

    ctids: tuple[int, ...]
    denial: Denial
    others: bool = False
    names: tuple[str, ...] = ()

    @property
    def whose(self) -> str:
        """Whose they are, in words: `CT 910`, `one of CT 910, 952`."""
        return self._whose(("",) * len(self.ctids))

    @property
    def who(self) -> str:
        """The same with their names: `CT 910 portainer`."""
        return self._whose(self.names or ("",) * len(self.ctids))

    def _whose(self, names: tuple[str, ...]) -> str:
        gone = "one under that profile that has ended or started anew since"
        called = [f"{ctid} {name}".rstrip() for ctid, name in zip(self.ctids, names, strict=True)]
        shown = [*called[:MOST_NAMED], *(["others"] if len(called) > MOST_NAMED else [])]
        if not shown:
            return gone
        several = "one of " if len(shown) > 1 else ""
        last = self.denial.owner.ctid if several and self.denial.owner else None
        by = f" (the last time {last})" if last in self.ctids else ""
        return f"{several}CT {', '.join(shown)}{by}{f' or {gone}' if self.others else ''}"

    @property
    def next_step(self) -> str:
        """What to do about it, with the CTID where it is one container's."""
        return self.denial.step_for(str(self.ctids[0]) if len(self.ctids) == 1 else "CTID")

    @property
    def key(self) -> tuple[object, ...]:
        """What is equal in all refusals of one kind."""
        one = self.denial
        words = (one[name] for name in ("profile", "namespace", "operation", "comm"))
        return (self.ctids, self.others, one.complain, one.logged, one.subject, *words)

    def __add__(self, other: DenialGroup) -> DenialGroup:
        """Both together, as the later of them."""
        earlier, last = sorted((self, other), key=lambda one: one.denial.last)
        spread = Counter(dict(earlier.denial.spread))
        spread.update(dict(last.denial.spread))
        denial = replace(
            last.denial,
            count=earlier.denial.count + last.denial.count,
            first=min(earlier.denial.first, last.denial.first),
            spread=tuple(sorted(spread.items())),
        )
        return replace(last, denial=denial)


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
        before = groups.get(found.key)
        groups[found.key] = before + found if before else found
    names = {ctid: one.conf.hostname or "" for ctid, one in containers.items()}
    return sort_groups(name_group(group, names) for group in groups.values())


def sort_groups(groups: Iterable[DenialGroup]) -> list[DenialGroup]:
    """Those of one container together, the most frequent first."""
    return sorted(groups, key=lambda one: (one.ctids, -one.denial.count, -one.denial.last))


def name_group(group: DenialGroup, names: Mapping[int, str]) -> DenialGroup:
    """The group with what its containers are called."""
    return replace(group, names=tuple(names.get(ctid, "") for ctid in group.ctids))


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


def named_ctid(denial: Denial) -> int | None:
    """The container that a line names by itself: by a namespace, in a label too, or Proxmox's
    generated profile. What lxc-start was refused is about the container that it starts.
    """
    named = _NAMESPACE.match(denial["namespace"]) or GENERATED.fullmatch(denial.profile)
    named = named or _NAMESPACE.search(denial["label"])
    if named is None and denial.by_lxc_start:
        wanted = denial["target"] or denial["name"]
        named = _NAMESPACE.search(wanted) or GENERATED.match(wanted)
    return int(named[1]) if named else None


def event_group(denial: Denial, sharing: tuple[int, ...]) -> DenialGroup:
    """Whose a refusal is that comes as it happens; `sharing`: who runs under that profile now."""
    named, own, owner = named_ctid(denial), own_ctid(denial.profile), denial.owner
    if named is not None:
        return DenialGroup((named,), denial)
    if owner and (denial.count == 1 or {*sharing} <= {owner.ctid}):
        return DenialGroup((owner.ctid,), denial)
    if own is not None and (own in sharing or not sharing):
        return DenialGroup((own,), denial)
    return DenialGroup(sharing, denial)


def _whose(denial: Denial, containers: Mapping[int, ObservedContainer]) -> DenialGroup | None:
    """The containers that a line may be about, None for nobody here.

    What the line names by itself comes first, then whose process it was. A profile with a name may
    have several users: of those only who ran at the time can have done it, under the start that it
    has now.
    """
    named = named_ctid(denial)
    if named is not None:
        return DenialGroup((named,), denial) if named in containers else None
    carried = denial["target"] or denial["name"] if denial.by_lxc_start else denial.profile
    profile = carried.partition("//")[0]
    if denial.by_lxc_start:
        users = [ctid for ctid, one in containers.items() if _conf_profile(one) == profile]
        return DenialGroup(tuple(sorted(users)), denial) if users else None
    sharing = {ctid: one for ctid, one in sorted(containers.items()) if _has(one, profile)}
    ran = tuple(
        ctid
        for ctid, one in sharing.items()
        if one.label and (one.started is None or one.started <= denial.last)
    )
    owner = denial.owner.ctid if denial.owner and denial.owner.ctid in containers else None
    if owner is not None and (denial.count == 1 or {*sharing} <= {owner}):
        # of several equal lines only the last one's process is known
        return DenialGroup((owner,), denial)
    own = own_ctid(denial.profile)
    if not sharing and own is not None and own in containers:
        # it has gone back to another profile since
        return DenialGroup((own,), denial)
    return DenialGroup(ran, denial, len(ran) < len(sharing)) if sharing else None


def _has(container: ObservedContainer, profile: str) -> bool:
    """Whether a container runs under a profile, or would at its next start."""
    runs_as = Label.parse(container.label).profile if container.label else ""
    return profile in (runs_as.partition("//")[0], _conf_profile(container))


def _conf_profile(container: ObservedContainer) -> str:
    return ("", *container.conf.main.raw("lxc.apparmor.profile"))[-1].partition("//")[0]
