"""What fell over in the guests, as the node asks for it; tests/lab has real guests."""

import json

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
CONF = "hostname: n8n\nlxc.apparmor.profile: lxc-docker-nested\n"
DOWN = BEFORE.replace("container running - always", "container restarting - always")
DB = ["container", "db", "is restarting, it was running"]


@pytest.fixture
def node(tmp_path, monkeypatch):
    # nothing moves in a fake guest
    monkeypatch.setenv("PHOENIX_OWNERS_LATER", "0")
    node = Guests(tmp_path)
    noted(node, FIRST, BEFORE)
    return node


def noted(node, run, works, end="done", **more):
    """A run of this id that noted and committed CT 952; `end`: the last event of its journal."""
    folder = f"/var/lib/phoenix-harden/runs/{run}"
    for name, text in {"works": works, "conf": CONF, **more}.items():
        node.has(f"{folder}/952/{name}", text)
    of_it = {"ctid": 952, "file": "/etc/pve/lxc/952.conf"}
    images = {"before": "a" * 64, "after": "b" * 64, "ours": "none"}
    ends = {"after": images["before" if end == "restored" else "after"]}
    entries = [{"event": "begin", "format": 2}, {"event": "intent", **of_it, **images}]
    entries += [{"event": end, **of_it, **ends}] if end else []
    time = {"time": "2026-11-22T05:20:00Z"}
    lines = (json.dumps({**time, **entry}) for entry in entries)
    node.has(f"{folder}/journal.jsonl", "".join(f"{line}\n" for line in lines))


def now(node, text, conf=CONF):
    node.runs(952, f"cat <<'EOF'\n{text}EOF\n")
    node.has("/etc/pve/lxc/952.conf", conf)


def fallen(node, only=()):
    return node.observe(fallen={"only": [*only]})["fallen"]


def things(node):
    return [one for answer in fallen(node).values() for one in answer["fallen"]]


def test_where_all_works_there_is_nothing_to_say(node):
    now(node, BEFORE)
    assert fallen(node) == {}


def test_what_failed_is_named_with_the_run_that_had_proven_it(node):
    now(node, DOWN.replace("active running redis", "failed failed redis"))
    told = [DB, ["unit", "redis.service", "has failed"]]
    assert fallen(node) == {"952": {"run": FIRST, "fallen": told, "more": 0, "why": ""}}
    assert fallen(node, only=[952]) == fallen(node)
    assert fallen(node, only=[910]) == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("running healthy", "running unhealthy", "is unhealthy, it was healthy"),
        ("running healthy", "running starting", None),
        # made anew from an image that has no such check
        ("running healthy", "running -", None),
        ("running healthy", "paused -", None),
        ("running healthy", "exited -", None),
        ("running healthy always", "restarting - no", None),
        ("running healthy", "dead -", "is dead, it was running"),
    ],
)
def test_a_container_has_fallen_where_it_failed_and_not_where_it_was_stopped(node, old, new, told):
    now(node, BEFORE.replace(old, new))
    assert [one[2] for one in things(node)] == ([told] if told else [])


def test_one_that_docker_could_not_start_has_fallen(node):
    exited = BEFORE.replace("running - always", "exited - always")
    now(node, exited.replace("end\n", "error /db\nend\n"))
    assert things(node) == [["container", "db", "is exited: Docker could not start it"]]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("failed failed", "has failed"),
        ("activating auto-restart", "ends again and again, it was running"),
        ("inactive dead", None),
        ("reloading reload", None),
        ("activating start", None),
    ],
)
def test_a_unit_has_fallen_where_it_failed_and_not_where_it_was_stopped(node, state, told):
    now(node, BEFORE.replace("active running redis", f"{state} redis"))
    assert [one[2] for one in things(node)] == ([told] if told else [])


def test_a_unit_that_nobody_noted_is_not_told_of(node):
    now(node, BEFORE.replace("end\n", "unit failed failed run-r12.service\nend\n"))
    assert fallen(node) == {}


def test_what_only_the_first_look_sees_has_not_fallen(node):
    looks = f"[ -e $FAKE/looked ] && exec cat <<'EOF'\n{BEFORE}EOF\n: >$FAKE/looked\n"
    node.runs(952, f"{looks}cat <<'EOF'\n{DOWN}EOF\n")
    node.has("/etc/pve/lxc/952.conf", CONF)
    assert fallen(node) == {}
    assert (node.fake / "looked").exists()


def test_the_last_run_that_has_proven_it_says_what_worked(node):
    noted(node, LATER, BEFORE.replace("running - always", "exited - always"))
    now(node, DOWN.replace("running healthy", "running unhealthy"))
    (one,) = fallen(node).values()
    assert one["run"] == LATER
    assert one["fallen"] == [["container", "web", "is unhealthy, it was healthy"]]


def test_a_run_that_went_back_has_proven_nothing(node):
    noted(node, LATER, BEFORE, end="restored", accept="db\n")
    now(node, DOWN)
    (one,) = fallen(node).values()
    assert (one["run"], one["fallen"]) == (FIRST, [DB])


def test_while_a_run_is_at_it_nothing_is_said(node):
    noted(node, LATER, BEFORE, end=None)
    now(node, DOWN)
    assert fallen(node) == {}


def test_what_its_owner_went_without_is_not_missed(node):
    noted(node, LATER, BEFORE, accept="db\n")
    now(node, DOWN)
    assert fallen(node) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("works 1\n" * 400_000, "said more than it should"),
        (DOWN.replace("end\n", ""), "its answer is not whole"),
        (DOWN.replace("end", "booting\nend"), "it is starting or stopping"),
        (DOWN.replace("end", "silent docker\nend"), "its docker does not answer"),
    ],
)
def test_of_a_guest_that_cannot_tell_is_said_why(node, text, why):
    now(node, text)
    assert fallen(node) == {"952": {"run": FIRST, "fallen": [], "more": 0, "why": why}}


def test_a_guest_that_hangs_costs_its_time(node):
    node.runs(952, "sleep 100")
    node.has("/etc/pve/lxc/952.conf", CONF)
    assert fallen(node)["952"]["why"] == "gave no answer in time"


def test_units_are_told_of_where_docker_does_not_answer(node):
    text = BEFORE.replace("active running redis", "failed failed redis")
    now(node, text.replace("end\n", "silent docker\nend\n"))
    (one,) = fallen(node).values()
    assert one["fallen"] == [["unit", "redis.service", "has failed"]]
    assert one["why"] == "its docker does not answer"


def test_a_guest_with_much_that_fell_over_is_cut(node):
    units = "".join(f"unit active running u{number}.service\n" for number in range(1000))
    noted(node, LATER, BEFORE.replace("end\n", f"{units}end\n"))
    failed = units.replace("active running", "failed failed")
    now(node, BEFORE.replace("end\n", f"{failed}end\n"))
    (one,) = fallen(node).values()
    assert (len(one["fallen"]), one["more"]) == (20, 980)


def test_another_container_of_that_number_is_not_asked(node):
    now(node, DOWN, conf="hostname: new\n")
    assert fallen(node) == {}


def test_one_that_does_not_run_is_not_asked(node):
    now(node, DOWN)
    (node.root / "sys/fs/cgroup/lxc/952/ns/init.scope/cgroup.procs").write_text("")
    assert fallen(node) == {}
