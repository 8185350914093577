"""What is told of a node's events as they come, without a node and without a clock."""

import json

import pytest
from conf_strategies import CHARACTERS
from hypothesis import given
from hypothesis import strategies as st

from phoenix.report import follow as module
from phoenix.report.follow import MOST_SHOWN, Follow

ID = "3f" * 32
NAMES = {910: "portainer", 952: "qdrant"}
#: 2026-11-22 00:27:42
AT = 1795307262.25
ADVICE = "`/srv/a r,` in profiles.d/910.rules, which phoenix learn proposes"


def text(name="/srv/a", profile="lxc-docker-nested", verdict="DENIED", comm="dd"):
    return (
        f'apparmor="{verdict}" operation="open" class="file" profile="{profile}" name="{name}" '
        f'comm="{comm}" requested_mask="r" denied_mask="r" fsuid=100000 ouid=0'
    )


def denial(line=None, count=1, owner=(910, ID, "web"), sharing=(910, 952), at=AT):
    return {
        "event": "denial",
        "at": at,
        "serial": 7,
        "text": text() if line is None else line,
        "pid": 4711,
        "owner": None if owner is None else [*owner],
        "count": count,
        "sharing": [*sharing],
    }


def again(count, line=None, at=AT + 60):
    line = text() if line is None else line
    return {"event": "again", "at": at, "serial": 9, "text": line, "count": count}


def source(name="audit.log", missing=""):
    return {"event": "source", "source": name, "missing": missing}


class Following:
    """A node that is followed, with a clock that the test moves."""

    def __init__(self, only=()):
        self.now = 1000.0
        self.follow = Follow("10.0.0.5", AT, only)
        assert self.connect(goes_on=False) == []

    def connect(self, goes_on=True, names=NAMES):
        return [one.text for one in self.follow.connected("pve1", names, goes_on, self.now)]

    def lose(self, why):
        return [one.text for one in self.follow.lost(why, self.now)]

    def told(self, *events):
        return [one for event in events for one in self.follow.take(event, self.now)]

    def lines(self, *events):
        return [one.text for one in self.told(*events)]


@pytest.fixture
def node():
    return Following()


def test_a_new_kind_is_one_line_with_all_that_one_needs(node):
    assert node.lines(denial()) == [
        "2026-11-22 00:27:42Z pve1: CT 910 portainer: denied: read /srv/a by dd in container web "
        f"under lxc-docker-nested: if its software needs that: {ADVICE}"
    ]


def test_complain_mode_is_told_apart(node):
    (line,) = node.lines(denial(text(verdict="ALLOWED")))
    assert "CT 910 portainer: would have been denied: read /srv/a" in line


def test_what_a_permission_grants_names_it(node):
    line = (
        'apparmor="DENIED" operation="userns_create" class="namespace" profile="lxc-a" comm="x" '
        'requested="userns_create"'
    )
    (told,) = node.lines(denial(line))
    assert '"apparmor_allows": ["nested-userns"]' in told


def test_what_is_denied_on_purpose_says_so(node):
    line = 'apparmor="DENIED" operation="capable" profile="lxc-a" comm="x" capname="sys_module"'
    (told,) = node.lines(denial(line))
    assert told.endswith("the profile denies this on purpose: find out what in it tried that")


def test_without_its_process_it_is_one_of_those_that_share_the_profile(node):
    (line,) = node.lines(denial(owner=None))
    assert "pve1: one of CT 910 portainer, 952 qdrant: denied" in line
    assert "profiles.d/CTID.rules" in line


def test_one_that_has_the_profile_alone_is_it(node):
    (line,) = node.lines(denial(owner=None, sharing=[952]))
    assert "CT 952 qdrant: denied" in line


def test_a_profile_of_its_own_tells_whose_it_is_when_nobody_has_it_any_more(node):
    (line,) = node.lines(denial(text(profile="lxc-x-910"), owner=None, sharing=[]))
    assert "CT 910 portainer: denied" in line


