"""What the stand-in `pct` derives for LXC, and how it starts, stops and writes."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
from standin_node import PCT, Node

NAMED = "lxc.apparmor.profile: lxc-docker-nested\n"
NESTING = "explicitly configured lxc.apparmor.profile overrides the following settings: features:"
LAB_NODE = PCT.parent
RECORDED = Path(__file__).parents[1] / "recordings/pct/in-vm"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def container(options: str = "", raw: str = "", *, unprivileged: int = 1) -> str:
    return (
        "arch: amd64\nhostname: ct910\nmemory: 256\nostype: debian\n"
        f"rootfs: local:910/vm-910-disk-0.raw,size=4G\nunprivileged: {unprivileged}\n{options}{raw}"
    )


def started(node: Node, conf: str) -> list[str]:
    node.has("910", conf)
    done = node.run("pct start 910")
    assert done.returncode == 0, done.stderr
    return node.lxc_config("910")


def apparmor(config: list[str]) -> list[str]:
    return [line.removeprefix("lxc.apparmor.") for line in config if ".apparmor." in line]


def seccomp(node: Node) -> str:
    rules = node.root / "var/lib/lxc/910/rules.seccomp"
    return rules.read_text().removeprefix("2\ndenylist\n") if rules.exists() else ""


# --- what a conf becomes for LXC ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "lines"),
    [
        ("", ["raw = deny mount -> /proc/,", "raw = deny mount -> /sys/,"]),
        ("nesting=1", ["allow_nesting = 1", "raw = allow userns,"]),
        ("nesting=0,keyctl=1", ["raw = deny mount -> /proc/,", "raw = deny mount -> /sys/,"]),
        (
            "nesting=1,fuse=1",
            ["allow_nesting = 1", "raw = allow userns,", "raw = mount fstype=fuse,"],
        ),
        (
            "nesting=1,mount=nfs;cifs",
            [
                *("allow_nesting = 1", "raw = allow userns,"),
                *("raw = mount fstype=nfs,", "raw = mount fstype=cifs,"),
            ],
        ),
        ("mknod=1,nesting=yes", ["allow_nesting = 1", "raw = allow userns,"]),
    ],
)
def test_without_a_profile_the_features_make_up_the_generated_one(
    node: Node, features: str, lines: list[str]
) -> None:
    config = started(node, container(f"features: {features}\n" if features else ""))
    assert apparmor(config) == ["profile = generated", "raw = allow mqueue,", *lines]


@pytest.mark.parametrize(
    ("features", "dropped", "kept"),
    [
        ("", "", []),
        ("keyctl=1", "", []),
        ("nesting=1", "nesting", []),
        ("nesting=1,fuse=1", "fuse, features:nesting", ["raw = mount fstype=fuse,"]),
        ("mount=nfs;cifs,nesting=1", "nesting, features:mount", []),
    ],
)
def test_a_named_profile_drops_what_would_be_generated_and_says_so_on_stdout(
    node: Node, features: str, dropped: str, kept: list[str]
) -> None:
    node.has("910", container(f"features: {features}\n" if features else "", NAMED))
    done = node.run("pct start 910")
    assert (done.stdout, done.stderr) == (f"{NESTING}{dropped}\n" if dropped else "", "")
    assert apparmor(node.lxc_config("910")) == [*kept, "profile = lxc-docker-nested"]


@pytest.mark.parametrize("raw", ["", NAMED])
def test_fuse_brings_its_device_with_and_without_a_named_profile(node: Node, raw: str) -> None:
    config = started(node, container("features: fuse=1\n", raw))
    assert "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file 0 0" in config


@pytest.mark.parametrize(
    ("features", "rules"),
    [
        ("nesting=1", "ioctl keyctl socket"),
        ("keyctl=1", "ioctl socket"),
        ("mknod=1", "ioctl keyctl socket"),
    ],
)
@pytest.mark.parametrize("raw", ["", NAMED])
def test_keyctl_alone_changes_the_seccomp_rules(
    node: Node, features: str, rules: str, raw: str
) -> None:
    config = started(node, container(f"features: {features}\n", raw))
    assert "lxc.seccomp.profile = /var/lib/lxc/910/rules.seccomp" in config
    assert [line.split()[0] for line in seccomp(node).splitlines()] == rules.split()


def test_a_privileged_container_keeps_lxcs_own_rules_and_has_no_idmap(node: Node) -> None:
    config = started(node, container(unprivileged=0))
    assert seccomp(node) == ""
    assert not [line for line in config if re.search("seccomp|idmap|userns.conf|sys:mixed", line)]


def test_a_seccomp_profile_of_ones_own_wins_over_keyctl(node: Node) -> None:
    node.has("910", container("features: keyctl=1\n", "lxc.seccomp.profile: /etc/my.seccomp\n"))
    done = node.run("pct start 910")
    text = "explicitly configured lxc.seccomp.profile overrides the following settings: keyctl\n"
    assert done.stdout == text
    assert [line for line in node.lxc_config("910") if "seccomp" in line] == [
        "lxc.seccomp.profile = /etc/my.seccomp"
    ]


def test_raw_lines_come_last_and_in_their_order(node: Node) -> None:
    raw = (
        "lxc.mount.entry: /a a none bind 0 0\nlxc.cap.drop:\nlxc.mount.entry: /b b none bind 0 0\n"
    )
    config = started(node, container("swap: 128\n", raw))
    expected = [line.replace(":", " =", 1) for line in raw.splitlines()]
    assert [line.rstrip() for line in config[-3:]] == expected


def test_network_mount_points_and_devices_reach_lxc(node: Node) -> None:
    config = started(
        node,
        container(
            "dev0: /dev/null\nmp0: /srv/shared,mp=/mnt/shared,ro=1\n"
            "net0: name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:00:09:10,"
            "ip=10.10.10.91/24,type=veth\n"
        ),
    )
    for line in (
        "lxc.cgroup2.devices.allow = c 1:3 rw",
        "lxc.mount.entry = /srv/shared mnt/shared none bind,create=dir,ro 0 0",
        "lxc.net.0.type = veth",
        "lxc.net.0.veth.pair = veth910i0",
        "lxc.net.0.hwaddr = BC:24:11:00:09:10",
        "lxc.net.0.name = eth0",
        "lxc.net.0.link = vmbr0",
        "lxc.net.0.flags = up",
        "lxc.net.0.ipv4.address = 10.10.10.91/24",
        "lxc.net.0.ipv4.gateway = 10.10.10.1",
    ):
        assert line in config


# --- devices --------------------------------------------------------------------------------------


def test_a_device_comes_by_a_node_of_its_own_and_not_by_a_mount_entry(node: Node) -> None:
    config = started(
        node, container("dev0: /dev/null\ndev1: path=/dev/zero,uid=1000,gid=44,mode=0600\n")
    )
    assert not [line for line in config if "mount.entry" in line]
    made = f"{node.root}/var/lib/lxc/910/passthrough"
    assert (node.root / "made").read_text().splitlines() == [
        f"mknod -m 0660 {made}/dev/null c 1 3",
        f"chown 100000:100000 {made}/dev/null",
        f"mknod -m 0600 {made}/dev/zero c 1 5",
        f"chown 101000:100044 {made}/dev/zero",
    ]
    assert Path(f"{made}/devices").read_text() == "c:1:3:/dev/null\nc:1:5:/dev/zero\n"
    # the next start makes what is asked for then
    node.run("pct stop 910")
    started(node, container())
    assert not Path(made).exists()


def test_the_owner_of_a_device_follows_the_idmap(node: Node) -> None:
    idmap = "lxc.idmap: u 0 200000 1000\nlxc.idmap: u 1000 1000 1\nlxc.idmap: g 0 200000 65536\n"
    started(node, container("dev0: /dev/null,uid=1000\n", idmap))
    assert "chown 1000:200000 " in (node.root / "made").read_text()
    node.run("pct stop 910")
    started(node, container("dev0: /dev/null,uid=1000\n", unprivileged=0))
    assert "chown 1000:0 " in (node.root / "made").read_text()


def test_the_same_device_twice_ends_the_start(node: Node) -> None:
    node.has("910", container("dev0: /dev/null\ndev1: /dev//null\n"))
    done = node.run("pct start 910")
    assert done.returncode == 255
    assert done.stdout == "run_buffer: 571 Script exited with status 17\n"
    assert done.stderr == "startup for container '910' failed\n"


@pytest.mark.parametrize("adds", ["dev0: /dev/null\n", "lxc.cgroup2.devices.allow: c 10:200 rwm\n"])
def test_a_device_more_needs_no_list_of_the_common_ones(node: Node, adds: str) -> None:
    common = node.root / "usr/share/lxc/config/common.conf"
    common.write_text("lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c 1:3 rwm\n")
    config = started(node, container(adds))
    assert len([line for line in config if "devices" in line]) == 1
    # LXC's userns.conf reads this one last, which makes it a list of what is denied
    pve = (LAB_NODE / "lxc/userns.conf.d/01-pve.conf").read_text().splitlines()
    assert pve[-1] == "lxc.cgroup2.devices.allow = a"


def autodev_hook(node: Node, rootfs: Path) -> subprocess.CompletedProcess[str]:
    """Run the hook as LXC does, which the node's common.conf names."""
    named = (LAB_NODE / "lxc/common.conf.d/01-pve.conf").read_text()
    assert "\nlxc.hook.autodev = /usr/lib/phoenix-lab/autodev-hook\n" in named
    node.tool("mount", f'echo "$@" >> {node.root}/mounted')
    hook = LAB_NODE / "lib/autodev-hook"
    return node.run(f"{hook} 910 lxc autodev", LXC_ROOTFS_MOUNT=str(rootfs))


