#!/bin/sh
# apparmor NAME... - what this node's AppArmor is and has, one record a line; asked for in one go
# by facts/apparmor.py. NAME: the files in /etc/apparmor.d whose text is wanted. Always told:
# tunables/home and the site's variables, whether the tunables compile (with one broken line in them
# nothing else does) and include a folder for such files, and our script for policy namespaces.
root=${PHOENIX_ROOT:-}
encode() { perl -0777 -pe 's/([^!-\$&-\[\]-~])/sprintf "%%%02X", ord $1/ge'; }

read -r enabled 2>/dev/null <"$root/sys/module/apparmor/parameters/enabled" || enabled=N
# enabled in the kernel but not there to be asked: as good as absent
[ -r "$root/sys/kernel/security/apparmor/profiles" ] || enabled=N
echo "enabled $enabled"
# both variables are used: one that nothing sets is an error only then
try_tunables() {
    printf '%s\n' 'include <tunables/global>' \
        'profile phoenix-harden-tunables { @{HOME}/** r, @{HOMEDIRS}/** r, }' |
        LC_ALL=C apparmor_parser --base "$root/etc/apparmor.d" -Q -K -T 2>&1
}

set -- tunables/home tunables/global.d/phoenix-harden "$@"
if command -v apparmor_parser >/dev/null; then
    echo "parser $(apparmor_parser --version | sed -n 's/.*version \([0-9.]*\).*/\1/p')"
    if ! said=$(try_tunables); then
        echo "tunables broken $(printf %s "${said:-no reason given}" | encode)"
        for site in "$root"/etc/apparmor.d/tunables/home.d/*; do
            case $site in
            # what the parser passes over (libapparmor, private.c: ignored_suffixes)
            *~ | *.dpkg-* | *.pac* | *.rpm* | *.orig | *.rej) ;;
            *) set -- "$@" "tunables/home.d/${site##*/}" ;;
            esac
        done
    fi
fi
for abi in "$root"/etc/apparmor.d/abi/*; do
    [ -f "$abi" ] && echo "abi ${abi##*/}"
done
! grep -Eqs '^[[:space:]]*#?include +(if +exists +)?[<"]tunables/global\.d[>"]' \
    "$root/etc/apparmor.d/tunables/global" || echo global.d
sed 's/^/loaded /' "$root/sys/kernel/security/apparmor/profiles" 2>/dev/null
for name; do
    [ -f "$root/etc/apparmor.d/$name" ] || continue
    echo "file $name $(encode <"$root/etc/apparmor.d/$name")"
done
hook=$root/usr/local/lib/phoenix-harden/namespace
if [ -f "$hook" ] && [ -x "$hook" ]; then echo "hook $(encode <"$hook")"; fi
exit 0
