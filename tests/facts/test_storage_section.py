"""node/storage.py on a tree of files."""

from facts.storage import Storage
from phoenix.storage import ObservedStorage


def test_paths_that_are_there_and_datasets_with_their_mountpoints_are_told(node):
    node.has("/tank/portainer data/x", "")
    node.has("/dev/nvidia0", "")
    mounts = (
        "rpool/ROOT / zfs rw 0 0",
        "tank/portainer\\040data /srv/portainer\\040data zfs rw,xattr 0 0",
        "/dev/sda1 /boot ext4 rw 0 0",
        "zfs",
    )
    node.has("/proc/mounts", "".join(f"{line}\n" for line in mounts))
    seen = node.see(Storage, ("/tank/portainer data", "/dev/nvidia0", "/dev/nvidia1"))
    datasets = {"rpool/ROOT": "/", "tank/portainer data": "/srv/portainer data"}
    assert seen == ObservedStorage(("/tank/portainer data", "/dev/nvidia0"), datasets)


def test_a_node_without_any_of_them_has_none(node):
    assert node.see(Storage, ("/tank",)) == ObservedStorage()
