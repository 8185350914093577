#!/bin/sh
# install-tunables NAME RUN BEFORE AFTER - replace a file of /etc/apparmor.d, or take it away: a
# repaired tunables/home, or the one with the site's own variables. Its text comes on stdin in base64.
# RUN: the run's folder, for the before-image and the journal; BEFORE, AFTER: SHA-256 of the text that
# is there and of the new one, or `none`.
#
# Every profile file is compiled before and after: unless the tunables compile then, and every file
# still does that did before, the old text is put back. None is loaded, but for our own profiles that
# are: with the site's variables they mean something else.
#
# Exit: 0 in place · 1 as it was before
set -u
umask 077
# losing the operator must not end this between the new text and its proof
trap '' HUP PIPE
root=${PHOENIX_ROOT:-}
base=$root/etc/apparmor.d
name=$1
run=$2
planned=$3
after=$4
new=$run/tunables
case $name in tunables/home) what='the repair' ;; *) what='it' ;; esac

fail() {
    echo "$name: $*" >&2
    exit 1
}
journal() {
    printf '{"time":"%s","file":"/etc/apparmor.d/%s",%s}\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$name" "$1" >>"$run/journal.jsonl" &&
        sync "$run/journal.jsonl"
}
sha256() { sha256sum | cut -d' ' -f1; }
digest() { if [ -f "$1" ]; then sha256 <"$1"; else echo none; fi; }

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
put() { # FILE|none
    if [ "$1" = none ]; then
        rm -f "$file"
        return
    fi
    # few nodes have the folder for the site's own
    [ -d "${file%/*}" ] || install -d -m 0755 "${file%/*}" || return
    if [ -f "$file" ]; then cp -p "$file" "$file.dpkg-new"; else install -m 0644 /dev/null "$file.dpkg-new"; fi &&
        cat "$1" >"$file.dpkg-new" && sync "$file.dpkg-new" && mv -f "$file.dpkg-new" "$file"
}
# what is loaded of ours was compiled with the old values; replaced, never removed and added
reload() {
    [ "$name" != tunables/home ] || return 0
    grep -lF '# Managed by phoenix-harden:' "$base"/lxc-* 2>/dev/null | while read -r ours; do
        ! grep -qF "${ours##*/} (" "$root/sys/kernel/security/apparmor/profiles" ||
            apparmor_parser --base "$base" -r -T "$ours" || exit 1
    done
}

# a link stays one: what it names is replaced
file=$(readlink -e "$base/$name") || file=$base/$name
mkdir -p "$run/files" || fail "cannot write to $run; nothing was changed"
old=none
if [ "$after" = none ]; then
    new=none
elif ! base64 -d >"$new" || [ "$(digest "$new")" != "$after" ]; then
    fail 'its text did not arrive whole; nothing was changed: run again'
fi
[ "$(digest "$file")" = "$planned" ] ||
    fail 'somebody changed it meanwhile; nothing was changed: run again'
if [ "$planned" != none ]; then
    old=$run/files/$planned
    if ! cat "$file" >"$old" || ! sync "$old"; then
        fail "cannot keep a copy in $run/files; nothing was changed"
    fi
fi
compiling >"$run/compiling.before"
journal "\"event\":\"intent\",\"before\":\"$planned\",\"after\":\"$after\"" ||
    fail "cannot write $run/journal.jsonl; nothing was changed"

if ! put "$new"; then
    rm -f "$file.dpkg-new"
    journal "\"event\":\"restored\",\"after\":\"$planned\""
    fail "cannot write $file; nothing was changed"
fi
why=
# the rename as well is on disk before the journal says so
if ! sync "${file%/*}" "${file%/*/*}"; then
    why="${file%/*} does not reach the disk"
elif ! said=$(try_tunables); then
    why="the tunables do not compile with $what: $said"
else
    compiling >"$run/compiling.after"
    lost=$(comm -23 "$run/compiling.before" "$run/compiling.after")
    if [ -n "$lost" ]; then
        why="with $what these no longer compile: $lost"
    elif ! reload; then
        why="with $what a profile of ours no longer loads"
    fi
fi
if [ -z "$why" ]; then
    journal "\"event\":\"done\",\"after\":\"$(digest "$file")\""
    [ "$name" = tunables/home ] || exit 0
    had=$(wc -l <"$run/compiling.before")
    have=$(wc -l <"$run/compiling.after")
    echo "$name: repaired: $have of $(profile_files | tr -cd '\0' | wc -c) profile files compile, $had did before"
    # loading the others is not ours: they may be switched off on purpose
    [ "$have" = "$had" ] ||
        echo "$name: if the node was booted with it broken, load what is missing: systemctl reload apparmor"
    exit 0
fi

put "$old" || fail "$why; putting the old text back failed: $old"
sync "${file%/*}"
reload
journal "\"event\":\"restored\",\"after\":\"$planned\""
fail "$why; the old text is back"
