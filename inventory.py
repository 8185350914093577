"""The nodes: PHOENIX_NODES, else this machine if it is a Proxmox node, else the running lab."""

import os
import shutil
from pathlib import Path

from deploys.steps.host_keys import explain_unknown_keys
from lab.errors import LabError
from lab.instance import ssh_target


def _nodes() -> list[str | tuple[str, dict[str, object]]]:
    if names := os.environ.get("PHOENIX_NODES"):
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
        target = ssh_target(Path(__file__).parent)
    except LabError as problem:
        raise SystemExit(str(problem)) from None
    if target:
        return [
            (
                "pve-lab",
                {
                    "ssh_hostname": target.host,
                    "ssh_port": target.port,
                    "ssh_user": target.user,
                    "ssh_key": str(target.key),
                    "ssh_known_hosts_file": str(target.known_hosts),
                },
            )
        ]
    raise SystemExit(
        "no node: set PHOENIX_NODES=root@pve1,root@pve2, run this on a Proxmox VE node, "
        "or start the lab with .venv/bin/phoenix lab up"
    )


nodes = _nodes()
