"""What undoing a run changes on a node."""

import hashlib
import json

import pytest
from plan_cases import said

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.docker.observed import DaemonFile, ObservedDocker
from phoenix.plan.options import Options
from phoenix.plan.rollback import Node, plan_rollback
from phoenix.pve.conf import PveConf
from phoenix.pve.ha import HaService
from phoenix.pve.health import HealthCheck
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.runs.files import RunFiles
from phoenix.runs.journal import read_journal
from phoenix.runs.record import NONE

OLD = "hostname: a\nlxc.apparmor.profile: unconfined\n"
NEW = "hostname: a\nlxc.apparmor.profile: lxc-docker-nested\n"
THEIRS = '{"log-opts": {}}\n'
MERGED = '{"log-opts": {}, "storage-driver": "fuse-overlayfs"}\n'
PROFILE = "/etc/apparmor.d/lxc-docker-nested"
R1, R2, R3 = (f"r20261122T0{hour}0000Z-beef" for hour in (1, 2, 3))
TIME = {"time": "2026-11-22T01:30:00Z"}


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


# what the run staged for CT 910, and what it was planned on
STAGED = {
    "conf": NEW,
    "before": sha(OLD),
    "docker": "",
    "daemon.json": MERGED,
    "daemon-before": sha(THEIRS),
}


def journal(
    run=R1, old=OLD, new=NEW, ctid=910, end="done", undoes=None, profile=NONE, journal_format=1
):
    conf = {"ctid": ctid, "file": f"/etc/pve/lxc/{ctid}.conf"}
    found = {} if end == "refused" else {"after": sha(new if end == "done" else old)}
    lines = [
        {"event": "intent", "profile": "lxc-docker-nested", "before": profile, "after": sha("p")},
        {"event": "done", "profile": "lxc-docker-nested", "after": sha("p")},
        {"event": "intent", **conf, "before": sha(old), "after": sha(new), "ours": NONE},
        {"event": end, **conf, **found},
    ]
    begin = [{"event": "begin", "undoes": undoes}] if undoes else []
    if journal_format == 2:
        begin = [{"event": "begin", "format": 2}]
    return read_journal(run, [json.dumps({**TIME, **line}) for line in (*begin, *lines)])


def plan(
    now=NEW,
    *,
    runs=None,
    run=R1,
    on_disk="p",
    left=(),
    loaded=(),
    ct=None,
    pct=None,
    dockers=None,
    files=None,
    guest_files=None,
    staged=None,
    **options,
):
    ct = {"running": True, "pid": 1, "label": "x", "ha": None, "node": "pve1", **(ct or {})}
    observed = ObservedContainer(ctid=910, conf=PveConf(now), **ct)
    kept = RunFiles(
        files=files or {sha(OLD): OLD, sha("old p"): "old p", sha(THEIRS): THEIRS},
        guest_files=guest_files or {},
        staged={910: STAGED if staged is None else staged},
        now={PROFILE: on_disk},
        left=left,
    )
    node = Node(
        runs or [journal()],
        kept,
        pct or ObservedPct("pve1", {910: observed}),
        ObservedAppArmor(loaded=dict.fromkeys(loaded, "enforce")),
        dockers or {},
    )
    return plan_rollback(run, Options(**options), node)


def test_the_conf_goes_back_byte_for_byte_and_the_profile_goes():
    done = plan()
    (change,) = done.containers
    assert (change.before.render(), change.after.render()) == (NEW, OLD)
    assert (change.restart, change.docker, change.label) == (True, True, None)
    assert change.managed == Managed()
    assert [(file.path, file.after) for file in done.files] == [(PROFILE, None)]
    assert done.problems == ()


@pytest.mark.parametrize(
    ("noted", "conf", "architecture"),
    [
        ("arm64", "arch: arm64\n", "arm64"),
        ("riscv64", "arch: riscv64\n", "riscv64"),
        # its Docker had said so
        ("arm", "arch: arm64\n", "arm"),
        # by the version before
        ("", "arch: arm64\n", "arm64"),
        ("", "", "amd64"),
    ],
)
def test_docker_is_proven_on_what_the_run_noted_that_it_runs_on(noted, conf, architecture):
    old, new = f"{conf}{OLD}", f"{conf}{NEW}"
    (change,) = plan(
        now=new,
        runs=[journal(old=old, new=new)],
        files={sha(old): old},
        staged={**STAGED, "conf": new, "before": sha(old), "docker": noted},
    ).containers
    assert (change.docker, change.architecture) == (True, architecture)


