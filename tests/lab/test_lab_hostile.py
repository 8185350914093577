"""Guests that are the attacker: what they do while they are looked at, hardened and rolled back.

Whatever it is, the node is as it was to the byte, every step ends within its limit, the others are
hardened as ever, and the screen shows text and nothing else. `hostile.unharmed` looks at all that.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confined import wear
from hostile import HERE, UNPRINTABLE, Hostile, end, finish, unharmed
from on_node import ENFORCED, conf, pyinfra

from phoenix.plan.confinement import Confinement

pytestmark = pytest.mark.lab

#: How many times as long anything takes on a loaded machine.
LOADED = 3
#: Seconds. A guest has 60 to answer; the rest is for pyinfra and for a node that is emulated.
AUDIT = LOADED * (60 + 60)
#: A restart, a start of Docker and a container of ours, as they take where all is well.
CONTAINER = LOADED * 120
#: Twice what dockerd has at most, and a restart: for the proof, and for that of the way back.
GATE = 2 * (180 + CONTAINER)
#: A daemon.json that does not end is refused before anything is restarted.
REFUSED = LOADED * (60 + 60)

DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1", "fuse=1"],
    "apparmor_profile": "lxc-docker-nested",
    "storage_driver": "keep",
}
SWITCHED = {**DOCKER, "storage_driver": "fuse-overlayfs"}
NO_DOCKER = {"apparmor_profile": "generated"}
EMPTY = "docker system prune -af --volumes >/dev/null"


@pytest.fixture
def fleet(tmp_path):
    """Writes a fleet file, the containers in the order in which they are given."""

    def write(entries):
        path = tmp_path / "fleet.json"
        path.write_text(json.dumps({"lxc_configs": {str(ct): one for ct, one in entries.items()}}))
        return path

    return write


@pytest.fixture
def inventory_with_a_terminal(tmp_path):
    """The lab's node; what runs there has a terminal, as all has with @local."""
    path = tmp_path / "nodes.py"
    path.write_text(
        "import inventory\n"
        "nodes = [(name, {**data, '_get_pty': True}) for name, data in inventory.nodes]\n"
    )
    return path


def guests(node, wanted):
    """Make containers hostile: CTID to mode, or to mode and kind of daemon.json."""
    pairs = {ctid: one if isinstance(one, tuple) else (one, None) for ctid, one in wanted.items()}
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda ctid: Hostile(node, ctid).install(*pairs[ctid]), pairs))


def row(ran, ctid):
    """The line of a container in the audit's table, or in that of results."""
    rows = re.findall(rf"^{ctid} .*", ran.out + ran.err, re.MULTILINE)
    assert rows, f"no line for CT {ctid}: {ran}"
    return rows[-1]


def settled(node):
    """Wait until no unit of ours is there any more: what was killed is recovered in it."""
    units = "systemctl list-units --plain --no-legend 'phoenix-harden-*'"
    node.ssh(f"while {units} | grep -q .; do sleep 0.2; done", timeout=GATE)


def audited(node, fleet, tmp_path, wanted, **how):
    """Audit hostile guests beside CT 954, which is none; gives the guests, and what was said."""
    hostile = guests(node, wanted)
    file = fleet(dict.fromkeys([*wanted, 954], DOCKER))
    with unharmed(node, hostile) as look:
        ran = look.run("audit", limit=AUDIT, fleet=file, report=tmp_path, **how)
        assert ran.code == 0
        for ctid in wanted:
            assert "!!" in row(ran, ctid)
        assert re.search(
            r" unconfined +[0-9.]+\+dfsg[0-9]+ fuse-overlayfs +!!  drift: ", row(ran, 954)
        )
        for name in ("audit.html", "audit.json"):
            text = (tmp_path / name).read_text()
            assert not UNPRINTABLE.search(text.replace("\t", "")), name
    return hostile, ran


