"""A container is made, and taken away, with a pct that does what the real one does (lab/node)."""

import pytest
from create_node import RAW, Node
from standin_images import DEBIAN, pack
from standin_node import PCT, PYTHON

TEMPLATE = "local:vztmpl/debian.tar"
OPTIONS = ("--hostname", "web", "--rootfs", "local:4", "--features", "nesting=1", "--memory", "256")
SOURCE = """\
arch: amd64
features: nesting=1
hostname: template
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:09:00,ip=10.10.10.90/24,type=veth
ostype: unmanaged
rootfs: local:900/base-900-disk-0.raw,size=4G
template: 1
unprivileged: 1
lxc.apparmor.profile: unconfined
"""


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    root = node.root
    pack(root / "var/lib/vz/template/cache/debian.tar", DEBIAN, {})
    for folder in ("proc/net", "usr/share/lxc/config"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    sockets = node.has("/proc/net/unix", "")
    node.has("/usr/share/lxc/config/common.seccomp", "2\ndenylist\n")
    node.has("/etc/hostname", "pve1\n")
    node.source.write_text(SOURCE)
    node.has("/var/lib/vz/images/900/base-900-disk-0.raw", "image")
    node.tool("pct", f'PCT_ROOT="$PHOENIX_ROOT" exec {PYTHON} {PCT} "$@"')
    node.tool("lxc-usernsexec", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    for name in ("mkfs.ext4", "chown"):
        node.tool(name, "exit 0")
    listens = f'echo "0: 2 0 1 1 1 5 @/var/lib/lxc/$2/command" >>{sockets}'
    kept = f"cp {root}/var/lib/lxc/$2/config {node.fake}/started-with"
    node.tool("lxc-start", f"{kept} && {listens}")
    node.tool("lxc-stop", f'sed -i "/lxc.$2.command/d" {sockets}')
    return node


def asks(node, *pct):
    node.asks(pct=[[*words] for words in pct])


def creates(node, template=TEMPLATE):
    asks(node, ("create", "970", template, *OPTIONS))


def disks(node, ctid=970):
    return [path.name for path in (node.root / f"var/lib/vz/images/{ctid}").glob("*")]


def started_with(node):
    lines = (node.fake / "started-with").read_text().splitlines()
    return [line.partition(" = ")[2] for line in lines if line.startswith("lxc.apparmor.profile")]


def test_what_is_made_is_confined_when_it_first_starts(node):
    creates(node)
    done = node.create()
    assert done.returncode == 0, done.stdout
    assert node.events == ["intent", "started", "done"]
    assert started_with(node) == ["lxc-docker-nested"]
    conf = node.conf.read_text()
    assert conf == (
        "arch: amd64\nfeatures: nesting=1\nhostname: web\nmemory: 256\nostype: debian\n"
        "rootfs: local:970/vm-970-disk-0.raw,size=4G\nswap: 512\nunprivileged: 1\n"
        f"{': '.join(RAW[0])}\n"
    )


def test_a_clone_is_not_confined_as_its_source_is(node):
    clone = ("clone", "900", "970", "--full", "1", "--hostname", "web")
    asks(node, clone, ("set", "970", "--memory", "256"), ("resize", "970", "rootfs", "8G"))
    done = node.create()
    assert done.returncode == 0, done.stdout
    assert started_with(node) == ["lxc-docker-nested"]
    conf = node.conf.read_text()
    assert "rootfs: local:970/vm-970-disk-0.raw,size=8G\n" in conf
    assert "memory: 256\n" in conf
    assert "unconfined" not in conf
    assert node.source.read_text() == SOURCE


@pytest.mark.parametrize("template", ["local:vztmpl/nosuch.tar", "local:vztmpl/broken.tar"])
def test_a_pct_that_fails_leaves_nothing_and_its_reason(node, template):
    node.has("/var/lib/vz/template/cache/broken.tar", "no archive")
    creates(node, template)
    done = node.create()
    assert done.returncode == 1
    assert "unable to create CT 970 - " in done.stdout.splitlines()[-1]
    assert not node.conf.exists()
    assert disks(node) == []


def test_a_clone_that_fails_leaves_its_source_unlocked(node):
    (node.root / "var/lib/vz/images/900/base-900-disk-0.raw").unlink()
    asks(node, ("clone", "900", "970", "--full", "1"))
    done = node.create()
    assert done.returncode == 1
    assert node.source.read_text() == SOURCE
    assert not node.conf.exists()


def test_what_does_not_start_as_it_should_is_destroyed_with_its_disk(node):
    node.label.write_text("unconfined\n")
    creates(node)
    assert node.create().returncode == 1
    assert not node.conf.exists()
    assert disks(node) == []


@pytest.mark.parametrize("tool", ["mkfs.ext4", "tar", "lxc-start"])
def test_what_a_kill_left_is_taken_away_by_the_next_run(node, tool):
    path = node.fake / tool
    before = path.read_text() if path.exists() else None
    # pct, and what called it
    node.tool(tool, "kill -KILL $(ps -o ppid= -p $PPID) $PPID")
    creates(node)
    assert node.create().returncode < 0
    assert node.conf.exists()
    if before is None:
        path.unlink()
    else:
        path.write_text(before)
    done = node.recover("--if-cut")
    assert done.returncode == 0, done.stdout
    assert not node.conf.exists()
