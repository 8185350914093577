#!/bin/sh
# packages CTID RUN|- apt|apk PACKAGE... - install in a running container what is missing of these.
#
# Sent on the stdin of a transient unit, so that losing the operator does not interrupt dpkg.
# Nothing that is there is upgraded. With a RUN its journal gets an intent, and then `done` (or
# `failed`) with everything that came in, dependencies included.
#
# Exit: 0 all are installed, as the guest's own database says · 1 they are not
set -u
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
state=${PHOENIX_ROOT:-}/var/lib/phoenix-harden
patience=${PHOENIX_PATIENCE:-5}

# whoever listened may be gone: that is no failure
say() { printf 'CT %s: %s\n' "$ct" "$*" 2>/dev/null || :; }
journal() { # EVENT PACKAGES: names that apt and apk allow, nothing to escape
    [ "$run" != - ] || return 0
    (umask 077 && mkdir -p "$state/runs/$run") &&
        printf '{"time":"%s","ctid":%s,"event":"%s","packages":"%s"}\n' \
            "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$ct" "$1" "$2" >>"$state/runs/$run/journal.jsonl" &&
        sync "$state/runs/$run/journal.jsonl"
}
guest() { # SECONDS COMMAND...: never our stdin, where the rest of this script waits
    seconds=$1
    shift
    timeout -k 5 "$seconds" lxc-attach -n "$ct" --clear-env \
        --set-var PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --set-var DEBIAN_FRONTEND=noninteractive --set-var LC_ALL=C -- "$@" </dev/null 2>&1
}
installed() { # one a line
    if [ "$manager" = apk ]; then
        guest 60 apk info -q
    else
        # shellcheck disable=SC2016
        guest 60 dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' | sed -n 's/^.i  *//p'
    fi
}
apt() { # another apt may be at work: wait for its lock
    guest 900 apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@"
}
install() { # PACKAGE...
    if [ "$manager" = apk ]; then
        guest 900 apk add --no-cache "$@"
    else
        # lists that cannot be renewed may still do: the installation tells
        apt update
        apt install --no-upgrade "$@"
    fi
}
missing() { # PACKAGE...
    for package; do
        # dpkg names some with their architecture
        printf '%s\n' "$now" | grep -qx -e "$package" -e "$package:.*" || printf '%s ' "$package"
    done
}

main() {
    ct=$1 run=$2 manager=$3
    shift 3
    mkdir -p "$state"
    exec 9>>"$state/lock"
    flock -w 900 9 || {
        say 'another run works on this node for more than 15 minutes: try again later'
        exit 1
    }
    now=$(installed)
    before=$now
    # shellcheck disable=SC2046 # names without blanks
    set -- $(missing "$@")
    [ $# -gt 0 ] || {
        say 'all packages are installed'
        exit 0
    }
    journal intent "$*" || exit 1
    for attempt in 1 2 3; do
        said=$(install "$@")
        now=$(installed)
        [ -n "$(missing "$@")" ] || break
        [ "$attempt" = 3 ] || sleep "$patience"
    done
    came=$(printf '%s\n' "$now" | before=$before awk '
        BEGIN { count = split(ENVIRON["before"], names, "\n"); while (count) there[names[count--]] }
        $0 != "" && !($0 in there)' | tr '\n' ' ')
    came=${came% }
    left=$(missing "$@")
    if [ -n "$left" ]; then
        journal failed "$came"
        printf '%s\n' "$said" | tail -n 15
        say "not installed: ${left% }"
        exit 1
    fi
    journal 'done' "$came"
    say "installed: $came"
}

# called on the last line: a script that arrives cut short does nothing
umask 022
main "$@"
