"""The tables of the reference, held to the code that they are about."""

import re
from datetime import UTC, datetime
from typing import Literal, get_args, get_origin

import page_cases
import pytest
from fleet_keys import PAGE, page
from test_docs import REPO, blocks, of_subparsers, text_of
from test_first_look import look

from phoenix.apparmor.lint import lint
from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.cli.main import BROKEN_PIPE, INTERRUPTED, _parser, known_templates
from phoenix.fleet.file import ContainerEntry
from phoenix.fleet.permits import PERMISSIONS
from phoenix.plan.confinement import Confinement
from phoenix.plan.doctor import Readiness
from phoenix.plan.doctor_checks import Aspect
from phoenix.plan.doctor_next import Next, next_command
from phoenix.plan.options import FORCES, KEYS, Force, Options
from phoenix.plan.render import render_profile
from phoenix.report.doctor import doctor_data

RECIPES = "docs/reference/recipes.md"


def rows(page, head):
    """The rows of all tables of a page whose first line begins so, each as its cells."""
    found = []
    for table in re.findall(r"(?:^ *\|.*\|\n)+", text_of(page), re.MULTILINE):
        first, _, *lines = table.splitlines()
        if first.strip().split("|")[1].strip() == head:
            found += [[cell.strip() for cell in line.strip()[1:-1].split(" | ")] for line in lines]
    return found


def code(cell):
    """What stands in a cell as code."""
    return re.findall(r"`([^`]+)`", cell)


# --- recipes ------------------------------------------------------------------------------


def test_each_recipe_is_told():
    told = rows(RECIPES, "")
    assert {name for name, _ in told} == {f"`deploys/{name}.py`" for name in KEYS}
    files = {file.stem for file in (REPO / "deploys").glob("[a-z]*.py")}
    assert files == {*KEYS}


def key_rows():
    return [row for row in rows(RECIPES, "`--data`") if len(row) == 2]


def test_each_key_of_data_is_told_once():
    told = [key for cell, _ in key_rows() for key in re.findall(r"`(\w+)=", cell)]
    assert sorted(told) == sorted(Options.model_fields)


def test_which_recipe_takes_which_key_is_told():
    matrix = [row for row in rows(RECIPES, "`--data`") if len(row) > 2]
    taken = {
        name: {code(row[0])[0] for row in matrix if row[index] == "x"}
        for index, name in enumerate(KEYS, 1)
    }
    assert taken == {name: {*keys} for name, keys in KEYS.items()}
    assert f"| `--data` | {' | '.join(f'`{name}`' for name in KEYS)} |\n" in text_of(RECIPES)


def words_of(annotation):
    if get_origin(annotation) is Literal:
        return {str(one) for one in get_args(annotation)}
    return set().union(*map(words_of, get_args(annotation)))


def test_each_word_that_a_key_takes_is_told():
    checked = 0
    for cell, meaning in key_rows():
        (key, value) = code(cell)[0].split("=")
        words = words_of(Options.model_fields[key].annotation)
        told = {part for one in [value, *code(meaning)] for part in re.split("[=,]", one)}
        assert words <= told, key
        checked += bool(words)
    assert checked >= 6


def test_each_word_of_force_is_told_with_who_takes_it():
    told = {code(word)[0]: {*code(takers)} for word, _, takers in rows(RECIPES, "word")}
    assert told == {
        str(word): {name for name, words in FORCES.items() if word in words} for word in Force
    }


def test_each_permission_is_told():
    heads = re.findall(
        r"^## `allow=(\S+)`$", text_of("docs/reference/permissions.md"), re.MULTILINE
    )
    assert heads == [*PERMISSIONS]


# --- exit codes ---------------------------------------------------------------------------


def test_the_exit_codes_of_each_command_are_those_that_its_help_tells():
    told = {}
    command = ""
    for name, number, _ in rows("docs/reference/exit-codes.md", "command"):
        command = name or command
        for one in code(command):
            told.setdefault(one, set()).add(number)
    helped = {
        name: {*re.findall(r"(?:[:,]) (\d+) ", parser.epilog)}
        for name, parser in of_subparsers(_parser()).items()
        # the lab's is its own
        if name != "lab"
    }
    assert told == helped
    assert {f"{INTERRUPTED}", f"{BROKEN_PIPE}"} <= {
        *re.findall(r"\d+", text_of("docs/reference/exit-codes.md"))
    }


