"""What a guest says of its Docker, and what of it counts."""

import json
import time

import pytest

from phoenix.docker.observed import (
    ODD,
    STATES,
    Bind,
    Engine,
    ObservedDocker,
    Workload,
)
from phoenix.docker.reading import dockers_from_json
from phoenix.text.guest_json import read_json, too_much

INFO = {
    "ServerVersion": "26.1.5+dfsg1",
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "Images": 2,
    "Containers": 1,
    "ContainersRunning": 1,
    "DockerRootDir": "/srv/docker",
}


def answer(*lines, file=None, info=None, **more):
    said = json.dumps({**INFO, **more}) if info is None else info
    text = "\n".join(["guest 1", f"info {said}", *lines])
    if file is not None:
        text += f"\ndaemon-file 0 0 600\n{file}"
    return text


def ask(text, state="ok", error=""):
    told = {"910": {"state": state, "text": text, "error": error}}
    return dockers_from_json(told)[910]


def test_a_guest_that_says_what_it_should_is_read():
    lines = ["os debian 13", "manager apt", "runc 1.1.15+ds1", "store overlay2 3", "fuse yes"]
    lines += ["count volumes 4", "package ii docker.io 26", "hold libfuse3-4:amd64", "flag -H"]
    docker = ask(answer(*lines, file='{"debug": true}\n'))
    assert (docker.state, docker.error, str(docker)) == ("ok", "", "26.1.5+dfsg1 overlay2")
    assert (docker.images, docker.containers, docker.running, docker.volumes) == (2, 1, 1, 4)
    assert (docker.os, docker.manager, docker.runc) == ("debian 13", "apt", "1.1.15+ds1")
    assert (docker.stores, docker.packages) == ({"overlay2": 3}, {"docker.io": "ii"})
    assert (docker.holds, docker.flags) == (("libfuse3-4:amd64",), ("-H",))
    assert (docker.data_root, docker.dev_fuse) == ("/srv/docker", True)
    assert (docker.file.text, docker.file.mode) == ('{"debug": true}\n', "600")


@pytest.mark.parametrize(
    ("commit", "build"),
    [
        ({"ID": "v1.2.5-0-g59923ef", "Expected": ""}, "1.2.5"),
        ({"ID": "v1.4.0-rc.2-0-gabcdef12"}, "1.4.0-rc.2"),
        ({"ID": "1.1.15+ds1-2+deb13u1"}, "1.1.15+ds1-2+deb13u1"),
        ({"ID": "1.3.3-0ubuntu1~24.04.2"}, "1.3.3-0ubuntu1~24.04.2"),
        # built from something between two releases, or known by its commit alone
        ({"ID": "v1.2.5-13-g59923ef"}, ""),
        ({"ID": "dc9208a3303feef5b3839f4323d9beb36df0a9dd"}, ""),
        ({"ID": "N/A"}, ""),
        ({"ID": "1.2.5\x1b[2J"}, ""),
        ({"ID": "1.2.5 1"}, ""),
        ({"ID": f"1.2.{'5' * 100}"}, ""),
        ({"ID": f"1.2.5-{'0-' * 100_000}"}, ""),
        ({"ID": ["1.2.5"]}, ""),
        ({}, ""),
        (["1.2.5"], ""),
        (None, ""),
    ],
)
def test_the_build_of_the_runc_that_dockerd_uses_is_read_in_its_form_only(commit, build):
    docker = ask(answer("runc 1.2.4", RuncCommit=commit))
    assert (docker.state, docker.runc_build, docker.runc) == ("ok", build, "1.2.4")


@pytest.mark.parametrize(
    ("options", "confines"),
    [
        (["name=apparmor", "name=seccomp,profile=builtin"], True),
        (["name=seccomp,profile=builtin"], False),
        ("name=apparmor", False),
        ({"name=apparmor": 1}, False),
        ([["name=apparmor"]], False),
        (None, False),
    ],
)
def test_whether_docker_confines_its_containers_is_what_it_says_of_itself(options, confines):
    assert ask(answer(SecurityOptions=options)).apparmor == confines


def test_what_its_containers_have_of_the_guest_is_read_in_its_form_only():
    lines = ["bind /app / /host", "bind /app /srv/a b /x", "bind /$(id) /a /b", "bind /app a /b"]
    lines += ["bind /app /a\x1b[2J /b", "fstab tmpfs /srv/t", "fstab tmpfs srv", "fstab a;b /c"]
    docker = ask(answer(*lines, "mount 2.41.3"))
    assert docker.binds == (Bind("app", "/", "/host"),)
    assert docker.fstab == (("tmpfs", "/srv/t"),)
    assert docker.mount == (2, 41)
    assert ask(answer("mount 2")).mount is None


