"""Versions compared as dpkg compares them."""

import subprocess

import pytest
from conf_strategies import CHARACTERS
from hypothesis import given
from hypothesis import strategies as st

from phoenix.text.debian_version import compare, is_older

#: What a version may hold (deb-version(7)), few of each, so that much is equal.
_TEXT = st.text("019ab~.+", max_size=6)
_UPSTREAM = st.builds("{}{}".format, st.sampled_from("019"), _TEXT)
VERSIONS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "0:", "1:"]),
    _UPSTREAM,
    st.one_of(st.just(""), st.builds("-{}{}".format, st.sampled_from("0a1~"), _TEXT)),
)


def dpkg(left, right):
    """What dpkg says of them."""
    for operator, answer in (("lt", -1), ("eq", 0), ("gt", 1)):
        done = subprocess.run(
            ["dpkg", "--compare-versions", left, operator, right], capture_output=True
        )
        if done.returncode == 0 and not done.stderr:
            return answer
    raise AssertionError((left, right))


@given(VERSIONS, VERSIONS)
def test_two_versions_are_compared_as_dpkg_does(left, right):
    assert compare(left, right) == dpkg(left, right)


@given(VERSIONS, st.text("01a~.-", max_size=3))
def test_versions_that_begin_alike_are_too(left, more):
    right = f"{left}{more}".rstrip("-")
    assert compare(left, right) == dpkg(left, right)


@given(st.text(CHARACTERS, max_size=8), st.text(CHARACTERS, max_size=8))
def test_any_two_texts_can_be_compared_from_both_sides(left, right):
    assert compare(left, right) == -compare(right, left)
    assert compare(left, left) == 0


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.17.13-1", "6.17.13-2"),
        ("6.17.13-2", "6.17.13-10"),
        ("6.17.13-2~bpo12+1", "6.17.13-2"),
        ("6.17.13-2", "7.0.6-2"),
        ("1.4.0~rc.3", "1.4.0"),
        ("1.1.15+ds1-2+b4", "1.1.15+ds1-2+deb13u1"),
        # letters come before what is none
        ("1.0a", "1.0+"),
        # an epoch decides before all else
        ("6.0.4-4+deb13u4", "1:6.0.4-4+deb13u4"),
        ("9", "1:0"),
        ("~", ""),
        ("0~", ""),
        (f"1.{'1' * 5000}", f"1.{'1' * 4999}2"),
    ],
)
def test_the_older_one_of_two_is_told(older, newer):
    assert is_older(older, newer)
    assert not is_older(newer, older)
    assert not is_older(newer, newer)


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.00"), ("0:1", "1"), ("1.0-0", "1.0")])
def test_spellings_of_one_version_are_equal(one, other):
    assert compare(one, other) == 0
