"""The stand-in makes and copies containers: confs, volumes, refusals."""

import re
from pathlib import Path

import pytest
from standin_images import (
    has_image,
    image,
    node_with_template,
    pack,
    plain,
    rootfs,
)
from standin_node import Node

RECORDED = Path(__file__).parents[1] / "recordings/pct/in-vm"
TEMPLATE = "local:vztmpl/debian-13.tar.gz"
NET0 = "name=eth0,bridge=vmbr0,gw=10.10.10.1,ip=10.10.10.170/24"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return node_with_template(tmp_path)


# --- create ---------------------------------------------------------------------------------------


def test_a_container_has_what_the_options_say_and_the_real_ones_defaults(node: Node) -> None:
    options = (
        f"--hostname web --rootfs local:8 --net0 {NET0} --cores 2 --features nesting=1,keyctl=1 "
        "--onboot yes --startup order=3,up=20 --nameserver 10.10.10.1 --searchdomain lan "
        "--tags docker --description 'made here'"
    )
    done = node.run(f"pct create 970 {TEMPLATE} {options}")
    assert (done.returncode, done.stderr) == (0, "")
    conf = node.conf("970").read_text()
    address = re.search(r"hwaddr=(BC:24:11(?::[0-9A-F]{2}){3})", conf)
    assert address
    assert conf == (
        "#made here\n"
        "arch: amd64\ncores: 2\nfeatures: nesting=1,keyctl=1\nhostname: web\nmemory: 512\n"
        "nameserver: 10.10.10.1\n"
        f"net0: name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr={address[1]},ip=10.10.10.170/24,"
        "type=veth\n"
        "onboot: 1\nostype: debian\nrootfs: local:970/vm-970-disk-0.raw,size=8G\n"
        "searchdomain: lan\nstartup: order=3,up=20\nswap: 512\ntags: docker\nunprivileged: 1\n"
    )
    assert "Detected container architecture: amd64\n" in done.stdout
    assert image(node, "970", "vm-970-disk-0.raw").stat().st_size == 8 << 30


def test_the_guest_gets_a_name_name_servers_and_no_machine_id(node: Node) -> None:
    options = f"--hostname web.lan --net0 {NET0} --nameserver 10.10.10.1 --searchdomain lan"
    assert node.run(f"pct create 970 {TEMPLATE} {options}").returncode == 0
    assert rootfs(node, "970", "etc/hostname").read_text() == "web\n"
    assert "10.10.10.170 web.lan\n" in rootfs(node, "970", "etc/hosts").read_text()
    resolved = rootfs(node, "970", "etc/resolv.conf").read_text()
    assert resolved == "search lan\nnameserver 10.10.10.1\n"
    assert rootfs(node, "970", "etc/machine-id").read_text() == ""
    assert not rootfs(node, "970", "dev/null").exists()


def test_the_files_of_an_unprivileged_container_are_its_roots(node: Node) -> None:
    node.tool("lxc-usernsexec", f'echo "$@" >> {node.root}/shifted; shift 5; exec "$@"')
    assert node.run(f"pct create 970 {TEMPLATE}").returncode == 0
    made = node.made()
    assert "mkfs.ext4 -E root_owner=100000:100000 /var/lib/vz/images/970/vm-970-disk-0.raw" in made
    assert any(line.startswith("chown 100000:100000 ") for line in made)
    shifted = (node.root / "shifted").read_text()
    assert shifted.startswith("-m u:0:100000:65536 -m g:0:100000:65536 -- tar xpf - -z --totals ")


def test_a_privileged_one_keeps_the_ids_of_its_template(node: Node) -> None:
    node.tool("lxc-usernsexec", "exit 1")
    assert node.run(f"pct create 970 {TEMPLATE} --unprivileged 0").returncode == 0
    assert "unprivileged" not in node.conf("970").read_text()


@pytest.mark.parametrize("pattern", ["40__pct_create*", "9a__pct_create*"])
def test_it_says_what_was_recorded(node: Node, pattern: str) -> None:
    cache = node.root / "var/lib/vz/template/cache"
    pack(cache / "labbox_1_amd64.tar.gz", {"bin/sh": b"#!/bin/true\n"}, {})
    node.tool(
        "mkfs.ext4",
        'printf "mke2fs 1.47\\nCreating filesystem with 208896 1k blocks and 52208 inodes\\n'
        'Filesystem UUID: 1b53bd5a\\nSuperblock backups stored on blocks: \\n\\t8193, 24577\\n\\n"',
    )
    [file] = RECORDED.glob(pattern)
    command, _, rest = file.read_text().partition("\n")
    done = node.run(command.removeprefix("$ "))
    assert (done.returncode, done.stderr) == (0, "")
    expected = rest.partition("--- stdout\n")[2].partition("--- stderr\n")[0]
    changing = r"(?m)(Total bytes read: |Filesystem UUID: |^\t).*"
    said = done.stdout.replace(str(node.root), "")
    assert re.sub(changing, r"\1", said) == re.sub(changing, r"\1", expected)
    ctid = re.findall(r"create (\d+)", command)[0]
    [shown] = RECORDED.glob("40__cat*" if ctid == "920" else "9a__cat*")
    conf = shown.read_text().partition("--- stdout\n")[2]
    assert node.conf(ctid).read_text() == conf.partition("lxc.")[0]


