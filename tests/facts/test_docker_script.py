"""templates/node/docker.sh and docker-guest.sh, with fake tools; tests/lab has real guests."""

import os
import subprocess
from pathlib import Path

import pytest

from phoenix.docker import parse_dockers

NODE = Path(__file__).parents[2] / "templates/node"


@pytest.fixture
def ask(tmp_path):
    """Ask guests of which each is a script: `ask({910: "exit 44"}, "910")`."""

    def run(guests, *ctids):
        for ctid, script in guests.items():
            (tmp_path / f"guest-{ctid}").write_text(script)
        attach = f'while [ "$1" != -- ]; do ct=${{2:-}}; [ "$1" != -n ] || name=$2; shift; done\n\
            shift; export GUEST=$name; . {tmp_path}/guest-$name'
        info = "[ $2 = 960 ] && echo STOPPED || echo RUNNING"
        for name, text in (("lxc-attach", attach), ("lxc-info", info)):
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            ["sh", "-c", (NODE / "docker.sh").read_text(), "docker", "GUEST-SCRIPT", *ctids],
            env={**os.environ, "PHOENIX_PATH": str(tmp_path), "PHOENIX_GUEST_TIMEOUT": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return parse_dockers(done.stdout.splitlines())

    return run


def test_each_guest_gets_its_own_answer_whatever_the_others_do(ask):
    fails = "echo no >&2; exit"
    guests = {
        910: "echo guest 1; echo os debian 13; printf 'daemon-file 0 0 600\\n{\\n\\n}\\n\\n'",
        952: f"{fails} 1",
        953: "exit 44",
        954: "exec sleep 60",
        956: f"{fails} 127",
        960: f"{fails} 1",
    }
    found = ask(guests, *map(str, guests))
    assert {ctid: docker.state for ctid, docker in found.items()} == {
        910: "dead",
        952: "failed",
        953: "none",
        954: "hung",
        956: "noshell",
        960: "stopped",
    }
    assert found[952].error == "no"
    assert found[910].file.text == "{\n\n}\n\n"
    assert found[910].file.mode == "600"


def test_only_where_it_is_asked_for_an_overlay_is_tried(ask):
    says = 'shift 4; echo guest 1; echo "info $*"'
    found = ask({910: says, 952: says}, "910", "952:probe")
    assert found[910].error == "0 "
    assert found[952].error == "0 :probe"


def test_long_answers_of_two_guests_do_not_mix(ask):
    says = "i=0; echo guest 1; while [ $i -lt 3000 ]; do echo hold $GUEST-$i; i=$((i + 1)); done"
    found = ask({910: says, 952: says}, "910", "952")
    assert [len(found[ctid].holds) for ctid in (910, 952)] == [3000, 3000]
    assert all(hold.startswith("952-") for hold in found[952].holds)
