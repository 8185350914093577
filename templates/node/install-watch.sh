#!/bin/sh
# install-watch RUN on|off|keep - put the files of the watch in place, or take them away; and switch
# its timer on or off. RUN: the run's folder, for the before-images and the journal.
#
# On stdin one file a line, PATH MODE BASE64, `- -` for one that goes; the last line is `end`.
#
# Exit: 0 all is as wanted · 1 failed: run it again, or roll back
set -u
umask 077
# losing the operator must not end this half way
trap '' HUP PIPE
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root=${PHOENIX_ROOT:-}
run=$1
unit=phoenix-harden-watch.timer
list=$run/watch

fail() {
    echo "watch: $*" >&2
    exit 1
}
journal() { # FILE EVENT BEFORE AFTER
    printf '{"time":"%s","file":"%s","event":"%s","before":"%s","after":"%s"}\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$@" >>"$run/journal.jsonl" && sync "$run/journal.jsonl"
}
digest() { if [ -f "$1" ]; then sha256sum <"$1" | cut -d' ' -f1; else echo none; fi; }

replace() { # FILE MODE BASE64
    file=$root$1
    # a name that systemd passes over
    new=$file.phoenix-new
    before=$(digest "$file")
    after=none
    if [ "$3" != - ]; then
        mkdir -p "${file%/*}"
        if ! printf %s "$3" | base64 -d >"$new" || ! chmod "$2" "$new" || ! sync "$new"; then
            fail "cannot write $1"
        fi
        after=$(digest "$new")
    fi
    copy=$run/files/$before
    if [ "$before" != none ] && { ! cat "$file" >"$copy" || ! sync "$copy"; }; then
        fail "cannot keep a copy of $1 in $run/files"
    fi
    journal "$1" intent "$before" "$after" || fail "cannot write $run/journal.jsonl"
    if [ "$after" = none ]; then rm -f "$file"; else mv -f "$new" "$file"; fi ||
        fail "cannot replace $1"
    # the rename or removal as well, before the journal says so; of what never was there no folder
    [ ! -d "${file%/*}" ] || sync "${file%/*}" || fail "cannot put $1 on disk"
    journal "$1" 'done' "$before" "$after"
}

mkdir -p "$run/files" || fail "cannot write to $run"
cat >"$list" || fail "cannot write to $run"
[ "$(tail -n 1 "$list")" = end ] || fail 'its files did not arrive whole; nothing was changed'

if [ "$2" = off ]; then systemctl disable -q --now "$unit" 2>/dev/null; fi
while read -r name mode data; do
    [ "$name" = end ] || replace "$name" "$mode" "$data"
done <"$list"
case $2 in
on)
    systemctl daemon-reload
    systemctl enable -q "$unit" && systemctl restart "$unit"
    systemctl is-active -q "$unit" || fail "$unit does not run: systemctl status $unit"
    ;;
off)
    rmdir "$root/usr/local/lib/phoenix-harden" 2>/dev/null
    systemctl daemon-reload
    ! systemctl is-active -q "$unit" || fail "$unit still runs: systemctl status $unit"
    ;;
esac
