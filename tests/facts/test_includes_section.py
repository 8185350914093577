"""node/includes.py on a tree of files: what LXC reads, in its order, and nothing else."""

import os

import pytest

from facts.observe import Observe


def ask(node, value):
    node.has("/etc/pve/lxc/910.conf", f"arch: amd64\nlxc.include: {value}\n")
    return node.see(Observe, {"includes": {}})["includes"][value]


def lines(found):
    return [tuple(line) for line in found["lines"]]


def test_a_file_is_read_with_the_number_of_each_line_and_as_lxc_reads_them(node):
    node.has(
        "/etc/lxc/a.conf",
        "# lxc.cap.drop =\n  lxc.mount.auto = sys:rw  \nlxc.uts.name='a b'\nother = 1\nlxc.x\n",
    )
    found = ask(node, "/etc/lxc/a.conf")
    path = "/etc/lxc/a.conf"
    assert found["why"] == ""
    assert lines(found) == [(path, 2, "lxc.mount.auto", "sys:rw"), (path, 3, "lxc.uts.name", "a b")]


def test_what_a_file_includes_stands_at_its_place(node):
    node.has("/etc/lxc/a.conf", "lxc.x = 1\nlxc.include = /etc/lxc/b.conf\nlxc.x = 3\n")
    node.has("/etc/lxc/b.conf", "lxc.x = 2\n")
    assert [line[3] for line in lines(ask(node, "/etc/lxc/a.conf"))] == ["1", "2", "3"]


def test_a_relative_one_begins_at_the_root_where_lxc_start_runs(node):
    node.has("/etc/lxc/a.conf", "lxc.x = 1\n")
    assert lines(ask(node, "etc/lxc/a.conf")) == [("/etc/lxc/a.conf", 1, "lxc.x", "1")]


@pytest.mark.parametrize("value", ["/etc/lxc/d", "/etc/lxc/d/"])
def test_of_a_folder_each_conf_is_read_and_nothing_else(node, value):
    for name in ("a.conf", "b.conf", "c.txt", ".conf"):
        node.has(f"/etc/lxc/d/{name}", f"lxc.x = {name}\n")
    found = ask(node, value)
    assert {line[0] for line in lines(found)} == {"/etc/lxc/d/a.conf", "/etc/lxc/d/b.conf"}
    # in the order in which the folder has them, as LXC takes them
    seen = (one.name for one in (node.root / "etc/lxc/d").iterdir())
    order = [name for name in seen if name in ("a.conf", "b.conf")]
    assert [line[3] for line in lines(found)] == order


def test_files_that_include_each_other_come_to_an_end(node):
    node.has("/etc/lxc/a.conf", "lxc.include = /etc/lxc/a.conf\n")
    assert ask(node, "/etc/lxc/a.conf")["why"].endswith("more than 8 deep")


def test_more_files_or_bytes_or_lines_than_anybody_has_are_not_read_and_that_is_said(node):
    for number in range(60):
        node.has(f"/etc/lxc/d/{number}.conf", "lxc.x = 1\n")
    found = ask(node, "/etc/lxc/d")
    assert (len(lines(found)), found["why"].endswith("more than 50 files")) == (50, True)
    node.has("/etc/lxc/long.conf", "#" * 70000)
    assert ask(node, "/etc/lxc/long.conf")["why"] == "/etc/lxc/long.conf: longer than 64 KiB"
    node.has("/etc/lxc/many.conf", "lxc.x = 1\n" * 3000)
    assert ask(node, "/etc/lxc/many.conf")["why"].endswith("more than 2000 lines")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/lxc/gone.conf", "not there"),
        ("/var/lib/lxc/910/rootfs/etc/a.conf", "in a guest"),
        ("/tank/subvol-910-disk-0/etc/a.conf", "in a guest"),
        ("/proc/4711/root/etc/a.conf", "in a guest"),
    ],
)
def test_what_is_not_there_or_in_a_guest_is_not_read(node, path, why):
    if why == "in a guest":
        node.has(path, "lxc.x = 1\n")
    assert ask(node, path) == {"lines": [], "why": f"{path}: {why}"}


def test_a_link_into_a_guest_is_followed_no_further_than_to_be_seen(node):
    node.has("/tank/subvol-910-disk-0/a.conf", "lxc.x = 1\n")
    node.has("/etc/lxc/b.conf", "")
    link = node.root / "etc/lxc/link.conf"
    link.symlink_to(node.root / "tank/subvol-910-disk-0/a.conf")
    assert ask(node, "/etc/lxc/link.conf")["why"] == "/etc/lxc/link.conf: in a guest"


def test_no_pipe_is_waited_for(node):
    node.has("/etc/lxc/b.conf", "")
    os.mkfifo(node.root / "etc/lxc/pipe.conf")
    assert ask(node, "/etc/lxc/pipe.conf")["why"] == "/etc/lxc/pipe.conf: no regular file"


def test_a_file_on_a_share_that_gives_no_answer_holds_nobody(node):
    node.tool("stat", 'case "$*" in */dead/*) exec sleep 60 ;; esac; exec /usr/bin/stat "$@"')
    found = ask(node, "/mnt/dead/a.conf")
    assert found == {"lines": [], "why": "/mnt/dead/a.conf: no answer in 2 s"}


def test_includes_of_snapshots_and_of_a_node_without_any_are_none(node):
    node.has("/etc/pve/lxc/910.conf", "arch: amd64\n\n[before]\nlxc.include: /etc/lxc/a.conf\n")
    assert node.see(Observe, {"includes": {}}) == {"includes": {}}


def test_what_lxcs_own_configuration_includes_elsewhere_is_looked_at_too(node):
    config = "/usr/share/lxc/config"
    node.has(f"{config}/common.conf", f"lxc.include = {config}/common.conf.d/\n")
    node.has(f"{config}/common.conf.d/50-x.conf", "lxc.include = /etc/lxc/x.conf\n")
    node.has(f"{config}/common.conf.d/51-y.conf", "lxc.include = /etc/lxc/gone.conf\n")
    node.has("/etc/lxc/x.conf", "lxc.apparmor.profile = unconfined\nlxc.tty.max = 1\n")
    node.tool("dpkg", "exit 0")
    seen = node.see(Observe, {"overrides": {}})["overrides"]
    assert seen["lxc"]["/etc/lxc/x.conf"] == ["lxc.apparmor.profile = unconfined"]
    assert seen["unread"] == {"/etc/lxc/gone.conf": "/etc/lxc/gone.conf: not there"}
