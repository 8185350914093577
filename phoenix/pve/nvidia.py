"""The device nodes of NVIDIA's driver that belong to a node's GPUs beside `/dev/nvidiaN`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ObservedNvidia:
    """What is there of them, as paths.

    `caps`: of the driver's capabilities (MIG), for any GPU; `dri`: those of the kernel's DRM by the
    number of the GPU, N of `/dev/nvidiaN`; `unclear`: NVIDIA's of the DRM of which nothing tells
    whose they are.
    """

    caps: tuple[str, ...] = ()
    dri: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()

    def of(self, gpus: Iterable[int]) -> tuple[str, ...]:
        """Those that these GPUs need, none without a GPU."""
        mine = [self.dri.get(gpu, ()) for gpu in gpus]
        return (*self.caps, *(path for paths in mine for path in paths)) if mine else ()


def nvidia_from_json(data: Mapping[str, Any] | None) -> ObservedNvidia:
    """Read that part of the section `storage` (`node.storage`); None: nobody asked."""
    if data is None:
        return ObservedNvidia()
    dri = {int(gpu): tuple(paths) for gpu, paths in data["dri"].items()}
    return ObservedNvidia(tuple(data["caps"]), dri, tuple(data["unclear"]))
