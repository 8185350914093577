#!/bin/sh
# take-kernel.sh TREE OUT: kernel and initrd for direct boot; the tree needs them no more.
set -eu
cp "$1"/boot/vmlinuz-* "$2/vmlinuz"
cp "$1"/boot/initrd.img-* "$2/initrd"
chmod 644 "$2/vmlinuz" "$2/initrd"
rm "$1"/boot/*
