"""What is older than a fix that confinement rests on: kernel, LXC, and runc and Docker in guests.

Each table says where a fix came with. What is not in one is not known here: that is a note at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, cmp_to_key

from phoenix.apparmor.observed import Label, generated_profile
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Container, Fleet
from phoenix.plan.confinement import named_in, wanted
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.options import Options
from phoenix.pve.features import Features
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.versions import Kernel, ObservedVersions, series
from phoenix.text.debian_version import compare, is_older
from phoenix.text.printable import printable

_KERNEL_HOLES = (
    "the AppArmor holes of March 2026 (CVE-2026-23268, CVE-2026-23269, CVE-2026-23403 to 23411)"
)
#: The kernels with which their fixes came, by series. Proxmox: its advisory. Debian: its changelog
#: of linux (6.1, 6.12; `~`: with what is built of it for older releases), CVE records of the
#: kernel's (the others).
_KERNELS: Mapping[str, Mapping[tuple[int, int], str]] = {
    "Proxmox": {(6, 17): "6.17.13-2", (7, 0): "7.0.6-2"},
    "Debian": {
        (6, 1): "6.1.164-1~",
        (6, 6): "6.6.130",
        (6, 12): "6.12.74-2~",
        (6, 18): "6.18.18",
        (6, 19): "6.19.8",
        (7, 0): "7.0~rc4",
    },
}
#: Later series began with them; nobody had them before that day (the first of Debian's).
_SINCE_SERIES, _SINCE_DAY = (7, 0), "2026-03-01"

#: The parsers with which the fix for CVE-2016-1585 came, by series (AppArmor's release notes of
#: 2.13.8 and 3.0.10; 3.1.4 is of the same day); all from 4.0 on have it.
_PARSERS: Mapping[tuple[int, ...], tuple[int, ...]] = {
    (2, 13): (2, 13, 8),
    (3, 0): (3, 0, 10),
    (3, 1): (3, 1, 4),
}
_SINCE_PARSER = (4,)

_RUNC_HOLES = ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881")
#: Where runc's fixes for all of them came (its advisories); no series before had any.
_RUNC = {(1, 2): "1.2.8", (1, 3): "1.3.3", (1, 4): "1.4.0~rc3"}
#: Debian 13 has mended its own for the first two of them (changelog of runc).
_DEBIANS_RUNC, _NOT_MENDED = "1.1.15+ds1-2+deb13u1", _RUNC_HOLES[2:]

#: The first Docker whose docker-default names an abi, and the kernels that need it (moby).
_DOCKER, _UNIX_SINCE = "29.5.0", (6, 17)

# 1.4.0-rc.3, Debian's 1.4.0~rc3
_CANDIDATE = re.compile(r"[-~]rc\.?(?=[0-9])")
# as upstream calls it
_PLAIN = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-rc\.?[0-9]+)?(?:\+dev)?")

#: So many containers are named.
_MOST = 10


def kernel_findings(fleet: Fleet, options: Options, facts: NodeFacts) -> Iterator[Finding]:
    """Find a kernel whose holes a container's root can reach: one that may load policy."""
    kernel = facts.versions.running
    if not facts.versions.release or (fixed := _is_fixed(kernel)):
        return
    who = [
        ctid
        for ctid, observed in sorted(facts.containers.containers.items())
        if _Uses(observed, fleet.containers.get(ctid), options).loads_policy
    ]
    if not who:
        return
    more = f" and {len(who) - _MOST} more" if len(who) > _MOST else ""
    reach = f"root in CT {', '.join(map(str, who[:_MOST]))}{more} may load policy and so reach them"
    release = printable(facts.versions.release)
    if fixed is None:
        text = f"whether kernel {release} has the fixes for {_KERNEL_HOLES} is not known; {reach}"
        severity = Severity.NOTE
    else:
        text = f"kernel {release} is older than the fixes for {_KERNEL_HOLES}; {reach}"
        severity = Severity.WARNING
    yield Finding(Code.OLD_KERNEL, severity, text, fix=_way_to_kernel(kernel, facts))