def test_what_the_line_names_comes_before_whose_process_it_was(node):
    (line,) = node.lines(denial(text(profile="lxc-952_</var/lib/lxc>"), sharing=[]))
    assert "CT 952 qdrant: denied" in line


def test_the_same_kind_again_is_no_further_line(node):
    node.lines(denial())
    assert node.lines(again(2), again(3)) == []


def test_how_often_is_told_once_it_is_ten_times_as_often(node):
    node.lines(denial(sharing=[910]))
    assert node.lines(*map(again, range(2, 10))) == []
    assert node.lines(again(10)) == [
        "2026-11-22 00:28:42Z pve1: CT 910 portainer: denied 10x since 2026-11-22 00:27:42Z: read "
        "/srv/a by dd in container web under lxc-docker-nested"
    ]
    assert node.lines(again(99)) == []
    assert len(node.lines(again(100))) == 1


def test_how_often_is_told_again_after_a_minute(node):
    node.lines(denial(sharing=[910]))
    node.now += 61
    assert ": denied 2x since" in node.lines(again(2))[0]
    assert node.lines(again(3)) == []


def test_of_a_shared_profile_only_the_first_ones_process_is_known(node):
    node.lines(denial())
    assert "pve1: one of CT 910 portainer, 952 qdrant: denied 10x" in node.lines(again(10))[0]


def test_whose_it_is_is_known_no_better_after_a_lost_line(node):
    node.lines(denial(), again(5))
    node.lose("gone")
    node.connect()
    node.lines(denial(at=AT + 90))
    assert (
        "  one of CT 910 portainer, 952 qdrant (the last time 910): 6x read /srv/a by dd in "
        "container web"
    ) in "\n".join(_summary(node, source()))


def test_kinds_that_differ_by_ids_alone_are_one(node):
    layers = [text(f"/var/lib/docker/{digit * 64}/x") for digit in "abc"]
    lines = node.lines(*(denial(layer, sharing=[910]) for layer in layers))
    assert len(lines) == 1
    assert "/var/lib/docker/*/x" in lines[0]
    assert "  CT 910 portainer: 3x read" in "\n".join(_summary(node, source()))


def _summary(node, *events):
    node.told(*events)
    return [*node.follow.summary()]


def test_the_source_is_told_at_the_beginning_and_when_it_changes(node):
    gap = "what was logged while auditd was stopped"
    assert node.lines(source(), source()) == ["pve1: follows audit.log"]
    assert node.lines(source("journal", gap)) == [f"pve1: now follows journal, {gap}"]


def test_what_is_about_the_following_itself_is_told_apart_from_denials(node):
    told = node.told(source(), denial())
    assert [one.aside for one in told] == [True, False]


def test_a_line_that_is_lost_is_told_once_and_that_it_is_back(node):
    assert node.lose("Connection refused") == [
        "pve1: Connection refused; trying again until it answers"
    ]
    assert node.lose("Connection refused") == []
    node.now += 35
    assert node.connect() == ["pve1: connected again after 35 s: it goes on where it was"]
    assert node.lose("gone") == ["pve1: gone; trying again until it answers"]
    assert node.connect(goes_on=False) == [
        "pve1: connected again after 0 s: what came meanwhile may be missing"
    ]


def test_after_a_lost_line_the_same_kind_is_not_new_and_its_number_goes_on(node):
    node.lines(denial(count=5, sharing=[910]), again(7))
    node.lose("gone")
    node.connect()
    # the node counts from one again
    assert node.lines(denial(count=1, sharing=[910]), again(2)) == []
    assert ": 9x read /srv/a" in "\n".join(_summary(node, source()))


def test_a_line_that_was_never_there_says_so_under_the_name_that_was_given():
    follow = Follow("10.0.0.5", AT)
    (told,) = follow.lost("Connection refused", 0.0)
    assert told.text.startswith("10.0.0.5: Connection refused; trying again")
    assert [*follow.summary()] == []


def test_only_the_containers_that_are_asked_for_are_told():
    node = Following(only=[952])
    assert node.lines(denial()) == []
    assert node.lines(again(100)) == []
    assert len(node.lines(denial(text("/srv/b"), owner=None))) == 1
    assert "/srv/a" not in "\n".join(_summary(node, source()))


