"""What of the node itself takes confinement away: told with what it opens and how it goes."""

import pytest

from phoenix.plan.findings import Severity
from phoenix.plan.overrides import override_findings, switches_off
from phoenix.pve.overrides import ObservedOverrides

CONFIG = "/usr/share/lxc/config"
BASE = "/etc/apparmor.d/abstractions/lxc/container-base"
#: As Debian has it, as far as it matters here.
WHOLE = """\
  mount fstype=tmpfs,
  deny @{PROC}/sys/fs/** wklx,
  deny @{PROC}/sysrq-trigger rwklx,
  deny /sys/firmware/efi/efivars/** rwklx,
  deny /proc/sys/[^kn]*{,/**} wklx,
"""


def found(**seen):
    findings = [*override_findings(ObservedOverrides(**seen))]
    assert all(one.fix and one.ctid is None for one in findings)
    return [(str(one.code), str(one.severity), one.message, one.fix) for one in findings]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("BOOT_IMAGE=/boot/vmlinuz quiet", ""),
        ("apparmor=1 security=apparmor audit=1", ""),
        ("quiet apparmor=0", "apparmor=0"),
        ("apparmor=0 apparmor=1", ""),
        ("apparmor=1 apparmor=0", "apparmor=0"),
        ("security=none", "security=none"),
        ("security=selinux", "security=selinux"),
        ("lsm=lockdown,yama,bpf", "lsm=lockdown,yama,bpf"),
        ("lsm=landlock,apparmor security=selinux", ""),
        ("lsm=", "lsm="),
        ('GRUB_CMDLINE_LINUX="apparmor=0"', "apparmor=0"),
        ("GRUB_CMDLINE_LINUX_DEFAULT='quiet security=none'", "security=none"),
        ("GRUB_CMDLINE_LINUX=apparmor=0", "apparmor=0"),
        ('GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX lsm=yama"', "lsm=yama"),
        ("x.apparmor=0 noapparmor=0", ""),
    ],
)
def test_what_switches_apparmor_off_is_found_in_a_kernels_line(line, word):
    assert switches_off(line) == word


def test_each_file_with_such_a_line_is_told_with_when_it_counts_and_how_it_goes():
    now, grub, boot = found(
        kernel={
            "/proc/cmdline": "apparmor=0",
            "/etc/default/grub": 'GRUB_CMDLINE_LINUX="apparmor=0"',
            "/etc/kernel/cmdline": "security=none",
        }
    )
    assert now[:2] == ("override.kernel", "warning")
    assert "no container of this node is confined now" in now[2]
    assert "confined from the next boot on" in grub[2]
    assert grub[3] == "take it out of /etc/default/grub, run update-grub and reboot"
    assert boot[3] == "take it out of /etc/kernel/cmdline, run proxmox-boot-tool refresh and reboot"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lxc.apparmor.raw = mount,", "which every generated profile has then, too"),
        ("lxc.apparmor.allow_incomplete = 1", "only part of a profile"),
        ("lxc.apparmor.profile=unconfined", "for which Proxmox writes no profile of its own"),
        ("lxc.aa_profile = unconfined", "for which Proxmox writes no profile of its own"),
    ],
)
@pytest.mark.parametrize("file", ["common.conf", "common.conf.d/99-x.conf", "debian.common.conf"])
def test_a_line_on_apparmor_in_lxcs_own_configuration_is_a_warning(file, line, words):
    path = f"{CONFIG}/{file}"
    ((code, severity, message, fix),) = found(lxc={path: (line,)})
    assert (code, severity) == ("override.lxc", "warning")
    assert message.startswith(f"{path} has {line}, ")
    assert words in message
    assert fix == f"take that line out of {path}, and restart the containers"


@pytest.mark.parametrize(
    "line",
    [
        "lxc.apparmor.allow_nesting = 0",
        "lxc.apparmor.allow_incomplete = 0",
        "lxc.apparmor.raw = deny mount,",
        "lxc.cgroup2.devices.allow = c *:* m",
    ],
)
def test_a_line_that_opens_nothing_is_none(line):
    assert found(lxc={f"{CONFIG}/common.conf.d/99-x.conf": (line,)}) == []


@pytest.mark.parametrize(
    "line", ["lxc.apparmor.allow_nesting = 1", "lxc.apparmor.raw = deny a, b,"]
)
def test_a_line_that_opens_something_is_one(line):
    assert len(found(lxc={f"{CONFIG}/common.conf.d/99-x.conf": (line,)})) == 1