def test_undoing_twice_is_nothing():
    assert plan(now=OLD, on_disk=None).empty


@pytest.mark.parametrize("text", [None, "old p"])
def test_of_a_profile_that_is_as_it_was_only_what_a_cut_left_beside_it_goes(text):
    runs = [journal(profile=sha(text) if text else NONE)]
    (file,) = plan(now=OLD, on_disk=text, left=(PROFILE,), runs=runs).files
    assert (file.path, file.before, file.after) == (PROFILE, text, text)
    assert plan(now=OLD, on_disk=text, runs=runs).empty


def test_a_profile_that_was_there_before_gets_its_old_text():
    (file,) = plan(runs=[journal(profile=sha("old p"))]).files
    assert (file.before, file.after, file.digest) == ("p", "old p", sha("p"))


@pytest.mark.parametrize(
    ("named", "loaded"),
    [
        ("lxc-container-default-cgns", "lxc-container-default-cgns"),
        ("lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined", "lxc-a-ns"),
    ],
)
def test_the_label_of_an_old_profile_is_proven_where_it_is_enforced(named, loaded):
    old = f"hostname: a\nlxc.apparmor.profile: {named}\n"
    runs = [journal(old=old)]
    staged = {910: {"conf": NEW, "before": sha(old)}}
    kept = RunFiles(files={sha(old): old}, now={PROFILE: "p"}, staged=staged)
    observed = ObservedContainer(
        ctid=910, conf=PveConf(NEW), running=True, pid=1, label="x", ha=None, node="pve1"
    )
    pct = ObservedPct("pve1", {910: observed})
    node = ObservedAppArmor(loaded={loaded: "enforce"})
    (change,) = plan_rollback(R1, Options(), Node(runs, kept, pct, node)).containers
    assert str(change.label) == f"{named} (enforce)"


def test_a_conf_that_somebody_changed_since_loses_only_what_the_run_changed():
    (change,) = plan(now=f"cores: 4\n{NEW}").containers
    assert change.after.render() == f"cores: 4\n{OLD}"
    assert said(change) == ("changed since: only what the run changed goes back",)


def test_a_key_that_both_changed_stops_the_rollback_unless_forced():
    now = NEW.replace("lxc-docker-nested", "lxc-mine")
    (problem,) = plan(now=now).problems
    assert "lxc.apparmor.profile is lxc-mine now" in problem
    assert problem.startswith("pve1: CT 910 a: ")
    (change,) = plan(now=now, force=True).containers
    assert change.after.render() == OLD


def test_a_profile_that_somebody_changed_since_stops_the_rollback_unless_forced():
    runs = [journal(journal_format=2)]
    done = plan(on_disk="edited", runs=runs)
    assert done.files == ()
    assert "profile lxc-docker-nested: somebody changed it since" in done.problems[0]
    assert plan(on_disk="edited", runs=runs, force=True).files[0].after is None


def test_an_earlier_run_is_refused_while_a_later_one_over_the_same_thing_stands():
    newest = "hostname: a\nlxc.apparmor.profile: lxc-phoenix-v2\n"
    runs = [journal(), journal(R2, old=NEW, new=newest)]
    (problem,) = plan(now=newest, runs=runs).problems
    assert f"run {R2} changed it later: roll that back first, with --data run={R2}" in problem


def test_an_earlier_run_is_undone_once_the_later_one_was():
    newest = "hostname: a\nlxc.apparmor.profile: lxc-phoenix-v2\n"
    undo = journal(R3, old=newest, new=NEW, undoes=R2)
    runs = [journal(), journal(R2, old=NEW, new=newest), undo]
    done = plan(now=NEW, runs=runs)
    assert (done.problems, done.containers[0].after.render()) == ((), OLD)


def test_what_the_run_itself_took_back_is_not_undone():
    assert plan(now=OLD, runs=[journal(end="restored")]).containers == ()