def parser_findings(facts: NodeFacts) -> Iterator[Finding]:
    """Find a parser that makes more of a rule for mounts than it says.

    Measured with Debian 12's 3.0.8-3 (`apparmor_parser -D rule-exprs`): `mount options=(rw,slave)`
    is compiled into one more rule, for each file system without flags; a bind and a remount, too.
    """
    parser = facts.apparmor.parser
    if parser is None or parser >= _SINCE_PARSER:
        return
    fixed = _PARSERS.get(parser[:2])
    if fixed and parser >= fixed:
        return
    text = (
        f"apparmor_parser {'.'.join(map(str, parser))} has CVE-2016-1585: what a profile allows of "
        "binds, remounts and propagation it compiles into mounts of any type, so that root in a "
        "container may mount a procfs or sysfs where no rule about its files meets it"
    )
    fix = "upgrade the node to a release of Proxmox VE with AppArmor 4 (Proxmox VE 9)"
    yield Finding(Code.OLD_PARSER, Severity.WARNING, text, fix=fix)


def guest_findings(
    fleet: Fleet, options: Options, facts: NodeFacts, ctids: Iterable[int]
) -> Iterator[Finding]:
    """Find what is too old in the guests of these containers, or too new for the node's LXC."""
    for ctid in ctids:
        observed, docker = facts.containers.containers[ctid], facts.dockers.get(ctid)
        if docker is not None:
            uses = _Uses(observed, fleet.containers.get(ctid), options)
            yield from _Guest(observed, docker, uses, facts.versions).judge()


def _is_fixed(kernel: Kernel) -> bool | None:
    """Whether a kernel has the fixes, None where that is not known."""
    if floor := _KERNELS.get(kernel.vendor, {}).get(kernel.series):
        return not is_older(kernel.version, floor)
    if kernel.series > _SINCE_SERIES:
        return True
    return False if kernel.built and kernel.built < _SINCE_DAY else None


def _way_to_kernel(kernel: Kernel, facts: NodeFacts) -> str:
    ready = [
        one.version
        for one in facts.versions.installed
        if kernel.vendor in ("", one.vendor) and _is_fixed(one)
    ]
    if ready:
        newest = printable(max(ready, key=cmp_to_key(compare)))
        return f"{newest} is installed and has them: reboot the node into it"
    floor = _KERNELS.get(kernel.vendor, {}).get(kernel.series, "").rstrip("~")
    at_least = f"{floor} or newer" if floor else "of Proxmox VE, 6.17.13-2 or 7.0.6-2 or newer"
    return f"upgrade the node to a kernel that has them ({at_least}) and reboot it"


@dataclass(frozen=True)
class _Uses:
    """How a container is confined now, by its conf, and by the fleet file: all that has no `now`.

    `container`: its entry there, None where it has none: it stays as it is.
    """

    observed: ObservedContainer
    container: Container | None
    options: Options

    @property
    def loads_policy(self) -> bool:
        """Whether its root may load AppArmor policy, into a namespace of its own, now or later."""
        if self.observed.conf.template:
            return False
        label = Label.parse(self.observed.label or "")
        is_stacked = label.namespace and label.profile != generated_profile(self.observed.ctid)
        return bool(is_stacked) or self._loads_policy_now or self.will_load_policy

    @property
    def will_load_policy(self) -> bool:
        """Whether it may under the profile that it shall have."""
        if self.container is None:
            return self._loads_policy_now
        confinement = wanted(self.container, self.options)
        return confinement.stacked if confinement.named else self.generated and self.nests

    @property
    def generated(self) -> bool:
        """Whether that is the one that LXC generates."""
        if self.container is None:
            return named_in(self.observed.conf, self.observed.includes) == "generated"
        return wanted(self.container, self.options).template == "generated"

    @property
    def nests(self) -> bool:
        """Whether it has nesting=1 with it."""
        asked = self.container.features.get("nesting") if self.container else None
        return self._nests_now if asked is None else asked == "1"

    @property
    def _loads_policy_now(self) -> bool:
        """Whether it may under the profile of its conf."""
        named = named_in(self.observed.conf, self.observed.includes)
        return "//&" in named or (named == "generated" and self._nests_now)

    @property
    def _nests_now(self) -> bool:
        try:
            return Features.parse(self.observed.conf.main["features"]).on("nesting")
        except ValueError:
            # the plan says so, where it is its business
            return False


