"""Adopting a profile: the intended change, and every other byte as it was."""

import difflib
import json

import pytest
from fleet_cases import real
from hypothesis import given
from hypothesis import strategies as st
from plan_cases import container, installed, node, plan

from phoenix.fleet.adopt import adopt
from phoenix.fleet.parse import FleetError, parse_fleet

TEMPLATES = {"lxc-docker-nested", "lxc-phoenix-v2"}
NAME = "lxc-docker-nested"


def text_of(entry, indent=4):
    return json.dumps({"lxc_configs": {"910": entry}}, indent=indent)


def adopted(text, **how):
    """The text after adopting, checked to load."""
    change = adopt(text.encode(), NAME, **{"templates": TEMPLATES, **how})
    return change.after.decode()


def entry_of(text):
    return json.loads(text)["lxc_configs"]["910"]


def changed_lines(before, after):
    lines = list(difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm=""))
    return [line for line in lines[2:] if not line.startswith("@@")]


UNCONFINED = {"name": "x", "features": ["docker"], "apparmor_profile": "unconfined"}


# --- keys that only profiles with a name have ---------------------------------------------


KEYS = {
    "mode": "complain",
    "apparmor_mode": "complain",
    "apparmor_allows": ["guest-mounts"],
    "apparmor_audit": ["/etc"],
    "apparmor_own": True,
    "apparmor_stacking": True,
}


