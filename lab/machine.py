"""One virtual machine: its command line, its process, its saved states.

Everything about it lies in one folder: disk, key, pid, monitor socket, logs.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab import emulator
from lab.errors import EndedError, LabError
from lab.progress import STALLED, Watch
from lab.qmp import monitor
from lab.recipe import guests
from lab.ssh import SshTarget, make_key

MEMORY_MIB = 4096
HOST = "127.0.0.1"
KERNEL_ARGUMENTS = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 fsck.mode=skip systemd.ssh_auto=no "
    "apparmor=1 security=apparmor audit=1 audit_backlog_limit=16384"
)
#: TCG's TSC goes on in a saved state: the node would see that time as gone by when it is loaded.
#: The others take a fifth off what TCG has to do, and have nothing to do with AppArmor.
TCG_ARGUMENTS = "tsc=unstable mitigations=off no5lvl init_on_alloc=0"


@dataclass(frozen=True)
class Machine:
    """A VM that boots the kernel in *trees* on a disk of its own."""

    folder: Path
    trees: Path

    @property
    def disk(self) -> Path:
        """The writable disk, an overlay."""
        return self.folder / "disk.qcow2"

    @property
    def key(self) -> Path:
        """The private key that the node accepts."""
        return self.folder / "key"

    def arguments(self, *, accel: str, port: int, public_key: str, load: str | None) -> list[str]:
        """What QEMU is told. It runs in the folder: socket paths stay short."""
        key = base64.b64encode(public_key.encode()).decode()
        credential = f"io.systemd.credential.binary:ssh.authorized_keys.root={key}"
        return [
            *("-name", "phoenix-lab", "-nodefaults", "-no-user-config", "-display", "none"),
            *hardware(accel),
            *("-kernel", str(self.trees / "vmlinuz"), "-initrd", str(self.trees / "initrd")),
            *("-append", kernel_arguments(accel)),
            *("-drive", _drive(self.disk, "qcow2", "cache=unsafe,discard=unmap")),
            *(word for base in guests(self.trees) for word in ("-drive", _base(base))),
            *("-netdev", f"user,id=net0,restrict=on,hostfwd=tcp:{HOST}:{port}-:22"),
            *("-device", "virtio-net-pci,netdev=net0", "-device", "virtio-rng-pci"),
            *("-smbios", f"type=11,value={credential}"),
            *("-serial", "file:serial.log", "-qmp", "unix:qmp.sock,server=on,wait=off"),
            *("-pidfile", "pid"),
            *(("-loadvm", load) if load else ()),
        ]

    def make_disk(self, backing: Path, backing_format: str) -> None:
        """A new, empty overlay over *backing*, which is named as given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk.unlink(missing_ok=True)
        base = str(backing)
        command = ["create", "-q", "-f", "qcow2", "-b", base, "-F", backing_format, str(self.disk)]
        subprocess.run([*emulator.image_tool(), *command], check=True)

    def start(self, *, accel: str, load: str | None = None) -> SshTarget:
        """Start QEMU, from a saved state if one is named; return where SSH will answer."""
        make_key(self.key)
        public_key = (self.folder / "key.pub").read_text().strip()
        target = SshTarget(HOST, free_port(), "root", self.key)
        arguments = self.arguments(accel=accel, port=target.port, public_key=public_key, load=load)
        (self.folder / "pid").unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("w") as log:
            process = subprocess.Popen(
                [*emulator.system(), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us
            )
        while self.pid() != process.pid:
            if process.poll() is not None:
                raise EndedError(f"QEMU ended at once: {self._last_words()}")
            time.sleep(0.05)
        return target

    def pid(self) -> int | None:
        """The pid of this machine's QEMU, None when it doesn't run."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(_quoted(self.disk)) in command else None

    def console(self) -> int:
        """How much has been written to the machine's console, in bytes."""
        try:
            return (self.folder / "serial.log").stat().st_size
        except FileNotFoundError:  # QEMU makes it a moment after its pid file
            return 0

    def check_alive(self) -> None:
        """Raise when QEMU is gone."""
        if self.pid() is None:
            raise EndedError(f"QEMU ended: {self._last_words()}")

    def save(self, tag: str) -> None:
        """Save the running machine's state inside its disk."""
        with monitor(self.folder / "qmp.sock", timeout=STALLED) as qemu:
            qemu.human(f"savevm {tag}")

    def load(self, tag: str) -> None:
        """Put the running machine back into a saved state."""
        with monitor(self.folder / "qmp.sock", timeout=STALLED) as qemu:
            qemu.human(f"loadvm {tag}")
            qemu.command("cont")

    def reset_power(self) -> None:
        """Boot the running machine anew; what its kernel had not yet written to disk is lost."""
        with monitor(self.folder / "qmp.sock", timeout=STALLED) as qemu:
            qemu.command("stop")
            qemu.command("system_reset")
            # done by QEMU's main loop, after it has answered
            while qemu.command("query-status")["status"] != "prelaunch":
                time.sleep(0.05)
            qemu.command("cont")

    def forget(self, tag: str) -> None:
        """Remove a saved state."""
        with monitor(self.folder / "qmp.sock", timeout=STALLED) as qemu:
            qemu.human(f"delvm {tag}")

    def wait_off(self) -> None:
        """Wait for the guest to power off by itself, while something happens on its console."""
        console = Watch(self.console)
        while self.pid() is not None:
            if console.stalled():
                raise LabError("the node does not power off, and its console stands still")
            time.sleep(0.2)

    def end(self) -> None:
        """End this machine's QEMU; nothing is asked of the guest."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is None:
                return
            os.kill(pid, number)
            end = time.monotonic() + 10
            while self.pid() is not None and time.monotonic() < end:
                time.sleep(0.05)

    def _last_words(self) -> str:
        log = self.folder / "qemu.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines else f"no message (see {self.folder / 'serial.log'})"


def hardware(accel: str) -> list[str]:
    """QEMU's arguments for processors, memory and board under an accelerator."""
    accelerator = "kvm" if accel == "kvm" else "tcg,thread=multi"
    # with these the kernel copies and clears memory by single bytes, which TCG does one by one
    cpu = "host" if accel == "kvm" else "max,erms=off,fsrm=off"
    return [
        # no disks and sensors that a kernel would look for
        *("-machine", "q35,sata=off,smbus=off", "-accel", accelerator, "-m", str(MEMORY_MIB)),
        *("-cpu", cpu, "-smp", "2"),
    ]


def fingerprint(accel: str) -> str:
    """What a saved state depends on beside the disk: the machine, and how its kernel was booted."""
    return " ".join([*hardware(accel), kernel_arguments(accel)])


def kernel_arguments(accel: str) -> str:
    """The node's kernel command line under an accelerator, "kvm" or "tcg"."""
    return KERNEL_ARGUMENTS if accel == "kvm" else f"{KERNEL_ARGUMENTS} {TCG_ARGUMENTS}"


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _drive(path: Path, disk_format: str, more: str) -> str:
    return f"file={_quoted(path)},if=virtio,format={disk_format},{more}"


def _base(path: Path) -> str:
    return _drive(path, "raw", "readonly=on")


def _quoted(path: Path) -> str:
    return str(path).replace(",", ",,")
