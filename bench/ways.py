"""Ways to see that all containers of a node are as they should be: ours, and those of others."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from lab_node import ROOT, SshTarget, recipe

HERE = Path(__file__).resolve().parent
#: So many shares of the containers does Ansible look at side by side: the lab's node has two
#: processors, and between two commands a share waits for this machine.
SHARES = 4
#: The profile that each conf names, above its snapshots.
_PROFILES = r"""awk 'FNR == 1 { above = 1; print FILENAME, "" } /^\[/ { above = 0 }
    above && sub(/^lxc.apparmor.profile: /, "") { print FILENAME, $0 }' /etc/pve/lxc/*.conf"""


@dataclass(frozen=True)
class Wanted:
    """How a container should be: what its conf names, its label while it runs, its Docker."""

    profile: str
    label: str
    docker: bool


@dataclass(frozen=True)
class Nodes:
    """The node with a compliant fleet, and the two files that our recipes take."""

    node: SshTarget
    inventory: Path
    fleet: Path

    def wanted(self) -> dict[int, Wanted]:
        """What is there, which `ours` says is right: so the others look for just that."""
        entries = json.loads(self.fleet.read_text())["lxc_configs"]
        running = set(self.node.run("lxc-ls --running -1").stdout.split())
        found: dict[int, Wanted] = {}
        for line in self.node.run(_PROFILES).stdout.splitlines():
            path, _, profile = line.partition(" ")
            ctid = Path(path).stem
            label = profile or f"lxc-{ctid}_</var/lib/lxc>//&:lxc-{ctid}_<-var-lib-lxc>:unconfined"
            runs, features = ctid in running, entries.get(ctid, {}).get("features", [])
            label = f"{label} (enforce)" if runs else ""
            found[int(ctid)] = Wanted(profile, label, runs and "docker" in features)
        return found


def ours(nodes: Nodes) -> None:
    """A dry run of harden."""
    said = recipe(ROOT, nodes.inventory, "harden", ["--dry"], {"fleet": nodes.fleet})
    if "nothing to change" not in said:
        raise SystemExit(f"the fleet is not as it should be:\n{said[-4000:]}")


def shell(nodes: Nodes, wanted: dict[int, Wanted]) -> None:
    """What a person types: `pct` for each container, all of it over one connection."""
    lines = [
        shlex.join(["check", f"{ctid}", one.profile, one.label, "yes" if one.docker else "no"])
        for ctid, one in wanted.items()
    ]
    script = "\n".join([(HERE / "check.sh").read_text(), *lines, ""])
    done = nodes.node.run("sh -s", stdin=script, check=False, login=True)
    if done.returncode:
        raise SystemExit(f"the shell way failed: {done.stdout}{done.stderr}")


class Ansible:
    """Ansible in a venv of its own below .lab, of the versions that requirements.txt pins.

    Without community.proxmox: its modules ask Proxmox's API, which the lab has not, and its
    connection `proxmox_pct_remote` runs the same `pct exec`, with an SSH login for each container.
    """

    def __init__(self) -> None:
        pins = HERE / "ansible/requirements.txt"
        digest = hashlib.sha256(pins.read_bytes()).hexdigest()
        venv = ROOT / ".lab" / f"ansible-{digest[:8]}"
        self._bin = venv / "bin"
        if not (venv / "done").exists():
            print("installing Ansible …", file=sys.stderr, flush=True)
            install = f"{self._bin}/pip install --quiet --require-hashes -r {pins}".split()
            for command in ([sys.executable, "-m", "venv", f"{venv}"], install):
                subprocess.run(command, check=True)
            (venv / "done").touch()

    def version(self) -> str:
        """As it says itself."""
        told = subprocess.run([self._bin / "ansible", "--version"], capture_output=True, check=True)
        return told.stdout.decode().splitlines()[0]

    def check(self, nodes: Nodes, wanted: dict[int, Wanted]) -> None:
        """Run the playbook over a connection that is made and ended here."""
        node = nodes.node
        containers = [{"ctid": ctid, **asdict(one)} for ctid, one in wanted.items()]
        hosts = {f"share{n}": {"containers": containers[n::SHARES]} for n in range(SHARES)}
        login = {
            "ansible_host": node.host,
            "ansible_port": node.port,
            "ansible_user": node.user,
            "ansible_ssh_private_key_file": str(node.key),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={node.known_hosts}",
        }
        with tempfile.TemporaryDirectory() as folder:
            inventory, sockets = Path(folder, "hosts.json"), Path(folder, "ssh")
            sockets.mkdir()
            inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": login}}))
            done = subprocess.run(
                [self._bin / "ansible-playbook", "-i", inventory, HERE / "ansible/check.yml"],
                env={
                    **os.environ,
                    "ANSIBLE_CONFIG": str(HERE / "ansible/ansible.cfg"),
                    "ANSIBLE_HOME": folder,
                    "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            for socket in sockets.iterdir():
                end = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", node.host]
                subprocess.run(end, capture_output=True)
        if done.returncode:
            raise SystemExit(f"Ansible failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
