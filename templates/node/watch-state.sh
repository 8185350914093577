#!/bin/sh
# watch-state PATH... - which of these files of the watch are there, with their text, and whether
# its timer is enabled and runs; asked for by facts/watch.py.
#
#   file /var/lib/phoenix-harden/wanted 910%20lxc-docker-nested%20enforce%0A
#   timer on
root=${PHOENIX_ROOT:-}
encode() { perl -0777 -pe 's/([^!-\$&-\[\]-~])/sprintf "%%%02X", ord $1/ge'; }

for path; do
    # echo would read the backslashes
    [ -f "$root$path" ] && printf 'file %s %s\n' "$path" "$(encode <"$root$path")"
done
unit=phoenix-harden-watch.timer
systemctl is-enabled -q "$unit" 2>/dev/null && systemctl is-active -q "$unit" && echo 'timer on'
exit 0
