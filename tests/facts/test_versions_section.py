"""node/versions.py on a tree of files."""

from facts.versions import Versions
from phoenix.pve.versions import Kernel, ObservedVersions

BUILD = "#1 SMP PREEMPT_DYNAMIC PMX 6.17.13-1 (2026-02-10T14:06Z)"


def package(name, version, state="install ok installed"):
    return (
        f"Package: {name}\nStatus: {state}\nVersion: {version}\nArchitecture: amd64\n"
        "Maintainer: a <a@example.org>\nDescription: a\n\n"
    )


def test_the_kernel_that_runs_and_what_is_installed_of_kernels_and_lxc_are_told(node):
    node.has("/proc/sys/kernel/osrelease", "6.17.13-1-pve\n")
    node.has("/proc/sys/kernel/version", f"{BUILD}\n")
    gone = package("proxmox-kernel-6.14.11-4-pve-signed", "6.14.11-4", "deinstall ok config-files")
    node.has(
        "/var/lib/dpkg/status",
        package("lxc-pve", "6.0.5-1")
        + package("proxmox-kernel-6.17", "6.17.13-2")
        + package("proxmox-kernel-6.17.13-2-pve-signed", "6.17.13-2")
        + package("proxmox-kernel-helper", "9.0.4")
        + package("linux-image-6.12.74+deb13-amd64", "6.12.74-2")
        + package("apparmor", "4.1.0-1")
        + package("pve-manager", "9.1.2")
        + package("bash", "5.2-1")
        + gone,
    )
    seen = node.see(Versions)
    assert (seen.release, seen.build) == ("6.17.13-1-pve", BUILD)
    assert seen.packages["lxc-pve"] == "6.0.5-1"
    assert (seen.packages["apparmor"], seen.packages["pve-manager"]) == ("4.1.0-1", "9.1.2")
    assert "bash" not in seen.packages
    assert seen.running == Kernel("Proxmox", "6.17.13-1", "2026-02-10")
    assert sorted(one.version for one in seen.installed) == ["6.12.74-2", "6.17.13-2"]


def test_of_a_node_that_tells_nothing_nothing_is_known(node):
    assert node.see(Versions) == ObservedVersions()
    node.tool("dpkg-query", "printf 'installed lxc-pve\\n\\377\\n'; exit 2")
    assert node.see(Versions) == ObservedVersions()
