"""What worked in a guest when a run of ours proved it, and has gone down by itself since.

commit has noted what worked before its change, and proven that it worked again (`node.owners`).
What its owner has removed or stopped since is no failure.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from node import containers
from node.files import read, text
from node.owners import ask
from node.root import STATE
from node.runs import noted
from node.works import Works, missing

#: So much is told of one guest.
_MOST = 20


def observe(only: Sequence[int]) -> dict[str, Any]:
    """Ask those that run and that a run of ours has brought where they are; `only`: none, or some.

    `{"952": {"run": ID, "fallen": [[KIND, NAME, NOW]], "more": 0}}`: KIND is `container` or `unit`,
    `more`: how many further ones. A guest in which nothing has fallen is not there, nor one that
    cannot be asked.
    """
    asked = [ctid for ctid in containers.ctids() if (not only or ctid in only) and _is_ours(ctid)]
    with ThreadPoolExecutor((os.cpu_count() or 1) + 2) as pool:
        answers = pool.map(_ask, asked)
        return {str(ctid): answer for ctid, answer in zip(asked, answers) if answer}


def _is_ours(ctid: int) -> bool:
    ours = text(read(f"{STATE}/containers/{ctid}"))
    return bool(ours) and containers.init_pid(ctid) is not None


def _ask(ctid: int) -> dict[str, Any] | None:
    last = noted(ctid)
    before = Works.parse(last.works) if last else None
    if last is None or before is None:
        return None
    said, _ = ask(ctid, docker=bool(before.containers))
    now = Works.parse(said)
    if now is None or now.booting or not now.answers:
        return None
    found = [one for one in missing(before, now, last.accept) if not (one.gone or one.begins)]
    if not found:
        return None
    told = [[one.kind, one.name, one.now] for one in found[:_MOST]]
    return {"run": last.run, "fallen": told, "more": len(found) - len(told)}
