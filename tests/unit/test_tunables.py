"""Tunables files: the right line is named, and only that line is repaired."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix.apparmor.tunables import diagnose, repair, variables_set

#: tunables/home of Debian 13 (AppArmor 4.1), its comments shortened.
SOUND = """\
# Copyright (C) 2006-2009 Novell/SUSE

# @{HOMEDIRS} is a space-separated list of where user home directories
# are stored
@{HOMEDIRS}=/home/

# @{HOME} is a space-separated list of all user home directories.
@{HOME}=@{HOMEDIRS}/*/ /root/

# Also, include files in tunables/home.d for site-specific adjustments
include if exists <tunables/home.d>
"""
LINE = "@{HOMEDIRS}=/home/"

#: what stands where `@{HOMEDIRS}=/home/` stood, what it becomes, why it is wrong
MEASURED = [
    ("{HOMEDIRS}=/home/", LINE, "the @ is missing"),
    ("HOMEDIRS=/home/", LINE, "the @ and { and } are missing"),
    ("@HOMEDIRS=/home/", LINE, "the { and } are missing"),
    ("@{HOMEDIRS=/home/", LINE, "the } is missing"),
    ("@HOMEDIRS}=/home/", LINE, "the { is missing"),
    ("@{HOMEDIRS} /home/", LINE, "the = is missing"),
    ("{HOMEDIRS} /home/", LINE, "the @ is missing; the = is missing"),
    ("@{HOMEDIRS}=/home/,", LINE, "an assignment ends without a comma"),
    ("  {HOMEDIRS} = /home/ /srv/", "  @{HOMEDIRS} = /home/ /srv/", "the @ is missing"),
]

#: lines behind the sound file that break it, and what they become
BEHIND = [
    ("HOMEDIRS+=/srv/", "@{HOMEDIRS}+=/srv/", "the @ and { and } are missing"),
    (
        "@{HOMEDIRS}=/srv/",
        "@{HOMEDIRS}+=/srv/",
        "line 5 sets @{HOMEDIRS} already: extend it with +=",
    ),
    (
        "HOMEDIRS=/srv/",
        "@{HOMEDIRS}+=/srv/",
        "the @ and { and } are missing; line 5 sets @{HOMEDIRS} already: extend it with +=",
    ),
]

#: nothing that we could guess, and what is said of it
BEYOND_REPAIR = [
    ("@{HOMEDIRS}=", "it has no value"),
    ("@{HOMEDIRS} = ,", "an assignment ends without a comma; it has no value"),
    ('@{HOMEDIRS}=/home/ "/srv', "a quote is not closed"),
    ("@{HOMEDIRS}=/home/\n/srv/", "neither a comment, nor an include, nor @{NAME}=VALUE"),
    ("@{HOMEDIRS}+=/srv/\n@{HOMEDIRS}=/home/", "move it below line 6, which sets @{HOMEDIRS}"),
]


def broken(line):
    return SOUND.replace(LINE, line, 1)


@pytest.mark.parametrize(("line", "repaired", "why"), MEASURED)
def test_a_broken_line_is_named_and_only_it_is_repaired(line, repaired, why):
    (found,) = diagnose(broken(line))
    assert (found.line, found.text, found.repaired, found.why) == (5, line, repaired, why)
    assert repair(broken(line)) == broken(repaired)


@pytest.mark.parametrize(("line", "repaired", "why"), BEHIND)
def test_a_second_line_for_a_variable_extends_it(line, repaired, why):
    (found,) = diagnose(f"{SOUND}{line}\n")
    assert (found.line, found.text, found.repaired, found.why) == (12, line, repaired, why)
    assert repair(f"{SOUND}{line}\n") == f"{SOUND}{repaired}\n"


@pytest.mark.parametrize(("lines", "why"), BEYOND_REPAIR)
def test_what_cannot_be_guessed_is_named_and_left(lines, why):
    (found,) = diagnose(broken(lines))
    assert (found.repaired, found.why) == (None, why)
    assert repair(broken(lines)) == broken(lines)


def test_a_variable_that_nothing_sets_comes_in_front_of_the_include():
    text = SOUND.replace(f"{LINE}\n", "")
    (found,) = diagnose(text)
    assert (found.line, found.text, found.repaired) == (10, "", LINE)
    assert repair(text).splitlines()[8:] == [
        "# Also, include files in tunables/home.d for site-specific adjustments",
        LINE,
        "include if exists <tunables/home.d>",
    ]


def test_a_variable_that_is_only_extended_is_set_in_front_of_that():
    assert repair(broken("HOMEDIRS+=/srv/")) == broken(f"{LINE}\n@{{HOMEDIRS}}+=/srv/")


@pytest.mark.parametrize("end", ["", "\n"])
def test_variables_of_a_file_without_includes_go_to_its_end(end):
    assert repair(f"# nothing{end}") == f"# nothing\n@{{HOME}}=@{{HOMEDIRS}}/*/ /root/\n{LINE}\n"


