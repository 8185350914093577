"""What create makes of a fleet file's containers that are not there."""

import json

import pytest
from create_cases import (
    DOCKER,
    NEW,
    STOCK,
    TEMPLATE,
    create,
    facts,
    harden,
    made,
)
from plan_cases import container

from phoenix.docker.install import Install
from phoenix.plan.creation import Dataset, Folder
from phoenix.plan.findings import Code
from phoenix.plan.options import Options
from phoenix.pve.storage import ObservedStorage

FULL = {
    **NEW,
    "name": "web server",
    "memory_mb": 2048,
    "swap_mb": 0,
    "cores": 2,
    "storage_size_gb": 12,
    "network_config": {"bridge": "vmbr0", "ip": "10.0.0.97/24", "gw": "10.0.0.1", "tag": 3},
    "mac_address": "bc:24:11:00:09:70",
    "nameservers": ["10.0.0.1", "10.0.0.2"],
    "searchdomain": "home.arpa",
    "start_at_boot": True,
    "boot_order": 0,
    "boot_delay": 5,
    "tags": ["a", "b"],
}


def test_everything_that_the_file_says_is_told_to_pct():
    its = made(ct970=FULL)
    assert its.pct == (
        (
            *("create", "970", TEMPLATE),
            *("--hostname", "web-server", "--memory", "2048", "--swap", "0", "--cores", "2"),
            "--net0",
            "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:09:70,ip=10.0.0.97/24,gw=10.0.0.1,tag=3",
            *("--nameserver", "10.0.0.1 10.0.0.2", "--searchdomain", "home.arpa"),
            *("--onboot", "1", "--startup", "order=0,up=5", "--tags", "a;b"),
            *("--rootfs", "local-zfs:12", "--unprivileged", "1"),
        ),
    )
    assert its.change.before == its.change.after
    assert its.change.after.text.splitlines() == [
        "arch: amd64",
        "cores: 2",
        "hostname: web-server",
        "memory: 2048",
        "nameserver: 10.0.0.1 10.0.0.2",
        "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:09:70,ip=10.0.0.97/24,gw=10.0.0.1,tag=3",
        "onboot: 1",
        "searchdomain: home.arpa",
        "startup: order=0,up=5",
        "swap: 0",
        "tags: a;b",
        "unprivileged: 1",
    ]


def test_the_least_is_a_template_and_a_storage():
    (words,) = made(ct970=NEW).pct
    disk = ("--rootfs", "local-zfs:8", "--unprivileged", "1")
    assert words == ("create", "970", TEMPLATE, "--hostname", "CT970", *disk)


def test_a_name_that_no_host_can_have_is_told_with_the_one_that_is_used():
    plan = create(ct970={**NEW, "name": "web server"})
    assert "CT 970 web server: its host is called web-server" in plan.notes[0]


def test_docker_has_its_profile_its_features_and_an_install():
    its = made(ct970={**DOCKER, "pct_options": ["nesting=1", "keyctl=1"]})
    assert its.pct[0][-2:] == ("--features", "fuse=1,keyctl=1,nesting=1")
    assert its.change.before.main.raw_items() == ()
    assert its.change.after.main.raw_items() == (("lxc.apparmor.profile", "lxc-docker-nested"),)
    assert str(its.change.label) == "lxc-docker-nested (enforce)"
    assert its.change.docker
    assert its.change.driver == "fuse-overlayfs"
    assert its.install == Install()
    assert its.start


@pytest.mark.parametrize(
    ("entry", "profile"),
    [
        ({"features": ["docker"]}, "lxc-docker-nested"),
        ({"features": ["docker", "nvidia"]}, "lxc-nesting-gpu-docker-storage"),
        ({"features": ["nvidia"]}, "lxc-970_</var/lib/lxc>"),
        ({"features": ["docker"], "apparmor_profile": "generated"}, "lxc-970_</var/lib/lxc>"),
        ({"features": ["docker"], "apparmor_profile": None}, "lxc-970_</var/lib/lxc>"),
        ({"features": ["docker"], "apparmor_own": True}, "lxc-docker-nested-970"),
    ],
)
def test_the_profile_follows_from_the_features_where_the_file_names_none(entry, profile):
    plan = create(ct970={**NEW, **entry})
    (its,) = plan.creations
    assert its.change.label.profile == profile
    assert [one.name for one in plan.profiles] == [profile][: not profile.endswith(">")]


