"""Which storage driver Docker shall have, and when a change is refused."""

from dataclasses import replace

import pytest

from phoenix.docker.daemon_json import DRIVER, SNAPSHOTTER, DaemonJsonError
from phoenix.docker.observed import DaemonFile, ObservedDocker
from phoenix.docker.storage_driver import plan_driver

#: Debian's, fresh: no data, nothing configured.
FRESH = ObservedDocker(
    "ok",
    "26.1.5+dfsg1",
    "overlay2",
    stores={"overlay2": 0},
    os="debian 13",
    manager="apt",
    packages={"docker.io": "ii"},
)
USED = replace(FRESH, images=3, containers=1, volumes=2, stores={"overlay2": 12})
FUSE = replace(FRESH, driver="fuse-overlayfs", fuse_overlayfs=True, dev_fuse=True)
#: A fresh install of 29 keeps its images in containerd.
IMAGE_STORE = replace(FRESH, version="29.1.3", driver="overlayfs", snapshotter=True, stores={})


def says(driver, docker=FRESH):
    return replace(docker, file=DaemonFile(f'{{"storage-driver": "{driver}"}}'))


def test_without_a_wish_a_fresh_docker_gets_fuse_overlayfs_and_its_package():
    plan = plan_driver(None, FRESH)
    assert (plan.driver, plan.settings) == (
        "fuse-overlayfs",
        {DRIVER: "fuse-overlayfs", SNAPSHOTTER: None},
    )
    assert plan.packages == ("fuse-overlayfs",)
    assert plan.reasons == ("storage driver: overlay2 becomes fuse-overlayfs",)


def test_without_a_wish_one_that_holds_data_is_kept_with_the_way_to_move():
    plan = plan_driver(None, USED)
    assert (plan.driver, plan.settings, plan.problems) == ("overlay2", {}, ())
    (note,) = plan.notes
    assert note.startswith(
        "Docker stays on overlay2, which holds 3 images, 1 container, 2 volumes "
    )
    assert "docker save" in note
    assert "force=docker-data" in note


def test_a_build_cache_is_data_too_and_an_empty_folder_is_none():
    assert plan_driver(None, replace(FRESH, stores={"overlay2": 1})).driver == "overlay2"
    held = plan_driver(None, replace(FRESH, stores={"overlay2": 0, "fuse-overlayfs": 7}))
    assert held.driver == "fuse-overlayfs"


@pytest.mark.parametrize("docker", [FRESH, USED, FUSE, IMAGE_STORE])
def test_keep_keeps(docker):
    plan = plan_driver("keep", docker)
    assert (plan.driver, plan.settings, plan.notes) == (docker.driver, {}, ())


@pytest.mark.parametrize("wanted", ["overlay2", "fuse-overlayfs"])
def test_what_runs_already_is_left_as_it_is(wanted):
    docker = replace(USED, driver=wanted)
    plan = plan_driver(wanted, docker)
    assert (plan.driver, plan.settings, plan.problems) == (wanted, {}, ())


def test_an_asked_for_change_over_data_is_refused_with_what_it_would_hide():
    (problem,) = plan_driver("fuse-overlayfs", USED).problems
    assert problem.startswith(
        "storage_driver fuse-overlayfs: Docker runs on overlay2, which holds "
        "3 images, 1 container, 2 volumes: fuse-overlayfs would hide them"
    )
    for way in ('"storage_driver": "keep"', "docker save", "force=docker-data", "docker load"):
        assert way in problem


@pytest.mark.parametrize("data", [{"images": 1}, {"containers": 1}, {"volumes": 1}])
def test_images_containers_and_volumes_count_each(data):
    assert plan_driver("fuse-overlayfs", replace(FRESH, **data)).problems


def test_force_goes_over_data_and_says_where_it_stays():
    plan = plan_driver("fuse-overlayfs", USED, force=True)
    assert plan.settings == {DRIVER: "fuse-overlayfs", SNAPSHOTTER: None}
    assert plan.reasons == (
        "storage driver: overlay2 becomes fuse-overlayfs "
        "(hides 3 images, 1 container, 2 volumes, which stay in /var/lib/docker/overlay2)",
    )


def test_docker_29_is_told_to_leave_the_image_store_too():
    plan = plan_driver("fuse-overlayfs", IMAGE_STORE)
    assert plan.settings == {DRIVER: "fuse-overlayfs", SNAPSHOTTER: False}
    assert plan.driver == "fuse-overlayfs"


def test_docker_29_on_the_old_store_gets_the_explicit_form_as_well():
    docker = replace(FRESH, version="29.4.1")
    assert plan_driver("fuse-overlayfs", docker).settings[SNAPSHOTTER] is False


def test_an_older_docker_gets_it_only_where_the_image_store_was_switched_on():
    on = DaemonFile('{"features": {"containerd-snapshotter": true}}')
    docker = replace(FRESH, version="28.3.2", driver="overlayfs", snapshotter=True, file=on)
    assert plan_driver("overlay2", docker).settings == {DRIVER: "overlay2", SNAPSHOTTER: False}
    assert plan_driver("fuse-overlayfs", FRESH).settings[SNAPSHOTTER] is None


