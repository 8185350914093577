"""The verb `install` against a guest that has no Docker: tests/lab has a real one."""

import fcntl
from types import SimpleNamespace

import pytest
from commit_node import Node
from install_guest import LXC_ATTACH, REQUEST, RUN, InstallGuest, last
from script_node import sha

from node.install import Installation, install
from phoenix.runs.journal import read_journal

BOTH = {"storage-driver": "fuse-overlayfs", "features": {"containerd-snapshotter": False}}
DONE = "CT 910: done: Docker is installed, on fuse-overlayfs"


@pytest.fixture
def guest(tmp_path):
    return InstallGuest(tmp_path)


def test_docker_comes_in_with_its_storage_driver_before_any_package(guest):
    done = guest.install()
    assert (done.returncode, last(done)) == (0, DONE)
    assert guest.keys == BOTH
    assert not (guest.fake / "wrong").exists()
    installs = [call for call in guest.asked_for("apt-get") if "install" in call]
    assert [call.partition("--no-upgrade ")[2] for call in installs] == [
        "docker.io docker-cli fuse-overlayfs"
    ]


def test_its_service_is_enabled_and_started_and_docker_is_proven(guest):
    done = guest.install()
    assert "script install enable " in guest.calls
    assert any("start" in call for call in guest.asked_for("service "))
    assert "CT 910: ok docker info says fuse-overlayfs" in done.stdout
    assert "CT 910: ok a container of our own runs and answers on a published port" in done.stdout


def test_the_journal_has_daemon_json_and_what_came_in_for_a_rollback(guest):
    guest.install()
    came = "docker.io docker-cli fuse-overlayfs"
    assert guest.journaled() == [
        ("intent", "daemon.json"),
        ("done", "daemon.json"),
        ("intent", came),
        ("done", came),
    ]
    intent = next(one for one in guest.journal if one["event"] == "intent")
    assert (intent["before"], intent["driver_before"]) == ("none", "")
    assert (intent["after"], intent["driver"]) == (sha(guest.daemon_json), "fuse-overlayfs")


def test_a_second_time_nothing_comes_in_and_nothing_is_written_down(guest):
    guest.install()
    before, text = guest.journal, guest.daemon_json
    done = guest.install()
    assert (done.returncode, last(done)) == (0, DONE)
    assert (guest.journal, guest.daemon_json) == (before, text)


# --- with a GPU -----------------------------------------------------------------------------------

TOOLKIT = "nvidia-container-toolkit"


def test_with_a_gpu_nvidias_toolkit_comes_in_is_set_up_and_dockerd_finds_it(guest):
    guest.available("docker.io", "docker-cli", TOOLKIT)
    done = guest.install(nvidia=True)
    assert (done.returncode, last(done)) == (0, DONE)
    assert ("done", f"docker.io docker-cli fuse-overlayfs {TOOLKIT}") in guest.journaled()
    calls = guest.calls
    setting = "config --set nvidia-container-cli.no-cgroups=true --in-place"
    assert any(call.startswith("service ") and call.endswith(setting) for call in calls)
    # it looks for it when it starts, and a package may have started it before
    assert calls.index("script install gpu ") < calls.index("script install enable ")
    assert "script daemon-json restart " in calls
    before = len(calls)
    assert guest.install(nvidia=True).returncode == 0
    assert "script daemon-json restart " not in guest.calls[before:]


def test_without_a_source_for_nvidias_toolkit_docker_comes_in_and_that_is_a_note(guest):
    done = guest.install(nvidia=True)
    assert (done.returncode, last(done)) == (0, DONE)
    assert f"note: its package sources have no {TOOLKIT}: docker run --gpus" in done.stdout
    assert "script install gpu " not in guest.calls


def test_without_a_gpu_no_toolkit_is_looked_for(guest):
    guest.available("docker.io", "docker-cli", TOOLKIT)
    assert guest.install().returncode == 0
    assert not [call for call in guest.calls if TOOLKIT in call]


def test_a_toolkit_that_cannot_be_set_up_is_said_and_docker_is_not_started(guest):
    guest.available("docker.io", "docker-cli", TOOLKIT)
    guest.tool("nvidia-ctk", 'echo "unable to create config file" >&2; exit 1')
    done = guest.install(nvidia=True)
    assert done.returncode == 3
    assert "its NVIDIA toolkit cannot be set up: unable to create" in last(done)
    assert "script install enable " not in guest.calls


