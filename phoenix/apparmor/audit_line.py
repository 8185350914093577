"""One line of the kernel's audit log about AppArmor, read the same way on both sides.

The node counts equal refusals of containers with it, so that a long log costs no more than its
reading; the operator's side reads what it sends. Packed into the node's program: Python 3.9 and
the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

#: How the text of a refusal begins; a profile that kills for it says so.
REFUSED = ('apparmor="DENIED"', 'apparmor="KILLED"')
_VERDICT = 'apparmor="(?:DENIED|KILLED|ALLOWED|AUDIT)" '
# As auditd writes it (log_format, name_format) and as the kernel's own log has it. At the line's
# beginning only: what a program says in a message of its own stands further on.
_HEAD = re.compile(
    r"(?:node=\S+ )?(?:type=AVC msg=|(?:audit: )?type=1400 )"
    rf"audit\(([0-9]{{1,12}}\.[0-9]{{1,3}}):([0-9]{{1,20}})\): (?={_VERDICT})"
)
# The message bus asks for AppArmor's policy itself, and has the kernel log what it refuses (dbus,
# bus/apparmor.c; AUDIT_USER_AVC). In front of the quotation stands what the kernel knows of the
# bus: one inside a container says what it likes.
_BUS_HEAD = re.compile(
    r"(?:node=\S+ )?(?:type=USER_AVC msg=|(?:audit: )?type=1107 )"
    r"audit\(([0-9]{1,12}\.[0-9]{1,3}):([0-9]{1,20})\): "
    rf"(?:(?!subj==?\"?lxc-)[^\s']+ +)*msg='(?={_VERDICT}operation=\"dbus_)"
)
_PEER_PID = re.compile(r" peer_pid=[0-9]+")
_PEER = re.compile(r' peer_(?:label|profile)="')
# of a stack of profiles the kernel says the label, and the bus always does
_LABEL = re.compile(r' label="([^"]+)"')
# the kernel writes a name in hex that holds a blank or a quote: no name can look like a field
_OF_CONTAINER = re.compile(r' (?:profile="(?:lxc-|/usr/bin/lxc-start")|namespace="root//lxc-)')
_FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
# the fields that the kernel writes in hex if they hold a blank, a quote or no ASCII
# (audit_log_untrustedstring in security/apparmor)
_UNTRUSTED = frozenset({"profile", "namespace", "name", "srcname", "target", "peer", "comm"})
_TIME = re.compile(r"audit\(([0-9]{1,12}(?:\.[0-9]{1,3})?):")
_PROFILE = re.compile(r' profile="([^"]+)"')
# the last part of a name
_NAME = re.compile(r'( name="[^"]*/)[^"/]+(/?")')
_PID = re.compile(r" pid=([0-9]{1,10})(?![0-9])")
_NAMESPACE = re.compile(r' namespace=("[^"]*"|\S+)')
_PROCESS = re.compile(r'"/proc/[0-9]+')

#: A line of the kernel's is shorter (a path in hex is 8 KiB).
LONGEST = 16 * 1024


def read_fields(line: str) -> Mapping[str, str]:
    r"""The fields of a line, decoded; of one that is none of these none. Never raises.

    `apparmor` says what became of it: DENIED, KILLED, ALLOWED (complain mode), or AUDIT: a rule
    lets it pass and asks for a line. Where a line has a label, that is there, and its first
    profile as `profile`; the other side is `peer`, as the kernel calls it.

    >>> read_fields('audit(17.5:1): apparmor="DENIED" operation="open" name=2F6120')["name"]
    '/a '
    """
    found = _BUS_HEAD.search(line[:LONGEST])
    text = _said(line[:LONGEST], found.end() if found else 0, bool(found))
    fields = {name: _value(name, value) for name, value in _FIELD.findall(text)}
    return fields if fields.get("apparmor") in ("DENIED", "KILLED", "ALLOWED", "AUDIT") else {}


def read_time(line: str) -> float:
    """When it was logged, in seconds since the epoch; 0 where the line does not say."""
    found = _TIME.search(line)
    return float(found[1]) if found else 0.0


class Refusal(NamedTuple):
    """A line about a container: when, and the text by which equal ones are counted.

    `pid`: the process as the node counts, 0 where the line names none; `serial`: the kernel's own
    number of the line, which begins anew with each boot.
    """

    time: float
    text: str
    pid: int = 0
    serial: int = 0


def refusal(line: str) -> Refusal | None:
    r"""What a container was refused, or a rule logged of it; None for every other line.

    In the text neither one process is told from another, nor its folder in /proc.

    >>> refusal('type=AVC msg=audit(17.500:1): apparmor="DENIED" operation="open" profile="lxc-a" '
    ...     'name="/proc/7/mem" pid=7 comm="dd"\x1dFSUID="root"').text
    'apparmor="DENIED" operation="open" profile="lxc-a" name="/proc/*/mem" comm="dd"'
    """
    if 'apparmor="' not in line[:1000] or len(line) > LONGEST:
        return None
    of_bus = _BUS_HEAD.match(line)
    head = of_bus or _HEAD.match(line)
    if head is None:
        return None
    text = _said(line, head.end(), bool(of_bus))
    # what a guest's own policy logs is the guest's affair
    if not _OF_CONTAINER.search(text) or (is_logged(text) and " namespace=" in text):
        return None
    pid = 0
    if found := _PID.search(text):
        pid, text = int(found[1]), text[: found.start()] + text[found.end() :]
    return Refusal(float(head[1]), _PROCESS.sub('"/proc/*', text), pid, int(head[2]))


def whose(text: str) -> str:
    """In whose name such a text is counted: a profile of the node, without those below it, or a
    container's namespace, whatever its root calls the policies in there.

    >>> whose('apparmor="DENIED" profile="lxc-a//null-/usr/bin/x" name="/b"')
    'lxc-a'
    >>> whose('apparmor="DENIED" namespace="root//lxc-910_<-var-lib-lxc>//x" profile="lxc-b"')
    'root//lxc-910_<-var-lib-lxc>'
    """
    if found := _NAMESPACE.search(text):
        return "//".join(_value("namespace", found[1]).split("//")[:2])
    profile = _PROFILE.search(text)
    return profile[1].partition("//")[0] if profile else ""


def is_logged(text: str) -> bool:
    """Whether nothing was refused: a rule with `audit` asks for the line."""
    return text.startswith('apparmor="AUDIT"')


def folder_of(text: str) -> str:
    """The same text for all files of a folder.

    >>> folder_of('apparmor="AUDIT" profile="lxc-a" name="/etc/hosts"')
    'apparmor="AUDIT" profile="lxc-a" name="/etc/*"'
    """
    return _NAME.sub(r"\1*\2", text)


def _said(line: str, begin: int, of_bus: bool) -> str:
    """What AppArmor says from there on, in the words that its lines have for all kinds."""
    # auditd's enriched fields follow a group separator: they repeat, in words
    text = line[begin:].partition("\x1d")[0].rstrip()
    if of_bus:
        # what libaudit puts behind it; the kernel's log has that in a line of its own
        text = text.partition(' exe="')[0].rstrip(" '\n").replace("  ", " ")
        text = _PEER.sub(' peer="', _PEER_PID.sub("", text, count=1), count=1)
    return text if ' profile="' in text else _LABEL.sub(_first_profile, text, count=1)


def _first_profile(label: re.Match[str]) -> str:
    return f' profile="{label[1].partition("//&")[0]}"{label[0] if "//&" in label[1] else ""}'


def _value(name: str, value: str) -> str:
    if value.startswith('"'):
        return value.strip('"')
    if name in _UNTRUSTED and _HEX.fullmatch(value):
        return bytes.fromhex(value).decode("utf-8", "replace")
    return value
