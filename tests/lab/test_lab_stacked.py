"""The stacked and the complain form of the profiles on a real kernel.

One container wears the stacked form of each profile, booted under it; all run their checks side by
side. One of them has Docker's data elsewhere. A fourth one is hardened to the stacked form, and
from there to complain mode.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from confined import denied, failed, in_guest, results, text, wear
from on_node import conf, hello, pyinfra

from phoenix.apparmor.observed import HOOK, Label
from phoenix.plan.confinement import Confinement
from phoenix.plan.guest_paths import guest_paths

pytestmark = pytest.mark.lab

WORN = {
    910: Confinement("lxc-phoenix-v2", stacked=True),  # overlay2, runc 1.1
    954: Confinement("lxc-docker-nested", stacked=True),  # fuse-overlayfs, runc 1.1
    956: Confinement("lxc-nesting-gpu-docker-storage", stacked=True),  # overlay2, runc 1.3
}
CORE = {"run", "exec", "build", "publish", "publish-get", "restart-dockerd", "ra-after-restart"}
NAMESPACES = "/sys/kernel/security/apparmor/policy/namespaces"


INSIDE = """
    docker info -f '{{.DockerRootDir}} {{.SecurityOptions}}'
    mkdir -p /projects
    docker run --rm --pull never -v /projects:/p hello:lab \\
        sh -c 'echo kept >/p/file; cat /proc/self/attr/current'
    cat /projects/file
"""
DATA = {910: "/var/lib/docker", 954: "/var/lib/docker", 956: "/srv/docker"}
MOVE = """
    systemctl stop docker.socket docker
    mv /var/lib/docker /srv/docker
    mkdir -p /etc/docker
    echo '{"data-root": "/srv/docker"}' >/etc/docker/daemon.json
"""


@dataclass(frozen=True)
class Said:
    """What one container said, and what was denied from its boot until its Docker had worked."""

    core: dict[str, str]
    denied: list[str]
    inside: str


@pytest.fixture(scope="module")
def worked(lab):
    """The node, and what each container said."""
    lab.reset()
    for ctid in (910, 956):
        # it loads a hundred profiles into the namespace: one of the three is enough
        in_guest(lab, ctid, "systemctl -q disable apparmor")
    in_guest(lab, 956, MOVE)
    wear(lab, WORN, paths=guest_paths(DATA.values(), ["/projects"]))
    with ThreadPoolExecutor() as pool:
        said = dict(zip(WORN, pool.map(lambda ctid: _work(lab, ctid), WORN), strict=True))
    return lab, said


def _work(node, ctid):
    core = results(in_guest(node, ctid, text("docker-core.sh")))
    lines = _denied(node, ctid)
    inside = in_guest(node, ctid, INSIDE)
    in_guest(node, ctid, text("leave.sh"), f"98{ctid}")
    return Said(core, lines, inside)


def _denied(node, ctid):
    """What was denied by the host's half, and by the half in the container's namespace."""
    grep = f"""grep -F 'namespace="root//{_namespace(ctid)}"' /var/log/audit/audit.log"""
    lines = node.ssh(f"{grep} | grep DENIED", check=False).stdout.splitlines()
    return [*denied(node, WORN[ctid].profile), *lines]


def _namespace(ctid):
    return f"lxc-{ctid}_<-var-lib-lxc>"


def _namespaces(node):
    return node.ssh(f"ls {NAMESPACES}").stdout.splitlines()


@pytest.mark.long
@pytest.mark.parametrize("ctid", WORN)
def test_the_core_of_docker_works_and_nothing_is_denied_from_the_boot_on(worked, ctid):
    node, said = worked
    assert node.label(ctid) == str(WORN[ctid].label(ctid))
    assert {*said[ctid].core} >= CORE
    assert failed(said[ctid].core) == []
    assert said[ctid].denied == []


@pytest.mark.long
@pytest.mark.parametrize("ctid", WORN)
def test_docker_confines_its_containers_by_its_own_profile_wherever_its_data_is(worked, ctid):
    _, said = worked
    info, inside, volume = said[ctid].inside.splitlines()
    assert info.startswith(f"{DATA[ctid]} [name=apparmor ")
    assert inside == "docker-default (enforce)"
    # one that the patterns for volumes do not reach
    assert volume == "kept"


@pytest.mark.long
@pytest.mark.parametrize("ctid", WORN)
def test_root_cannot_leave_the_half_that_the_node_enforces(worked, ctid):
    node, _ = worked
    look = (
        "for pid in $(pgrep -x sleep); do tr '\\0' ' ' </proc/$pid/cmdline; "
        "cat /proc/$pid/attr/apparmor/current; done"
    )
    seen = {
        line.split()[1].removeprefix(f"98{ctid}"): Label.parse(line.split(" ", 2)[2])
        for line in node.ssh(look).stdout.splitlines()
        if line.startswith(f"sleep 98{ctid}")
    }
    assert {*seen} == {*"1234567"}
    for label in seen.values():
        assert label.matches(WORN[ctid].label(ctid))
        assert label.confined
    # from a Docker container not even the inner half
    for way in "56":
        assert seen[way].inner == f":{_namespace(ctid)}:docker-default"


POLICY = """
    echo 'profile all { file, capability, network, mount, umount, pivot_root, signal, ptrace,
        change_profile, unix, dbus, userns, mqueue, }' >/root/all
    apparmor_parser -r /root/all || echo not loaded
    mkdir -p /tmp/proc
    aa-exec -p all -- sh -c 'cat /proc/self/attr/current; busybox mount -t proc proc /tmp/proc' 2>&1
    exit 0
