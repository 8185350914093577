"""What the node knows of its containers: files only, no process is started."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from node.files import names_in, read, text
from node.root import STATE, at

if TYPE_CHECKING:
    from phoenix.pve.conf import PveConf

_CONF = re.compile(r"([1-9][0-9]{2,8})\.conf")
_PVE = "/etc/pve"

#: How far the first process is searched for, and for how many seconds: root in a guest can make
#: control groups without end, and what the kernel tells of its processes as long as it likes.
_MOST_FOLDERS, _MOST_PROCESSES, _PATIENCE = 5000, 50_000, 5


def observe() -> dict[str, Any]:
    """All containers: conf, state, first process, label, HA, what they were started with."""
    node = node_name()
    found: dict[str, Any] = {"node": node, "containers": {}, "elsewhere": {}, "problems": []}
    found["wanted"] = text(read(at(f"{STATE}/wanted")))
    if not os.path.isdir(at(f"{_PVE}/lxc")):
        problem = f"no-pve: {_PVE}/lxc is not there; is this a Proxmox VE node?"
        found["problems"].append(problem)
    ha, services = _ha_states(), ha_services()
    for ctid in _ctids(f"{_PVE}/lxc"):
        path = f"{_PVE}/lxc/{ctid}.conf"
        try:
            conf = read(at(path))
        except OSError as error:
            found["problems"].append(f"unreadable: {path}: {error.strerror}")
            continue
        if conf is not None:
            found["containers"][str(ctid)] = {
                "conf": text(conf),
                "ha": ha.get(str(ctid)),
                "service": services.get(str(ctid)),
                "ours": text(read(at(f"{STATE}/containers/{ctid}"))),
                **_process(ctid),
            }
    for other in names_in(at(f"{_PVE}/nodes")):
        if other != node:
            for ctid in _ctids(f"{_PVE}/nodes/{other}/lxc"):
                if str(ctid) not in found["containers"]:
                    found["elsewhere"][str(ctid)] = other
    return found


def ctids() -> list[int]:
    """The containers of this node."""
    return _ctids(f"{_PVE}/lxc")


def confs(holding: re.Pattern[bytes]) -> Iterator[PveConf]:
    """The confs of this node's containers in which this is found; the others are not parsed.

    All are as they were when the first was asked for. Of one that cannot be read `observe` says so.
    """
    return (_parsed(conf) for conf in _texts() if holding.search(conf))


@cache
def _texts() -> tuple[bytes, ...]:
    found = []
    for ctid in ctids():
        with suppress(OSError):
            found.append(read(at(f"{_PVE}/lxc/{ctid}.conf")) or b"")
    return tuple(found)


def init_pid(ctid: int) -> int | None:
    """The container's first process as the node counts, None without one."""
    return _find_init(ctid)[0]


def label(pid: int) -> str | None:
    """The AppArmor label of a process as the kernel tells the node, None without one."""
    for name in ("attr/apparmor/current", "attr/current"):
        said = text(_read(at(f"/proc/{pid}/{name}"))) or ""
        if said.strip("\0\n "):
            return said.strip("\0\n ")
    return None


def cgroups(ctid: int) -> list[str]:
    """The folders of the container's control groups, those of its own namespace first."""
    base = at("/sys/fs/cgroup")
    places = (f"lxc/{ctid}", f"lxc.payload.{ctid}", f"systemd/lxc/{ctid}", f"pids/lxc/{ctid}")
    there = [f"{base}/{place}" for place in places if os.path.isdir(f"{base}/{place}")]
    return [f"{one}/ns" for one in there if os.path.isdir(f"{one}/ns")] + there


@cache
def _parsed(conf: bytes) -> PveConf:
    """Parsed once, whichever sections look into it."""
    from phoenix.pve.conf import PveConf

    return PveConf.from_bytes(conf)


def _process(ctid: int) -> dict[str, Any]:
    pid, alive = _find_init(ctid)
    live = None
    if pid is not None:
        config = text(_read(at(f"/var/lib/lxc/{ctid}/config")))
        said = config or ""
        live = {"fuse": _has_fuse(ctid, said), "keyctl": _keyctl(said), "config": config}
    return {
        "running": alive,
        "pid": pid,
        "started": None if pid is None else started(pid),
        "label": None if pid is None else label(pid),
        "live": live,
    }


