"""`pct set`: what is staged in [pve:pending], and when it takes effect (update_pct_config)."""

from __future__ import annotations

import os
import re

from . import lxcconf, node, schema
from .conf import Conf, Section
from .node import PctError

# PVE::LXC::Config LXC_FASTPLUG_OPTIONS: these change on a running container at once
_FAST = "description onboot startup protection hostname hookscript cores tags lock"
FAST = set(_FAST.split())


def deletions(pending: Section) -> list[str]:
    """The keys that wait for their deletion."""
    return re.sub(r"[,;]", " ", pending.get("delete") or "").split()


def _set_deletions(pending: Section, keys: set[str]) -> None:
    if keys:
        pending.options["delete"] = ",".join(sorted(keys))
    else:
        pending.options.pop("delete", None)


def apply(
    conf: Conf, values: dict[str, str], delete: list[str], revert: list[str], *, running: bool
) -> dict[str, str]:
    """Change the conf as `pct set` would; the result holds what could not be hotplugged."""
    pending = conf.pending
    for key in revert:
        pending.options.pop(key, None)
        _set_deletions(pending, set(deletions(pending)) - {key})
    touched = set(values)
    for key in delete:
        if key not in conf.options and key not in pending.options:
            node.warn(f"cannot delete '{key}' - not set in current configuration!")
            continue
        touched.add(key)
        if key in ("memory", "rootfs", "ostype"):
            raise PctError(f"unable to delete required option '{key}'")
        if key == "unprivileged":
            raise PctError("unable to delete read-only option: 'unprivileged'")
        if re.fullmatch(r"(?:mp|unused)\d+", key):
            _check_protection(conf, f"can't remove CT {conf.ctid} drive '{key}'")
        _set_deletions(pending, {*deletions(pending), key})
    for key, value in sorted(values.items()):
        _check_value(conf, key, value)
        pending.options[key] = value
        _set_deletions(pending, set(deletions(pending)) - {key})
    _clean(conf)
    if running:
        return _hotplug(conf, touched)
    apply_pending(conf, touched)
    return {}


def apply_pending(conf: Conf, touched: set[str] | None = None) -> None:
    """Take what is pending into the main section (all of it, or the touched keys)."""
    for key in deletions(conf.pending):
        if touched is None or key in touched:
            conf.options.pop(key, None)
            if key == "env":
                conf.env = []
            _set_deletions(conf.pending, set(deletions(conf.pending)) - {key})
    _clean(conf)
    for key in sorted(conf.pending.options):
        if key != "delete" and (touched is None or key in touched):
            value = conf.pending.options.pop(key)
            conf.options[key] = network(value) if re.fullmatch(r"net\d+", key) else value
    if touched is None and conf.pending.env:
        conf.env, conf.pending.env = conf.pending.env, []
    if touched is None and conf.pending.raw:
        # the parser keeps raw lines of the pending section as one value, and so they are applied
        conf.raw, conf.pending.raw = conf.pending.raw, []


def network(value: str, *, new_address: bool = False) -> str:
    """A netN with a hardware address, as it is written (PVE::LXC::Config print_lxc_network)."""
    parts = schema.parts(schema.NETWORK, value)
    if new_address or "hwaddr" not in parts:
        octets = [f"{octet:02X}" for octet in os.urandom(3)]
        parts["hwaddr"] = ":".join(["BC:24:11", *octets])
    parts["type"] = "veth"
    rest = [f"{key}={parts[key]}" for key in sorted(parts) if key != "name"]
    return ",".join([f"name={parts['name']}", *rest])


def _check_value(conf: Conf, key: str, value: str) -> None:
    if key == "unprivileged":
        raise PctError("unable to modify read-only option: 'unprivileged'")
    if re.fullmatch(r"mp\d+|rootfs", key):
        _check_protection(conf, f"can't update CT {conf.ctid} drive '{key}'")
    elif re.fullmatch(r"dev\d+", key):
        where = schema.parts(schema.DEVICE, value).get("path")
        if where is None:
            raise PctError(f"Path is not defined for passthrough device {key}")
        lxcconf.device_number(where)


def _check_protection(conf: Conf, text: str) -> None:
    if schema.truth(conf.get("protection")):
        raise PctError(f"{text} - protection mode enabled")


def _clean(conf: Conf) -> None:
    """Drop from pending what is no change (PVE::AbstractConfig cleanup_pending)."""
    pending = conf.pending
    for key in list(pending.options):
        if key != "delete" and conf.get(key) == pending.options[key]:
            del pending.options[key]
    if pending.env == conf.env:
        pending.env = []
    there = {*conf.options, *(["env"] if conf.env else [])}
    _set_deletions(pending, {key for key in deletions(pending) if key in there})


def _hotplug(conf: Conf, touched: set[str]) -> dict[str, str]:
    """Apply to a running container what can be; the rest stays pending."""
    pending = conf.pending
    for key in sorted(touched & FAST & set(pending.options)):
        conf.options[key] = pending.options.pop(key)
    for key in set(deletions(pending)) & touched & (FAST | {"swap"}):
        conf.options.pop(key, None)
        _set_deletions(pending, set(deletions(pending)) - {key})
        if key == "swap":
            _limit(conf)
    memory = sorted({"memory", "swap"} & touched & set(pending.options))
    if memory:
        before = {key: conf.get(key) for key in memory}
        for key in memory:
            conf.options[key] = pending.options.pop(key)
        try:
            _limit(conf)
        except OSError as error:
            for key in memory:
                pending.options[key] = conf.options.pop(key)
                if (old := before[key]) is not None:
                    conf.options[key] = old
            return {key: f"unable to hotplug {key}: {error.strerror}\n" for key in memory}
    return {}


def _limit(conf: Conf) -> None:
    group = node.path(f"/sys/fs/cgroup/lxc/{conf.ctid}")
    most, high, swap = lxcconf.memory_limits(conf)
    for name, value in (("high", high), ("max", most), ("swap.max", swap)):
        file = f"{group}/memory.{name}"
        if os.path.exists(file):
            with open(file, "w") as handle:
                handle.write(str(value))
