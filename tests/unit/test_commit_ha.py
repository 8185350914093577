"""commit and recover of a container that HA manages: out of its hands for as long, and back."""

import json

import pytest
from commit_node import NEW, OLD, RUN, Node
from script_node import sha

#: Longer than any clock of a test.
LATER = 99_999_999_999

#: As ha-manager and the two services behind it do: the resource, then the manager's status, then
#: the LRM's.
HA_MANAGER = """
    echo "ha-manager $*" >>"$FAKE/calls"
    cat "$FAKE/ha-says" 2>/dev/null
    [ ! -e "$FAKE/ha-refuses-$4" ] || exit 2
    [ ! -e "$FAKE/ha-dies-before-$4" ] || { rm "$FAKE/ha-dies-before-$4"; kill -9 $PPID; exit 1; }
    ha="$PHOENIX_ROOT/etc/pve/ha"
    case $3 in
    --delete) sed -i "/^\tstate /d" "$ha/resources.cfg" ;;
    --state)
        grep -q "^\tstate " "$ha/resources.cfg" ||
            sed -i "s/^ct: 910/&\\n\tstate none/" "$ha/resources.cfg"
        sed -i "s/^\tstate .*/\tstate $4/" "$ha/resources.cfg"
        ;;
    esac
    after=before
    [ "$4" != ignored ] || after=after
    cp "$FAKE/status-$after" "$ha/manager_status"
    [ ! -e "$FAKE/ha-dies-after-$4" ] || { rm "$FAKE/ha-dies-after-$4"; kill -9 $PPID; }
    :
"""


class HaNode(Node):
    """A node whose HA manages container 910."""

    def __init__(self, folder):
        super().__init__(folder)
        self.has("/etc/pve/nodes/pve1/lrm_status", json.dumps({"timestamp": LATER}))
        (self.root / "etc/pve/local").symlink_to("nodes/pve1")
        self.resources = self.has("/etc/pve/ha/resources.cfg", "")
        self.status = self.has("/etc/pve/ha/manager_status", "")
        (self.fake / "status-after").write_text(self._status({}))
        self.tool("ha-manager", HA_MANAGER)
        self.stage(ha="")
        self.is_asked_for("started")

    def _status(self, services, node="online"):
        return json.dumps({"node_status": {"pve1": node}, "service_status": services})

    def is_asked_for(self, state, /, in_node="online", **service):
        """HA has it so, and has settled; `service`: what is otherwise in its manager's status."""
        line = f"\tstate {state}\n" if state else ""
        self.resources.write_text(f"ct: 910\n{line}\tgroup one\n\nvm: 100\n")
        settled = "stopped" if state in ("stopped", "disabled") else "started"
        found = {"state": settled, "node": "pve1", "uid": "x", **service}
        status = self._status({"ct:910": found}, in_node)
        self.status.write_text(status)
        (self.fake / "status-before").write_text(status)

    @property
    def ha(self):
        """What HA was told."""
        return [call for call in self.calls if call.startswith("ha-manager")]

    @property
    def ha_events(self):
        return [(one["event"], one["ha"]) for one in self.journal if "ha" in one]


@pytest.fixture
def node(tmp_path):
    return HaNode(tmp_path)


AWAY = "ha-manager set ct:910 --state ignored"


def back(state):
    return (
        f"ha-manager set ct:910 --state {state}"
        if state
        else AWAY.replace("--state ignored", "--delete state")
    )


@pytest.mark.parametrize("state", ["started", "enabled", ""])
def test_ha_lets_go_of_it_before_it_stops_and_has_it_back_as_it_was(node, state):
    node.is_asked_for(state)
    before = node.resources.read_text()
    done = node.commit()
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("CT 910: done\n")
    calls = [call for call in node.calls if call.startswith(("ha-manager", "pct"))]
    assert calls[0] == AWAY
    assert calls[1].startswith("pct shutdown 910")
    assert calls[-1] == back(state)
    assert node.resources.read_text() == before
    assert node.ha_events == [("intent", state or "default"), ("done", state or "default")]


@pytest.mark.parametrize("state", ["stopped", "disabled"])
def test_a_stopped_one_stays_so_and_ha_has_it_back_as_it_was(node, state):
    node.state = "stopped"
    node.is_asked_for(state)
    done = node.commit()
    assert done.returncode == 0, done.stdout
    assert (node.state, node.conf.read_text()) == ("stopped", NEW)
    assert node.ha == [AWAY, back(state)]
    assert f"\tstate {state}\n" in node.resources.read_text()