def test_the_autodev_hook_binds_each_device_on_a_new_file(node: Node, tmp_path: Path) -> None:
    started(node, container("dev0: /dev/null\ndev1: /dev//zero\n"))
    rootfs = tmp_path / "rootfs"
    done = autodev_hook(node, rootfs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = f"{node.root}/var/lib/lxc/910/passthrough"
    assert (node.root / "mounted").read_text().splitlines() == [
        f"--bind {made}/dev/null {rootfs}/dev/null",
        f"--bind {made}/dev//zero {rootfs}/dev//zero",
    ]
    assert (rootfs / "dev/zero").is_file()


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_the_autodev_hook_fails_where_something_is_there(
    node: Node, tmp_path: Path, there: str
) -> None:
    started(node, container("dev0: /dev/null\n"))
    rootfs = tmp_path / "rootfs"
    (rootfs / "dev").mkdir(parents=True)
    place = rootfs / "dev/null"
    {"file": place.touch, "folder": place.mkdir, "link": lambda: place.symlink_to("x")}[there]()
    done = autodev_hook(node, rootfs)
    assert (done.returncode, done.stdout) == (17, "")
    assert done.stderr == f"Could not mknod {place}: File exists\n"


def test_the_autodev_hook_of_a_container_without_devices_does_nothing(
    node: Node, tmp_path: Path
) -> None:
    started(node, container())
    assert autodev_hook(node, tmp_path / "rootfs").returncode == 0
    assert not (node.root / "mounted").exists()


# --- HA -------------------------------------------------------------------------------------------

RESOURCES = """\
# by hand
state started

ct: 910
\tstate started
\tpriority 7
max_restart 2

ct: abc
\tstate started

pool: web
\tnodes pve1

vm: 100
\tcomment it is well
"""
COMPLAINTS = [
    "line 2 - ignore config line: state started",
    "line 6 (section '910') - unable to parse value of 'priority': unexpected property 'priority'",
    "line 7 (section '910') - ignore config line: max_restart 2",
    "line 9 (skip section 'abc'): invalid VMID 'abc'",
    "line 12 (skip section 'web'): no such resource type 'pool'",
]


@pytest.mark.parametrize("command", ["start", "stop", "shutdown"])
def test_a_broken_list_of_ha_resources_is_warned_of_on_stderr_and_stops_nothing(
    node: Node, command: str
) -> None:
    file = node.root / "etc/pve/ha/resources.cfg"
    file.parent.mkdir()
    file.write_text(RESOURCES)
    node.has("910", container(), running=command != "start")
    done = node.run(f"pct {command} 910")
    assert (done.returncode, done.stdout) == (0, "")
    expected = [f"file /etc/pve/ha/resources.cfg {one}" for one in COMPLAINTS]
    assert done.stderr.splitlines() == expected


@pytest.mark.parametrize("command", ["status 910", "reboot 910", "config 910", "list"])
def test_other_commands_do_not_read_the_list_of_ha_resources(node: Node, command: str) -> None:
    file = node.root / "etc/pve/ha/resources.cfg"
    file.parent.mkdir()
    file.write_text("state started\n")
    node.has("910", container(), running=True)
    done = node.run(f"pct {command}")
    assert (done.returncode, done.stderr) == (0, "")


# --- limits, and what was recorded ----------------------------------------------------------------


def test_memory_limits_follow_the_conf(node: Node) -> None:
    config = started(node, container().replace("memory: 256", "memory: 32768\nswap: 512"))
    assert [line.split(" = ")[1] for line in config if "memory" in line] == [
        str(32768 * 1024 * 1024),
        str((32768 - 128) * 1024 * 1024),
        str(512 * 1024 * 1024),
    ]


def test_cores_take_the_nodes_first_cpus(node: Node) -> None:
    cpus = node.root / "sys/fs/cgroup/cpuset.cpus.effective"
    cpus.parent.mkdir(parents=True)
    cpus.write_text("0-1,4\n")
    assert started(node, container("cores: 2\n"))[-1] == "lxc.cgroup2.cpuset.cpus = 0,1"


def test_the_lxc_config_of_the_recorded_container_is_the_recorded_one(node: Node) -> None:
    [shown] = RECORDED.glob("4a__pct_status*")
    expected = re.findall(r"(?m)^lxc\..*", shown.read_text())
    [created] = RECORDED.glob("40__cat*")
    conf = created.read_text().split("--- stdout\n")[1].split("total ")[0]
    node.has("920", conf)
    assert node.run("pct start 920").returncode == 0
    assert node.lxc_config("920") == expected


@pytest.mark.parametrize("name", ["2e__grep*", "4i__pct_status*"])
def test_the_generated_lines_are_the_recorded_ones(node: Node, name: str) -> None:
    [shown] = RECORDED.glob(name)
    expected = re.findall(r"(?m)^lxc\.(?:apparmor|seccomp).* = .*", shown.read_text())
    config = started(node, container("features: nesting=1,keyctl=1\n"))
    found = [line.replace("910", "CT") for line in config if re.search("apparmor|seccomp", line)]
    assert found == [re.sub("910|920", "CT", line) for line in expected]


# --- start, stop, exec ----------------------------------------------------------------------------


def test_a_template_is_never_started(node: Node) -> None:
    node.has("910", container("template: 1\n"))
    done = node.run("pct start 910")
    assert (done.returncode, done.stderr) == (255, "you can't start a CT if it's a template\n")


def test_start_applies_what_is_pending_before_it_derives(node: Node) -> None:
    pending = "\n[pve:pending]\ndelete: swap\nfeatures: keyctl=1\nmemory: 64\n"
    config = started(node, container("features: nesting=1\nswap: 9\n", pending))
    assert "lxc.cgroup2.memory.max = 67108864" in config
    assert "lxc.cgroup2.memory.swap.max = 0" in config
    expected = container("features: keyctl=1\n").replace("memory: 256", "memory: 64")
    assert sorted(node.conf("910").read_text().splitlines()) == sorted(expected.splitlines())


def test_a_failed_start_takes_the_rootfs_back_and_debug_shows_the_log(node: Node) -> None:
    log = "lxc-start 910 20261122001407.123 {} - ../src/lxc/start.c:{} - {}\n"
    (node.root / "lxc.log").write_text(
        log.format("ERROR    start", "__lxc_start:2127", 'Failed to spawn container "910"')
        + log.format("DEBUG    network", "lxc_delete_network:4221", "Deleted network devices")
    )
    for helper in ("mount-rootfs", "umount-rootfs"):
        path = node.root / "usr/lib/phoenix-lab" / helper
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho {helper} "$@" >> {node.root}/helpers\n')
        path.chmod(0o755)
    node.has("910", container())
    done = node.run("pct start 910 --debug")
    assert (done.returncode, done.stderr) == (255, "startup for container '910' failed\n")
    assert done.stdout == (
        '__lxc_start: 2127 Failed to spawn container "910"\n'
        'ERROR    start - ../src/lxc/start.c:__lxc_start:2127 - Failed to spawn container "910"\n'
        "DEBUG    network - ../src/lxc/start.c:lxc_delete_network:4221 - Deleted network devices\n"
    )
    assert (node.root / "helpers").read_text() == "mount-rootfs 910\numount-rootfs 910\n"


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        ("pct stop 910", "-n 910 --kill\n"),
        ("pct shutdown 910 --timeout 20", "-n 910 --nokill --timeout 20\n"),
        ("pct shutdown 910 --forceStop 1", "-n 910 --timeout 60\n"),
        ("pct reboot 910 --timeout=5", "-n 910 --nokill --timeout 5\n"),
    ],
)
def test_stop_shutdown_and_reboot_are_lxc_stop(node: Node, command: str, calls: str) -> None:
    node.has("910", container(), running=True)
    done = node.run(command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (node.root / "stopped").read_text() == calls
    status = "running" if "reboot" in command else "stopped"
    assert node.run("pct status 910").stdout == f"status: {status}\n"


def test_a_container_that_does_not_halt_in_time_is_an_error(node: Node) -> None:
    node.has("910", container(), running=True)
    node.tool("lxc-stop", "exit 1")
    done = node.run("pct shutdown 910 --timeout 1")
    assert done.returncode == 255
    text = "command 'lxc-stop -n 910 --nokill --timeout 1' failed: exit code 1\n"
    assert done.stderr == text


def test_exec_passes_the_environment_unless_told_not_to(node: Node) -> None:
    node.has("910", container(), running=True)
    kept = node.run("FOO=bar pct exec 910 -- env").stdout
    cleared = node.run("FOO=bar pct exec 910 --keep-env 0 -- env").stdout
    assert "FOO=bar\n" in kept
    assert "FOO=bar\n" not in cleared


def test_exec_passes_bytes_through_both_ways(node: Node) -> None:
    node.has("910", container(), running=True)
    done = node.run(
        "head -c 300000 /dev/urandom > /root/r; sha256sum < /root/r;"
        " pct exec 910 -- cat < /root/r | sha256sum"
    )
    first, second = done.stdout.splitlines()
    assert first == second


# --- set ------------------------------------------------------------------------------------------


def test_set_replaces_the_file_by_rename_and_leaves_nothing_beside_it(node: Node) -> None:
    node.has("910", container())
    before = node.conf("910").stat().st_ino
    assert node.run("pct set 910 --cores 2").returncode == 0
    assert node.conf("910").stat().st_ino != before
    assert node.conf("910").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in node.conf("910").parent.iterdir()] == ["910.conf"]
    assert (node.root / "run/lock/lxc/pve-config-910.lock").exists()


