"""What comes before a run and after it: something to fall back on, and a watch over the labels."""

from __future__ import annotations

import json

import pytest
from on_node import conf, pyinfra, state

pytestmark = pytest.mark.lab

LABEL = "lxc-953_</var/lib/lxc> (enforce)"


@pytest.fixture(scope="module")
def watched(lab):
    """CT 953 with a new backup, hardened; its node with the watch, whose timer stands still."""
    lab.reset()
    dump = "/var/lib/vz/dump/vzdump-lxc-953-$(date +%Y_%m_%d-%H_%M_%S).tar.zst"
    lab.ssh(f"mkdir -p /var/lib/vz/dump && echo all of it >{dump}")
    done = pyinfra("harden", "-y", only=953, require_backup=24, watch="true")
    assert done.returncode == 0, done.stderr
    assert lab.ssh("systemctl is-enabled phoenix-harden-watch.timer").stdout == "enabled\n"
    # it looks when we do
    lab.ssh("systemctl stop phoenix-harden-watch.timer phoenix-harden-watch.service")
    return lab, done


def warnings(node):
    """What one look of the watch writes into the journal, and how urgent it is."""
    unit = "phoenix-harden-watch.service"
    # by the run's own id: the timer looks, too
    ask = f"""
        # it fails for what is new
        systemctl start {unit} || systemctl is-failed -q {unit}
        run=$(systemctl show -P InvocationID {unit})
        look() {{ journalctl -t phoenix-harden-watch _SYSTEMD_INVOCATION_ID=$run "$@"; }}
        # up to systemd 257 a --sync does not wait for what a service has just printed
        said=$(cat /run/phoenix-harden-watch/said 2>/dev/null | wc -l)
        for _ in $(seq 600); do
            journalctl --sync
            [ "$(look -q -o cat | wc -l)" -ge "$said" ] && break
            sleep 0.1
        done
        look -o json
    """
    entries = [json.loads(line) for line in node.ssh(ask).stdout.splitlines()]
    return [(entry["MESSAGE"], entry["PRIORITY"]) for entry in entries]


def left_of_it(node):
    """Every file and timer of the watch, runs kept for a rollback left out."""
    look = "find /etc/systemd /usr/local /var/lib/phoenix-harden -name '*watch*' -o -name wanted"
    return node.ssh(
        f"{look} | grep -v /runs/; systemctl list-timers --all | grep phoenix", False
    ).stdout


def test_without_a_backup_or_snapshots_nothing_is_begun_and_all_is_said_at_once(clean_lab):
    before = state(clean_lab)
    done = pyinfra("harden", "-y", only="953,956", require_backup=24, snapshot="true")
    assert done.returncode == 1
    for ctid in (953, 956):
        assert f"CT {ctid} " in done.stderr
        assert f"no backup, require_backup=24 (hours): vzdump {ctid} makes one" in done.stderr
    assert done.stderr.count("snapshot=true: rootfs is on local (dir), which has no snaps") == 2
    assert state(clean_lab) == before


def test_a_new_backup_lets_the_run_begin_and_its_age_is_shown(watched):
    _, done = watched
    assert "#  CTID  NAME             RESTART  BACKUP  WHY" in done.stderr
    assert "1  953   Nginx-VscodeRag  yes      0 min   profile: unconfined" in done.stderr
    assert "953   Nginx-VscodeRag  done" in done.stderr


def test_the_watch_names_each_running_container_that_lacks_its_label_and_no_other(watched):
    node, _ = watched
    found = warnings(node)
    assert [message.split()[2] for message, _ in found] == ["910", "952", "954", "956"]
    node.ssh("sed -i '/^lxc.apparmor/d;$a lxc.apparmor.profile: unconfined' /etc/pve/lxc/953.conf")
    node.ssh("pct stop 953 && pct start 953")
    (new,) = set(warnings(node)) - set(found)
    assert new == (
        f"label: CT 953 runs as unconfined, not as {LABEL}: phoenix harden --only 953 confines it",
        "4",
    )
    audit = pyinfra("audit", "-y", only=953).stderr
    assert "!!  fell out of confinement, as after a rollback or restore: its conf says" in audit


def test_a_second_time_changes_nothing_and_the_watch_goes_without_a_trace(watched):
    node, _ = watched
    node.ssh("systemctl start phoenix-harden-watch.timer")
    assert "nothing to change" in pyinfra("host_prep", "-y", watch="true", only=953).stderr
    done = pyinfra("host_prep", "-y", watch="false", only=953)
    assert done.returncode == 0, done.stderr
    assert left_of_it(node) == ""
    assert "unconfined" in conf(node, 953)


