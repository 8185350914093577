"""Which accelerator works here. That /dev/kvm opens proves nothing: only a boot does."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from lab import cache, emulator
from lab.progress import step

TIMEOUT = 10.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def choose(kernel: Path) -> str:
    """``kvm`` when the kernel starts under it within seconds, else ``tcg``."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with cache.locked(cache.root() / "accel.lock", "another command that tries KVM"):
        remembered = cache.root() / f"accel-{BOOT_ID.read_text().strip()}"
        if remembered.exists() and (found := remembered.read_text()) in ("kvm", "tcg"):
            return found
        with step("trying KVM"):
            found = "kvm" if boots_under_kvm(kernel) else "tcg"
        for old in cache.root().glob("accel-*"):
            old.unlink(missing_ok=True)
        remembered.write_text(found)
        return found


def boots_under_kvm(kernel: Path) -> bool:
    """Boot the bare kernel and look for its first line."""
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console"
        console.touch()
        process = subprocess.Popen(
            [
                *emulator.system(),
                *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                *("-machine", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "256"),
                *("-kernel", str(kernel), "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"),
                *("-serial", f"file:{console}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            end = time.monotonic() + TIMEOUT
            while time.monotonic() < end:
                if b"Linux version" in console.read_bytes():
                    return True
                if process.poll() is not None:
                    return b"Linux version" in console.read_bytes()
                time.sleep(0.1)
            return False
        finally:
            process.kill()
            process.wait()
