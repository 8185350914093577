"""What the scripts that a conf has run on the node at its start may do to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phoenix.apparmor.observed import HOOK
from phoenix.fleet.model import Container
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.workarounds import asked_for
from phoenix.pve.hookscripts import HookScript
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.text.printable import printable

#: Of one that the node was not asked about.
_UNREAD = HookScript("", None)

#: pve-container `vm_start` runs it after it has written LXC's configuration.
_COUNTS = "what it writes into the conf counts from the next start on"


def hookscript_findings(
    observed: ObservedContainer,
    container: Container | None,
    scripts: Mapping[str, HookScript],
    need: str = "",
) -> Iterator[Finding]:
    """Each script of a container, and whether it writes confs, by its text; ours aside.

    `container`: its entry in the fleet file, if any; `scripts`: what the node has, by their names;
    `need`: whether Docker needs one that undoes confinement, in words. One that says so is a
    warning: the container may be confined today and not at its next start.
    """
    name = printable(observed.conf.hostname or "")
    for what, script, fix in _scripts(observed, container):
        found = scripts.get(script, _UNREAD)
        text = f"{what} runs on the node at each start{_does(found, need)}"
        severity = Severity.WARNING if found.undoes else Severity.NOTE
        yield Finding(Code.HOOKSCRIPT, severity, printable(text, None), observed.ctid, name, fix)


def _scripts(
    observed: ObservedContainer, container: Container | None
) -> Iterator[tuple[str, str, str]]:
    """How to name each, its key among those of the node, and how to be rid of it."""
    ctid, main = observed.ctid, observed.conf.main
    if script := main["hookscript"]:
        fix = f"pct set {ctid} --delete hookscript takes it out, with whatever else it does"
        yield f"hookscript {script}", script, fix
    for key, value in main.raw_items():
        words = value.split()
        if key.startswith("lxc.hook.") and words and words[0] != HOOK:
            fix = f"take the line out of /etc/pve/lxc/{ctid}.conf"
            if asked_for(container, RawKey(key, value)):
                fix = "the fleet file asks for it; take it out of lxc_options there"
            yield f"{key}: {value}", words[0], fix


def _does(script: HookScript, need: str) -> str:
    """What it does, in a predicate that follows "runs on the node at each start"."""
    part = f" (of it the first part: it is {script.why})" if script.text and script.why else ""
    if script.unknown:
        return (
            f", and nobody can tell what it does ({script.unknown}): if it writes "
            f"lxc.apparmor.profile: unconfined, that counts from the next start on"
        )
    if script.undoes:
        end = f"; {need}" if need else ""
        return f" and undoes confinement by its text ({', '.join(script.undoes)}): {_COUNTS}{end}"
    if script.writes:
        return f" and may write confs by its text ({', '.join(script.writes)}){part}: {_COUNTS}"
    return f"; its text names no conf{part}"
