"""The one function through which text reaches a screen, a line of a log, or HTML.

A guest is the attacker, and what it says is shown to people: nothing of it may move a cursor,
end a line, or turn the order of what is read around. Packed into the node's program: Python 3.9.
"""

from __future__ import annotations

#: How long a text may be that stands in a sentence of ours.
LONGEST_SHOWN = 80

#: How long a line may be of what a guest printed.
LONGEST_LINE = 400


def printable(text: str, limit: int | None = LONGEST_SHOWN) -> str:
    r"""Make any string fit for one line of a terminal.

    Control characters, lone surrogates (bytes that were no UTF-8), line and paragraph separators
    and invisible format characters, those that turn the writing direction among them, become
    `\x1b`, `\udc9b` or `\u202e`: all that `str.isprintable` leaves out (the general categories
    Cc, Cf, Cs, Co, Cn, Zl, Zp, and Zs but for the blank). Longer text than `limit` is cut in its
    middle; None leaves it whole.

    >>> printable("a\x1b[2Jb\u202e")
    'a\\x1b[2Jb\\u202e'
    >>> printable("0123456789", 5)
    '012…9'
    """
    if limit is not None and len(text) > limit:
        tail = min(20, limit // 3)
        text = f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def printable_lines(text: str, lines: int = 15) -> list[str]:
    r"""Give the last lines of what a guest printed, each fit for a terminal; blank ones aside.

    >>> printable_lines("one\r\n\n\x1b[31mtwo\n", lines=1)
    ['\\x1b[31mtwo']
    """
    # what lies further back is not worth looking at, however much it is
    tail = text[-lines * 2 * LONGEST_LINE :] if lines > 0 else ""
    found = [line.strip() for line in tail.splitlines()]
    return [printable(line, LONGEST_LINE) for line in [one for one in found if one][-lines:]]


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