# --- what is there before -------------------------------------------------------------------------


def test_every_other_key_of_a_daemon_json_stays_as_it_stands(guest):
    guest.in_guest("/etc/docker/daemon.json", '{ "log-opts" : {"max-size": "10m"} }')
    assert guest.install().returncode == 0
    assert guest.keys == {"log-opts": {"max-size": "10m"}, **BOTH}
    assert guest.daemon_json.startswith('{ "log-opts" : {"max-size": "10m"}')
    intent = next(one for one in guest.journal if one["event"] == "intent")
    kept = guest.run / f"guest/910/{intent['before']}"
    assert kept.read_text() == '{ "log-opts" : {"max-size": "10m"} }'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"storage-driver": "overlay2"}', 'or write "storage_driver": "overlay2"'),
        ('{"storage-driver": 5}', "names no storage driver"),
        ('{"storage-driver": "\\u001b[2J"}', "names no storage driver"),
        ('{"features": {"containerd-snapshotter": true}}', "says features.containerd-snapshotter"),
        ('{"storage-driver": ', "line 1, column"),
        ("# a comment\n{}", "line 1, column 1"),
    ],
)
def test_a_daemon_json_that_says_something_else_is_left_and_nothing_comes_in(guest, text, says):
    guest.in_guest("/etc/docker/daemon.json", text)
    done = guest.install()
    assert done.returncode == 2
    assert last(done).startswith("CT 910: refused: Docker is not installed: its /etc/docker/")
    assert says in last(done)
    assert guest.daemon_json == text
    assert guest.asked_for("apt-get") == guest.journal == []


def test_an_installation_that_was_cut_short_is_gone_on_with(guest):
    guest.in_guest("/etc/docker/daemon.json", '{"storage-driver": "fuse-overlayfs"}')
    guest.installed("docker.io")
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    done = guest.install()
    assert (done.returncode, last(done)) == (0, DONE)
    assert guest.keys == BOTH
    assert ("done", "docker-cli fuse-overlayfs") in guest.journaled()
    # dockerd may run with the file as it was
    assert "script daemon-json restart " in guest.calls


def test_a_docker_that_a_clone_brings_keeps_the_driver_that_holds_its_images(guest):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.installed("docker.io", "docker-cli", "fuse-overlayfs")
    guest.in_guest("/var/lib/docker/image/overlay2/imagedb/content/sha256/aa", "{}")
    done = guest.install()
    assert done.returncode == 0, done.stdout
    assert guest.daemon_json is None
    assert "keeps the storage driver that it has: 1 images are there" in done.stdout


RUNS_ON_OVERLAY2 = "'docker info --format {{.Driver}}') echo overlay2 ;;\n*'docker info --format'*)"
IMAGE = "/var/lib/docker/image/overlay2/imagedb/content/sha256/aa"


@pytest.mark.parametrize(
    "text", ['{"storage-driver": "overlay2"}', '{"features": {"containerd-snapshotter": true}}']
)
def test_it_keeps_that_driver_also_where_its_daemon_json_names_it(guest, text):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.installed("docker.io", "docker-cli")
    guest.in_guest(IMAGE, "{}")
    guest.in_guest("/etc/docker/daemon.json", text)
    done = guest.install()
    assert done.returncode == 0, done.stdout
    assert guest.daemon_json == text
    assert "fuse-overlayfs" not in (guest.fake / "installed").read_text()


def test_a_fleet_file_that_insists_on_another_driver_is_not_taken_over_its_images(guest):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.in_guest(IMAGE, "{}")
    guest.in_guest("/etc/docker/daemon.json", '{"storage-driver": "overlay2"}')
    done = guest.install(insists=True)
    assert done.returncode == 2
    assert 'or write "storage_driver": "overlay2" in the fleet file' in last(done)


