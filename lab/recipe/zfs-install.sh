#!/bin/sh
# zfs-install.sh TREE MODULES: the modules that zfs-build.sh made, in the node's tree.
# mmdebstrap runs it as a customize hook, in its (user) namespace.
set -eu
root=$1 modules=$2
version=$(ls "$root/lib/modules")

[ -d "$modules/$version" ] || {
    built=$(cd "$modules" && echo */)
    echo "E: the node's kernel is $version and ZFS was compiled for ${built%/}: build it again" >&2
    exit 1
}
mkdir -p "$root/lib/modules/$version/updates"
cp "$modules/$version"/*.ko "$root/lib/modules/$version/updates"
chroot "$root" depmod "$version"

# a small cache: the node has little memory, and its containers need that
echo 'options zfs zfs_arc_max=268435456' > "$root/etc/modprobe.d/zfs.conf"

# nothing of it at boot: zfs-guest loads the modules where they are wanted
chroot "$root" sh -eu <<'EOF'
units=$(dpkg -L zfsutils-linux | sed -n 's|.*/systemd/system/\([^/]*\)$|\1|p')
# shellcheck disable=SC2086 # one word each
systemctl -q mask $units
EOF
