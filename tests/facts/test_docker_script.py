"""docker.sh, which runs in the guest: what its lines say, with fake tools."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.script_node import ScriptNode

SCRIPT = Path(__file__).parents[2] / "templates/guest/docker.sh"


@pytest.fixture
def guest(tmp_path):
    """A guest with a docker of its own; gives the records that our script makes of it."""
    guest = ScriptNode(tmp_path)
    guest.tool("docker", """echo '{"Driver":"overlay2","ServerVersion":"26.1.5"}'""")
    guest.tool("dpkg-query", "echo 'ii |docker.io 26.1.5'")
    guest.tool("dpkg", "printf 'docker.io\\thold\\n'")
    return guest


def records(guest, seconds="5"):
    done = subprocess.run(
        ["sh", "-c", SCRIPT.read_text(), "docker", seconds, ""],
        env=guest.environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def lines(guest):
    return records(guest).decode().splitlines()


def test_its_records_are_those_that_the_script_names(guest):
    found = lines(guest)
    assert found[0] == "guest 1"
    assert 'info {"Driver":"overlay2","ServerVersion":"26.1.5"}' in found
    assert "package ii docker.io 26.1.5" in found
    assert "hold docker.io" in found
    named = set(re.findall(r"^#   ([a-z-]+)", SCRIPT.read_text(), re.MULTILINE))
    assert {line.partition(" ")[0] for line in found} <= named


def test_what_its_containers_bind_is_told(guest):
    said = """
        case $1 in
        info) echo '{"ServerVersion":"26.1.5"}' ;;
        ps) echo 1111; echo 2222 ;;
        inspect) case "$*" in *' 1111 2222') printf 'bind /app / /host\\n\\n' ;; esac ;;
        esac
    """
    guest.tool("docker", said)
    assert [line for line in lines(guest) if line.startswith("bind")] == ["bind /app / /host"]


def says(guest, inspect):
    """Have its Docker say this of two containers."""
    guest.tool(
        "docker",
        """
        case $1 in
        info) echo '{"Containers":2,"ContainersRunning":0,"ServerVersion":"26.1.5"}' ;;
        ps) [ "$*" != 'ps -aq --no-trunc' ] || printf '1111\\n2222\\n' ;;
        inspect) cat "$FAKE/inspect" ;;
        esac
        """,
    )
    (guest.fake / "inspect").write_text(inspect)


def told(guest, *keys):
    return [line for line in lines(guest) if line.startswith(keys)]


def test_its_containers_are_told_with_their_state_and_image(guest):
    says(guest, "workload /web running nginx:1.29\nbind /web /a /b\nworkload /db exited pg\n\n")
    assert told(guest, "workload") == [
        "workload /web running nginx:1.29",
        "workload /db exited pg",
    ]


def test_what_its_containers_have_unconfined_is_told_also_where_they_do_not_run(guest):
    says(guest, "secopt /a apparmor=unconfined\nsecopt /b label=disable\nsecopt /b seccomp=x\n")
    assert told(guest, "secopt") == ["secopt /a apparmor=unconfined"]


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("    security_opt:\n      - apparmor=unconfined\n", True),
        ("      - 'apparmor:unconfined'\n", True),
        ('security_opt: ["apparmor=unconfined"]\n', True),
        ("      - apparmor: unconfined\n", True),
        ("      # - apparmor=unconfined\n", False),
        ("      - apparmor=docker-default\n", False),
        ("image: unconfined\n", False),
    ],
)
def test_a_compose_file_of_its_containers_is_told_where_it_takes_apparmor_away(
    guest, text, is_told
):
    file = guest.has("/opt/my app/compose.yaml", text)
    other = guest.has("/opt/b.yaml", "services: {}\n")
    says(guest, f"compose {file},{other}\ncompose {file}\ncompose /nowhere\ncompose {guest.root}\n")
    line = text.count("\n")
    assert told(guest, "compose") == [f"compose {line} apparmor {file}"] * is_told


ITEMS = """\
services:
  a:
    image: a
    security_opt: # all of it
    - seccomp:unconfined
    - "systempaths=unconfined"
    - label=disable
    environment:
      - NOTE=apparmor=unconfined
    privileged: 'True'
  b: {security_opt: [no-new-privileges, "apparmor:unconfined"], privileged: yes}
  c:
    privileged: false # privileged: true
    "security_opt":
      [
        apparmor=unconfined,
      ]
    labels:
      a: apparmor=unconfined, seccomp=unconfined
