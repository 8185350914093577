"""The man page: that of the parser, and one that shows as it was meant."""

import shutil
import subprocess

import pytest

from tests.unit.man_page import PAGE, page


def test_the_page_is_that_of_the_parser():
    assert PAGE.read_text("utf-8") == page(), "run: make reference"


def test_the_width_and_the_colours_of_the_terminal_are_not_in_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert PAGE.read_text("utf-8") == page()


@pytest.fixture(scope="module")
def shown():
    """The page in a terminal, as lines without what pads them; nothing in it is complained of."""
    if not shutil.which("groff"):
        pytest.skip("no groff on this machine: apt install groff-base")
    words = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=300n", PAGE]
    ended = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    return [" ".join(line.split()) for line in ended.stdout.replace("\N{HYPHEN}", "-").splitlines()]


def test_it_shows_how_a_command_is_written(shown):
    line = "phoenix adopt [-h] [--profile NAME] [--only CTID,…] [--except CTID,…]"
    assert f"{line} [--scope {{all,docker}}] [--write] FILE" in shown


def test_it_shows_what_an_option_and_an_exit_status_mean(shown):
    assert "--only CTID,…" in shown
    assert shown[shown.index("--only CTID,…") + 1].startswith("these containers and no others")
    assert "exit status: 0 done, 1 failed, 2 the file or the command line is wrong" in shown


def test_the_quotes_of_a_text_are_shown_as_they_are(shown):
    described = next(line for line in shown if line.startswith("Print the JSON Schema"))
    assert """in the file's "$schema" key""" in described
