"""What becomes of a node's tunables: nothing, a repair of `tunables/home`, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from phoenix.apparmor.observed import TUNABLES_HOME, ObservedAppArmor
from phoenix.apparmor.tunables import HOME_VARIABLES, Broken, diagnose, repair, variables_set
from phoenix.plan.findings import Code, Finding, Severity

_FOLDER = "/etc/apparmor.d"
_PLACE = re.compile(r"in profile (?P<file>\S+) at line (?P<line>\d+): (?P<what>.*)")
_NOISE = re.compile(r"Cache read/write disabled|Warning|\s*$")


@dataclass(frozen=True)
class TunablesChange:
    """`tunables/home` as it is and as it shall be, and its broken lines."""

    before: str
    after: str
    broken: tuple[Broken, ...]

    def lines(self) -> tuple[str, ...]:
        """The broken lines in words, one each."""
        return tuple(
            f"{_shown(TUNABLES_HOME, broken)}: becomes {broken.repaired}" for broken in self.broken
        )


def plan_tunables(
    apparmor: ObservedAppArmor,
) -> tuple[TunablesChange | None, tuple[Finding, ...]]:
    """The repair that the node's tunables need, and what stands in the way of any.

    Nothing is looked at as long as the node's parser takes them: its word counts, not ours.
    """
    if not apparmor.tunables_error:
        return None, ()
    before = apparmor.files.get(TUNABLES_HOME)
    if before is None:
        return None, (
            _broken(
                f"{_FOLDER}/{TUNABLES_HOME} is missing, so no profile loads",
                "apt install --reinstall -o Dpkg::Options::=--force-confmiss apparmor",
            ),
        )
    broken = diagnose(before)
    problems = [_refused(TUNABLES_HOME, one) for one in broken if one.repaired is None]
    problems += _others(apparmor, variables_set(before) | set(HOME_VARIABLES))
    if not problems and not broken:
        problems.append(_unexplained(apparmor.tunables_error))
    if problems:
        return None, tuple(map(_broken, problems))
    return TunablesChange(before, repair(before), broken), ()


def _broken(message: str, fix: str = "") -> Finding:
    return Finding(Code.TUNABLES_BROKEN, Severity.ERROR, message, fix=fix)


def _others(apparmor: ObservedAppArmor, home: set[str]) -> Iterator[str]:
    """What is wrong in the site's own files: theirs to correct, with the line and the way out."""
    for file, text in sorted(apparmor.files.items()):
        if file.startswith(f"{TUNABLES_HOME}.d/"):
            for broken in diagnose(text, {}, home):
                yield _refused(file, broken)


def _shown(file: str, broken: Broken) -> str:
    text = f"{broken.text.strip()}: " if broken.text else ""
    return f"{_FOLDER}/{file} line {broken.line}: {text}{broken.why}"


def _refused(file: str, broken: Broken) -> str:
    way_out = f": write {broken.repaired.strip()}" if broken.repaired else ""
    return f"{_shown(file, broken)}{way_out}; until it is corrected no profile loads"


def _unexplained(error: str) -> str:
    lines = [line for line in error.splitlines() if not _NOISE.match(line)]
    said = "; ".join(line.strip() for line in lines) or "the parser gave no reason"
    if found := _PLACE.search(error):
        said = f"{found['file']} line {found['line']}: {found['what']}"
    late = "the parser often reports one line late"
    return f"no profile loads: {said}: correct that line, or the one before: {late}"