def test_a_container_that_moved_away_is_left_alone_with_where_it_is_and_what_to_do():
    done = plan(pct=ObservedPct("pve1", {}, {910: "pve2"}))
    assert (done.containers, done.problems) == ((), ())
    both = "undo the run on both nodes at once, PHOENIX_NODES names them"
    assert done.alone == {910: f"on pve2 now, left alone: {both}"}


@pytest.mark.parametrize(
    ("now", "ct", "problem"),
    [
        (f"lock: backup\n{NEW}", {}, "locked (backup)"),
        (NEW, {"ha": "started"}, "managed by HA"),
        (f"{NEW}\n[pve:pending]\ncores: 2\n", {}, "cores waits in [pve:pending]"),
        (
            f"{NEW}\n[pve:pending]\nlxc.environment.runtime: TZ=UTC\n",
            {},
            "env (TZ) waits in [pve:pending]",
        ),
        (f"{NEW}\n[pve:pending]\nlxc.tty.max: 2\n", {}, "lxc.tty.max in [pve:pending]"),
    ],
)
def test_a_container_that_must_be_left_alone_stops_the_rollback(now, ct, problem):
    done = plan(now=now, ct=ct)
    assert done.containers == ()
    assert problem in done.problems[0]


def test_one_that_ha_manages_goes_back_where_the_operator_says_that_a_run_may_have_it():
    ct = {"ha": "started", "service": HaService("started", "pve1")}
    (change,) = plan(ct=ct, ha=True).containers
    assert change.ha == "started"
    moving = {**ct, "service": HaService("relocate", "pve1", target="pve2")}
    done = plan(ct=moving, ha=True)
    assert done.containers == ()
    assert "HA is moving it to pve2" in done.problems[0]


def test_a_stopped_container_stays_stopped():
    (change,) = plan(ct={"running": False, "pid": None}).containers
    assert change.restart is False


def test_with_only_the_files_of_the_node_stay():
    done = plan(only="910")
    assert [change.ctid for change in done.containers] == [910]
    assert done.files == ()


def test_a_before_image_that_is_not_there_is_said_and_nothing_is_planned():
    staged = {**STAGED, "before": sha("lost")}
    (problem,) = plan(now=NEW, runs=[journal(old="lost")], staged=staged).problems
    assert f"the conf from before run {R1} is not kept" in problem


# --- in the guest -------------------------------------------------------------------------------


def guest_journal(before=None, journal_format=1):
    """Packages and daemon.json, within the commit of a conf that stays as it is."""
    drivers = {"driver_before": "overlay2", "driver": "fuse-overlayfs"}
    file = {"ctid": 910, "file": "/etc/docker/daemon.json"}
    conf = {"ctid": 910, "file": "/etc/pve/lxc/910.conf"}
    first = [{"event": "begin", "format": 2}] if journal_format == 2 else []
    lines = [
        {"ctid": 910, "event": "intent", "packages": "fuse-overlayfs"},
        {"ctid": 910, "event": "done", "packages": "fuse-overlayfs libfuse3-4:amd64"},
        {"event": "intent", **conf, "before": sha(NEW), "after": sha(NEW), "ours": NONE},
        {
            "event": "intent",
            **file,
            "before": before or sha(THEIRS),
            "after": sha(MERGED),
            **drivers,
        },
        {"event": "done", **file, "after": sha(MERGED)},
        {"event": "done", **conf, "after": sha(NEW)},
    ]
    return read_journal(R1, [json.dumps({**TIME, **line}) for line in (*first, *lines)])


def docker(text, **more):
    given = {"manager": "apt", "packages": {"fuse-overlayfs": "ii"}, **more}
    return {910: ObservedDocker("ok", file=DaemonFile(text) if text else None, **given)}


def test_daemon_json_goes_back_with_the_driver_and_the_packages():
    done = plan(runs=[guest_journal()], dockers=docker(MERGED))
    (change,) = done.containers
    assert (change.guest.before, change.guest.after) == (MERGED, THEIRS)
    assert (change.driver, change.driver_before) == ("overlay2", "fuse-overlayfs")
    assert not change.restart
    (removal,) = done.removals
    assert removal.packages == ("fuse-overlayfs", "libfuse3-4:amd64")


