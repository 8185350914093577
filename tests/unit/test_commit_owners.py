"""commit: what the owner runs in the container works afterwards, or the old state is back."""

import pytest
from commit_node import NEW, OLD, Node

BEFORE = """\
works 1
unit active running nginx.service
unit failed failed old.service
boots nginx.service
container running - always 2026-11-26T20:00:00Z /db
end
"""


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = Node(tmp_path)
    (node.fake / "works-before").write_text(BEFORE)
    (node.fake / "works-after").write_text(BEFORE)
    # nothing moves in a fake guest: there is nothing to wait for
    monkeypatch.setenv("PHOENIX_OWNERS_PATIENCE", "0")
    monkeypatch.setenv("PHOENIX_OWNERS_LATER", "0")
    return node


def after(node, old, new):
    assert old in BEFORE
    (node.fake / "works-after").write_text(BEFORE.replace(old, new))


def test_where_all_works_as_before_it_is_done(node):
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (0, NEW)
    assert "CT 910: not working before, so not checked: unit old.service (failed)" in done.stdout
    assert "CT 910: ok what its owner runs works as before" in done.stdout


def test_a_container_that_does_not_come_back_brings_the_old_state_back_and_says_why(node):
    after(node, "running - always", "exited - always")
    node.guest_says("-f {{.State.Error}}", "echo 'mount: permission denied'")
    node.guest_says("docker logs", "printf 'one\\033[2J\\ntwo\\n'")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert node.events == ["intent", "started", "back", "restored"]
    said = done.stdout
    assert "CT 910: container db is exited, it was running" in said
    assert "CT 910:   mount: permission denied" in said
    assert "CT 910:   one\\x1b[2J" in said
    assert "CT 910: to go on without: --data accept=db" in said
    assert "not back with the old conf" not in said


def test_a_docker_in_which_nothing_returns_by_itself_is_asked_once(node):
    by_hand = BEFORE.replace("running - always", "running - no")
    (node.fake / "works-before").write_text(by_hand)
    (node.fake / "works-after").write_text(BEFORE.replace("running - always", "exited - no"))
    assert node.commit().returncode == 0
    # the words that follow the script itself
    asked = [call for call in node.calls if call.startswith(" works ")]
    assert asked == [" works 0", *[" works 120 :no-containers"] * 2]


def test_after_the_restart_those_that_return_are_asked_for_by_their_names(node):
    assert node.commit().returncode == 0
    asked = [call for call in node.calls if call.startswith(" works ")]
    assert asked == [" works 0", *[" works 120 :containers db"] * 2]


def test_many_of_them_are_no_words_of_a_command(node):
    many = "".join(f"container running - always 2026-11-26T20:00:00Z /c{n}\n" for n in range(51))
    for when in ("before", "after"):
        (node.fake / f"works-{when}").write_text(BEFORE.replace("end\n", f"{many}end\n"))
    assert node.commit().returncode == 0
    asked = [call for call in node.calls if call.startswith(" works ")]
    assert asked == [" works 0", *[" works 120"] * 2]


def test_a_unit_that_fails_brings_the_old_state_back(node):
    after(node, "active running nginx", "failed failed nginx")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert "CT 910: unit nginx.service has failed" in done.stdout


def test_what_the_owner_goes_without_stops_nothing(node):
    after(node, "running - always", "exited - always")
    node.stage(accept="db\nnginx.service")
    assert node.commit().returncode == 0


def test_what_is_not_back_with_the_old_conf_either_is_said_and_is_no_failure_of_it(node):
    after(node, "running - always", "exited - always")
    for number in (5, 6):
        dead = BEFORE.replace("running - always", "dead - always")
        (node.fake / f"works-{number}").write_text(dead)
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert "not back with the old conf either: container db is dead" in done.stdout
    assert done.stdout.endswith("restored: the old conf is back and the container runs with it\n")


def test_a_guest_that_cannot_tell_before_is_proven_by_its_docker_alone(node):
    (node.fake / "works-before").write_text("works 1\n")
    done = node.commit()
    assert done.returncode == 0
    assert "what works in it cannot be told (its answer is not whole)" in done.stdout


def test_a_guest_that_can_no_longer_tell_is_not_proven(node):
    (node.fake / "works-after").write_text("")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1, OLD)
    assert "what works in it cannot be told any more" in done.stdout


def test_whoever_takes_up_a_commit_that_was_cut_short_knows_what_worked(node):
    node.stage(works=BEFORE)
    node.was_cut_short("intent", "started", conf=NEW)
    after(node, "running - always", "exited - always")
    done = node.recover()
    assert done.returncode == 1
    assert "CT 910: container db is exited, it was running" in done.stdout


def test_a_container_that_runs_now_and_then_is_not_done(node):
    (node.fake / "works-3").write_text(BEFORE.replace("20:00:00Z /db", "20:09:00Z /db"))
    done = node.commit()
    assert done.returncode == 1
    assert "CT 910: container db has ended and begun anew" in done.stdout


def test_a_docker_that_cannot_be_asked_before_is_said_and_afterwards_is_no_proof(node):
    silent = BEFORE.replace("container running - always 2026-11-26T20:00:00Z /db", "silent docker")
    (node.fake / "works-after").write_text(silent)
    done = node.commit()
    assert done.returncode == 1
    assert "cannot be told any more: its docker does not answer" in done.stdout
    (node.fake / "works-before").write_text(silent)
    done = node.commit()
    assert done.returncode == 0
    assert "docker cannot be asked: its containers were not checked" in done.stdout


def test_with_another_storage_driver_its_containers_are_not_asked_for(node):
    node.stage(**{"daemon-before": "none", "daemon.json": "{}", "driver": "overlay2"})
    after(node, "container running - always 2026-11-26T20:00:00Z /db\n", "")
    done = node.commit()
    assert "another storage driver: its containers of the old one are not asked for" in done.stdout
    assert "container db" not in done.stdout


def test_of_however_much_that_is_missing_some_is_told(node):
    many = "".join(f"unit failed failed x{number}.service\n" for number in range(3000))
    after(node, "end\n", f"{many}end\n")
    done = node.commit()
    assert done.returncode == 1
    assert "CT 910: and 2980 more" in done.stdout
    assert len(done.stdout) < 20_000


def test_a_container_that_ends_in_the_quiet_time_after_the_proof_is_not_done(node):
    node.stage(settle="1")
    (node.fake / "works-3").write_text(BEFORE.replace("20:00:00Z /db", "20:09:00Z /db"))
    done = node.commit()
    assert done.returncode == 1
    assert "CT 910: container db has ended and begun anew" in done.stdout
