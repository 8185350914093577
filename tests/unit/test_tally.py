"""Counting refusals: what is one kind, what is kept of a flood, and that it stays small."""

import subprocess
import sys

import pytest

from node.tally import MOST_BUCKETS, MOST_KINDS, MOST_STARTS, Buckets, Counted, buckets, tally
from phoenix.apparmor.audit_line import read_fields
from tests.unit.test_audit_line import line

MINUTES = Buckets(0, 60)


def told(counted):
    return [(read_fields(text)["name"], seen.count, seen.last) for text, seen in counted.denials]


def floods(counted):
    return [(name, seen.count, seen.first, seen.last) for name, seen in counted.floods]


def named(counted):
    return [name for name, _, _ in told(counted)]


def test_equal_lines_of_different_processes_are_one_with_the_first_and_the_last_time():
    found = tally([line(17, pid=1), line(18.5, pid=2), line(19, name="/b")], [17], MINUTES)
    assert told(found) == [("/a", 2, 18.5), ("/b", 1, 19.0)]
    text, seen = found.denials[0]
    assert (seen.first, seen.last, seen.pid) == (17.0, 18.5, 2)
    assert "pid=" not in text
    assert "FSUID" not in text


def test_folders_of_processes_are_not_told_apart():
    lines = [line(17, name="/proc/17/mem"), line(18, name="/proc/18/mem")]
    assert told(tally(lines, [17], MINUTES)) == [("/proc/*/mem", 2, 18.0)]


def test_lines_before_and_after_a_start_are_counted_apart():
    found = tally([line(9), line(10), line(15), line(20), line(21)], [10, 20], MINUTES)
    assert told(found) == [("/a", 2, 15.0), ("/a", 2, 21.0)]


def test_without_a_time_from_when_on_nothing_counts():
    assert tally([line(10)], [], MINUTES) == Counted()


def test_each_kind_is_spread_over_the_buckets_of_time():
    ((_, seen),) = tally([line(61), line(119), line(500), line(1e9)], [10], MINUTES).denials
    assert seen.spread == {1: 2, 8: 1, MOST_BUCKETS - 1: 1}


@pytest.mark.parametrize("span", [0, 1, 3600, 86400, 30 * 86400, 5 * 365 * 86400])
def test_there_are_few_buckets_however_long_the_time_is(span):
    into = buckets(1795304458.5, 1795304458.5 + span)
    assert into.begin <= 1795304458.5
    assert (1795304458.5 + span - into.begin) / into.width < MOST_BUCKETS
    assert into.width == 60 or (span / into.width) > MOST_BUCKETS / 4


def test_of_more_kinds_than_anybody_reads_the_newest_are_told_and_the_others_are_a_flood():
    found = tally([line(10 + n, name=f"/{n}") for n in range(8)], [10], MINUTES, kinds=2)
    assert named(found) == ["/6", "/7"]
    assert floods(found) == [("lxc-a", 6, 10.0, 15.0)]
    assert found.left == 6


def test_a_kind_is_one_however_many_starts_lie_between_its_lines():
    starts = [10 + 10 * n for n in range(50)]
    lines = [line(start + kind / 100, name=f"/{kind}") for start in starts for kind in range(40)]
    found = tally(lines, starts, MINUTES)
    assert {*named(found)} == {f"/{kind}" for kind in range(40)}
    assert max(seen.last for _, seen in found.denials) == 500.39
    assert len(found.denials) == 40 * MOST_STARTS
    assert floods(found) == [("lxc-a", 40 * (50 - MOST_STARTS), 10.0, 300.39)]


def test_what_comes_again_and_again_is_not_washed_out_by_a_flood_of_its_own_profile():
    flood = [line(10 + n / 100, name=f"/flood/{n}") for n in range(5000)]
    for n in range(0, 5000, 200):
        flood.insert(n, line(10 + n / 100, name="/often"))
    found = tally(flood, [10], MINUTES)
    assert ("/often", 25, 58.0) in told(found)
    assert len(found.denials) == MOST_KINDS


@pytest.mark.parametrize(
    "whose",
    [
        'profile="lxc-b{}"',
        'profile="lxc-b//null-/usr/{}"',
        'namespace="root//lxc-910_<-var-lib-lxc>" profile="p{}"',
        'namespace="root//lxc-910_<-var-lib-lxc>//{}" profile="lxc-a"',
        # //lxc-910 and a name with a blank in it, in hex, beside a name of the node's
        'profile="lxc-a" namespace=726F6F742F2F6C78632D3931302F2F20{:04X}',
    ],
)
def test_nobody_pushes_out_what_another_one_was_refused(whose):
    mine = [line(10 + n, name=f"/mine/{n}") for n in range(20)]
    theirs = [
        line(100 + n / 1000, name=f"/{n}").replace('profile="lxc-a"', whose.format(n))
        for n in range(20_000)
    ]
    found = tally([*mine, *theirs], [10], MINUTES)
    assert {*named(found)} >= {f"/mine/{n}" for n in range(20)}
    assert len(found.denials) <= 4 * MOST_KINDS
    assert sum(seen.count for _, seen in found.denials) + found.left == 20_020


def test_what_rules_log_takes_no_room_of_refusals_and_is_told_by_folders():
    logged = [line(10 + n, "AUDIT", name=f"/etc/{n}") for n in range(4)]
    other = line(15, "AUDIT", name="/root/x")
    found = tally([*logged, other, line(20), line(21, name="/b")], [10], MINUTES, kinds=20)
    assert told(found) == [
        *(("/etc/*", 3, 12.0), ("/etc/3", 1, 13.0), ("/root/x", 1, 15.0)),
        *(("/a", 1, 20.0), ("/b", 1, 21.0)),
    ]
    assert found.left == 0


def test_of_more_folders_than_anybody_reads_the_rest_is_a_flood():
    found = tally([line(10 + n, "AUDIT", name=f"/{n}/a") for n in range(8)], [10], MINUTES, 20)
    assert named(found) == ["/4/*", "/5/*", "/6/a", "/7/a"]
    assert floods(found) == [("lxc-a", 4, 10.0, 13.0)]


def test_texts_that_are_as_long_as_they_can_be_are_bounded_in_all():
    names = ("/" + f"{n:04}" * 3500 for n in range(600))
    found = tally([line(10 + n, name=name) for n, name in enumerate(names)], [10], MINUTES)
    assert sum(len(text) for text, _ in found.denials) <= 4 * 1024 * 1024
    assert told(found)[-1][2] == 609.0
    assert len(found.denials) + found.left == 600


FLOOD = """
from node.tally import buckets, tally
line = ('type=AVC msg=audit(%d.%03d:7): apparmor="DENIED" operation="open" class="file" '
        'profile="lxc-%d" name="/srv/%d" pid=7 comm="dd" requested_mask="r"')
lines = (line % (1795304458 + n // 1000, n % 1000, n % 5, n) for n in range(200_000))
found = tally(lines, [1795304458], buckets(1795304458, 1795305458))
assert len(found.denials) + found.left == 200_000, found.left
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_a_flood_of_distinct_paths_takes_no_memory():
    done = subprocess.run([sys.executable, "-c", FLOOD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60 * 1024
