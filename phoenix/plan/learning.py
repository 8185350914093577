"""By which profiles a node's log tells that a line is about one container."""

from __future__ import annotations

from phoenix.apparmor.learn import Whose
from phoenix.apparmor.observed import Label, ObservedAppArmor
from phoenix.docker.data_root import DATA_ROOT
from phoenix.fleet.model import Container
from phoenix.plan.confinement import PROFILE_KEY, forms
from phoenix.plan.guest_paths import written_data_roots
from phoenix.pve.observed import ObservedContainer, ObservedPct


def whose(container: Container, pct: ObservedPct, apparmor: ObservedAppArmor) -> Whose:
    """The forms of its own profile, and those that others may carry, as the node is now.

    A clone keeps the profile of what it was cloned from: one that another container carries, or
    would at its next start, is nobody's own.
    """
    ctid, template = container.ctid, container.profile
    others = {name for one in pct.containers.values() if one.ctid != ctid for name in _names(one)}
    own = {form.profile for form in forms(template, ctid)}
    shared = {form.profile for form in forms(template)}
    return Whose(ctid, own - others, shared | (own & others), _data_roots(own | shared, apparmor))


def profile_names(container: Container) -> tuple[str, ...]:
    """All that its profile may be called."""
    every = (*forms(container.profile, container.ctid), *forms(container.profile))
    return tuple(form.profile for form in every)


def carried(container: ObservedContainer) -> str:
    """The profile that it runs under, "" for one that does not run."""
    return Label.parse(container.label).profile if container.label else ""


def _names(container: ObservedContainer) -> set[str]:
    named = container.conf.main.raw(PROFILE_KEY)[-1:]
    return {carried(container), *(Label.parse(value).profile for value in named)}


def _data_roots(names: set[str], apparmor: ObservedAppArmor) -> tuple[str, ...]:
    """Those that the installed profiles name."""
    texts = [apparmor.files[name] for name in sorted(names) if name in apparmor.files]
    found = dict.fromkeys(root for text in texts for root in written_data_roots(text))
    return tuple(found) or (DATA_ROOT,)
