#!/bin/sh
# restart CTID SECONDS - restart a container if it runs: shut down within SECONDS, else stopped.
#
# Sent on the stdin of a transient unit, so that losing the operator does not leave it stopped.
# Exit: 0 it runs again, or did not run · 1 it does not: the last line says what to do
set -u
# PHOENIX_PATH: fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# whoever listened may be gone: that is no failure
say() { printf 'CT %s: %s\n' "$ct" "$*" 2>/dev/null || :; }
fail() {
    say "$*" >&2
    exit 1
}
state() { pct status "$ct" </dev/null | sed -n 's/^status: //p'; }
# never our stdin: the rest of this script waits there
pct_now() { pct "$@" </dev/null; }

main() {
    ct=$1
    case $(state) in
    running) ;;
    stopped)
        say 'does not run: nothing to restart'
        return
        ;;
    *) fail "its state is not known: nothing was done: try pct status $ct" ;;
    esac
    # what it is afterwards counts, not what pct returns: it can fail after the work is done
    pct_now shutdown "$ct" --timeout "$2"
    if [ "$(state)" != stopped ]; then
        say "did not shut down within $2 s: stopping it"
        pct_now stop "$ct"
    fi
    [ "$(state)" = stopped ] || fail "cannot be stopped and goes on as it was: try pct stop $ct"
    pct_now start "$ct"
    [ "$(state)" = running ] || fail "is stopped and does not start: try pct start $ct --debug"
    say 'restarted'
}

# called on the last line: a script that arrives cut short does nothing
main "$@"
