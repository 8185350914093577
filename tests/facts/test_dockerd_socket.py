"""What docker.sh asks dockerd on its own socket, and when it asks the command instead."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.facts.dockerd import GONE, answer, container, dockerd
from tests.unit.script_node import ScriptNode

SCRIPT = Path(__file__).parents[2] / "templates/guest/docker.sh"


@pytest.fixture
def guest(tmp_path):
    """A guest whose docker says that it was asked."""
    guest = ScriptNode(tmp_path)
    guest.tool("docker", 'echo "$*" >>"$FAKE/calls"; echo "Cannot connect" >&2; exit 1')
    return guest


@pytest.fixture
def path(guest):
    return guest.root / "run/docker.sock"


def lines(guest, *keys, seconds="5", script=None, home="/nowhere"):
    done = subprocess.run(
        ["sh", "-c", script or SCRIPT.read_text(), "docker", seconds, ""],
        env={**guest.environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.split("\n") if line.startswith(keys)]


def bind(source, target="/there", **more):
    return {"Type": "bind", "Source": source, "Destination": target, **more}


def host(policy="always", options=None):
    return {"RestartPolicy": {"Name": policy}, "SecurityOpt": options}


def test_dockerd_is_asked_itself_and_no_client_is_started(guest, path):
    with dockerd(path, container("web", Mounts=[bind("/")])) as asked:
        said = lines(guest, "info", "workload", "bind")
    assert said == [
        'info {"Containers":1,"Driver":"overlay2","ServerVersion":"26.1.5"}',
        "workload /web running nginx:1.29",
        "bind /web / /there",
    ]
    assert asked == ["/info", "/containers/json?all=1", f"/containers/{'0' * 64}/json"]
    assert guest.calls == []


def test_one_without_containers_is_asked_once(guest, path):
    with dockerd(path) as asked:
        assert len(lines(guest, "info")) == 1
    assert asked == ["/info"]


@pytest.mark.parametrize(
    ("policy", "state", "told"),
    [
        ("always", "running", True),
        ("unless-stopped", "running", True),
        ("no", "running", False),
        ("always", "exited", False),
    ],
)
def test_binds_are_told_of_those_that_run_and_restart_by_themselves(
    guest, path, policy, state, told
):
    is_in = {"Status": state, "Running": state == "running"}
    volume = {"Type": "volume", "Name": "x", "Source": "/var", "Destination": "/v"}
    mounts = [volume, bind("/")]
    one = container("a", State=is_in, HostConfig=host(policy), Mounts=mounts)
    with dockerd(path, one):
        assert lines(guest, "bind") == ["bind /a / /there"] * told
        assert lines(guest, "workload") == [f"workload /a {state} nginx:1.29"]


def test_what_is_unconfined_and_its_compose_files_are_told(guest, path):
    file = guest.has("/opt/my & app/compose.yaml", "security_opt: [apparmor=unconfined]\n")
    labels = {"com.docker.compose.project.config_files": str(file), "Image": "b", "Id": "2" * 64}
    config = {"Hostname": "x", "Env": ['A="Image":"c"'], "Image": "a", "Labels": labels}
    options = ["apparmor=unconfined", "label=disable"]
    with dockerd(path, container("a", Config=config, HostConfig=host(options=options))):
        assert lines(guest, "secopt", "compose", "workload") == [
            "workload /a running a",
            "secopt /a apparmor=unconfined",
            f"compose 1 apparmor {file}",
        ]


def test_its_json_is_read_as_json(guest, path):
    def one(name, source):
        return container(name, Mounts=[bind(source)])

    escaped = json.dumps(one("b", '/x\\y"{}[],:&<é\u2028')).replace("&", "\\u0026")
    (guest.root / "x").mkdir()
    broken = answer('{"Name":"/c","Mounts":[{"Type":"bi')
    with dockerd(path, one("a", "/b\n/d"), answer(escaped), broken, one("d", "/")):
        found = lines(guest, "bind", "workload")
    assert 'bind /b /x\\y"{}[],:&<é\u2028 /there' in found
    assert {line.split()[1] for line in found if line.startswith("workload")} == {"/a", "/b", "/d"}
    # one with a line end is none that a rule could be about
    assert [line for line in found if line.startswith("bind /a")] == []


def test_a_long_label_full_of_escapes_hides_no_container(guest, path):
    labels = {"description": '"\n<' * 30_000}
    with dockerd(path, container("a", Config={"Image": "i", "Labels": labels})):
        assert lines(guest, "workload") == ["workload /a running i"]


def test_a_container_that_has_gone_meanwhile_is_left_out(guest, path):
    with dockerd(path, container("a"), GONE, container("c")):
        said = lines(guest, "workload")
    assert said == ["workload /a running nginx:1.29", "workload /c running nginx:1.29"]


def is_asked_of_the_command(guest, **how):
    said = lines(guest, "info", **how)
    assert said == ["info Cannot connect", "info gave no answer (exit 1)"]
    assert guest.calls == ["info --format {{json .}}"]
    return True


def test_podman_that_listens_in_its_place_is_no_dockerd(guest, path):
    with dockerd(path, server="Libpod/5.4.0 (linux)"):
        assert is_asked_of_the_command(guest)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n\r\n",
        b"\x00\xff" * 1000,
        answer({"message": "no"}, status="500 Internal Server Error"),
        answer({"Containers": 1}),
        answer('{"ServerVersion":"26"}\n{"a":1}\n'),
        answer('["ServerVersion":"26"'),
        answer({"ServerVersion": "26", "x": "y" * 300_000}),
    ],
    ids=["nothing", "no head", "bytes", "error", "version", "lines", "list", "long"],
)
def test_what_is_no_answer_of_dockerd_is_not_taken_for_one(guest, path, said):
    with dockerd(path, says=lambda there: there.sendall(said)):
        assert is_asked_of_the_command(guest)


def made(path, how):
    path.parent.mkdir(parents=True)
    how(path)


@pytest.mark.parametrize(
    "how",
    [
        os.mkfifo,
        Path.mkdir,
        Path.touch,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path),
        lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    ],
    ids=["fifo", "folder", "file", "device", "loop", "nobody listens"],
)
def test_what_is_no_socket_with_dockerd_behind_is_left_to_the_command(guest, path, how):
    made(path, how)
    assert is_asked_of_the_command(guest)


def test_where_there_is_no_perl_or_root_has_other_engines_the_command_is_asked(
    guest, path, tmp_path
):
    with dockerd(path):
        script = SCRIPT.read_text().replace("has perl", "has no-perl")
        assert is_asked_of_the_command(guest, script=script)
        (guest.fake / "calls").unlink()
        (tmp_path / ".docker/contexts").mkdir(parents=True)
        assert is_asked_of_the_command(guest, home=tmp_path)


def drip(there):
    while True:
        there.sendall(b"H")
        time.sleep(0.1)


def flood(there):
    there.sendall(answer("{"))
    while True:
        there.sendall(b"x" * 65536)


@pytest.mark.parametrize("says", [lambda _: time.sleep(60), drip], ids=["silent", "drip"])
def test_one_that_does_not_come_to_an_end_is_not_asked_a_second_time(guest, path, says):
    with dockerd(path, says=says):
        assert lines(guest, "info", seconds="1") == ["info gave no answer (exit 124)"]
    assert guest.calls == []


def test_one_with_a_full_backlog_is_not_waited_for(guest, path):
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listens, socket.socket(socket.AF_UNIX) as first:
        listens.bind(str(path))
        listens.listen(0)
        first.connect(str(path))
        assert lines(guest, "info", seconds="1") == ["info gave no answer (exit 124)"]


def test_a_flood_ends_at_its_limit(guest, path):
    with dockerd(path, says=flood):
        assert is_asked_of_the_command(guest)


def test_what_it_said_before_it_fell_silent_counts(guest, path):
    asleep = []

    def says(there):
        asleep.append(there)
        if len(asleep) > 1:
            time.sleep(60)
        there.sendall(answer({"Containers": 1, "ServerVersion": "26"}))

    with dockerd(path, says=says):
        said = lines(guest, "info", "workload", "cut", seconds="3")
    assert said == ['info {"Containers":1,"ServerVersion":"26"}', "cut docker"]


def test_more_than_anybody_has_is_cut(guest, path):
    long = container("a", Mounts=[bind("/" + "x" * 4000)] * 300)
    with dockerd(path, *[long] * 4):
        assert sum(map(len, lines(guest, ""))) < 1.3 * (1 << 20)


@pytest.mark.parametrize(
    ("commit", "is_asked"),
    [
        ("v1.2.5-0-g59923ef", False),
        ("1.1.15+ds1-2+b4", False),
        ("v1.2.5-3-g59923ef", True),
        ("59923ef", True),
        ("", True),
    ],
)
def test_runc_is_started_only_where_dockerd_does_not_say_its_release(guest, path, commit, is_asked):
    guest.tool("runc", "echo runc version 1.2.3")
    said = {"Containers": 0, "ServerVersion": "26", "RuncCommit": {"ID": commit}}
    with dockerd(path, says=lambda there: there.sendall(answer(said))):
        assert lines(guest, "runc") == ["runc 1.2.3"] * is_asked
