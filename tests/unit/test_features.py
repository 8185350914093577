"""The features line: what others set stays, what the fleet file sets wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix.pve.features import CANONICAL, Features, MergeResult, merge


def test_a_line_is_read_in_its_order_and_written_the_same() -> None:
    features = Features.parse("nesting=1,mount=nfs;cifs,fuse=0")
    assert list(features) == ["nesting", "mount", "fuse"]
    assert str(features) == "nesting=1,mount=nfs;cifs,fuse=0"
    assert (features.on("nesting"), features.on("fuse"), features.on("keyctl")) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize("text", [None, "", " ", ","])
def test_no_features(text: str | None) -> None:
    assert Features.parse(text) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nesting", "name=value"),
        ("nesting=", "name=value"),
        ("=1", "name=value"),
        ("nesting=1,nesting=0", "duplicate"),
    ],
)
def test_what_proxmox_calls_malformed_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Features.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nestling=1", "'nestling' is not a feature"),
        # native/3g: the blank belongs to the name
        ("nesting=1, keyctl=1", "' keyctl' is not a feature"),
        ("nesting=maybe", "write 1 or 0"),
        ("mount=nfs:cifs", "file systems"),
    ],
)
def test_what_the_schema_refuses_is_named(text: str, said: str) -> None:
    (problem,) = Features.parse(text).problems
    assert said in problem
    with pytest.raises(ValueError, match=said):
        merge(None, text)


def test_new_features_come_last_in_proxmox_order() -> None:
    result = merge("mount=nfs", {"nesting": True, "keyctl": 1, "fuse": "yes"})
    assert result.value == "mount=nfs,fuse=yes,keyctl=1,nesting=1"
    assert (result.added, result.kept) == (("fuse", "keyctl", "nesting"), ("mount",))


def test_what_others_set_stays() -> None:
    result = merge("fuse=1,nesting=1", {"nesting": True})
    assert (result.value, result.kept, result.added) == ("fuse=1,nesting=1", ("fuse",), ())


def test_what_the_fleet_file_sets_wins() -> None:
    result = merge("keyctl=0,mount=nfs", {"keyctl": True, "mount": ["cifs", "nfs"]})
    assert (result.value, result.changed) == ("keyctl=1,mount=cifs;nfs", ("keyctl", "mount"))
    assert merge("nesting=1", {"nesting": False}).value == "nesting=0"


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ("nesting=yes,keyctl=on", {"nesting": True, "keyctl": True}),
        ("mount=nfs; cifs", {"mount": ["cifs", "nfs"]}),
        ("nesting=1,", {"nesting": True}),
        (" ", {}),
        ("fuse=1", {"nesting": False}),
    ],
)
def test_the_same_said_otherwise_leaves_the_text_alone(
    current: str, wanted: dict[str, bool]
) -> None:
    result = merge(current, wanted)
    assert result == MergeResult(current, kept=result.kept)


def test_only_what_a_former_run_added_is_taken_back() -> None:
    result = merge("fuse=1,keyctl=1,nesting=1", {"nesting": True}, managed_before=["keyctl"])
    assert (result.value, result.removed, result.kept) == (
        "fuse=1,nesting=1",
        ("keyctl",),
        ("fuse",),
    )
    assert merge("keyctl=1", {}, managed_before=["keyctl"]).value == ""


def test_what_somebody_changed_since_is_no_longer_ours() -> None:
    assert merge("keyctl=0", {}, managed_before={"keyctl": "1"}).value == "keyctl=0"
    assert merge("keyctl=yes", {}, managed_before={"keyctl": "1"}).removed == ("keyctl",)


FLAGS = st.sampled_from(["0", "1", "yes", "off"])
LINES = st.dictionaries(st.sampled_from([n for n in CANONICAL if n != "mount"]), FLAGS)


@given(LINES, LINES, st.sets(st.sampled_from(CANONICAL)))
def test_a_second_merge_changes_nothing(
    current: dict[str, str], wanted: dict[str, str], managed: set[str]
) -> None:
    line = ",".join(f"{name}={value}" for name, value in current.items())
    once = merge(line, wanted, managed)
    again = merge(once.value, wanted, managed)
    assert again == MergeResult(once.value, kept=again.kept)
    after = Features.parse(once.value)
    assert all(after.on(name) == Features(wanted).on(name) for name in wanted)
    assert all(after[name] == current[name] for name in once.kept)
