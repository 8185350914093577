#!/bin/sh
# guest-setup.sh TREE: turns the bootstrapped tree into the base that all containers share.
# mmdebstrap runs it as a customize hook, in its (user) namespace.
set -eu
root=$1

echo debian > "$root/etc/hostname"
: > "$root/etc/fstab"
: > "$root/etc/machine-id"

rm -f "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap
rm -rf "$root"/var/lib/apt/lists/*
echo 'deb [trusted=yes] http://10.10.10.1/ ./' > "$root/etc/apt/sources.list"
echo 'Acquire::Languages "none";' > "$root/etc/apt/apt.conf.d/lab"

# what the image hello:lab is imported from: the static busybox
chroot "$root" sh -eu <<'EOF'
tree=$(mktemp -d)
mkdir "$tree/bin" "$tree/etc" "$tree/tmp" "$tree/root" "$tree/proc" "$tree/sys" "$tree/dev"
cp /bin/busybox "$tree/bin/busybox"
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
done
echo root:x:0:0:root:/root:/bin/sh > "$tree/etc/passwd"
echo root:x:0: > "$tree/etc/group"
mkdir -p /usr/share/lab
tar -C "$tree" -cf /usr/share/lab/hello.tar --owner=0 --group=0 .
rm -r "$tree"
EOF

mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n' \
    > "$root/etc/systemd/journald.conf.d/lab.conf"

# LXC gives eth0 its address from outside, and only the node can load modules
chroot "$root" systemctl -q mask \
    modprobe@configfs.service modprobe@fuse.service modprobe@efi_pstore.service \
    modprobe@drm.service modprobe@dm_mod.service modprobe@loop.service \
    systemd-modules-load.service systemd-networkd.service systemd-networkd.socket \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service \
    systemd-logind.service getty@tty1.service console-getty.service \
    container-getty@1.service container-getty@2.service

# all of this is as the packages want it: nothing is left for the first boot
touch -r "$root/usr" "$root/etc/.updated" "$root/var/.updated"