def _find_init(ctid: int) -> tuple[int | None, bool]:
    """The first process, and whether there is any at all.

    LXC's own process on the node is its parent, and the guest cannot touch that one. Without one
    the control groups are searched, breadth first, init.scope before its neighbours: with systemd
    inside, the answer is in the third directory.
    """
    if (child := _child_of_monitor(ctid)) is not None:
        return child, True
    folders = cgroups(ctid)
    folders = [scope for one in folders if os.path.isdir(scope := f"{one}/init.scope")] + folders
    asked, deadline = 0, time.monotonic() + _PATIENCE
    # grows while it is read
    for folder in folders:
        for pid in _pids(folder):
            asked += 1
            if _is_init(pid):
                return pid, True
            if asked >= _MOST_PROCESSES or time.monotonic() > deadline:
                return None, True
        room = _MOST_FOLDERS - len(folders)
        folders += sorted(_below(folder, room), key=lambda one: not one.endswith("/init.scope"))
    return None, asked > 0


def _child_of_monitor(ctid: int) -> int | None:
    """The first process as the child of LXC's own, which has no other that is number 1."""
    for monitor in _pids(at(f"/sys/fs/cgroup/lxc.monitor/{ctid}")):
        children = _read(at(f"/proc/{monitor}/task/{monitor}/children")) or b""
        for pid in map(int, children.split()):
            if _is_init(pid):
                return pid
    return None


def _pids(folder: str) -> list[int]:
    # 0: of another pid namespace than ours
    return [pid for word in (_read(f"{folder}/cgroup.procs") or b"").split() if (pid := int(word))]


