#!/bin/sh
# watch - one line for each running container that does not carry the label that is wanted of it.
#
# phoenix-harden-watch.timer runs it every five minutes; what it prints goes to the journal, <4> is
# a warning there (sd-daemon(3)). The wanted labels come from /var/lib/phoenix-harden/wanted, one a
# line: CTID PROFILE MODE, the half of the label that the host's policy decides on.
set -u
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root=${PHOENIX_ROOT:-}

label() {
    pid=$(lxc-info -n "$1" -p -H 2>/dev/null </dev/null)
    # until its init runs it is lxc-start itself, under that one's label
    case ${pid:-none}$(readlink "$root/proc/$pid/exe") in none* | */lxc-start) return 1 ;; esac
    { tr -d '\0\n' <"$root/proc/$pid/attr/apparmor/current"; } 2>/dev/null
}

while read -r ct profile mode; do
    found=$(label "$ct") || continue
    case $found in
    "$profile ($mode)" | "$profile//&"*" ($mode)") ;;
    *) echo "<4>CT $ct runs as $found, not as $profile ($mode): harden --data only=$ct confines it" ;;
    esac
done <"$root/var/lib/phoenix-harden/wanted"
