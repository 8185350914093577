"""The program of the throw-away image, for each architecture."""

import platform
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from phoenix.docker.names import PROBES

FOLDER = Path(__file__).parents[2] / "templates/probe"

#: e_machine of elf(5).
MACHINES = {"386": 3, "amd64": 62, "arm": 40, "arm64": 183}

#: What this machine runs by itself, and what runs the others.
OWN = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
EMULATORS = {
    "386": "qemu-i386",
    "amd64": "qemu-x86_64",
    "arm": "qemu-arm",
    "arm64": "qemu-aarch64",
}


def test_the_committed_programs_are_what_their_source_assembles_to(tmp_path):
    for machine in ("x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf"):
        if not (shutil.which(f"{machine}-as") and shutil.which(f"{machine}-objcopy")):
            package = f"binutils-{machine.replace('_', '-')}"
            pytest.skip(f"no assembler on this machine: apt install {package}")
    subprocess.run([FOLDER / "build.sh", tmp_path], check=True)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_bytes() for path in FOLDER.glob("probe-*")}
    assert {*built} == {f"probe-{name}" for name in PROBES}


@pytest.mark.parametrize("name", PROBES)
def test_each_is_a_program_of_its_architecture(name):
    program = (FOLDER / f"probe-{name}").read_bytes()
    ident, kind, machine = struct.unpack("<16sHH", program[:20])
    width = 2 if name.endswith("64") else 1
    assert ident == b"\x7fELF" + bytes([width, 1, 1]) + bytes(9)
    assert (kind, machine) == (2, MACHINES[name])


@pytest.mark.parametrize("name", PROBES)
def test_it_answers_every_connection_with_one_line_and_ends_with_1_where_it_cannot(name):
    call = [*emulated(name), FOLDER / f"probe-{name}"]
    with socket.socket() as test:
        if test.connect_ex(("127.0.0.1", 8080)) == 0:
            pytest.skip("port 8080 of this machine is taken")
    with subprocess.Popen(call) as probe:
        try:
            for _ in range(2):
                assert answer() == b"phoenix-harden\n"
            assert subprocess.run(call, timeout=60).returncode == 1
        finally:
            probe.kill()


def emulated(name):
    if name == OWN:
        return []
    if not shutil.which(EMULATORS[name]):
        pytest.skip(f"nothing on this machine runs {name}: apt install qemu-user")
    return [EMULATORS[name]]


def answer():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            connection = socket.create_connection(("127.0.0.1", 8080), timeout=10)
        except ConnectionRefusedError:
            continue
        # reset at its end, so that the port is free for the next program
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with connection, connection.makefile("rb") as said:
            return said.read()
    raise AssertionError("nobody listens")