@pytest.mark.parametrize("resources", ["", "ct: 910\n\tstate ignored\n", "ct: 911\n\n"])
def test_ha_is_told_nothing_about_one_that_it_does_not_manage(node, resources):
    node.resources.write_text(resources)
    assert node.commit().returncode == 0
    assert (node.ha, node.ha_events) == ([], [])


def test_without_the_operators_word_ha_is_told_nothing(node):
    (node.run / "910/ha").unlink()
    assert node.commit().returncode == 0
    assert (node.ha, node.ha_events) == ([], [])


def test_what_ha_was_asked_for_is_on_disk_before_ha_is_told(node):
    (node.fake / "ha-dies-before-ignored").touch()
    node.commit()
    assert node.ha == [AWAY]
    assert node.ha_events == [("intent", "started")]


# --- what stands against it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ({"state": "relocate", "target": "pve2"}, "HA is moving it to pve2"),
        ({"state": "migrate", "target": "pve2"}, "HA is moving it to pve2"),
        ({"state": "error"}, "HA is at work on it (asked for started, now in state error)"),
        ({"state": "fence"}, "now in state fence"),
        ({"state": "freeze"}, "now in state freeze"),
        ({"state": "recovery"}, "now in state recovery"),
        ({"state": "request_start"}, "now in state request_start"),
        ({"state": "stopped"}, "now in state stopped"),
        ({"node": "pve2"}, "HA has it on pve2, and its conf is on pve1"),
        ({"cmd": ["migrate", "pve2"]}, "HA has a command waiting for it"),
        ({"failed_nodes": ["pve2"]}, "HA is recovering it"),
        ({"maintenance_node": "pve2"}, "HA is going to move it back to pve2"),
        ({"in_node": "maintenance"}, "HA has pve1 in state maintenance"),
        ({"in_node": "fence"}, "HA has pve1 in state fence"),
        ({"node": 7}, "HA has it on 7"),
    ],
)
def test_while_ha_is_at_work_on_it_nothing_is_changed(node, service, told):
    node.is_asked_for("started", **service)
    refused(node, told)
    assert (node.ha, node.ha_events) == ([], [])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"service_status": 3}', "null"])
def test_a_status_that_says_nothing_is_no_settled_one(node, text):
    node.status.write_text(text)
    refused(node, "HA has not taken it up yet")
    assert node.ha == []


@pytest.mark.parametrize("state", ["frozen", "disarming"])
def test_a_disarmed_ha_that_holds_commands_back_is_not_told_anything(node, state):
    disarm = {"mode": "freeze" if state == "frozen" else "ignore", "state": "disarmed"}
    disarm["state"] = "disarmed" if state == "frozen" else "disarming"
    node.status.write_text(json.dumps({"disarm": disarm, "service_status": {}}))
    refused(node, f"managed by HA ({state})")


def test_one_that_has_stopped_meanwhile_is_has_business(node):
    node.state = "stopped"
    refused(node, "HA is asked for started, and it does not run")


def refused(node, told):
    done = node.commit()
    assert done.returncode == 2, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("CT 910: refused: ")
    assert told in last
    assert "nothing was changed" in last
    assert (node.conf.read_text(), node.restarts) == (OLD, 0)
    assert all(one["event"] != "intent" for one in node.journal if "file" in one)


def test_without_ha_manager_nothing_is_changed(node):
    (node.fake / "ha-manager").unlink()
    refused(node, "ha-manager: No such file")
    assert node.ha_events == [("intent", "started"), ("done", "started")]


def test_what_ha_manager_says_against_it_is_told_in_one_short_printable_line(node):
    (node.fake / "ha-refuses-ignored").touch()
    (node.fake / "ha-says").write_text("no\x1b[2J quorum\nCT 910: done\n" + "x" * 5000)
    refused(node, r"ha-manager refuses: no\x1b[2J quorum CT 910: done xxx")
    assert len(node.commit().stdout) < 700
    assert node.ha_events[-1] == ("done", "started")


def test_one_that_floods_is_cut_off_and_nothing_is_changed(node):
    node.tool("ha-manager", "yes")
    refused(node, "ha-manager refuses: y y y")


@pytest.fixture
def impatient(node):
    """One whose run waits for nothing."""
    begins = "from node.main import main\n"
    hurries = "import node.ha\nnode.ha.PATIENCE = node.ha.TAKES_UP = 0\n"
    node.boot = node.boot.replace(begins, begins + hurries)
    return node


