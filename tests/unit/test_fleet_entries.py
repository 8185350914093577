"""Raw keys, mounts and devices of a container: what is taken, warned of, refused."""

import pytest
from fleet_cases import container, problem, problems

from phoenix.fleet.parse import RawKey

# --- raw keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lxc.mount.auto=sys:rw", "lxc.mount.auto", "sys:rw"),
        ("lxc.mount.auto: sys:rw", "lxc.mount.auto", "sys:rw"),
        ("lxc.mount.auto:sys:rw", "lxc.mount.auto", "sys:rw"),
        ("lxc.mount.auto = sys:rw", "lxc.mount.auto", "sys:rw"),
        ("  lxc.mount.auto=sys:rw ", "lxc.mount.auto", "sys:rw"),
        ("lxc.cap.drop=", "lxc.cap.drop", ""),
        (
            "lxc.mount.entry=/dev/fuse dev/fuse none bind,create=file",
            "lxc.mount.entry",
            "/dev/fuse dev/fuse none bind,create=file",
        ),
        ("lxc.mount.entry=/a\ta none bind", "lxc.mount.entry", "/a a none bind"),
        ("lxc.environment=A=b:c d", "lxc.environment", "A=b:c d"),
        ("lxc.cgroup2.devices.allow=c 10:229 rwm", "lxc.cgroup2.devices.allow", "c 10:229 rwm"),
    ],
)
def test_a_raw_key_is_read_in_every_form_that_proxmox_takes(text, key, value):
    assert container(lxc_options=[text]).raw == (RawKey(key, value),)


def test_repeated_raw_keys_stay_in_their_order():
    item = container(lxc_options=["lxc.cgroup2.devices.allow=c 1:3 rwm"] * 2 + ["lxc.cap.drop=a"])
    assert [raw.key for raw in item.raw] == ["lxc.cgroup2.devices.allow"] * 2 + ["lxc.cap.drop"]


# recordings of what the real pct makes of these lines: facts about raw keys, 3a and 3g
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lxc.mount.auto sys:rw", "write KEY=VALUE"),
        ("lxc.uts.name : spaced", "write KEY=VALUE"),
        ("LXC.Mount.Auto: sys", "lower case only"),
        ("lxc.nosuchkey: 1", "does not know the key"),
        ("lxc.tty.dir: x", "does not know the key"),
        ("lxc.rootfs.path: /x", "`rootfs`"),
        ("lxc.rootfs.options: ro", "`rootfs`"),
        ("lxc.aa_profile: unconfined", "write lxc.apparmor.profile"),
        ("lxc.limit.nofile: 1", "write lxc.prlimit.nofile"),
        ("lxc.cgroup2.cgroup.procs: 1", "not among the raw keys"),
        ("lxc.cgroup.dir: ../..", "not among the raw keys"),
        ("lxc.net.0.ovs: x", "not among the raw keys"),
        ("lxc.hook.stop: '/root/x'", "without them"),
        ("lxc.cgroup2.devices.allow: all", "a device rule is expected"),
        ("lxc.cgroup2.devices.allow: b 8:x rwm", "a device rule is expected"),
        ("lxc.idmap: u 0 0x0 65536", "a map of ids is expected"),
        ("lxc.network.type: veth", "write lxc.net.INDEX.type"),
        ("mp0: /a,mp=/b", "begins with lxc."),
        ("--lxc.mount.auto=sys", "begins with lxc."),
        ("", "begins with lxc."),
        ("lxc.mount.auto=sys\nlxc.cap.drop=", "control characters"),
        ("lxc.mount.auto=sys\u2028x", "control characters"),
        ("lxc.environment=[snap]", "section header"),
        ("lxc.environment=# no", "comment"),
        ("lxc.mount.entry=/srv/../etc srv none bind", "'..'"),
        ("lxc.mount.entry=/srv ../../etc none bind", "'..'"),
        ("lxc.mount.entry=/srv", "SOURCE TARGET TYPE OPTIONS"),
        (None, "text is expected"),
        (1, "text is expected"),
        ({"lxc.mount.auto": "sys"}, "text is expected"),
    ],
)
def test_a_raw_key_that_would_be_dropped_or_break_out_is_refused(text, says):
    found = problem(lxc_options=["lxc.mount.auto=sys:ro", text])
    assert found.path == "lxc_configs.910.lxc_options[1]"
    assert says in found.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lxc.cgroup2.devices.allow=a", "every device of the host"),
        ("lxc.cgroup2.devices.allow: a *:* rwm", "every device of the host"),
        ("lxc.cgroup.devices.allow: c 1:3 rwm", "cgroup v1"),
        ("lxc.cap.drop=", "drops no capability"),
        ("lxc.mount.auto=proc:rw", "all of /proc writable"),
        ("lxc.mount.auto=cgroup:mixed proc:mixed sys", "all of /sys writable"),
        (
            "lxc.mount.entry=/dev/null sys/module/apparmor/parameters/enabled none bind 0 0",
            "hides AppArmor from Docker",
        ),
        ("lxc.mount.entry=/ host none bind", "hands the host's /"),
        ("lxc.mount.entry=/run/docker.sock run/d.sock none bind", "container engine's socket"),
        ("lxc.mount.entry=/srv /srv none bind", "absolute target"),
        ("lxc.apparmor.allow_incomplete=1", "only part of the profile"),
        ("lxc.seccomp.profile=/dev/null", "system call filter off"),
        ("lxc.idmap=u 0 0 65536", "the host's own root"),
        ("lxc.hook.pre-start=/root/x.sh", "as root on the host"),
        ("lxc.include=/root/more.conf", "not looked at"),
    ],
)
def test_a_dangerous_raw_key_loads_with_a_warning_that_says_why(text, says):
    (warning,) = container(lxc_options=[text]).warnings
    assert warning.startswith("lxc_configs.910.lxc_options[0]: ")
    assert says in warning


