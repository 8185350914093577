#!/bin/sh
# repair-tunables RUN BEFORE - replace /etc/apparmor.d/tunables/home; its text comes on stdin in
# base64. RUN: the run's folder, for the before-image and the journal; BEFORE: the SHA-256 of the
# text that is to be repaired.
#
# Every profile file is compiled before and after, none is loaded: unless the tunables compile
# then, and every file still does that did before, the old text is put back.
#
# Exit: 0 repaired · 1 as it was before
set -u
umask 077
# losing the operator must not end this between the new text and its proof
trap '' HUP PIPE
root=${PHOENIX_ROOT:-}
base=$root/etc/apparmor.d
run=$1
planned=$2
new=$run/tunables-home

fail() {
    echo "tunables/home: $*" >&2
    exit 1
}
journal() {
    printf '{"time":"%s","file":"/etc/apparmor.d/tunables/home",%s}\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >>"$run/journal.jsonl" && sync "$run/journal.jsonl"
}
sha256() { sha256sum | cut -d' ' -f1; }

# both variables are used: one that nothing sets is an error only then
try_tunables() {
    printf '%s\n' 'include <tunables/global>' \
        'profile phoenix-harden-tunables { @{HOME}/** r, @{HOMEDIRS}/** r, }' |
        LC_ALL=C apparmor_parser --base "$base" -Q -K -T 2>&1
}
profile_files() {
    for file in "$base"/*; do
        case $file in
        # what the service passes over (rc.apparmor.functions: skip_profile)
        *~ | *.dpkg-* | *.rpm* | *.pac* | *.orig | *.rej | */README) ;;
        *) [ -f "$file" ] && printf '%s\0' "$file" ;;
        esac
    done
}
# the files that compile, one a line
compiling() {
    # shellcheck disable=SC2016 # the inner shell's variables
    profile_files | BASE=$base xargs -0 -r -n 1 -P "$(nproc)" sh -c \
        'apparmor_parser --base "$BASE" -Q -K -T "$1" >/dev/null 2>&1 </dev/null && echo "$1"
        exit 0' sh | sort
}
# owner and mode stay; the parser passes over this name, should we die in between
write_home() {
    cp -p "$home" "$home.dpkg-new" && cat "$1" >"$home.dpkg-new" && sync "$home.dpkg-new" &&
        mv -f "$home.dpkg-new" "$home"
}

# a link stays one: what it names is replaced
home=$(readlink -e "$base/tunables/home") || fail 'it is gone; nothing was changed'
mkdir -p "$run/files" || fail "cannot write to $run; nothing was changed"
base64 -d >"$new" || fail 'its text did not arrive whole; nothing was changed'
before=$(sha256 <"$home")
[ "$before" = "$planned" ] || fail 'somebody changed it meanwhile; nothing was changed: run again'
if ! cat "$home" >"$run/files/$before" || ! sync "$run/files/$before"; then
    fail "cannot keep a copy in $run/files; nothing was changed"
fi
compiling >"$run/compiling.before"
journal "\"event\":\"intent\",\"before\":\"$before\",\"after\":\"$(sha256 <"$new")\"" ||
    fail "cannot write $run/journal.jsonl; nothing was changed"

if ! write_home "$new"; then
    rm -f "$home.dpkg-new"
    journal "\"event\":\"restored\",\"after\":\"$before\""
    fail "cannot write $home; nothing was changed"
fi
why=
# the rename as well is on disk before the journal says so
if ! sync "${home%/*}"; then
    why="${home%/*} does not reach the disk"
elif ! said=$(try_tunables); then
    why="the tunables do not compile with the repair either: $said"
else
    compiling >"$run/compiling.after"
    lost=$(comm -23 "$run/compiling.before" "$run/compiling.after")
    [ -z "$lost" ] || why="with the repair these no longer compile: $lost"
fi
if [ -z "$why" ]; then
    journal "\"event\":\"done\",\"after\":\"$(sha256 <"$home")\""
    had=$(wc -l <"$run/compiling.before")
    have=$(wc -l <"$run/compiling.after")
    echo "tunables/home: repaired: $have of $(profile_files | tr -cd '\0' | wc -c) profile files compile, $had did before"
    # loading the others is not ours: they may be switched off on purpose
    [ "$have" = "$had" ] ||
        echo 'tunables/home: if the node was booted with it broken, load what is missing: systemctl reload apparmor'
    exit 0
fi

write_home "$run/files/$before" || fail "$why; putting the old text back failed: $run/files/$before"
sync "${home%/*}"
journal "\"event\":\"restored\",\"after\":\"$before\""
fail "$why; the old text is back"
