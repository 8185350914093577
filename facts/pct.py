"""What Proxmox knows of the containers of a node."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand

from phoenix.observed import ObservedPct, parse_containers

_SCRIPT = Path(__file__).resolve().parents[1] / "templates" / "node" / "containers.pl"


class Containers(FactBase[ObservedPct]):
    """All containers of the node in one command: conf, state, init, label, HA, running features.

    The command reads files only: `pct config` takes a second for each container. Confs arrive
    percent-encoded, so that every byte survives. An excerpt of the output::

        node pve1
        ct 910 running 3917 1795308303 lxc-docker-nested%20(enforce) started
        conf 910 arch:%20amd64%0Afeatures:%20nesting=1%0A
        live 910 yes yes lxc.arch%20=%20amd64%0Alxc.apparmor.profile%20=%20lxc-docker-nested%0A
        ct 911 stopped - - - -
        conf 911 arch:%20amd64%0A
        elsewhere 955 pve2

    It becomes a `phoenix.observed.ObservedPct`::

        ObservedPct(
            node="pve1",
            containers={
                910: ObservedContainer(
                    ctid=910, conf=PveConf("arch: amd64\\nfeatures: nesting=1\\n"), node="pve1",
                    running=True, pid=3917, label="lxc-docker-nested (enforce)", ha="started",
                    started=1795308303, live=Live(dev_fuse=True, keyctl=True, config=(...)),
                ),
                911: ObservedContainer(ctid=911, ..., running=False, pid=None, label=None, ...),
            },
            elsewhere={955: "pve2"},
            problems=(),
        )

    A machine without `/etc/pve/lxc` gives no containers and says so in `problems`.
    """

    def command(self) -> StringCommand:
        """The script itself, as one quoted argument of perl."""
        return StringCommand("perl", "-e", QuoteString(_SCRIPT.read_text(encoding="utf-8")))

    @staticmethod
    def default() -> ObservedPct:
        """Nothing was seen: the command printed no line."""
        return ObservedPct("", problems=("the node printed nothing about its containers",))

    def process(self, output: list[str]) -> ObservedPct:
        """Parse the lines of the command."""
        return parse_containers(output)
