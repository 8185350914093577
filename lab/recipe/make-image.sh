#!/bin/sh
# make-image.sh TREE IMAGE SIZE FEATURES: an ext4 image of the bootstrapped tree.
# mmdebstrap runs it as a customize hook. The bind mount, not recursive, leaves
# /proc, /sys and /dev of the running build behind.
set -eu
tree=$1 image=$2 size=$3 features=$4

bare=$(mktemp -d)
mount --bind "$tree" "$bare"
truncate -s "$size" "$image"
mke2fs -q -F -t ext4 -O "$features" -m 0 -d "$bare" "$image"
umount "$bare"
rmdir "$bare"