def test_it_does_not_hide_them_either_where_no_daemon_json_names_a_driver(guest):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.in_guest(IMAGE, "{}")
    guest.tool("lxc-attach", LXC_ATTACH.replace("*'docker info --format'*)", RUNS_ON_OVERLAY2))
    done = guest.install(insists=True)
    assert (done.returncode, guest.daemon_json) == (2, None)
    assert "its Docker runs on overlay2 (1 images are there), which fuse-overlayfs" in last(done)
    assert 'write "storage_driver": "keep"' in last(done)


@pytest.mark.parametrize("source", ["distro", "docker-ce"])
def test_a_docker_of_another_kind_that_a_clone_brings_is_not_replaced(guest, source):
    its_own = "docker-ce" if source == "distro" else "docker.io"
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.installed(its_own, "fuse-overlayfs")
    guest.in_guest("/etc/docker/daemon.json", '{"storage-driver": "fuse-overlayfs"}')
    done = guest.install(source=source)
    assert done.returncode == 0, done.stdout
    assert f"it has a Docker ({its_own}), which stays as it is" in done.stdout
    assert not [call for call in guest.asked_for("apt-get") if "install" in call]


def test_what_is_called_docker_in_debian_is_none(guest):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.installed("docker")
    guest.note("docker-down")
    assert "which stays as it is" not in guest.install().stdout
    assert "ii  docker.io" in (guest.fake / "installed").read_text()


def test_one_that_answers_and_is_of_no_package_stays(guest):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.installed("fuse-overlayfs")
    done = guest.install()
    assert done.returncode == 0, done.stdout
    assert "it has a Docker (installed by hand), which stays as it is" in done.stdout
    assert not [call for call in guest.asked_for("apt-get") if "install" in call]


def test_the_driver_that_a_clone_brings_is_the_one_that_is_proven(monkeypatch):
    def keeps(its, wanted):
        its.driver = "overlay2"

    monkeypatch.setattr(Installation, "run", keeps)
    staged = SimpleNamespace(label=None, driver="fuse-overlayfs")
    assert install(SimpleNamespace(ctid=970, staged=staged), REQUEST["install"])
    assert staged.driver == "overlay2"


def test_one_that_came_with_the_template_and_holds_nothing_gets_the_wanted_driver(guest):
    guest.says("os debian 13", "manager apt", "fuse yes", code=0)
    guest.installed("docker.io", "docker-cli", "fuse-overlayfs")
    assert guest.install().returncode == 0
    assert guest.keys["storage-driver"] == "fuse-overlayfs"
    assert "script daemon-json restart " in guest.calls


def test_without_network_it_fails_and_says_what_the_package_manager_said(guest):
    guest.note("no-network")
    done = guest.install()
    assert (done.returncode, last(done)) == (
        3,
        "CT 910: failed: Docker is not installed: its packages did not all come in, see above",
    )
    assert "E: Unable to fetch" in done.stdout
    (guest.fake / "no-network").unlink()
    assert guest.install().returncode == 0


@pytest.mark.parametrize("name", ["starts-not", "docker-down"])
def test_a_docker_that_does_not_start_or_answer_is_a_failure(guest, name):
    guest.note(name)
    done = guest.install()
    assert done.returncode == 3
    assert last(done).startswith("CT 910: failed: Docker is ")


# --- confinement ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label", ["unconfined", "lxc-docker-nested (complain)", "lxc-other (enforce)"]
)
def test_nothing_comes_into_a_container_that_is_not_confined_as_it_shall_be(guest, label):
    guest.label.write_text(f"{label}\n")
    done = guest.install()
    assert done.returncode == 2
    assert "it is not confined as it shall be" in last(done)
    assert guest.asked_for("apt-get") == []
    assert guest.daemon_json is None


def test_where_the_fleet_file_insists_on_unconfined_it_goes_on_and_says_so(guest):
    guest.label.write_text("unconfined\n")
    done = guest.install(label=None)
    assert done.returncode == 0
    assert "note: it is unconfined as the fleet file asks" in done.stdout


# --- the storage driver ---------------------------------------------------------------------------


@pytest.mark.parametrize(("overlay", "driver"), [("yes", "overlay2"), ("no", "fuse-overlayfs")])
def test_auto_is_decided_by_an_overlay_that_is_tried(guest, overlay, driver):
    guest.is_a("debian 13", "apt", f"overlay {overlay}")
    assert guest.install(driver="auto").returncode == 0
    assert guest.keys["storage-driver"] == driver
    assert "script docker 20 :probe" in guest.calls
    assert ("fuse-overlayfs" in (guest.fake / "installed").read_text()) == (overlay == "no")


