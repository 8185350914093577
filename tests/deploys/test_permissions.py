"""What of a fleet file is done only at the operator's word, from end to end."""

from fake_node import CONF, FakeNode

HOOK = "lxc.hook.pre-start: /root/x.sh"
FLEET = {
    "910": {"lxc_options": [HOOK]},
    "952": {"mount_points": [{"host_path": "/etc/cron.d", "container_path": "/jobs"}]},
}


def pve(conf=CONF):
    return FakeNode("pve1", {ctid: conf.format(name=f"ct{ctid}") for ctid in (910, 952)})


def test_nothing_is_changed_and_every_line_is_told_at_once(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET)
    assert (done.code, done.commands) == (1, [])
    assert "Starting operation" not in done.stderr
    assert "pve1: CT 910 ct910: " in done.stderr
    assert f"lxc_options: {HOOK} runs a program as root on the host" in done.stderr
    assert "--data allow=raw-hooks" in done.stderr
    assert "mount_points: /etc/cron.d on /jobs hands the host's /etc/cron.d" in done.stderr
    assert "--data allow=host-paths" in done.stderr


def test_with_the_words_it_is_done_and_shown_before(pyinfra):
    done = pyinfra("harden", pve(), fleet=FLEET, allow="raw-hooks,host-paths")
    assert done.code == 0, done.stderr
    plan, _, _ = done.stderr.partition("Starting operation")
    assert f"pve1: CT 910 ct910: allowed (raw-hooks): lxc_options: {HOOK} runs" in plan
    assert "pve1: CT 952 ct952: allowed (host-paths): mount_points: /etc/cron.d on" in plan
    assert done.commands == ["910", "952"]


def test_an_audit_shows_it_and_goes_on(pyinfra):
    done = pyinfra("audit", pve(), fleet=FLEET)
    assert done.code == 0, done.stderr
    assert "--data allow=raw-hooks" in done.stderr
    assert "2 containers" in done.stderr


def test_a_named_profile_for_a_privileged_container_is_refused_and_a_finding(pyinfra):
    fleet = {"910": {"apparmor_profile": "lxc-docker-nested"}}
    node = pve(CONF.replace("unprivileged: 1\n", ""))
    done = pyinfra("harden", node, fleet=fleet)
    assert (done.code, done.commands) == (1, [])
    assert "CT 910 ct910: lxc-docker-nested for a privileged container" in done.stderr
    assert pyinfra("harden", node, fleet=fleet, force="true").commands == ["910"]

    named = CONF.replace("unprivileged: 1\n", "").replace("unconfined", "lxc-docker-nested")
    node = FakeNode("pve1", {910: named.format(name="a")}, label="lxc-docker-nested (enforce)")
    done = pyinfra("audit", node, fleet=fleet, strict="true")
    assert done.code == 1
    assert "!!  privileged: root in it is root of the node, which no profile" in done.stderr