def test_a_daemon_json_that_the_run_brought_goes():
    staged = {**STAGED, "daemon-before": NONE}
    (change,) = plan(runs=[guest_journal(NONE)], dockers=docker(MERGED), staged=staged).containers
    assert change.guest.after is None


@pytest.mark.parametrize(
    "packages",
    [{"fuse-overlayfs": "un"}, {"fuse-overlayfs": "rc", "docker.io": "ii"}, {"docker.io": "ii"}],
    ids=["unknown", "removed", "purged"],
)
def test_a_guest_that_is_as_it_was_is_left_alone(packages):
    there = docker(THEIRS, packages=packages)
    assert plan(runs=[guest_journal()], dockers=there).empty


def test_a_daemon_json_that_somebody_changed_since_stops_the_rollback_unless_forced():
    (problem,) = plan(runs=[guest_journal()], dockers=docker("{}\n")).problems
    assert "/etc/docker/daemon.json: somebody changed it since" in problem
    forced = plan(runs=[guest_journal()], dockers=docker("{}\n"), force=True)
    assert forced.containers[0].guest.after == THEIRS


def test_a_guest_that_does_not_run_keeps_its_daemon_json_and_its_packages_with_a_note():
    done = plan(runs=[guest_journal()], ct={"running": False, "pid": None})
    assert done.empty
    assert any("its /etc/docker/daemon.json stays" in note for note in done.notes)
    assert any("keeps its packages: fuse-overlayfs" in note for note in done.notes)


@pytest.mark.parametrize("state", ["hung", "failed", "flooded", "noshell"])
def test_a_guest_that_cannot_be_asked_is_left_alone_and_the_others_go_back(state):
    there = {910: ObservedDocker(state, error="\x1b[2J")}
    done = plan(runs=[guest_journal()], dockers=there)
    assert (done.problems, done.containers) == ((), ())
    said = f"CT 910 a: left alone: its /etc/docker/daemon.json cannot be read: Docker is {state}"
    assert done.notes[0].startswith(said)
    assert "left alone: its /etc/docker/daemon.json cannot be read" in done.alone[910]
    assert done.notes[0].isprintable()
    (problem,) = plan(runs=[guest_journal()], dockers=there, only=910).problems
    assert problem.startswith(f"pve1: {said}")


def test_what_a_guest_had_comes_from_its_own_store():
    runs = [guest_journal(journal_format=2)]
    kept = {910: {sha(THEIRS): THEIRS}}
    (change,) = plan(runs=runs, dockers=docker(MERGED), files={"": ""}, guest_files=kept).containers
    assert change.guest.after == THEIRS
    # neither the node's own files nor those of another guest stand in for it
    for others in ({}, {952: kept[910]}):
        (problem,) = plan(runs=runs, dockers=docker(MERGED), guest_files=others).problems
        assert f"what was there before run {R1} is not kept" in problem
    # the version before kept all of it in one place
    assert plan(runs=[guest_journal()], dockers=docker(MERGED)).containers


def test_the_node_gets_nothing_back_that_a_guest_had():
    kept = {910: {sha(OLD): OLD, sha("old p"): "old p"}}
    runs = [journal(profile=sha("old p"))]
    done = plan(runs=runs, files={"": ""}, guest_files=kept)
    assert (done.containers, done.files) == ((), ())
    assert [problem.rpartition(" is ")[2] for problem in done.problems] == ["not kept"] * 2


def test_a_before_image_that_is_not_whole_is_none():
    files = {sha(OLD): f"{OLD}lxc.hook.start: /tmp/x\n", sha("old p"): "profile x {}"}
    done = plan(runs=[journal(profile=sha("old p"))], files=files)
    assert (done.containers, done.files) == ((), ())
    assert f"the conf from before run {R1} is not whole" in done.problems[0]
    assert f"what was there before run {R1} is not whole" in done.problems[1]
    runs = [guest_journal(journal_format=2)]
    kept = {910: {sha(THEIRS): "{}"}}
    (problem,) = plan(runs=runs, dockers=docker(MERGED), guest_files=kept).problems
    assert f"what was there before run {R1} is not whole" in problem


def test_a_name_from_a_conf_is_fit_for_a_terminal():
    done = plan(now=f"lock: backup\n{NEW}".replace(": a\n", ": a\x1b[2J\u202e\n"))
    assert "CT 910 a\\x1b[2J\\u202e: locked (backup)" in done.problems[0]