@dataclass(frozen=True)
class _Guest:
    """What runs in a guest against what its fixes came with; what it says has a closed form."""

    observed: ObservedContainer
    docker: ObservedDocker
    uses: _Uses
    versions: ObservedVersions

    def judge(self) -> Iterator[Finding]:
        """Its findings."""
        yield from self._lxc()
        yield from self._runc()
        yield from self._docker()

    def _lxc(self) -> Iterator[Finding]:
        lxc, old = self.versions.lxc, self._old_lxc
        if lxc and old and self.uses.generated and self._runc_series_fix and not self._lacks:
            nesting = "" if self.uses.nests else ", and nesting=1 for it"
            yield self._finding(
                Code.OLD_LXC,
                Severity.WARNING,
                f"runc {self._runc_shown} cannot start a container under the profile that {old} "
                "generates",
                f"upgrade that on the node to {lxc.floor} or newer{nesting}; or name a "
                "profile for it",
            )

    def _runc(self) -> Iterator[Finding]:
        lacks = self._lacks
        if not lacks:
            return
        text = f"runc {self._runc_shown} is older than the fixes for {', '.join(lacks)}"
        first = f"upgrade {self._old_lxc} on the node, then " if self._breaks_by_upgrade else ""
        floors = ", ".join(_RUNC.values()).replace("~rc", "-rc.")
        if self._is_packaged:
            severity = Severity.NOTE
            text += "; its distribution may have mended it under that number"
            fix = f"{first}upgrade it in the guest, or see the distribution's security tracker"
        else:
            severity = Severity.WARNING
            text += ": what runs in its Docker can become root of the guest"
            fix = f"{first}upgrade it (containerd.io) in the guest: {floors} have them"
        yield self._finding(Code.OLD_RUNC, severity, text, fix)

    def _docker(self) -> Iterator[Finding]:
        version = self.docker.version
        # one that is nobody's business says itself whether it has a docker-default
        its_own = self.uses.container is None and self.docker.apparmor
        confines = self.uses.will_load_policy or its_own
        mediates = series(self.versions.release) >= _UNIX_SINCE
        if version and confines and mediates and is_older(_comparable(version), _DOCKER):
            yield self._finding(
                Code.OLD_DOCKER,
                Severity.NOTE,
                f"Docker {version} has no abi in its docker-default, by which kernels since 6.17 "
                "deny unix sockets in its containers",
                f"upgrade Docker in the guest to {_DOCKER} or newer",
            )

    @cached_property
    def _old_lxc(self) -> str:
        """The node's LXC and its version, if that is older than its fix."""
        lxc = self.versions.lxc
        return printable(f"{lxc.package} {lxc.version}") if lxc and not lxc.is_fixed else ""

    @cached_property
    def _runc_shown(self) -> str:
        return self.docker.runc_build or self.docker.runc

    @cached_property
    def _runc_series_fix(self) -> str:
        """The version with which the fixes came into its series, "" for one that never had any."""
        of = series(self._runc_shown)
        newest = max(_RUNC)
        return _RUNC[newest] if of > newest else _RUNC.get(of, "")

    @cached_property
    def _lacks(self) -> tuple[str, ...]:
        """The holes that its runc still has, as far as its version tells."""
        version = _comparable(self._runc_shown)
        if series(version) == (0, 0):
            return ()
        if self._runc_series_fix:
            return _RUNC_HOLES if is_older(version, self._runc_series_fix) else ()
        is_debians = "+deb13u" in version and not is_older(version, _DEBIANS_RUNC)
        return _NOT_MENDED if is_debians else _RUNC_HOLES

    @property
    def _breaks_by_upgrade(self) -> bool:
        return bool(self._old_lxc) and self.uses.generated

    @property
    def _is_packaged(self) -> bool:
        """Whether it is a distribution's, which mends what it has under its old number."""
        states = map(self.docker.packages.get, ("runc", "moby-engine"))
        has_package = any((state or "")[1:] == "i" for state in states)
        return has_package or not _PLAIN.fullmatch(self._runc_shown)

    def _finding(self, code: Code, severity: Severity, message: str, fix: str) -> Finding:
        name = printable(self.observed.conf.hostname or "")
        return Finding(code, severity, message, self.observed.ctid, name, fix)


def _comparable(version: str) -> str:
    """A version of upstream's as Debian writes it: what comes before a release comes before it."""
    return _CANDIDATE.sub("~rc", version)
