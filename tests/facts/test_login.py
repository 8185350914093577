"""The question who logs in, as a shell answers it."""

import subprocess

from facts.login import Login
from phoenix.pve.login import ObservedLogin


def asked(tools, **programs):
    for name, text in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", Login().command()],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return Login().process(done.stdout.splitlines())


ID = "case $1 in -u) echo 0 ;; -un) echo root ;; esac"


def test_what_a_node_has_is_told(tmp_path):
    seen = asked(tmp_path, id=ID, python3="echo Python 3.9.2", pct="")
    assert seen == ObservedLogin(0, "root", (3, 9), f"{tmp_path}/pct")


def test_what_it_lacks_is_no_failure_of_the_question(tmp_path):
    assert asked(tmp_path, id=ID) == ObservedLogin(0, "root")
    assert asked(tmp_path, id="exit 1", python3="echo broken; exit 1") == ObservedLogin()