HOOKSCRIPT = "hookscript: local:snippets/hook.sh\n"


def hookscript(node: Node, does: str) -> None:
    script = node.root / "var/lib/vz/snippets/hook.sh"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)


# --- hookscripts ----------------------------------------------------------------------------------


def test_a_hookscript_runs_in_its_phases(node: Node) -> None:
    node.has("910", container(HOOKSCRIPT))
    hookscript(node, f'echo "$@" >>{node.root}/phases')
    for verb in ("start", "reboot", "shutdown"):
        assert node.run(f"pct {verb} 910").returncode == 0
    start, stop = ["910 pre-start", "910 post-start"], ["910 pre-stop", "910 post-stop"]
    phases = (node.root / "phases").read_text().splitlines()
    assert phases == [*start, *stop, *start, *stop]


def test_what_a_hookscript_writes_into_the_conf_counts_from_the_next_start_on(node: Node) -> None:
    node.has("910", container(HOOKSCRIPT, NAMED))
    hookscript(node, f"sed -i s/lxc-docker-nested/unconfined/ {node.conf('910')}")
    node.run("pct start 910")
    assert "lxc.apparmor.profile = lxc-docker-nested" in node.lxc_config("910")
    node.run("pct reboot 910")
    assert "lxc.apparmor.profile = unconfined" in node.lxc_config("910")