def test_what_opens_more_is_told_where_it_is_not_the_packages_own():
    opened = ("lxc.mount.auto = cgroup:mixed proc:rw sys:rw", "lxc.cgroup2.devices.allow = a")
    stock = ("lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed", "lxc.cap.drop = sys_time")
    lxc = {f"{CONFIG}/common.conf.d/99-mine.conf": opened, f"{CONFIG}/common.conf": stock}
    told = found(lxc=lxc)
    assert [(one[0], one[1]) for one in told] == [("override.lxc", "note")] * 2
    assert "for every container: it makes /proc/sys and /sys writable" in told[0][2]
    common = {f"{CONFIG}/common.conf": opened}
    assert found(lxc=common) == []
    assert len(found(lxc=common, changed=(f"{CONFIG}/common.conf",))) == 3


def test_the_stock_lines_of_lxc_are_none():
    stock = (
        "lxc.cap.drop =",
        "lxc.mount.auto = sys:rw",
        "lxc.include = /usr/share/lxc/config/x.d/",
    )
    assert found(lxc={f"{CONFIG}/userns.conf": stock}, base=WHOLE, changed=()) == []


def test_what_is_added_for_unprivileged_containers_is_told_and_proxmoxs_own_is_not():
    # as pve-container has it: what is denied is listed instead
    stock = ("lxc.cgroup2.devices.deny =", "lxc.cgroup2.devices.allow = a")
    own = f"{CONFIG}/userns.conf.d/01-pve.conf"
    assert found(lxc={own: stock}, changed=()) == []
    assert found(lxc={own: stock}, changed=None) == []
    mine = f"{CONFIG}/userns.conf.d/99-mine.conf"
    ((code, severity, message, _),) = found(lxc={own: stock, mine: ("lxc.mount.auto = proc:rw",)})
    assert (code, severity) == ("override.lxc", "note")
    assert message.startswith(f"{mine} has lxc.mount.auto = proc:rw for every unprivileged cont")
    ((_, severity, message, _),) = found(lxc={mine: ("lxc.apparmor.profile = unconfined",)})
    assert (severity, message.split()[0]) == ("warning", mine)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            WHOLE.replace("deny @{PROC}/sysrq", "# deny @{PROC}/sysrq"),
            "does not deny sysrq-trigger",
        ),
        (WHOLE.replace("  deny /sys", "#  deny /sys"), "does not deny writing to /sys"),
        (f"{WHOLE}  mount,\n", "allows every mount"),
        (f"{WHOLE}  change_profile -> unconfined,\n", "allows leaving the profile"),
        ("file,\n", "writing to /proc/sys, sysrq-trigger, writing to /sys"),
    ],
)
def test_a_loosened_container_base_is_a_warning_with_what_it_opens(text, words):
    ((code, severity, message, fix),) = found(base=text, changed=(BASE,))
    assert (code, severity) == ("override.file", "warning")
    assert words in message
    assert "generated profiles nor ours read it" in message
    assert fix == (
        "apt-get install --reinstall -o Dpkg::Options::=--force-confask,confnew,confmiss "
        f"$(dpkg -S {BASE} | cut -d: -f1), then systemctl reload apparmor"
    )


def test_files_that_are_not_as_their_package_has_them_are_notes():
    first, second = found(base=f"{WHOLE}# mine\n", changed=(BASE, f"{CONFIG}/debian.common.conf"))
    assert first[:2] == ("override.file", "note")
    assert second[2] == f"{CONFIG}/debian.common.conf is not as its package has it"
    assert second[3] == (
        f"apt-get install --reinstall $(dpkg -S {CONFIG}/debian.common.conf | cut -d: -f1)"
    )


def test_what_a_newer_package_has_in_it_is_not_ours_to_judge():
    assert found(base="file,\n", changed=()) == []


def test_where_dpkg_cannot_tell_the_content_does():
    assert found(changed=None, base=WHOLE) == []
    assert len(found(changed=None, base="mount,\n")) == 1


def test_a_warning_of_the_node_needs_attention():
    (one,) = override_findings(ObservedOverrides(kernel={"/proc/cmdline": "apparmor=0"}))
    assert one.severity == Severity.WARNING
    assert one.needs_attention