def test_auto_keeps_the_driver_that_is_there(guest):
    guest.in_guest("/etc/docker/daemon.json", '{"storage-driver": "overlay2"}')
    guest.is_a("debian 13", "apt", "overlay no")
    assert guest.install(driver="auto").returncode == 0
    assert guest.keys["storage-driver"] == "overlay2"


def test_fuse_overlayfs_without_its_device_is_refused_with_the_feature(guest):
    guest.says("absent", "os debian 13", "manager apt", "fuse no")
    done = guest.install()
    assert (done.returncode, guest.daemon_json) == (2, None)
    assert last(done).endswith("fuse-overlayfs needs /dev/fuse, and it has none: give it fuse=1")


# --- where it comes from --------------------------------------------------------------------------


def names(guest, start):
    return guest.asked_for(start)[-1].removeprefix(start).split()


def test_a_distribution_without_a_client_of_its_own_gets_docker_io_alone(guest):
    guest.available("docker.io")
    assert guest.install(driver="overlay2").returncode == 0
    assert (guest.fake / "installed").read_text() == "ii  libc6\nii  docker.io\n"


def test_alpine_has_it_by_apk(guest):
    guest.is_a("alpine 3.22", "apk")
    guest.installed(form="{}")
    assert guest.install().returncode == 0
    assert names(guest, "apk add --no-cache") == ["docker", "fuse-overlayfs"]


def test_fedora_has_moby_by_dnf(guest):
    guest.is_a("fedora 43", "dnf")
    guest.installed(form="{}")
    guest.available("moby-engine", "docker-cli")
    assert guest.install().returncode == 0
    assert names(guest, "dnf -y install") == ["moby-engine", "docker-cli", "fuse-overlayfs"]


CE = [
    "docker-ce",
    "docker-ce-cli",
    "containerd.io",
    "docker-buildx-plugin",
    "docker-compose-plugin",
]


def test_its_kin_without_moby_have_dockers_own_where_its_repository_is_there(guest):
    guest.is_a("rocky 10", "dnf")
    guest.installed(form="{}")
    guest.available("docker-ce")
    assert guest.install().returncode == 0
    assert names(guest, "dnf -y install") == [*CE, "fuse-overlayfs"]


def test_docker_ce_comes_from_a_repository_that_the_guest_has(guest):
    guest.available("docker.io", "docker-ce")
    assert guest.install(source="docker-ce").returncode == 0
    assert (guest.fake / "installed").read_text().split()[3::2] == [*CE, "fuse-overlayfs"]


def test_docker_ce_without_a_repository_is_refused_with_the_key_to_write(guest):
    done = guest.install(source="docker-ce")
    assert done.returncode == 3
    assert "name a repository with docker_repo in the fleet file" in last(done)
    assert "install --no-upgrade" not in "".join(guest.calls)


def test_docker_ce_on_alpine_is_refused(guest):
    guest.is_a("alpine 3.22", "apk")
    done = guest.install(source="docker-ce")
    assert last(done).endswith('Docker has no packages for apk: write "docker_source": "distro"')


@pytest.mark.parametrize("lines", [["os nixos 25.11"], ["os arch "], ["os \x1b[2J"], []])
def test_a_guest_without_one_of_our_package_managers_is_refused_with_its_name(guest, lines):
    guest.says("absent", *lines, "fuse yes")
    done = guest.install()
    assert (done.returncode, guest.daemon_json) == (2, None)
    assert "has none of apt, apk, dnf: install Docker there by hand" in last(done)
    assert last(done).isprintable()


def test_keep_installs_nothing(guest):
    done = guest.install(source="keep")
    assert (done.returncode, guest.calls) == (2, [])
    assert last(done).endswith("docker_source keep: nothing is installed")


# --- a guest that says what it likes --------------------------------------------------------------


def test_a_guest_whose_containers_something_else_runs_is_refused(guest):
    guest.says("absent", "engine containerd 0 /usr/bin/containerd", code=0)
    done = guest.install()
    assert last(done).endswith("its containers are run by something else than Docker")