@pytest.mark.parametrize(
    ("does", "code"), [('[ "$2" != pre-start ]', 255), ('[ "$2" != post-start ]', 0)]
)
def test_only_before_the_start_a_hookscript_that_fails_stops_it(
    node: Node, does: str, code: int
) -> None:
    node.has("910", container(HOOKSCRIPT))
    hookscript(node, does)
    done = node.run("pct start 910")
    assert done.returncode == code
    assert "hookscript error for 910 on " in done.stdout + done.stderr


def test_a_hookscript_that_is_not_there_stops_the_start(node: Node) -> None:
    node.has("910", container(HOOKSCRIPT))
    done = node.run("pct start 910")
    assert done.returncode == 255
    assert "script 'local:snippets/hook.sh' does not exist" in done.stderr


# --- what is odd ----------------------------------------------------------------------------------


def test_the_digest_is_the_sha1_of_the_file(node: Node) -> None:
    node.has("910", container())
    digest = hashlib.sha1(node.conf("910").read_bytes()).hexdigest()
    assert node.run(f"pct set 910 --digest {digest} --cores 2").returncode == 0
    assert node.run(f"pct set 910 --digest {digest} --cores 3").returncode == 255
    assert "cores: 2\n" in node.conf("910").read_text()


def test_on_a_running_container_only_some_options_change_at_once(node: Node) -> None:
    node.has("910", container("features: nesting=1\n"), running=True)
    group = node.root / "sys/fs/cgroup/lxc/910"
    group.mkdir(parents=True)
    for name in ("max", "high", "swap.max"):
        (group / f"memory.{name}").write_text("")
    node.run("pct set 910 --memory 512 --hostname new --onboot yes --features fuse=1 --tty 1")
    main, pending = node.conf("910").read_text().split("\n[pve:pending]\n")
    assert {"memory: 512", "hostname: new", "onboot: 1", "features: nesting=1"} <= {
        *main.splitlines()
    }
    assert pending == "features: fuse=1\ntty: 1\n"
    assert (group / "memory.max").read_text() == str(512 * 1024 * 1024)


