"""node/hookscripts.py and node/overrides.py on a tree of files."""

import pytest

from facts.overrides import HookScripts, Overrides
from phoenix.apparmor.observed import HOOK
from phoenix.pve.hookscripts import HookScript

SCRIPT = "#!/bin/sh\nsed -i s/lxc-a/unconfined/ /etc/pve/lxc/$1.conf\n"
CONFIG = "/usr/share/lxc/config"
BASE = "/etc/apparmor.d/abstractions/lxc/container-base"


def names(node, *lines, ctid=910):
    node.has(f"/etc/pve/lxc/{ctid}.conf", "".join(f"{line}\n" for line in lines))


# --- scripts --------------------------------------------------------------------------------------


def test_a_hookscript_is_read_from_its_storages_folder_of_snippets(node):
    names(node, "hookscript: local:snippets/a.sh")
    names(node, "hookscript: nas:snippets/b.pl", ctid=911)
    names(node, "hookscript: own:snippets/c", ctid=912)
    node.has(
        "/etc/pve/storage.cfg",
        "dir: own\n\tpath /srv/own\n\tcontent snippets\n\tcontent-dirs snippets=hooks,iso=i\n\n"
        "nfs: nas\n\tserver 10.0.0.1\n\texport /x\n\tcontent snippets\n",
    )
    node.has("/proc/mounts", "10.0.0.1:/x /mnt/pve/nas nfs4 rw 0 0\n")
    node.has("/var/lib/vz/snippets/a.sh", SCRIPT)
    node.has("/mnt/pve/nas/snippets/b.pl", "#!/usr/bin/perl\n")
    node.has("/srv/own/hooks/c", "x")
    assert node.see(HookScripts) == {
        "local:snippets/a.sh": HookScript("/var/lib/vz/snippets/a.sh", SCRIPT),
        "nas:snippets/b.pl": HookScript("/mnt/pve/nas/snippets/b.pl", "#!/usr/bin/perl\n"),
        "own:snippets/c": HookScript("/srv/own/hooks/c", "x"),
    }


def test_a_hook_of_lxc_is_read_and_ours_is_not(node):
    names(node, "lxc.hook.pre-start: /opt/pre.sh with words", f"lxc.hook.post-stop = {HOOK}")
    node.has("/opt/pre.sh", SCRIPT)
    node.has(HOOK, SCRIPT)
    assert node.see(HookScripts) == {"/opt/pre.sh": HookScript("/opt/pre.sh", SCRIPT)}


def test_a_script_behind_an_interpreter_is_read_and_what_runs_elsewhere_is_not(node):
    names(
        node,
        "lxc.hook.pre-start: /bin/bash /root/a.sh",
        "lxc.hook.mount: /bin/sh -c 'exec /root/b.sh'",
        "lxc.hook.post-stop: sh -c 'echo x >/tmp/y'",
        "lxc.hook.start: /root/inside.sh",
        "lxc.hook.version: 1",
        "",
        "[before]",
        "lxc.hook.pre-start: /root/old.sh",
    )
    for name in ("a", "b", "inside", "old"):
        node.has(f"/root/{name}.sh", SCRIPT)
    assert sorted(node.see(HookScripts)) == ["/root/a.sh", "/root/b.sh"]


@pytest.mark.parametrize(
    ("name", "path", "why"),
    [
        ("local:snippets/gone.sh", "/var/lib/vz/snippets/gone.sh", "not there"),
        ("local:snippets/folder", "/var/lib/vz/snippets/folder", "cannot be read"),
        ("nas:snippets/a.sh", "", "storage: /mnt/pve/nas is not mounted"),
        ("fast:snippets/a.sh", "", "its storage has no folder of scripts on this node"),
        ("nowhere:snippets/a.sh", "", "its storage has no folder of scripts on this node"),
        ("local:snippets/..", "", "its storage has no folder of scripts on this node"),
        ("local:iso/../../../etc/shadow", "", "its storage has no folder of scripts on this node"),
    ],
)
def test_of_one_that_cannot_be_read_the_reason_is_told(node, name, path, why):
    names(node, f"hookscript: {name}")
    node.has(
        "/etc/pve/storage.cfg", "nfs: nas\n\tserver a\n\texport /x\n\nzfspool: fast\n\tpool a\n"
    )
    node.has("/var/lib/vz/snippets/folder/x", "")
    node.has("/etc/shadow", "root:x\n")
    assert node.see(HookScripts) == {name: HookScript(path, None, why)}


