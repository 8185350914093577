"""What the pages name is there: paths, links, names in modules, commands, keys, fleet files."""

import argparse
import json
import re
import shlex
import textwrap
import tomllib
from contextlib import chdir
from itertools import pairwise
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lab.cli import _parser as lab_parser
from phoenix.cli.main import _parser, known_templates, main
from phoenix.fleet.parse import parse_fleet
from phoenix.fleet.schema import fleet_schema
from phoenix.plan.options import KEYS, Options, OptionsError, parse_options

REPO = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(
    str(page.relative_to(REPO)) for page in (REPO / "docs").rglob("*.md")
)]  # fmt: skip
GUIDE = [page for page in PAGES if page.startswith("docs/guide/")]
PATH = re.compile(
    r"(?:phoenix|node|facts|operations|deploys|templates|lab|tests|bench|docs)/[\w./-]*"
)
#: What a page may have a reader type, on their own machine.
PROGRAMS = {"phoenix", "pyinfra", "make", "pipx", "ssh", "export", "cp", "echo"}
PYINFRA = {"--dry", "-y", "-v", "--json", "--data", "--limit"}


def text_of(page):
    return (REPO / page).read_text()


def blocks(page, language):
    """The blocks of a language, also those that are part of a list."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text_of(page), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, name, block in found if name == language]


def commands(page):
    """Each command that a page shows, as words, with the lines that it answers."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *answer = part.splitlines()
            # brackets say what may be left out
            if "[" not in line:
                yield shlex.split(line, comments=True), answer


def inline(page):
    """What stands in a page's text as code, blocks aside."""
    text = re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


def anchors(page):
    """The places of a page that a link may name, as GitHub calls them."""
    heads = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


# --- paths and links ----------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_path_of_the_repository_that_a_page_names_is_there(page):
    named = {one for one in re.findall(r"`([^`\n]+)`", text_of(page)) if PATH.fullmatch(one)}
    # NAME and CTID stand for any
    named = {one for one in named if not re.search(r"NAME|CTID", one)}
    # a module may stand without its suffix, as packages do
    left = [one for one in sorted(named) if not (REPO / one).exists()]
    assert [one for one in left if not (REPO / f"{one}.py").exists()] == []


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_a_link_within_the_repository_leads_somewhere(page):
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text_of(page)):
        target = ((REPO / page).parent / link).resolve() if link else REPO / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.relative_to(REPO)), f"{link}#{anchor}"


def test_each_page_is_in_the_index():
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text_of("docs/README.md")))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert linked == pages - {"README.md"}


def test_a_page_that_the_code_names_is_there():
    files = [
        file
        for folder in ("phoenix", "node", "facts", "operations", "deploys", "templates", "lab")
        for file in (REPO / folder).rglob("*")
        if file.suffix in (".py", ".j2", ".sh")
    ]
    named = {one for file in files for one in re.findall(r"\bdocs/[\w./-]+\.md", file.read_text())}
    assert len(named) >= 4
    assert [one for one in sorted(named) if not (REPO / one).exists()] == []


@pytest.mark.parametrize("page", GUIDE)
def test_a_page_of_the_guide_is_short_shows_commands_and_says_what_can_go_wrong(page):
    assert len(text_of(page).splitlines()) <= 160
    assert [*commands(page)]
    heads = re.findall(r"^## .*(?:go(?:es)? wrong|may not know)$", text_of(page), re.MULTILINE)
    # of these two there is nothing to say beyond what the page says anyway
    assert heads or Path(page).name in ("watch.md", "lab.md", "docker.md")


# --- names --------------------------------------------------------------------------------


def test_what_a_walk_names_of_a_module_is_in_it():
    walks = text_of("CONTRIBUTING.md").partition("## Walks")[2]
    found = re.findall(r"`((?:phoenix|node|operations)/[\w/]+\.py)`:? [^`\n]*`(\w+)`", walks)
    assert len(found) > 8
    for path, name in found:
        assert re.search(rf"\b{name}\b", text_of(path)), f"{path}: {name}"


def test_the_tests_that_a_walk_names_are_there():
    walks = text_of("CONTRIBUTING.md").partition("## Walks")[2]
    for name in re.findall(r"`(\w+\.py)`", walks):
        assert [*REPO.glob(f"tests/*/{name}")], name


# --- commands -----------------------------------------------------------------------------