def _below(folder: str, most: int) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = (entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
            return sorted(islice(found, max(most, 0)))
    except OSError:
        return []


def _is_init(pid: int) -> bool:
    """Whether it is number 1 in the pid namespace right below the node's.

    In a Docker container inside it the same line has three numbers.
    """
    status = _read(at(f"/proc/{pid}/status")) or b""
    return re.search(rb"^NSpid:[ \t]+\d+[ \t]+1$", status, re.MULTILINE) is not None


def started(pid: int) -> int | None:
    """When a process began, in seconds since the epoch."""
    boot, since = _boot(), ticks(pid)
    return None if boot is None or since is None else boot + since // 100


def ticks(pid: int) -> int | None:
    """When a process began, in hundredths of a second since boot.

    The second field of stat is a name and may hold blanks; the start is the 20th field after it
    (proc(5)).
    """
    fields = (_read(at(f"/proc/{pid}/stat")) or b"").rpartition(b") ")[2].split()
    return int(fields[19]) if len(fields) >= 20 and fields[19].isdigit() else None


@cache
def _boot() -> int | None:
    found = re.search(rb"^btime (\d+)", read(at("/proc/stat")) or b"", re.MULTILINE)
    return int(found[1]) if found else None


def _keyctl(config: str) -> bool | None:
    """Whether the seccomp profile lets keyctl pass, None if none can be read.

    Proxmox writes "keyctl errno 38" unless the feature is on.
    """
    named = re.search(r"^lxc\.seccomp\.profile\s*=\s*(\S+)\s*$", config, re.MULTILINE)
    rules = _read(at(named[1])) if named else None
    return None if rules is None else not re.search(rb"^keyctl errno", rules, re.MULTILINE)


def _has_fuse(ctid: int, config: str) -> bool:
    """Whether a container was given /dev/fuse: a mount, or a device that Proxmox's hook makes.

    Told by what the node wrote for its start: whoever looks into a guest's own file systems may
    never come back (an overlay over FUSE that does not answer).
    """
    mount = r"^lxc\.mount\.entry\s*=\s*\S+\s+dev/fuse\s"
    devices = _read(at(f"/var/lib/lxc/{ctid}/devices")) or b""
    return bool(re.search(mount, config, re.MULTILINE)) or b"/dev/fuse" in devices


def node_name() -> str:
    """Its own, as /etc/pve has it."""
    for link in (f"{_PVE}/local", f"{_PVE}/lxc"):
        try:
            found = re.search(r"nodes/([^/]+)", os.readlink(at(link)))
        except OSError:
            continue
        if found:
            return found[1]
    name = (read(at("/proc/sys/kernel/hostname")) or b"").decode("ascii", "replace")
    return name.strip().partition(".")[0]


def _ha_states() -> dict[str, str]:
    """What the HA stack is asked for, of each container that it has.

    ct:910 in ha/resources.cfg; without a state line the state is "started". Where the whole stack
    is disarmed (`ha-manager crm-command disarm-ha MODE`) no state counts but that: "disarmed" in
    mode ignore, "frozen" in mode freeze, "disarming" until all nodes are.
    """
    states = {ctid: one or "started" for ctid, one in ha_resources().items()}
    disarm = _ha_disarm()
    if disarm:
        states = {ctid: "ignored" if one == "ignored" else disarm for ctid, one in states.items()}
    return states


def _ha_disarm() -> str | None:
    """Whether the HA stack is disarmed (pve-ha-manager Manager.pm, `$ms->{disarm}`)."""
    try:
        disarm = _manager_status().get("disarm")
        if not disarm:
            return None
        modes = {"ignore": "disarmed", "freeze": "frozen"}
        return modes[disarm["mode"]] if disarm["state"] == "disarmed" else "disarming"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # nobody knows: what the resources say counts
        return None


def ha_state(ctid: int) -> str | None:
    """What `observe` says of one container as its `ha`."""
    return _ha_states().get(str(ctid))


def ha_services() -> dict[str, dict[str, Any]]:
    """What HA's manager makes of each container at the moment, as `phoenix.pve.ha.HaService`.

    Nothing of those of which it has nothing, or what nobody can read.
    """
    try:
        status = _manager_status()
        nodes, services = status.get("node_status", {}), status.get("service_status", {})
        every = [(sid[3:], one) for sid, one in services.items() if sid.startswith("ct:")]
        return {ctid: _service(one, nodes) for ctid, one in every}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def ha_lets_go(ctid: int) -> bool:
    """Whether HA's manager has nothing of a container; not where that cannot be told now."""
    try:
        return f"ct:{ctid}" not in _manager_status()["service_status"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _service(said: dict[str, Any], nodes: dict[str, Any]) -> dict[str, Any]:
    node = str(said["node"])
    return {
        "state": str(said["state"]),
        "node": node,
        "node_state": str(nodes.get(node, "unknown")),
        "target": str(said.get("target") or ""),
        "queued": bool(said.get("cmd")),
        "fallback": str(said.get("maintenance_node") or ""),
        "is_failing": bool(said.get("failed_nodes")),
    }


def _manager_status() -> dict[str, Any]:
    """The status of HA's manager, {} without one; raises what reading JSON raises, and OSError."""
    status = json.loads(text(read(at(f"{_PVE}/ha/manager_status"))) or "{}")
    if not isinstance(status, dict):
        raise TypeError("no object")
    return status


def ha_resources() -> dict[str, str]:
    """What HA is asked for, of each container that it has; "" without a line that says so."""
    states: dict[str, str] = {}
    ctid = None
    for line in (text(read(at(f"{_PVE}/ha/resources.cfg"))) or "").split("\n"):
        if head := re.fullmatch(r"(\S+?):\s*(\S+)\s*", line):
            ctid = head[2] if head[1] == "ct" else None
            if ctid is not None:
                states[ctid] = ""
        elif ctid is not None and (state := re.match(r"\s+state\s+(\S+)", line)):
            states[ctid] = state[1]
    return states


def _ctids(path: str) -> list[int]:
    return sorted(int(found[1]) for name in names_in(at(path)) if (found := _CONF.fullmatch(name)))


def _read(path: str) -> bytes | None:
    """A file of a process or of a container, which may end at any moment."""
    try:
        return read(path)
    except OSError:
        return None
