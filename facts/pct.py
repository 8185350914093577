"""What Proxmox knows of the containers of a node."""

from __future__ import annotations

from typing_extensions import override

from facts.observe import ObservedWhole
from phoenix.pve.observed import ObservedPct, containers_from_json


class Containers(ObservedWhole[ObservedPct]):
    """All containers of the node in one command: conf, state, init, label, HA, running features.

    The command reads files only: `pct config` takes a second for each container. Texts arrive byte
    for byte: what is no UTF-8 comes as lone surrogates. An excerpt of the output::

        {"containers": {"node": "pve1", "wanted": null, "problems": [],
         "containers": {
          "910": {"conf": "arch: amd64\\nfeatures: nesting=1\\n", "ha": "started", "ours": null,
           "service": {"state": "started", "node": "pve1", "node_state": "online", ...},
           "running": true, "pid": 3917, "started": 1795308303,
           "label": "lxc-docker-nested (enforce)",
           "live": {"fuse": true, "keyctl": true, "config": "lxc.arch = amd64\\n..."}},
          "911": {"conf": "arch: amd64\\n", "ha": null, "service": null, "ours": null,
           "running": false, "pid": null, "started": null, "label": null, "live": null}},
         "elsewhere": {"955": "pve2"}}}

    It becomes a `phoenix.pve.observed.ObservedPct`::

        ObservedPct(
            node="pve1",
            containers={
                910: ObservedContainer(
                    ctid=910, conf=PveConf("arch: amd64\\nfeatures: nesting=1\\n"), node="pve1",
                    running=True, pid=3917, label="lxc-docker-nested (enforce)", ha="started",
                    service=HaService("started", "pve1"), started=1795308303,
                    live=Live(dev_fuse=True, keyctl=True, config=(...)),
                ),
                911: ObservedContainer(ctid=911, ..., running=False, pid=None, label=None, ...),
            },
            elsewhere={955: "pve2"},
            problems=(),
        )

    A machine without `/etc/pve/lxc` gives no containers and says so in `problems`.
    """

    section = "containers"
    read = staticmethod(containers_from_json)

    @staticmethod
    @override
    def default() -> ObservedPct:
        """Nothing was seen."""
        return ObservedPct("", problems=("the node said nothing about its containers",))
