"""What a stack is made of is compared with what it was."""

from __future__ import annotations

from lab.recipe import STACKS
from lab.versions import changes, seen


def test_every_stack_is_written_down_with_the_same_parts():
    parts = [{*seen(stack)} for stack in STACKS.values()]
    assert parts[0] >= {"kernel", "LXC", "AppArmor", "docker.io", "containerd", "runc"}
    assert all(one == parts[0] for one in parts)


def test_what_is_the_same_is_not_told():
    assert changes({"kernel": "7.2"}, {"kernel": "7.2"}) == []


def test_what_came_went_or_changed_is_told_in_words():
    before = {"kernel": "7.2.12", "LXC": "7.0.0", "systemd": "260"}
    now = {"kernel": "7.3.1", "LXC": "7.0.0", "runc": "1.4"}
    assert changes(before, now) == [
        "kernel 7.2.12 -> 7.3.1",
        "systemd 260 -> gone",
        "runc not there -> 1.4",
    ]
