"""daemon.json: read strictly, changed in as few bytes as possible."""

import json

import pytest
from conf_strategies import daemon_jsons
from hypothesis import given

from phoenix.docker.daemon_json import (
    DRIVER,
    MANAGED,
    SNAPSHOTTER,
    DaemonJson,
    DaemonJsonError,
    digest,
    encode,
    held,
    merge,
)

NOTHING = dict.fromkeys(MANAGED)
BOTH = {DRIVER: "fuse-overlayfs", SNAPSHOTTER: False}


def only(key, value):
    return {**NOTHING, key: value}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{\n  // mine\n  "debug": true\n}', "line 2, column 3: JSON has no comments"),
        ('{\n  "debug": true, # mine\n}', "line 2, column 18: JSON has no comments"),
        ('{"debug": true /* mine */}', "line 1, column 16: JSON has no comments"),
        ('{\n  "debug": true,\n}\n', "line 2, column 16: trailing comma"),
        ('{"dns": ["1.1.1.1",]}', "line 1, column "),
        ('{"debug": True}', "line 1, column 11: 'True' is not JSON"),
        ("{'debug': true}", "line 1, column 2: a key in double quotes"),
        ('{"debug" true}', "line 1, column 10: a colon is expected"),
        ('{"a": 1 "b": 2}', "line 1, column 9: a comma or } is expected"),
        ('{"a": 1', "line 1, column 8: the file ends too early"),
        ('{"a": "x', "line 1, column 7: unterminated string starting"),
        ('{"a": "x\ny"}', "line 1, column 9: invalid control character"),
        ('{"a": [1, NaN]}', "line 1, column 11: 'NaN' is not JSON"),
        ("[]", "line 1, column 1: write an object, { ... }"),
        ('{"a": 1} {}', "line 1, column 10: nothing may follow the outermost value"),
        ('{"a": 01}', "line 1, column 8: a comma or } is expected"),
        (
            '{"storage-driver": "vfs",\n "storage-driver": "zfs"}',
            'line 2, column 2: duplicate key "storage-driver": remove one of them',
        ),
        ('{"features": []}', 'line 1, column 14: write an object for "features"'),
        ('{"a": ' + "[" * 100_000, "line 1, column 71: nested deeper than 64 levels"),
    ],
)
def test_what_dockerd_cannot_read_is_refused_with_line_and_column(text, where):
    with pytest.raises(DaemonJsonError) as error:
        DaemonJson.parse(text)
    assert str(error.value).startswith(where)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, '{\n    "storage-driver": "overlay2"\n}\n'),
        (" \n", '{\n    "storage-driver": "overlay2"\n}\n'),
        ("{}", '{\n    "storage-driver": "overlay2"\n}'),
        ("{\r\n}\r\n", '{\r\n    "storage-driver": "overlay2"\r\n}\r\n'),
        ('{"debug":true}', '{"debug":true,"storage-driver":"overlay2"}'),
        ('{"debug": true}\n', '{"debug": true, "storage-driver": "overlay2"}\n'),
        ('{ "debug": true }', '{ "debug": true, "storage-driver": "overlay2" }'),
        (
            '{\n\t"debug" : true,\n\t"dns": [ "1.1.1.1" ]\n}\n\n',
            '{\n\t"debug" : true,\n\t"dns": [ "1.1.1.1" ],\n\t"storage-driver": "overlay2"\n}\n\n',
        ),
        ('\ufeff{"a": 1}', '\ufeff{"a": 1, "storage-driver": "overlay2"}'),
        (
            '{"a": 123456789012345678901234567890.10, "storage-driver" : "vfs" }',
            '{"a": 123456789012345678901234567890.10, "storage-driver" : "overlay2" }',
        ),
    ],
)
def test_a_key_is_added_or_changed_in_the_files_own_manner(before, after):
    assert merge(before, only(DRIVER, "overlay2"), {}).text == after