def test_a_manager_that_does_not_let_go_of_it_in_time_has_it_back(impatient):
    status = impatient.status.read_text()
    (impatient.fake / "status-after").write_text(status)
    refused(impatient, "HA's manager has not let go of it within 0 s")
    assert impatient.ha == [AWAY, back("started")]
    assert impatient.ha_events[-1] == ("done", "started")


def test_so_has_an_lrm_of_which_nothing_new_is_heard(impatient):
    impatient.has("/etc/pve/nodes/pve1/lrm_status", '{"timestamp": 1}')
    refused(impatient, "the LRM of this node has not let go of it within 0 s")
    assert "\tstate started\n" in impatient.resources.read_text()


def test_when_ha_neither_lets_go_of_it_nor_takes_it_back_somebody_has_to_look(impatient):
    (impatient.fake / "status-after").write_text(impatient.status.read_text())
    (impatient.fake / "ha-refuses-started").touch()
    done = impatient.commit()
    assert done.returncode == 3
    assert ": nothing else was changed; HA still ignores it" in done.stdout.splitlines()[-1]
    assert (impatient.conf.read_text(), impatient.restarts) == (OLD, 0)
    assert impatient.ha_events[-1] == ("held", "started")


def test_a_status_that_cannot_be_read_meanwhile_is_no_letting_go(impatient):
    (impatient.fake / "status-after").write_text("{")
    refused(impatient, "HA's manager has not let go of it")


def test_a_swap_that_is_refused_gives_it_back(node):
    node.tool("ha-manager", HA_MANAGER + 'echo "cores: 2" >>"$PHOENIX_ROOT/etc/pve/lxc/910.conf"')
    done = node.commit()
    assert done.returncode == 4, done.stdout
    assert done.stdout.splitlines()[-1].startswith("CT 910: changed: somebody changed")
    assert node.ha == [AWAY, back("started")]


# --- its two ends ---------------------------------------------------------------------------------


def test_when_the_proof_fails_the_old_conf_is_back_before_ha_is(node):
    (node.fake / "docker-denied").touch()
    done = node.commit()
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1].startswith("CT 910: restored: ")
    calls = [call.split(" --t")[0] for call in node.calls if call.startswith(("ha-", "pct"))]
    assert calls == [
        *(AWAY, "pct shutdown 910", "pct start 910", "pct shutdown 910", "pct start 910"),
        back("started"),
    ]
    assert node.conf.read_text() == OLD


def test_one_that_does_not_come_up_again_stays_out_of_has_hands_and_that_is_said(node):
    node.conf.write_text(OLD + "# boots-not\n")
    node.stage(conf=NEW + "# boots-not\n", before=sha(node.conf.read_text()))
    done = node.commit()
    assert done.returncode == 3
    last = done.stdout.splitlines()[-1]
    assert "HA ignores it until it runs: then the next run puts that back, or ha-manager" in last
    assert node.ha == [AWAY]
    assert node.ha_events == [("intent", "started"), ("held", "started")]
    # said once
    assert node.recover("--if-cut").stdout == ""


def test_the_next_run_puts_it_back_once_it_runs(node):
    test_one_that_does_not_come_up_again_stays_out_of_has_hands_and_that_is_said(node)
    runs = node.observe(runs={"unfinished": True})["runs"]["runs"]
    assert list(runs) == [RUN]
    assert node.recover().returncode == 0
    assert node.ha == [AWAY]
    node.state = "running"
    done = node.recover()
    assert done.returncode == 0, done.stdout
    assert "CT 910: back in HA's hands (started)" in done.stdout
    assert node.ha == [AWAY, back("started")]
    assert node.observe(runs={"unfinished": True})["runs"]["runs"] == {}
    assert "has ended for it already" in node.recover().stdout


def test_when_ha_does_not_take_it_back_the_commit_has_failed_and_says_so(node):
    (node.fake / "ha-refuses-started").touch()
    (node.fake / "ha-says").write_text("no quorum\n")
    done = node.commit()
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == (
        "CT 910: failed: proven; HA still ignores it (ha-manager refuses: no quorum): "
        "ha-manager set ct:910 --state started"
    )
    assert node.conf.read_text() == NEW
    (node.fake / "ha-refuses-started").unlink()
    assert node.recover().returncode == 0
    assert "\tstate started\n" in node.resources.read_text()


