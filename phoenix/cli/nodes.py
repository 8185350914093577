"""The nodes that a command of `phoenix` asks, by ssh's own client.

Everything that ssh_config(5) says of a node counts (names, jump hosts, keys), but no host key is
ever accepted by this command: only what the operator has accepted before.
"""

from __future__ import annotations

import atexit
import importlib
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from phoenix.pve.cluster import ClusterError, Member, cluster_from_json
from phoenix.text.answer import read_answer
from phoenix.text.printable import LONGEST_LINE, printable

#: One line of a stream; `node follow` writes shorter ones.
LONGEST = 64 * 1024

NODES, CLUSTER = "PHOENIX_NODES", "PHOENIX_CLUSTER"
#: This machine, among the nodes that are named; pyinfra's own word for it.
HERE = "@local"
_CHECKOUT = Path(__file__).resolve().parents[2]

# as ssh takes it: no port, and nothing that could be an option of its own
_LOGIN = re.compile(
    r"(?:[\w.][\w.-]*@)?(?:\w[\w.-]*|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*(?:%[\w.-]+)?)",
    re.ASCII | re.IGNORECASE,
)
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "15",
    # a line that is dead is noticed after 15 seconds
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    # a connection that others share must not end with ours
    "ControlMaster": "no",
    # what a login by hand may have in ssh_config(5), and a command cannot
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    # no banners: what is left on stderr explains a failure
    "LogLevel": "ERROR",
}
_SSH_FAILED, _NO_PROGRAM = 255, 127


class NodeError(Exception):
    """A node could not be asked: which, why, and what to do, in one printable line."""