@pytest.mark.parametrize("names", [[name] for name in KEYS] + [[*KEYS]], ids=" ".join)
@pytest.mark.parametrize("profile", ["unconfined", "lxc-nobody-wrote-it"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("first", [True, False])
def test_what_generated_does_not_have_goes_with_the_change_and_is_noted(
    names, profile, indent, first
):
    keys = {name: KEYS[name] for name in names}
    rest = {"apparmor_profile": profile, "boot_order": 3}
    entry = {**keys, **rest} if first else {**rest, **keys}
    change = adopt(text_of(entry, indent).encode(), NAME, templates=TEMPLATES)
    after = change.after.decode()
    assert entry_of(after) == {"apparmor_profile": "generated", "boot_order": 3}
    for name in names:
        (note,) = [one for one in change.notes if f"910.{name}: taken out" in one]
        assert note.endswith("to keep it leave this container out: --except 910")
    # what harden is left with
    pct = node(container())
    result = plan(pct, installed(), ct910=entry_of(after))
    assert (result.problems, len(result.containers)) == ((), 1)
    assert adopted(after) == after


def test_what_says_nothing_and_what_a_profile_with_a_name_has_stays():
    entry = {"apparmor_profile": "unconfined", "mode": "enforce", "apparmor_own": False}
    assert entry_of(adopted(text_of(entry))) == {**entry, "apparmor_profile": "generated"}
    docker = {**UNCONFINED, **KEYS}
    after = entry_of(adopted(text_of(docker)))
    assert {name: after[name] for name in KEYS} == KEYS


def test_who_names_one_that_is_generated_already_has_them_taken_out_too():
    text = text_of({"mode": "complain"})
    assert adopted(text) == text
    change = adopt(text.encode(), NAME, only=(910,), templates=TEMPLATES)
    assert (entry_of(change.after.decode()), change.changed) == ({}, (910,))


# --- real files ---------------------------------------------------------------------------


DOCKER_15 = (902, 903, 910, 952, 954, 956, 960)
DOCKER_22 = (902, 903, 952, 956, 960, 102, 105)
OTHERS_15 = (900, 901, 920, 950, 951, 953, 955, 957)
OTHERS_22 = (900, 901, 920, 950, 951, 953, 954, 955, 957, 101, 103, 104, 106, 107)


@pytest.mark.parametrize(
    ("name", "docker", "others"),
    [("fleet-15.json", DOCKER_15, OTHERS_15), ("fleet-22.json", DOCKER_22, OTHERS_22)],
)
@pytest.mark.parametrize("scope", ["all", "docker"])
def test_a_real_fleet_changes_only_where_it_is_unconfined_or_nothing_can_be_rendered(
    name, docker, others, scope
):
    data = real(name)
    change = adopt(data, NAME, templates=TEMPLATES, scope=scope)
    before, after = (parse_fleet(side).containers for side in (data, change.after))
    assert list(before) == list(after)
    changed = {*docker, *(others if scope == "all" else ())}
    assert change.changed == tuple(ctid for ctid in before if ctid in changed)
    for ctid, old in before.items():
        new = after[ctid]
        if ctid not in changed:
            assert new == old
            continue
        if ctid in others:
            assert (new.profile, new.features, new.raw) == ("generated", old.features, old.raw)
            continue
        assert new.profile == NAME
        assert dict(new.features) == {**old.features, "nesting": "1", "keyctl": "1", "fuse": "1"}
        assert (new.raw, new.mounts, new.allow_nesting) == (old.raw, old.mounts, old.allow_nesting)


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_an_adopted_real_fleet_has_nothing_unconfined_and_nothing_that_harden_cannot_render(name):
    after = parse_fleet(adopt(real(name), NAME, templates=TEMPLATES).after).containers
    assert {one.profile for one in after.values()} <= {"generated", *TEMPLATES}


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_a_real_fleets_diff_takes_away_only_lines_that_it_must(name):
    data = real(name)
    change = adopt(data, NAME, templates=TEMPLATES)
    lines = change.diff(name).splitlines()
    gone = [line[1:].strip() for line in lines if line[0] == "-" and not line.startswith("---")]
    lists = ('"lxc_options": [', '"lxc.apparmor.profile=unconfined"', "]", "],")
    # the line before the one that goes has lost its comma
    lists += ('"lxc.apparmor.allow_nesting=1",',)
    for line in gone:
        known = line.startswith(('"apparmor_profile":', '"pct_options": []'))
        # a line beside an emptied list at the end of a container may be shown as moved
        assert known or line in lists or line.startswith('"apparmor_manages_nesting"'), line


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_a_real_fleet_keeps_every_other_value_and_the_order_of_keys(name):
    data = real(name)
    old, new = json.loads(data), json.loads(adopt(data, NAME, templates=TEMPLATES).after)
    assert [key for key in new if key != "lxc_configs"] == [k for k in old if k != "lxc_configs"]
    touched = {"apparmor_profile", "pct_options", "lxc_options"}
    for ctid, entry in old["lxc_configs"].items():
        kept = [(key, value) for key, value in entry.items() if key not in touched]
        after = new["lxc_configs"][ctid]
        assert [(key, value) for key, value in after.items() if key not in touched] == kept


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_adopting_twice_changes_nothing_more(name):
    once = adopt(real(name), NAME, templates=TEMPLATES).after
    again = adopt(once, NAME, templates=TEMPLATES)
    assert (again.changed, again.after, again.diff(name)) == ((), once, "")


def test_a_confined_container_of_a_real_fleet_stays_and_is_mentioned():
    change = adopt(real("fleet-22.json"), NAME, templates=TEMPLATES)
    assert any("910: stays with lxc-phoenix-v2" in note for note in change.notes)
    assert any(
        "954" in note and "not treated as a Docker container" in note for note in change.notes
    )


# --- one container ------------------------------------------------------------------------


def test_the_profile_is_replaced_and_missing_options_follow_it():
    before = text_of(UNCONFINED)
    assert changed_lines(before, adopted(before)) == [
        '-            "apparmor_profile": "unconfined"',
        '+            "apparmor_profile": "lxc-docker-nested",',
        '+            "pct_options": [',
        '+                "nesting=1",',
        '+                "keyctl=1",',
        '+                "fuse=1"',
        "+            ]",
    ]


def test_options_with_a_line_each_gain_lines_and_lose_none():
    before = text_of({**UNCONFINED, "pct_options": ["nesting=1", "mknod=1"]})
    assert changed_lines(before, adopted(before)) == [
        '-            "apparmor_profile": "unconfined",',
        '+            "apparmor_profile": "lxc-docker-nested",',
        '+                "keyctl=1",',
        '+                "fuse=1",',
    ]


def test_options_on_one_line_stay_on_one_line():
    before = '{"lxc_configs": {"910": {"features": ["docker"], "apparmor_profile": null,\n' \
        '"lxc_options": ["lxc.apparmor.profile=unconfined", "lxc.mount.auto=sys:ro"],\n' \
        '"pct_options": ["nesting=1"]}}}'  # fmt: skip
    assert adopted(before) == before.replace("null", '"lxc-docker-nested"').replace(
        '"lxc.apparmor.profile=unconfined", ', ""
    ).replace('["nesting=1"]', '["nesting=1", "keyctl=1", "fuse=1"]')


def test_a_file_on_a_single_line_stays_one():
    before = json.dumps({"lxc_configs": {"910": UNCONFINED}})
    after = adopted(before)
    assert "\n" not in after
    assert '"lxc-docker-nested", "pct_options": ["nesting=1", "keyctl=1", "fuse=1"]}' in after


def test_without_any_apparmor_profile_both_keys_follow_the_features():
    before = text_of({"features": ["docker"], "lxc_options": ["lxc.apparmor.profile=unconfined"]})
    after = adopted(before)
    assert list(entry_of(after)) == ["features", "apparmor_profile", "pct_options", "lxc_options"]
    assert entry_of(after)["lxc_options"] == []


@pytest.mark.parametrize("options", [[], None, {}])
def test_empty_options_are_filled(options):
    entry = entry_of(adopted(text_of({**UNCONFINED, "pct_options": options})))
    if options == {}:
        assert entry["pct_options"] == {"nesting": True, "keyctl": True, "fuse": True}
    else:
        assert entry["pct_options"] == ["nesting=1", "keyctl=1", "fuse=1"]


def test_options_in_an_object_stay_an_object():
    entry = entry_of(adopted(text_of({**UNCONFINED, "pct_options": {"nesting": 1}})))
    assert entry["pct_options"] == {"keyctl": True, "fuse": True, "nesting": 1}


@pytest.mark.parametrize(
    ("driver", "fuse"),
    [(None, True), ("fuse-overlayfs", True), ("overlay2", False), ("keep", False), ("auto", False)],
)
def test_fuse_is_added_where_fuse_overlayfs_is_wanted(driver, fuse):
    entry = entry_of(adopted(text_of({**UNCONFINED, "storage_driver": driver})))
    assert ("fuse=1" in entry["pct_options"]) == fuse


def test_a_privileged_container_gets_no_keyctl():
    entry = entry_of(adopted(text_of({**UNCONFINED, "unprivileged": False})))
    assert entry["pct_options"] == ["nesting=1", "fuse=1"]


def test_a_privileged_container_is_said_to_be_refused_by_harden():
    change = adopt(text_of({**UNCONFINED, "unprivileged": False}).encode(), NAME)
    assert change.notes == (
        f"lxc_configs.910: {NAME} for a privileged container: harden refuses it",
    )


def test_what_is_switched_off_by_hand_stays_off_and_is_noted():
    text = text_of({**UNCONFINED, "pct_options": ["keyctl=0", "nesting=1", "fuse=1"]})
    change = adopt(text.encode(), NAME)
    assert entry_of(change.after.decode())["pct_options"] == ["keyctl=0", "nesting=1", "fuse=1"]
    assert change.notes == ("lxc_configs.910.pct_options: keyctl=0 stays as it is written",)


OTHER = "lxc.mount.auto=sys:ro"
SAYS = "lxc.apparmor.profile=unconfined"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "options",
    [
        [SAYS], [SAYS, OTHER], [OTHER, SAYS], [OTHER, SAYS, OTHER], [SAYS, SAYS, OTHER],
        [OTHER, SAYS, SAYS], [SAYS, OTHER, SAYS], [OTHER], [],
    ],
)  # fmt: skip
def test_only_contradicting_raw_profiles_go(options, indent):
    entry = entry_of(adopted(text_of({**UNCONFINED, "lxc_options": options}, indent)))
    assert entry["lxc_options"] == [option for option in options if option == OTHER]


def test_a_raw_profile_that_agrees_stays():
    same = f"lxc.apparmor.profile: {NAME}"
    entry = entry_of(adopted(text_of({**UNCONFINED, "lxc_options": [same, SAYS]})))
    assert entry["lxc_options"] == [same]


@pytest.mark.parametrize(
    "entry",
    [
        {"features": ["docker"], "apparmor_profile": "lxc-phoenix-v2"},
        {"features": ["docker"], "apparmor_profile": "generated"},
        {"features": ["docker"]},
        {"features": ["nvidia"], "apparmor_profile": "lxc-phoenix-v2"},
        {"features": ["nvidia"], "apparmor_profile": "generated"},
        {"features": ["nvidia"]},
        {},
    ],
)
def test_what_is_confined_stays(entry):
    text = text_of(entry)
    assert adopted(text) == text


# --- containers without Docker ------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        (
            {"features": ["nvidia"], "apparmor_profile": "unconfined"},
            {"features": ["nvidia"], "apparmor_profile": "generated"},
        ),
        ({"apparmor_profile": "unconfined"}, {"apparmor_profile": "generated"}),
        (
            {"apparmor_profile": "unconfined", "lxc_options": [SAYS, OTHER], "pct_options": []},
            {"apparmor_profile": "generated", "lxc_options": [OTHER], "pct_options": []},
        ),
        ({"lxc_options": [SAYS]}, {"lxc_options": [], "apparmor_profile": "generated"}),
        (
            {"apparmor_profile": None, "lxc_options": [SAYS]},
            {"apparmor_profile": "generated", "lxc_options": []},
        ),
        ({"apparmor_profile": "lxc-own"}, {"apparmor_profile": "generated"}),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_without_docker_becomes_generated_and_gets_no_features(entry, after, indent):
    text = adopted(text_of(entry, indent))
    assert list(entry_of(text).items()) == list(after.items())
    assert adopted(text) == text


