"""What of a guest's top folders the patterns of `templates/apparmor/base.j2` for binds reach."""

from __future__ import annotations

# what base.j2 denies files of, or mounts in its own way.
_KERNELS_OWN = ("dev", "proc", "sys")


def is_unreached(top: str) -> bool:
    """Whether base.j2's patterns for any source but /proc, /sys and /dev miss /TOP."""
    if top in _KERNELS_OWN:
        return False
    return top in ("d", "p", "pr", "s") or top.startswith(("de", "pro", "sy"))