def test_what_runs_in_it_is_read_in_its_form_only():
    docker = ask(
        answer(
            "workload /web running nginx:1.29",
            "workload db exited docker.io/library/postgres@sha256:ab",
            "workload /a\x1b running a",
            "workload /a sleeping a",
            "workload /a running \u202ea",
            "workload /a running a b",
            "workload /a running",
        )
    )
    assert docker.workloads == (
        Workload("web", "running", "nginx:1.29"),
        Workload("db", "exited", "docker.io/library/postgres@sha256:ab"),
    )
    many = ask(answer(*(f"workload /c{number} running a" for number in range(2000))))
    assert len(many.workloads) == 1000


def test_what_it_runs_on_is_told_in_dockers_words_and_unknown_where_it_does_not_say():
    assert ask(answer(Architecture="aarch64")).architecture == "arm64"
    assert ask(answer(Architecture="armv7l")).architecture == "arm"
    assert ask(answer()).architecture == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ServerVersion", "1\x1b[2J"),
        ("ServerVersion", "1 2"),
        ("ServerVersion", "1" * 65),
        ("ServerVersion", ["1"]),
        ("Driver", 'x","file":"/etc/ld.so.preload'),
        ("Driver", "x\ny"),
        ("Driver", "../x"),
        ("Driver", "x" * 33),
        ("Driver", None),
        ("Driver", ""),
        ("Images", -1),
        ("Images", 10**9),
        ("Images", "2"),
        ("Images", True),
        ("Images", 1.5),
        ("Containers", [1]),
        ("ContainersRunning", None),
        ("DockerRootDir", "/srv/my data"),
        ("DockerRootDir", "/srv/$(id)"),
        ("DockerRootDir", "/srv/\x1b[2J"),
        ("DockerRootDir", "/" + "x" * 5000 + " "),
        ("DockerRootDir", ["/"]),
        ("DockerRootDir", "/dev/shm"),
        ("Architecture", "x86 64"),
        ("Architecture", "x\x1b[2J"),
        ("Architecture", "x" * 33),
        ("Architecture", ""),
        ("Architecture", ["x86_64"]),
    ],
)
def test_a_value_that_has_no_closed_form_makes_it_a_guest_that_cannot_be_asked(name, value):
    docker = ask(answer("package ii docker.io 1", **{name: value}))
    assert docker == ObservedDocker("failed", error=docker.error)
    assert docker.error.startswith(f"{ODD}: {name} is '")
    assert docker.error.isprintable()
    assert len(docker.error) < 1000


@pytest.mark.parametrize(
    ("info", "error"),
    [
        ('{"a":' * 65 + "1" + "}" * 65, "docker info is nested deeper than 64 levels"),
        ('{"a":' + "[" * 100_000, "docker info is nested deeper than 64 levels"),
        ('{"a":"' + "x" * 1024 * 1024 + '"}', "docker info is larger than 1 MiB"),
    ],
)
def test_a_document_that_is_too_much_is_not_read(info, error):
    docker = ask(answer(info=info))
    assert (docker.state, docker.error) == ("failed", f"{ODD}: {error}")


@pytest.mark.parametrize(
    "info",
    ["{", '{"ServerErrors":{"a":1}}', '{"ServerVersion":1,"DriverStatus":[[[],1]]}', '{"a":1,}'],
)
def test_a_document_that_is_none_is_a_docker_that_does_not_answer(info):
    docker = ask(answer(info=info))
    assert docker.state == "dead"
    assert docker.error == "docker info printed something else than expected"


def test_what_runs_containers_instead_is_read_in_its_form_only():
    good = "engine conmon 0 /usr/bin/conmon"
    bad = ("engine bash 0 /bin/bash", "engine dockerd -1 /x", "engine dockerd 0 x", "engine crio 0")
    seen = ask("\n".join(("guest 1", "absent", good, *bad)))
    assert (seen.state, seen.engines) == ("elsewhere", (Engine("conmon", 0, "/usr/bin/conmon"),))
    assert str(seen) == "podman (/usr/bin/conmon)"
    assert ask("guest 1\nabsent").state == "none"


def test_of_equal_keys_the_last_one_counts_and_harms_nobody():
    twice = json.dumps(INFO)[:-1] + ',"Driver":"vfs"}'
    assert ask(answer(info=twice)).driver == "vfs"


