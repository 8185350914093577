#!/bin/sh
# daemon-json ACTION... - Docker's configuration in the guest; the node sends this script in by
# lxc-attach, so that no path of the guest is ever followed from outside. busybox is enough.
#
#   read                        print it; exit 44 if there is none
#   put BEFORE AFTER [trust]    replace it by what comes on stdin; BEFORE, AFTER: sha256, or `none`
#                               for one that is not there. dockerd checks the new one first, where
#                               it can; with `trust` it does not
#   remove BEFORE               remove it
#   restart                     restart Docker
#   leave DRIVER                stop Docker and clear DRIVER's folder away: with two such folders
#                               and no driver named in the file, dockerd does not start
#
# Exit: 0 done; 1 failed; 2 refused by dockerd; 4 it is not the one with the digest BEFORE;
#       unless 0, the file is as it was, and the last line says why
set -u
# PHOENIX_ROOT: a fake root, for the tests
export LC_ALL=C
umask 022
file=${PHOENIX_ROOT:-}/etc/docker/daemon.json
mib=1048576

fail() { # CODE TEXT
    [ -z "${new:-}" ] || rm -f "$new"
    echo "daemon.json: $2" >&2
    exit "$1"
}
regular() { # a file that is there is one that has an end
    [ ! -e "$file" ] || [ -f "$file" ] || fail 1 'is no regular file'
    [ ! -e "$file" ] || [ "$(stat -L -c %s "$file")" -le $mib ] || fail 1 'is larger than 1 MiB'
}
sha256() { sha256sum | cut -d' ' -f1; }
still() { # DIGEST
    regular
    if [ -e "$file" ]; then found=$(sha256 <"$file"); else found=none; fi
    [ "$found" = "$1" ] || fail 4 'somebody changed it meanwhile'
}
# a folder, too: the names of its files. Some guests' sync takes no file and does all
on_disk() { sync "$1" 2>/dev/null || sync; }
init() { # ACTION: by whatever starts services here
    if [ -d /run/systemd/system ]; then
        # after failed starts systemd refuses another one for a while
        systemctl reset-failed docker.socket docker.service 2>/dev/null
        if [ "$1" = stop ]; then set -- stop docker.socket; fi
        systemctl "$@" docker.service
    elif command -v rc-service >/dev/null; then
        rc-service docker "$1"
    else
        service docker "$1"
    fi
}

put() { # BEFORE AFTER [trust]
    [ -d "${file%/*}" ] || mkdir -p "${file%/*}" || fail 1 'cannot make its folder'
    # a link of the user's stays one: what it leads to is replaced
    target=$(readlink -f "$file") && [ -n "$target" ] || target=$file
    new=$target.phoenix-harden
    rm -f "$new"
    still "$1"
    # owner and mode of the old one
    if [ -e "$target" ]; then cp -p "$target" "$new" || fail 1 'cannot write beside it'; fi
    cat >"$new" || fail 1 'cannot write beside it'
    [ "$(sha256 <"$new")" = "$2" ] || fail 1 'the new one did not arrive whole'
    if [ "${3:-}" != trust ] && command -v dockerd >/dev/null; then
        said=$(dockerd --validate --config-file "$new" 2>&1) || case $said in
        # before Docker 23
        *'unknown flag'*) ;;
        *) fail 2 "dockerd refuses the new one: $(printf '%s' "$said" | head -c 1000 | tr '\n' ' ')" ;;
        esac
    fi
    on_disk "$new"
    still "$1"
    mv -f "$new" "$target" || fail 1 'cannot be replaced'
    on_disk "${target%/*}"
}

leave() { # DRIVER
    regular
    data=$(sed -n 's/.*"data-root"[^"]*"\([^"]*\)".*/\1/p' "$file" 2>/dev/null)
    data=${data:-${PHOENIX_ROOT:-}/var/lib/docker}
    [ -d "$data/$1" ] || return 0
    init stop
    # dockerd mounts it over itself
    umount "$data/$1" 2>/dev/null
    rmdir "$data/$1/l" "$data/$1" 2>/dev/null
    [ -d "$data/$1" ] || return 0
    aside=$data/$1.phoenix-$(date -u +%Y%m%dT%H%M%SZ)
    mv "$data/$1" "$aside" && echo "$data/$1 holds data: it is $aside now"
}

case $1 in
read)
    [ -e "$file" ] || exit 44
    regular
    head -c $mib "$file"
    ;;
put) put "$2" "$3" "${4:-}" ;;
remove)
    still "$2"
    rm -f "$file" || fail 1 'cannot be removed'
    on_disk "${file%/*}"
    ;;
restart) init restart ;;
leave) leave "$2" ;;
*) exit 1 ;;
esac
