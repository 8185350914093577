"""What the scripts that a conf has run on the node at its start may do to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phoenix.apparmor.observed import HOOK
from phoenix.fleet.model import Container
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.workarounds import asked_for
from phoenix.pve.hooks import hook_lines, program
from phoenix.pve.hookscripts import HookScript
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.text.printable import printable

#: Of one that the node was not asked about.
_UNREAD = HookScript("", None)
_NOTHING = HookScript("", "")

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
    for what, command, found, fix in _scripts(observed, container, scripts):
        undoes = (*command.undoes, *found.undoes)
        does = _undoes(undoes, need) if undoes else _does(command, found)
        text = f"{what} runs on the node at each start{does}"
        severity = Severity.WARNING if undoes else Severity.NOTE
        yield Finding(Code.HOOKSCRIPT, severity, printable(text, None), observed.ctid, name, fix)


def _scripts(
    observed: ObservedContainer, container: Container | None, scripts: Mapping[str, HookScript]
) -> Iterator[tuple[str, HookScript, HookScript, str]]:
    """How to name each, its command, what the node has of its script, and how to be rid of it."""
    ctid, main = observed.ctid, observed.conf.main
    if script := main["hookscript"]:
        fix = f"pct set {ctid} --delete hookscript takes it out, with whatever else it does"
        yield f"hookscript {script}", _NOTHING, scripts.get(script, _UNREAD), fix
    for key, value in hook_lines(main, HOOK):
        fix = f"take the line out of /etc/pve/lxc/{ctid}.conf"
        if asked_for(container, RawKey(key, value)):
            fix = "the fleet file asks for it; take it out of lxc_options there"
        # of a command that runs no script the words are all there is
        found = scripts.get(path, _UNREAD) if (path := program(value)) else _NOTHING
        yield f"{key}: {value}", HookScript("", value), found, fix


def _undoes(words: tuple[str, ...], need: str) -> str:
    end = f"; {need}" if need else ""
    told = ", ".join(dict.fromkeys(words))
    return f" and undoes confinement by its text ({told}): {_COUNTS}{end}"


def _does(command: HookScript, script: HookScript) -> str:
    """What else one does, in a predicate that follows "runs on the node at each start"."""
    part = f" (of it the first part: it is {script.why})" if script.text and script.why else ""
    if script.is_lxcs:
        return "; it is one of LXC's own"
    if script.unknown:
        return (
            f", and nobody can tell what it does ({script.unknown}): if it writes "
            f"lxc.apparmor.profile: unconfined, that counts from the next start on"
        )
    names = (*command.names, *script.names)
    if writes := (*command.writes, *script.writes):
        words = ", ".join(dict.fromkeys((*writes, *names)))
        return f" and may write confs by its text ({words}){part}: {_COUNTS}"
    if names:
        return f"; its text names {', '.join(dict.fromkeys(names))}, but no conf{part}"
    return f"; its text names no conf{part}"