x-open: &open
  - apparmor=unconfined
"""


def test_each_line_of_a_compose_file_that_takes_something_away_is_told_and_no_other(guest):
    file = guest.has("/srv/a/docker-compose.yml", ITEMS)
    says(guest, "")
    assert told(guest, "compose") == [
        f"compose {number} {option} {file}"
        for number, option in [
            (5, "seccomp"),
            (6, "systempaths"),
            (10, "privileged"),
            (11, "apparmor"),
            (11, "privileged"),
            (16, "apparmor"),
            (21, "apparmor"),
        ]
    ]


OPEN = "security_opt: [apparmor=unconfined]\n"


@pytest.mark.parametrize(
    "path",
    [
        "/opt/stacks/web/compose.yaml",
        "/root/docker-compose.yml",
        "/home/me/my docker/app/docker-compose.override.yml",
        "/docker/compose.yml",
        "/var/lib/docker/volumes/portainer_data/_data/compose/7/docker-compose.yml",
    ],
)
def test_a_compose_file_of_a_project_that_is_down_is_found_where_people_keep_it(guest, path):
    guest.tool("docker", """echo '{"Containers":0,"ServerVersion":"26.1.5"}'""")
    if path.startswith("/var/lib/docker"):
        root = f'"DockerRootDir":"{guest.root}/var/lib/docker"'
        guest.tool("docker", f"""echo '{{"Containers":0,{root},"ServerVersion":"26.1.5"}}'""")
    file = guest.has(path, OPEN)
    guest.has("/opt/node_modules/a/compose.yaml", OPEN)
    guest.has("/opt/1/2/3/4/5/6/compose.yaml", OPEN)
    guest.has("/opt/other.yaml", OPEN)
    assert told(guest, "compose", "cut") == [f"compose 1 apparmor {file}"]


def test_where_docker_does_not_answer_compose_files_are_found_all_the_same(guest):
    guest.tool("docker", "exit 1")
    file = guest.has("/opt/a/compose.yml", OPEN)
    assert told(guest, "compose") == [f"compose 1 apparmor {file}"]


def test_more_compose_files_than_anybody_has_are_cut_and_that_is_told(guest):
    for number in range(120):
        guest.has(f"/opt/{number}/compose.yml", OPEN)
    says(guest, "")
    said = told(guest, "compose", "cut")
    assert len(said) == 101
    assert said[-1] == "cut compose"


def test_a_search_that_takes_too_long_is_given_up_with_what_it_has_found(guest):
    file = guest.has("/opt/a/compose.yml", OPEN)
    find = 'echo "$PHOENIX_ROOT/opt/a/compose.yml"; exec sleep 60'
    guest.tool("find", f'case "$*" in *compose*.y*) {find} ;; esac')
    says(guest, "")
    assert told(guest, "compose", "cut") == [f"compose 1 apparmor {file}", "cut compose"]


def test_a_bind_on_a_share_that_gives_no_answer_is_told_and_holds_nobody(guest):
    guest.tool("readlink", 'case "$*" in */dead/*) exec sleep 60 ;; esac; exec /bin/readlink "$@"')
    says(guest, "bind /app /dead/share /host\nbind /b / /c\n")
    assert told(guest, "bind", "silent") == [
        "silent /app /dead/share",
        "bind /app /dead/share /host",
        "bind /b / /c",
    ]


def test_of_many_binds_each_is_told_with_its_links_resolved(guest):
    (guest.root / "there").mkdir()
    (guest.root / "link").symlink_to("there")
    guest.tool("readlink", 'case "$*" in */dead/*) exec sleep 60 ;; esac; exec /bin/readlink "$@"')
    many = [f"bind /c{number} {guest.root}/link/{number} /x" for number in range(20)]
    many[9] = "bind /c9 /dead/share /x"
    many[11] = "bind /c11 /with a blank /x"
    many[13] = f"bind /c13 {guest.root}/nowhere/{'*'} /x"
    says(guest, "\n".join(many))
    rest = [number for number in range(20) if number not in (9, 11, 13)]
    assert sorted(told(guest, "bind", "silent")) == sorted(
        [f"bind /c{number} {guest.root}/there/{number} /x" for number in rest]
        + ["silent /c9 /dead/share", "bind /c9 /dead/share /x"]
    )


def test_of_many_compose_files_the_one_that_gives_no_answer_alone_is_missed(guest):
    guest.tool("head", 'case "$*" in *dead.yaml) exec sleep 60 ;; esac; exec /usr/bin/head "$@"')
    files = [guest.has(f"/opt/{number} *.yaml", f"a:\n{OPEN}") for number in range(15)]
    files[12] = guest.has("/opt/dead.yaml", OPEN)
    says(guest, "compose " + ",".join(map(str, files)))
    said = told(guest, "compose", "cut")
    expected = [f"compose 2 apparmor {file}" for file in files if file != files[12]]
    assert sorted(said) == sorted([*expected, "cut compose"])


def test_what_a_compose_file_leaves_open_does_not_go_on_in_the_next_one(guest):
    one = guest.has("/opt/a.yaml", "security_opt:\n")
    other = guest.has("/opt/b.yaml", "  - x: apparmor=unconfined\n")
    says(guest, f"compose {one},{other}")
    assert told(guest, "compose") == []


def test_a_compose_file_that_nobody_should_read_is_not_waited_for(guest):
    pipe = guest.root / "pipe.yaml"
    os.mkfifo(pipe)
    link = guest.root / "link.yaml"
    link.symlink_to("/dev/zero")
    says(guest, f"compose {pipe},{link}\n")
    assert told(guest, "compose") == []


def test_nothing_of_a_compose_file_is_touched_but_under_a_deadline_and_after_all_else(guest):
    # a share that does not answer holds whoever asks it, be it for its kind
    guest.tool(
        "timeout",
        """
        case "$*" in *.yaml*)
            echo x >>"$FAKE/limited"
            case "$*" in -s\\ KILL*) exit 137 ;; esac
        esac
        while [ "$1" != docker ] && [ "$1" != sh ]; do shift; done
        exec "$@"
        """,
    )
    file = guest.has("/opt/a.yaml", "      - apparmor=unconfined\n")
    says(guest, f"compose {file},/dead/share/b.yaml\nsecopt /a apparmor=unconfined\n")
    assert told(guest, "secopt", "compose") == ["secopt /a apparmor=unconfined"]
    assert (guest.fake / "limited").read_text() == "x\nx\n"


def test_what_a_compose_file_says_stands_behind_all_else_and_before_daemon_json(guest):
    guest.has("/etc/docker/daemon.json", "{}\n")
    file = guest.has("/opt/a.yaml", "      - apparmor=unconfined\n")
    says(guest, f"compose {file}\n")
    keys = [line.split()[0] for line in lines(guest)]
    assert keys[keys.index("compose") + 1] == "daemon-file"


def elf(guest, path, name="runc"):
    """A program of this name in the guest, and its digest."""
    file = guest.has(path, "")
    file.write_bytes(b"\x7fELF\0program")
    file.chmod(0o755)
    (guest.fake / name).symlink_to(file)
    return hashlib.md5(file.read_bytes()).hexdigest()


def test_a_script_in_runcs_place_is_told(guest):
    guest.tool("runc", 'exec /usr/bin/runc.real "$@"')
    assert told(guest, "wrapper") == [f"wrapper script {guest.fake}/runc"]


def test_a_program_by_another_name_in_runcs_place_is_told_and_runc_itself_is_not(guest):
    elf(guest, "/usr/bin/no-apparmor")
    assert told(guest, "wrapper") == [f"wrapper link {guest.fake}/runc"]
    (guest.fake / "runc").unlink()
    elf(guest, "/usr/bin/runc")
    assert told(guest, "wrapper") == []


@pytest.mark.parametrize("package", ["runc", "containerd.io"])
@pytest.mark.parametrize("folder", ["usr/bin", "usr/sbin"])
def test_a_runc_that_is_not_what_its_package_brought_is_told(guest, package, folder):
    digest = elf(guest, f"/{folder}/runc")
    sums = f"/var/lib/dpkg/info/{package}.md5sums"
    guest.has(sums, f"{'0' * 32}  usr/bin/runc-other\n{digest}  {folder}/runc\n")
    assert told(guest, "wrapper") == []
    guest.has(sums, f"{'0' * 32}  {folder}/runc\n")
    assert told(guest, "wrapper") == [f"wrapper changed {guest.fake}/runc"]


def test_a_hold_is_told_and_dpkg_is_asked_for_none_where_there_is_none(guest):
    status = "Package: docker.io\nStatus: {} ok installed\n"
    guest.has("/var/lib/dpkg/status", status.format("hold"))
    assert told(guest, "hold") == ["hold docker.io"]
    guest.has("/var/lib/dpkg/status", status.format("install"))
    assert told(guest, "hold") == []


def test_what_it_keeps_is_counted(guest):
    root = guest.root / "data"
    said = {"ServerVersion": "26", "DockerRootDir": str(root), "Containers": 0}
    guest.tool("docker", f"echo '{json.dumps(said, separators=(',', ':'))}'")
    folders = ["overlay2/l", "overlay2/a b", "overlay2/*", "fuse-overlayfs", "containers/1"]
    image_store = "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"
    for name in [*folders, "volumes/1", "volumes/2", f"{image_store}/7"]:
        (root / name).mkdir(parents=True)
    (root / "volumes/metadata.db").touch()
    assert [line for line in told(guest, "store", "count") if "native" not in line] == [
        "store overlay2 2",
        "store fuse-overlayfs 0",
        "store io.containerd.snapshotter.v1.overlayfs 1",
        "count volumes 2",
        "count containers 1",
    ]


def test_which_mount_it_has_is_asked_where_its_fstab_mounts_something(guest):
    guest.tool("mount", "echo mount from util-linux 2.41.5")
    assert told(guest, "mount") == []
    guest.has("/proc/self/mounts", "none /srv/t ext4 rw 0 0\n")
    guest.has("/etc/fstab", "a /srv/t tmpfs rw 0 0")
    assert told(guest, "fstab", "mount") == ["fstab tmpfs /srv/t", "mount 2.41.5"]


def test_versions_that_apts_preferences_keep_are_told_and_origins_are_not(guest):
    guest.has(
        "/etc/apt/preferences.d/docker",
        "Explanation: broken\nPackage: containerd.io runc\nPin: version 1.7.28*\n"
        "Pin-Priority: 1001\n\nPackage: docker-ce\nPin: origin download.docker.com\n"
        "Pin-Priority: 500\n",
    )
    guest.has("/etc/apt/preferences", "Package: vim\nPin: version 9\nPin-Priority: 9\n")
    assert told(guest, "pin") == ["pin vim", "pin containerd.io", "pin runc"]


def test_what_fstab_mounts_is_told_but_not_what_systemd_or_the_node_mounts(guest):
    mounted = ["/", "/proc", "/dev/shm", "/tmp", "/developer", "/srv/t", "/srv/b2"]
    asked = [*mounted, "/srv/absent", "/srv/\xe4", "#/srv/x"]
    guest.has("/proc/self/mounts", "".join(f"none {path} ext4 rw 0 0\n" for path in mounted))
    guest.has("/etc/fstab", "".join(f"a {path} tmpfs rw 0 0\n" for path in asked) + "# /srv/t x\n")
    found = [line for line in lines(guest) if line.startswith("fstab ")]
    assert found == ["fstab tmpfs /developer", "fstab tmpfs /srv/t", "fstab tmpfs /srv/b2"]


def test_daemon_json_comes_last_byte_for_byte(guest):
    file = guest.has("/etc/docker/daemon.json", "", 0o600)
    file.write_bytes(b'\n{"a": "\xff"}\n\n')
    head, _, tail = records(guest).partition(b"\ndaemon-file ")
    assert b"daemon-file" not in head
    assert tail == f"{os.getuid()} {os.getgid()} 600\n".encode() + b'\n{"a": "\xff"}\n\n'


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda file: os.mkfifo(file), "no-regular-file"),
        (lambda file: file.symlink_to("/dev/zero"), "no-regular-file"),
        (lambda file: file.mkdir(), "no-regular-file"),
        (lambda file: file.touch() or os.truncate(file, 1 << 40), "too-large"),
    ],
    ids=["fifo", "device", "folder", "sparse"],
)
def test_a_daemon_json_that_nobody_should_read_is_named_instead(guest, made, reason):
    file = guest.root / "etc/docker/daemon.json"
    file.parent.mkdir(parents=True)
    # where docker does not say it, the data's place is looked for in it
    guest.tool("docker", "exit 1")
    made(file)
    assert lines(guest)[-1] == f"daemon-file-odd {reason}"


def test_one_of_just_a_mebibyte_is_read(guest):
    guest.has("/etc/docker/daemon.json", "x" * (1 << 20))
    assert records(guest).endswith(b"\n" + b"x" * (1 << 20))


def test_a_link_to_nothing_is_no_daemon_json(guest):
    file = guest.root / "etc/docker/daemon.json"
    file.parent.mkdir(parents=True)
    file.symlink_to("nowhere")
    assert not any(line.startswith("daemon-file") for line in lines(guest))


def test_why_docker_does_not_answer_is_said_in_its_words_and_with_its_exit_code(guest):
    guest.tool("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    info = [line for line in lines(guest) if line.startswith("info ")]
    assert info == ["info Cannot connect to the Docker daemon", "info gave no answer (exit 1)"]
    guest.tool("docker", "sleep 20")
    assert b"\ninfo gave no answer (exit 124)\n" in records(guest, "1")


def test_a_docker_that_floods_says_no_more_than_others(guest):
    guest.tool("docker", "yes 1234567")
    guest.tool("dockerd", "exec yes version")
    guest.tool("runc", "exec yes 'runc version 1'")
    assert len(records(guest)) < 1 << 20


def test_a_guest_without_docker_says_so_by_its_exit_code(guest):
    done = subprocess.run(
        ["/bin/sh", "-c", SCRIPT.read_text(), "docker", "1", ""],
        env={"PATH": str(guest.root)},
        capture_output=True,
        check=False,
    )
    said = done.stdout.decode().splitlines()
    assert (done.returncode, said[:2]) == (44, ["guest 1", "absent"])
    assert {line.partition(" ")[0] for line in said[2:]} <= {"os", "fuse"}


@pytest.fixture
def bare(tmp_path):
    """A guest without Docker, with nothing but these tools."""
    guest = ScriptNode(tmp_path)
    for name in ("head", "ln", "ls", "mkdir", "mktemp", "rm", "rmdir", "sed", "stat", "umount"):
        guest.tool(name, f'exec {shutil.which(name)} "$@"')
    guest.tool("mount", "exit 1")
    return guest


def without_docker(guest, *words):
    """Its lines and its exit code."""
    text = SCRIPT.read_text().replace("=/var/lib", '="$PHOENIX_ROOT"/var/lib')
    done = subprocess.run(
        ["/bin/sh", "-c", text, "docker", "1", *words],
        env={"PATH": str(guest.fake), "PHOENIX_ROOT": str(guest.root)},
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines(), done.returncode


def test_one_without_docker_says_what_it_takes_to_install_it(bare):
    bare.tool("dnf", "exit 1")
    bare.tool("rpm", "echo 'package ii runc 1.3'; echo 'package docker is not installed'")
    bare.tool("grep", f'exec {shutil.which("grep")} "$@"')
    bare.has("/etc/docker/daemon.json", '{"debug": true}', mode=0o600)
    said, code = without_docker(bare, "")
    assert code == 44
    assert "manager dnf" in said
    assert "package ii runc 1.3" in said
    assert {"fuse yes", "fuse no"} & {*said}
    assert said[-2:] == [f"daemon-file {os.getuid()} {os.getgid()} 600", '{"debug": true}']
    assert not [line for line in said if line.startswith("overlay")]


def test_an_overlay_is_tried_in_it_too_and_leaves_nothing(bare):
    said, _ = without_docker(bare, ":probe")
    assert "overlay no" in said
    assert not (bare.root / "var/lib/docker").exists()
    bare.tool("mount", 'for last; do :; done; rmdir "$last"; ln -s upper "$last"')
    bare.tool("umount", 'rm "$1"; mkdir "$1"')
    said, _ = without_docker(bare, ":probe")
    assert "overlay yes" in said
    assert not (bare.root / "var/lib/docker").exists()


def has_process(guest, pid, name, program):
    guest.has(f"/proc/{pid}/comm", f"{name}\n")
    (guest.root / f"proc/{pid}/exe").symlink_to(program)


def test_what_runs_containers_instead_of_docker_is_told_with_whose_it_is(guest):
    has_process(guest, 1, "systemd", "/usr/lib/systemd/systemd")
    has_process(guest, 71, "dockerd", "/snap/docker/2932/bin/dockerd")
    has_process(guest, 72, "conmon", "/usr/bin/conmon")
    has_process(guest, 73, "conmon", "/usr/bin/conmon")
    guest.has("/proc/74/comm", "conmon-of-none\n")
    (guest.fake / "docker").unlink()
    script = SCRIPT.read_text().replace("command -v docker", "command -v no-docker")
    done = subprocess.run(
        ["sh", "-c", script.replace("has docker", "has no-docker"), "docker", "5", ""],
        env=guest.environment,
        capture_output=True,
        text=True,
    )
    uid = os.getuid()
    assert done.stdout.splitlines() == [
        "guest 1",
        "absent",
        f"engine conmon {uid} /usr/bin/conmon",
        f"engine dockerd {uid} /snap/docker/2932/bin/dockerd",
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_where_docker_answers_nobody_looks_for_another_engine(guest):
    has_process(guest, 71, "dockerd", "/usr/sbin/dockerd")
    assert "engine" not in {line.partition(" ")[0] for line in lines(guest)}


def test_a_docker_that_is_podmans_script_is_told_as_podman(guest):
    guest.tool("docker", """exec podman "$@" """)
    guest.tool("podman", """echo '{"host":{}}'""")
    assert f"engine podman 0 {guest.fake}/podman" in lines(guest)


def test_a_data_root_with_a_blank_is_one_line(guest):
    said = {"DockerRootDir": "/srv/my docker", "ServerVersion": "26"}
    guest.tool("docker", f"echo '{json.dumps(said, separators=(',', ':'))}'")
    assert "root /srv/my docker" in lines(guest)
