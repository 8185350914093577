"""Docker in the guests, as the facts saw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True)
class ObservedDocker:
    """The Docker of one running container.

    `state`: `ok`, `none` (not installed), `dead` (its daemon does not answer) or `hung` (the
    guest gave no answer in time); `version` and `driver` are empty unless `ok`; `error` is what
    was said instead.
    """

    state: str
    version: str = ""
    driver: str = ""
    error: str = ""

    def to_json(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        words = {"ok": f"{self.version} {self.driver}", "none": "-"}
        return words.get(self.state, f"{self.state}: {self.error}".rstrip(": "))


def parse_dockers(lines: list[str]) -> Mapping[int, ObservedDocker]:
    """Read the answer of `templates/node/docker.sh`, one container a line."""
    found = {}
    for line in lines:
        ctid, state, text = (*line.split(" ", 2), "", "")[:3]
        if not ctid.isdecimal() or state not in ("ok", "none", "dead", "hung"):
            continue
        answer = unquote_to_bytes(text).decode("utf-8", "replace").strip()
        version, _, driver = answer.partition("|")
        found[int(ctid)] = (
            ObservedDocker(state, version, driver)
            if state == "ok"
            else ObservedDocker(state, error=answer.splitlines()[-1] if answer else "")
        )
    return found