def test_mount_points_and_devices_are_set_and_deleted(node: Node) -> None:
    node.has("910", container())
    node.run("pct set 910 --mp0 /srv/a,mp=/mnt/a --dev0 /dev/null")
    assert node.run("pct set 910 --dev1 /dev/nosuch").returncode == 255
    assert node.run("pct set 910 --dev1 /etc/x").returncode == 255
    text = node.conf("910").read_text()
    assert "dev0: /dev/null\n" in text
    assert "mp0: /srv/a,mp=/mnt/a\n" in text
    node.run("pct set 910 --delete mp0,dev0")
    assert node.conf("910").read_text() == container()


def test_a_file_that_looks_like_a_bad_ctid_breaks_the_list(node: Node) -> None:
    node.has("910", container())
    node.has("99", "x\n")
    done = node.run("pct list")
    assert (done.returncode, done.stdout) == (255, "")
    assert done.stderr.startswith("vm 99 - unable to parse config: x\n400 Result verification")
    assert ".vmid: invalid format - value does not look like a valid VM ID\n\npct list" in (
        done.stderr
    )


def test_other_files_beside_the_confs_are_ignored(node: Node) -> None:
    node.has("910", container())
    for name in ("notes.txt", "916.conf.bak", "0100.conf", ".911.conf"):
        (node.conf("910").parent / name).write_text("x\n")
    assert [line.split()[0] for line in node.run("pct list").stdout.splitlines()] == ["VMID", "910"]


