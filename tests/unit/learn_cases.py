"""Lines of a node's log about one container, and what is learned of them."""

from dataclasses import replace
from datetime import UTC, datetime

from phoenix.apparmor.denials import Owner, read_line
from phoenix.apparmor.learn import Whose, learn, written
from phoenix.apparmor.overlay import read_overlay

NAME = "lxc-docker-nested"
OWN = f"{NAME}-910-complain"
WHOSE = Whose(910, {OWN, f"{NAME}-910"}, {NAME, f"{NAME}-complain"}, ("/var/lib/docker",))
ID = "0123456789abcdef" * 4
NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
LAST = 1795305662.5
WEB = Owner(910, ID, "web")


def hexed(text):
    """As the kernel writes what a guest may choose."""
    plain = text.isascii() and text.isprintable() and not {*text} & {*' "'}
    raw = text.encode("utf-8", "surrogateescape")
    return f'"{text}"' if plain and text else raw.hex().upper()


def seen(operation, count=1, profile=OWN, owner=None, verdict="ALLOWED", comm="app", **fields):
    """One kind of refusal; a value of `fields` is written as the kernel writes such a field."""
    free = ("name", "srcname", "peer", "target")
    said = {key: hexed(value) if key in free else f'"{value}"' for key, value in fields.items()}
    said |= {key: value for key, value in fields.items() if key in ("fsuid", "error", "signal")}
    words = " ".join(f"{key}={value}" for key, value in said.items())
    line = (
        f'type=AVC msg=audit(1795305662.500:1): apparmor="{verdict}" operation="{operation}" '
        f'profile="{profile}" pid=7 comm={hexed(comm)} {words}'
    )
    denial = read_line(line)
    assert denial
    return replace(denial, count=count, last=LAST, owner=owner)


def mount(name, srcname="", flags="", fstype="", **more):
    given = {"name": name, "srcname": srcname, "flags": flags, "fstype": fstype}
    given = {key: value for key, value in given.items() if value}
    return seen("mount", **{"class": "mount"}, **given, **more)


def file(name, mask="w", **more):
    return seen(
        "open",
        **{"class": "file"},
        name=name,
        requested_mask=mask,
        denied_mask=mask,
        fsuid="100000",
        **more,
    )


def lesson(*denials, present=(), whose=WHOSE):
    return learn([(whose, denials)], present)


def learned(*denials, **more):
    """The rules alone."""
    return [one.text for one in lesson(*denials, **more).rules]


def refused(*denials):
    """Why there is no rule."""
    found = lesson(*denials)
    assert found.rules == ()
    return [one.why for one in found.refused]


def overlay(*denials, present="", since="2026-11-27"):
    """The overlay that comes of it."""
    lines, flaws = read_overlay(present.encode())
    assert flaws == ()
    return written(present, lesson(*denials, present=lines), 910, since, NOW)
