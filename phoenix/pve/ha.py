"""What the HA stack has of a container, and whether a run may take it out of its hands.

What it is asked for stands in /etc/pve/ha/resources.cfg; what it makes of that at the moment, in
/etc/pve/ha/manager_status (pve-ha-manager Resources.pm, Manager.pm).

Packed into the node's program: Python 3.9, the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What HA can be asked for and managed by, each with whether the container runs then; `enabled` is
#: the old word for `started` (Resources.pm).
RUNS = {"started": True, "enabled": True, "stopped": False, "disabled": False}

#: As a resource without such a line is asked for.
DEFAULT = "started"

#: The state in which HA leaves a container alone: it goes from the status of its manager, and what
#: Proxmox's tools are told bypasses HA (Resources.pm, Manager.pm `manage`).
IGNORED = "ignored"

#: What to do about one that HA is busy with.
SETTLE = "run again once ha-manager status shows it settled"

_MOVES = ("migrate", "relocate", "request_start_balance")


@dataclass(frozen=True)
class HaService:
    """A container in the status of HA's manager (Manager.pm, `$ss->{$sid}`).

    `node`: where HA has it, in what state `node_state` that is; `target`: where it is being moved,
    "" for nowhere; `queued`: a command waits for it; `fallback`: the node that it left for a
    maintenance and goes back to; `is_failing`: it did not start where it was tried before.
    """

    state: str
    node: str
    node_state: str = "online"
    target: str = ""
    queued: bool = False
    fallback: str = ""
    is_failing: bool = False


def service_from_json(data: Mapping[str, Any] | None) -> HaService | None:
    """Read what the node says of it (`node.containers`), None for nothing."""
    return HaService(**data) if data else None


def unsettled(state: str, service: HaService | None, node: str, running: bool) -> str:
    """Why HA would notice, or forget something, if it were taken out of its hands; "" for nothing.

    `state`: what HA is asked for, one of `RUNS`; `node`: the node that has the container.
    """
    if service is None:
        return "HA has not taken it up yet"
    if service.node != node:
        return f"HA has it on {service.node}, and its conf is on {node}"
    if service.state in _MOVES:
        return f"HA is moving it to {service.target or 'another node'}"
    if service.state != ("started" if RUNS[state] else "stopped"):
        return f"HA is at work on it (asked for {state}, now in state {service.state})"
    if service.queued:
        return "HA has a command waiting for it"
    if service.is_failing:
        return "HA is recovering it: it failed to start before"
    # Manager.pm forgets all of that once it is ignored
    if service.fallback:
        return f"HA is going to move it back to {service.fallback}, which is in maintenance"
    if service.node_state != "online":
        return f"HA has {node} in state {service.node_state}"
    if running != RUNS[state]:
        return f"HA is asked for {state}, and it {'runs' if running else 'does not run'}"
    return ""
