"""The named profiles on a real kernel: Docker works under each, and its root stays in it.

One container wears each profile, booted under it; all run the core of the checks side by side.
`make test-long` has every other combination of profile, storage driver and runc, and all checks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from confined import (
    GPU_NODES,
    denied,
    failed,
    in_guest,
    make_gpu_nodes,
    results,
    text,
    wear,
)
from on_node import REPO

from lab.recipe import chosen
from phoenix.apparmor.allows import ALLOWS

pytestmark = pytest.mark.lab

GPU = "lxc-nesting-gpu-docker-storage"
WORN = {
    910: "lxc-phoenix-v2",  # overlay2, runc 1.1
    954: "lxc-docker-nested",  # fuse-overlayfs, runc 1.1
    956: GPU,  # overlay2, runc 1.3
}
DRIVERS = {910: "overlay2", 954: "fuse-overlayfs", 956: "overlay2"}
CORE = {"run", "exec", "build", "publish", "publish-get", "restart-dockerd", "ra-after-restart"}
HOOK = "/usr/bin/nvidia-container-runtime-hook"


@pytest.fixture(scope="module")
def worked(lab):
    """The node, and per container what its checks said and what was denied from its boot on."""
    lab.reset()
    make_gpu_nodes(lab)
    # Docker looks for the hook when it starts
    for ctid in (910, 956):
        put_hook = f"lxc-attach -n {ctid} -- sh -c 'cat >{HOOK}; chmod 755 {HOOK}'"
        lab.ssh(put_hook, input=text("nvidia-container-runtime-hook"))
    wear(lab, WORN, devices=GPU_NODES)
    with ThreadPoolExecutor() as pool:
        said = dict(zip(WORN, pool.map(lambda ctid: _core(lab, ctid), WORN), strict=True))
    return lab, said, {ctid: denied(lab, name) for ctid, name in WORN.items()}


def _core(node, ctid):
    return results(in_guest(node, ctid, text("docker-core.sh")))


@pytest.mark.parametrize("ctid", WORN)
def test_the_core_of_docker_works_under_the_profile(worked, ctid):
    node, said, _ = worked
    assert node.label(ctid) == f"{WORN[ctid]} (enforce)"
    assert failed(said[ctid]) == []
    assert {*said[ctid]} >= CORE


def test_it_was_each_containers_own_driver_and_runc_that_worked(worked):
    node, _, _ = worked
    drivers = {ctid: in_guest(node, ctid, "docker info -f '{{.Driver}}'").strip() for ctid in WORN}
    assert drivers == DRIVERS
    said = {ctid: in_guest(node, ctid, "runc --version").split()[2] for ctid in (954, 956)}
    runc = {ctid: tuple(map(int, version.split(".")[:2])) for ctid, version in said.items()}
    assert runc[956] >= (1, 3)
    # all of the current stack are as new as that
    assert runc[954] < (1, 3) or chosen().name == "current"


@pytest.mark.parametrize("ctid", WORN)
def test_nothing_was_denied_from_the_boot_on(worked, ctid):
    _, _, lines = worked
    assert lines[ctid] == []


def test_what_is_granted_by_name_is_refused_to_who_did_not_ask(worked):
    node, _, _ = worked
    said = results(in_guest(node, 954, text("allows.sh")))
    assert {name.partition("/")[0] for name in said} == {*ALLOWS}
    assert [line for line in said.values() if line.startswith("PASS ")] == []


@pytest.mark.parametrize("ctid", WORN)
def test_root_cannot_leave_the_profile_in_any_known_way(worked, ctid):
    node, _, _ = worked
    before = len(denied(node, WORN[ctid]))
    in_guest(node, ctid, text("leave.sh"), f"98{ctid}")
    # as the node sees them: what a container shows of itself proves nothing
    look = (
        "for pid in $(pgrep -x sleep); do tr '\\0' ' ' </proc/$pid/cmdline; "
        "cat /proc/$pid/attr/apparmor/current; done"
    )
    seen = dict(
        line.removeprefix("sleep ").split(" ", 1)
        for line in node.ssh(look).stdout.splitlines()
        if line.startswith(f"sleep 98{ctid}")
    )
    assert seen == dict.fromkeys(
        (f"98{ctid}{way}" for way in range(1, 8)), f"{WORN[ctid]} (enforce)"
    )
    # every way was tried, and the log shows what is denied: no line above means no denial
    assert len(denied(node, WORN[ctid])) >= before + 6


@pytest.mark.parametrize("ctid", WORN)
def test_only_a_profile_with_shared_storage_lets_root_bind_under_mnt(worked, ctid):
    node, _, _ = worked
    bind = """
        mkdir -p /mnt/share /srv/pool
        echo shared >/srv/pool/file
        # move_mount(2), by which a procfs would come as well
        mount --bind /srv/pool /mnt/share 2>/dev/null && echo moved && umount /mnt/share
        mount -t proc proc /mnt/share 2>/dev/null && echo a procfs && umount /mnt/share
        # mount(2)
        busybox mount -o bind /srv/pool /mnt/share 2>/dev/null && cat /mnt/share/file
        umount /mnt/share 2>/dev/null
        busybox mount -o bind /proc /mnt/share 2>/dev/null && echo a procfs
        exit 0
    """
    promised = WORN[ctid] != "lxc-phoenix-v2"
    assert in_guest(node, ctid, bind) == ("shared\n" if promised else "")


GPUS = """
    busybox mount -t tmpfs tmpfs /proc/driver
    mkdir -p /proc/driver/nvidia/gpus/0000:01:00.0 /proc/driver/nvidia/capabilities/gpu0
    echo 'Model: none' >/proc/driver/nvidia/gpus/0000:01:00.0/information
    docker run --rm --pull never --gpus all hello:lab sh -c '
        cat /proc/driver/nvidia/gpus/0000:01:00.0/information
        ls /proc/driver/nvidia
        ls /dev/nvidia*
        [ -s /libcuda.so.1 ] && echo library
        cat /dev/nvidia0' || true