# --- a journal of the version before, in which a guest had a word --------------------------------

OTHERS = "hostname: b\nlxc.mount.entry: /srv/b srv/b none bind 0 0\n"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "staged",
    [
        {},
        {"conf": NEW},
        {**STAGED, "before": sha(OTHERS)},
        {**STAGED, "conf": f"cores: 4\n{NEW}"},
    ],
    ids=["nothing", "no before", "another before", "another conf"],
)
def test_a_conf_goes_back_only_to_what_the_run_was_planned_on(staged, force):
    for now in (NEW, OTHERS):
        done = plan(now=now, staged=staged, force=force)
        assert done.containers == ()
        assert (
            f"the journal of run {R1} is of an older version, and what it says of "
            "/etc/pve/lxc/910.conf is not what lies in /var/lib/phoenix-harden/runs/"
        ) in done.problems[0]


@pytest.mark.parametrize("force", [False, True])
def test_no_guest_gets_the_conf_of_another_one(force):
    # all of it is what a guest printed; the image is kept, for CT 952 was changed as well
    forged = [journal(old=OTHERS)]
    files = {sha(OLD): OLD, sha(OTHERS): OTHERS}
    assert plan(runs=forged, files=files, force=force).containers == ()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("key", ["daemon.json", "daemon-before"])
def test_a_daemon_json_goes_back_only_to_what_the_run_was_planned_on(key, force):
    for staged in (
        {one: text for one, text in STAGED.items() if one != key},
        {**STAGED, key: "{}\n"},
    ):
        there = docker(MERGED)
        done = plan(runs=[guest_journal()], dockers=there, staged=staged, force=force)
        assert done.containers == ()
        assert "what it says of /etc/docker/daemon.json is not what lies in" in done.problems[0]


def test_where_it_restarted_on_another_conf_than_planned_that_counts_as_what_the_run_left():
    started = NEW.replace("hostname: a", "hostname: a\nlxc.tty.max: 2")
    lines = [
        {"event": "intent", "before": sha(OLD), "after": sha(NEW), "ours": NONE},
        {"event": "done", "after": sha(started)},
    ]
    conf = {**TIME, "ctid": 910, "file": "/etc/pve/lxc/910.conf"}
    runs = [read_journal(R1, [json.dumps({**conf, **line}) for line in lines])]
    (change,) = plan(now=started, runs=runs).containers
    assert change.after.render() == OLD


def test_of_a_file_of_the_node_nothing_but_what_the_run_left_goes_back_not_even_with_force():
    (problem,) = plan(now=OLD, on_disk="edited", force=True).problems
    assert problem.endswith("put it right by hand")


def test_a_conf_that_somebody_changed_since_stays_if_nothing_tells_what_the_run_changed():
    runs = [journal(journal_format=2)]
    for force in (False, True):
        done = plan(now=f"cores: 4\n{NEW}", runs=runs, staged={}, force=force)
        assert done.containers == ()
        assert f"what run {R1} staged for it is gone" in done.problems[0]
    (change,) = plan(runs=runs, staged={}).containers
    assert change.after.render() == OLD


@pytest.mark.parametrize("staged", ["{", '{"argv": []}'])
def test_the_check_that_the_run_had_is_asked_in_its_rollback_if_it_can_be_read(staged):
    check = HealthCheck(("sh", "-c", "true"))
    for health, asked in ((check.render(), check), (staged, None)):
        (change,) = plan(staged={**STAGED, "health": health}).containers
        assert change.health == asked


# --- a Docker that the run installed --------------------------------------------------------------

FRESH = '{\n    "storage-driver": "fuse-overlayfs"\n}\n'