def test_a_long_script_is_read_in_part_and_a_program_with_its_bytes(node):
    names(node, "hookscript: local:snippets/long")
    names(node, "hookscript: local:snippets/elf", ctid=911)
    node.has("/var/lib/vz/snippets/long", "#" * 100_000)
    node.has("/var/lib/vz/snippets/elf", "").write_bytes(b"\x7fELF\0\xff")
    found = node.see(HookScripts)
    long = found["local:snippets/long"]
    assert (len(long.text), long.why) == (64 * 1024, "longer than 64 KiB")
    assert found["local:snippets/elf"].unknown == "a program, no text"


def test_however_many_scripts_there_are_so_many_are_read_and_the_rest_is_told(node):
    for number in range(60):
        names(node, f"hookscript: local:snippets/{number:02}", ctid=100 + number)
    node.has("/var/lib/vz/snippets/00", "x")
    found = node.see(HookScripts)
    assert len(found) == 60
    assert found["local:snippets/00"].text == "x"
    assert found["local:snippets/59"].why == "more than 50 scripts are named on this node: not read"


def test_a_conf_that_cannot_be_read_names_none(node):
    (node.root / "etc/pve/lxc/910.conf").mkdir(parents=True)
    assert node.see(HookScripts) == {}


# --- the node itself ------------------------------------------------------------------------------


@pytest.fixture
def dpkg(node):
    """A node whose dpkg finds what is in the file `verified`."""
    node.tool("dpkg", '[ "$1" != --verify ] || cat "$FAKE/verified" 2>/dev/null; exit 1')
    return node


def test_the_kernels_lines_are_those_that_it_has_and_gets(dpkg):
    dpkg.has("/proc/cmdline", "quiet\n")
    dpkg.has("/etc/kernel/cmdline", "root=ZFS=a apparmor=0\n")
    dpkg.has(
        "/etc/default/grub", '# GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="b"\nGRUB_TIMEOUT=5\n'
    )
    dpkg.has("/etc/default/grub.d/x.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="$A security=none"\n')
    assert dpkg.see(Overrides).kernel == {
        "/proc/cmdline": "quiet",
        "/etc/kernel/cmdline": "root=ZFS=a apparmor=0",
        "/etc/default/grub": 'GRUB_CMDLINE_LINUX="b"',
        "/etc/default/grub.d/x.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="$A security=none"',
    }


def test_of_lxcs_files_the_lines_that_bear_on_confinement_are_told(dpkg):
    dpkg.has(f"{CONFIG}/common.conf", "lxc.tty.max = 4\n  lxc.apparmor.raw = mount,\n")
    dpkg.has(f"{CONFIG}/debian.common.conf", "#lxc.apparmor.profile = unconfined\n")
    dpkg.has(f"{CONFIG}/common.conf.d/99-mine.conf", "lxc.mount.auto = proc:rw sys:rw\n")
    dpkg.has(f"{CONFIG}/userns.conf.d/99-mine.conf", "lxc.apparmor.profile = unconfined\n")
    # nobody includes it
    dpkg.has(f"{CONFIG}/nesting.conf", "lxc.apparmor.profile = a\n")
    assert dpkg.see(Overrides).lxc == {
        f"{CONFIG}/common.conf": ("lxc.apparmor.raw = mount,",),
        f"{CONFIG}/common.conf.d/99-mine.conf": ("lxc.mount.auto = proc:rw sys:rw",),
        f"{CONFIG}/userns.conf.d/99-mine.conf": ("lxc.apparmor.profile = unconfined",),
    }


def test_what_dpkg_finds_changed_is_told_for_lxcs_files_alone(dpkg):
    (dpkg.fake / "verified").write_text(
        f"??5?????? c {BASE}\n??5??????   {CONFIG}/common.conf\n"
        "??5?????? c /etc/default/lxc\nmissing   c /etc/apparmor.d/lxc/lxc-default\n"
    )
    dpkg.has(BASE, "file,\n")
    found = dpkg.see(Overrides)
    assert found.changed == (BASE, "/etc/apparmor.d/lxc/lxc-default", f"{CONFIG}/common.conf")
    assert found.base == "file,\n"


def test_a_node_without_any_of_it_has_none(dpkg):
    found = dpkg.see(Overrides)
    assert (found.kernel, found.lxc, found.base, found.changed) == ({}, {}, None, ())


def test_a_dpkg_that_does_not_answer_is_told_from_one_that_finds_nothing(dpkg):
    dpkg.tool("dpkg", "exec head -c 3000000 /dev/zero")
    assert dpkg.see(Overrides).changed is None
