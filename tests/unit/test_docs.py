"""What the pages name is there: paths, names in modules, commands, targets of make, keys."""

import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from phoenix.cli.main import _parser
from phoenix.plan.options import KEYS, Options, parse_options

REPO = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(
    str(page.relative_to(REPO)) for page in (REPO / "docs").rglob("*.md")
)]  # fmt: skip
PATH = re.compile(
    r"(?:phoenix|node|facts|operations|deploys|templates|lab|tests|bench|docs)/[\w./-]*"
)


def text_of(page):
    return (REPO / page).read_text()


def commands():
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", text_of(page), re.DOTALL):
            for line in re.findall(r"^\$ (.+)$", block, re.MULTILINE):
                # brackets say what may be left out
                if "[" not in line:
                    yield shlex.split(line, comments=True)


@pytest.mark.parametrize("page", PAGES)
def test_a_path_of_the_repository_that_a_page_names_is_there(page):
    named = {one for one in re.findall(r"`([^`\n]+)`", text_of(page)) if PATH.fullmatch(one)}
    # NAME and CTID stand for any
    named = {one for one in named if not re.search(r"NAME|CTID", one)}
    # a module may stand without its suffix, as packages do
    left = [one for one in sorted(named) if not (REPO / one).exists()]
    assert [one for one in left if not (REPO / f"{one}.py").exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_link_within_the_repository_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page)):
        assert ((REPO / page).parent / link).exists(), link


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


def test_each_command_that_a_page_shows_is_one():
    makes = set(re.findall(r"^([\w./-]+)(?: [\w./ -]+)?:", text_of("Makefile"), re.MULTILINE))
    makes |= {word for line in re.findall(r"^([\w -]+):", text_of("Makefile"), re.MULTILINE)
              for word in line.split()}  # fmt: skip
    seen = set()
    for words in commands():
        program = words[0].rpartition("/")[2]
        seen.add(program)
        if program == "phoenix":
            assert _parser().parse_args(words[1:])
        elif program == "pyinfra":
            recipe = next(word for word in words if word.startswith("deploys/"))
            assert (REPO / recipe).exists()
            given = [after for word, after in pairwise(words) if word == "--data"]
            parse_options(dict(pair.split("=") for pair in given), Path(recipe).stem)
        elif program == "make":
            assert {*words[1:]} <= makes, words
    assert {"phoenix", "pyinfra", "make"} <= seen


def test_the_version_is_that_of_the_newest_changes_or_of_what_comes_next():
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    headings = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    release, is_next, _ = version.partition(".dev0")
    assert headings[0] == ("Unreleased" if is_next else release)
    assert headings.count(release) == (0 if is_next else 1)


def test_each_key_of_data_is_in_the_manual():
    table = text_of("docs/manual.md").partition("| `--data` |")[2].partition("\n\n")[0]
    named = {key for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
             for key in re.findall(r"`(\w+)=", cell)}  # fmt: skip
    assert named == {*Options.model_fields} == {key for keys in KEYS.values() for key in keys}