def test_a_feature_goes_among_the_others():
    text = '{"features": {"buildkit": true}}'
    assert merge(text, only(SNAPSHOTTER, False), {}).text == (
        '{"features": {"buildkit": true, "containerd-snapshotter": false}}'
    )
    assert merge('{"features": {}}', only(SNAPSHOTTER, False), {}).text == (
        '{"features": {"containerd-snapshotter": false}}'
    )


def test_what_is_there_already_is_the_users_and_changes_nothing():
    text = '{ "storage-driver":"fuse-overlayfs","features":{"containerd-snapshotter":false}}'
    merged = merge(text, BOTH, {})
    assert (merged.text, merged.managed) == (text, {})
    assert merge(None, NOTHING, {}).text is None


def test_a_value_of_the_users_gives_way_and_does_not_become_ours():
    merged = merge('{"storage-driver": "vfs"}', only(DRIVER, "overlay2"), {})
    assert (merged.text, merged.managed) == ('{"storage-driver": "overlay2"}', {})


def test_what_a_former_run_wrote_is_taken_back_unless_somebody_changed_it():
    managed = {DRIVER: "overlay2"}
    assert merge('{"a": 1, "storage-driver": "overlay2"}', NOTHING, managed).text == '{"a": 1}'
    changed = '{"a": 1, "storage-driver": "vfs"}'
    assert merge(changed, NOTHING, managed).text == changed


def test_an_older_value_of_ours_stays_ours():
    merged = merge('{"storage-driver": "vfs"}', only(DRIVER, "overlay2"), {DRIVER: "vfs"})
    assert merged.managed == {DRIVER: "overlay2"}


def test_bytes_that_are_no_utf_8_survive():
    raw = b'{"labels": ["caf\xe9"]}'
    merged = merge(raw.decode("utf-8", "surrogateescape"), only(DRIVER, "vfs"), {})
    assert encode(merged.text) == b'{"labels": ["caf\xe9"], "storage-driver": "vfs"}'


def test_the_digest_of_no_file_is_a_word():
    assert digest(None) == "none"
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(daemon_jsons())
def test_every_other_key_keeps_its_place_and_its_text(text):
    merged = merge(text, BOTH, {})
    before, after = json.loads(text), json.loads(merged.text)
    features = {**before.pop("features", {}), "containerd-snapshotter": False}
    assert after.pop("features") == features
    assert after.pop("storage-driver") == "fuse-overlayfs"
    before.pop("storage-driver", None)
    assert list(after.items()) == list(before.items())
    # the same text, with something put in or exchanged: nothing else is cut out
    rest = iter(merged.text)
    managed = ("overlay2", "vfs", "true", "false", "fuse-overlayfs")
    kept = text
    for word in managed:
        kept = kept.replace(word, "")
    assert all(sign in rest for sign in kept)


@given(daemon_jsons())
def test_merging_twice_is_merging_once_and_taking_back_restores_what_was_there(text):
    merged = merge(text, BOTH, {})
    again = merge(merged.text, BOTH, merged.managed)
    assert (again.text, again.managed) == (merged.text, merged.managed)
    back = merge(merged.text, NOTHING, merged.managed).text
    if (
        set(merged.managed) == set(BOTH)
        and json.loads(text)
        and json.loads(text).get("features", 1)
    ):
        assert back == text


def test_another_managed_key_leaves_our_line_where_it_is():
    text, managed = '{"storage-driver": "overlay2"}', {DRIVER: "overlay2"}
    merged = merge(text, {**held(text, managed), SNAPSHOTTER: False}, managed)
    assert json.loads(merged.text) == {
        "storage-driver": "overlay2",
        "features": {"containerd-snapshotter": False},
    }
    assert merged.managed == {DRIVER: "overlay2", SNAPSHOTTER: False}


def test_what_somebody_changed_since_is_not_held():
    text = '{"storage-driver": "vfs"}'
    assert held(text, {DRIVER: "overlay2"}) == NOTHING
    assert held(None, {}) == NOTHING


def test_who_forgets_a_managed_key_is_refused():
    with pytest.raises(ValueError, match="not exactly the managed keys: features"):
        merge("{}", {DRIVER: "overlay2"}, {})