def test_the_summary_has_all_kinds_and_how_often(node):
    node.lines(source(), denial(sharing=[910]), again(57))
    node.lines(denial(text("/srv/b", verdict="ALLOWED"), owner=(952, "", "")))
    assert [*node.follow.summary()] == [
        "pve1: denied since 2026-11-22 00:27:42Z (audit.log):",
        "  CT 910 portainer: 57x read /srv/a by dd in container web under lxc-docker-nested, last "
        f"2026-11-22 00:28:42Z: if its software needs that: {ADVICE}",
        "pve1: would have been denied since 2026-11-22 00:27:42Z (audit.log):",
        "  CT 952 qdrant: 1x read /srv/b by dd under lxc-docker-nested, last 2026-11-22 00:27:42Z: "
        "if its software needs that: `/srv/b r,` in profiles.d/952.rules, which phoenix learn "
        "proposes",
    ]


def test_a_quiet_node_says_in_the_summary_that_nothing_was_denied(node):
    assert _summary(node, source()) == [
        "pve1: nothing was denied since 2026-11-22 00:27:42Z (audit.log)"
    ]


def test_many_new_kinds_at_once_are_told_as_a_flood(node):
    lines = node.lines(*(denial(text(f"/srv/{n}"), sharing=[910]) for n in range(500)))
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1] == (
        "pve1: CT 910 portainer: flood: more new kinds than are shown are counted for the summary "
        "only"
    )
    node.now += 11
    lines = node.lines(denial(text("/srv/later"), sharing=[910]))
    assert "flood: 480 new kinds were counted for the summary only" in lines[0]
    assert "read /srv/later" in lines[1]
    assert sum("1x read /srv/" in line for line in _summary(node, source())) == 501


def test_the_flood_of_one_container_hides_no_other(node):
    node.lines(*(denial(text(f"/srv/{n}"), sharing=[910]) for n in range(500)))
    (line,) = node.lines(denial(owner=(952, "", "")))
    assert "CT 952 qdrant: denied" in line


def test_a_kind_that_was_hidden_by_a_flood_is_not_told_by_its_number_either(node):
    node.lines(*(denial(text(f"/srv/{n}"), sharing=[910]) for n in range(100)))
    assert node.lines(again(1000, text("/srv/99"))) == []


def test_containers_that_a_node_does_not_have_are_named_when_it_is_followed():
    follow = Follow("10.0.0.5", AT, (953, 952))
    assert [*follow.connected("pve1", {952: "qdrant"}, False, 1.0)] == []
    (told,) = follow.connected("pve1", {910: "portainer"}, False, 1.0)
    assert (told.text, told.aside) == ("pve1: not here now: CT 952, 953", True)


def test_a_flood_that_the_node_tells_is_told_at_most_once_a_minute_and_in_the_summary(node):
    def flood(lines):
        event = {"event": "flood", "profile": "lxc-a", "lines": lines, "kinds": 40, "at": AT}
        return node.lines(event)

    assert flood(10) == [
        "2026-11-22 00:27:42Z pve1: flood: lxc-a logged 10 more lines of too many kinds to tell "
        "apart: find out what under it tries so much"
    ]
    assert flood(20) == []
    node.now += 61
    assert "logged 30 more lines" in flood(30)[0]
    assert "flood: lxc-a logged 30 more lines" in "\n".join(_summary(node, source()))
    assert "nothing was denied" not in "\n".join(node.follow.summary())


def test_a_flood_that_the_node_counts_anew_loses_no_lines(node):
    for lines in (100, 5, 7):
        node.lines({"event": "flood", "profile": "lxc-a", "lines": lines, "kinds": 4, "at": AT})
    assert "flood: lxc-a logged 107 more lines" in "\n".join(_summary(node, source()))


