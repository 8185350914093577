#!/bin/sh
# kept RUN [PATH]... - what a run kept and staged, and what is at these places of the node now; one
# record a line, texts percent-encoded. Asked for by facts/journal.py.
#
#   kept 5f70bf18… features:%20nesting=1%0A       a before-image under its digest
#   staged 910 conf features:%20nesting=1%0A      a file of RUN/910
#   now /etc/apparmor.d/lxc-docker-nested 77ab… abi%20<abi/4.0>,%0A      without both: not there
#   left /etc/apparmor.d/lxc-docker-nested        beside it lies a new one that was never put in place
root=${PHOENIX_ROOT:-}
run=$root/var/lib/phoenix-harden/runs/$1
shift
encode() { perl -0777 -pe 's/([^!-\$&-\[\]-~])/sprintf "%%%02X", ord $1/ge'; }

for file in "$run"/files/*; do
    [ -f "$file" ] && echo "kept ${file##*/} $(encode <"$file")"
done
for folder in "$run"/[1-9]*/; do
    for file in "$folder"*; do
        [ -f "$file" ] && echo "staged $(basename "$folder") ${file##*/} $(encode <"$file")"
    done
done
for path; do
    if [ -f "$root$path" ]; then
        echo "now $path $(sha256sum <"$root$path" | cut -d' ' -f1) $(encode <"$root$path")"
    else
        echo "now $path none"
    fi
    if [ -e "$root$path.dpkg-new" ] || [ -e "$root$path.phoenix-new" ]; then echo "left $path"; fi
done
exit 0