@pytest.mark.parametrize(
    "does", ["exec yes x", "exit 1", r"printf '\033[2JCT 911: done\n' >&2; exit 1"]
)
def test_a_guest_that_cannot_be_asked_is_refused_in_one_printable_line(guest, does):
    guest.tool("lxc-attach", does)
    done = guest.install()
    assert done.returncode == 2
    assert last(done).startswith("CT 910: refused: Docker is not installed: its guest cannot be ")
    assert last(done).isprintable()


def test_one_that_is_a_program_is_never_entered(guest):
    guest.has("/var/lib/lxc/910/config", "lxc.init.cmd = /app\n")
    assert "it is one program" in last(guest.install())
    assert guest.calls == []


# --- who calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("../../x", "910"), (RUN, "910;x"), (RUN,)])
def test_a_call_that_is_none_is_refused(guest, words):
    done = guest.install(*words)
    assert (done.returncode, done.stderr, guest.calls) == (2, "", [])


@pytest.mark.parametrize(
    "install",
    [{"source": "snap"}, {"driver": "zfs"}, {"repository": "x"}, {"repository": {"url": "x"}}],
)
def test_a_request_that_is_none_is_refused(guest, install):
    done = guest.install(**install)
    assert (done.returncode, guest.calls) == (2, [])
    assert last(done).startswith("CT 910: refused: install: ")


def test_a_journal_that_does_not_fit_stands_against_it(guest):
    guest.run.mkdir(parents=True)
    (guest.run / "journal.jsonl").write_text('{"event":"x"}\n')
    done = guest.install()
    assert (done.returncode, guest.calls) == (2, [])
    assert "journal line 1" in last(done)


# --- killed between two lines ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "event"), [("{}", "done"), (None, "restored"), ('{"debug": true}', "failed")]
)
def test_a_kill_while_daemon_json_was_put_is_told_by_what_is_there(guest, text, event):
    guest.install()
    lines = (guest.run / "journal.jsonl").read_text().splitlines()[:2]
    (guest.run / "journal.jsonl").write_text(
        "\n".join(lines).replace(sha(guest.daemon_json), sha("{}")) + "\n"
    )
    (guest.guest / "etc/docker/daemon.json").unlink()
    if text is not None:
        guest.in_guest("/etc/docker/daemon.json", text)
    done = guest.verb("recover", RUN, "910")
    assert (done.returncode, done.stderr) == (0, "")
    assert guest.events == ["begin", "intent", event]
    assert "was interrupted while it installed Docker" in done.stdout


@pytest.mark.parametrize("moment", range(1, 12))
def test_killed_at_any_moment_it_is_gone_on_with_and_the_journal_names_what_came(guest, moment):
    kill = f"""
        exec 9>"$FAKE/at-work"; flock -s 9
        echo >>"$FAKE/count"
        [ "$(wc -l <"$FAKE/count")" != {moment} ] || kill -9 "$PPID"
    """
    attach = (guest.fake / "lxc-attach").read_text()
    guest.tool("lxc-attach", attach.replace('case "$*" in', f'{kill}\ncase "$*" in', 1))
    assert guest.install().returncode == -9
    # what it had begun in the guest ends by itself
    with (guest.fake / "at-work").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    guest.tool("lxc-attach", attach)
    # as the next run does where the journal says that it was interrupted
    assert guest.verb("recover", RUN, "910").stderr == ""
    done = guest.install()
    assert (done.returncode, last(done), guest.keys) == (0, DONE, BOTH)
    record = read_journal(RUN, (guest.run / "journal.jsonl").read_text())
    assert record.open_containers == ()
    things = {str(one.thing): one for one in record.changes if one.stands}
    daemon, packages = things["CT 910 /etc/docker/daemon.json"], things["CT 910 packages"]
    assert (daemon.before, daemon.after) == ("none", sha(guest.daemon_json))
    assert {"docker.io", "docker-cli", "fuse-overlayfs"} == {*packages.packages}


def test_a_commit_that_was_cut_short_is_still_a_commits(tmp_path):
    node = Node(tmp_path)
    node.was_cut_short("intent", conf=(node.run / "910/conf").read_text())
    assert node.recover().stdout.splitlines()[-1] == "CT 910: done"
