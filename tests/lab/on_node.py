"""Running deploys on the lab's node, and looking at what they left there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
ENFORCED = "lxc-docker-nested (enforce)"


def command(deploy, *flags, **data):
    given = [f"--data={key}={value}" for key, value in data.items()]
    call = [sys.executable, "-m", "pyinfra", *flags, "inventory.py", f"deploys/{deploy}.py"]
    return [*call, *given]


def pyinfra(deploy, *flags, **data):
    done = subprocess.run(
        command(deploy, *flags, **data),
        cwd=REPO,
        env={**os.environ, "NO_COLOR": "1", "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def conf(node, ctid):
    return node.ssh(f"cat /etc/pve/lxc/{ctid}.conf").stdout


def state(node):
    """Everything that a run may change, in one text."""
    return node.ssh(
        """
        sha256sum /etc/pve/lxc/* /etc/apparmor.d/* 2>/dev/null
        sort /sys/kernel/security/apparmor/profiles
        for ct in $(lxc-ls --running -1); do
            pid=$(lxc-info -n $ct -pH)
            echo $ct $pid $(cat /proc/$pid/attr/apparmor/current)
        done
        ls /var/lib/phoenix-harden 2>/dev/null || echo no runs
        """
    ).stdout


def standing(node):
    """What an operator has of the node, our own state left out; no process ids."""
    return node.ssh(
        """
        find /etc/apparmor.d /usr/local/lib /etc/systemd/system -type f -exec sha256sum {} + | sort
        sha256sum /etc/pve/lxc/* 2>/dev/null
        ls -A /etc/pve/lxc/ /etc/apparmor.d
        sort /sys/kernel/security/apparmor/profiles
        pct list
        for ct in $(lxc-ls --running -1); do
            pid=$(lxc-info -n $ct -pH)
            echo $ct $(cat /proc/$pid/attr/apparmor/current)
            look='dpkg-query -W; sha256sum /etc/docker/* 2>/dev/null; exit 0'
            lxc-attach -n $ct -- sh -c "$look" </dev/null
        done
        """
    ).stdout


def hello(node, ctid):
    run = f"lxc-attach -n {ctid} -- docker run --rm --pull never hello:lab echo it works"
    return node.ssh(f"{run} </dev/null").stdout.strip()


def denials(node, profile):
    grep = f"""grep -c 'apparmor="DENIED".* profile="{profile}"' /var/log/audit/audit.log"""
    return int(node.ssh(grep, check=False).stdout)
