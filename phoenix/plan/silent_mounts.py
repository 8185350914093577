"""Mounts of the node that give no answer: whoever starts such a container waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.bind_sources import bind_sources
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer
from phoenix.text.printable import printable
from phoenix.text.some import some


def silent_text(conf: PveConf, silent: Mapping[str, str]) -> str:
    """What a conf mounts of such, in words, "" for nothing; `silent`: by path how that shows."""
    found = [path for path in bind_sources(conf) if path in silent]
    words = some([f"{path} ({silent[path]})" for path in found])
    return printable(f"{words} on the node: its next start waits for that", None) if found else ""


def silent_fix(ctid: int) -> str:
    """What to do: the share comes back, or the mount goes."""
    return f"bring its server back, or umount -l it, or take the mount out of the conf of CT {ctid}"


def silent_findings(
    observed: ObservedContainer, silent: Mapping[str, str], said: Iterable[Finding]
) -> Iterator[Finding]:
    """Find what a conf mounts of such; `said`: what a plan has found of it already.

    A template never starts.
    """
    known = any(one.code == Code.MOUNT for one in said)
    text = silent_text(observed.conf, silent)
    if text and not known and not observed.conf.template:
        name, fix = printable(observed.conf.hostname or ""), silent_fix(observed.ctid)
        yield Finding(Code.MOUNT, Severity.WARNING, text, observed.ctid, name, fix)