@pytest.mark.parametrize(
    "entry", [{}, {"features": []}, {"apparmor_profile": None}, {"apparmor_profile": "generated"}]
)
def test_one_that_is_generated_already_has_nothing_to_change_even_where_it_is_named(entry):
    assert adopted(text_of(entry), only=[910]) == text_of(entry)


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        ({}, {"apparmor_profile": "lxc-phoenix-v2"}),
        ({"name": "x"}, {"name": "x", "apparmor_profile": "lxc-phoenix-v2"}),
        ({"apparmor_profile": "unconfined"}, {"apparmor_profile": "lxc-phoenix-v2"}),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_without_docker_takes_the_profile_that_is_meant_for_it(entry, after, indent):
    text = adopted(text_of(entry, indent), only=[910], others="lxc-phoenix-v2")
    assert entry_of(text) == after


def test_one_that_shall_stay_as_it_is_stays():
    text = text_of({"apparmor_profile": "unconfined"})
    assert adopted(text, spared=[910]) == adopted(text, spared=[910], only=[910]) == text
    assert adopted(text, scope="docker") == text


def test_who_is_spared_must_be_there():
    with pytest.raises(FleetError, match=r"lxc_configs\.911: is not in this file"):
        adopt(text_of({}).encode(), NAME, spared=[911])


