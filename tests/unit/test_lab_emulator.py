"""QEMU out of the cache: unpacked once, run with its own loader, firmware and libraries."""

from __future__ import annotations

import os

import pytest

from lab import cache, emulator
from lab.errors import LabError

#: Packages whose loader says what it was told to run.
MMDEBSTRAP = """#!/bin/sh
echo "$*" >>"$FAKE/calls"
[ ! -e "$FAKE/fails" ] || { echo 'E: no such suite' ; exit 1; }
for output; do :; done
mkdir -p "$FAKE/tree/usr/lib64" "$FAKE/tree/usr/lib/x86_64-linux-gnu" "$FAKE/tree/usr/bin"
mkdir -p "$FAKE/tree/usr/share/qemu" "$FAKE/tree/usr/share/seabios" "$FAKE/tree/usr/share/doc"
printf '#!/bin/sh\\necho "$@"\\n' >"$FAKE/tree/usr/lib64/ld-linux-x86-64.so.2"
chmod 755 "$FAKE/tree/usr/lib64/ld-linux-x86-64.so.2"
touch "$FAKE/tree/usr/bin/qemu-system-x86_64" "$FAKE/tree/usr/bin/qemu-img"
tar -C "$FAKE/tree" -cf "$output" .
"""


@pytest.fixture(autouse=True)
def fake(monkeypatch, tmp_path):
    (tmp_path / "mmdebstrap").write_text(MMDEBSTRAP)
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where what a build said is kept
    return tmp_path


def test_it_runs_with_what_it_was_built_with_and_not_with_this_machines():
    loader, _, libraries, program, *firmware = emulator.system()
    (tree,) = cache.root().glob("qemu.tree-*")
    assert loader == f"{tree}/usr/lib64/ld-linux-x86-64.so.2"
    assert libraries == f"{tree}/usr/lib/x86_64-linux-gnu"
    assert program == f"{tree}/usr/bin/qemu-system-x86_64"
    assert firmware == ["-L", f"{tree}/usr/share/qemu", "-L", f"{tree}/usr/share/seabios"]
    assert emulator.version().startswith(f"--library-path {libraries} {program} ")
    assert emulator.image_tool()[-1] == f"{tree}/usr/bin/qemu-img"


def test_it_is_unpacked_once_and_only_what_is_needed(fake):
    emulator.system()
    emulator.image_tool()
    (call,) = (fake / "calls").read_text().splitlines()
    assert f"--include={emulator.PACKAGES}" in call
    (tree,) = cache.root().glob("qemu.tree-*")
    assert {path.name for path in (tree / "usr/share").iterdir()} == {"qemu", "seabios"}
    assert {path.name for path in tree.iterdir()} == {"usr", "build-id"}


def test_without_its_packages_one_line_says_why_and_the_next_try_begins_anew(fake):
    (fake / "fails").touch()
    with pytest.raises(LabError, match="could not build the qemu tree: E: no such suite"):
        emulator.system()
    (fake / "fails").unlink()
    assert emulator.system()


def test_it_goes_with_everything_else_that_was_built():
    emulator.system()
    cache.purge(emulator.NAME)
    assert [*cache.root().glob("qemu.*/")] == []
