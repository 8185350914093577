"""The nodes: PHOENIX_NODES, else this machine if it is a Proxmox node, else the running lab."""

import os
import shutil
from pathlib import Path

from lab.instance import ssh_target


def _nodes() -> list[str | tuple[str, dict[str, object]]]:
    if names := os.environ.get("PHOENIX_NODES"):
        # root@pve1: what people type for ssh
        nodes = [name.strip().rpartition("@") for name in names.split(",") if name.strip()]
        return [(name, {"ssh_user": user or "root"}) for user, _, name in nodes]
    if shutil.which("pct"):
        return ["@local"]
    if target := ssh_target(Path(__file__).parent):
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
