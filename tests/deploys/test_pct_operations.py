"""Container operations in a user's deploys: on scripted nodes, and on a real tree of files."""

import pytest
from fake_node import FakeNode

EDIT = "../tests/deploys/edit_container"
MEDDLE = "../tests/deploys/meddle_with_910"

BEFORE = """\
#portainer
arch: amd64
features: nesting=1
hostname: portainer\r
mp0: /srv/a,mp=/a
unprivileged: 1
junk
lxc.apparmor.profile: unconfined
lxc.cgroup2.devices.allow: a

[pve:pending]
cores: 2

[before]
features: nesting=1
lxc.apparmor.profile: unconfined
"""

AFTER = """\
#portainer
arch: amd64
dev0: /dev/fuse,mode=0666
features: nesting=1,keyctl=1
hostname: portainer\r
mp0: /srv/a,mp=/a
mp1: /srv/data,mp=/data
unprivileged: 1
junk
lxc.apparmor.profile: lxc-container-default-with-nesting

[pve:pending]
cores: 2

[before]
features: nesting=1
lxc.apparmor.profile: unconfined
"""

#: the command that says why and fails
REFUSALS = {">&2; exit 2": {"success": False}}


def results(done):
    """What pyinfra says of each operation, in order."""
    words = ("Success", "No changes", "Error")
    return [word for line in done.stderr.splitlines() for word in words if f"] {word}" in line]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """This machine as a node: a tree of files with the conf of container 910, which is stopped."""
    root = tmp_path / "root"
    conf = root / "etc/pve/lxc/910.conf"
    conf.parent.mkdir(parents=True)
    (root / "run").mkdir()
    conf.write_bytes(BEFORE.encode())
    monkeypatch.setenv("PHOENIX_ROOT", str(root))

    class Here:
        path = conf

        def host(self):
            return "@local", {}

    return Here()


def test_a_node_that_is_right_runs_no_operation_command(pyinfra):
    done = pyinfra(EDIT, FakeNode("pve1", {910: AFTER}), fleet={}, ctid=910)
    assert done.code == 0, done.stderr
    assert results(done) == ["No changes"] * 5
    assert "write-conf 910" not in done.stderr


def test_each_edit_is_one_command_and_then_a_restart(pyinfra):
    conf = BEFORE.replace("[pve:pending]\ncores: 2\n\n", "")
    done = pyinfra(EDIT, FakeNode("pve1", {910: conf}), fleet={}, ctid=910)
    assert done.code == 0, done.stderr
    assert results(done) == ["Success"] * 5
    assert done.commands == ["910"]


def test_dry_shows_each_diff_and_runs_nothing(pyinfra):
    node = FakeNode("pve1", {910: AFTER.replace(",keyctl=1", "")})
    done = pyinfra(EDIT, node, fleet={}, ctid=910, flags=("--dry",))
    assert (done.code, results(done)) == (0, []), done.stderr
    assert "- features: nesting=1\n" in done.stderr
    assert "+ features: nesting=1,keyctl=1\n" in done.stderr


@pytest.mark.parametrize(("flags", "said"), [(("--dry",), []), (("-y",), ["Error"])])
@pytest.mark.parametrize(
    ("conf", "problem"), [("lock: backup\n", "locked (backup)"), ("template: 1\n", "a template")]
)
def test_what_is_refused_is_one_sentence_and_nothing_follows(pyinfra, conf, problem, flags, said):
    done = pyinfra(
        EDIT, FakeNode("pve1", {910: conf}, responses=REFUSALS), fleet={}, ctid=910, flags=flags
    )
    assert done.code == 1
    assert f"CT 910: {problem}" in done.stderr
    assert results(done) == said
    assert "write-conf 910" not in done.stderr


@pytest.mark.parametrize("flags", [("-y",), ("--dry",)])
def test_a_restart_that_no_edit_asks_for_is_not_refused(pyinfra, flags):
    done = pyinfra(EDIT, FakeNode("pve1", {910: AFTER}), fleet={}, ctid=910, flags=flags)
    assert done.code == 0, done.stderr


def test_a_restart_that_would_apply_pending_changes_is_refused(pyinfra):
    done = pyinfra(EDIT, FakeNode("pve1", {910: BEFORE}, responses=REFUSALS), fleet={}, ctid=910)
    assert done.code == 1
    assert "CT 910: cores waits in [pve:pending]" in done.stderr
    assert done.commands == []


def test_the_first_run_changes_those_lines_and_the_second_nothing(pyinfra, here):
    done = pyinfra(EDIT, here, fleet={}, ctid=910)
    assert done.code == 0, done.stderr
    assert results(done) == [*["Success"] * 4, "No changes"]
    assert here.path.read_bytes() == AFTER.encode()
    written = here.path.stat()

    done = pyinfra(EDIT, here, fleet={}, ctid=910)
    assert done.code == 0, done.stderr
    assert results(done) == ["No changes"] * 5
    assert here.path.stat() == written


def test_a_conf_that_changed_since_it_was_read_is_not_overwritten(pyinfra, here):
    done = pyinfra(MEDDLE, here, fleet={}, conf=here.path, line="#somebody was here")
    assert done.code == 1
    assert results(done) == ["Success", "Error"]
    assert "CT 910: somebody changed /etc/pve/lxc/910.conf since it was read" in done.stderr
    assert here.path.read_bytes() == BEFORE.encode() + b"#somebody was here\n"


def test_a_lock_that_comes_in_between_fails_one_node_and_not_the_run(pyinfra, here):
    here.path.write_text("features: nesting=1\n")
    done = pyinfra(MEDDLE, here, fleet={}, conf=here.path, line="lock: backup", late="true")
    assert done.code == 1
    assert results(done) == ["Success", "Error"]
    assert "CT 910: locked (backup): run again when that is done" in done.stderr
    assert here.path.read_text() == "features: nesting=1\nlock: backup\n"
