"""What the guide quotes of denials, rules, the watch and findings is what programs say."""

import re

from learn_cases import WEB, mount, overlay
from test_docs import blocks, commands, text_of
from test_follow_lines import Following, again, denial, source
from test_versions import NESTING, on_kernel, versions
from test_watch_script import PLAIN, Node

from tests.unit.plan_cases import container

#: 2026-11-22 14:30:05
AT = 1795357805.25


def test_a_denial_is_told_as_the_guide_shows_it():
    ((_, shown), *_) = commands("docs/guide/denials.md")
    node = Following()
    told = node.lines(source(), denial(at=AT, sharing=[910]))
    node.now += 61
    assert [*told, *node.lines(again(57, at=AT + 60))] == shown


def test_rules_are_learned_as_the_guide_shows_them():
    (shown,) = (answer for words, answer in commands("docs/guide/learn.md") if answer)
    text = overlay(
        mount("/merged/", "overlay", "rw, silent", "overlay", count=12, owner=WEB, comm="mount"),
        since="2026-11-26 03:00 UTC",
    )
    learned = [line[1:] for line in shown if line.startswith("+") and line[:3] != "+++"]
    seen = r"last \S+ \S+ UTC"
    assert [re.sub(seen, "", one) for one in learned] == re.sub(seen, "", text).splitlines()
    assert f"@@ -0,0 +1,{len(learned)} @@" in shown


def test_the_watch_says_what_the_guide_quotes(tmp_path):
    node = Node(tmp_path)
    node.container(910, "unconfined")
    said = node.watch(PLAIN).strip().removeprefix("<4>")
    assert f"phoenix-harden-watch[4711]: {said}\n" in blocks("docs/guide/watch.md", "")[0]


def test_a_kernel_that_is_too_old_is_told_as_the_guide_quotes_it():
    open_one = container(953, conf=NESTING, label=None)
    (found,) = on_kernel(versions("6.17.9-1", "2026-01-12T16:25Z"), open_one, entry=None)
    assert f"pve1: {found.message}: {found.fix}\n" in text_of("docs/guide/upgrade.md")
