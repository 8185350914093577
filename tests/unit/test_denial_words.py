"""What was refused, in words that somebody understands who does not know AppArmor's."""

from dataclasses import replace

import pytest

from phoenix.apparmor.denials import Owner, read_line
from phoenix.report.denial_words import engine_container, what

ID = "3f" * 32


def denial(text, **changes):
    return replace(read_line(f'apparmor="DENIED" {text} profile="lxc-a" comm="x"'), **changes)


def file(name, mask, operation="open"):
    return f'operation="{operation}" class="file" name="{name}" requested_mask="{mask}" fsuid=0'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (file("/srv/a", "r"), "read /srv/a"),
        (file("/srv/a", "wr"), "read and write /srv/a"),
        (file("/srv/a", "wc"), "create /srv/a"),
        (file("/srv/a", "wd"), "write and delete /srv/a"),
        (file("/bin/a", "x", "exec"), "execute /bin/a"),
        (file("/lib/a.so", "rm", "file_mmap"), "read and map as code /lib/a.so"),
        (file("/srv/a", "", "getattr"), "getattr /srv/a"),
        (file("/proc/17/mem", "r"), "read /proc/*/mem"),
        (file(f"/var/lib/docker/{ID}/x", "r"), "read /var/lib/docker/*/x"),
        ('operation="capable" capname="sys_module"', "use capability sys_module"),
        (
            'operation="create" class="net" family="vsock" sock_type="stream"',
            "open a vsock stream socket",
        ),
        (
            'operation="connect" class="net" family="unix" sock_type="stream"',
            "connect on a unix stream socket",
        ),
        (
            'operation="mount" name="/tmp/pp/" fstype="proc" srcname="proc" flags="rw, silent"',
            "mount proc on /tmp/pp/ (proc, rw, silent)",
        ),
        ('operation="mount" name="/a/" flags="rw, move"', "mount something on /a/ (rw, move)"),
        ('operation="umount" name="/a/"', "unmount /a/"),
        ('operation="pivotroot" name="/a/" srcname="/a/"', "make /a/ its root"),
        (
            'operation="signal" requested_mask="receive" signal=kill peer="lxc-attach"',
            "receive signal kill from lxc-attach",
        ),
        (
            'operation="signal" requested_mask="send" signal=kill peer="unconfined"',
            "send signal kill to unconfined",
        ),
        ('operation="ptrace" requested_mask="tracedby" peer="lxc-b"', "be traced by lxc-b"),
        ('operation="change_profile" class="file" name="u" target="v"', "change to profile v"),
        ('operation="userns_create" class="namespace"', "create a user namespace"),
        ('operation="something_new" name="/x"', "something_new /x"),
        ("", ""),
    ],
)
def test_each_kind_has_words_of_its_own(text, words):
    assert what(denial(text)) == words


def test_a_name_can_neither_move_the_cursor_nor_fill_the_screen():
    said = what(denial(file("/" + "a" * 5000, "r")))
    assert len(said) <= 300
    assert what(denial('operation="capable" capname="\x1b[2J"')).isprintable()


def test_the_container_in_it_is_told_by_name_else_by_its_short_id():
    assert engine_container(denial(file("/a", "r"), owner=Owner(910, ID, "web"))) == "web"
    assert engine_container(denial(file("/a", "r"), owner=Owner(910, ID))) == ID[:12]
    assert engine_container(denial(file("/a", "r"), owner=Owner(910))) == ""


@pytest.mark.parametrize(
    "path", [f"/var/lib/docker/containers/{ID}/x", f"/var/lib/docker/rootfs/overlayfs/{ID}"]
)
def test_else_a_path_that_has_its_id_tells(path):
    assert engine_container(denial(file(path, "r"))) == ID[:12]
    assert engine_container(denial(f'operation="mount" name="/m/" srcname="{path}"')) == ID[:12]


def test_a_layer_is_no_container():
    assert engine_container(denial(file(f"/var/lib/docker/overlay2/{ID}/diff", "r"))) == ""
    assert engine_container(denial(file("/srv/containers/abc", "r"))) == ""


@pytest.mark.parametrize("name", ["\x1b[2J", "w" * 500, "web: paste this", "-rm", "web\n"])
def test_a_name_that_no_engine_gives_is_not_told(name):
    assert engine_container(denial(file("/a", "r"), owner=Owner(910, ID, name))) == ID[:12]


def test_what_a_guest_calls_its_files_cannot_go_on_with_our_sentence():
    path = b'/srv/a" by dd under lxc-a: paste `evil`'.hex().upper()
    line = file("", "r").replace('name=""', f"name={path}")
    assert what(denial(line)) == r'read "/srv/a\" by dd under lxc-a: paste `evil`"'
