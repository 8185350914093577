"""What create is asked: a request that is none is refused before anything is made."""

import json

import pytest
from create_node import FINAL, RAW, SRV, TANK, Node


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


CREATE = ["create", "970", "local:vztmpl/a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pct": []},
        {"pct": [["create", "971", "a"]]},
        {"pct": [["clone", "970", "970"]]},
        {"pct": [["destroy", "970"]]},
        {"pct": [CREATE, ["set", "971", "--memory", "1"]]},
        {"pct": [CREATE, ["start", "970"]]},
        {"pct": [[*CREATE, "--start", "1"]]},
        {"pct": [[*CREATE, "--sta=1"]]},
        {"pct": [[*CREATE, "-start", "1"]]},
        {"pct": [[*CREATE, "--force"]]},
        {"pct": [[*CREATE, "--description", "mine"]]},
        {"pct": [[*CREATE, "--hostname", "a\nb"]]},
        {"pct": [[*CREATE, 1]]},
        {"raw": [["lxc.apparmor.profile"]]},
        {"raw": [["hostname", "a"]]},
        {"raw": [["lxc.apparmor.profile", "a\nlxc.apparmor.profile: unconfined"]]},
        {"datasets": [{**TANK, "name": "-r tank"}]},
        {"datasets": [{**TANK, "quota": "1G"}]},
        {"datasets": [{**TANK, "owner": [0, -1]}]},
        {"datasets": [{**TANK, "more": 1}]},
        {"folders": [{**SRV, "path": "srv"}]},
        {"folders": [{**SRV, "path": "/srv/../etc"}]},
        {"folders": [{**SRV, "path": "/"}]},
        {"start": "true"},
        {"snapshot": "--force"},
        {"install": "docker"},
        {"more": 1},
    ],
    ids=json.dumps,
)
def test_what_is_not_of_its_form_is_refused_before_anything(node, changes):
    node.asks(**changes)
    done = node.create()
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("CT 970: refused: create.json: ")
    assert node.calls == []


def test_an_option_that_only_begins_like_one_of_those_is_fine(node):
    node.asks(pct=[[*CREATE, "--startup", "order=1", "--storage", "local", "--tags", "a"]])
    assert node.create().returncode == 0


@pytest.mark.parametrize("text", ["", "null", "[", "[" * 100_000])
def test_a_broken_file_is_refused_without_a_traceback(node, text):
    (node.run / "970/create.json").write_text(text)
    done = node.create()
    assert (done.returncode, done.stderr) == (2, "")


def test_the_raw_lines_are_the_files_and_none_of_pcts(node):
    node.asks(raw=[*RAW, ["lxc.cap.drop", "mknod"], ["lxc.cap.drop", "sys_rawio"]])
    assert node.create().returncode == 0
    assert node.conf.read_text() == f"{FINAL}lxc.cap.drop: mknod\nlxc.cap.drop: sys_rawio\n"
