"""Names that a guest's Docker and its package manager go by.

Packed into the node's program: Python 3.9, the standard library only.
"""

from __future__ import annotations

import re

#: Docker's configuration, in the guest; every other path is one of the node.
DAEMON_JSON = "/etc/docker/daemon.json"

#: How a storage driver of Docker may be called.
DRIVER_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,31}")

#: The package managers of guests by which packages are installed and removed (`node.packages`).
MANAGERS = ("apt", "apk", "dnf")
NEITHER = f"neither {', '.join(MANAGERS[:-1])} nor {MANAGERS[-1]}"

#: The architectures that the gate has a program for (`templates/probe`), as Docker calls them.
PROBES = ("386", "amd64", "arm", "arm64")
#: The only one that there was before a run noted it.
PROBE_DEFAULT = "amd64"

#: How a package of apt, apk or dnf may be called; dpkg names some with their architecture, and
#: those of Fedora have capitals (NetworkManager).
PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*(:[a-z0-9-]+)?")
