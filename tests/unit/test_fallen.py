"""What fell over since a run proved it, in words."""

from phoenix.docker.fallen import Fallen, Thing, fallen_lines

WEB = Thing("container", "web", "is restarting, it was running")
PODMAN = Thing("container", "podman:db", "is dead, it was running")
MOUNT = Thing("unit", r"mnt-a\x2db.mount", "has failed")


def test_each_thing_has_a_line_with_the_run_and_where_its_guest_says_why():
    fallen = {952: Fallen("r2", (WEB, PODMAN), more=3), 910: Fallen("r1", (MOUNT,))}
    fallen[954] = Fallen("r1", why="gave no answer in time")
    assert [*fallen_lines("pve1", fallen)] == [
        "pve1: worked when a run proved it, and fell over since:",
        r"  CT 910: unit mnt-a\x2db.mount has failed (r1): journalctl -u 'mnt-a\x2db.mount'",
        "  CT 952: container web is restarting, it was running (r2): docker logs web",
        "  CT 952: container podman:db is dead, it was running (r2): podman logs db",
        "  CT 952: and 3 more",
        "  CT 954: cannot be told: gave no answer in time",
    ]


def test_where_nothing_fell_over_nothing_is_said():
    assert [*fallen_lines("pve1", {})] == []
