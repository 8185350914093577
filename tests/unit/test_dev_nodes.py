"""What puts something into a container's /dev, and what of it does not go together."""

import json

import pytest

from phoenix.fleet.parse import parse_fleet
from phoenix.plan.audit import audit_node
from phoenix.plan.conf import plan_conf
from phoenix.plan.confinement import Confinement
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.dev_nodes import collisions
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.pve.storage import ObservedStorage
from tests.unit.plan_cases import CONF, DOCKER, container, fleet, node
from tests.unit.plan_cases import plan as plan_all

FUSE = "lxc.mount.entry: /dev/fuse dev/fuse none bind,create=file 0 0"
NVIDIA = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")


def colliding(text):
    return [str(one) for one in collisions(PveConf.parse(text), 910)]


@pytest.mark.parametrize(
    "text",
    [
        "dev0: /dev/fuse\nfeatures: nesting=1,fuse=1\n",
        "dev3: path=/dev/fuse,mode=0666\nfeatures: fuse=yes\n",
        f"dev0: /dev/fuse\n{FUSE}\n",
        "dev0: /dev//fuse\nlxc.mount.entry: /dev/fuse dev//fuse/ none bind,create=file 0 0\n",
        "dev0: /dev/fuse\nlxc.mount.entry = /dev/fuse ./dev/fuse none rbind,create=file\n",
        'dev0: /dev/fuse\nlxc.mount.entry: "/dev/fuse dev/fuse none bind,create=file 0 0"\n',
        # the target is made before the mount is tried
        "dev0: /dev/fuse\nlxc.mount.entry: /none dev/fuse none bind,optional,create=file 0 0\n",
        "dev0: /dev/fuse\nlxc.mount.entry: /x dev/fuse none bind,create=dir 0 0\n",
        "dev0: /dev/net/tun\nlxc.mount.entry: /dev/net dev/net none bind,create=dir 0 0\n",
        "dev0: /dev/net/tun\nlxc.mount.entry: /dev/net/tun dev/net/tun none bind,create=file 0 0\n",
        "dev0: /dev/dri/card0\nlxc.mount.entry: /dev/dri dev/dri none rbind,optional,create=dir\n",
        "dev0: /dev/dri/card0\nlxc.mount.entry: /dev dev none bind,optional 0 0\n",
        "dev0: /dev/a\nlxc.mount.entry: tmpfs dev/a tmpfs create=dir 0 0\n",
        "dev0: /dev/a\nlxc.mount.entry: /srv dev/a/b none bind,create=dir 0 0\n",
        "dev0: /dev/a\n"
        "lxc.mount.entry: /x /var/lib/lxc/910/rootfs/dev/a none bind,create=file 0 0\n",
        "dev0: /dev/fuse\ndev1: /dev//fuse,mode=0666\n",
        "dev0: /dev/nvidia0\nlxc.hook.mount: /usr/share/lxc/hooks/nvidia\n"
        "lxc.environment: NVIDIA_VISIBLE_DEVICES=all\n",
        # what waits for the next start is there by then
        "features: fuse=1\n\n[pve:pending]\ndev0: /dev/fuse\n",
        "dev0: /dev/fuse\n\n[pve:pending]\nfeatures: nesting=1,fuse=1\n",
    ],
)
def test_two_that_make_the_same_node_collide(text):
    (found,) = colliding(text)
    assert found.startswith("dev")
    assert found.endswith(" make the same node")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dev0: /dev/fuse\nfeatures: nesting=1\n",
        "dev0: /dev/fuse\nfeatures: fuse=0\n",
        # LXC mounts one over the other
        f"features: fuse=1\n{FUSE}\n",
        # nothing in the new /dev to mount it on: LXC leaves it
        "dev0: /dev/net/tun\nlxc.mount.entry: /dev/net/tun dev/net/tun none bind,optional 0 0\n",
        # LXC ignores a target that begins with a slash
        "dev0: /dev/fuse\nlxc.mount.entry: /dev/fuse /dev/fuse none bind,create=file 0 0\n",
        "dev0: /dev/fuse\n"
        "lxc.mount.entry: /x /var/lib/lxc/911/rootfs/dev/fuse none bind,create=file 0 0\n",
        "dev0: /dev/dri/card0\nlxc.mount.entry: tmpfs dev/dri tmpfs create=dir 0 0\n",
        "dev0: /dev/dri/card0\nlxc.mount.entry: /dev/dri/card1 dev/dri/card1 none bind,create=file",
        "dev0: /dev/dri/card1\nlxc.mount.entry: /dev/dri/card dev/dri/card none bind,create=dir\n",
        "dev0: /dev/fuse\nlxc.mount.entry: /srv/dev srv/dev/fuse none bind,create=dir 0 0\n",
        # a volume below /dev lies under the new /dev
        "dev0: /dev/dri/card0\nmp0: /dev/dri,mp=/dev/dri\n",
        "dev0: /dev/nvidia0\nlxc.hook.mount: /usr/share/lxc/hooks/nvidia\n",
        "dev0: /dev/nvidia0\nlxc.hook.mount: /usr/share/lxc/hooks/nvidia\n"
        "lxc.environment: NVIDIA_VISIBLE_DEVICES=void\n",
        "dev0: /dev/dri/card0\nlxc.hook.mount: /usr/share/lxc/hooks/nvidia\n"
        "lxc.environment: NVIDIA_VISIBLE_DEVICES=all\n",
        f"dev0: /dev/fuse\nfeatures: fuse=1\nlxc.autodev: 0\n{FUSE}\n",
        f"dev0: /dev/fuse\nfeatures: fuse=1\n{FUSE}\nlxc.mount.entry:\n",
        "dev0: /dev/fuse\nfeatures: fuse=1\n\n[pve:pending]\ndelete: dev0\n",
        "dev0: /dev/fuse\n\n[old]\nfeatures: fuse=1\n",
        # what nobody can read is Proxmox's to refuse
        "dev0: nonsense=1\nfeatures: fuse\nlxc.mount.entry: dev/fuse\n",
    ],
)
def test_what_goes_together_does_not_collide(text):
    assert colliding(text) == []