def test_while_it_is_made_its_conf_says_no_more_than_that(node: Node) -> None:
    node.tool("mkfs.ext4", f"cat {node.conf('970')} >> {node.root}/meanwhile")
    assert node.run(f"pct create 970 {TEMPLATE}").returncode == 0
    assert (node.root / "meanwhile").read_text() == "lock: create\n"


@pytest.mark.parametrize(
    ("archive", "options", "said"),
    [
        (
            "local:vztmpl/nosuch.tar.zst",
            "",
            "unable to create CT 970 - volume 'local:vztmpl/nosuch.tar.zst' does not exist",
        ),
        ("/nosuch.tar", "", "unable to create CT 970 - can't find file '/nosuch.tar'"),
        (TEMPLATE, "--rootfs nosuch:8", "storage 'nosuch' does not exist"),
        (TEMPLATE, "--storage nosuch", "storage 'nosuch' does not exist"),
        (
            TEMPLATE,
            "--mp0 local:4,mp=/srv",
            "mount points configured, but 'rootfs' not set - aborting",
        ),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    node: Node, archive: str, options: str, said: str
) -> None:
    done = node.run(f"pct create 970 {archive} {options}")
    assert (done.returncode, done.stderr) == (255, f"{said}\n")
    assert not node.conf("970").exists()
    assert not image(node, "970", "").exists()


def test_a_storage_that_is_not_for_disks_is_refused(node: Node) -> None:
    done = node.run(f"pct create 970 {TEMPLATE} --storage isos")
    assert done.returncode == 255
    assert "storage: storage 'isos' does not support container directories\n" in done.stderr
    assert not node.conf("970").exists()


def test_a_failure_in_the_middle_takes_back_what_was_made(node: Node) -> None:
    (node.root / "var/lib/vz/template/cache/debian-13.tar.gz").write_text("no archive")
    done = node.run(f"pct create 970 {TEMPLATE}")
    assert done.returncode == 255
    assert done.stderr.startswith("unable to create CT 970 - command 'lxc-usernsexec ")
    assert not node.conf("970").exists()
    assert not image(node, "970", "").exists()


def test_a_signal_in_the_middle_takes_back_what_was_made(node: Node) -> None:
    node.tool("mkfs.ext4", "kill -TERM $PPID; sleep 0.1")
    done = node.run(f"pct create 970 {TEMPLATE}")
    assert done.returncode == 255
    assert done.stderr == "unable to create CT 970 - received interrupt\n"
    assert not node.conf("970").exists()
    assert not image(node, "970", "").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("etc/pve/lxc/970.conf", "CT 970 already exists on node 'pve-lab'"),
        ("etc/pve/nodes/other/lxc/970.conf", "CT 970 already exists on node 'other'"),
        ("etc/pve/nodes/other/qemu-server/970.conf", "VM 970 already exists on node 'other'"),
    ],
)
@pytest.mark.parametrize("command", [f"create 970 {TEMPLATE}", "clone 910 970"])
def test_a_number_that_is_taken_is_refused(node: Node, command: str, file: str, said: str) -> None:
    node.has("910", plain("910"))
    (node.root / file).parent.mkdir(parents=True, exist_ok=True)
    (node.root / file).write_text("memory: 1\n")
    done = node.run(f"pct {command}")
    assert (done.returncode, done.stderr) == (255, f"{said}\n")
    assert (node.root / file).read_text() == "memory: 1\n"
    assert node.conf("910").read_text() == plain("910")


def test_bad_arguments_are_refused_as_those_of_set_are(node: Node) -> None:
    done = node.run(f"pct create 970 {TEMPLATE} --memory lots")
    problem = "memory: type check ('integer') failed - got 'lots'"
    usage = "pct create <vmid> <ostemplate> [OPTIONS]"
    assert done.returncode == 2
    assert done.stderr == f"400 Parameter verification failed.\n{problem}\n{usage}\n"
    assert "newid: invalid format" in node.run("pct clone 910 7").stderr


# --- clone, template, resize ----------------------------------------------------------------------


def test_a_clone_is_the_same_but_for_name_address_disk_and_history(node: Node) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    # what the clone's disk holds
    rootfs(node, "970", "etc").mkdir(parents=True)
    rootfs(node, "970", "etc/debian_version").write_text("13.1\n")
    source = plain("910", options="parent: one\n")
    history = "\n[pve:pending]\ncores: 2\n\n[one]\nsnaptime: 1\n"
    node.has("910", source + history)
    done = node.run("pct clone 910 970 --hostname copy --description new")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "creating a clone of container 910 with ID 970\n"
        "create full clone of mountpoint rootfs (local:910/vm-910-disk-0.raw)\n"
    )
    conf = node.conf("970").read_text()
    expected = plain("970").replace("hostname: web", "hostname: copy")
    address = r"hwaddr=[0-9A-F:]+"
    assert re.sub(address, "", conf) == "#new\n" + re.sub(address, "", expected)
    assert "BC:24:11:00:00:01" not in conf
    assert image(node, "970", "vm-970-disk-0.raw").read_text() == "image"
    assert rootfs(node, "970", "etc/hostname").read_text() == "copy\n"
    parent = "ostype: debian\nparent: one\n"
    sorted_source = plain("910").replace("ostype: debian\n", parent)
    assert node.conf("910").read_text() == sorted_source + history


