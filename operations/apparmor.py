"""AppArmor profiles: installed, loaded, read back; and what they need of a node."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

from pyinfra import host
from pyinfra.api import OperationValueError, StringCommand, operation

from facts.apparmor import AppArmor
from facts.program import doing
from operations.diff import show_diff
from phoenix.apparmor.observed import (
    OWN_FILES,
    PROFILE_NAME,
    TUNABLES_HOME,
    TUNABLES_SITE,
    ObservedAppArmor,
)
from phoenix.docker.daemon_json import digest
from phoenix.fleet.values import variable, variable_value
from phoenix.plan.findings import Finding
from phoenix.plan.site_tunables import SiteTunablesChange, plan_site_tunables
from phoenix.plan.tunables import TunablesChange, plan_tunables
from phoenix.runs.record import check_run_id

#: Seconds for compiling a node's hundred profile files twice.
TUNABLES_TIMEOUT = 900


@operation()
def tunables(
    run: str, observed: ObservedAppArmor | None = None
) -> Generator[StringCommand, None, None]:
    """Repair the broken lines of `/etc/apparmor.d/tunables/home`, and nothing else in it.

    + run: id of the run that keeps the before-image
    + observed: what the node has, if already asked

    Proven by compiling every profile file before and after; otherwise the old text is restored.
    Tunables that the node's parser takes cost no command. Raises OperationValueError where the
    repair is not ours to guess.
    """
    check_run_id(run)
    if observed is None:
        observed = host.get_fact(AppArmor)
    yield from _install_tunables(
        TUNABLES_HOME, run, plan_tunables(observed), "the tunables compile"
    )


@operation()
def site_tunables(
    tunables: Mapping[str, Sequence[str]], run: str, observed: ObservedAppArmor | None = None
) -> Generator[StringCommand, None, None]:
    """Have these AppArmor variables set on the node, in a file of our own, and no others there.

    + tunables: name to values; without any the file goes
    + run: id of the run that keeps the before-image
    + observed: what the node has, if already asked

    Proven by compiling every profile file before and after; otherwise the old text is restored.
    Our profiles that are loaded are loaded anew with it. Raises OperationValueError for what is no
    variable, and where the node's AppArmor would make nothing of the file.

    **Example:**

    .. code:: python

        apparmor.site_tunables(
            name="Who may signal whom",
            tunables={"apparmor_nesting_profiles": ["lxc-docker-nested", "lxc-phoenix-v2"]},
            run="r20261122T013000Z-beef",
        )
    """
    check_run_id(run)
    try:
        wanted = {
            variable(name): tuple(variable_value(value) for value in values)
            for name, values in tunables.items()
        }
    except ValueError as error:
        raise OperationValueError(f"tunables: {error}") from None
    if observed is None:
        observed = host.get_fact(AppArmor)
    planned = plan_site_tunables(wanted, observed)
    fine = "the site's tunables are as they should be"
    yield from _install_tunables(TUNABLES_SITE, run, planned, fine)


def _install_tunables(
    name: str,
    run: str,
    planned: tuple[TunablesChange | SiteTunablesChange | None, tuple[Finding, ...]],
    fine: str,
) -> Generator[StringCommand, None, None]:
    """Do what is planned for a file; `fine`: what to say where that is nothing."""
    change, against = planned
    if against:
        raise OperationValueError("; ".join(map(str, against)))
    if change is None:
        host.noop(fine)
        return
    show_diff(f"/etc/apparmor.d/{name}", change.before, change.after)
    yield doing(
        "install-tunables",
        name,
        run,
        digest(change.before),
        digest(change.after),
        request={"text": change.after},
        _timeout=TUNABLES_TIMEOUT,
    )


@operation()
def own_file(
    path: str, text: str, run: str, observed: ObservedAppArmor | None = None
) -> Generator[StringCommand, None, None]:
    """Install a file of ours that profiles need beside themselves.

    + path: of `phoenix.apparmor.observed.OWN_FILES`: the script that gives each stacked container
      its policy namespace, or the features by which profiles are compiled
    + text: the whole file
    + run: id of the run that keeps the before-image
    + observed: what the node has, if already asked

    One that is there as it shall be costs no command. Raises OperationValueError for any other
    path.
    """
    if path not in OWN_FILES:
        raise OperationValueError(f"{path!r}: no file of ours: {', '.join(OWN_FILES)}")
    check_run_id(run)
    if observed is None:
        observed = host.get_fact(AppArmor)
    before = observed.own_file(path)
    if before == text:
        host.noop(f"{path} is installed")
        return
    show_diff(path, before, text)
    yield doing("install-file", path, run, request={"text": text})


@operation()
def profile(
    profile: str,
    text: str,
    run: str,
    observed: ObservedAppArmor | None = None,
    mode: str = "enforce",
    shown: bool = True,
) -> Generator[StringCommand, None, None]:
    """Install `text` as `/etc/apparmor.d/PROFILE` and have the kernel load it.

    + profile: the name that the text declares, `lxc-...`
    + text: the whole file
    + run: id of the run that keeps the before-image
    + observed: what the node has, if already asked
    + mode: that in which the kernel shall have it, `enforce` or `complain`; the text says the same
    + shown: print how its file changes

    Compiled with the node's own parser before anything is written; a profile that is installed
    and loaded so costs no command. Raises OperationValueError for a name that lxc-start may not
    enter, and for another mode.
    """
    if not PROFILE_NAME.fullmatch(profile):
        raise OperationValueError(f"{profile!r}: lxc-start may enter only profiles named lxc-...")
    if mode not in ("enforce", "complain"):
        raise OperationValueError(f"mode={mode!r}: write enforce or complain")
    check_run_id(run)
    if observed is None:
        observed = host.get_fact(AppArmor, files=(profile,))
    before = observed.files.get(profile)
    is_right = before == text and profile not in observed.stale
    if is_right and observed.loaded.get(profile) == mode:
        host.noop(f"profile {profile} is installed and loaded ({mode})")
        return
    if shown:
        show_diff(f"/etc/apparmor.d/{profile}", before, text)
    yield doing("install-profile", profile, run, mode, request={"text": text})
