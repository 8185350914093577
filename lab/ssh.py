"""SSH to the node: on a port of this machine, with a key that only this user's labs use.

A login takes an emulated node three seconds, a command over an open connection a few tenths: all
commands of `SshTarget.run` share one (ssh_config's ControlMaster), which `hang_up` ends before the
node loads a state.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.progress import STALLED, Watch

OPTIONS = {
    "StrictHostKeyChecking": "no",  # 127.0.0.1, and the host key changes with each build
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "IdentitiesOnly": "yes",
    "BatchMode": "yes",
    "ConnectTimeout": "300",
}


#: Of the shared connection, beside the key. A name alone: the kernel takes 108 bytes of a path.
SOCKET = "ssh.sock"
SHARED = ("-o", f"ControlPath={SOCKET}")


@dataclass(frozen=True)
class SshTarget:
    """Where the node listens, and the key that it accepts."""

    host: str
    port: int
    user: str
    key: Path

    def command(self, remote: list[str], *more: str) -> list[str]:
        """The ssh command line that runs *remote*; a shell when that is empty.

        *more*: further options.
        """
        options = [text for key, value in OPTIONS.items() for text in ("-o", f"{key}={value}")]
        where = ["-i", str(self.key), "-p", str(self.port), f"{self.user}@{self.host}"]
        return ["ssh", "-F", "none", *options, *more, *where, *(["--", *remote] if remote else [])]

    @property
    def known_hosts(self) -> Path:
        """The file with the node's host key, for clients that insist on one."""
        return self.key.with_name("known_hosts")

    def learn_host_key(self) -> None:
        """Write `known_hosts`: the key is the image's, the port this start's."""
        key = self.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {key}")

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        login: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the node; raise LabError when it fails, unless told not to.

        *login*: over a connection of its own.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        call = self.command([command], *(() if login or not self._connected() else SHARED))
        try:
            raw = subprocess.run(
                call,
                input=data or b"",
                capture_output=True,
                timeout=timeout,
                cwd=self.key.parent,
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"on the node, after {timeout:.0f} s still running: {command}") from None
        done = subprocess.CompletedProcess(
            raw.args, raw.returncode, raw.stdout.decode(), raw.stderr.decode()
        )
        if check and done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise LabError(
                f"on the node, exit code {done.returncode} of: {command}: {' '.join(said)}"
            )
        return done

    def hang_up(self) -> None:
        """End the connection that commands share; the next command makes another one."""
        with self._alone():
            self._quietly("-O", "exit")
            (self.key.parent / SOCKET).unlink(missing_ok=True)

    def _connected(self) -> bool:
        """Whether there is a connection to share; one is made first if need be."""
        with self._alone():
            if self._quietly("-O", "check"):
                return True
            (self.key.parent / SOCKET).unlink(missing_ok=True)  # nobody listens there any more
            return self._quietly("-M", "-N", "-f")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else makes or ends the shared connection meanwhile."""
        with self.key.with_name(f"{SOCKET}.lock").open("a") as lock:
            while True:
                # not waiting in flock(2): under gevent, as in pyinfra, that stops all threads
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)
            yield

    def _quietly(self, *options: str) -> bool:
        """Whether an ssh that is about the shared connection alone succeeds."""
        nothing = subprocess.DEVNULL
        command = self.command([], *SHARED, *options)
        try:
            done = subprocess.run(
                command,
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                cwd=self.key.parent,
                timeout=STALLED,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def answers(self, timeout: float) -> bool:
        """True when a whole SSH login works within the time."""
        try:
            return self.run("true", check=False, timeout=timeout, login=True).returncode == 0
        except LabError:
            return False

    def greets(self, timeout: float = 30) -> bool:
        """True when the node's sshd shows its banner: QEMU accepts connections before it can.

        sshd starts a program of its own for each connection first, which takes a busy node a while.
        """
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
                connection.settimeout(timeout)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait(self, alive: Callable[[], None], console: Watch) -> None:
        """Wait for the first login, however long it takes while something happens on the console.

        *alive* raises when the machine is gone.
        """
        while not (self.greets() and self.answers(timeout=300)):
            alive()
            if console.stalled():
                raise LabError("the node does not answer on SSH, and its console stands still")
            time.sleep(0.5)

    def follow(self, command: str) -> Iterator[str]:
        """Run a shell command on the node and give its lines as they come, errors among them.

        Raises LabError when it fails, and when it says nothing for `progress.STALLED` seconds.
        """
        last, rest = "", b""
        with subprocess.Popen(
            self.command([command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout
            try:
                while select.select([process.stdout], [], [], STALLED)[0]:
                    said = os.read(process.stdout.fileno(), 65536)
                    if not said:
                        break
                    *lines, rest = (rest + said).split(b"\n")
                    for line in lines:
                        last = line.decode(errors="replace").rstrip()
                        yield last
                else:
                    raise LabError(f"on the node, {command} stands still after: {last}")
            finally:
                process.kill()  # harmless once it has ended
        if process.returncode != 0:
            raise LabError(f"on the node, exit code {process.returncode} of {command}: {last}")


def make_key(path: Path) -> None:
    """An ed25519 key pair, unless it is there."""
    if path.exists() and path.with_name(path.name + ".pub").exists():
        return
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "phoenix-lab", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
