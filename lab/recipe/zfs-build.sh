#!/bin/sh
# zfs-build.sh TREE OUT: compiles ZFS for the kernel whose headers the tree has, as OUT/VERSION/*.ko.
# mmdebstrap runs it as a customize hook, in its (user) namespace. What zfs-dkms would do, without
# dkms, the kernel itself and what only a debugger reads.
set -eu
root=$1 out=$2
version=$(ls "$root/lib/modules")

chroot "$root" sh -eu -s "$version" > "$out/log" 2>&1 <<'EOF' ||
cd /tmp
apt-get -qq download zfs-dkms
dpkg-deb -x zfs-dkms_*.deb zfs
cd zfs/usr/src/zfs-*
modules=/lib/modules/$1
# without it no type information is made, of each of the 250 modules that configure tries, too
rm -f "$modules/build/vmlinux"
export KCFLAGS=-g0
./configure --disable-dependency-tracking --with-config=kernel \
    --with-linux="$modules/source" --with-linux-obj="$modules/build"
make -s -j"$(nproc)"
mkdir /tmp/modules
mv module/spl.ko module/zfs.ko /tmp/modules
EOF
{
    tail -n 20 "$out/log"
    echo "E: ZFS does not compile for $version" >&2
    exit 1
}
mv "$root/tmp/modules" "$out/$version"