def test_what_is_for_people_alone_is_dropped_where_it_has_no_form():
    lines = [
        *["os \x1b[2J 13", "manager rm", "runc 1 2", "store ../x 3", "store vfs 99999999999"],
        *["store vfs -1", "count volumes x", "count volumes 1 2", "count secrets 3"],
        *["package i\x1b docker.io 1", "package ii /etc/passwd 1", "package ii -x 1"],
        *["hold $(id)", "hold a b", f"hold {'x' * 200}", "flag a\x1bb", f"flag {'x' * 300}"],
    ]
    docker = ask(answer(*lines))
    kept = (docker.os, docker.manager, docker.runc, docker.packages, docker.holds, docker.flags)
    assert kept == ("", "", "", {}, (), ())
    assert (docker.state, docker.stores, docker.volumes) == ("ok", {}, 0)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("x" * (1024 * 1024 + 1), "is larger than 1 MiB"),
        ('{"a": "\udcff"}', "is no UTF-8"),
        ("[" * 65, "is nested deeper than 64 levels"),
    ],
)
def test_a_daemon_json_that_nobody_should_read_is_that_guests_fault(file, why):
    docker = ask(answer(file=file))
    assert (docker.state, docker.error) == ("failed", f"{ODD}: /etc/docker/daemon.json {why}")


def test_one_that_the_guest_itself_does_not_show_is_too():
    docker = ask(answer("daemon-file-odd no-regular-file"))
    assert docker.error == f"{ODD}: /etc/docker/daemon.json: no regular file"


@pytest.mark.parametrize("about", ["x y z", "0 0 9999", "0 0 600 7", "99999999999 0 600"])
def test_whose_it_is_counts_only_in_its_form(about):
    text = f"{answer()}\ndaemon-file {about}\n{{}}"
    assert (ask(text).file.uid, ask(text).file.mode) == (0, "644")


@pytest.mark.parametrize("state", [state for state in STATES if state != "ok"])
def test_a_guest_that_was_not_to_be_asked_has_a_printable_reason(state):
    docker = ask("guest 1\ninfo {}", state, "no\x1b[2J" + "x" * 1000)
    assert (docker.state, docker.version) == (state, "")
    assert docker.error.startswith("no\\x1b[2J")
    assert len(docker.error) < 300
    assert str(docker).isprintable()


def test_a_docker_that_does_not_answer_keeps_what_can_be_used():
    docker = ask("guest 1\ninfo no \x1b[2J socket\nroot /srv/my data\nversion v version 20.10,")
    assert (docker.state, docker.error) == ("dead", "no \\x1b[2J socket")
    assert (docker.data_root, docker.version) == ("/var/lib/docker", "20.10")
    assert ask("guest 1\nroot /srv/docker").data_root == "/srv/docker"


@pytest.mark.parametrize("text", ['"' + '\\"' * 400_000, '"\\' * 400_000, "{[" * 400_000])
def test_looking_at_a_document_takes_no_longer_than_reading_it(text):
    began = time.monotonic()
    too_much(text)
    assert time.monotonic() - began < 5


def test_brackets_within_strings_do_not_count():
    assert read_json('{"a": "' + "[" * 100 + '\\"{"}') == {"a": "[" * 100 + '"{'}
    with pytest.raises(ValueError, match="nested deeper than 64"):
        read_json("[" * 65 + "]" * 65)
    assert read_json("[" * 64 + "]" * 64)


def test_a_data_root_of_any_length_is_that_guests_fault():
    said = {"ServerVersion": "26.1.5", "Driver": "vfs", "DockerRootDir": "/" + "a/" * 100_000}
    docker = ask(f"guest 1\ninfo {json.dumps(said)}")
    assert docker.state == "failed"
    assert docker.error.endswith("longer than 200 characters or 8 folders")
    assert ask(f"guest 1\nroot {said['DockerRootDir']}").data_root == "/var/lib/docker"


def test_a_guest_without_docker_tells_what_it_takes_to_install_it():
    lines = ["guest 1", "absent", "os fedora 43", "manager dnf", "package ii runc 1.3"]
    lines += ["fuse yes", "overlay no", "daemon-file 0 0 644", '{"debug": true}\n']
    docker = ask("\n".join(lines), "none")
    assert (docker.state, docker.os, docker.manager) == ("none", "fedora 43", "dnf")
    assert (docker.packages, docker.dev_fuse, docker.overlay) == ({"runc": "ii"}, True, False)
    assert docker.file.text == '{"debug": true}\n'
    assert str(docker) == "-"


def test_one_that_says_more_than_it_should_has_none_of_it():
    docker = ask("guest 1\nabsent\nos \x1b[2J\nmanager x;reboot\noverlay maybe", "none")
    assert docker == ObservedDocker("none")
    assert ask("", "none") == ObservedDocker("none")
