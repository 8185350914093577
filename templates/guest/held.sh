#!/bin/sh
# held fuse-overlayfs|docker - what Docker in this guest keeps with fuse-overlayfs, or at all, in
# words, a line each; nothing: it can go. Runs in the guest; where Docker does not answer, its files
# tell.
root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null | head -c 4096)
# PHOENIX_ROOT: a fake root, for the tests
root=${root:-${PHOENIX_ROOT:-}/var/lib/docker}
entries() { # FOLDER [WITHOUT]: how many it has
    # shellcheck disable=SC2012 # a name with a newline counts twice
    ls "$1" 2>/dev/null | head -n 1000000 | grep -vcx "${2:-}"
}
tell() { # COUNT WHAT
    [ "$1" = 0 ] || echo "$1 $2 are there"
}
if [ "$1" = docker ]; then
    tell "$(entries "$root/containers")" containers
    tell "$(find "$root/volumes" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1000000 | wc -l)" volumes
    tell "$(find "$root/image" -path '*/imagedb/content/sha256/*' 2>/dev/null | head -n 1000000 | wc -l)" images
else
    [ "$(docker info --format '{{.Driver}}' 2>/dev/null | head -c 64)" != fuse-overlayfs ] ||
        echo 'Docker runs on fuse-overlayfs'
fi
# "l" holds the short names of the layers
tell "$(entries "$root/fuse-overlayfs" l)" 'layers of fuse-overlayfs'