def installed_by(run=R1, before=NONE, came="docker.io containerd fuse-overlayfs", conf=True):
    """The journal of a run that confined CT 910 and brought it Docker."""
    file = {"ctid": 910, "file": "/etc/docker/daemon.json"}
    drivers = {"driver_before": "", "driver": "fuse-overlayfs"}
    pve = {"ctid": 910, "file": "/etc/pve/lxc/910.conf"}
    lines = [
        {"event": "begin", "format": 2},
        {"event": "intent", **pve, "before": sha(OLD), "after": sha(NEW), "ours": NONE},
        {"event": "done", **pve, "after": sha(NEW)},
        {"event": "intent", **file, "before": before, "after": sha(FRESH), **drivers},
        {"event": "done", **file, "after": sha(FRESH)},
    ]
    if not conf:
        del lines[1:3]
    if came:
        lines += [{"ctid": 910, "event": event, "packages": came} for event in ("intent", "done")]
    return [read_journal(run, [json.dumps({**TIME, **line}) for line in lines])]


def docker_of_ours(state="ok", text=FRESH, **more):
    file = None if text is None else DaemonFile(text)
    known = {"manager": "apt", "packages": {"docker.io": "ii", "fuse-overlayfs": "ii"}, **more}
    return {910: ObservedDocker(state, driver="fuse-overlayfs", file=file, **known)}


def undo(dockers=None, runs=None, **more):
    staged = {"conf": NEW, "before": sha(OLD)}
    return plan(
        runs=runs or installed_by(), dockers=dockers or docker_of_ours(), staged=staged, **more
    )


def test_docker_goes_whole_before_the_conf_goes_back():
    done = undo()
    (removal,) = done.removals
    assert removal.packages == ("docker.io", "containerd", "fuse-overlayfs")
    assert (removal.daemon.before, removal.daemon.after) == (FRESH, None)
    (change,) = done.containers
    assert (change.after.text, change.guest, change.docker) == (OLD, None, False)
    assert done.actions[:2] == (removal, change)


def test_a_daemon_json_that_was_there_before_docker_goes_back_with_it():
    runs = installed_by(before=sha(THEIRS))
    (removal,) = undo(runs=runs, guest_files={910: {sha(THEIRS): THEIRS}}).removals
    assert removal.daemon.after == THEIRS


@pytest.mark.parametrize(
    ("docker", "held"),
    [
        (docker_of_ours(images=2), "2 images"),
        (docker_of_ours(volumes=1), "1 volume"),
        (docker_of_ours("dead", containers=1), "1 container"),
        (docker_of_ours("dead", stores={"fuse-overlayfs": 3}), "3 layers"),
    ],
)
def test_a_docker_that_holds_something_stays_and_so_does_the_conf_that_it_needs(docker, held):
    done = undo(docker)
    assert (done.containers, done.removals, done.problems) == ((), (), ())
    assert f"its Docker holds {held}: it stays" in done.notes[0]
    assert "docker system prune" in undo(docker, only=(910,)).problems[0]


def test_what_is_gone_already_is_nothing_to_undo_twice():
    gone = docker_of_ours("none", text=None, packages={})
    assert undo(gone, now=OLD).empty


def test_of_one_that_was_cut_short_daemon_json_goes_and_so_do_packages_without_it():
    (removal,) = undo(docker_of_ours("none", packages={}), runs=installed_by(came="")).removals
    assert (removal.packages, removal.daemon.after) == ((), None)
    (removal,) = undo(docker_of_ours("none", text=None, packages={"runc": "ii"})).removals
    assert removal.packages == ("docker.io", "containerd", "fuse-overlayfs")


def test_a_daemon_json_that_somebody_has_changed_since_is_a_conflict():
    changed = docker_of_ours(text='{"debug": true}')
    done = undo(changed)
    assert (done.containers, done.removals) == ((), ())
    assert "somebody changed it since" in done.problems[0]
    (removal,) = undo(changed, force=("conflicts",)).removals
    assert removal.daemon.before == '{"debug": true}'


def test_a_container_that_does_not_run_keeps_its_docker_and_its_conf_goes_back():
    done = undo(ct={"running": False, "pid": None, "label": None})
    assert (len(done.containers), done.removals) == (1, ())
    assert any("stopped: its /etc/docker/daemon.json stays" in note for note in done.notes)


def test_one_that_cannot_be_asked_is_left_alone():
    done = undo(docker_of_ours("hung", manager=""))
    assert (done.containers, done.removals) == ((), ())


def test_a_run_that_only_installed_docker_takes_only_that_out():
    done = undo(runs=installed_by(conf=False))
    assert (done.containers, len(done.removals)) == ((), 1)
