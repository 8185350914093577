"""What a commit costs: the programs that it starts, each of which takes a real node seconds."""

from collections import Counter

import pytest
from commit_node import NEW, Node

STACKED = "lxc-docker-nested//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"


def made(folder):
    folder.mkdir()
    node = Node(folder)
    node.tool("nsenter", 'echo nsenter >>"$FAKE/calls"; echo phoenix-harden')
    for when in ("before", "after"):
        (node.fake / f"works-{when}").write_text("works 1\nend\n")
    return node


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setenv("PHOENIX_OWNERS_LATER", "0")
    return made(tmp_path / "node")


def started(node):
    """What was started, each call in a word or two, in their order."""
    scripts = {"until said=": "dockerd is ready", "echo 'works 1'": "what works"}
    found = []
    for line in (node.fake / "calls").read_text().splitlines():
        if line.startswith(("pct ", "nsenter")):
            found.append(" ".join(line.split()[:2]))
        elif line.startswith("guest docker "):
            found.append(" ".join(line.split()[1:3]))
        elif line.startswith("guest sh -c docker rm"):
            found.append("removal")
        elif what := next((word for start, word in scripts.items() if start in line), ""):
            found.append(what)
    return found


def test_a_restarted_container_costs_no_pct_status(node):
    assert node.commit().returncode == 0
    assert Counter(line for line in node.calls if line.startswith("pct")) == {
        "pct shutdown 910 --timeout 90": 1,
        "pct start 910": 1,
    }


def test_a_restarted_container_costs_eight_calls_into_its_guest_and_one_into_its_network(node):
    assert node.commit().returncode == 0
    assert started(node)[:9] == [
        "what works",
        "pct shutdown",
        "pct start",
        "dockerd is ready",
        "what works",
        "docker import",
        "docker run",
        "docker port",
        "nsenter",
    ]
    # beside each other: the one does not wait for the other
    assert sorted(started(node)[9:]) == ["docker rm", "docker rmi", "removal", "what works"]


def test_neither_a_driver_nor_apparmor_in_it_costs_another_question(node, tmp_path):
    node.commit()
    other = made(tmp_path / "other")
    other.stage(driver="overlay2", label=STACKED)
    other.label.write_text(f"{STACKED}\n")
    done = other.commit()
    assert done.returncode == 0, done.stdout
    assert "note: Docker finds no AppArmor in it" in done.stdout
    assert Counter(started(other)) == Counter(started(node))


def test_a_stopped_container_costs_no_program_at_all(node):
    node.state = "stopped"
    (node.run / "910/restart").unlink()
    assert node.commit().returncode == 0
    assert (node.conf.read_text(), node.calls) == (NEW, [])
