"""The program of the throw-away image."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "templates/guest"


def test_the_committed_program_is_what_its_source_assembles_to(tmp_path):
    if not (shutil.which("as") and shutil.which("objcopy")):
        pytest.skip("no assembler on this machine: apt install binutils")
    built = tmp_path / "probe.o"
    subprocess.run(["as", "--64", "-o", built, FOLDER / "probe.S"], check=True)
    subprocess.run(
        ["objcopy", "-O", "binary", "-j", ".text", built, tmp_path / "probe"], check=True
    )
    assert (tmp_path / "probe").read_bytes() == (FOLDER / "probe").read_bytes()


def test_it_answers_every_connection_with_one_line():
    with socket.socket() as test:
        if test.connect_ex(("127.0.0.1", 8080)) == 0:
            pytest.skip("port 8080 of this machine is taken")
    with subprocess.Popen([FOLDER / "probe"]) as probe:
        try:
            for _ in range(2):
                assert answer() == b"phoenix-harden\n"
        finally:
            probe.kill()


def answer():
    for _ in range(1000):
        try:
            with socket.create_connection(("127.0.0.1", 8080), timeout=10) as connection:
                return connection.makefile("rb").read()
        except ConnectionRefusedError:
            continue
    raise AssertionError("nobody listens")
