#!/bin/sh
# storage PATH... - which of these paths are there, and where the ZFS datasets are mounted; asked
# for by facts/storage.py.
#
#   exists /tank/portainer%20data
#   dataset tank/portainer_data /srv/portainer
root=${PHOENIX_ROOT:-}
encode() { printf %s "$1" | perl -0777 -pe 's/([^!-\$&-\[\]-~])/sprintf "%%%02X", ord $1/ge'; }

for path; do
    [ -e "$root$path" ] && echo "exists $(encode "$path")"
done
awk '$3 == "zfs" { print "dataset", $1, $2 }' "$root/proc/mounts"
