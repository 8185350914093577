"""The verb that takes a snapshot, against a fake pct; the real one's outputs were recorded."""

import pytest
from script_node import ScriptNode

OLD = "hostname: old\n\n[before]\nsnaptime: 1\n"
NAME = "phoenix-r20261122T013000Z-beef"

#: What each kind of node does to the conf, says and returns.
PCT = {
    "good": 'echo "  Logical volume created."; sed -i "s/^hostname.*/&\\nparent: $3/" "$conf"\n'
    'printf "\\n[%s]\\nhostname: old\\nsnaptime: 2\\n" "$3" >>"$conf"',
    # the recording of a directory storage
    "unable": "echo 'snapshot feature is not available' >&2; exit 255",
    "silent": "exit 0",
    "looking": 'cat "$PHOENIX_ROOT/var/lib/phoenix-harden/lock" >"$FAKE/lock"',
    "half": 'printf "lock: snapshot\\n%s\\n[%s]\\nsnapstate: prepare\\n" "$(cat "$conf")" "$3" '
    '>"$conf.n"; mv "$conf.n" "$conf"; printf "a\\nb\\n" >&2; exit 255',
}


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.conf = self.has("/etc/pve/lxc/910.conf", OLD)

    def snapshot(self, pct):
        self.tool("pct", f'conf={self.conf}\necho "$*" >>"$FAKE/calls"\n{PCT[pct]}')
        return self.verb("snapshot", "910", NAME, request={"description": "before run r1"})


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_a_snapshot_that_stands_in_the_conf_is_taken(node):
    done = node.snapshot("good")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"CT 910: snapshot {NAME} taken (pct delsnapshot 910 {NAME} removes it)\n"
    assert node.calls == [f"snapshot 910 {NAME} --description before run r1"]


@pytest.mark.parametrize(
    ("pct", "why"),
    [("unable", "snapshot feature is not available"), ("silent", "pct gives no reason")],
)
def test_none_in_the_conf_is_refused_whatever_pct_returned(node, pct, why):
    done = node.snapshot(pct)
    assert done.returncode == 1
    assert done.stdout == (
        f"CT 910: refused: no snapshot was taken ({why}): "
        "leave snapshot=true out, and have a backup (vzdump 910)\n"
    )
    assert node.conf.read_text() == OLD


def test_one_that_is_not_complete_is_refused_with_the_way_to_remove_it(node):
    done = node.snapshot("half")
    assert done.returncode == 1
    assert done.stdout == (
        f"CT 910: refused: the snapshot {NAME} is not complete (a b): "
        f"pct unlock 910; pct delsnapshot 910 {NAME} --force 1\n"
    )


def test_others_see_who_works_on_this_node_meanwhile(node):
    node.snapshot("looking")
    lock = node.root / "var/lib/phoenix-harden/lock"
    assert (node.fake / "lock").read_text() == "run r20261122T013000Z-beef, CT 910\n"
    assert (lock.stat().st_mode & 0o777, lock.parent.stat().st_mode & 0o777) == (0o600, 0o700)