def make_targets():
    makes = set(re.findall(r"^([\w./-]+)(?: [\w./ -]+)?:", text_of("Makefile"), re.MULTILINE))
    return makes | {
        word for line in re.findall(r"^([\w -]+):", text_of("Makefile"), re.MULTILINE)
        for word in line.split()
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_each_command_that_a_page_shows_is_one(page):
    for words, _ in commands(page):
        program = words[0].rpartition("/")[2]
        assert program in PROGRAMS, words
        if program == "phoenix" and words[1] == "lab":
            assert lab_parser().parse_args(words[2:])
        elif program == "phoenix":
            given = _parser().parse_args([one for one in words[1:] if not one.startswith(">")])
            data = {key: as_data(value) for key, value in getattr(given, "data", ())}
            if data:
                parse_options(data, words[1].replace("-", "_"))
        elif program == "pyinfra":
            assert words[1] == "inventory.py"
            assert (REPO / words[2]).exists(), words
            assert {one for one in words if one.startswith("-")} <= PYINFRA, words
            given = [after for word, after in pairwise(words) if word == "--data"]
            data = {key: as_data(value) for key, _, value in (one.partition("=") for one in given)}
            parse_options(data, Path(words[2]).stem)
        elif program == "make":
            assert {*words[1:]} <= make_targets(), words


def test_the_version_is_that_of_the_newest_changes_or_of_what_comes_next():
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    headings = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    release, is_next, _ = version.partition(".dev0")
    assert headings[0] == ("Unreleased" if is_next else release)
    assert headings.count(release) == (0 if is_next else 1)


def test_pages_show_commands_of_each_kind():
    seen = {words[0].rpartition("/")[2] for page in PAGES for words, _ in commands(page)}
    assert seen == PROGRAMS


def of_subparsers(parser):
    (action,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return action.choices


@pytest.mark.parametrize("page", PAGES)
def test_a_command_in_the_text_of_a_page_has_its_subcommand_and_its_options(page):
    for code in inline(page):
        program, *words = code.split()
        if program != "phoenix" or words in ([], ["lab"]):
            continue
        parsers = of_subparsers(lab_parser() if words[0] == "lab" else _parser())
        name, *rest = words[1:] if words[0] == "lab" else words
        for one in name.split("|"):
            assert one in parsers, code
            # what stands after -- is the guest's own
            options = [word for word in rest[: (*rest, "--").index("--")] if word[:1] == "-"]
            assert {*options} <= {*parsers[one]._option_string_actions}, code


@pytest.mark.parametrize("page", PAGES)
def test_a_key_of_data_in_the_text_of_a_page_is_one_and_takes_its_value(page):
    for code in inline(page):
        for data, key, value in re.findall(r"(--data |^)([a-z_]+)=(\S*)", code):
            if not data and key not in Options.model_fields:
                continue
            recipes = [name for name, keys in KEYS.items() if key in keys]
            named = [one for one in recipes if re.match(rf"(deploys/)?{one}(\.py)? ", code)]
            assert recipes, code
            # what stands for any value, such as TIME
            if value and not re.search(r"[A-Z]{2}|…|\.\.\.", value):
                assert any(takes(recipe, key, value) for recipe in named or recipes), code


def takes(recipe, key, value):
    try:
        return parse_options({key: as_data(value)}, recipe)
    except OptionsError:
        return None


def as_data(text):
    """As pyinfra reads the value of --data."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- files --------------------------------------------------------------------------------


def fleet_of(block):
    """The fleet file of a block, of which a page may show the one container, or its keys."""
    shown = json.loads(block if block.startswith("{") else f"{{{block}}}")
    if "lxc_configs" in shown:
        return shown
    if all(key.isdecimal() for key in shown):
        return {"lxc_configs": shown}
    return None if block.startswith("{") else {"lxc_configs": {"910": shown}}


@pytest.mark.parametrize("page", PAGES)
def test_a_fleet_file_that_a_page_shows_is_one_without_a_warning(page):
    for block in blocks(page, "json"):
        if fleet := fleet_of(block):
            Draft202012Validator(fleet_schema()).validate(fleet)
            parsed = parse_fleet(json.dumps(fleet).encode(), known_templates())
            told = [*parsed.warnings, *(w for c in parsed.containers.values() for w in c.warnings)]
            assert [one for one in told if "no containers in here" not in one] == []


def test_pages_show_fleet_files():
    shown = [page for page in PAGES for block in blocks(page, "json") if fleet_of(block)]
    assert len(shown) >= 8


@pytest.mark.parametrize(
    ("page", "command"), [("first-container", "check"), ("unconfined", "adopt")]
)
def test_what_phoenix_answers_is_what_the_page_shows(page, command, tmp_path, capfd):
    page = f"docs/guide/{page}.md"
    words, shown = next(
        (words, answer) for words, answer in commands(page) if words[1:2] == [command] and answer
    )
    text = blocks(page, "json")[0] if command == "check" else before(shown)
    with chdir(tmp_path):
        Path(words[2]).write_text(text)
        assert main(words[1:]) == 0
    out, err = capfd.readouterr()
    assert [*out.splitlines(), *err.splitlines()] == shown


def before(diff):
    """The file that a diff is about, of which it leaves out the first two lines."""
    lines = [line[1:] for line in diff[3:-1] if not line.startswith("+")]
    return "\n".join(["{", '    "lxc_configs": {', *lines, ""])
