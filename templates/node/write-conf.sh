#!/bin/sh
# write-conf CTID BEFORE AFTER - put a new /etc/pve/lxc/CTID.conf in place, if the one there is
# still the one that was read. The new one comes on stdin in base64.
#
#   BEFORE   sha256 of the conf that was read
#   AFTER    sha256 of the new one: a line that drops can cut stdin short without an error
#
# Exit: 0 written · 1 failed · 2 refused; with 1 and 2 nothing was changed
set -u
# PHOENIX_ROOT, PHOENIX_PATIENCE: a fake root, and seconds for the lock, for the tests
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
root=${PHOENIX_ROOT:-}
patience=${PHOENIX_PATIENCE:-10}
ct=$1
name=/etc/pve/lxc/$ct.conf
conf=$root$name
lock=/run/lock/lxc/pve-config-$ct.lock
# Proxmox's own name for it (PVE::Tools file_set_contents): nothing takes it for a container
swap=$conf.tmp.$$
# the largest file that pmxcfs holds; a longer one stays behind cut off
limit=1048576

leave() { # CODE TEXT
    printf 'CT %s: %s\n' "$ct" "$2" >&2
    exit "$1"
}
sha256() { sha256sum | cut -d' ' -f1; }

# whoever listened may be gone: go on to the end and clean up
trap '' PIPE
umask 022
new=$(mktemp "$root/run/write-conf.XXXXXX") || leave 1 "cannot write to /run: nothing was changed"
trap 'rm -f "$new" "$swap"' EXIT
trap 'exit 1' HUP INT TERM

# all of stdin first: nobody waits for our lock while a slow line delivers
if ! base64 -d >"$new" || [ "$(sha256 <"$new")" != "$3" ]; then
    leave 1 'the new conf did not arrive whole: nothing was changed: run it again'
fi
if [ "$(wc -c <"$new")" -gt "$limit" ]; then
    leave 2 "the new $name would be larger than the 1 MiB that pmxcfs holds: nothing was changed"
fi

# the lock that Proxmox takes for every write (PVE::LXC::Config lock_config), and as long
mkdir -p "$root/run/lock/lxc"
touch "$root$lock" || leave 1 "cannot open $lock: nothing was changed"
exec 8>>"$root$lock"
flock -w "$patience" 8 ||
    leave 2 "got no lock on $lock in $patience s: another task works on this container: run it again later"

[ -f "$conf" ] || leave 2 "$name is gone: was it destroyed or migrated? Nothing was changed"
[ "$(sha256 <"$conf")" = "$2" ] ||
    leave 2 "somebody changed $name since it was read: run it again"

# 0640 root:www-data, as Proxmox has it; pmxcfs sets both on its own
umask 027
if ! cat "$new" >"$swap"; then
    leave 1 "cannot write beside $name: nothing was changed: is /etc/pve writable (pvecm status)?"
fi
chgrp www-data "$swap" 2>/dev/null
sync "$swap" 2>/dev/null
[ "$(sha256 <"$swap")" = "$3" ] || leave 1 "$name did not reach the disk whole: nothing was changed"
mv -f "$swap" "$conf" || leave 1 "cannot replace $name: nothing was changed"
