"""Which raw keys a fleet file may set, which need the operator's word, which are refused."""

import pytest

from phoenix.pve.keys import raw_key_problem
from phoenix.pve.raw_classes import ALLOWED, NEEDS_PERMISSION, needs_permission, refusal
from phoenix.pve.raw_keys import parse_raw


@pytest.mark.parametrize(
    "line",
    [
        "lxc.hook.pre-start: /root/x.sh",
        "lxc.hook.start: /bin/true",
        "lxc.net.0.script.up: /root/x.sh",
        "lxc.net.0.type: none",
        "lxc.net.0.type: phys",
        "lxc.console.logfile: /etc/cron.d/x",
        "lxc.console.path: /dev/sda",
        "lxc.log.file: /etc/ld.so.preload",
        "lxc.mount.fstab: /srv/fstab",
        "lxc.rootfs.mount: /mnt",
        "lxc.include: /srv/more.conf",
        "lxc.cgroup2.devices.allow: b *:* rwm",
        "lxc.cgroup2.devices.allow: b 8:0 r",
        "lxc.cgroup2.devices.allow: c *:* rwm",
        "lxc.cgroup2.devices.allow: c 1:1 r",
        "lxc.cgroup.devices.allow: b 8:0 rwm",
        "lxc.seccomp.profile: /dev/null",
        "lxc.seccomp.profile: none",
        "lxc.seccomp.profile: /srv/all.seccomp",
        "lxc.seccomp.notify.proxy: unix:/srv/x",
        "lxc.idmap: u 0 0 65536",
        "lxc.environment: LD_PRELOAD=/srv/x.so",
        "lxc.environment: PERL5OPT=-Mx",
        "lxc.environment: TC_LIB_DIR=/srv/x",
        "lxc.environment: IP_LIB_DIR=/srv/x",
        "lxc.environment: OPENSSL_CONF=/srv/x",
        "lxc.environment: HOME=/srv/x",
        "lxc.environment: LANG_=/srv/x",
        "lxc.environment: https_proxy.x=1",
        "lxc.environment: NAME",
        "lxc.environment.hooks: A=b",
    ],
)
def test_what_acts_on_the_node_as_root_needs_the_operators_word(line):
    raw = parse_raw(line)
    assert needs_permission(raw.key, raw.value, privileged=False)


@pytest.mark.parametrize(
    "line",
    [
        "lxc.mount.auto: sys:rw",
        "lxc.cgroup2.devices.allow: a",
        "lxc.cgroup2.devices.allow: c 10:200 rwm",
        "lxc.cgroup2.devices.allow: c 195:* rwm",
        "lxc.cgroup2.devices.deny: a",
        "lxc.cgroup2.memory.high: 1G",
        "lxc.cap.drop:",
        "lxc.cap.keep: sys_admin mknod",
        "lxc.idmap: u 0 100000 65536",
        "lxc.idmap: g 44 44 1",
        "lxc.prlimit.nofile: 65536",
        "lxc.net.0.ipv4.address: 10.0.0.2/24",
        "lxc.environment: LANG=C.UTF-8",
        "lxc.environment: LC_ALL=C",
        "lxc.environment: TZ=Europe/Berlin",
        "lxc.environment: TERM=linux",
        "lxc.environment: https_proxy=http://proxy:3128",
        "lxc.environment: NO_PROXY=localhost",
        "lxc.environment.runtime: TC_LIB_DIR=/x",
        "lxc.environment.runtime: PATH=/app/bin:/bin",
        "lxc.seccomp.profile: /usr/share/lxc/config/pve-userns.seccomp",
        "lxc.console.path: none",
        "lxc.hook.version: 1",
        "lxc.apparmor.allow_nesting: 1",
        "lxc.init.uid: 1000",
        "lxc.init.gid = 1000",
        "lxc.init.groups: 1000,44",
    ],
)
def test_what_real_containers_use_needs_none(line):
    raw = parse_raw(line)
    assert needs_permission(raw.key, raw.value, privileged=False) is None


@pytest.mark.parametrize(
    "line",
    [
        "lxc.cap.drop:",
        "lxc.cap.keep: sys_module",
        "lxc.cgroup2.devices.allow: a",
        # autofs, vfio, loop-control, a whole major, nvme as a character device, tty1
        "lxc.cgroup2.devices.allow: c 10:235 rwm",
        "lxc.cgroup2.devices.allow: c 10:196 rwm",
        "lxc.cgroup2.devices.allow: c 10:237 rwm",
        "lxc.cgroup2.devices.allow: c 10:* rwm",
        "lxc.cgroup2.devices.allow: c 238:0 rwm",
        "lxc.cgroup2.devices.allow: c 4:1 rwm",
        "lxc.cgroup.devices.allow: c 189:* rwm",
        "lxc.cgroup2.devices.allow: c 5:* rwm",
    ],
)
def test_what_opens_the_node_to_its_own_root_needs_it_in_a_privileged_container(line):
    raw = parse_raw(line)
    assert needs_permission(raw.key, raw.value, privileged=True)
    assert needs_permission(raw.key, raw.value, privileged=False) is None


def test_a_key_that_nobody_looked_at_is_refused_with_what_one_can_do():
    reason = refusal("lxc.something.new", "1")
    assert reason == (
        "it is not among the raw keys that a fleet file may set: take it out; a line that you "
        "write into the conf yourself stays as it is"
    )


def test_every_listed_key_is_one_that_proxmox_takes():
    names = [name + "x" * name.endswith(".") for name in (*ALLOWED, *NEEDS_PERMISSION)]
    # families: of lxc.hook, lxc.rootfs and lxc.seccomp.notify Proxmox takes single keys
    names = [name for name in names if not name.endswith(".x")]
    assert [name for name in names if raw_key_problem(name)] == []
    assert not set(ALLOWED) & set(NEEDS_PERMISSION)


@pytest.mark.parametrize(
    "device",
    "1:3 1:5 1:7 1:8 1:9 5:0 5:1 5:2 136:* 136:4 10:200 10:229 195:* 195:255 226:* 226:128".split(),  # noqa: SIM905
)
def test_ordinary_character_devices_need_no_word_in_a_privileged_container_either(device):
    for key in ("lxc.cgroup.devices.allow", "lxc.cgroup2.devices.allow"):
        assert needs_permission(key, f"c {device} rwm", privileged=True) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lxc.init.uid: app", "a number is expected"),
        ("lxc.init.gid: -1", "a number is expected"),
        ("lxc.init.groups: 1 2", "numbers with commas between are expected"),
        ("lxc.init.groups: 1,", "numbers with commas between are expected"),
    ],
)
def test_a_user_that_lxc_would_not_start_with_is_refused(line, said):
    with pytest.raises(ValueError, match=said):
        parse_raw(line)
