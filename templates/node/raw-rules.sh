#!/bin/sh
# raw-rules CTID RULE [CTID RULE]... - does this node's parser take these rules in the profile that
# is generated for a container? Asked for by facts/apparmor.py; nothing is loaded. The rules of one
# container stand one after the other.
#
#   refused CTID NUMBER MESSAGE   NUMBER: of the rule, from 0; "-": only all of them together
#   unchecked MESSAGE             a profile without any of them does not compile here either
root=${PHOENIX_ROOT:-}
encode() { perl -0777 -pe 's/([^!-\$&-\[\]-~])/sprintf "%%%02X", ord $1/ge'; }

compile() { # RULES
    printf '%s\n' 'include <tunables/global>' \
        'profile lxc-phoenix-harden-rules flags=(attach_disconnected,mediate_deleted) {' \
        'include <abstractions/lxc/container-base>' "$1" '}' |
        LC_ALL=C apparmor_parser --base "$root/etc/apparmor.d" -Q -K -T 2>&1
}
check() { # CTID RULES: one a line
    said=$(compile "$2") && return
    if ! without=$(compile ''); then
        echo "unchecked $(printf %s "$without" | encode)"
        exit 0
    fi
    alone=
    number=0
    while IFS= read -r rule; do
        if ! one=$(compile "$rule"); then
            alone=yes
            echo "refused $1 $number $(printf %s "$one" | encode)"
        fi
        number=$((number + 1))
    done <<RULES
$2
RULES
    [ -n "$alone" ] || echo "refused $1 - $(printf %s "$said" | encode)"
}

ctid=
while [ $# -gt 1 ]; do
    if [ "$1" = "$ctid" ]; then
        rules="$rules
$2"
    else
        [ -z "$ctid" ] || check "$ctid" "$rules"
        ctid=$1
        rules=$2
    fi
    shift 2
done
[ -z "$ctid" ] || check "$ctid" "$rules"
exit 0
