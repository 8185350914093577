#!/bin/sh
# held - what Docker in this guest keeps with fuse-overlayfs, in words, a line each; nothing: it can
# go. Runs in the guest.
[ "$(docker info --format '{{.Driver}}' 2>/dev/null | head -c 64)" != fuse-overlayfs ] ||
    echo 'Docker runs on fuse-overlayfs'
root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null | head -c 4096)
# "l" holds the short names of the layers
# shellcheck disable=SC2012 # a name with a newline counts twice
count=$(ls "${root:-/var/lib/docker}/fuse-overlayfs" 2>/dev/null | head -n 1000000 | grep -vcx l)
[ "$count" = 0 ] || echo "$count layers of fuse-overlayfs are there"
