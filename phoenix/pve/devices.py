"""Devices passed through to a container, `devN`.

Source: pve-container `PVE/LXC/Config.pm`, `$dev_desc` and `verify_lxc_dev_string`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from posixpath import normpath

from phoenix.pve.conf import PveConf, is_true
from phoenix.pve.indexed import EntryPlan, Meaning, plan_numbered
from phoenix.pve.property_string import parse
from phoenix.pve.values import check_value

_OPTIONS = {
    "path": r"/dev/.+",
    "mode": r"0[0-7]{3}",
    "uid": r"\d+",
    "gid": r"\d+",
    "deny-write": r"(?i:[01]|on|off|yes|no|true|false)",
}


def plan_device_entries(
    conf: PveConf, wanted_values: Sequence[str], managed_before: Iterable[str] = ()
) -> EntryPlan:
    """Which devN lines bring the wanted devices, such as `/dev/nvidia0,mode=0666`.

    Equal devices are recognised whatever their number and the order of their options; the
    lowest free number is used. See `plan_numbered`. Raises ValueError for a value that Proxmox
    would refuse.

    >>> conf = PveConf.parse("dev0: /dev/nvidiactl\\ndev1: mode=0666,path=/dev/nvidia0\\n")
    >>> plan_device_entries(conf, ["/dev/nvidia0,mode=0666", "dev0: /dev/nvidia-uvm"]).new
    (('dev2', '/dev/nvidia-uvm'),)
    """
    return plan_numbered(
        conf,
        wanted_values,
        prefix="dev",
        place="path",
        read=read_device,
        managed_before=managed_before,
    )


def same_device(one: str, other: str) -> bool:
    """Do two values of devN mean the same? Raises ValueError for a malformed one."""
    return read_device(one) == read_device(other)


def read_device(value: str) -> Meaning:
    """What a value of devN means. Raises ValueError for a value that Proxmox would refuse."""
    check_value("dev0", value)
    options = parse(value, "path")
    for name, text in options.items():
        if name not in _OPTIONS:
            raise ValueError(f"device {value!r}: there is no option {name!r}")
        if not re.fullmatch(_OPTIONS[name], text):
            raise ValueError(f"device {value!r}: {text!r} is no {name}")
    path = options.get("path")
    if not path:
        raise ValueError(f"device {value!r}: it names no path below /dev")
    if re.search(r"/\.\.?(/|$)", path):
        raise ValueError(f"device {value!r}: {path} holds '.' or '..'")
    meaning: dict[str, object] = {"path": normpath(path)}
    for name in ("uid", "gid"):
        if name in options:
            meaning[name] = int(options[name])
    if "mode" in options:
        meaning["mode"] = options["mode"]
    if is_true(options.get("deny-write")):
        meaning["deny-write"] = True
    return meaning