def test_what_the_diff_does_not_show_of_one_without_docker_is_a_note():
    def notes(**entry):
        return adopt(text_of(entry).encode(), NAME, templates=TEMPLATES).notes

    (lost,) = notes(apparmor_profile="lxc-own")
    assert "there is no template lxc-own, what it would grant is gone" in lost
    assert "--except 910" in lost
    (root,) = notes(apparmor_profile="unconfined", unprivileged=False)
    assert "privileged: generated confines it, and root in it is root of the node" in root
    (mode,) = notes(apparmor_profile="unconfined", mode="complain")
    assert mode.startswith("lxc_configs.910.mode: taken out: only a profile with a name has it")
    assert notes(apparmor_profile="unconfined") == ()


def test_a_profile_without_a_template_is_replaced_only_where_the_templates_are_known():
    text = text_of({"features": ["docker"], "apparmor_profile": "lxc-own"})
    assert entry_of(adopted(text))["apparmor_profile"] == NAME
    assert adopted(text, templates=None) == text


def test_named_containers_change_whatever_they_name_and_no_others():
    data = json.dumps(
        {
            "lxc_configs": {
                "910": {"features": ["docker"], "apparmor_profile": "lxc-phoenix-v2"},
                "911": UNCONFINED,
            }
        }
    ).encode()
    change = adopt(data, NAME, only=[910], templates=TEMPLATES)
    assert change.changed == (910,)
    after = parse_fleet(change.after).containers
    assert (after[910].profile, after[911].profile) == (NAME, "unconfined")


