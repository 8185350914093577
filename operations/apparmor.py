"""AppArmor profiles: installed, loaded, read back."""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Generator
from pathlib import Path

from pyinfra import host
from pyinfra.api import OperationValueError, QuoteString, StringCommand, operation

from facts.apparmor import AppArmor
from operations.diff import show_diff
from operations.transaction import RUNS
from phoenix.apparmor import PROFILE_NAME, ObservedAppArmor
from phoenix.journal import check_run_id

SCRIPT = Path(__file__).parents[1] / "templates/node/install-profile.sh"


@operation()
def profile(
    profile: str, text: str, run: str, observed: ObservedAppArmor | None = None
) -> Generator[StringCommand, None, None]:
    """Install `text` as `/etc/apparmor.d/PROFILE` and have the kernel enforce it.

    + profile: the name that the text declares, `lxc-...`
    + text: the whole file
    + run: id of the run that keeps the before-image
    + observed: what the node has, if already asked

    Compiled with the node's own parser before anything is written; a profile that is installed
    and enforced costs no command. Raises OperationValueError for a name that lxc-start may not
    enter.
    """
    if not PROFILE_NAME.fullmatch(profile):
        raise OperationValueError(f"{profile!r}: lxc-start may enter only profiles named lxc-...")
    check_run_id(run)
    if observed is None:
        observed = host.get_fact(AppArmor, files=(profile,))
    before = observed.files.get(profile)
    if before == text and observed.loaded.get(profile) == "enforce":
        host.noop(f"profile {profile} is installed and enforced")
        return
    show_diff(f"/etc/apparmor.d/{profile}", before, text)
    yield StringCommand(
        "sh",
        "-c",
        QuoteString(SCRIPT.read_text()),
        "install-profile",
        QuoteString(profile),
        QuoteString(f"{RUNS}/{run}"),
        _stdin=encodebytes(text.encode()).decode(),
    )
