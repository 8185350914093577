"""The nodes: PHOENIX_NODES, or the cluster of PHOENIX_CLUSTER, else this machine if it is a Proxmox
node, else the running lab.
"""

import os
import shutil
from pathlib import Path

from deploys.steps.host_keys import explain_unknown_keys, known_as
from phoenix.cli.nodes import BOTH_GIVEN, HERE, NodeError, ask_cluster, lab_targets, no_node
from phoenix.plan.options import OFFLINE


def _nodes() -> list[str | tuple[str, dict[str, object]]]:
    names, asked = (os.environ.get(f"PHOENIX_{one}") for one in ("NODES", "CLUSTER"))
    if names and asked:
        raise SystemExit(BOTH_GIVEN)
    if asked:
        return _members(asked)
    if names:
        # root@pve1: what people type for ssh
        logins = [name.strip() for name in names.split(",") if name.strip()]
        nodes = [login.rpartition("@") for login in logins if login != HERE]
        users = {name: user or "root" for user, _, name in nodes}
        explain_unknown_keys({name: f"{user}@{name}" for name, user in users.items()})
        # pyinfra's own "accept-new" would trust whoever answers first, whatever ssh_config(5) says
        return [HERE] * (HERE in logins) + [
            (name, {"ssh_user": user, "ssh_strict_host_key_checking": "yes"})
            for name, user in users.items()
        ]
    if shutil.which("pct"):
        return [HERE]
    try:
        targets = lab_targets(Path(__file__).parent)
    except NodeError as problem:
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
    raise SystemExit(no_node())


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