def test_a_rollback_brings_the_watch_back_and_another_one_takes_it_away(watched):
    node, _ = watched
    done = pyinfra("rollback", "-y")
    assert done.returncode == 0, done.stderr
    assert node.ssh("systemctl is-enabled phoenix-harden-watch.timer").stdout == "enabled\n"
    assert node.ssh("systemctl is-active phoenix-harden-watch.timer").stdout == "active\n"
    found = [message for message, _ in warnings(node)]
    assert [one for one in found if one.startswith("label: CT 953 runs")], found
    first = node.ssh("ls /var/lib/phoenix-harden/runs | head -n 1").stdout.strip()
    done = pyinfra("rollback", "-y", run=first)
    assert done.returncode == 0, done.stderr
    assert left_of_it(node) == ""


#: What opens all and still lets the node enter its guest.
OTHER = (
    "profile lxc-docker-nested flags=(attach_disconnected) "
    "{ file, mount, umount, pivot_root, capability, network, signal, ptrace, unix, dbus, }"
)
PROFILE = "/etc/apparmor.d/lxc-docker-nested"


@pytest.fixture(scope="module")
def one(lab, tmp_path_factory):
    """A node of which the fleet file has one container, hardened, and a watch that stands still."""
    lab.reset()
    fleet = tmp_path_factory.mktemp("watch") / "fleet.json"
    entry = {"apparmor_profile": "lxc-docker-nested", "features": ["docker"]}
    fleet.write_text(json.dumps({"lxc_configs": {"910": entry}}))
    given = {"fleet": fleet, "only": 910}
    done = pyinfra("harden", "-y", **given, watch="true")
    assert done.returncode == 0, done.stderr
    lab.ssh("systemctl stop phoenix-harden-watch.timer phoenix-harden-watch.service")
    assert warnings(lab) == []
    return lab, given


def said(node):
    return [message.split(": harden")[0] for message, _ in warnings(node)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            f"echo '# changed' >>{PROFILE}; apparmor_parser -r {PROFILE}",
            f"drift.profile: {PROFILE} is not as harden left it",
        ),
        pytest.param(
            f"echo '{OTHER}' | apparmor_parser -r",
            f"drift.profile: profile lxc-docker-nested: the kernel has another text than {PROFILE}",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "sed -i '/^lxc.apparmor.profile/s/:.*/: unconfined/' /etc/pve/lxc/910.conf",
            "drift.container: the conf of CT 910 has no lxc.apparmor.profile: lxc-docker-nested",
            marks=pytest.mark.long,
        ),
    ],
    ids=["file", "kernel", "conf"],
)
def test_what_is_replaced_is_told_seen_by_the_audit_and_put_right_by_harden(one, change, told):
    node, given = one
    node.ssh(change)
    assert said(node) == [told]
    assert pyinfra("audit", "-y", **given, strict="true").returncode == 1
    done = pyinfra("harden", "-y", **given)
    assert done.returncode == 0, done.stderr
    assert said(node) == []
    done = pyinfra("audit", "-y", **given, strict="true")
    assert done.returncode == 0, done.stderr


def test_apparmor_loading_everything_anew_as_after_an_upgrade_is_no_drift(one):
    node, given = one
    node.ssh("""
        rm -rf /var/cache/apparmor/* /run/phoenix-harden-watch /var/lib/phoenix-harden/loaded
        for file in /etc/apparmor.d/lxc-*; do apparmor_parser -r -W $file; done
    """)
    assert said(node) == []
    assert "nothing to change" in pyinfra("harden", "-y", **given).stderr


UNITS = {
    "phoenix-harden-watch.service.d/tell.conf": "[Unit]\nOnFailure=tell.service\n",
    "tell.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo told >>/root/told'\n",
}


@pytest.mark.long
def test_who_wires_up_onfailure_is_told_once_of_what_is_new(one):
    node, given = one
    node.ssh("mkdir -p /etc/systemd/system/phoenix-harden-watch.service.d")
    for name, text in UNITS.items():
        node.ssh(f"cat >/etc/systemd/system/{name}", input=text)
    node.ssh("systemctl daemon-reload; sed -i '/^lxc.apparmor.profile/d' /etc/pve/lxc/910.conf")
    assert len(said(node)) == 1
    assert len(said(node)) == 1
    # the second one is of this line, which waits for what the watch has begun
    node.ssh("systemctl start tell.service")
    assert node.ssh("cat /root/told").stdout == "told\ntold\n"
    assert pyinfra("harden", "-y", **given).returncode == 0
    assert said(node) == []