# --- the plan of a conf


def plan(conf, managed=None, confinement="lxc-a", devices=(), **entry):
    observed = ObservedContainer(
        910, PveConf(f"unprivileged: 1\n{conf}"), False, None, None, None, "pve1", managed=managed
    )
    its = parse_fleet(json.dumps({"lxc_configs": {"910": entry}}).encode()).containers[910]
    storage = ObservedStorage(tuple(devices))
    result = plan_conf(its, Confinement(confinement), observed, storage)
    assert collisions(result.after, 910) == ()
    return result


def test_a_device_that_is_there_serves_instead_of_the_feature():
    result = plan("dev0: /dev/fuse\n", pct_options=["nesting=1", "fuse=1"])
    assert result.after.main["features"] == "nesting=1"
    assert result.notes == (
        "dev0: /dev/fuse brings /dev/fuse already: fuse=1, which makes it too, is left out",
    )


def test_the_feature_that_a_run_of_ours_brought_beside_a_device_goes():
    managed = Managed(features={"fuse": "1"}).render()
    result = plan("dev0: /dev/fuse\nfeatures: fuse=1\n", managed, pct_options=["fuse=1"])
    assert result.after.main["features"] is None
    assert result.managed.features == {}


def test_under_the_generated_profile_the_feature_s_rule_comes_without_it():
    rule = RawKey("lxc.apparmor.raw", "mount fstype=fuse,")
    result = plan("dev0: /dev/fuse\n", confinement="generated", pct_options=["fuse=1"])
    assert result.after.main.raw(rule.key) == (rule.value,)
    assert result.managed.raw == (rule,)
    gone = plan(
        "dev0: /dev/fuse\n" + rule.line, result.managed.render(), "generated", pct_options=[]
    )
    assert gone.after.main.raw(rule.key) == ()


def test_a_mount_entry_of_the_fleet_file_gives_way_to_a_device_that_is_there():
    entry = "lxc.mount.entry=/dev/net dev/net none bind,create=dir 0 0"
    result = plan("dev7: /dev/net/tun,uid=1000\n", lxc_options=[entry])
    assert result.after.main.raw("lxc.mount.entry") == ()
    assert result.notes == (
        "lxc.mount.entry: /dev/net dev/net none bind,create=dir 0 0 is left out: "
        "dev7: /dev/net/tun,uid=1000 makes the same node",
    )


