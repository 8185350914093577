"""A deploy as a user would write it: each operation by itself, and a restart if it takes one."""

from pyinfra.operations.util import any_changed

from operations import pct

edits = [
    pct.features(name="Features", ctid=910, features={"nesting": True, "keyctl": True}),
    pct.raw_keys(
        name="Raw keys",
        ctid=910,
        present={"lxc.apparmor.profile": "lxc-docker-nested"},
        absent=["lxc.cgroup2.devices.allow: a"],
    ),
    pct.mounts(name="Mounts", ctid=910, entries=["/srv/data,mp=/data"]),
    pct.devices(name="Devices", ctid=910, entries=["/dev/nvidia0,mode=0666"]),
]
pct.restart(name="Restart", ctid=910, _if=any_changed(*edits))
