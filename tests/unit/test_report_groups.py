"""What is the same of many containers is told once, and nothing is told of any that is not so."""

import pytest

from phoenix.plan.findings import Code, Finding, Severity
from phoenix.report.groups import FEW, alike, few, finding_lines
from phoenix.text.some import some


def notes(count, text="stopped", code=Code.DOCKER_UNSEEN, first=910, weight=Severity.NOTE):
    return [
        Finding(code, weight, text.format(ctid=ctid), ctid, f"ct{ctid}", f"pct start {ctid}")
        for ctid in range(first, first + count)
    ]


def test_up_to_ten_of_a_kind_are_told_one_by_one_in_their_order():
    found = notes(FEW) + notes(FEW, "locked", Code.LOCKED)
    found = [one for pair in zip(found[:FEW], found[FEW:], strict=True) for one in pair]
    assert list(finding_lines(found)) == [*map(str, found)]


def test_more_of_a_kind_are_one_line_and_the_others_keep_theirs():
    other = notes(1, "locked", Code.LOCKED, first=5000)
    assert list(finding_lines([*notes(998), *other])) == [
        "998 containers: stopped: pct start CTID: CT 910, 911, 912, 913, 914 … and 993 more",
        str(other[0]),
    ]


def test_everything_is_told_where_it_is_asked_for():
    found = notes(998)
    assert list(finding_lines(found, everything=True)) == [*map(str, found)]


def test_what_differs_is_not_told_as_one():
    found = notes(11, "stopped {ctid}0") + notes(11, weight=Severity.WARNING, first=3000)
    told = list(finding_lines(found))
    assert told[:5] == [str(one) for one in found[:5]]
    assert told[5:] == [f"… and {11 + 1 - 5} more of this kind (docker.unseen)"]


def test_what_is_about_nodes_is_never_told_as_containers():
    found = [Finding(Code.NODE_UNREADABLE, Severity.NOTE, "cannot be read")] * 20
    assert list(finding_lines(found)) == ["cannot be read"] * 5 + [
        "… and 15 more of this kind (node.unreadable)"
    ]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("lxc-docker-nested-910: /srv/910/data", "lxc-docker-nested-CTID: /srv/CTID/data"),
        ("web.example: 9100 and 1910 and webs", "NAME.example: 9100 and 1910 and webs"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_of_a_text_only_whole_words_are_its_containers(text, same):
    assert alike(text, 910, "web") == same


def test_a_container_without_a_name_has_none_taken_out():
    assert alike("a b", 910) == alike("a b", None) == "a b"


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_some_of_a_list_and_how_many_there_are_more(count):
    words = [*map(str, range(count))]
    assert some(words) == ", ".join(words[:5]) + (" … and 1 more" if count == 6 else "")


def test_a_few_lines_stay_as_they_are_and_many_lines_are_counted():
    lines = [*map(str, range(FEW))]
    assert list(few(lines, "more")) == lines
    assert list(few([*lines, "10"], "more")) == [*lines[:5], "… and 6 more"]