@pytest.mark.parametrize(
    ("asked", "driver", "expected", "fuse"),
    [
        (None, "fuse-overlayfs", "fuse-overlayfs", "fuse=1"),
        ("fuse-overlayfs", "fuse-overlayfs", "fuse-overlayfs", "fuse=1"),
        ("overlay2", "overlay2", "overlay2", None),
        ("auto", "auto", "", "fuse=1"),
        ("keep", "fuse-overlayfs", "fuse-overlayfs", "fuse=1"),
    ],
)
def test_the_storage_driver_is_the_one_that_harden_would_want(asked, driver, expected, fuse):
    its = made(ct970={**DOCKER, "storage_driver": asked})
    assert (its.install.driver, its.change.driver) == (driver, expected)
    assert its.change.after.main["features"] == fuse


def test_where_docker_comes_from_is_the_files_to_say():
    assert made(ct970={**DOCKER, "docker_source": "docker-ce"}).install.source == "docker-ce"
    its = made(ct970={**DOCKER, "docker_source": "keep"})
    assert its.install is None
    assert its.change.docker
    assert made(ct970=NEW).install is None


def test_what_the_run_brings_is_noted_as_its_own():
    its = made(ct970={**DOCKER, "lxc_options": ["lxc.prlimit.nofile=65536"]})
    managed = its.change.managed
    assert managed.features == {"fuse": "1"}
    assert [raw.line for raw in managed.raw] == ["lxc.prlimit.nofile: 65536"]
    assert managed.profile == "lxc-docker-nested"


def test_a_container_that_has_nothing_but_a_template_is_proven_under_the_generated_profile():
    its = made(ct970=NEW)
    assert str(its.change.label) == "lxc-970_</var/lib/lxc> (enforce)"
    assert its.change.managed.profile == "lxc-970_</var/lib/lxc>"
    assert not its.change.docker


def test_mounts_and_what_they_need_come_with_it():
    volume = {"name": "data", "pool": "tank", "size_gb": 10, "mount_point": "/data"}
    point = {"host_path": "/srv/films", "container_path": "/films", "owner_uid": 33}
    its = made(ct970={**NEW, "zfs_volumes": [volume], "mount_points": [point]})
    assert its.datasets == (Dataset("tank/data", 10 * 1024**3, (100000, 100000)),)
    assert its.folders == (Folder("/srv/films", (100033, 100033)),)
    assert its.change.after.main.raw("lxc.mount.entry") == (
        "/tank/data data none bind,create=dir 0 0",
        "/srv/films films none bind,create=dir 0 0",
    )


def test_what_is_there_already_is_not_made_again():
    volume = {"name": "data", "pool": "tank", "mount_point": "/data"}
    point = {"host_path": "/srv/films", "container_path": "/films", "owner_uid": 33}
    seen = facts(storage=ObservedStorage(("/srv/films",), {"tank/data": "/mnt/data"}))
    its = made(seen=seen, ct970={**NEW, "zfs_volumes": [volume], "mount_points": [point]})
    assert (its.datasets, its.folders) == ((), ())
    assert its.change.after.main.raw("lxc.mount.entry") == (
        "/mnt/data data none bind,create=dir 0 0",
        "/srv/films films none bind,create=dir 0 0",
    )


def test_a_folder_on_a_share_that_gives_no_answer_is_not_made():
    point = {"host_path": "/mnt/nas/films", "container_path": "/films"}
    seen = facts(storage=ObservedStorage(silent={"/mnt/nas/films": "no answer in 2 s"}))
    problems = create(seen=seen, ct970={**NEW, "mount_points": [point]}).problems
    assert "mount_points: /mnt/nas/films gives no answer (no answer in 2 s)" in problems[0]


