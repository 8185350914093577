"""Where a container's Docker comes from: `docker_source` and `docker_repo` of the fleet file."""

import jsonschema
import pytest
from fleet_cases import ROOT, container, problem

from phoenix.docker.install import Repository
from phoenix.fleet.schema import fleet_schema

KEY = (ROOT / "tests/recordings/openpgp/key.asc").read_text()
FINGERPRINT = "EB01B3C3F76622C142476AF9A08D8F96934FE1AC"
REPO = {
    "url": "https://example.org/docker/",
    "key": KEY,
    "fingerprint": "eb01 b3c3 F766 22C1 4247  6AF9 A08D 8F96 934F E1AC",
}


def _repo(**parts):
    return {"docker_source": "docker-ce", "docker_repo": {**REPO, **parts}}


@pytest.mark.parametrize("entry", [{}, {"docker_source": "distro"}, {"docker_source": None}])
def test_docker_comes_from_the_guests_own_distribution_unless_the_file_says_otherwise(entry):
    its = container(**entry)
    assert (its.install_source, its.install_repository) == ("distro", None)


@pytest.mark.parametrize("source", ["docker-ce", "keep"])
def test_another_source_is_taken_at_its_word(source):
    assert container(docker_source=source).install_source == source


def test_a_repository_is_read_into_its_plain_form():
    assert container(**_repo()).install_repository == Repository(
        "https://example.org/docker", KEY, FINGERPRINT
    )


@pytest.mark.parametrize("key", [KEY.replace("\n", "\r\n"), f"\n {KEY}\n\n", KEY.strip()])
def test_a_key_may_have_other_line_ends_and_blanks_around_it(key):
    assert container(**_repo(key=key)).install_repository.key == KEY


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8080/docker",
        "https://[2001:db8::1]/docker",
        "https://example.org",
        "https://example.org/a~b/%7Euser/",
    ],
)
def test_an_address_is_one_of_http(url):
    assert container(**_repo(url=url)).install_repository.url == url.rstrip("/")


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("url", "ftp://example.org/", "an address is expected"),
        ("url", "file:///etc", "an address is expected"),
        ("url", "https://", "an address is expected"),
        ("url", "https://-x/", "an address is expected"),
        ("url", "https://example.org/a b", "an address is expected"),
        ("url", "https://example.org/\nSigned-By: x", "an address is expected"),
        ("url", "https://example.org/$(id)", "an address is expected"),
        ("url", "https://example.org/?a=b", "an address is expected"),
        ("url", "https://me:secret@example.org/", "without user and password"),
        ("url", f"https://example.org/{'a' * 1000}", "an address is expected"),
        ("key", "", "one key is expected"),
        ("key", KEY.replace("PUBLIC", "PRIVATE"), "one key is expected"),
        ("key", KEY + KEY, "one key is expected"),
        ("key", KEY.replace("=", "\x1b"), "one key is expected"),
        ("key", KEY.replace("=", "ä"), "one key is expected"),
        ("key", KEY.replace("\n", ""), "one key is expected"),
        ("key", 5, "text is expected"),
        ("fingerprint", FINGERPRINT[8:], "40 hex digits"),
        ("fingerprint", FINGERPRINT + "00", "40 hex digits"),
        ("fingerprint", "x" * 40, "40 hex digits"),
        ("fingerprint", f"{FINGERPRINT}\n", "control characters"),
    ],
)
def test_a_repository_that_is_none_is_refused(part, value, says):
    found = problem(**_repo(**{part: value}))
    assert found.path == f"lxc_configs.910.docker_repo.{part}"
    assert says in found.hint


def test_a_repository_without_its_key_is_refused():
    repo = {"url": REPO["url"], "fingerprint": FINGERPRINT}
    found = problem(docker_source="docker-ce", docker_repo=repo)
    assert (found.path, found.hint) == ("lxc_configs.910.docker_repo.key", "is missing")


@pytest.mark.parametrize("source", [{}, {"docker_source": "distro"}, {"docker_source": "keep"}])
def test_a_repository_that_nothing_would_come_from_is_refused(source):
    found = problem(**{**_repo(), "docker_source": None, **source})
    assert found.path == "lxc_configs.910.docker_repo"
    assert '"docker_source": "docker-ce"' in found.hint


def test_a_source_that_nobody_knows_is_refused():
    assert problem(docker_source="snap").path == "lxc_configs.910.docker_source"


@pytest.mark.parametrize("part", ["url", "key", "fingerprint"])
def test_the_schema_underlines_a_wrong_repository(part):
    validator = jsonschema.Draft202012Validator(fleet_schema())
    assert validator.is_valid({"lxc_configs": {"910": _repo()}})
    assert not validator.is_valid({"lxc_configs": {"910": _repo(**{part: "x"})}})
