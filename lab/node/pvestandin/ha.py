"""What Proxmox says of a broken /etc/pve/ha/resources.cfg whenever it reads it."""

from __future__ import annotations

import re

from . import node

_FILE = "/etc/pve/ha/resources.cfg"
_PROPERTIES = {"comment", "failback", "group", "max_relocate", "max_restart", "state"}


def warn_of_broken_resources() -> None:
    """Warn of each line that means nothing (PVE::SectionConfig parse_config)."""
    text = _text()
    section: str | None = None
    skipped = False
    for number, line in enumerate(text.split("\n"), 1):
        where = f"file {_FILE} line {number}"
        if re.match(r"\s*#", line):
            continue
        if not line:
            section = None
        elif section is None:
            # PVE::HA::Resources parse_section_header
            head = re.fullmatch(r"(\S+):\s*(\S+)\s*", line)
            if not head:
                node.warn(f"{where} - ignore config line: {line}")
                continue
            section = head[2]
            problem = _problem(head[1].lower(), section)
            skipped = problem is not None
            if problem:
                node.warn(f"{where} (skip section '{section}'): {problem}")
        elif not skipped:
            pair = re.fullmatch(r"\s+(\S+)(\s+(.*\S))?\s*", line)
            if not pair:
                node.warn(f"{where} (section '{section}') - ignore config line: {line}")
            elif pair[1] not in _PROPERTIES:
                why = f"unable to parse value of '{pair[1]}': unexpected property '{pair[1]}'"
                node.warn(f"{where} (section '{section}') - {why}")


def _problem(kind: str, name: str) -> str | None:
    if kind not in ("ct", "vm"):
        return f"no such resource type '{kind}'"
    return None if re.fullmatch(r"[1-9][0-9]+", name) else f"invalid VMID '{name}'"


def manages(ctid: str) -> bool:
    """Is the container one of HA's resources (service_is_configured)?"""
    return _section(ctid) is not None


def forget(ctid: str) -> bool:
    """Take the container out of HA's resources; was it one of them?"""
    if (section := _section(ctid)) is None:
        return False
    text = _text()
    node.replace(node.path(_FILE), (text[: section.start()] + text[section.end() :]).encode())
    return True


def _section(ctid: str) -> re.Match[str] | None:
    return re.search(rf"(?m)^(?:ct|vm):\s*{ctid}\s*\n(?:[ \t]+\S.*\n?)*\n?", _text())


def _text() -> str:
    return (node.read(node.path(_FILE)) or b"").decode("utf-8", "surrogateescape")