def test_a_dataset_is_mounted_below_what_is_above_it():
    volume = {"name": "data", "pool": "tank/shared", "mount_point": "/data"}
    seen = facts(storage=ObservedStorage((), {"tank": "/srv/pool"}))
    its = made(seen=seen, ct970={**NEW, "volumes": [volume]})
    assert its.datasets[0].name == "tank/shared/data"
    assert its.change.after.main.raw("lxc.mount.entry")[0].startswith("/srv/pool/shared/data data")


def test_the_pool_of_a_volume_may_be_a_storage_of_proxmox():
    volume = {"name": "media", "pool": "local-zfs", "mount_point": "/media"}
    its = made(ct970={**NEW, "volumes": [volume]})
    assert its.datasets[0].name == "rpool/data/media"
    assert its.change.after.main.raw("lxc.mount.entry")[0].startswith("/rpool/data/media media")


def test_what_two_of_them_mount_is_made_for_the_first():
    volume = {"name": "media", "pool": "local-zfs", "mount_point": "/media"}
    point = {"host_path": "/srv/films", "container_path": "/films"}
    entry = {**NEW, "volumes": [volume], "mount_points": [point]}
    first, second = create(ct970=entry, ct971=entry).creations
    assert (len(first.datasets), len(first.folders)) == (1, 1)
    assert (second.datasets, second.folders) == ((), ())
    mounted = [one.change.after.main.raw("lxc.mount.entry") for one in (first, second)]
    assert mounted[0] == mounted[1]


def test_a_privileged_container_owns_what_it_mounts_as_the_nodes_root():
    volume = {"name": "data", "pool": "tank", "mount_point": "/data"}
    its = made(ct970={**NEW, "unprivileged": False, "volumes": [volume]})
    assert its.datasets[0].owner == (0, 0)
    assert its.pct[0][-2:] == ("--unprivileged", "0")


def test_own_id_maps_are_raw_lines_and_count_for_owners():
    maps = ["u 0 100000 33", "u 33 1033 1", "g 0 100000 33", "g 33 1033 1"]
    point = {"host_path": "/srv/www", "container_path": "/www", "owner_uid": 33}
    its = made(ct970={**NEW, "id_maps": maps, "mount_points": [point]})
    assert its.folders[0].owner == (1033, 1033)
    assert its.change.after.main.raw("lxc.idmap") == tuple(maps)


def test_a_gpu_of_the_node_comes_as_devices():
    nodes = ("/dev/nvidia0", "/dev/nvidiactl")
    seen = facts(storage=ObservedStorage(nodes))
    its = made(seen=seen, ct970={**NEW, "features": ["nvidia"], "gpu_assignment": "0"})
    words = its.pct[0]
    at = words.index("--dev0")
    assert words[at : at + 4] == ("--dev0", "/dev/nvidia0", "--dev1", "/dev/nvidiactl")
    assert its.change.before.main["dev0"] == "/dev/nvidia0"


@pytest.mark.parametrize("asked", ["0", "none"])
def test_without_a_gpu_there_is_one_clear_note_and_no_failure(asked):
    plan = create(ct970={**NEW, "features": ["nvidia"], "gpu_assignment": asked})
    assert [one.code for one in plan.findings] == [Code.NO_GPU]
    assert plan.creations[0].change.after.main["dev0"] is None


def test_what_others_are_cloned_from_stays_stopped_and_has_its_snapshot():
    plan = create(
        ct900={**NEW, "template_snapshot_name": "pre-configured"},
        ct901={**NEW, "template_snapshot_name": "ready", "start_at_boot": True},
        ct902=NEW,
        ct903={"clone_from_ctid": 902, "storage_pool": "local-zfs"},
    )
    assert plan.problems == ()
    assert {one.ctid: (one.start, one.snapshot) for one in plan.creations} == {
        900: (False, "pre-configured"),
        901: (True, "ready"),
        902: (False, ""),
        903: (True, ""),
    }


