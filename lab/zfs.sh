#!/bin/sh
# zfs.sh TREE TAR: compiles ZFS for the kernel whose headers the tree has; TAR is what a node needs of
# it: the modules, and the programs with their libraries. mmdebstrap runs it as a customize hook, in
# its (user) namespace. What zfs-dkms would do, without dkms, the kernel itself and what only a
# debugger reads.
set -eu
root=$1 tar=$2
version=$(ls "$root/lib/modules")

chroot "$root" sh -eu -s "$version" > "$tar.log" 2>&1 <<'EOF' ||
modules=/lib/modules/$1
mkdir /debs
cd /debs
apt-get -qq download zfs-dkms
dpkg-deb -x zfs-dkms_*.deb source
cd source/usr/src/zfs-*
# without it no type information is made, of each of the 250 modules that configure tries, too
rm -f "$modules/build/vmlinux"
export KCFLAGS=-g0
./configure --disable-dependency-tracking --with-config=kernel \
    --with-linux="$modules/source" --with-linux-obj="$modules/build"
make -s -j"$(nproc)"
mkdir -p "/debs/node/usr$modules/updates" /debs/node/etc/modprobe.d
mv module/spl.ko module/zfs.ko "/debs/node/usr$modules/updates"
# a small cache: the node has little memory, and its containers need that
echo 'options zfs zfs_arc_max=268435456' > /debs/node/etc/modprobe.d/zfs.conf
cd /debs
rm zfs-dkms_*.deb
# its programs and libraries, and none of its units: nothing starts by itself
# shellcheck disable=SC2046 # names of packages
apt-get -qq download $(apt-get -qq -s install --no-install-recommends zfsutils-linux | sed -n \
    's/^Inst \(zfsutils-linux\|lib\(nvpair\|uutil\|zfs\|zpool\|tirpc\)[^ ]*\) .*/\1/p')
for deb in *.deb; do dpkg-deb -x "$deb" node; done
rm -rf node/usr/lib/systemd node/usr/share node/etc/cron.d node/etc/init.d node/etc/sudoers.d
tar -C node -cf zfs.tar .
EOF
{
    tail -n 20 "$tar.log"
    echo "E: ZFS does not compile for $version" >&2
    exit 1
}
mv "$root/debs/zfs.tar" "$tar"