@pytest.mark.parametrize("state", ["stopped", "disabled", ""])
def test_what_somebody_asked_ha_for_meanwhile_stays_and_is_said(node, state):
    other = f"ct: 910\\n\tstate {state}\\n" if state else "ct: 910\\n"
    node.guest_says(
        "docker run", f"printf '{other}' >\"$PHOENIX_ROOT/etc/pve/ha/resources.cfg\"; exit 1"
    )
    done = node.commit()
    assert f"somebody set its state in HA to {state or 'started'}: it stays so" in done.stdout
    assert node.ha == [AWAY]
    assert node.ha_events[-1] == ("done", "started")


def test_one_that_somebody_took_out_of_ha_meanwhile_is_not_put_in_again(node):
    node.guest_says(
        "docker run", 'echo "vm: 100" >"$PHOENIX_ROOT/etc/pve/ha/resources.cfg"; exit 1'
    )
    done = node.commit()
    assert "HA does not manage it any more, and it stays so" in done.stdout
    assert node.resources.read_text() == "vm: 100\n"


def test_it_is_settled_again_when_the_commit_ends(node):
    assert "CT 910: back in HA's hands (started)\n" in node.commit().stdout
    assert json.loads(node.status.read_text())["service_status"]["ct:910"]["state"] == "started"


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ({}, ", but HA has not taken it up yet: see ha-manager status"),
        (
            {"ct:910": {"state": "relocate", "node": "pve1", "target": "pve2"}},
            ", but HA is moving it to pve2: see ha-manager status",
        ),
    ],
)
def test_what_ha_then_does_with_it_is_said_and_is_no_failure_of_the_commit(
    impatient, service, told
):
    nodes = {"pve1": "online"}
    status = {"node_status": nodes, "service_status": service}
    (impatient.fake / "status-before").write_text(json.dumps(status))
    done = impatient.commit()
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "CT 910: done")
    assert f"CT 910: back in HA's hands (started){told}" in done.stdout
    assert impatient.ha_events[-1] == ("done", "started")


# --- where a kill came in between -----------------------------------------------------------------


@pytest.mark.parametrize(
    "when", ["before-ignored", "after-ignored", "before-started", "after-started"]
)
def test_killed_while_ha_is_told_it_is_as_it_was_once_it_is_recovered(node, when):
    before = node.resources.read_text()
    (node.fake / f"ha-dies-{when}").touch()
    assert node.commit().returncode < 0
    assert node.recover("--if-cut").returncode == 0
    assert node.resources.read_text() == before
    assert node.ha_events[-1] == ("done", "started")
    assert node.conf.read_text() == (OLD if "ignored" in when else NEW)
    assert node.state == "running"


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("denied", [False, True], ids=["proven", "restored"])
def test_killed_at_any_line_of_the_journal_both_are_brought_to_their_ends(node, at, denied):
    before = node.resources.read_text()
    if denied:
        (node.fake / "docker-denied").touch()
    with node.killed_at("journal.jsonl", at):
        node.commit()
    node.recover("--if-cut")
    assert node.resources.read_text() == before
    assert node.state == "running"
    assert node.conf.read_text() in ((OLD,) if denied else (OLD, NEW))
    assert node.observe(runs={"unfinished": True})["runs"]["runs"] == {}
    # once more: nothing is left to do
    calls = node.calls
    node.recover()
    assert node.calls == calls


@pytest.mark.parametrize("at", range(1, 4))
def test_killed_while_it_is_recovered_the_next_one_puts_it_back(node, at):
    before = node.resources.read_text()
    with node.killed_at("journal.jsonl", 3):
        node.commit()
    with node.killed_at("journal.jsonl", at):
        node.recover()
    assert node.recover().returncode == 0
    assert node.resources.read_text() == before


def test_whoever_set_it_back_himself_has_it_taken_out_again_for_the_recovery(node):
    with node.killed_at("journal.jsonl", 3):
        node.commit()
    assert node.conf.read_text() == OLD
    (node.fake / "calls").unlink(missing_ok=True)
    node.conf.write_text(NEW)
    node.is_asked_for("started")
    done = node.recover()
    assert done.returncode == 0, done.stdout
    calls = [call for call in node.calls if call.startswith(("ha-manager", "pct"))]
    assert (calls[0], calls[-1]) == (AWAY, back("started"))


def test_a_journal_of_an_old_format_cannot_have_ha_told_anything(node):
    node.was_cut_short(conf=OLD)
    node.resources.write_text("ct: 910\n\tstate ignored\n")
    line = {"time": "2026-11-22T01:30:00Z", "ctid": 910, "event": "intent", "ha": "started"}
    (node.run / "journal.jsonl").write_text(json.dumps(line) + "\n")
    assert node.recover().returncode == 2
    assert node.ha == []
