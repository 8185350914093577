#!/bin/sh
# apparmor NAME... - what this node's AppArmor is and has, one record a line; asked for in one go
# by facts/apparmor.py. NAME: the files in /etc/apparmor.d whose text is wanted.
root=${PHOENIX_ROOT:-}
encode() { perl -0777 -pe 's/([^!-\$&-~])/sprintf "%%%02X", ord $1/ge'; }

read -r enabled 2>/dev/null <"$root/sys/module/apparmor/parameters/enabled" || enabled=N
# enabled in the kernel but not there to be asked: as good as absent
[ -r "$root/sys/kernel/security/apparmor/profiles" ] || enabled=N
echo "enabled $enabled"
if command -v apparmor_parser >/dev/null; then
    echo "parser $(apparmor_parser --version | sed -n 's/.*version \([0-9.]*\).*/\1/p')"
fi
for abi in "$root"/etc/apparmor.d/abi/*; do
    [ -f "$abi" ] && echo "abi ${abi##*/}"
done
sed 's/^/loaded /' "$root/sys/kernel/security/apparmor/profiles" 2>/dev/null
for name; do
    [ -f "$root/etc/apparmor.d/$name" ] || continue
    echo "file $name $(encode <"$root/etc/apparmor.d/$name")"
done
exit 0
