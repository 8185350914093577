#!/bin/sh
# install-profile NAME RUN MODE - install and load one AppArmor profile; its text comes on stdin in
# base64. RUN: the run's folder, for the before-image and the journal. MODE: enforce or complain,
# as the text says and the kernel must have it then.
#
# Compiled before anything is written; replaced, never removed and added (that would turn every
# running task of the profile unconfined, for good); read back from the kernel.
#
# Exit: 0 loaded in that mode · 1 nothing changed
set -u
umask 077
root=${PHOENIX_ROOT:-}
name=$1
run=$2
mode=$3
file=$root/etc/apparmor.d/$name
new=$run/profiles/$name

fail() {
    echo "profile $name: $*" >&2
    exit 1
}
journal() {
    printf '{"time":"%s","profile":"%s",%s}\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$name" "$1" \
        >>"$run/journal.jsonl" && sync "$run/journal.jsonl"
}
sha256() { sha256sum | cut -d' ' -f1; }
# by a name that the service skips (rc.apparmor.functions: .dpkg-new), should we die in between
write() { # FILE
    install -m 0644 "$1" "$file.dpkg-new" && sync "$file.dpkg-new" && mv -f "$file.dpkg-new" "$file"
}

mkdir -p "$run/profiles" "$run/files" || fail "cannot write to $run"
base64 -d >"$new" || fail "its text did not arrive whole"
# -K: no cache of a try; -T: not from the cache either
apparmor_parser -Q -K -T "$new" || fail 'it does not compile on this node; nothing was changed'

before=none
if [ -f "$file" ]; then
    before=$(sha256 <"$file")
    if ! cat "$file" >"$run/files/$before" || ! sync "$run/files/$before"; then
        fail "cannot keep a copy in $run/files; nothing was changed"
    fi
fi
journal "\"event\":\"intent\",\"before\":\"$before\",\"after\":\"$(sha256 <"$new")\"" ||
    fail "cannot write $run/journal.jsonl; nothing was changed"

if ! write "$new"; then
    rm -f "$file.dpkg-new"
    journal "\"event\":\"restored\",\"after\":\"$before\""
    fail "cannot write $file; nothing was changed"
fi
# the rename as well is on disk before the journal says so
why=
if ! sync "${file%/*}"; then
    why="${file%/*} does not reach the disk"
elif apparmor_parser -r "$file" &&
    grep -qxF "$name ($mode)" "$root/sys/kernel/security/apparmor/profiles"; then
    journal "\"event\":\"done\",\"after\":\"$(sha256 <"$file")\""
    exit 0
fi

if [ "$before" = none ]; then
    rm -f "$file"
else
    write "$run/files/$before" && apparmor_parser -r "$file"
fi
sync "${file%/*}"
journal "\"event\":\"restored\",\"after\":\"$before\""
fail "${why:-the kernel did not take it ($(grep -F "$name (" "$root/sys/kernel/security/apparmor/profiles" || echo 'not loaded'))}; the old state is back"
