#!/bin/sh
# put-back PATH NOW BEFORE FROM RUN - give a file of the node back what a run replaced, or take away
# what it brought. NOW: the SHA-256 of what is there; BEFORE: that of the kept text in FROM/files, or
# "none"; FROM: the folder of the run that is undone; RUN: that of this one, for the journal.
#
# What a container still needs stays: a profile that a process carries or a conf names (removed from
# the kernel it would leave its tasks unconfined, for good), a hook that a conf names.
#
# Exit: 0 put back, or so already, or kept with the reason · 1 as it was, unless it says otherwise
set -u
umask 077
export LC_ALL=C
# losing the operator must not end this half-way
trap '' HUP PIPE
root=${PHOENIX_ROOT:-}
path=$1
planned=$2
before=$3
from=$4
run=$5
file=$root$path
name=${path##*/}

fail() {
    echo "$path: $*" >&2
    exit 1
}
journal() {
    printf '{"time":"%s","file":"%s",%s}\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$path" "$1" \
        >>"$run/journal.jsonl" && sync "$run/journal.jsonl"
}
sha256() { sha256sum | cut -d' ' -f1; }
digest() { if [ -f "$file" ]; then sha256 <"$file"; else echo none; fi; }
is_profile() { [ "${path%/*}" = /etc/apparmor.d ]; }
is_unit() { [ "${path%/*}" = /etc/systemd/system ]; }
loaded() { grep -qF "$name (" "$root/sys/kernel/security/apparmor/profiles"; }

# who still needs it, in words
users() {
    wanted=$path
    is_profile && wanted="lxc.apparmor.profile[:= ]*$name"
    grep -lE "$wanted( |/|\$)" "$root"/etc/pve/nodes/*/lxc/*.conf "$root"/etc/pve/lxc/*.conf \
        2>/dev/null | sed 's|.*/\([0-9]*\).conf|the conf of CT \1 names it|' | sort -u
    is_profile || return 0
    # the host's half of a label; a task that has ended meanwhile carries nothing
    carriers=$(grep -lsE "^$name( |/)" "$root"/proc/[0-9]*/attr/apparmor/current | wc -l)
    [ "$carriers" = 0 ] || echo "$carriers processes carry it"
}

remove() {
    if is_profile && loaded; then
        apparmor_parser -R "$file" || return
    elif is_unit; then
        systemctl -q disable --now "$name" 2>/dev/null
    fi
    rm -f "$file"
    # a folder of our own goes with the last file in it
    case $path in */phoenix-harden/*) rmdir "${file%/*}" 2>/dev/null ;; esac
    return 0
}
# of a file that is gone; one that is there keeps owner and mode
mode() {
    case $path in
    /usr/local/lib/*) echo 0755 ;;
    /var/lib/phoenix-harden/*) echo 0600 ;;
    *) echo 0644 ;;
    esac
}
# apparmor_parser passes over this name
restore() {
    mkdir -p "${file%/*}" || return
    if [ -f "$file" ]; then
        cp -p "$file" "$file.dpkg-new"
    else
        install -m "$(mode)" /dev/null "$file.dpkg-new"
    fi &&
        cat "$from/files/$before" >"$file.dpkg-new" && sync "$file.dpkg-new" &&
        mv -f "$file.dpkg-new" "$file" || return
    # replaced, never removed and added; a text that did not load before does not stop us
    if is_profile && ! apparmor_parser -r "$file"; then
        echo "$path: the old text is back, and does not load: the kernel keeps the newer one"
    fi
}

# what is loaded of ours was compiled with the site's variables as they were
reload() {
    grep -lF '# Managed by phoenix-harden:' "$root"/etc/apparmor.d/lxc-* 2>/dev/null |
        while read -r ours; do
            ! grep -qF "${ours##*/} (" "$root/sys/kernel/security/apparmor/profiles" ||
                apparmor_parser -r -T "$ours" || exit 1
        done
}

# a timer that was switched off to go, once its service is there again, too
switch_on() {
    if [ -f "${file%.*}.timer" ] && [ -f "${file%.*}.service" ]; then
        systemctl -q enable --now "${name%.*}.timer"
    fi
}

# a new one that a cut left beside it, never put in place
rm -f "$file.dpkg-new" "$file.phoenix-new"
[ "$(digest)" != "$before" ] || exit 0
[ "$(digest)" = "$planned" ] || fail 'somebody changed it since this was planned: run it again'
if [ "$before" = none ] && found=$(users) && [ -n "$found" ]; then
    echo "$path is kept: $(echo "$found" | paste -sd, | sed 's/,/, /g')"
    exit 0
fi
if [ "$before" != none ] && [ "$(sha256 <"$from/files/$before")" != "$before" ]; then
    fail "what was there before is not whole in $from/files"
fi
mkdir -p "$run/files" || fail "cannot write to $run; nothing was changed"
if [ "$planned" != none ] && ! { cat "$file" >"$run/files/$planned" && sync "$run/files/$planned"; }; then
    fail "cannot keep a copy in $run/files; nothing was changed"
fi
journal "\"event\":\"intent\",\"before\":\"$planned\",\"after\":\"$before\"" ||
    fail "cannot write $run/journal.jsonl; nothing was changed"

if [ "$before" = none ]; then remove; else restore; fi || fail 'cannot be put back'
case $path in
*/tunables/global.d/*) reload || fail 'is what it was, and a profile of ours does not load with it' ;;
esac
if is_unit; then
    systemctl daemon-reload
    [ "$planned" != none ] || switch_on || fail "${name%.*}.timer does not start: systemctl status ${name%.*}.timer"
fi
[ "$(digest)" = "$before" ] || fail 'is not what it was before'
# the rename or removal as well, before the journal says so; a folder of our own may be gone with it
folder=${file%/*}
[ -d "$folder" ] || folder=${folder%/*}
sync "$folder" || fail "is as it was before, but $folder does not reach the disk"
journal "\"event\":\"done\",\"after\":\"$before\""