def test_a_running_container_is_cloned_from_a_snapshot_only(node: Node) -> None:
    node.has_thin("921")
    node.has("921", plain("921", "labthin:vm-921-disk-0"), running=True)
    assert node.run("pct snapshot 921 one").returncode == 0
    before = node.conf("921").read_text()
    node.thin("921").write_text("later")
    refused = node.run("pct clone 921 970")
    why = "Full clone of a running container is only possible from a snapshot\n"
    assert (refused.returncode, refused.stderr) == (255, why)
    assert not node.conf("970").exists()
    assert node.conf("921").read_text() == before
    assert node.run("pct clone 921 970 --snapname one").returncode == 0
    assert node.thin("970").read_text() == "disk"
    assert "rootfs: labthin:vm-970-disk-0,size=4G" in node.conf("970").read_text()
    assert "snaptime" not in node.conf("970").read_text()


def test_a_clone_may_be_on_another_storage(node: Node) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    node.has("910", plain("910"))
    assert node.run("pct clone 910 970 --storage labthin").returncode == 0
    assert node.thin("970").read_text() == "image"


def test_a_templates_clone_is_linked_unless_it_is_full_which_a_directory_has_not(
    node: Node,
) -> None:
    has_image(node, "900", "base-900-disk-0.raw")
    conf = plain("900", "local:900/base-900-disk-0.raw", "template: 1\n")
    node.has("900", conf)
    done = node.run("pct clone 900 970")
    why = "Linked clone feature for 'local:900/base-900-disk-0.raw' is not available\n"
    assert (done.returncode, done.stderr) == (255, why)
    assert node.conf("900").read_text() == conf
    assert node.run("pct clone 900 970 --full").returncode == 0
    assert "template" not in node.conf("970").read_text()


@pytest.mark.parametrize(
    ("options", "command", "said"),
    [
        ("", "clone 910 970 --snapname nosuch", "snapshot 'nosuch' does not exist"),
        (
            "mp0: /srv/shared,mp=/srv\n",
            "clone 910 970",
            "unable to clone mountpoint 'mp0' (type bind)",
        ),
        ("lock: backup\n", "clone 910 970", "CT is locked (backup)"),
        ("", "clone 910 970", "clone failed: volume 'local:910/vm-910-disk-0.raw' does not exist"),
    ],
)
def test_a_clone_that_cannot_be_leaves_nothing(
    node: Node, options: str, command: str, said: str
) -> None:
    conf = plain("910").replace("memory", f"{options}memory")
    node.has("910", conf)
    done = node.run(f"pct {command}")
    assert (done.returncode, done.stderr) == (255, f"{said}\n")
    assert not node.conf("970").exists()
    assert not image(node, "970", "").exists()
    assert sorted(node.conf("910").read_text()) == sorted(conf)


def test_a_template_does_not_run_and_is_never_written_to(node: Node) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    node.has("910", plain("910"))
    done = node.run("pct template 910")
    assert (done.returncode, done.stderr) == (0, "")
    conf = node.conf("910").read_text()
    assert "rootfs: local:910/base-910-disk-0.raw,size=4G\n" in conf
    assert "template: 1\n" in conf
    assert "chattr +i /var/lib/vz/images/910/base-910-disk-0.raw" in node.made()
    assert node.run("pct start 910").stderr == "you can't start a CT if it's a template\n"
    again = node.run("pct template 910")
    assert again.stderr == "you can't convert a template to a template\n"


def test_a_running_container_becomes_no_template(node: Node) -> None:
    node.has("910", plain("910"), running=True)
    done = node.run("pct template 910")
    why = "you can't convert a CT to template if the CT is running\n"
    assert (done.returncode, done.stderr) == (255, why)


@pytest.mark.parametrize(
    ("size", "after", "said"),
    [
        ("+4G", "8G", ""),
        ("10G", "10G", ""),
        ("4G", "4G", "disk is already at specified size\n"),
        ("2G", "4G", "unable to shrink disk size\n"),
    ],
)
def test_a_disk_grows_and_never_shrinks(node: Node, size: str, after: str, said: str) -> None:
    has_image(node, "910", "vm-910-disk-0.raw")
    node.has("910", plain("910"))
    done = node.run(f"pct resize 910 rootfs {size}")
    assert (done.returncode, done.stderr) == (255 if said else 0, said)
    assert f"rootfs: local:910/vm-910-disk-0.raw,size={after}\n" in node.conf("910").read_text()
