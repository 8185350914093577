"""What a guest's Docker runs on, in Docker's own words, which are Go's.

The gate has programs for those in `names.PROBES`, which are what official nodes, amd64 and arm64,
can run in their containers. It matters which one: a 32-bit dockerd denies 64-bit system calls
(moby, profiles/seccomp), and not every arm64 machine runs 32-bit programs.
"""

from __future__ import annotations

import re

#: How a machine may be called, by uname(2).
MACHINE = re.compile(r"[a-z0-9_]{1,32}")

# arch of pct.conf(5)
_OF_CONF = {"i386": "386", "armhf": "arm"}
_CONF_DEFAULT = "amd64"

# what the kernel tells a 64-bit and, by its personality, a 32-bit program
_OF_MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}
_ARM, _X86 = re.compile(r"armv[5-8]l"), re.compile(r"i[3-6]86")


def of_conf(arch: str | None) -> str:
    """What a container's conf says by `arch:`, None for without.

    >>> of_conf("armhf"), of_conf("riscv64"), of_conf(None)
    ('arm', 'riscv64', 'amd64')
    """
    return _OF_CONF.get(arch or "", arch or _CONF_DEFAULT)


def of_machine(machine: str) -> str:
    """What `docker info` says by `Architecture`: the machine of uname(2) (moby, pkg/platform).

    >>> of_machine("aarch64"), of_machine("armv8l"), of_machine("s390x")
    ('arm64', 'arm', 's390x')
    """
    if _ARM.fullmatch(machine):
        return "arm"
    return "386" if _X86.fullmatch(machine) else _OF_MACHINE.get(machine, machine)
