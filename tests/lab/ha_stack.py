"""What stands in for the HA stack on the lab's nodes, which have none.

It does what the real one does every few seconds (pve-ha-manager Manager.pm, LRM.pm): the manager,
on one node, tells who is managed and where; the LRM of each node starts what is asked for, is there
and does not run.
"""

from __future__ import annotations

from collections.abc import Sequence

from conftest import Node

RESOURCES = "/etc/pve/ha/resources.cfg"
HA_MANAGER = r"""#!/bin/sh
echo "ha-manager $*" >>/run/ha-calls
[ ! -e /run/ha-refuses ] || { echo "cluster not ready - no quorum?" >&2; exit 2; }
sed -i "s/^\tstate .*/\tstate $4/" /etc/pve/ha/resources.cfg
"""
#: A round of both services; words: the container, then the nodes, the manager on the first.
ROUNDS = r"""
import json, os, re, subprocess, sys, time
ctid, *nodes = sys.argv[1:]
me = os.uname().nodename
def put(path, found):
    open(path + ".new", "w").write(json.dumps(found))
    os.replace(path + ".new", path)
while True:
    asked = re.search(r"^\tstate (.*)$", open("/etc/pve/ha/resources.cfg").read(), re.MULTILINE)[1]
    has = [node for node in nodes if os.path.exists(f"/etc/pve/nodes/{node}/lxc/{ctid}.conf")]
    if me == nodes[0]:
        status = {"node_status": dict.fromkeys(nodes, "online"), "service_status": {}}
        if asked != "ignored":
            one = {"state": "started", "node": has[0], "uid": "1"}
            status["service_status"][f"ct:{ctid}"] = one
        put("/etc/pve/ha/manager_status", status)
    if asked == "started" and me in has:
        said = subprocess.run(["pct", "status", ctid], capture_output=True, text=True).stdout
        if "stopped" in said:
            open("/run/ha-acts", "a").write("starts it\n")
            subprocess.run(["pct", "start", ctid])
    put(f"/etc/pve/nodes/{me}/lrm_status", {"timestamp": int(time.time()) + 1})
    time.sleep(1)
"""


def resources(ctid: int) -> str:
    """The file of HA's resources with this one alone."""
    return f"ct: {ctid}\n\tstate started\n"


def manage(ctid: int, nodes: Sequence[Node]) -> None:
    """Have the stack of all these nodes manage a container; the manager is on the first."""
    names = [node.ssh("hostname").stdout.strip() for node in nodes]
    nodes[0].ssh(f"mkdir -p /etc/pve/ha && cat >{RESOURCES}", input=resources(ctid))
    for node in nodes:
        node.ssh("cat >/usr/local/sbin/ha-manager", input=HA_MANAGER)
        node.ssh("chmod 755 /usr/local/sbin/ha-manager")
        node.ssh("cat >/run/ha.py", input=ROUNDS)
        words = " ".join([f"{ctid}", *names])
        node.ssh(f"systemd-run --quiet --unit=stand-in-ha python3 /run/ha.py {words}")
    for node in nodes:
        waits = "until [ -s /etc/pve/ha/manager_status -a -s /etc/pve/local/lrm_status ]"
        node.ssh(f"timeout 60 sh -c '{waits}; do sleep 1; done'")


def asked(node: Node) -> str:
    """What HA is asked for."""
    return node.ssh(f"cat {RESOURCES}").stdout


def calls(node: Node) -> list[str]:
    """What the node's ha-manager was called with."""
    return node.ssh("cat /run/ha-calls", check=False).stdout.splitlines()


def acts(node: Node) -> str:
    """What the node's LRM has done."""
    return node.ssh("cat /run/ha-acts", check=False).stdout
