"""The owner's own check of a container: what the fleet file may say, and what is staged of it."""

import json

import pytest
from fleet_cases import container, fleet, problem, real

from phoenix.fleet.parse import parse_fleet
from phoenix.pve.health import HealthCheck, Url, parse_url

CURL = "curl -s --fail http://localhost:6333"


def check(**entry):
    return container(health_check=entry).health


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_the_check_of_the_real_files_is_read(name):
    found = [one.health for one in parse_fleet(real(name)).containers.values() if one.health]
    assert found == [HealthCheck(("sh", "-c", CURL), retries=5, interval=5)]


def test_a_text_is_one_argument_of_the_guests_shell_and_a_list_is_a_list():
    odd = "a 'b\" $(reboot) `x`; y\n\tz &"
    assert check(command=odd).argv == ("sh", "-c", odd)
    assert check(command=["-x", "", "$(reboot)"]).argv == ("-x", "", "$(reboot)")


def test_what_the_file_leaves_out_has_a_default():
    assert check(url="http://localhost") == HealthCheck(url="http://localhost")
    assert check(command="true", retries=None, interval=0, timeout=1) == HealthCheck(
        ("sh", "-c", "true"), retries=5, interval=0, timeout=1
    )
    assert container(health_check=None).health is None


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://localhost", Url("http", "localhost", 80, "/")),
        ("https://LOCALHOST/a?b=c&d", Url("https", "localhost", 443, "/a?b=c&d")),
        ("http://127.0.0.1:8080?x", Url("http", "127.0.0.1", 8080, "/?x")),
        ("https://[fe80::1]:8443/", Url("https", "fe80::1", 8443, "/")),
        ("http://[::1]", Url("http", "::1", 80, "/")),
    ],
)
def test_a_url_is_read_in_its_parts(url, parts):
    assert parse_url(url) == parts


@pytest.mark.parametrize(
    ("entry", "member", "says"),
    [
        ("curl http://localhost", "", "an object is expected"),
        ([], "", "an object is expected"),
        ({}, "", "a command or a url is expected"),
        ({"retries": 1}, "", "a command or a url is expected"),
        ({"command": None}, "", "a command or a url is expected"),
        ({"command": "true", "url": "http://localhost"}, "", "one of them, not both"),
        ({"command": ""}, ".command", "a command is expected"),
        ({"command": " \n"}, ".command", "a command is expected"),
        ({"command": []}, ".command", "a command is expected"),
        ({"command": ["", "x"]}, ".command", "a command is expected"),
        ({"command": ["true", 1]}, ".command", "a list of texts is expected"),
        ({"command": 5}, ".command", "a command is expected"),
        ({"command": "a\0b"}, ".command", "control characters"),
        ({"command": "a\x1b[2J"}, ".command", "control characters"),
        ({"command": ["true", "\ud800"]}, ".command", "broken Unicode"),
        ({"command": "x" * 9000}, ".command", "at most 8192 characters"),
        ({"command": ["x"] * 65}, ".command", "at most 8192 characters, and 64 words"),
        ({"url": 5}, ".url", "text is expected"),
        ({"url": "localhost:8080"}, ".url", "write it as in"),
        ({"url": "ftp://localhost/"}, ".url", "write it as in"),
        ({"url": "file:///etc/passwd"}, ".url", "write it as in"),
        ({"url": "http://me:secret@localhost/"}, ".url", "without user"),
        ({"url": "http://localhost/a b"}, ".url", "without user, blanks and #"),
        ({"url": "http://localhost/\r\nX: y"}, ".url", "write it as in"),
        ({"url": "http://localhost/ä"}, ".url", "write it as in"),
        ({"url": "http://pve1.example.org:8006/"}, ".url", "localhost or an address"),
        ({"url": "http://127.1/"}, ".url", "localhost or an address"),
        ({"url": "http://localhost:0/"}, ".url", "from 1 to 65535"),
        ({"url": "http://localhost:65536/"}, ".url", "from 1 to 65535"),
        ({"command": "true", "retries": "5"}, ".retries", "a whole number"),
        ({"command": "true", "retries": -1}, ".retries", "greater than or equal to 0"),
        ({"command": "true", "retries": 101}, ".retries", "less than or equal to 100"),
        ({"command": "true", "interval": 301}, ".interval", "less than or equal to 300"),
        ({"command": "true", "timeout": 0}, ".timeout", "greater than or equal to 1"),
        ({"command": "true", "timeout": True}, ".timeout", "a whole number"),
        ({"command": "true", "retries": 100}, "", "more than 1800 seconds in all"),
    ],
)
def test_what_cannot_be_asked_like_that_is_refused_with_what_to_write(entry, member, says):
    found = problem(health_check=entry)
    assert found.path == f"lxc_configs.910.health_check{member}"
    assert says in found.hint


def test_other_members_stay_and_one_that_is_misspelt_is_warned_of():
    found = fleet(ct910={"health_check": {"command": "true", "retires": 3, "note": "x"}})
    assert found.ignored == (
        "lxc_configs.910.health_check.retires",
        "lxc_configs.910.health_check.note",
    )
    assert found.containers[910].warnings == (
        "lxc_configs.910.health_check.retires: is ignored; is retries meant?",
    )


def test_scripts_of_the_owners_repository_mean_nothing_here():
    found = fleet(ct910={"tests": {"health_checks": [{"type": "script", "path": "x.sh"}]}})
    assert (found.containers[910].health, found.ignored) == (None, ("lxc_configs.910.tests",))


@pytest.mark.parametrize(
    "one",
    [
        HealthCheck(("sh", "-c", "a\n'b'")),
        HealthCheck(url="https://[::1]:8443/x?y", retries=0, interval=0, timeout=300),
    ],
)
def test_what_is_staged_is_read_as_it_was(one):
    assert HealthCheck.parse(one.render()) == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "null",
        "{}",
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "more": 1}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "retries": True}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "retries": 1e3}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "interval": -1}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "argv": "true"}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "argv": [["true"]]}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "argv": []}),
        json.dumps({**json.loads(HealthCheck(("true",)).render()), "url": "http://localhost"}),
        json.dumps({**json.loads(HealthCheck(url="http://x").render())}),
    ],
)
def test_what_is_staged_in_another_form_is_none(text):
    with pytest.raises(ValueError, match=r"."):
        HealthCheck.parse(text)
