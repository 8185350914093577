"""What shells complete of `phoenix`: that of the parsers, and what bash makes of it."""

import subprocess

import pytest

from tests.unit.completion import FILES, completion

#: The words of a command line, the last of them unfinished, as bash gives them to the function.
TAB = """\
source "$1" && shift
read -ra registered <<<"$(complete -p phoenix)"
COMP_WORDS=(phoenix "$@") COMP_CWORD=$#
"${registered[-2]}" && printf '%s\\n' "${COMPREPLY[@]}"
"""
FLEET = '{"lxc_configs": {"910": {}, "952": {"vmid": 700}, "1000": {}}, "apart": ["953"]}'


@pytest.mark.parametrize("shell", FILES)
def test_the_file_for_a_shell_is_that_of_the_parsers(shell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert FILES[shell].read_text("utf-8") == completion(shell), "run: make reference"


@pytest.fixture
def offered(tmp_path):
    """What bash offers in a folder with a fleet file and a folder."""
    (tmp_path / "phoenix_lxc_configs.json").write_text(FLEET)
    (tmp_path / "profiles.d").mkdir()

    def offered(*words):
        ended = subprocess.run(
            ["bash", "--norc", "-c", TAB, "bash", FILES["bash"], *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout.split()

    return offered


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["ha"], ["harden"]),
        (["ho"], ["host-prep"]),
        (["harden", "root@pve1", "--d"], ["--data", "--dry"]),
        (["adopt", "--scope", ""], ["all", "docker"]),
        (["check", "ph"], ["phoenix_lxc_configs.json"]),
        (["audit", "--fleet", "ph"], ["phoenix_lxc_configs.json"]),
        (["lint", "--base", ""], ["profiles.d"]),
        (["lab", "st"], ["status"]),
        (["lab", "up", "--stack", "c"], ["current"]),
    ],
)
def test_bash_offers_the_commands_the_options_and_what_they_take(offered, words, offers):
    assert offered(*words) == offers


def test_it_offers_the_containers_of_the_fleet_file_that_lies_there(offered):
    assert offered("learn", "") == ["910", "952", "1000"]
    assert offered("harden", "--only", "91") == ["910"]


def test_after_a_comma_it_offers_another_container(offered):
    assert offered("harden", "--only", "910,9") == ["910,910", "910,952"]


def test_where_no_fleet_file_lies_it_offers_no_container(offered, tmp_path):
    (tmp_path / "phoenix_lxc_configs.json").unlink()
    assert offered("learn", "") == []