# --- the fleet file -----------------------------------------------------------------------


def test_the_tables_of_the_fleet_file_are_those_that_the_models_give():
    assert PAGE.read_text("utf-8") == page(), "run: make reference"


@pytest.mark.parametrize("key", ["storage_driver", "docker_source"])
def test_each_word_of_a_key_about_docker_is_told(key):
    told = {one for cell, _ in rows("docs/guide/docker.md", f"`{key}`") for one in code(cell)}
    assert told == words_of(ContainerEntry.model_fields[key].annotation)


def test_each_profile_is_told():
    told = [code(cell)[0] for cell, _ in rows("docs/guide/profile.md", "profile")]
    assert sorted(told) == known_templates()


def test_each_permission_of_a_profile_is_told():
    allows = words_of(ContainerEntry.model_fields["apparmor_allows"].annotation)
    told = {code(cell)[0] for cell, *_ in rows("docs/apparmor.md", "`apparmor_allows`")}
    assert told == allows
    (guide,) = (text for text in text_of("docs/guide/profile.md").splitlines()
                if "apparmor_allows" in text and text.startswith("|"))  # fmt: skip
    assert all(one in guide for one in allows)


def test_the_template_of_the_guide_is_one_that_lint_has_nothing_against():
    (template,) = (one for one in blocks("docs/guide/own-profile.md", "") if "extends" in one)
    sources = {file.name: file.read_text() for file in (REPO / "templates/apparmor").glob("*.j2")}
    node = ObservedAppArmor(enabled=True, parser=(4, 1, 0), abis=("4.0",))
    text = render_profile(Confinement("lxc-mine"), {**sources, "lxc-mine.j2": template}, node)
    assert lint(text, expected="lxc-mine", abis=node.abis) == ()
    assert "network can raw," in text


# --- what programs say --------------------------------------------------------------------


def test_the_options_of_denials_are_those_of_the_command():
    told = {one for cell, _ in rows("docs/guide/denials.md", "")
            for code_ in code(cell) for one in re.findall(r"--?[a-z]+", code_)}  # fmt: skip
    parser = of_subparsers(_parser())["denials"]
    assert told == {*parser._option_string_actions} - {"-h", "--help"}


def test_each_key_of_a_report_is_told():
    data = page_cases.data(page_cases.report())
    told = rows("docs/reference/report.md", "")
    top = {one.removesuffix("[]") for cell, _ in told for one in code(cell) if one[0] != "."}
    assert top == {*data}
    node = data["nodes"][0]
    names = {one[1:].removesuffix("[]") for cell, _ in told for one in code(cell) if one[0] == "."}
    assert {one for one in names if "." not in one} | {"name", "ok"} == {*node}
    cells = {one: text for cell, text in told for one in code(cell)}
    for place, value in (
        (".containers[]", node["containers"][0]),
        (
            ".containers[].engine",
            next(one["engine"] for one in node["containers"] if one["engine"]),
        ),
        (".findings[]", node["findings"][0]),
        (".denials[]", node["denials"][0]),
        (".versions", node["versions"]),
    ):
        # the engine of a container has a line of its own
        missing = {*value} - {*re.findall(r"\w+", cells[place])} - {"engine"}
        assert missing == set(), place


def test_each_key_of_a_first_look_is_told():
    seen = look()
    data = doctor_data(
        [seen], next_command([seen], Options()), "", datetime(2026, 11, 22, tzinfo=UTC)
    )
    cells = {one: text for cell, text in rows("docs/reference/report.md", "`doctor.json`")
             for one in code(cell)}  # fmt: skip
    node = data["nodes"][0]
    assert {one.removesuffix("[]") for one in cells if one[0] != "."} == {*data}
    below = {one[1:].removesuffix("[]") for one in cells if one[0] == "."}
    assert below | {"name", "ok"} == {*node}
    for place, words in (
        ("next", {*data["next"], *Next}),
        (".checks[]", {*node["checks"][0], *Aspect}),
        (".containers[]", {*node["containers"][0]}),
    ):
        assert words <= {*code(cells[place])}, place


def test_each_state_of_a_first_look_is_told():
    told = [code(cell)[0] for cell, _ in rows("docs/guide/first-look.md", "state")]
    assert told == [*Readiness]
