#!/bin/sh
# guest-template.sh TREE ARCHIVE: the tree without Docker and what only Docker needs, as an archive
# for `pct create`. mmdebstrap runs it as its last customize hook: the tree is of no use afterwards.
set -eu
root=$1 archive=$2

chroot "$root" apt-get -qq -y purge --autoremove docker.io docker-cli iptables fuse-overlayfs \
    > /dev/null
rm -rf "$root/usr/share/lab/cli-plugins"
for path in './dev/*' './proc/*' './sys/*' './run/*' './tmp/*' './var/cache/apt/archives/*.deb' \
    './var/cache/apt/*.bin' './usr/share/doc/*' './usr/share/locale/*' './usr/share/man/*'; do
    echo "$path"
done > "$archive.without"
tar -C "$root" --numeric-owner --one-file-system --exclude-from="$archive.without" -cf - . |
    zstd -q -T0 -9 -o "$archive"
rm "$archive.without"
