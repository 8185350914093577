"""Containers of the lab under profiles from the checkout, without harden: just what a profile does.

Each container gets the conf that Docker wants (no leftovers of old workarounds) and starts anew, so
that its boot is part of what is looked at.
"""

from __future__ import annotations

import shlex
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from on_node import REPO
from pyinfra.api.command import StringCommand

from facts.apparmor import AppArmor
from lab.recipe import DEFAULT, chosen
from phoenix.apparmor.abi import abi_text
from phoenix.apparmor.observed import ABI_OURS, FOLDER, HOOK
from phoenix.plan.confinement import Confinement
from phoenix.plan.guest_paths import DEFAULT_PATHS
from phoenix.plan.render import profile_names, render_profile

SOURCES = {path.name: path.read_text() for path in (REPO / "templates/apparmor").glob("*.j2")}
PROFILES = profile_names(SOURCES)
#: Until systemd can be asked it says "offline" at once, whatever it is told to wait for.
BOOTED = """
    booted() { systemctl is-system-running --wait 2>/dev/null | grep -qx -e running -e degraded; }
    export -f booted
    timeout 900 bash -c 'until booted; do sleep 0.2; done'
"""
GPU_NODES = {"/dev/nvidia0": (195, 0), "/dev/nvidiactl": (195, 255)}


def load(node, confinements, paths=DEFAULT_PATHS):
    """Render, install and load forms of the checkout's profiles for the node as it is."""
    ask = StringCommand(AppArmor().command()).get_raw_value()
    about = AppArmor().process(node.ssh("sh -s", input=ask).stdout.splitlines())
    if abi := abi_text(about):
        node.ssh(f"cat >{FOLDER}/{ABI_OURS}", input=abi)
    for confinement in confinements:
        text = render_profile(confinement, SOURCES, about, paths)
        file = f"{FOLDER}/{confinement.profile}"
        node.ssh(f"cat >{file} && apparmor_parser -r {file}", input=text)
    if any(confinement.stacked for confinement in confinements):
        hook = (REPO / "templates/node/namespace.sh").read_text()
        node.ssh(f"install -D -m 755 /dev/stdin {HOOK}", input=hook)


def wear(node, wanted, devices=(), paths=DEFAULT_PATHS, waits=True):
    """Restart each container, side by side, under a profile, "generated" or "unconfined".

    `wanted`: CTID to name, or to a `Confinement` for another form than the plain one; `devices`:
    nodes that become dev0, dev1 … of each; `paths`: what the profiles know of all of them; `waits`:
    until each of them has booted.
    """
    wanted = {
        ctid: one if isinstance(one, Confinement) else Confinement(one)
        for ctid, one in wanted.items()
    }
    load(node, {confinement for confinement in wanted.values() if confinement.named}, paths)
    for ctid, confinement in wanted.items():
        before = node.ssh(f"cat /etc/pve/lxc/{ctid}.conf").stdout
        after = _with_profile(before, ctid, confinement, devices)
        node.ssh(f"cat >/etc/pve/lxc/{ctid}.conf", input=after)
    restart = "pct stop {0}; pct start {0}"
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda ctid: node.ssh(restart.format(ctid)), wanted))
        if waits:
            list(pool.map(lambda ctid: in_guest(node, ctid, BOOTED), wanted))


def result(name):
    """The page of results of the stack that the environment names."""
    stack = chosen().name
    return REPO / f"docs/{name}{'' if stack == DEFAULT else f'-{stack}'}.md"


def about(node):
    """What was measured on: the words that the heads of the results have in common."""
    ask = "date -u +%F; uname -r; apparmor_parser -V | sed -n 's/.*version //p'; lxc-info --version"
    said = node.ssh(ask).stdout.splitlines()
    return dict(zip(("date", "kernel", "parser", "lxc"), said, strict=True))


def make_gpu_nodes(node):
    """Device nodes as NVIDIA's driver has them; nothing answers behind them."""
    for path, (major, minor) in GPU_NODES.items():
        node.ssh(f"[ -e {path} ] || mknod -m 666 {path} c {major} {minor}")


def in_guest(node, ctid, script, *arguments, shell="bash", timeout=1500):
    """Run a script as root in the container and give what it printed."""
    name = f"/root/{next(_number)}.lab"
    # by its path: PATH is the node's own there
    write = f"lxc-attach -n {ctid} -- sh -c 'cat >{name}'"
    node.ssh(write, input=script)
    words = " ".join((shell, name, *arguments))
    return node.ssh(f"lxc-attach -n {ctid} -- {words} </dev/null 2>&1", timeout=timeout).stdout


def results(output):
    """What a script of checks says: check to its line, "PASS …" or "FAIL …"."""
    lines = [line for line in output.splitlines() if line.startswith(("PASS ", "FAIL"))]
    return {line.split()[1].rstrip(":"): line for line in lines}


def docker_checks(daemon):
    """What Docker itself does; `daemon`: the daemon.json with which it starts."""
    return f"DAEMON={shlex.quote(daemon)}\n{text('docker.sh')}"


def failed(checks):
    return [line for line in checks.values() if not line.startswith("PASS ")]


def denied(node, profile):
    """The lines of the audit log in which that profile denied something."""
    grep = f"""grep 'apparmor="DENIED".* profile="{profile}"' /var/log/audit/audit.log"""
    return node.ssh(grep, check=False).stdout.splitlines()


def text(name):
    return (Path(__file__).parent / "guest" / name).read_text()


def _with_profile(conf, ctid, confinement, devices):
    main, *snapshots = conf.partition("\n[")
    lines = [line for line in main.splitlines() if not line.startswith(("lxc.", "dev", "features"))]
    lines += ["features: nesting=1,keyctl=1,fuse=1"]
    lines += [f"dev{number}: {path}" for number, path in enumerate(devices)]
    if confinement.template != "generated":
        lines.append(f"lxc.apparmor.profile: {confinement.conf_value(ctid)}")
    lines += [raw.line for raw in confinement.raw]
    return "\n".join(lines) + "\n" + "".join(snapshots)


_number = count(1)
