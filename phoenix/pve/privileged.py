"""Whether root in a container is root of the node, which no profile of ours holds.

Measured: under a named profile root in a privileged container set the node's kernel.modprobe
through a detached procfs (fsopen(2), fsmount(2)), and ran code on the node. AppArmor judges such a
mount by no path; in an unprivileged container the kernel refuses it, by the user id.
"""

from __future__ import annotations

from phoenix.pve.conf import PveConf

#: Why AppArmor does not make up for it; a sentence goes on with it.
NOT_HELD = (
    "root in it is root of the node, and no AppArmor profile holds that: measured, it set the "
    "node's kernel.modprobe through a procfs that no rule names, and ran code on the node"
)

#: How one gets away from it.
WAY_OUT = "make it unprivileged: a backup, then pct restore with --unprivileged 1"


def is_privileged(conf: PveConf) -> bool:
    """Whether root in a container is root of the node.

    So it is without `unprivileged: 1` in the main section (pve-container LXC.pm, update_lxc_config)
    and where an `lxc.idmap` line maps ids of the container to the node's 0.

    >>> is_privileged(PveConf.parse("hostname: a\\n"))
    True
    >>> is_privileged(PveConf.parse("unprivileged: 1\\n"))
    False
    """
    if not conf.unprivileged:
        return True
    maps = (value.strip("'\" \t").split() for value in conf.main.raw("lxc.idmap"))
    # lxc, src/lxc/confile_utils.c parse_idmaps: type, id inside, id outside, how many
    return any(len(words) == 4 and not words[2].strip("0xX") for words in maps)
