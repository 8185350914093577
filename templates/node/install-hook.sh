#!/bin/sh
# install-hook FILE RUN AFTER - install a script of ours that containers start by; its text comes on
# stdin in base64. RUN: the run's folder, for the before-image and the journal; AFTER: SHA-256 of the
# text: a line that drops can cut stdin short without an error.
#
# Replaced by a rename: whoever runs the old one goes on with it.
#
# Exit: 0 installed · 1 nothing changed, unless it says otherwise
set -u
umask 077
name=$1
run=$2
after=$3
file=${PHOENIX_ROOT:-}$name
new=$run/${name##*/}

fail() {
    echo "$name: $*" >&2
    exit 1
}
journal() {
    printf '{"time":"%s","file":"%s",%s}\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$name" "$1" \
        >>"$run/journal.jsonl" && sync "$run/journal.jsonl"
}
sha256() { sha256sum | cut -d' ' -f1; }

mkdir -p "$run/files" || fail "cannot write to $run; nothing was changed"
if ! base64 -d >"$new" || [ "$(sha256 <"$new")" != "$after" ]; then
    fail 'its text did not arrive whole; nothing was changed: run again'
fi
before=none
if [ -f "$file" ]; then
    before=$(sha256 <"$file")
    if ! cat "$file" >"$run/files/$before" || ! sync "$run/files/$before"; then
        fail "cannot keep a copy in $run/files; nothing was changed"
    fi
fi
journal "\"event\":\"intent\",\"before\":\"$before\",\"after\":\"$after\"" ||
    fail "cannot write $run/journal.jsonl; nothing was changed"

if ! install -d -m 0755 "${file%/*}" || ! install -m 0755 "$new" "$file.phoenix-new" ||
    ! sync "$file.phoenix-new" || ! mv -f "$file.phoenix-new" "$file"; then
    rm -f "$file.phoenix-new"
    journal "\"event\":\"restored\",\"after\":\"$before\""
    fail 'cannot be written; nothing was changed'
fi
# the rename as well, and a folder that is new, before the journal says so
sync "${file%/*}" "${file%/*/*}" || fail "is in place, but ${file%/*} does not reach the disk"
journal "\"event\":\"done\",\"after\":\"$(sha256 <"$file")\""