@dataclass(frozen=True)
class Node:
    """A node. `login`: as for ssh, "" for this machine; `options`: more of ssh's own."""

    name: str
    login: str = ""
    options: tuple[str, ...] = ()

    def ask(self, sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What the node says of itself: `sections` of `node.observe`, and the same ones answered.

        Raises NodeError.
        """
        command = self._command("observe", ",".join(sections))
        sent = _sent(sections, observes=True)
        with self._started(command, apart=False) as (process, errors):
            output, _ = process.communicate(sent)
            said = output.decode("utf-8", "replace").splitlines()
            self._check(process.returncode, said, errors)
        try:
            return read_answer(said)
        except ValueError as error:
            raise NodeError(f"{self.name}: {error}") from None

    @contextmanager
    def stream(self, verb: str, request: Any) -> Iterator[Iterator[str]]:
        """Start a verb of the node's program that goes on, and give its lines as they come.

        After each second without a line comes an empty one, so that whoever reads can do
        something else. The verb ends with the block: its stdin does, and ssh. NodeError comes from
        the lines where it ends by itself and not well; to start it again is the caller's.
        """
        with self._started(self._command(verb), apart=True) as (process, errors):
            assert process.stdin is not None
            with suppress(OSError):  # it has ended already: why is said where it is read
                process.stdin.write(_sent(request))
                process.stdin.flush()
            yield self._lines(process, errors)

    def _lines(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> Iterator[str]:
        assert process.stdout is not None
        rest = b""
        while True:
            if not select.select([process.stdout], [], [], 1)[0]:
                yield ""
                continue
            said = os.read(process.stdout.fileno(), LONGEST)
            if not said:
                break
            *lines, rest = (rest + said).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines if line)
            if len(rest) > LONGEST:
                raise NodeError(f"{self.name}: a line of its answer has no end: run again")
        last = rest.decode("utf-8", "replace")
        self._check(process.wait(), [last], errors)

    @contextmanager
    def _started(
        self, command: Sequence[str], apart: bool
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """A process, and what it writes to stderr; it ends with the block.

        `apart`: Ctrl-C is not for it.
        """
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=apart,
                )
            except OSError as error:
                hint = ": apt install openssh-client" if self.login else ""
                raise NodeError(
                    f"{self.name}: cannot run {command[0]}: {error.strerror}{hint}"
                ) from None
            try:
                yield process, errors
            finally:
                process.kill()
                for pipe in (process.stdin, process.stdout):
                    with suppress(OSError):  # what was not sent goes nowhere
                        if pipe:
                            pipe.close()
                process.wait()

    def _command(self, verb: str, *words: str) -> list[str]:
        python = sys.executable if not self.login else "python3"
        there = [python, "-I", "-c", str(_pack().BOOT), verb, *words]
        if not self.login:
            return there
        options = [text for name, value in _OPTIONS.items() for text in ("-o", f"{name}={value}")]
        return ["ssh", "-T", *options, *self.options, "--", self.login, shlex.join(there)]

    def _check(self, status: int, said: Sequence[str], errors: IO[bytes]) -> None:
        """Raise NodeError where the program did not end well."""
        if status == 0:
            return
        size = errors.seek(0, os.SEEK_END)
        errors.seek(max(0, size - LONGEST))
        told = [*said, *errors.read().decode("utf-8", "replace").splitlines()]
        last = next((line.strip() for line in reversed(told) if line.strip()), "")
        last = printable(last or f"ended with exit code {status}", LONGEST_LINE)
        raise NodeError(f"{self.name}: {last}{self._next_step(status, told)}")

    def _next_step(self, status: int, told: Sequence[str]) -> str:
        text = "\n".join(told)
        if status == _NO_PROGRAM and self.login:
            return ": python3 is missing on this node: apt install python3"
        if status != _SSH_FAILED or not self.login:
            return ""
        if "Host key verification failed" in text:
            return (
                ": log in once by hand, compare the fingerprint of its host key with the node's "
                f"own, and accept it: ssh {self.login}"
            )
        if "Permission denied" in text:
            return (
                f": none of your keys is accepted: ssh-copy-id {self.login}, or ssh-add where a "
                "key has a passphrase"
            )
        return f": see whether this works: ssh {self.login}"


@dataclass(frozen=True)
class Choice:
    """The nodes to ask, and the members of their cluster that are offline, by name."""

    nodes: tuple[Node, ...]
    offline: tuple[str, ...] = ()


def nodes(asked_for: Sequence[str] = ()) -> Choice:
    """The nodes to ask: those of `--node`, each as for ssh, else those of PHOENIX_NODES.

    Else the members of the cluster of PHOENIX_CLUSTER, else this machine if it has `pct`, else the
    lab if it runs: as `inventory.py` has it. Raises NodeError where there are none, or one has no
    name.
    """
    given = asked_for or os.environ.get(NODES, "").split(",")
    logins = [name.strip() for name in given if name.strip()]
    asked = os.environ.get(CLUSTER, "").strip()
    if logins and asked and not asked_for:
        raise NodeError(BOTH_GIVEN)
    if logins:
        chosen = (_here() if login == HERE else named(login) for login in logins)
        return Choice(tuple({node.name: node for node in chosen}.values()))
    if asked:
        return _members(asked)
    if shutil.which("pct"):
        return Choice((_here(),))
    lab = tuple(_of_lab(name, target) for name, target in lab_targets(_CHECKOUT).items())
    if not lab:
        raise NodeError(no_node("give --node root@pve1, or "))
    return Choice(lab)


def _here() -> Node:
    return Node(socket.gethostname().partition(".")[0])


def no_node(way: str = "") -> str:
    """What is said where there is no node; `way`: how to name one to the command at hand."""
    ways = [f"{way}set {NODES}=root@pve1,root@pve2 or {CLUSTER}=root@pve1"]
    ways += ["run this on a Proxmox VE node"]
    if (_CHECKOUT / "lab").is_dir():
        ways += ["start the lab with .venv/bin/phoenix lab up"]
    return f"no node: {', '.join(ways[:-1])}, or {ways[-1]}"


#: What is wrong where the environment names nodes in both ways.
BOTH_GIVEN = f"{NODES} and {CLUSTER} are both set: unset one of them"


@dataclass(frozen=True)
class Reach:
    """How a member of a cluster is reached by ssh.

    `host`: as for ssh; `known_hosts`: the file with its keys, "" where only those count that the
    operator has accepted.
    """

    name: str
    user: str
    host: str
    known_hosts: str = ""


def ask_cluster(
    login: str, known_as: Callable[[str], str] = str
) -> tuple[tuple[Reach, ...], tuple[str, ...]]:
    """Ask one node for the members of its cluster: how each is reached, and who is offline.

    The node itself is reached as the operator wrote it, the others where their cluster has them,
    with the host keys that it keeps (PVE::SSHInfo pins them, too). `known_as`: the name under which
    a client other than ssh looks for the key of an address. Raises NodeError.
    """
    first = named(login)
    user, _, host = first.login.rpartition("@")
    said = first.ask({"cluster": {}})
    try:
        cluster = cluster_from_json(said["cluster"])
    except ClusterError as error:
        raise NodeError(f"{first.name}: {printable(str(error), LONGEST_LINE)}") from None
    others = [one for one in cluster.within_reach if one.name != cluster.node]
    keys = _known_hosts(others, known_as)
    reaches = {
        one.name: Reach(one.name, user, one.address, keys if one.keys else "") for one in others
    }
    reaches[cluster.node] = Reach(cluster.node, user, host)
    return tuple(reaches[name] for name in sorted(reaches)), cluster.offline


def _known_hosts(members: Sequence[Member], known_as: Callable[[str], str]) -> str:
    """Write the keys of these hosts into a file that goes with this process; its path."""
    folder = tempfile.mkdtemp(prefix="phoenix-harden-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "known_hosts")
    lines = "".join(one.known_hosts(known_as(one.address)) for one in members)
    path.write_text(lines, "utf-8")
    return str(path)


def _members(login: str) -> Choice:
    reaches, offline = ask_cluster(login)
    return Choice(tuple(map(_member, reaches)), offline)


def _member(reach: Reach) -> Node:
    # as PVE::SSHInfo does; the name is what the keys are under whatever the port
    pinned = {"HostKeyAlias": reach.name, "UserKnownHostsFile": f'"{reach.known_hosts}"'}
    pinned["GlobalKnownHostsFile"] = "none"
    options = [text for name, value in pinned.items() for text in ("-o", f"{name}={value}")]
    login = f"{reach.user}@{reach.host}"
    return Node(reach.name, login, tuple(options) if reach.known_hosts else ())


def named(login: str) -> Node:
    """The node that is called so, as for ssh. Raises NodeError for what is no such name."""
    if not _LOGIN.fullmatch(login):
        raise NodeError(
            f"{printable(login)}: no node's name: write it as for ssh, like root@pve1; a port "
            "belongs into ~/.ssh/config"
        )
    user, _, name = login.rpartition("@")
    return Node(name, f"{user or 'root'}@{name}")


def lab_targets(checkout: Path) -> Mapping[str, Any]:
    """Where the nodes of a checkout's lab answer (`lab.ssh.SshTarget`), by name, if it runs.

    The lab is imported by its name: an installation has none. Raises NodeError.
    """
    try:
        instance = importlib.import_module("lab.instance")
        problem: type[Exception] = importlib.import_module("lab.errors").LabError
    except ModuleNotFoundError:
        return {}
    try:
        found: Mapping[str, Any] = instance.ssh_targets(checkout)
    except problem as error:
        raise NodeError(str(error)) from None
    return found


def _of_lab(name: str, target: Any) -> Node:
    options = ("-F", "none", "-i", str(target.key), "-p", str(target.port))
    known = ("-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={target.known_hosts}")
    return Node(name, f"{target.user}@{target.host}", (*options, *known))


def _pack() -> ModuleType:
    """What packs the program; only who asks a node needs it."""
    try:
        from node import pack
    except ModuleNotFoundError:
        raise NodeError(
            "phoenix was installed here before it brought the program for the nodes: run make "
            ".venv/done in its checkout"
        ) from None
    return pack


def _sent(request: Any, observes: bool = False) -> bytes:
    try:
        return bytes(_pack().stdin(request, observes=observes), "ascii")
    except OSError as error:
        raise NodeError(
            f"the program for the nodes is not whole here ({error.filename}): run phoenix from a "
            "checkout"
        ) from None
