"""What fell over since a run proved it, in words."""

from phoenix.fallen import Fallen, Thing, fallen_lines

WEB = Thing("container", "web", "is exited, it was running")
REDIS = Thing("unit", "redis.service", "has failed")


def test_each_thing_has_a_line_with_the_run_and_where_its_guest_says_why():
    fallen = {952: Fallen("r2", (WEB,), more=3), 910: Fallen("r1", (REDIS,))}
    assert [*fallen_lines("pve1", fallen)] == [
        "pve1: worked when a run proved it, and fell over since:",
        "  CT 910: unit redis.service has failed (r1): journalctl -u redis.service",
        "  CT 952: container web is exited, it was running (r2): docker logs web",
        "  CT 952: and 3 more",
    ]


def test_where_nothing_fell_over_nothing_is_said():
    assert [*fallen_lines("pve1", {})] == []