"""


def test_docker_run_gpus_mounts_all_that_belongs_to_a_gpu_and_nothing_is_denied(worked):
    node, _, _ = worked
    before = denied(node, GPU)
    said = in_guest(node, 956, GPUS).splitlines()
    nodes = ["/dev/nvidia0", "/dev/nvidiactl"]
    assert said[:-1] == ["Model: none", "capabilities", "gpus", "params", *nodes, "library"]
    # reached, as far as a machine without a GPU can: no driver has that number
    assert said[-1].endswith("No such device or address")
    assert denied(node, GPU) == before


def test_docker_run_gpus_is_refused_under_a_profile_that_does_not_promise_it(worked):
    node, _, _ = worked
    assert "gpus/0000:01:00.0: Permission denied" in in_guest(node, 910, GPUS)


OVERLAY2, FUSE = "overlay2", "fuse-overlayfs"
#: The combinations of profile, driver and runc that no test above has seen, in rounds of boots.
OTHERS = (
    {
        910: ("lxc-phoenix-v2", (FUSE,)),
        954: ("lxc-docker-nested", (OVERLAY2,)),
        956: (GPU, (FUSE,)),
    },
    {910: (GPU, (OVERLAY2, FUSE)), 956: ("lxc-phoenix-v2", (OVERLAY2, FUSE))},
    {956: ("lxc-docker-nested", (OVERLAY2, FUSE))},
)


@pytest.mark.long
@pytest.mark.parametrize("wanted", OTHERS, ids=["first", "second", "third"])
def test_the_core_of_docker_works_in_every_other_combination_and_nothing_is_denied(worked, wanted):
    node, _, _ = worked
    profiles = {ctid: profile for ctid, (profile, _) in wanted.items()}
    before = {profile: len(denied(node, profile)) for profile in profiles.values()}
    wear(node, profiles)

    def core(ctid):
        _, drivers = wanted[ctid]
        return [results(in_guest(node, ctid, text("docker-core.sh"), one)) for one in drivers]

    with ThreadPoolExecutor() as pool:
        said = dict(zip(wanted, pool.map(core, wanted), strict=True))
    for ctid, profile in profiles.items():
        for checks in said[ctid]:
            assert failed(checks) == []
            assert {*checks} >= {*CORE, "driver"}
        assert node.label(ctid) == f"{profile} (enforce)"
        assert denied(node, profile)[before[profile] :] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("docker_checks", ("--profile", "lxc-docker-nested", "--disk", "ext4")),
        ("confinement", ()),
    ],
)
def test_what_the_pages_say_is_true(lab, tmp_path, script, options):
    lab.reset()
    done = subprocess.run(
        [sys.executable, REPO / f"tests/lab/{script}.py", tmp_path / "result.md", *options],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
