"""Docker's own repository in a guest: nothing of it is written before its key is checked."""

import pytest
from fleet_cases import ROOT
from install_guest import InstallGuest

KEY = (ROOT / "tests/recordings/openpgp/key.asc").read_text()
#: What gpg 2.2.40 printed of it.
LISTING = (ROOT / "tests/recordings/openpgp/show-keys.txt").read_text()
FINGERPRINT = "EB01B3C3F76622C142476AF9A08D8F96934FE1AC"
REPO = {"url": "https://192.0.2.1/docker", "key": KEY, "fingerprint": FINGERPRINT}

SOURCES = """\
Types: deb
URIs: https://192.0.2.1/docker
Suites: trixie
Components: stable
Signed-By: /etc/apt/keyrings/phoenix-docker.asc
"""
INI = """\
[phoenix-docker]
name=Docker
baseurl=https://192.0.2.1/docker/$releasever/$basearch/stable
enabled=1
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-phoenix-docker
"""

#: Of the node or of the guest, which runs its scripts with a root of its own.
GPG = """\
if [ "$PHOENIX_ROOT" = "$FAKE/guest" ]; then here=guest; else here=node; fi
[ -e "$FAKE/gpg-$here" ] || exit 127
cat >"$FAKE/key-$here"
case "$*" in *--show-keys*) cat "$FAKE/gpg-$here" ;; esac
"""


@pytest.fixture
def guest(tmp_path):
    guest = InstallGuest(tmp_path)
    guest.tool("gpg", GPG)
    guest.note("gpg-node", LISTING)
    return guest


def install(guest, **parts):
    return guest.install(source="docker-ce", repository={**REPO, **parts})


def why(done):
    assert (done.returncode, done.stderr) == (3, "")
    line = done.stdout.splitlines()[-1]
    assert line.isprintable()
    return line.removeprefix("CT 910: failed: Docker is not installed: ")


def written(guest):
    found = (guest.guest / "etc").rglob("*phoenix-docker*")
    return sorted(f"/{path.relative_to(guest.guest)}" for path in found)


def test_apt_gets_the_key_and_the_sources_that_it_signs_and_docker_from_there(guest):
    assert install(guest).returncode == 0
    assert (guest.fake / "key-node").read_text() == KEY
    assert (guest.guest / "etc/apt/keyrings/phoenix-docker.asc").read_text() == KEY
    sources = guest.guest / "etc/apt/sources.list.d/phoenix-docker.sources"
    assert sources.read_text() == SOURCES
    assert sources.stat().st_mode & 0o777 == 0o644
    assert "ii  docker-ce\n" in (guest.fake / "installed").read_text()


def test_what_an_address_of_https_needs_comes_first_and_the_journal_names_both(guest):
    install(guest)
    events = guest.journaled()[2:]
    assert [events[0], events[1]] == [("intent", "ca-certificates"), ("done", "ca-certificates")]
    assert events[2] == ("intent", events[3][1])
    assert events[3][1].split()[:2] == ["ca-certificates", "docker-ce"]


def test_an_address_without_tls_needs_none(guest):
    install(guest, url="http://192.0.2.1/docker")
    assert "ca-certificates" not in (guest.fake / "installed").read_text()


def test_dnf_gets_a_repository_whose_packages_are_checked(guest):
    guest.is_a("fedora 43", "dnf")
    guest.installed(form="{}")
    guest.available()
    install(guest)
    assert written(guest) == [
        "/etc/pki/rpm-gpg/RPM-GPG-KEY-phoenix-docker",
        "/etc/yum.repos.d/phoenix-docker.repo",
    ]
    assert (guest.guest / "etc/yum.repos.d/phoenix-docker.repo").read_text() == INI


def test_a_repository_that_the_guest_has_is_not_written_again(guest):
    guest.available("docker-ce")
    assert install(guest).returncode == 0
    assert written(guest) == []


def test_another_fingerprint_than_the_keys_is_refused_with_both(guest):
    other = "0" * 40
    assert why(install(guest, fingerprint=other)) == (
        f"the key of docker_repo has the fingerprint {FINGERPRINT}, not {other}: see whose it is"
    )
    assert written(guest) == []


@pytest.mark.parametrize(
    "listing",
    [
        LISTING + LISTING,
        LISTING.replace("pub:", "sub:"),
        LISTING.replace(FINGERPRINT, FINGERPRINT[:-1]),
        LISTING.replace(FINGERPRINT, FINGERPRINT.lower()),
        f"fpr:::::::::{FINGERPRINT}:\n",
        f"uid:-::::1:::fpr:::::::::{FINGERPRINT}:\n",
        "",
        "\x1b[2J",
    ],
)
def test_what_is_not_one_key_with_that_fingerprint_is_refused(guest, listing):
    guest.note("gpg-node", listing)
    assert "docker_repo" in why(install(guest))
    assert written(guest) == []


def test_a_signing_subkey_with_that_fingerprint_is_not_enough(guest):
    other = "A" * 40
    subkey = f"sub:-:255:22:{FINGERPRINT[-16:]}:1795824886:::::s:\nfpr:::::::::{FINGERPRINT}:\n"
    guest.note("gpg-node", LISTING.replace(FINGERPRINT, other) + subkey)
    assert f"has the fingerprint {other}" in why(install(guest))


def test_without_one_on_the_node_the_guests_gpg_is_asked(guest):
    (guest.fake / "gpg-node").rename(guest.fake / "gpg-guest")
    assert install(guest).returncode == 0
    assert (guest.fake / "key-guest").read_text() == KEY
    assert written(guest) != []


def test_without_any_gpg_it_is_refused_with_the_way(guest):
    (guest.fake / "gpg-node").unlink()
    assert why(install(guest)) == (
        "neither this node nor the guest has gpg to check the fingerprint of docker_repo: "
        "apt install gpg on the node"
    )
    assert written(guest) == []


@pytest.mark.parametrize("name", ["", "VERSION_CODENAME='tri xie'", "VERSION_CODENAME=a/../b"])
def test_a_release_without_a_codename_of_its_own_is_refused(guest, name):
    guest.in_guest("/etc/os-release", f"ID=debian\n{name}\n")
    assert "has no codename" in why(install(guest))
    assert written(guest) == []


def test_a_derivative_of_ubuntu_has_the_packages_of_that(guest):
    text = "ID=linuxmint\nVERSION_CODENAME=zara\nUBUNTU_CODENAME=noble\n"
    guest.in_guest("/etc/os-release", text)
    install(guest)
    sources = guest.guest / "etc/apt/sources.list.d/phoenix-docker.sources"
    assert "Suites: noble\n" in sources.read_text()


def test_a_repository_that_has_no_docker_says_so(guest):
    guest.note("in-the-repo")
    found = why(install(guest))
    assert found.startswith("docker_repo (https://192.0.2.1/docker) has no docker-ce")
