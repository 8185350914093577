"""What planning large fleets takes, without a node: 1,000 containers with 30 mounts, and others.

    .venv/bin/python bench/planning.py [--containers N] [--mounts N]

Printed are seconds of processor time (the best of three) for reading the fleet file, for the plan
of a run and for the judgement of an audit. Each container runs Docker, which answers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from phoenix.apparmor.observed import ObservedAppArmor  # noqa: E402
from phoenix.docker.observed import ObservedDocker  # noqa: E402
from phoenix.fleet.parse import Fleet, parse_fleet  # noqa: E402
from phoenix.plan.audit import audit_node  # noqa: E402
from phoenix.plan.facts import NodeFacts  # noqa: E402
from phoenix.plan.node import plan_node  # noqa: E402
from phoenix.plan.options import Options  # noqa: E402
from phoenix.plan.profiles import HOOK_TEMPLATE  # noqa: E402
from phoenix.pve.conf import PveConf  # noqa: E402
from phoenix.pve.observed import ObservedContainer, ObservedPct  # noqa: E402
from phoenix.pve.storage import ObservedStorage  # noqa: E402

T = TypeVar("T")

FOLDERS = {path.name: path for path in (ROOT / "templates/apparmor").glob("*.j2")}
TEMPLATES = {name: path.read_text() for name, path in FOLDERS.items()}
TEMPLATES[HOOK_TEMPLATE] = (ROOT / "templates/node" / HOOK_TEMPLATE).read_text()

CONF = """\
arch: amd64
features: nesting=1
hostname: ct{ctid}
rootfs: local:{ctid}/vm-{ctid}-disk-0.raw,size=4G
unprivileged: 1
lxc.apparmor.profile: unconfined
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--containers", type=int, default=1000, metavar="N")
    parser.add_argument("--mounts", type=int, default=30, metavar="N")
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'containers x mounts':40} {'file':>8} {'plan':>8} {'audit':>8}")
    for containers, mounts in ((given.containers, given.mounts), (given.containers, 0), (20, 400)):
        case(containers, mounts, "all to be changed")
        case(containers, mounts, "all as wanted", done=True)
    case(given.containers, 0, "each with a profile of its own", alone=True)


def case(containers: int, mounts: int, name: str, done: bool = False, alone: bool = False) -> None:
    """Measure one kind of fleet; `done`: nothing is left to do; `alone`: no shared profile."""
    text = json.dumps({"lxc_configs": entries(containers, mounts, alone)}).encode()
    fleet, file = timed(lambda: parse_fleet(text))
    facts = NodeFacts(
        containers=node(fleet),
        apparmor=ObservedAppArmor(enabled=True, parser=(4, 1, 0), abis=("4.0",)),
        storage=ObservedStorage(
            paths=tuple(one.source for ct in fleet.containers.values() for one in ct.mounts)
        ),
        dockers={ctid: ObservedDocker("ok", version="26.1.5") for ctid in fleet.containers},
    )

    def planned() -> Any:
        return plan_node(fleet=fleet, options=Options(), facts=facts, templates=TEMPLATES)

    plan, planning = timed(planned)
    assert len(plan.containers) == containers, plan.notes[:3]
    if done:
        confs = {change.ctid: change.after for change in plan.containers}
        label = "lxc-docker-nested (enforce)"
        facts = NodeFacts(
            containers=node(fleet, confs, label),
            apparmor=facts.apparmor,
            storage=facts.storage,
            dockers=facts.dockers,
        )
        plan, planning = timed(planned)
        assert not plan.containers, plan.containers[0].reasons
    _, auditing = timed(lambda: audit_node(fleet=fleet, options=Options(), facts=facts, plan=plan))
    what = f"{containers:,} x {mounts}, {name}"
    print(f"{what:40} {file:6.2f} s {planning:6.2f} s {auditing:6.2f} s")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What comes of it, and the least seconds of processor time of three times."""
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        result = work()
        seconds.append(time.process_time() - begin)
    return result, min(seconds)


def entries(containers: int, mounts: int, alone: bool) -> dict[str, object]:
    """A fleet file's containers."""
    return {
        str(ctid): {
            "features": ["docker"],
            "pct_options": ["nesting=1", "keyctl=1"],
            "apparmor_profile": "lxc-docker-nested",
            "mount_points": [
                {"host_path": f"/srv/{ctid}/data{n}", "container_path": f"/mnt/data{n}"}
                for n in range(mounts)
            ],
            **({"apparmor_allows": ["guest-mounts"]} if alone else {}),
        }
        for ctid in range(1000, 1000 + containers)
    }


def node(
    fleet: Fleet, confs: dict[int, PveConf] | None = None, label: str = "unconfined"
) -> ObservedPct:
    """A node that has them all, running, with these confs or as nobody has hardened them."""
    before = {ctid: PveConf.parse(CONF.format(ctid=ctid)) for ctid in fleet.containers}
    found = {
        ctid: ObservedContainer(ctid, conf, True, ctid, label, None, "pve1", None)
        for ctid, conf in {**before, **(confs or {})}.items()
    }
    return ObservedPct("pve1", found)


if __name__ == "__main__":
    main()
