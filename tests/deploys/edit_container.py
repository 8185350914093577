"""A deploy as a user would write it: each operation by itself, and a restart if it takes one."""

from pyinfra import host
from pyinfra.operations.util import any_changed

from operations import pct

ctid = host.data.ctid
edits = [
    pct.features(name="Features", ctid=ctid, features={"nesting": True, "keyctl": True}),
    pct.raw_keys(
        name="Raw keys",
        ctid=ctid,
        present={"lxc.apparmor.profile": "lxc-container-default-with-nesting"},
        absent=["lxc.cgroup2.devices.allow: a"],
    ),
    pct.mounts(name="Mounts", ctid=ctid, entries=["/srv/data,mp=/data"]),
    pct.devices(name="Devices", ctid=ctid, entries=["/dev/fuse,mode=0666"]),
]
pct.restart(name="Restart", ctid=ctid, _if=any_changed(*edits))