def test_the_lines_of_a_flood_are_counted_over_a_lost_line(node):
    event = {"event": "flood", "profile": "lxc-a", "lines": 10, "kinds": 40, "at": AT}
    node.lines(event)
    node.lose("gone")
    node.connect()
    node.lines({**event, "lines": 3})
    node.lines({**event, "lines": 5})
    assert "logged 15 more lines" in "\n".join(_summary(node, source()))


def test_what_is_kept_is_bounded_and_what_went_is_counted(node, monkeypatch):
    monkeypatch.setattr(module, "MOST_KINDS", 10)
    node.lines(*(denial(text(f"/srv/{n}"), sharing=[910]) for n in range(100)))
    assert len(node.follow._kinds) == len(node.follow._texts) == 10
    node.lines(*({"event": "flood", "profile": f"p{n}", "lines": 1, "at": AT} for n in range(99)))
    assert len(node.follow._floods) == 10
    assert "90 more lines of other kinds are left out" in _summary(node, source())[-1]


def test_a_kind_that_is_known_no_more_is_no_traceback(node):
    assert node.lines(again(5)) == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": "denial"},
        {"event": "again", "text": text(), "at": AT, "count": "many"},
        {**denial(), "owner": [910]},
        {**denial(), "at": "yesterday"},
        {**denial(), "sharing": None},
        {"event": "flood", "profile": "lxc-a", "lines": None, "at": AT},
    ],
)
def test_an_event_that_is_not_understood_is_told_once_and_the_rest_goes_on(node, event):
    if event.get("event") == "again":
        node.lines(denial())
    (line,) = node.lines(event, event)
    assert line.startswith("pve1: an event of the node is not understood: ")
    assert len(node.lines(denial(text("/srv/other")))) == 1


@pytest.mark.parametrize("event", [{"event": "alive", "at": AT, "serial": 3}, {"event": "new"}])
def test_an_event_without_news_is_no_line(node, event):
    assert node.lines(event) == []


def test_a_text_that_is_no_refusal_is_no_line(node):
    assert node.lines(denial("noise")) == []


def test_each_thing_that_is_told_is_data_as_well(node):
    told = node.told(source(), denial(), again(10))
    data = [json.loads(json.dumps(one.data)) for one in told]
    assert [(one["event"], one["node"]) for one in data] == [
        ("source", "pve1"),
        ("denial", "pve1"),
        ("again", "pve1"),
    ]
    assert data[1] == {
        "event": "denial",
        "node": "pve1",
        "ctids": [910],
        "whose": "CT 910 portainer",
        "engine_container": "web",
        "owner": {"ctid": 910, "engine_id": "3f" * 32, "name": "web"},
        "became": "denied",
        "would_have_been": False,
        "what": "read /srv/a",
        "text": "read /srv/a by dd in container web under lxc-docker-nested",
        "count": 1,
        "first": "2026-11-22T00:27:42Z",
        "last": "2026-11-22T00:27:42Z",
        "spread": [],
        "operation": "open",
        "subject": "r /srv/a",
        "comm": "dd",
        "profile": "lxc-docker-nested",
        "rule": "/srv/a r,",
        "next_step": f"if its software needs that: {ADVICE}",
    }
    summary = node.follow.summary_data()
    assert (summary["node"], summary["log"], len(summary["denials"])) == ("pve1", "audit.log", 1)


hostile = st.text(CHARACTERS, max_size=60)


@given(
    name=hostile,
    comm=hostile,
    profile=hostile,
    engine=hostile,
    hostname=hostile,
    more=st.dictionaries(st.sampled_from(["count", "at", "owner", "text"]), st.none() | hostile),
)
def test_whatever_a_guest_has_the_log_say_each_line_is_printable_and_short(
    name, comm, profile, engine, hostname, more
):
    node = Following()
    node.connect(names={910: hostname})
    line = text(name.encode().hex().upper(), profile, comm=comm)
    events = [denial(line, owner=(910, engine, engine)), {**denial(line), **more}, again(50, line)]
    told = node.told(*events, source(missing=engine))
    for one in [*(one.text for one in told), *node.follow.summary()]:
        assert one.isprintable()
        assert len(one) < 2000
