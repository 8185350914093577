"""What was seen on a node, as frozen values, and how the node's own answer becomes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phoenix.pve.conf import PveConf
from phoenix.pve.features import CANONICAL
from phoenix.pve.ha import HaService, service_from_json
from phoenix.pve.includes import Includes


@dataclass(frozen=True)
class Live:
    """The configuration with which a container was started, and what it has of the features.

    `config` holds the lines of `/var/lib/lxc/CTID/config`, which Proxmox writes at each start
    (pve-container `LXC.pm update_lxc_config`). `dev_fuse`: it has /dev/fuse. `keyctl`: its
    seccomp profile lets keyctl pass, None if no profile could be read.
    """

    dev_fuse: bool
    keyctl: bool | None
    config: tuple[tuple[str, str], ...] = ()

    def raw(self, key: str) -> tuple[str, ...]:
        """All values of an `lxc.` key, in order. LXC takes the last of a single-valued one."""
        return tuple(value for name, value in self.config if name == key)

    @property
    def profile(self) -> str | None:
        """The AppArmor profile that it was started with: a name, `generated`, `unconfined`."""
        return self.raw("lxc.apparmor.profile")[-1] if self.raw("lxc.apparmor.profile") else None

    def feature(self, name: str) -> str | None:
        """The value of a feature in the running container: "1", "0", file systems, or None.

        None: not to be seen. A named profile hides nesting and mount, which work through
        Proxmox's generated one (`make_apparmor_config`); without a configuration all is hidden.
        Raises KeyError for a name that is no feature.
        """
        if name not in CANONICAL:
            raise KeyError(name)
        if not self.config:
            return None
        if name in ("nesting", "mount") and self.profile != "generated":
            return None
        if name == "nesting":
            return _flag("1" in self.raw("lxc.apparmor.allow_nesting"))
        if name == "mount":
            rules = " ".join(self.raw("lxc.apparmor.raw"))
            systems = re.findall(r"(?:^| )mount fstype=(\w+),", rules)
            # the fuse feature writes such a line of its own
            return ";".join(fs for fs in systems if fs != "fuse")
        if name == "fuse":
            return _flag(self.dev_fuse)
        if name == "keyctl":
            return None if self.keyctl is None else _flag(self.keyctl)
        if name == "mknod":
            return _flag(bool(self.raw("lxc.seccomp.notify.proxy")))
        return _flag("sys:mixed" not in self.raw("lxc.mount.auto"))


@dataclass(frozen=True)
class ObservedContainer:
    """A container of the node.

    `pid`, `started` (seconds since the epoch), `label` and `live` belong to its first process;
    a container that is starting or stopping runs without one. `label` is the text of
    `/proc/PID/attr/apparmor/current`. `ha` is the state that the HA manager is asked for
    (`started`, `ignored`, ...), or how it is disarmed (`disarmed`, `frozen`, `disarming`), None
    when it does not manage the container. `managed`: the node's note of what our runs brought into
    its conf (`phoenix.pve.managed`). `service`: what HA makes of it at the
    moment, None for nothing. `includes`: what the includes of this node's confs bring in.
    """

    ctid: int
    conf: PveConf
    running: bool
    pid: int | None
    label: str | None
    ha: str | None
    node: str
    started: int | None = None
    live: Live | None = None
    managed: str | None = None
    includes: Includes = field(default_factory=dict)
    service: HaService | None = None

    @property
    def init(self) -> str:
        """The first command in it: that of its last start while it runs, else that of its next.

        pve-container `update_lxc_config`: `entrypoint` first, then the raw lines; the last counts.
        """
        entrypoint = self.conf.main["entrypoint"]
        commands = (*filter(None, [entrypoint]), *self.conf.main.raw("lxc.init.cmd"))
        if self.live and self.live.config:
            commands = self.live.raw("lxc.init.cmd")
        return commands[-1] if commands else ""


@dataclass(frozen=True)
class ObservedPct:
    """The containers of a node, and on which node of the cluster the others are.

    `wanted`: the labels that the node's watch looks for, None without one (`phoenix.plan.watch`).
    """

    node: str
    containers: Mapping[int, ObservedContainer] = field(default_factory=dict)
    elsewhere: Mapping[int, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    wanted: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For `--json`: plain values; confs as their text."""
        return {
            "node": self.node,
            "containers": {ctid: _plain(ct) for ctid, ct in self.containers.items()},
            "elsewhere": dict(self.elsewhere),
            "problems": list(self.problems),
            "wanted": self.wanted,
        }


def containers_from_json(data: Mapping[str, Any]) -> ObservedPct:
    """Read the section `containers` of the node's answer (`node.containers`)."""
    node = data["node"]
    containers = {
        int(ctid): ObservedContainer(
            ctid=int(ctid),
            conf=PveConf.parse(one["conf"]),
            running=one["running"],
            pid=one["pid"],
            label=one["label"],
            ha=one["ha"],
            node=node,
            started=one["started"],
            live=None if one["live"] is None else _live(**one["live"]),
            managed=one["ours"],
            service=service_from_json(one.get("service")),
        )
        for ctid, one in data["containers"].items()
    }
    elsewhere = {int(ctid): name for ctid, name in data["elsewhere"].items()}
    return ObservedPct(node, containers, elsewhere, tuple(data["problems"]), data["wanted"])


def _live(fuse: bool, keyctl: bool | None, config: str | None) -> Live:
    # lxc.container.conf(5): key = value, "#" begins a comment
    pairs = re.findall(r"^[ \t]*(lxc\.\S+?)\s*=[ \t]*([^\n]*?)[ \t]*$", config or "", re.MULTILINE)
    return Live(fuse, keyctl, tuple(pairs))


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _plain(container: ObservedContainer) -> dict[str, Any]:
    live = container.live
    return {
        "ctid": container.ctid,
        "conf": container.conf.text,
        "digest": container.conf.digest,
        "running": container.running,
        "pid": container.pid,
        "label": container.label,
        "ha": container.ha,
        "service": container.service and asdict(container.service),
        "node": container.node,
        "started": container.started,
        "live": live and {"dev_fuse": live.dev_fuse, "keyctl": live.keyctl, "config": live.config},
    }