def test_dependencies_and_sources_come_first_then_boot_order():
    plan = create(
        ct970={**NEW, "dependencies": [973], "boot_order": 1},
        ct971={"clone_from_ctid": 974, "boot_order": 0},
        ct972={**NEW, "boot_order": 2},
        ct973={**NEW, "boot_order": 9},
        ct974={**NEW, "boot_order": 8},
    )
    assert [one.ctid for one in plan.creations] == [972, 974, 971, 973, 970]


def test_nothing_is_told_as_of_one_that_is_stopped():
    plan = create(ct970={**DOCKER, "apparmor_profile": "lxc-docker-nested"})
    assert plan.findings == ()


def test_what_is_there_is_left_to_harden():
    entry = {**DOCKER, "apparmor_profile": "lxc-docker-nested"}
    plan = create(container(), options=Options(only=(910,)), ct910=entry)
    assert plan.empty
    assert [(one.code, one.ctid) for one in plan.findings] == [(Code.EXISTS, 910)]
    plan = create(container(), ct910=entry, ct970=NEW)
    assert [one.ctid for one in plan.creations] == [970]
    assert plan.notes == ("there already: 910; phoenix harden is for them",)


def test_an_entry_that_says_not_what_it_is_made_from_is_a_note():
    plan = create(ct970=NEW, ct971={"features": ["docker"]})
    assert [one.ctid for one in plan.creations] == [970]
    assert [(one.code, one.ctid) for one in plan.findings] == [(Code.NO_SOURCE, 971)]


@pytest.mark.parametrize(
    "entry",
    [
        NEW,
        DOCKER,
        {**DOCKER, "storage_driver": "overlay2"},
        {**DOCKER, "pct_options": ["nesting=1"], "apparmor_stacking": True},
        {**FULL, "lxc_options": ["lxc.prlimit.nofile=65536"], "apparmor_raw": ["deny mount,"]},
        {**NEW, "volumes": [{"name": "data", "pool": "tank", "mount_point": "/data"}]},
    ],
)
def test_harden_finds_nothing_to_do_for_what_create_has_made(entry):
    plan = create(ct970=entry)
    (its,) = plan.creations
    profiles = {one.name: one.after for one in plan.profiles}
    text = its.change.after.set_key("rootfs", "local-zfs:subvol-970-disk-0,size=8G").text
    there = container(970, text, None, managed=its.change.managed.render())
    base = facts(there)
    own = {one.path: one.after for one in plan.own_files}
    host = base.apparmor.__class__(
        **{
            **base.apparmor.__dict__,
            "loaded": dict.fromkeys(profiles, "enforce"),
            "files": profiles,
            "hook": next((text for path, text in own.items() if "namespace" in path), None),
        }
    )
    made_now = {one.name: f"/{one.name}" for one in its.datasets}
    seen = facts(there, host=host, storage=ObservedStorage((), made_now))
    assert harden(seen, ct970=entry).containers == ()
    assert create(seen=seen, ct970=entry).empty


def test_the_staged_file_is_plain_json():
    its = made(
        ct970={**DOCKER, "zfs_volumes": [{"name": "a", "pool": "tank", "mount_point": "/a"}]}
    )
    assert json.loads(json.dumps(its.to_json()))["raw"] == [
        ["lxc.apparmor.profile", "lxc-docker-nested"],
        ["lxc.mount.entry", "/tank/a a none bind,create=dir 0 0"],
    ]


def test_profile_stacking_and_mode_of_the_command_line_count():
    options = Options(profile="generated", only=(970,))
    assert made(options=options, ct970=DOCKER).change.after.main.raw_items() == ()
    options = Options(stacking=True, only=(970,))
    assert made(options=options, ct970=DOCKER).change.label.namespace


def test_of_a_storage_whose_content_nobody_asked_nothing_is_refused():
    assert made(seen=facts(stock=STOCK.__class__()), ct970=NEW)
