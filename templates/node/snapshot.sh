#!/bin/sh
# snapshot CTID NAME TEXT - take a Proxmox snapshot of a container; TEXT is its description.
#
# Sent on the stdin of a transient unit, so that losing the operator does not leave it half done.
# What the conf says afterwards counts, not what pct returns.
#
# Exit: 0 it is there · 1 it is not, the last line says why and what to do
set -u
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root=${PHOENIX_ROOT:-}

# whoever listened may be gone: that is no failure
say() { printf 'CT %s: %s\n' "$ct" "$*" 2>/dev/null || :; }
refuse() {
    say "refused: $*"
    exit 1
}
section() { # the lines of the snapshot
    awk -v head="[$name]" '/^\[/ { mine = $0 == head; next } mine' "$conf"
}

main() {
    ct=$1
    name=$2
    conf=$root/etc/pve/lxc/$ct.conf
    lock=$root/var/lib/phoenix-harden/lock
    mkdir -p "${lock%/*}"
    exec 9>>"$lock"
    flock -w 600 9 ||
        refuse "$(cat "$lock") works on this node for more than 10 minutes: try again later"
    echo "run ${name#phoenix-}, CT $ct" >"$lock"
    # neither our stdin nor our lock is pct's business
    said=$(pct snapshot "$ct" "$name" --description "$3" </dev/null 9>&- 2>&1 | tr '\n' ' ')
    said=${said% }
    [ -n "$(section)" ] || refuse "no snapshot was taken (${said:-pct gives no reason}):" \
        "leave snapshot=true out, and have a backup (vzdump $ct)"
    # pve-guest-common AbstractConfig.pm: snapstate and lock stay while it is not complete
    if section | grep -q '^snapstate:' || sed '/^\[/q' "$conf" | grep -q '^lock:'; then
        refuse "the snapshot $name is not complete (${said:-pct gives no reason}):" \
            "pct unlock $ct; pct delsnapshot $ct $name --force 1"
    fi
    say "snapshot $name taken (pct delsnapshot $ct $name removes it)"
}

# called on the last line: a script that arrives cut short does nothing
main "$@"
