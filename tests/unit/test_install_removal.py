"""What an installation has brought goes again, by the rollback of its run."""

import pytest
from install_guest import RUN, InstallGuest, last
from script_node import sha


@pytest.fixture
def guest(tmp_path):
    return InstallGuest(tmp_path)


@pytest.fixture
def equipped(guest):
    """One that a run has brought Docker."""
    assert guest.install().returncode == 0
    guest.tool("docker", "exit 1")
    return guest


CAME = ["docker.io", "docker-cli", "fuse-overlayfs"]


def remove(guest, text=None, names=CAME, after=None):
    after = after or sha(guest.daemon_json)
    request = {"packages": names, "docker": {"after": after, "text": text}}
    return guest.verb("packages", "remove", "910", RUN, "apt", request=request)


def test_docker_goes_whole_and_its_daemon_json_last(equipped):
    equipped.in_guest("/etc/apt/keyrings/phoenix-docker.asc", "a key")
    done = remove(equipped)
    assert (done.returncode, last(done)) == (
        0,
        "CT 910: removed: docker.io docker-cli fuse-overlayfs",
    )
    assert "dpkg --purge docker.io docker-cli fuse-overlayfs" in equipped.calls
    assert equipped.daemon_json is None
    assert not (equipped.guest / "etc/apt/keyrings/phoenix-docker.asc").exists()


def test_a_daemon_json_that_was_there_before_goes_back(equipped):
    assert remove(equipped, text="{ }\n").returncode == 0
    assert equipped.daemon_json == "{ }\n"


def test_one_that_somebody_has_changed_stays(equipped):
    after = sha(equipped.daemon_json)
    equipped.in_guest("/etc/docker/daemon.json", '{"debug": true}')
    done = remove(equipped, after=after)
    assert (done.returncode, equipped.daemon_json) == (0, '{"debug": true}')
    assert "was changed since and is left as it is" in done.stdout


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("containers/abc/config.v2.json", "1 containers are there"),
        ("volumes/data/_data/x", "1 volumes are there"),
        ("image/overlay2/imagedb/content/sha256/abc", "1 images are there"),
        ("fuse-overlayfs/abc/diff/x", "1 layers of fuse-overlayfs are there"),
    ],
)
def test_a_docker_that_holds_anything_stays_and_so_does_its_daemon_json(equipped, path, says):
    equipped.in_guest(f"/var/lib/docker/{path}", "")
    text = equipped.daemon_json
    done = remove(equipped)
    assert (done.returncode, equipped.daemon_json) == (2, text)
    assert last(done) == f"CT 910: refused: Docker stays: {says}"
    assert equipped.asked_for("dpkg --purge") == []


def test_a_docker_that_held_nothing_has_folders_and_goes(equipped):
    for path in ("volumes/metadata.db", "fuse-overlayfs/l/x", "image/overlay2/repositories.json"):
        equipped.in_guest(f"/var/lib/docker/{path}", "")
    assert remove(equipped).returncode == 0


def test_of_an_installation_that_was_cut_short_daemon_json_goes_alone(equipped):
    assert remove(equipped, names=[]).returncode == 0
    assert equipped.daemon_json is None
    done = remove(equipped, names=[], after="none")
    assert (done.returncode, equipped.asked_for("dpkg --purge")) == (0, [])


@pytest.mark.parametrize("docker", [5, {}, {"after": "x"}, {"after": "none", "text": 5}])
def test_a_removal_that_is_none_is_refused(equipped, docker):
    calls = equipped.calls
    request = {"packages": CAME, "docker": docker}
    done = equipped.verb("packages", "remove", "910", RUN, "apt", request=request)
    assert (done.returncode, done.stderr, equipped.calls) == (2, "", calls)
