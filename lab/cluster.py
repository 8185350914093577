"""Two nodes of one stack, as a cluster: each runs containers of its own, /etc/pve is one.

The second node is a copy of the first under another name; of the containers that both have, each
keeps its own. What pmxcfs shares, the second one mounts from the first (sshfs): names, contents,
locks by mkdir and renames mean the same on both. What pmxcfs makes for each node by itself (local,
lxc, .members) each has for itself.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import cache, recipe
from lab.build import mmdebstrap, quoted, workshop
from lab.instance import NODES
from lab.progress import STALLED, step
from lab.recipe import Stack
from lab.ssh import SshTarget
from lab.vm import Lab

#: The containers of the second node; the first one has all others.
SECOND = (952, 956)
#: Of documentation (RFC 5737): no machine has these.
ADDRESSES = ("192.0.2.1", "192.0.2.2")
#: The state of each node before /etc/pve is shared.
_APART = "apart"
#: What pmxcfs shares, of what we use.
_SHARED = ("nodes", "ha", "priv")

#: The first node gives the second its containers.
_GIVE = """\
set -eu
cd /etc/pve
mkdir -p ha priv nodes/{second}/lxc
for ctid in {theirs}; do
    lxc-stop -k -n "$ctid" || :
    mv "nodes/{first}/lxc/$ctid.conf" nodes/{second}/lxc/
done
cat >.members
for name in {first} {second}; do
    sed "s/^/$name /" /etc/ssh/ssh_host_ed25519_key.pub >"nodes/$name/ssh_known_hosts"
done
"""

#: The second node becomes itself, and keeps what is its own.
_BECOME = """\
set -eu
hostname {second}
echo {second} >/etc/hostname
sed -i 's/{first}$/{second}/' /etc/hosts
for ctid in $(lxc-ls --running -1); do
    case " {theirs} " in *" $ctid "*) ;; *) lxc-stop -k -n "$ctid" ;; esac
done
cd /etc/pve
rm -rf nodes
mkdir -p nodes ha priv /srv/pmxcfs
ln -sfn nodes/{second} local
ln -sfn nodes/{second}/lxc lxc
cat >.members
"""

#: Nothing is remembered of the other node's files, as in pmxcfs.
_MOUNT = (
    "exec sshfs -f -o passive,allow_root,dir_cache=no,attr_timeout=0,entry_timeout=0 "
    ":/etc/pve /srv/pmxcfs"
)
_BIND = """\
set -eu
until mountpoint -q /srv/pmxcfs; do sleep 0.1; done
for name in {shared}; do mount --bind "/srv/pmxcfs/$name" "/etc/pve/$name"; done
"""
_IS_SHARED = "timeout 60 test -d /etc/pve/nodes/{first}/lxc && mountpoint -q /srv/pmxcfs"

_WORDS = {
    "first": NODES[0],
    "second": NODES[1],
    "theirs": " ".join(map(str, SECOND)),
    "shared": " ".join(_SHARED),
}


class Cluster:
    """The two nodes of a checkout and stack; without *stack* of the one of the environment."""

    def __init__(self, checkout: Path, stack: str | None = None) -> None:
        self.labs = (Lab(checkout, stack), Lab(checkout, stack, 2))

    def up(self) -> tuple[SshTarget, SshTarget]:
        """Boot what does not run, and make the two a cluster unless they are one."""
        first, second = self.labs
        targets = first.up(), second.up()
        if not (second.instance.joined.exists() and _shares(targets[1])):
            self._part()
            self.join()
        return targets

    def reset(self) -> tuple[SshTarget, SshTarget]:
        """Put both nodes back into what they were when they became a cluster."""
        for lab in self.labs:
            lab.load(_APART)
        return self.join()

    def join(self) -> tuple[SshTarget, SshTarget]:
        """Share /etc/pve: after a reset, and after one of the two had no power."""
        first, second = (lab.target() for lab in self.labs)
        with step("sharing /etc/pve between the nodes"):
            _connect(first, second, self.labs[1].folder / "share.log")
            second.run(_BIND.format(**_WORDS), timeout=STALLED)
        self.labs[1].instance.joined.touch()
        return first, second

    def _part(self) -> None:
        """Give each node its containers, and save both so."""
        first, second = self.labs
        sshfs = _sshfs(first.stack)
        for lab in self.labs:
            lab.reset()
        with step(f"making {NODES[1]} of a copy of {NODES[0]}"):
            first.target().run(_GIVE.format(**_WORDS), stdin=_members(0))
            second.target().run(_BECOME.format(**_WORDS), stdin=_members(1))
            put_in = "tar -C / --keep-directory-symlink --skip-old-files -xf - && ldconfig"
            second.target().run(put_in, stdin=sshfs.read_bytes())
            for lab in self.labs:
                lab.save(_APART)


def _members(own: int) -> str:
    """What pmxcfs has in .members on the node of that place (pve-cluster, status.c)."""
    nodes = {
        name: {"id": number, "online": 1, "ip": address}
        for number, (name, address) in enumerate(zip(NODES, ADDRESSES, strict=True), 1)
    }
    cluster = {"name": "lab", "version": 2, "nodes": len(nodes), "quorate": 1}
    said = {"nodename": NODES[own], "version": 4, "cluster": cluster, "nodelist": nodes}
    return json.dumps(said)


def _shares(second: SshTarget) -> bool:
    return second.run(_IS_SHARED.format(**_WORDS), check=False).returncode == 0


def _connect(first: SshTarget, second: SshTarget, log: Path) -> None:
    """Let the first node's SFTP server and the second one's sshfs talk, until one of them is gone.

    Both go on by themselves when this process has ended.
    """
    asked, asks = os.pipe()
    told, tells = os.pipe()
    alive = ("-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6")
    with log.open("w") as said:
        _start(first.command(["sftp"], "-s", *alive), asked, tells, said.fileno())
        _start(second.command([_MOUNT], *alive), told, asks, said.fileno())
    for end in (asked, asks, told, tells):
        os.close(end)


def _start(command: Sequence[str], stdin: int, stdout: int, stderr: int) -> None:
    subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)


def _sshfs(stack: Stack) -> Path:
    """A tar of sshfs and the libraries that it needs."""
    key = recipe.digest([Path(__file__), recipe.HERE / "build.py"], seed=stack.suite)
    built = cache.entry(f"{stack.name}.sshfs-{key}", lambda folder: _build(folder, stack))
    cache.prune(built)
    return built / "sshfs.tar"


def _build(folder: Path, stack: Stack) -> None:
    with step("getting sshfs"), workshop(folder) as work:
        packed = work / "out/sshfs.tar"
        files = "usr/bin/sshfs usr/bin/fusermount3 usr/lib/x86_64-linux-gnu"
        hook = f'--extract-hook=tar -C "$1" -cf {quoted(packed)} {files}'
        mmdebstrap(work, "sshfs", stack.suite, "--variant=extract", "--include=sshfs", hook)
        packed.rename(folder / packed.name)
