"""node/rules.py with a parser that takes what has no "bad" in it, and not "one" beside "two"."""

import pytest

from facts.apparmor import RawRules
from phoenix.apparmor.generated_rules import ObservedRules

PARSER = """\
[ "$3 $4 $5" = '-Q -K -T' ] || exit 1
text=$(cat)
printf '%s\\n--\\n' "$text" >>"$FAKE/asked"
[ ! -e "$FAKE/broken" ] || { echo 'tunables: 100% wrong' >&2; exit 1; }
case $text in
*bad*) echo 'bad rule' >&2; exit 1 ;;
*one*two*) echo 'they clash' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def ask(node):
    node.tool("apparmor_parser", PARSER)
    return lambda *rules: node.see(RawRules, rules)


def test_rules_that_compile_are_asked_about_once_for_each_container(ask, node):
    odd = """deny "/a'b $(c) \\d `e` {f,g}" r,"""
    assert ask((953, "x,"), (953, odd), (954, "z,")) == ObservedRules()
    first, second, _ = (node.fake / "asked").read_text().split("--\n")
    assert first.splitlines()[2:] == ["include <abstractions/lxc/container-base>", "x,", odd, "}"]
    assert second.splitlines()[3:] == ["z,", "}"]


def test_each_rule_that_is_refused_is_told_with_its_number(ask):
    seen = ask((953, "x,"), (953, "bad,"), (954, "y,"), (955, "bad,"), (955, "bad bad,"))
    said = "bad rule"
    assert seen.refused == {(953, 1): said, (955, 0): said, (955, 1): said}


def test_rules_that_only_clash_are_told_as_such(ask):
    assert ask((953, "one,"), (953, "two,")).refused == {(953, None): "they clash"}


def test_where_nothing_compiles_no_rule_is_blamed(ask, node):
    (node.fake / "broken").touch()
    seen = ask((953, "x,"), (954, "y,"))
    assert seen == ObservedRules(unchecked="tunables: 100% wrong")
