"""Whose a process is, by what the node's kernel says of it."""

import time

import pytest

from node import owner

ENGINE = "e3" * 32


@pytest.fixture
def lives(tmp_path, monkeypatch):
    """A process in these groups, since so many seconds."""
    monkeypatch.setenv("PHOENIX_ROOT", str(tmp_path))

    def lives(groups, since=60.0, name="a) b"):
        folder = tmp_path / "proc/7"
        folder.mkdir(parents=True)
        ticks = int((time.clock_gettime(time.CLOCK_BOOTTIME) - since) * 100)
        (folder / "stat").write_text(
            f"7 ({name}) {' '.join(['S', '1', *['0'] * 17, str(ticks)])}\n"
        )
        (folder / "cgroup").write_text(groups)

    return lives


@pytest.mark.parametrize(
    ("groups", "whose"),
    [
        ("0::/lxc/910/ns/init.scope\n", (910, "")),
        ("0::/lxc/910\n", (910, "")),
        ("0::/lxc.payload.910/init.scope\n", (910, "")),
        (f"0::/lxc/910/ns/system.slice/docker-{ENGINE}.scope\n", (910, ENGINE)),
        (f"0::/lxc/910/ns/docker/{ENGINE}\n", (910, ENGINE)),
        (f"0::/lxc/910/ns/docker/{ENGINE}/docker/{'0f' * 32}/x\n", (910, ENGINE)),
        (f"0::/lxc/910/ns/machine.slice/libpod-{ENGINE}.scope/container\n", (910, ENGINE)),
        (f"12:pids:/lxc/910/docker/{ENGINE}\n0::/\n", (910, ENGINE)),
        # what a guest calls its groups by itself names no other container
        ("0::/lxc/910/ns/x:/lxc/952/ns\n", (910, "")),
        (f"0::/lxc/910/ns/docker-{ENGINE}0.scope\n", (910, "")),
        (f"0::/lxc/910/ns/{ENGINE.upper()}\n", (910, "")),
        ("0::/lxc.monitor/910\n", None),
        ("0::/lxc/0910/ns\n", None),
        ("0::/system.slice/x:/lxc/952/ns\n", None),
        ("", None),
    ],
)
def test_the_beginning_of_its_group_names_the_container_and_the_rest_the_engines(
    lives, groups, whose
):
    lives(groups)
    assert owner.find(7) == whose


def test_one_that_has_gone_is_nobodys(lives):
    lives("0::/lxc/910/ns\n")
    assert owner.find(8) is None


@pytest.mark.parametrize(("ago", "whose"), [(59.0, (910, "")), (60.0, (910, "")), (61.0, None)])
def test_one_that_began_after_the_line_has_only_got_the_number(lives, ago, whose):
    lives("0::/lxc/910/ns\n")
    assert owner.find(7, time.time() - ago) == whose
