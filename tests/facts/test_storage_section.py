"""node/storage.py on a tree of files."""

from facts.storage import Storage
from phoenix.pve.storage import ObservedStorage


def mounted(node, *lines):
    node.has("/proc/self/mountinfo", "".join(f"{line}\n" for line in lines))


def test_paths_that_are_there_and_datasets_with_their_mountpoints_are_told(node):
    node.has("/tank/portainer data/x", "")
    node.has("/dev/nvidia0", "")
    mounted(
        node,
        "30 1 0:26 / / rw shared:1 - zfs rpool/ROOT rw",
        "41 30 0:40 / /srv/portainer\\040data rw - zfs tank/portainer\\040data rw,xattr",
        "42 30 8:1 / /boot rw - ext4 /dev/sda1 rw",
    )
    seen = node.see(Storage, ("/tank/portainer data", "/dev/nvidia0", "/dev/nvidia1"))
    datasets = {"rpool/ROOT": "/", "tank/portainer data": "/srv/portainer data"}
    assert seen == ObservedStorage(("/tank/portainer data", "/dev/nvidia0"), datasets)


def test_a_bind_of_a_dataset_or_of_a_folder_in_it_is_not_where_it_is(node):
    mounted(
        node,
        "50 30 0:50 /films /mnt/films rw - zfs tank/media rw",
        "51 30 0:50 / /tank/media rw - zfs tank/media rw",
        "52 30 0:50 / /var/lib/lxc/959/rootfs rw - zfs tank/media rw",
    )
    assert node.see(Storage, ()).datasets == {"tank/media": "/tank/media"}


def test_a_node_without_any_of_them_has_none(node):
    assert node.see(Storage, ("/tank",)) == ObservedStorage()


STAT = 'for one; do case $one in */dead*) exec sleep 60 ;; esac; done; exec /usr/bin/stat "$@"'


def test_a_path_on_a_share_that_gives_no_answer_is_told_and_the_others_are_known(node):
    node.has("/dev/nvidia0", "")
    node.has("/srv/a", "")
    node.has("/etc/pve/lxc/910.conf", "mp0: /srv/dead,mp=/a\nmp1: /srv/a,mp=/b\n")
    node.tool("stat", STAT)
    seen = node.see(Storage, ("/dev/nvidia0", "/mnt/dead/x", "/gone"), timeout=30)
    told = {"/mnt/dead/x": "no answer in 2 s", "/srv/dead": "no answer in 2 s"}
    assert seen == ObservedStorage(("/dev/nvidia0",), {}, told)


def test_a_path_whose_server_has_forgotten_it_is_told_with_the_kernels_words(node):
    node.tool("stat", "echo \"stat: cannot statx '/mnt/a: b': Stale file handle\" >&2; exit 1")
    assert node.see(Storage, ("/mnt/a: b",)).silent == {"/mnt/a: b": "Stale file handle"}


def test_a_path_that_is_not_there_is_none_that_gives_no_answer(node):
    node.has("/etc/pve/lxc/910.conf", "mp0: /srv/gone,mp=/a\n")
    node.has("/srv/file", "")
    assert node.see(Storage, ("/srv/file/below", "/nowhere")) == ObservedStorage()