def test_an_audit_shows_every_container_though_guests_hang_cling_and_forge(
    clean_lab, fleet, tmp_path
):
    wanted = {910: "hangs", 952: ("clings", "huge"), 953: "deep", 956: ("speaks", "twice")}
    hostile, _ = audited(clean_lab, fleet, tmp_path, wanted)
    assert hostile[1].saw()


@pytest.mark.long
def test_an_audit_from_a_terminal_gives_no_guest_that_terminal(
    clean_lab, fleet, tmp_path, inventory_with_a_terminal
):
    wanted = {910: "floods", 952: ("numbers", "grows"), 953: ("clings", "fifo"), 956: "moves"}
    how = {"inventory": inventory_with_a_terminal}
    hostile, ran = audited(clean_lab, fleet, tmp_path, wanted, **how)
    assert hostile[2].saw()
    assert "password" not in ran.out + ran.err


@pytest.mark.long
def test_a_guest_that_clings_is_hardened_and_so_is_the_next_one_whatever_a_third_one_is(
    clean_lab, fleet
):
    guest = Hostile(clean_lab, 952)
    guest.inside(EMPTY)
    hostile = guests(clean_lab, {910: "moves", 952: ("clings", "mine")})
    file = fleet({910: DOCKER, 952: SWITCHED, 956: NO_DOCKER})
    with unharmed(clean_lab, hostile, changes=(952, 956)) as look:
        ran = look.run("harden", limit=2 * CONTAINER, fleet=file)
        assert row(ran, 952).endswith(" done")
        assert row(ran, 956).endswith(" done")
        assert clean_lab.label(952) == ENFORCED
        assert clean_lab.label(956).startswith("lxc-956_</var/lib/lxc>//&")
        assert guest.saw()


@pytest.mark.long
def test_a_gate_that_never_ends_and_then_lies_brings_the_old_conf_back(clean_lab, fleet):
    [guest] = guests(clean_lab, {952: "stalls"})
    clean_lab.ssh("echo secret >/root/name-of-a-secret")
    before = {ctid: conf(clean_lab, ctid) for ctid in (952, 956)}
    with unharmed(clean_lab, [guest], changes=(952,)) as look:
        ran = look.run("harden", limit=GATE, fleet=fleet({952: DOCKER, 956: NO_DOCKER}))
        assert ran.code == 1
        assert {ctid: conf(clean_lab, ctid) for ctid in (952, 956)} == before
        assert row(ran, 956).endswith(" not begun")
        assert clean_lab.label(952) == "unconfined"
        assert "name-of-a-secret" not in "".join(guest.saw())


@pytest.mark.long
def test_a_commit_that_is_killed_goes_back_and_with_a_guest_that_forges_it_is_rolled_back(
    clean_lab, fleet
):
    guest = Hostile(clean_lab, 952)
    guest.inside(EMPTY)
    guest.install("stalls", daemon_json="mine")
    before = conf(clean_lab, 952)
    file = fleet({952: SWITCHED})
    with unharmed(clean_lab, [guest], changes=(952,)) as look:
        with look.begin("harden", fleet=file) as run:
            until(lambda: guest.been("import") or run.poll() is not None, 2 * CONTAINER)
            end(run)
            print(finish(run, 10))
        # systemd 262 would kill what takes it up as well
        clean_lab.ssh("systemctl kill --kill-whom=main -s KILL 'phoenix-harden-*'")
        settled(clean_lab)
        # by itself, and with a guest that lies to its second proof as well
        assert conf(clean_lab, 952) == before
        guest.mode("forges")
        ran = look.run("harden", limit=2 * CONTAINER, fleet=file)
        assert row(ran, 952).endswith(" done")
        # it fails the proof of the way back as well: so it stays as confined as it is
        guest.mode("speaks")
        ran = look.run("rollback", limit=GATE)
        assert ran.code == 1
        assert clean_lab.label(952) == ENFORCED
        guest.mode("honest")
        ran = look.run("rollback", limit=GATE)
        assert ran.code == 0
        assert conf(clean_lab, 952) == before


