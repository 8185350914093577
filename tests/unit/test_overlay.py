"""What may stand in a container's overlay, what never, and the profile that has it."""

import re
import subprocess

import pytest
from overlay_cases import GOOD, MALFORMED, NAME, NEVER, OLD, flaws, profile
from test_apparmor import NEW, TEMPLATES

from phoenix.apparmor.lint import lint
from phoenix.apparmor.overlay import (
    CAPABILITIES,
    MOST_BYTES,
    MOVED,
    PLACES,
    SOCKETS,
    beaten,
    flaw,
    read_overlay,
    rules,
)
from phoenix.apparmor.profile_text import read_profiles
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import ProfileError, profile_names, render_profile

BASE = TEMPLATES["base.j2"]


def test_every_kind_of_rule_and_any_comment_is_taken():
    assert flaws(*GOOD) == []
    assert len(rules(GOOD)) == len([line for line in GOOD if line and line[0] != "#"])


@pytest.mark.parametrize("line", NEVER)
def test_what_must_never_be_is_refused_with_the_reason(line):
    assert NEVER[line] in flaw(line)


@pytest.mark.parametrize("line", MALFORMED)
def test_what_is_no_rule_of_the_grammar_is_refused_with_the_reason(line):
    assert MALFORMED[line] in flaw(line)


def test_all_that_is_wrong_is_told_at_once_with_its_line():
    found = flaws("# fine", "mount,", "/srv/a r,", "userns,")
    assert [line for line, _ in found] == [2, 4]


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"/srv/a r,\n/srv/\xff r,\n", 2, "not UTF-8"),
        (b"#" * (MOST_BYTES + 1), 1, "larger than"),
        (b"/srv/a r,\n\x00", 2, "cannot be printed"),
        (b"\xef\xbb\xbf/srv/a r,", 1, "cannot be printed"),
    ],
)
def test_a_file_that_is_no_text_is_refused(data, line, why):
    (found,) = read_overlay(data)[1]
    assert found.line == line
    assert why in found.why


def test_line_ends_of_either_kind_are_taken():
    assert read_overlay(b"/srv/a r,\r\n\r\n# x\r\n") == (("/srv/a r,", "", "# x"), ())
    assert read_overlay(b"") == read_overlay(b"\n \n") == ((), ())


# --- what base.j2 says, said once more here -------------------------------------------------------


def test_the_capabilities_are_those_that_the_base_template_grants():
    granted = {rule.words[1] for rule in _base() if rule.words[0] == "capability"}
    assert granted == CAPABILITIES
    left_out = re.search(r"Left out on purpose:(.*?)\n\{%", BASE, re.DOTALL)[1]
    assert not {*re.findall(r"[a-z]+_[a-z_]+|bpf|perfmon|syslog", left_out)} & CAPABILITIES


def test_the_families_of_sockets_are_those_that_the_base_template_grants():
    assert {rule.words[1] for rule in _base() if rule.words[0] == "network"} == {*SOCKETS}


def test_the_places_to_which_anything_may_be_moved_are_those_of_the_base_template():
    (places,) = re.findall(r"^@\{moved\} = /\{(.*)\}$", BASE, re.MULTILINE)
    assert places.split(",") == [*MOVED]


def test_the_variables_are_set_by_the_base_template():
    read = read_profiles(profile(["/srv/@{dkr_id} r,"]))
    assert {f"@{{{name}}}" for name in read.variables} >= {*PLACES, "@{dkr_id}"}


def _base():
    return read_profiles(render_profile(Confinement(NAME), TEMPLATES, OLD)).profiles[0].rules


# --- the profile ----------------------------------------------------------------------------------


@pytest.mark.parametrize("template", profile_names(TEMPLATES))
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("mode", ["enforce", "complain"])
def test_it_stands_last_in_every_form_of_every_profile_and_compiles(
    template, stacked, mode, parser, tmp_path
):
    version = subprocess.run([parser, "--version"], capture_output=True, text=True, check=True)
    node = OLD if "version 3." in version.stdout else NEW
    text = profile(GOOD, template, node, stacked=stacked, mode=mode)
    assert text.endswith("\n".join(f"  {line}".rstrip() for line in GOOD) + "\n}\n")
    form = Confinement(template, stacked, mode, 910).profile
    found = lint(text, expected=form, abis=node.abis, docker=True, warnings=False)
    assert found == ()
    file = tmp_path / "profile"
    file.write_text(text)
    compiled = subprocess.run([parser, "-Q", "-K", "-T", file], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr


def test_a_profile_without_one_is_what_it_was():
    text = profile([], allows=("binfmt",))
    assert "dkr_id" not in text
    assert "reviewed" not in text


def test_comments_alone_are_there_too():
    assert "\n  # nothing yet\n}\n" in profile(["# nothing yet"])


ALONE = """profile {{ name }} flags=({{ flags }}) {
  deny capability net_raw,
  deny /srv/secret/** rwx,
  /srv/** rw,
  {% include "overlay.j2" %}
}
"""


def rendered(*overlay, source=ALONE):
    sources = {**TEMPLATES, "lxc-mine.j2": source}
    return render_profile(Confinement("lxc-mine", own=910, overlay=overlay), sources, NEW)


def test_a_template_of_ones_own_has_a_place_for_it():
    assert "\n  /srv/a r,\n" in rendered("/srv/a r,")
    with pytest.raises(ProfileError, match=r'no place for profiles.d/910.rules.*"overlay\.j2"'):
        rendered("/srv/a r,", source="profile {{ name }} { file, }\n")


def test_a_variable_that_the_template_lacks_is_named():
    with pytest.raises(ProfileError, match=r"sets no @\{dkr_data\}: write the path out"):
        rendered("@{dkr_data}/x r,")


@pytest.mark.parametrize("rule", ["capability net_raw,", "/srv/secret/a r,"])
def test_a_rule_that_a_deny_of_the_template_beats_is_said_so(rule):
    with pytest.raises(ProfileError, match=r"does nothing, `deny .*` of lxc-mine\.j2 beats it"):
        rendered(rule)


def test_a_deny_that_says_something_else_beats_nothing():
    assert [*beaten(rules(["/srv/other r,", "capability chown,"]), rendered())] == []
