"""What a path of the node gives away."""

import pytest

from phoenix.pve.host_paths import (
    READ_ONLY,
    SENSITIVE,
    entry_danger,
    guest_disks,
    path_danger,
    plain,
)


@pytest.mark.parametrize(
    "path", ["//etc", "/srv/../etc", "/./etc/", "/srv//../etc/.", "etc", "///etc"]
)
def test_a_path_is_judged_by_its_plain_form(path):
    assert plain(path) == "/etc"
    assert path_danger(path) == path_danger("/etc")
    assert path_danger(path).startswith("hands the host's /etc to the container")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc", "/etc/cron.d", "/etc/pve/priv", "/var", "/var/lib", "/var/lib/lxc/910",
        "/var/lib/pve-cluster", "/var/lib/pve-manager/x", "/var/lib/phoenix-harden/runs",
        "/var/lib/vz/snippets", "/var/lib/docker", "/var/spool/cron", "/root", "/root/.ssh",
        "/home", "/home/anna", "/home/anna/.ssh", "/usr/local/bin", "/lib/modules", "/bin", "/sbin",
        "/boot", "/proc/sys", "/sys/kernel", "/run", "/run/dbus/system_bus_socket", "/var/run",
        "/tmp", "/dev", "/dev/sda", "/dev/nvme0n1p1", "/dev/dm-0", "/dev/mapper/pve-root",
        "/dev/zvol/rpool", "/dev/mem", "/dev/kmsg", "/dev/loop0", "/dev/shm",
        "/mnt", "/mnt/pve", "/mnt/pve/nas", "/mnt/pve/nas/images", "/mnt/pve/nas/images/910",
        "/mnt/pve/nas/private", "/mnt/pve/nas/dump", "/mnt/pve/nas/template/cache",
        "/mnt/pve/nas/snippets",
        "/srv/docker/docker.sock", "/rpool/data/subvol-952-disk-0", "/rpool/data/subvol-1-disk-0/a",
    ],
)  # fmt: skip
def test_what_is_more_than_data_is_said(path):
    assert path in path_danger(path)


@pytest.mark.parametrize(
    "path",
    [
        "/tank", "/tank/media", "/srv/data", "/mnt/pve/nas/media", "/mnt/pve/nas/a/images",
        "/mnt/data", "/media/usb", "/opt/app", "/data",
        "/var/lib/docker-data", "/var/lib/postgresql", "/var/www", "/etcetera", "/home/anna/media",
        "/rootfs", "/tmp/.X11-unix", "/srv/etc", "/tank/root/.ssh", "/srv/mysql.sock",
        "/dev/dri", "/dev/dri/renderD128", "/dev/nvidia0", "/dev/nvidia-uvm", "/dev/nvidiactl",
        "/dev/nvidia-caps/nvidia-cap1", "/dev/net/tun", "/dev/fuse", "/dev/null", "/dev/kfd",
        "/dev/bus/usb/001/002", "/dev/ttyUSB0", "/dev/serial/by-id", "/dev/snd",
    ],
)  # fmt: skip
def test_data_and_ordinary_devices_are_harmless(path):
    assert path_danger(path) is None


def test_a_folder_that_holds_a_sensitive_one_says_which():
    assert path_danger("/var/lib").endswith("/var/lib to the container, /var/lib/apparmor with it")


@pytest.mark.parametrize("path", ["/usr", "/lib/modules", "/etc/localtime", "/etc/ssl/certs"])
def test_read_only_makes_harmless_what_everybody_may_read_and_root_alone_may_write(path):
    assert path_danger(path)
    assert path_danger(path, read_only=True) is None


@pytest.mark.parametrize("path", ["/", "/etc", "/etc/pve/priv", "/root", "/run", "/dev/sda"])
def test_read_only_does_not_make_secrets_and_sockets_harmless(path):
    assert path_danger(path, read_only=True)


@pytest.mark.parametrize(
    "entry",
    [
        "/etc/cron.d mnt none bind",
        "//etc mnt none rbind,create=dir 0 0",
        "etc mnt none bind",
        "/etc mnt none move",
        "/etc\tmnt\tnone\tbind",
        r"/et\134c/../etc mnt none bind",
        "/lib/modules lib/modules none bind",
        "/lib/modules lib/modules none bind,ro,idmap=container",
        "/etc mnt none ro,bind",
        "/dev/sda1 mnt ext4 rw 0 0",
        "overlay mnt overlay lowerdir=/etc,upperdir=/srv/u,workdir=/srv/w",
        "debugfs sys/kernel/debug debugfs rw",
        "proc srv/p proc rw",
        "x mnt none bind,relative",
    ],
)
def test_a_mount_entry_that_brings_in_more_than_data_is_said(entry):
    assert entry_danger(entry)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "/srv/data srv/data none bind,create=dir 0 0",
        r"/srv/my\040data srv/data none bind 0 0",
        "/dev/dri dev/dri none bind,optional,create=dir",
        "/dev/null sys/module/apparmor/parameters/enabled none bind 0 0",
        "/lib/modules lib/modules none ro,bind 0 0",
        "tmpfs tmp tmpfs size=64m,nosuid 0 0",
        "proc proc proc rw 0 0",
        "sysfs sys sysfs rw 0 0",
    ],
)
def test_an_ordinary_mount_entry_is_harmless(entry):
    assert entry_danger(entry) is None


DATASETS = {
    "rpool/data": "/rpool/data",
    "rpool/data/subvol-910-disk-0": "/rpool/data/subvol-910-disk-0",
    "tank/subvol-952-disk-1": "/srv/odd",
    "tank/media": "/tank/media",
}


@pytest.mark.parametrize("path", ["/rpool", "/rpool/data", "//rpool/./data/", "/srv", "/srv/odd"])
def test_a_folder_in_which_zfs_mounts_disks_of_containers_is_more_than_data(path):
    disks = guest_disks(DATASETS)
    danger = path_danger(path, disks=disks)
    assert "a disk of a container with it: /" in danger
    assert entry_danger(f"{path} mnt none rbind", disks) == danger
    assert path_danger(path) is None


@pytest.mark.parametrize("path", ["/tank", "/tank/media", "/rpool/dat", "/srv/od", "/rpool/data2"])
def test_a_folder_with_other_datasets_is_data(path):
    assert path_danger(path, disks=guest_disks(DATASETS)) is None


def test_the_first_part_of_what_is_sensitive_is_no_pattern():
    # by it the others are found
    firsts = {name.split("/")[1] for name in (*SENSITIVE, *READ_ONLY)}
    assert not [first for first in firsts if set(first) & set("*?[")]
