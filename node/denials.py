"""What AppArmor refused to containers, equal refusals counted here: a log may be long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from node import containers, log_files, log_journal, log_source, owner
from node.log_gaps import noting_gaps
from node.tally import Seen, buckets, tally

#: Seconds that the journal may take.
_PATIENCE = 600


def observe(since: list[int] | None, only: list[int]) -> dict[str, Any]:
    """The refusals since some time, equal ones counted together.

    `since`: seconds since the epoch, or before now, as -7200; null: from the starts of the
    containers that run, of those in `only` if there are any. Before and after each container's
    start is counted apart.

    - `source`: `audit.log`, `journal`, `kernel log`, or "" where no container runs
    - `missing`: what that may lack, in words, "" for nothing
    - `begins`: the log's first time, if that is after the first of `since`
    - `begin`, `width`: bucket N of a `spread` begins at `begin` + N * `width` (seconds); there are
      48 at most
    - `denials`: [COUNT, LAST, TEXT, MORE] of each kind between two starts, seen longest ago first
    - MORE: `first`: time · `spread`: [[BUCKET, COUNT], ...] · `pid`: process of the last line, 0
      for none · `owner`: [CTID, ENGINE_ID or ""] of that process where it still lives, else null
    - `floods`: [PROFILE, LINES, FIRST, LAST] of lines that are none of the denials: a profile had
      too many kinds (`node.tally`) · `left`: their number
    """
    times = _times(since, only)
    if not times:
        return {"source": "", "begins": None, "left": 0, "denials": []}
    source, problems = log_source.choose(), list[str]()
    lines, first = _log(source, times[0], problems)
    into = buckets(max(times[0], first), time.time())
    counted = tally(lines, times, into)
    problems += filter(None, [log_source.missing(source)])
    return {
        "source": source,
        "missing": "; ".join(problems),
        "begins": first if first > times[0] else None,
        "begin": into.begin,
        "width": into.width,
        "left": counted.left,
        "denials": [_told(text, seen) for text, seen in counted.denials],
        "floods": [[name, one.count, one.first, one.last] for name, one in counted.floods],
    }


def _told(text: str, seen: Seen) -> list[Any]:
    whose = owner.find(seen.pid, seen.last) if seen.pid else None
    more = {"first": seen.first, "spread": sorted(seen.spread.items()), "pid": seen.pid}
    return [seen.count, seen.last, text, {**more, "owner": whose}]


def _times(since: list[int] | None, only: list[int]) -> list[int]:
    """From when on to look, and the later starts of all containers.

    Several may carry one profile, which is all that a line names: what was refused before one of
    them was started was refused to another.
    """
    found = containers.observe()["containers"]
    starts = {int(ctid): one["started"] for ctid, one in found.items() if one["started"]}
    if since is None:
        asked = [start for ctid, start in starts.items() if not only or ctid in only]
    else:
        asked = [int(time.time()) + since[0]] if since and since[0] < 0 else since
    return sorted({*asked, *(start for start in starts.values() if asked and start > min(asked))})


def _log(source: str, since: float, problems: list[str]) -> tuple[Iterator[str], float]:
    """The lines of a log since a time, and when it begins."""
    if transport := log_source.TRANSPORTS.get(source):
        first = log_journal.first_time(transport)
        return log_journal.lines(transport, since, _PATIENCE), first
    logs = log_files.find()
    lines = log_files.lines_of(log_files.written_since(logs, since), problems)
    return noting_gaps(lines, since, problems), log_files.first_time(logs) // 1
