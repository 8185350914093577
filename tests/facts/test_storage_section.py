"""node/storage.py on a tree of files."""

from facts.storage import Storage
from phoenix.pve.nvidia import ObservedNvidia
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


def gpu(node, bus, minor, *dri, vendor="0x10de"):
    """A GPU as the driver and the kernel show it; `minor`: None where the driver does not."""
    if minor is not None:
        said = f"Model: \t\t NVIDIA X\nBus Location: \t {bus}\nDevice Minor: \t {minor}\n"
        node.has(f"/proc/driver/nvidia/gpus/{bus}/information", said)
    node.has(f"/sys/devices/pci0000:00/{bus}/vendor", f"{vendor}\n")
    for name in dri:
        node.has(f"/dev/dri/{name}", "")
        folder = node.root / f"sys/class/drm/{name}"
        folder.mkdir(parents=True)
        (folder / "device").symlink_to(f"../../../devices/pci0000:00/{bus}")


def nvidia(node):
    return node.see(Storage, (), True).nvidia


def test_each_gpu_has_its_own_nodes_of_the_drm_and_all_have_the_capabilities(node):
    # the driver's numbers are not those of the DRM
    gpu(node, "0000:41:00.0", 0, "card2", "renderD129")
    gpu(node, "0000:01:00.0", 1, "card1", "renderD128")
    gpu(node, "0000:00:02.0", None, "card0", "renderD130", vendor="0x8086")
    for name in ("nvidia-cap10", "nvidia-cap2"):
        node.has(f"/dev/nvidia-caps/{name}", "")
    node.has("/sys/class/drm/card1-HDMI-A-1/status", "connected\n")
    node.has("/dev/dri/by-path/pci-0000:01:00.0-card", "")
    assert nvidia(node) == ObservedNvidia(
        ("/dev/nvidia-caps/nvidia-cap2", "/dev/nvidia-caps/nvidia-cap10"),
        {
            0: ("/dev/dri/card2", "/dev/dri/renderD129"),
            1: ("/dev/dri/card1", "/dev/dri/renderD128"),
        },
    )


def test_what_the_driver_does_not_tell_is_nobodys(node):
    gpu(node, "0000:01:00.0", None, "card0", "renderD128")
    node.has("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t X\n")
    assert nvidia(node) == ObservedNvidia(unclear=("/dev/dri/card0", "/dev/dri/renderD128"))


def test_a_gpu_that_only_the_driver_has_is_none_of_the_drm(node):
    gpu(node, "0000:01:00.0", 0)
    assert nvidia(node) == ObservedNvidia()


def test_a_node_without_a_gpu_has_nothing_of_it(node):
    assert nvidia(node) == ObservedNvidia()


STAT = 'for one; do case $one in */dead*) exec sleep 60 ;; esac; done; exec /usr/bin/stat "$@"'


def test_a_path_on_a_share_that_gives_no_answer_is_told_and_the_others_are_known(node):
    node.has("/dev/nvidia0", "")
    node.has("/srv/a", "")
    node.has("/etc/pve/lxc/910.conf", "mp0: /srv/dead,mp=/a\nmp1: /srv/a,mp=/b\n")
    node.tool("stat", STAT)
    seen = node.see(Storage, ("/dev/nvidia0", "/mnt/dead/x", "/gone"), timeout=30)
    told = {"/mnt/dead/x": "no answer in 2 s", "/srv/dead": "no answer in 2 s"}
    assert seen == ObservedStorage(("/dev/nvidia0",), silent=told)


def test_a_path_whose_server_has_forgotten_it_is_told_with_the_kernels_words(node):
    node.tool("stat", "echo \"stat: cannot statx '/mnt/a: b': Stale file handle\" >&2; exit 1")
    assert node.see(Storage, ("/mnt/a: b",)).silent == {"/mnt/a: b": "Stale file handle"}


def test_a_path_that_is_not_there_is_none_that_gives_no_answer(node):
    node.has("/etc/pve/lxc/910.conf", "mp0: /srv/gone,mp=/a\n")
    node.has("/srv/file", "")
    assert node.see(Storage, ("/srv/file/below", "/nowhere")) == ObservedStorage()


def test_a_thousand_paths_that_are_not_there_cost_no_program_each(node):
    node.has("/srv/here", "")
    node.tool("stat", f'echo "$$" >>{node.root}/asked\nexec /usr/bin/stat "$@"')
    gone = tuple(f"/srv/it's gone \n{number}" for number in range(2500))
    seen = node.see(Storage, (*gone, "/srv/here"))
    assert seen == ObservedStorage(("/srv/here",))
    assert len((node.root / "asked").read_text().splitlines()) == 3