@pytest.mark.parametrize(
    "text",
    [
        "lxc.mount.auto=proc:mixed sys:ro cgroup:ro",
        "lxc.cgroup2.devices.allow=c 195:* rwm",
        "lxc.cap.drop=sys_module",
        "lxc.mount.entry=/srv/data srv/data none bind,create=dir 0 0",
        "lxc.idmap=u 0 100000 65536",
        "lxc.prlimit.nofile=65536",
    ],
)
def test_an_ordinary_raw_key_loads_in_silence(text):
    assert container(lxc_options=[text]).warnings == ()


# --- mounts and devices -------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["volumes", "zfs_volumes"])
def test_a_volume_becomes_a_bind_mount_of_its_dataset(origin):
    volume = {"name": "my data", "pool": "tank/shared", "size_gb": 10, "mount_point": "/srv//a b/"}
    (mount,) = container(**{origin: [volume]}).mounts
    assert (mount.source, mount.target) == ("/tank/shared/my data", "srv/a b")
    assert (mount.pool, mount.name, mount.origin) == ("tank/shared", "my data", origin)
    assert mount.raw_value == r"/tank/shared/my\040data srv/a\040b none bind,create=dir 0 0"


def test_a_mount_point_may_name_its_owner():
    points = [
        {"host_path": "/srv/a", "container_path": "/a", "owner_uid": 1000, "owner_gid": 33},
        {"host_path": "/srv/b", "container_path": "/b", "owner_uid": 1000},
        {"host_path": "/srv/c", "container_path": "/c"},
    ]
    mounts = container(mount_points=points).mounts
    assert [mount.owner for mount in mounts] == [(1000, 33), (1000, 1000), None]
    assert [mount.raw_value.split()[1] for mount in mounts] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("host_path", "srv", "beginning with /"),
        ("host_path", "-o", "beginning with /"),
        ("host_path", "/srv/../etc", "'..'"),
        ("host_path", "/srv\n/etc", "control characters"),
        ("host_path", "/srv\\040x", "write blanks as blanks"),
        ("host_path", 5, "text is expected"),
        ("container_path", "/", "not its root"),
        ("container_path", "//.", "not its root"),
        ("owner_uid", True, "a whole number"),
        ("owner_uid", "1000", "a whole number"),
        ("owner_uid", -1, "greater than or equal to 0"),
    ],
)
def test_a_wrong_mount_point_is_refused(field, value, says):
    point = {"host_path": "/srv", "container_path": "/srv", field: value}
    found = problem(mount_points=[point])
    assert found.path == f"lxc_configs.910.mount_points[0].{field}"
    assert says in found.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "-x"), ("name", "../x"), ("name", "a//b"), ("name", "a@snap"),
        ("pool", "/tank"), ("pool", "."), ("pool", "a\x00"), ("pool", None),
        ("mount_point", "data"), ("mount_point", "/../data"), ("size_gb", "10"),
    ],
)  # fmt: skip
def test_a_wrong_volume_is_refused(field, value):
    volume = {"name": "data", "pool": "tank", "mount_point": "/data", field: value}
    assert problem(volumes=[volume]).path == f"lxc_configs.910.volumes[0].{field}"


def test_a_volume_without_its_parts_says_which_are_missing():
    found = problems(volumes=[{}])
    assert [(p.path.rpartition(".")[2], p.hint) for p in found] == [
        ("name", "is missing"),
        ("pool", "is missing"),
        ("mount_point", "is missing"),
    ]


def test_two_mounts_on_one_directory_are_refused_and_the_same_mount_twice_is_one():
    one = {"name": "a", "pool": "tank", "mount_point": "/data"}
    assert len(container(volumes=[one], zfs_volumes=[one]).mounts) == 1
    found = problem(volumes=[one], zfs_volumes=[{**one, "name": "b"}])
    assert found.path == "lxc_configs.910.zfs_volumes[0].mount_point"
    assert "/tank/a is mounted there already" in found.hint


def test_a_mount_of_the_hosts_own_directories_is_warned_of():
    (warning,) = container(
        mount_points=[{"host_path": "/etc/pve/", "container_path": "/x"}]
    ).warnings
    assert warning == (
        "lxc_configs.910.mount_points[0]: hands the host's /etc/pve to the container: the "
        "cluster's configuration, and in priv/ its keys: needs --data allow=host-paths"
    )


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("none", ()), ("", ()), (None, ()), ("0", (0,)), (1, (1,)), ("0,1", (0, 1)), ("0, 1", (0, 1))],
)
def test_gpus_are_read(text, gpus):
    item = container(gpu_assignment=text)
    assert item.gpus == gpus
    assert [node for node in item.devices if node[-1].isdigit()] == [
        f"/dev/nvidia{gpu}" for gpu in gpus
    ]


@pytest.mark.parametrize("text", ["all", "0,", "-1", "0;1", "99", "0,0", True, 1.5, [0], "²", 400])
def test_wrong_gpus_are_refused(text):
    assert problem(gpu_assignment=text).path == "lxc_configs.910.gpu_assignment"