def test_unlock_without_a_lock_is_an_error(node: Node) -> None:
    node.has("910", container())
    done = node.run("pct unlock 910")
    assert (done.returncode, done.stderr) == (255, "no lock found trying to remove any lock\n")


@pytest.mark.parametrize(
    "odd",
    [
        "memory: lots\n",
        "cores: many\ncpulimit: 1;2\ncpuunits: x\nswap: no\n",
        "net0: nonsense\n",
        "mp0: nonsense\n",
        "dev0: mode=9\n",
        "features: nesting\n",
        "[snap]\nsnaptime: never\n",
        "hostname: \udcff\n#\udcff%ff\nlxc.cap.drop: \udcff\nodd \udcff\n",
        "\n[pve:pending]\ndelete: ,;\nlxc.cap.drop: x\n",
    ],
)
def test_no_conf_however_odd_ends_in_a_traceback(node: Node, odd: str) -> None:
    node.has("910", container(raw=odd))
    commands = ("config 910", "pending 910", "listsnapshot 910", "status 910 --verbose", "list")
    changing = ("set 910 --cores 2", "start 910", "exec 910 -- true", "shutdown 910")
    done = node.run("; ".join(f"pct {command}" for command in (*commands, *changing)))
    assert "Traceback" not in done.stderr


