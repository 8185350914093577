#!/bin/sh
# remove-packages CTID RUN apt|apk PACKAGE... - take packages out of a running container that a run
# brought there. RUN: id of the run that undoes it, for its journal.
#
# Sent on the stdin of a transient unit, so that losing the operator does not interrupt dpkg. They
# are kept, with the reason, while another package needs them, and while fuse-overlayfs is Docker's
# driver or holds data: without the program dockerd would not start over it.
#
# Exit: 0 removed, or kept with the reason · 1 nothing was tried
set -u
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
state=${PHOENIX_ROOT:-}/var/lib/phoenix-harden

# whoever listened may be gone: that is no failure
say() { printf 'CT %s: %s\n' "$ct" "$*" 2>/dev/null || :; }
journal() { # EVENT PACKAGES: names that apt and apk allow, nothing to escape
    (umask 077 && mkdir -p "$state/runs/$run") &&
        printf '{"time":"%s","ctid":%s,"event":"%s","removed":"%s"}\n' \
            "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$ct" "$1" "$2" >>"$state/runs/$run/journal.jsonl" &&
        sync "$state/runs/$run/journal.jsonl"
}
guest() { # SECONDS COMMAND...: never our stdin, where the rest of this script waits
    seconds=$1
    shift
    timeout -k 5 "$seconds" lxc-attach -n "$ct" --clear-env \
        --set-var PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --set-var DEBIAN_FRONTEND=noninteractive --set-var LC_ALL=C -- "$@" </dev/null 2>&1
}
# what Docker still keeps with fuse-overlayfs, in words
# shellcheck disable=SC2016 # the guest's own variables
held() {
    guest 60 sh -c '
        [ "$(docker info --format "{{.Driver}}" 2>/dev/null)" != fuse-overlayfs ] ||
            echo "Docker runs on fuse-overlayfs"
        root=$(docker info --format "{{.DockerRootDir}}" 2>/dev/null)
        count=$(ls "${root:-/var/lib/docker}/fuse-overlayfs" 2>/dev/null | grep -vcx l)
        [ "$count" = 0 ] || echo "$count layers of fuse-overlayfs are there"'
}
installed() { # of these packages, on one line
    if [ "$manager" = apk ]; then
        guest 60 apk info -q
    else
        # shellcheck disable=SC2016
        guest 60 dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' | sed -n 's/^.i  *//p'
    fi | grep -xF -e "$(printf '%s\n' "$@")" | paste -sd' '
}
# all at once: they may need each other. dpkg and apk refuse what something else needs
remove() {
    if [ "$manager" = apk ]; then guest 900 apk del "$@"; else guest 900 dpkg --purge "$@"; fi
}

main() {
    ct=$1 run=$2 manager=$3
    shift 3
    mkdir -p "$state"
    exec 9>>"$state/lock"
    flock -w 900 9 || {
        say 'another run works on this node for more than 15 minutes: try again later'
        exit 1
    }
    there=$(installed "$@")
    [ -n "$there" ] || exit 0
    case " $there " in *' fuse-overlayfs '*) why=$(held | paste -sd, | sed 's/,/, /g') ;; *) why= ;; esac
    if [ -n "$why" ]; then
        say "$there stays: $why"
        exit 0
    fi
    journal intent "$there" || exit 1
    # shellcheck disable=SC2086 # names without blanks
    said=$(remove $there)
    # shellcheck disable=SC2086
    left=$(installed $there)
    if [ -n "$left" ]; then
        journal failed "$left"
        printf '%s\n' "$said" | tail -n 15
        say "$left stays: something needs it, see above"
        exit 0
    fi
    journal 'done' "$there"
    say "removed: $there"
}

# called on the last line: a script that arrives cut short does nothing
umask 022
main "$@"
