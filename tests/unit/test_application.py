"""Which containers are one program, made of an OCI image say, and not a system."""

import pytest

from phoenix.pve.application import is_application, program
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import Live, ObservedContainer

#: As pve-container 6.1.10 writes it (LXC/Create.pm restore_oci_archive, LXC/Config.pm
#: write_pct_config).
OCI = """\
arch: amd64
cmode: console
entrypoint: /docker-entrypoint.sh nginx -g 'daemon off;'
hostname: web
net0: name=eth0,bridge=vmbr0,host-managed=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth
ostype: alpine
rootfs: local-lvm:vm-970-disk-0,size=4G
unprivileged: 1
lxc.environment.runtime: PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
lxc.environment.runtime: SECRET=hunter2
lxc.init.uid: 101
lxc.init.gid: 101
lxc.init.groups: 101,44
lxc.init.cwd: /
lxc.signal.halt: SIGQUIT
"""


@pytest.mark.parametrize(
    "command",
    [
        "/app",
        "nginx -g 'daemon off;'",
        "'/docker-entrypoint.sh' nginx",
        "/init",
        "/usr/bin/tini -- /app",
        "/sbin/init.sh",
        "./start.sh",
        "'open quote",
        "/bin/sh -c 'exec /sbin/init'",
        "/opt/sbin/init",
    ],
)
def test_a_program_is_no_system(command):
    assert is_application(command)


@pytest.mark.parametrize(
    "command",
    ["", "  ", "/sbin/init", "/sbin/init splash", "/usr/sbin/init", "/lib/systemd/systemd",
     "/usr/lib/systemd/systemd --log-level=info", "/sbin/openrc-init"],
)  # fmt: skip
def test_what_starts_services_is_a_system(command):
    assert not is_application(command)


def test_its_program_is_the_first_word_as_lxc_reads_it():
    assert program("'/my app' --x") == "/my app"
    assert (program("'a b"), program("")) == ("'a", "")


def observed(conf, config=()):
    live = Live(dev_fuse=False, keyctl=None, config=config) if config else None
    return ObservedContainer(970, PveConf(conf), bool(config), None, None, None, "pve1", live=live)


def test_every_line_of_such_a_conf_is_known():
    conf = PveConf(OCI)
    assert conf.main.junk == ()
    assert conf.main.raw("lxc.init.uid") == ("101",)
    assert conf.main["entrypoint"] == "/docker-entrypoint.sh nginx -g 'daemon off;'"
    assert conf.set_raw("lxc.apparmor.profile", "lxc-a").render() == (
        f"{OCI}lxc.apparmor.profile: lxc-a\n"
    )


def test_of_entrypoint_and_raw_line_the_last_counts_as_for_lxc():
    assert observed(OCI).init == "/docker-entrypoint.sh nginx -g 'daemon off;'"
    assert observed(f"{OCI}lxc.init.cmd: /sbin/init\n").init == "/sbin/init"
    assert observed("lxc.init.cmd: /a\nlxc.init.cmd: /b\n").init == "/b"
    assert observed("arch: amd64\n").init == ""


def test_of_one_that_runs_counts_what_it_was_started_with():
    config = (("lxc.uts.name", "web"), ("lxc.init.cmd", "/app"))
    assert observed("arch: amd64\n", config).init == "/app"
    # somebody gave it an entrypoint since
    assert observed(OCI, (("lxc.uts.name", "web"),)).init == ""