@pytest.mark.long
def test_a_daemon_json_that_no_longer_ends_is_not_read_to_its_end(clean_lab, fleet):
    guest = Hostile(clean_lab, 952)
    guest.inside(EMPTY)
    guest.install("swaps", daemon_json="mine")
    before = conf(clean_lab, 952)
    with unharmed(clean_lab, [guest]) as look:
        ran = look.run("harden", limit=REFUSED, fleet=fleet({952: SWITCHED, 956: NO_DOCKER}))
        assert ran.code == 1
        assert conf(clean_lab, 952) == before
        assert clean_lab.label(952) == "unconfined"


@pytest.mark.long
def test_a_profile_whose_name_has_two_lines_is_none_of_the_node(clean_lab, fleet):
    guest = Hostile(clean_lab, 952).install()
    guest.inside("chmod 755 /opt/hostile/init && ln -sf /opt/hostile/init /usr/sbin/init")
    # nobody can enter it once its first process carries such a name
    wear(clean_lab, {952: Confinement("lxc-docker-nested", stacked=True)}, waits=False)
    stacked = {**DOCKER, "apparmor_stacking": True}
    file = fleet({952: stacked, 960: {"apparmor_profile": "lxc-phoenix-v2"}})
    done = pyinfra("harden", "-y", fleet=file, only=960)
    assert done.returncode == 0, done.stderr
    # its file is there and it is not loaded: whoever believes the list starts nothing under it
    clean_lab.ssh("apparmor_parser -R /etc/apparmor.d/lxc-phoenix-v2")
    policy = "/sys/kernel/security/apparmor"
    assert "\nlxc-phoenix-v2 (enforce)\n" in clean_lab.ssh(f"cat {policy}/profiles").stdout
    with unharmed(clean_lab, [guest]) as look:
        audit = look.run("audit", limit=AUDIT, fleet=file, only="952,960")
        assert "lxc-docker-nested-ns//&:lxc-952_" in row(audit, 952)
        ran = look.run("harden", limit=CONTAINER, fleet=file, only=960)
        assert ran.code == 0
        loaded = clean_lab.ssh(f"cat {policy}/policy/profiles/lxc-phoenix-v2.*/name").stdout
        assert loaded == "lxc-phoenix-v2\n"


@pytest.mark.long
@pytest.mark.parametrize(
    "kinds",
    [("huge", "grows", "deep", "numbers"), ("fifo", "zero", "kmsg", "folder"), ("twice",)],
    ids=" ".join,
)
def test_whatever_daemon_json_is_the_audit_ends_and_shows_the_others(
    clean_lab, fleet, tmp_path, kinds
):
    honest = [("honest", kind) for kind in kinds]
    audited(clean_lab, fleet, tmp_path, dict(zip((910, 952, 953, 956), honest, strict=False)))


@pytest.mark.long
@pytest.mark.parametrize("mode", sorted(path.name for path in (HERE / "modes").iterdir()))
def test_whatever_a_guest_does_the_next_one_is_hardened_or_not_begun_and_all_goes_back(
    clean_lab, fleet, mode
):
    guest = Hostile(clean_lab, 952)
    guest.inside(EMPTY)
    guest.install(mode, daemon_json="mine")
    before = {ctid: conf(clean_lab, ctid) for ctid in (952, 956)}
    with unharmed(clean_lab, [guest], changes=(952, 956)) as look:
        file = fleet({952: SWITCHED, 956: NO_DOCKER})
        ran = look.run("harden", limit=GATE, fleet=file)
        assert re.search("( done| not begun)$", row(ran, 956))
        ran = look.run("rollback", limit=GATE)
        assert conf(clean_lab, 956) == before[956]
        if ran.code != 0:
            # it can keep its own rollback from succeeding, as long as it lies
            guest.mode("honest")
            ran = look.run("rollback", limit=GATE)
        assert ran.code == 0
        assert {ctid: conf(clean_lab, ctid) for ctid in (952, 956)} == before


def until(true, limit):
    """Ask until it is so."""
    deadline = time.monotonic() + limit
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.5)