def test_our_mount_entry_goes_once_somebody_has_added_the_device():
    entry = RawKey("lxc.mount.entry", "/dev/net/tun dev/net/tun none bind,create=file 0 0")
    result = plan(
        f"dev0: /dev/net/tun\n{entry.line}\n",
        Managed(raw=(entry,)).render(),
        lxc_options=[entry.line],
    )
    assert result.after.main.raw(entry.key) == ()
    assert result.managed.raw == ()


@pytest.mark.parametrize(
    "there",
    [
        "lxc.mount.entry: /dev/nvidia0 dev/nvidia0 none bind,optional,create=file 0 0\n",
        "lxc.mount.entry: /dev dev none rbind 0 0\n",
        "lxc.hook.mount: /usr/share/lxc/hooks/nvidia\n"
        "lxc.environment: NVIDIA_VISIBLE_DEVICES=all\n",
    ],
)
def test_a_gpu_that_is_there_already_gets_no_device_of_ours(there):
    result = plan(there, devices=NVIDIA, gpu_assignment="0")
    assert "/dev/nvidia0" not in [result.after.main[key] for key in result.after.main]
    assert result.notes[0].startswith("/dev/nvidia0 is left to lxc.")
    # and one that we brought before goes
    ours = Managed(devices=("/dev/nvidia0",)).render()
    later = plan(f"dev0: /dev/nvidia0\n{there}", ours, devices=NVIDIA, gpu_assignment="0")
    assert "/dev/nvidia0" not in [later.after.main[key] for key in later.after.main]


def test_devices_of_a_gpu_that_nothing_else_makes_are_passed_through():
    entry = "lxc.mount.entry: /dev/nvidia0 dev/nvidia0 none bind,optional,create=file 0 0\n"
    result = plan(entry, devices=NVIDIA, gpu_assignment="0")
    assert [result.after.main[f"dev{number}"] for number in range(3)] == [*NVIDIA[1:]]


def test_a_device_of_ours_gives_way_to_a_mount_entry_of_the_fleet_file():
    entry = "lxc.mount.entry: /dev/nvidia0 dev/nvidia0 none bind,create=file 0 0"
    ours = Managed(devices=NVIDIA).render()
    conf = "".join(f"dev{number}: {path}\n" for number, path in enumerate(NVIDIA))
    result = plan(conf, ours, devices=NVIDIA, gpu_assignment="0", lxc_options=[entry])
    assert result.after.main["dev0"] is None
    assert result.after.main["dev1"] == "/dev/nvidiactl"
    assert result.after.main.raw("lxc.mount.entry") == (entry.partition(": ")[2],)


# --- a conf that collides already

COLLIDES = CONF.replace("features: nesting=1\n", "dev0: /dev/fuse\nfeatures: nesting=1,fuse=1\n")


@pytest.mark.parametrize("label", [None, "unconfined"])
def test_a_conf_that_collides_already_is_left_alone_and_a_finding(label):
    found = plan_all(node(container(conf=COLLIDES, label=label)))
    assert found.containers == ()
    (finding,) = [one for one in found.findings if one.code == Code.COLLISION]
    assert finding.severity == Severity.WARNING
    assert str(finding) == (
        "CT 910 portainer: left alone: dev0: /dev/fuse and features: fuse=1 make the same node: "
        "it does not start like that: take one of the two out, such as by pct set 910 --delete dev0"
    )
    assert 910 in found.alone


def test_who_names_such_a_container_is_refused():
    found = plan_all(node(container(conf=COLLIDES)), options=Options(only=(910,)))
    (problem,) = found.problems
    assert "make the same node" in problem


def audited(pct, **entries):
    return audit_node(
        fleet=fleet(**entries),
        options=Options(),
        facts=NodeFacts(containers=pct),
        plan=plan_all(pct, **entries),
    )


def test_the_audit_finds_it_in_containers_that_no_run_looks_at():
    pct = node(container(conf=f"lock: backup\n{COLLIDES}"), container(911, COLLIDES))
    found = audited(pct, ct910=DOCKER)
    codes = [(one.ctid, one.code) for one in found.findings if one.code == Code.COLLISION]
    assert codes == [(910, Code.COLLISION), (911, Code.COLLISION)]
    assert not any(one.ok for one in found.containers)


def test_the_audit_says_it_once_and_never_of_a_template():
    pct = node(container(conf=COLLIDES), container(911, f"template: 1\n{COLLIDES}"))
    found = [one for one in audited(pct, ct910=DOCKER).findings if one.code == Code.COLLISION]
    assert [one.ctid for one in found] == [910]