"""


@pytest.mark.long
def test_policy_that_root_loads_into_its_namespace_opens_nothing(worked):
    node, _ = worked
    before = len(denied(node, WORN[954].profile))
    said = in_guest(node, 954, POLICY)
    assert said.startswith("all (enforce)\n")
    assert "Permission denied" in said
    assert len(denied(node, WORN[954].profile)) > before
    # the node's own policy has nothing of it
    loaded = node.ssh("cat /sys/kernel/security/apparmor/profiles").stdout.splitlines()
    assert f":{_namespace(954)}:all (enforce)" in loaded
    assert "all (enforce)" not in loaded


@pytest.mark.long
def test_a_reboot_from_inside_gets_a_new_namespace(worked):
    node, _ = worked
    pid = node.ssh("lxc-info -n 954 -pH").stdout.strip()
    other = 'now=$(lxc-info -n 954 -pH); [ -n "$now" ] && [ "$now" != $0 ]'
    node.ssh("lxc-attach -n 954 -- reboot </dev/null")
    node.ssh(f"timeout 60 sh -c 'until {other}; do sleep 1; done' {pid}")
    assert node.label(954) == str(WORN[954].label(954))
    loaded = node.ssh("cat /sys/kernel/security/apparmor/profiles").stdout.splitlines()
    assert f":{_namespace(954)}:all (enforce)" not in loaded


@pytest.fixture(scope="module")
def stacked(lab):
    """CT 952 hardened to the stacked form, and its conf before."""
    lab.reset()
    # it loads a hundred profiles into the namespace, one by one
    in_guest(lab, 952, "systemctl -q disable apparmor")
    before = conf(lab, 952)
    return lab, before, pyinfra("harden", "-y", only=952, stacking="true")


def test_harden_stacks_a_container_and_proves_it(stacked):
    node, _, done = stacked
    assert done.returncode == 0, done.stderr
    label = str(Confinement("lxc-docker-nested", stacked=True).label(952))
    assert node.label(952) == label
    assert f"CT 952: ok PID 1 runs as {label}" in done.stderr
    assert "CT 952: ok a container of our own runs and answers" in done.stderr
    assert _namespace(952) in _namespaces(node)
    audit = pyinfra("audit", "-y", only=952, stacking="true", strict="true")
    assert audit.returncode == 0, audit.stderr
    assert "ok  confined\n1 container, 0 need attention" in audit.stderr


@pytest.mark.long
def test_from_there_it_learns_in_complain_mode_and_nothing_of_the_stack_is_left(stacked):
    node, before, _ = stacked
    done = pyinfra("harden", "-y", only=952, mode="complain")
    assert done.returncode == 0, done.stderr
    assert "CT 952 qdrant-VSCodeRag: learning: " in done.stderr
    assert node.label(952) == "lxc-docker-nested-complain (complain)"
    assert hello(node, 952) == "it works"
    assert HOOK not in conf(node, 952)
    assert "sys/kernel/security" not in conf(node, 952)
    assert conf(node, 952).partition("\n[")[2] == before.partition("\n[")[2]
    assert _namespace(952) not in _namespaces(node)
    audit = pyinfra("audit", "-y", only=952, strict="true")
    assert audit.returncode == 1
    assert "!!  learning: complain mode only logs violations" in audit.stderr
