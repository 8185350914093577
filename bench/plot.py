"""Seconds as a plot: a line for each case, a dot for each way, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

#: Each way's name and colour.
WAYS = {
    "ours": ("phoenix-harden", "#0b6e4f"),
    "Ansible": ("Ansible", "#c1121f"),
    "shell": ("pct in a shell", "#b45f06"),
    "restarts": ("the restarts alone", "#555f6d"),
}
_LEFT, _RIGHT, _TOP, _STEP = 250, 870, 120, 58
#: So near that two numbers side by side would run into each other.
_NEAR = 52


@dataclass(frozen=True)
class Line:
    """A case, the seconds of each way, and the ways that were left out."""

    name: str
    seconds: Mapping[str, float]
    without: Sequence[str]


@dataclass(frozen=True)
class _Dot:
    x: float
    colour: str
    text: str
    below: bool


def plot(lines: Sequence[Line], about: str) -> str:
    """The image; *about*: what it was measured with."""
    seconds = [value for line in lines for value in line.seconds.values()]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))

    def x(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (math.log10(value) - low) / (high - low)

    used = {way for line in lines for way in (*line.seconds, *line.without)}
    folder = FileSystemLoader(Path(__file__).resolve().parent)
    template = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("plot.svg.j2")
    return template.render(
        ways=[WAYS[way] for way in WAYS if way in used],
        grid=[
            (x(times * 10**power), f"{10**power:,g} s" if times == 1 else "")
            for power in range(low, high + 1)
            for times in (1, 2, 5)
            if times == 1 or power < high
        ],
        lines=[
            (
                line.name,
                _TOP + _STEP * number,
                _dots(line, x),
                ", ".join(WAYS[way][0] for way in line.without),
            )
            for number, line in enumerate(lines)
        ],
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_TOP + _STEP * (len(lines) - 1),
        about=about,
    )


def _dots(line: Line, x: Callable[[float], float]) -> list[_Dot]:
    """From left to right; a number that would run into the one before goes below its dot."""
    dots: list[_Dot] = []
    for way, value in sorted(line.seconds.items(), key=lambda one: one[1]):
        near = bool(dots) and x(value) - dots[-1].x < _NEAR and not dots[-1].below
        dots.append(_Dot(x(value), WAYS[way][1], _told(value), near))
    return dots


def _told(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