def test_data_in_the_image_store_is_data():
    used = replace(IMAGE_STORE, images=2, stores={"overlayfs": 9})
    assert plan_driver(None, used).driver == "overlayfs"
    (problem,) = plan_driver("overlay2", used).problems
    assert "Docker runs on overlayfs, which holds 2 images" in problem
    assert "stay in /var/lib/containerd" in plan_driver("overlay2", used, force=True).reasons[0]


def test_snapshots_that_containerd_has_not_collected_yet_are_no_data():
    assert plan_driver(None, replace(IMAGE_STORE, stores={"overlayfs": 9})).settings


@pytest.mark.parametrize(
    ("docker", "driver"),
    [
        (replace(FRESH, driver="vfs", overlay=True), "overlay2"),
        (replace(FRESH, driver="vfs", overlay=False), "fuse-overlayfs"),
        (replace(FRESH, driver="vfs", overlay=None), "vfs"),
        (replace(FUSE, overlay=True), "overlay2"),
        (replace(FUSE, overlay=False), "fuse-overlayfs"),
        (replace(FUSE, overlay=True, images=1), "fuse-overlayfs"),
        (replace(FRESH, overlay=True), "overlay2"),
        (IMAGE_STORE, "overlayfs"),
    ],
)
def test_auto_takes_overlay2_where_it_can_be_mounted_and_no_data_is_hidden(docker, driver):
    plan = plan_driver("auto", docker)
    assert plan.driver == driver
    assert not plan.problems
    assert bool(plan.settings) == (driver != docker.driver)


def test_the_package_is_asked_for_unless_it_is_whole_or_the_program_is_there():
    def packages(**changes):
        return plan_driver("fuse-overlayfs", replace(FRESH, **changes)).packages

    assert packages(packages={"fuse-overlayfs": "ii"}) == ()
    assert packages(packages={"fuse-overlayfs": "rc"}) == ("fuse-overlayfs",)
    assert packages(packages={"fuse-overlayfs": "iU"}, fuse_overlayfs=True) == ("fuse-overlayfs",)
    assert packages(fuse_overlayfs=True) == ()


def test_a_guest_with_another_package_manager_is_refused_or_kept():
    arch = replace(FRESH, os="arch", manager="")
    (problem,) = plan_driver("fuse-overlayfs", arch).problems
    assert "fuse-overlayfs is missing and its guest has neither apt, apk nor dnf" in problem
    assert plan_driver(None, arch).driver == "overlay2"


@pytest.mark.parametrize(
    "flags", [("-s", "overlay2"), ("--storage-driver=overlay2",), ("--config-file", "/etc/d.json")]
)
def test_a_dockerd_that_its_flags_bind_is_refused_or_kept(flags):
    docker = replace(FRESH, flags=("-H", "fd://", *flags))
    (problem,) = plan_driver("fuse-overlayfs", docker).problems
    assert f"dockerd is started with {flags[0].split('=')[0]}" in problem
    assert plan_driver(None, docker).driver == "overlay2"


def test_usual_flags_bind_nothing():
    flags = ("-H", "fd://", "--containerd=/run/containerd/containerd.sock")
    flags = (*flags, "--config-file", "/etc/docker/daemon.json")
    assert plan_driver("fuse-overlayfs", replace(FRESH, flags=flags)).settings


# --- a file that was edited and a dockerd that has not read it yet -------------------------------


@pytest.mark.parametrize("wanted", [None, "keep", "auto"])
def test_a_driver_that_waits_in_the_file_would_hide_data_at_the_next_start(wanted):
    (problem,) = plan_driver(wanted, says("fuse-overlayfs", USED)).problems
    assert "daemon.json says storage-driver fuse-overlayfs, and overlay2 runs and holds" in problem


def test_what_the_fleet_file_says_goes_into_the_file():
    plan = plan_driver("overlay2", says("fuse-overlayfs", USED))
    assert plan.settings == {DRIVER: "overlay2", SNAPSHOTTER: None}
    assert plan.reasons == (
        "storage driver: daemon.json says storage-driver fuse-overlayfs, stays overlay2",
    )


def test_an_image_store_that_waits_in_the_file_would_hide_data_too():
    docker = replace(USED, file=DaemonFile('{"features": {"containerd-snapshotter": true}}'))
    (problem,) = plan_driver("keep", docker).problems
    assert "daemon.json says features.containerd-snapshotter true, and overlay2 runs" in problem
    plan = plan_driver("overlay2", docker)
    assert plan.settings == {DRIVER: "overlay2", SNAPSHOTTER: False}


def test_where_nothing_is_hidden_the_file_may_have_its_way():
    assert plan_driver("keep", says("fuse-overlayfs")).driver == "fuse-overlayfs"


def test_overlay2_is_what_the_image_store_calls_overlayfs():
    docker = says("overlay2", replace(IMAGE_STORE, images=4))
    assert plan_driver("keep", docker).driver == "overlayfs"


def test_a_file_that_is_no_json_is_no_plan():
    with pytest.raises(DaemonJsonError, match="line 1, column 2: JSON has no comments"):
        plan_driver("keep", replace(FRESH, file=DaemonFile("{/* */}")))
