#!/bin/sh
# denials KINDS SINCE... - what AppArmor refused to containers, equal refusals as one line; asked
# for by facts/audit.py. Read and counted here, so that a long log costs no more than its reading.
# One process is not told from another, nor are their folders in /proc.
#
#   KINDS   at most so many kinds are told, the lines of further ones only counted
#   SINCE   seconds since the epoch, ascending; or one number of seconds before now, as -7200
#
#   source audit.log | kernel log
#   begins TIME              the log's first time, if that is after the first SINCE
#   denial COUNT LAST LINE   lines before and after each SINCE are counted apart
#   left COUNT
root=${PHOENIX_ROOT:-}
export LC_ALL=C
kinds=$1
shift
case ${1:-} in
-*) set -- "$(($(date +%s) + $1))" ;;
esac
# a list for awk
since=$*

# The oldest file first. Others than auditd's own, audit.log.1 and so on, are not read.
logs() { # FIND-TEST...
    find "$root/var/log/audit" -name 'audit.log*' ! -name '*z*' "$@" -printf '%T@ %p\n' |
        sort -n | cut -d' ' -f2-
}
lines() {
    # an old audit.log stays behind where auditd is gone: the kernel then logs by itself
    if systemctl -q is-active auditd 2>/dev/null && [ -s "$root/var/log/audit/audit.log" ]; then
        echo 'source audit.log'
        # what was last written before has nothing of interest
        logs -newermt "@${since%% *}" | while read -r log; do cat "$log"; done
    else
        echo 'source kernel log'
        journalctl -q -o cat _TRANSPORT=kernel --since "@${since%% *}" 2>/dev/null
    fi
}
oldest=$(logs 2>/dev/null | head -n 1)
first=
[ -z "$oldest" ] || first=$(sed -n -e 's/.*audit(\([0-9]*\).*/\1/p' -e 1q "$oldest")

lines | awk -v list="$since" -v kinds="$kinds" -v first="$first" '
    BEGIN { starts = split(list, start, " ") }
    /^source / {
        print
        if (/audit.log/ && first + 0 > start[1] + 0) print "begins " first
        next
    }
    {
        at = index($0, "audit(")
        if (!at) next
        time = substr($0, at + 6, 14)
    }
    time + 0 < start[1] + 0 || !/apparmor="(DENIED|ALLOWED)"/ { next }
    !/ profile="(lxc-|\/usr\/bin\/lxc-start")|namespace="root\/\/lxc-/ { next }
    {
        sub(/\035.*/, "")
        sub(/.* apparmor=/, "apparmor=")
        sub(/ pid=[0-9]+/, "")
        gsub(/"\/proc\/[0-9]+/, "\"/proc/*")
        part = 1
        while (part < starts && time + 0 >= start[part + 1] + 0) part++
        key = part " " $0
        if (!(key in count) && ++known > kinds) { left++; known--; next }
        count[key]++
        last[key] = time
    }
    END {
        for (key in count)
            print "denial", count[key], last[key], substr(key, index(key, " ") + 1)
        if (left) print "left", left
    }'
