#!/bin/sh
# check CTID PROFILE LABEL DOCKER: the conf names the PROFILE ("": none), what runs has the LABEL
# ("": it does not run), and with DOCKER "yes" dockerd answers. Runs on the node; the lines that call
# it follow.
check() {
    conf=$(pct config "$1")
    named=$(printf '%s\n' "$conf" | sed -n 's/^lxc.apparmor.profile: //p')
    [ "$named" = "$2" ] || { echo "CT $1: its conf names ${named:-no profile}" && exit 1; }
    pid=$(lxc-info -n "$1" -pH 2>/dev/null) || pid= # it has never run
    label=
    [ -z "$pid" ] || label=$(cat "/proc/$pid/attr/apparmor/current")
    [ "$label" = "$3" ] || { echo "CT $1: runs as ${label:-nothing}" && exit 1; }
    [ "$4" = yes ] || return 0
    pct exec "$1" -- docker info --format '{{.ServerVersion}} {{.Driver}}' | grep -q '^[0-9][^ ]* [a-z]' ||
        { echo "CT $1: its dockerd does not answer" && exit 1; }
}
set -e
