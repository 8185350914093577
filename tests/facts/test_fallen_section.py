"""What fell over in the guests, as the node asks for it; tests/lab has real guests."""

import pytest

from tests.facts.guests import Guests

FIRST, LATER = "r20261122T052000Z-ab12", "r20261123T052000Z-cd34"
BEFORE = """\
works 1
unit active running redis.service
unit active running by-hand.service
unit failed failed old.service
boots redis.service
container running healthy always 2026-11-22T05:00:00Z /web
container running - always 2026-11-22T05:00:00Z /db
container running - no 2026-11-22T05:00:00Z /once
end
"""
OURS = "profile lxc-docker-nested\n"


@pytest.fixture
def node(tmp_path):
    node = Guests(tmp_path)
    node.has("/var/lib/phoenix-harden/containers/952", OURS)
    noted(node, FIRST, BEFORE)
    return node


def noted(node, run, works, **more):
    for name, text in {"works": works, **more}.items():
        node.has(f"/var/lib/phoenix-harden/runs/{run}/952/{name}", text)


def now(node, text):
    node.runs(952, f"cat <<'EOF'\n{text}EOF\n")


def fallen(node, only=()):
    return node.observe(fallen={"only": [*only]})["fallen"]


def test_where_all_works_there_is_nothing_to_say(node):
    now(node, BEFORE)
    assert fallen(node) == {}


def test_what_went_down_is_named_with_the_run_that_had_proven_it(node):
    text = BEFORE.replace("container running - always", "container restarting - always")
    now(node, text.replace("active running redis", "failed failed redis"))
    things = [
        ["container", "db", "is restarting, it was running"],
        ["unit", "redis.service", "has failed"],
    ]
    assert fallen(node) == {"952": {"run": FIRST, "fallen": things, "more": 0}}
    assert fallen(node, only=[952]) == fallen(node)
    assert fallen(node, only=[910]) == {}


def test_what_its_owner_removed_or_stopped_or_what_is_beginning_has_not_fallen(node):
    lines = BEFORE.splitlines(keepends=True)
    kept = [line for line in lines if "/db" not in line]
    text = "".join(kept).replace("running healthy", "running starting")
    now(node, text.replace("active running redis", "inactive dead redis"))
    assert fallen(node) == {}


def test_the_last_run_that_noted_anything_says_what_worked(node):
    noted(node, LATER, BEFORE.replace("running - always", "exited - always"))
    now(node, BEFORE.replace("container running", "container exited"))
    (one,) = fallen(node).values()
    assert one == {
        "run": LATER,
        "fallen": [["container", "web", "is exited, it was running"]],
        "more": 0,
    }


def test_what_its_owner_went_without_is_not_missed(node):
    noted(node, LATER, BEFORE, accept="db\n")
    now(node, BEFORE.replace("running - always", "exited - always"))
    assert fallen(node) == {}


def test_a_guest_that_floods_or_lies_or_boots_is_not_told_of(node):
    down = BEFORE.replace("container running", "container exited")
    for text in (
        "works 1\n" * 400_000,
        down.replace("end\n", ""),
        down.replace("end", "booting\nend"),
        down.replace("end", "docker no\nend"),
    ):
        now(node, text)
        assert fallen(node) == {}


def test_a_guest_with_much_that_fell_over_is_cut(node):
    units = "".join(f"unit failed failed u{number}.service\n" for number in range(1000))
    now(node, BEFORE.replace("end\n", f"{units}end\n"))
    (one,) = fallen(node).values()
    assert (len(one["fallen"]), one["more"]) == (20, 980)


def test_who_is_not_ours_any_more_or_does_not_run_is_not_asked(node):
    now(node, BEFORE.replace("container running", "container exited"))
    assert fallen(node)
    node.has("/var/lib/phoenix-harden/containers/952", "")
    assert fallen(node) == {}
    node.has("/var/lib/phoenix-harden/containers/952", OURS)
    (node.root / "sys/fs/cgroup/lxc/952/ns/init.scope/cgroup.procs").write_text("")
    assert fallen(node) == {}