@pytest.mark.parametrize(
    "text",
    [
        SOUND,
        SOUND.replace("\n", "\r\n"),
        SOUND.rstrip("\n"),
        broken("@HOMEDIRS = /home/"),
        broken(f"{LINE} # the homes"),
        broken('@{HOMEDIRS}="/home/of all/" /srv/'),
        f"{SOUND}@{{HOMEDIRS}}+=/srv/\n${{IS_SITE}}=true\nalias / -> /mnt/,\n",
    ],
)
def test_a_sound_file_is_left_as_it_is(text):
    assert diagnose(text) == ()
    assert repair(text) == text


def test_line_ends_and_odd_bytes_stay():
    text = broken("{HOMEDIRS}=/home/").replace("\n", "\r\n") + "# caf\udce9 \x0b\x1c"
    assert repair(text) == text.replace("{HOMEDIRS}=/home/", LINE)


def test_in_a_site_file_what_home_sets_is_extended():
    (found,) = diagnose("# ours\n@{HOMEDIRS}=/srv/\n", {}, variables_set(SOUND))
    assert (found.line, found.repaired) == (2, "@{HOMEDIRS}+=/srv/")
    assert diagnose("@{HOMEDIRS}+=/srv/\n", {}, variables_set(SOUND)) == ()


COMMENT = st.text(st.characters(blacklist_characters="\n\r"), max_size=20).map("# {}".format)
PLACES = st.sampled_from(["/srv/", "/home/ /srv/", '"/a b/"', "@{PROC}/x", "{/a,/b}/", "/x#"])
ASSIGNMENTS = st.builds("@{{{}}}{}{}".format, st.just("HOMEDIRS"), st.just("+="), PLACES)
SITE = st.lists(COMMENT | ASSIGNMENTS | st.sampled_from(["", "  ", "include <tunables/home.d>"]))


@given(SITE, st.sampled_from(["\n", "\r\n"]))
def test_repairing_any_sound_file_changes_nothing(lines, end):
    text = end.join([*SOUND.splitlines(), *lines])
    assert repair(text) == text


@given(st.lists(st.sampled_from([line for line, _, _ in MEASURED + BEHIND] + SOUND.splitlines())))
def test_any_heap_of_repairable_lines_is_sound_once_repaired(lines):
    text = "\n".join(lines)
    if all(one.repaired is not None for one in diagnose(text)):
        assert diagnose(repair(text)) == ()


@given(st.text(st.sampled_from('@{}HOMEDIRS+=/ "#,\n\r\\$') | st.characters()))
def test_no_text_is_too_odd(text):
    again = repair(text)
    assert repair(again) == again
    kept = [line for line in text.split("\n") if line in again.split("\n")]
    assert len(kept) >= len(text.split("\n")) - len(diagnose(text))


BASE = Path("/etc/apparmor.d")


@pytest.mark.usefixtures("parser")
@pytest.mark.skipif(not (BASE / "tunables/home").exists(), reason="apparmor is not installed")
class TestTheRealParser:
    @pytest.fixture
    def compiles(self, parser, tmp_path):
        shutil.copytree(BASE / "tunables", tmp_path / "tunables")
        profile = "include <tunables/global>\nprofile x { @{HOME}/** r, @{HOMEDIRS}/** r, }\n"

        def ask(home):
            (tmp_path / "tunables/home").write_text(home)
            command = [parser, "--base", tmp_path, "-Q", "-K", "-T"]
            done = subprocess.run(command, input=profile, capture_output=True, text=True)
            return done.returncode == 0

        return ask

    @pytest.mark.parametrize(
        "text",
        [broken(line) for line, _, _ in MEASURED]
        + [f"{SOUND}{line}\n" for line, _, _ in BEHIND]
        + [SOUND.replace(f"{LINE}\n", "")],
    )
    def test_it_refuses_what_is_diagnosed_and_takes_the_repair(self, compiles, text):
        assert not compiles(text)
        assert compiles(repair(text))

    @pytest.mark.parametrize("lines", [lines for lines, _ in BEYOND_REPAIR])
    def test_it_refuses_what_is_left_too(self, compiles, lines):
        assert not compiles(broken(lines))

    def test_nothing_is_wrong_with_the_files_that_come_with_it(self):
        for file in (BASE / "tunables").rglob("*"):
            if file.is_file():
                assert diagnose(file.read_text(errors="surrogateescape"), {}) == ()
