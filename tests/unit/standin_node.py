"""A node for the stand-in `pct`: files below a temporary root, fakes of LXC's tools."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.forks import Forks

PCT = Path(__file__).parents[2] / "lab" / "node" / "pct"
#: As the first line of `pct` has it, but for `site`: here that brings all that the tests need.
PYTHON = f"{sys.executable} -EsS"
#: Starts it; its modules look at their environment as they are imported.
FORKS = Forks(f"""\
import sys
sys.path.insert(0, {str(PCT.parent)!r})
import pvestandin.cli
for name in [name for name in sys.modules if name.split(".")[0] == "pvestandin"]:
    del sys.modules[name]
""")
#: A command that is `pct` and nothing else that a shell would know of.
_PLAIN = re.compile(r"pct [\w ./:,=@+-]*", re.ASCII)


class Node:
    """A node's files below a temporary root, and fakes of LXC's tools."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("etc/pve/lxc", "proc/net", "run/lock/lxc", "var/lib/lxc", "tools", "root"):
            (root / folder).mkdir(parents=True)
        (root / "etc/hostname").write_text("pve-lab\n")
        self.sockets.write_text("")
        common = root / "usr/share/lxc/config/common.seccomp"
        common.parent.mkdir(parents=True)
        common.write_text("2\ndenylist\n")
        self.tool("pct", f'exec {PYTHON} {PCT} "$@"')
        self.tool(
            "lxc-attach",
            'while [ "$1" != -- ]; do [ "$1" = --clear-env ] && clear=1; shift; done; shift\n'
            '[ -z "$clear" ] || exec env -i PATH="$PATH" "$@"\n'
            'exec "$@"',
        )
        self.tool(
            "lxc-start",
            f'if [ -e {root}/lxc.log ]; then cat {root}/lxc.log > "$5"; exit 1; fi\n'
            f'echo "0: 2 0 1 1 1 5 @/var/lib/lxc/$2/command" >> {self.sockets}',
        )
        self.tool(
            "lxc-stop",
            f'printf "%s\\n" "$*" >> {root}/stopped\nsed -i "/lxc.$2.command/d" {self.sockets}',
        )
        self.tool("lxc-info", 'echo "PID:            1"')
        self.tool("lxc-usernsexec", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self.tool("mkfs.ext4", f'echo mkfs.ext4 "$@" >> {root}/made')
        self.tool("fsfreeze", f'echo fsfreeze "$@" >> {root}/made')
        self.tool("chattr", f'echo chattr "$@" >> {root}/made')
        self.tool("mknod", f'echo mknod "$@" >> {root}/made; : > "$3"')
        self.tool("chown", f'echo chown "$@" >> {root}/made')

    @property
    def sockets(self) -> Path:
        return self.root / "proc/net/unix"

    def tool(self, name: str, script: str) -> None:
        path = self.root / "tools" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def conf(self, ctid: str) -> Path:
        return self.root / f"etc/pve/lxc/{ctid}.conf"

    def has_storages(self) -> None:
        """`labthin`, which has snapshots, beside `local`."""
        content = "content rootdir,images"
        (self.root / "etc/pve/storage.cfg").write_text(
            f"dir: local\n\tpath /var/lib/vz\n\t{content},vztmpl\n\n"
            f"lvmthin: labthin\n\tvgname labvg\n\tthinpool data\n\t{content}\n\n"
            "dir: isos\n\tpath /srv/isos\n\tcontent iso\n"
        )

    def thin(self, ctid: str, name: str = "disk") -> Path:
        """The image of a container's first volume on `labthin`, or of a snapshot of it."""
        return self.root / f"var/lib/vz/thin/labvg/vm-{ctid}-disk-0/{name}.raw"

    def has_thin(self, ctid: str, *snapshots: str) -> None:
        """A volume of a container on `labthin`; each image holds its own name."""
        self.has_storages()
        for name in ("disk", *snapshots):
            self.thin(ctid, name).parent.mkdir(parents=True, exist_ok=True)
            self.thin(ctid, name).write_text(name)

    def made(self) -> list[str]:
        """What the fakes were asked to make."""
        return (self.root / "made").read_text().replace(str(self.root), "").splitlines()

    def lxc_config(self, ctid: str) -> list[str]:
        return (self.root / f"var/lib/lxc/{ctid}/config").read_text().splitlines()

    def has(self, ctid: str, text: str, *, running: bool = False) -> None:
        self.conf(ctid).write_bytes(text.encode("utf-8", "surrogateescape"))
        if running:
            with self.sockets.open("a") as sockets:
                sockets.write(f"0: 2 0 1 1 1 5 @/var/lib/lxc/{ctid}/command\n")

    def run(
        self, command: str, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        command = re.sub(
            r"(?<![\w.])/(?=(?:etc/pve|run/lock|var/lib/lxc|root)\b)", f"{self.root}/", command
        )
        env = {
            "PATH": f"{self.root}/tools:{os.environ['PATH']}",
            "PCT_ROOT": str(self.root),
            "TZ": "UTC",
            "LC_ALL": "C",
            **environment,
        }
        if stdin is None and _PLAIN.fullmatch(command):
            return FORKS.run(PCT.read_text(), *command.split()[1:], env=env)
        return subprocess.run(
            ["bash", "-c", command],
            input=stdin,
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
