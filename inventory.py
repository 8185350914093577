"""The nodes: PHOENIX_NODES, or the cluster of PHOENIX_CLUSTER, else this machine if it is a Proxmox
node, else the running lab.
"""

import os
import shutil
from pathlib import Path

from deploys.steps.host_keys import explain_unknown_keys, known_as
from lab.errors import LabError
from lab.instance import ssh_targets
from phoenix.cli.nodes import BOTH_GIVEN, NodeError, ask_cluster
from phoenix.plan.options import OFFLINE


def _nodes() -> list[str | tuple[str, dict[str, object]]]:
    names, asked = (os.environ.get(f"PHOENIX_{one}") for one in ("NODES", "CLUSTER"))
    if names and asked:
        raise SystemExit(BOTH_GIVEN)
    if asked:
        return _members(asked)
    if names:
        # root@pve1: what people type for ssh
        nodes = [name.strip().rpartition("@") for name in names.split(",") if name.strip()]
        users = {name: user or "root" for user, _, name in nodes}
        explain_unknown_keys({name: f"{user}@{name}" for name, user in users.items()})
        # pyinfra's own "accept-new" would trust whoever answers first, whatever ssh_config(5) says
        return [
            (name, {"ssh_user": user, "ssh_strict_host_key_checking": "yes"})
            for name, user in users.items()
        ]
    if shutil.which("pct"):
        return ["@local"]
    try:
        targets = ssh_targets(Path(__file__).parent)
    except LabError as problem:
        raise SystemExit(str(problem)) from None
    if targets:
        return [
            (
                name,
                {
                    "ssh_hostname": target.host,
                    "ssh_port": target.port,
                    "ssh_user": target.user,
                    "ssh_key": str(target.key),
                    "ssh_known_hosts_file": str(target.known_hosts),
                },
            )
            for name, target in targets.items()
        ]
    raise SystemExit(
        "no node: set PHOENIX_NODES=root@pve1,root@pve2 or PHOENIX_CLUSTER=root@pve1, run this on "
        "a Proxmox VE node, or start the lab with .venv/bin/phoenix lab up"
    )


def _members(login: str) -> list[str | tuple[str, dict[str, object]]]:
    try:
        reaches, offline = ask_cluster(login, known_as)
    except NodeError as problem:
        raise SystemExit(f"PHOENIX_CLUSTER={login}: {problem}") from None
    explain_unknown_keys({one.name: f"{one.user}@{one.host}" for one in reaches})
    nodes: list[str | tuple[str, dict[str, object]]] = []
    for one in reaches:
        data: dict[str, object] = {
            "ssh_hostname": one.host,
            "ssh_user": one.user,
            "ssh_strict_host_key_checking": "yes",
            OFFLINE: offline,
        }
        if one.known_hosts:
            data["ssh_known_hosts_file"] = one.known_hosts
        nodes.append((one.name, data))
    return nodes


nodes = _nodes()
