#!/bin/sh
# repack FOLDER SOURCE - a higher version of each installed package of a source package, made of what
# is installed, below FOLDER; prints the files. A comment is new in each conffile of AppArmor's, so
# that the upgrade replaces it; not in an abi, which has the number of what it holds. Runs on the node.
set -eu
folder=$1 source=$2
mkdir -p "$folder"
dpkg-query -W -f '${source:Package} ${db:Status-Abbrev} ${binary:Package} ${Package} ${Version}\n' |
    while read -r from state binary package version; do
        [ "$from $state" = "$source ii" ] || continue
        tree=$folder/$package
        mkdir -p "$tree/DEBIAN"
        chmod 755 "$tree" "$tree/DEBIAN"
        dpkg -L "$binary" | while read -r file; do
            if [ -L "$file" ] || [ -f "$file" ]; then
                cp -a --parents "$file" "$tree"
            elif [ -d "$file" ]; then
                mkdir -p "$tree$file"
            fi
        done
        for script in preinst postinst prerm postrm conffiles triggers shlibs symbols; do
            for from in "/var/lib/dpkg/info/$binary.$script" "/var/lib/dpkg/info/$package.$script"; do
                [ ! -f "$from" ] || cp -p "$from" "$tree/DEBIAN/$script"
            done
        done
        [ ! -f "$tree/DEBIAN/conffiles" ] || grep '^/etc/apparmor.d/' "$tree/DEBIAN/conffiles" |
            while read -r file; do
                case $file in */abi/*) continue ;; esac
                [ ! -f "$tree$file" ] || echo '# of the upgrade' >>"$tree$file"
            done
        # its packages name each other with their version
        dpkg -s "$binary" | awk -v old="$version" -v new="$version+drift1" '
            /^(Status|Config-Version):/ { next }
            /^[^ ]/ { skipped = /^Conffiles:/ }
            skipped { next }
            /^Version:/ { print "Version: " new; next }
            /^[A-Z][A-Za-z-]*:/ { while (at = index($0, "(= " old ")")) {
                $0 = substr($0, 1, at - 1) "(= " new ")" substr($0, at + length(old) + 4) } }
            { print }' >"$tree/DEBIAN/control"
        (cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' |
            xargs -0r md5sum >DEBIAN/md5sums)
        dpkg-deb --root-owner-group -Znone -b "$tree" "$tree.deb" >/dev/null
        rm -r "$tree"
        echo "$tree.deb"
    done