def test_named_containers_must_be_there_and_have_docker_where_the_scope_says_so():
    with pytest.raises(FleetError) as caught:
        adopt(text_of({}).encode(), NAME, only=[910, 911], scope="docker")
    assert [str(problem) for problem in caught.value.problems] == [
        'lxc_configs.910: has no Docker as far as the file says: add "docker" to its features '
        "first, or leave out --scope docker",
        "lxc_configs.911: is not in this file",
    ]


def test_a_file_with_mistakes_is_not_touched():
    with pytest.raises(FleetError, match="duplicate key"):
        adopt(b'{"lxc_configs": {"910": {"name": "a", "name": "b"}}}', NAME)


def test_line_ends_a_byte_order_mark_and_odd_spelling_stay():
    text = text_of(UNCONFINED).replace("\n", "\r\n").replace('"name"', r'"\u006eame"') + "\r\n"
    data = b"\xef\xbb\xbf" + text.encode()
    after = adopt(data, NAME).after
    assert after.startswith(b"\xef\xbb\xbf{\r\n")
    assert after.endswith(b"}\r\n")
    assert after.count(b"\n") == after.count(b"\r\n")
    assert rb"\u006eame" in after


def test_the_diff_says_when_the_last_line_has_no_end():
    change = adopt(text_of(UNCONFINED, indent=None).encode(), NAME)
    assert change.diff("f").count("\\ No newline at end of file\n") == 2


# --- any layout ---------------------------------------------------------------------------

BLANKS = st.text(" \t\n\r", max_size=3)


@st.composite
def laid_out(draw, value):
    """Write a JSON value with blanks of any kind wherever they may stand."""
    if isinstance(value, dict):
        members = [
            f"{draw(BLANKS)}{json.dumps(key)}{draw(BLANKS)}:{draw(BLANKS)}{draw(laid_out(item))}"
            for key, item in value.items()
        ]
        return "{" + f"{draw(BLANKS)},".join(members) + draw(BLANKS) + "}"
    if isinstance(value, list):
        items = [f"{draw(BLANKS)}{draw(laid_out(item))}" for item in value]
        return "[" + f"{draw(BLANKS)},".join(items) + draw(BLANKS) + "]"
    return json.dumps(value)


OPTIONS = st.lists(st.sampled_from(["nesting=1", "keyctl=1", "mknod=1", "fuse: 1"]), max_size=3)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "features": st.sampled_from([["docker"], ["docker", "nvidia"], ["nvidia"], []]),
        "apparmor_profile": st.sampled_from(["unconfined", "lxc-own", None, "generated", NAME]),
        "pct_options": st.none() | OPTIONS | st.just({"nesting": 1}),
        "lxc_options": st.none() | st.lists(st.sampled_from([SAYS, OTHER]), max_size=4),
        "unprivileged": st.none() | st.booleans(),
        "ports": st.just({"a": [1, "x"]}),
    },
).flatmap(lambda entry: st.permutations(list(entry.items())).map(dict))


@given(st.dictionaries(st.sampled_from(["910", "0911", "912"]), ENTRIES, min_size=1), st.data())
def test_in_any_layout_only_the_intended_values_change(containers, data):
    text = data.draw(laid_out({"lxc_configs": containers, "x": []}))
    assert json.loads(text) == {"lxc_configs": containers, "x": []}
    change = adopt(text.encode(), NAME, only=[int(key) for key in containers])
    new = json.loads(change.after)["lxc_configs"]
    after = parse_fleet(change.after).containers
    for key, entry in containers.items():
        found = after[int(key)]
        kept = [option for option in entry.get("lxc_options") or () if option == OTHER]
        assert (new[key].get("lxc_options") or []) == kept
        if "docker" not in entry.get("features", ()):
            assert found.profile == "generated"
            assert new[key].get("pct_options") == entry.get("pct_options")
            continue
        assert found.profile == NAME
        needed = {"nesting", "fuse"} | (
            {"keyctl"} if entry.get("unprivileged") is not False else set()
        )
        assert needed <= {name for name, value in found.features.items() if value == "1"}
        assert [w for w in found.warnings if "contradicts" in w] == []
        for other in ("features", "unprivileged", "ports"):
            assert new[key].get(other) == entry.get(other)
    # the diff is one that patch(1) would take: context and removed lines are the old text
    assert adopt(change.after, NAME, only=[int(key) for key in containers]).changed == ()