def test_what_follows_the_double_dash_is_the_commands_own(node: Node) -> None:
    node.has("910", container(), running=True)
    assert node.run("pct exec 910 -- echo --keep-env 0 -- x").stdout == "--keep-env 0 -- x\n"


def test_an_error_with_the_arguments_comes_before_the_container_is_looked_at(node: Node) -> None:
    for command, problem in {
        "pct start": "400 not enough arguments\npct start <vmid> [OPTIONS]\n",
        "pct unlock": "400 not enough arguments\npct unlock <vmid>\n",
        "pct status 910 911": "400 too many arguments\npct status <vmid> [OPTIONS]\n",
    }.items():
        done = node.run(command)
        assert (done.returncode, done.stderr) == (2, problem)


# --- application containers -----------------------------------------------------------------------


def test_an_entrypoint_is_the_first_command_and_brings_its_own_shared_memory(node: Node) -> None:
    # pve-container 6.1.10 update_lxc_config
    config = started(node, container("entrypoint: /app --port 80\n", "lxc.init.uid: 101\n"))
    assert "lxc.init.cmd = /app --port 80" in config
    assert "lxc.init.uid = 101" in config
    assert "lxc.mount.entry = shm dev/shm tmpfs rw,nosuid,nodev,create=dir 0 0" in config


@pytest.mark.parametrize("options", ["", "entrypoint: /sbin/init\n"])
def test_a_system_mounts_its_shared_memory_itself(node: Node, options: str) -> None:
    assert "dev/shm" not in "".join(started(node, container(options)))


@pytest.mark.parametrize(
    ("pending", "env"),
    [
        ("lxc.environment.runtime: B=2\nlxc.environment.runtime: C=3\n", ["B=2", "C=3"]),
        ("delete: env\n", []),
        ("lxc.environment.runtime: A=1\n", ["A=1"]),
    ],
)
def test_variables_that_wait_take_the_place_of_all_that_are_there(
    node: Node, pending: str, env: list[str]
) -> None:
    raw = "lxc.environment.runtime: A=1\nlxc.init.uid: 101\n"
    config = started(node, container("", f"{raw}\n[pve:pending]\n{pending}"))
    found = [line for line in config if line.startswith("lxc.environment")]
    assert found[1:] == [f"lxc.environment = {variable}" for variable in env]
    assert "lxc.init.uid = 101" in config
    assert "pve:pending" not in node.conf("910").read_text()
