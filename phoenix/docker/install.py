"""Docker for a guest that has none: where its packages come from, and its first daemon.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: Where a guest's Docker comes from: its own distribution, Docker's repository, or as it is.
Source = Literal["distro", "docker-ce", "keep"]


@dataclass(frozen=True)
class Repository:
    """A package repository of Docker's for guests.

    `url`: its address, without the suite; `key`: the ASCII-armoured OpenPGP key that signs it;
    `fingerprint`: 40 hex digits, that of this key.
    """

    url: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class Install:
    """How Docker comes into a guest.

    `driver`: the storage driver for its daemon.json, which is written before Docker first starts;
    `auto`: overlay2 where the guest can mount one, else fuse-overlayfs. `repository`: for
    `docker-ce`, None where the guest has that repository. `nvidia`: with NVIDIA's container toolkit
    where the guest's sources have it, for `docker run --gpus`. `insists`: the fleet file names that
    driver; else a Docker that a clone brings, and that holds something, stays on its own.
    """

    source: Source = "distro"
    driver: Literal["fuse-overlayfs", "overlay2", "auto"] = "fuse-overlayfs"
    repository: Repository | None = None
    nvidia: bool = False
    insists: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the node's program reads it (`node.install`)."""
        repository = self.repository
        return {
            "source": self.source,
            "driver": self.driver,
            "nvidia": self.nvidia,
            "insists": self.insists,
            "repository": None
            if repository is None
            else {
                "url": repository.url,
                "key": repository.key,
                "fingerprint": repository.fingerprint,
            },
        }
