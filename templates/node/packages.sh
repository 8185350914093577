#!/bin/sh
# packages install|remove CTID RUN|- apt|apk PACKAGE... - bring packages into a running container, or
# take out of it what a run brought there.
#
#   install   what is missing of these; nothing that is there is upgraded. `done` (or `failed`) in
#             the journal names everything that came in, dependencies included
#   remove    all of these at once. They are kept, with the reason, while another package needs
#             them, and while fuse-overlayfs is Docker's driver or holds data: without the program
#             dockerd would not start over it
#
# Sent on the stdin of a transient unit, so that losing the operator does not interrupt dpkg.
# RUN: id of the run that does it, for its journal; `-` for none.
#
# Exit of install: 0 all are installed, as the guest's own database says · 1 they are not
# Exit of remove:  0 removed, or kept with the reason · 1 nothing was tried
set -u
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
state=${PHOENIX_ROOT:-}/var/lib/phoenix-harden
patience=${PHOENIX_PATIENCE:-5}

# whoever listened may be gone: that is no failure
say() { printf 'CT %s: %s\n' "$ct" "$*" 2>/dev/null || :; }
journal() { # EVENT packages|removed PACKAGES: names that apt and apk allow, nothing to escape
    [ "$run" != - ] || return 0
    (umask 077 && mkdir -p "$state/runs/$run") &&
        printf '{"time":"%s","ctid":%s,"event":"%s","%s":"%s"}\n' \
            "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$ct" "$@" >>"$state/runs/$run/journal.jsonl" &&
        sync "$state/runs/$run/journal.jsonl"
}
failed() { # packages|removed PACKAGES: journaled, and the end of what the guest said
    journal failed "$@"
    printf '%s\n' "$said" | tail -n 15
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

# --- install --------------------------------------------------------------------------------

apt() { # another apt may be at work: wait for its lock
    guest 900 apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@"
}
add() { # PACKAGE...
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
install() { # PACKAGE...
    now=$(installed)
    before=$now
    # shellcheck disable=SC2046 # names without blanks
    set -- $(missing "$@")
    [ $# -gt 0 ] || {
        say 'all packages are installed'
        exit 0
    }
    journal intent packages "$*" || exit 1
    for attempt in 1 2 3; do
        said=$(add "$@")
        now=$(installed)
        [ -n "$(missing "$@")" ] || break
        # a dpkg that was cut short, by a reboot say, is finished first
        case $said in
        *'dpkg --configure -a'*)
            guest 900 dpkg --force-confdef --force-confold --configure -a >/dev/null
            ;;
        esac
        [ "$attempt" = 3 ] || sleep "$patience"
    done
    came=$(printf '%s\n' "$now" | before=$before awk '
        BEGIN { count = split(ENVIRON["before"], names, "\n"); while (count) there[names[count--]] }
        $0 != "" && !($0 in there)' | tr '\n' ' ')
    came=${came% }
    left=$(missing "$@")
    if [ -n "$left" ]; then
        failed packages "$came"
        say "not installed: ${left% }"
        exit 1
    fi
    journal 'done' packages "$came"
    say "installed: $came"
}

# --- remove ---------------------------------------------------------------------------------

# what Docker still keeps with fuse-overlayfs, in words
# shellcheck disable=SC2016 # the guest's own variables
held() {
    guest 60 sh -c '
        [ "$(docker info --format "{{.Driver}}" 2>/dev/null)" != fuse-overlayfs ] ||
            echo "Docker runs on fuse-overlayfs"
        root=$(docker info --format "{{.DockerRootDir}}" 2>/dev/null)
        count=$(ls "${root:-/var/lib/docker}/fuse-overlayfs" 2>/dev/null | grep -vcx l)
        [ "$count" = 0 ] || echo "$count layers of fuse-overlayfs are there"'
}
present() { # PACKAGE...: those of them that are installed, on one line
    installed | grep -xF -e "$(printf '%s\n' "$@")" | paste -sd' '
}
# all at once: they may need each other. dpkg and apk refuse what something else needs
purge() { # PACKAGE...
    if [ "$manager" = apk ]; then guest 900 apk del "$@"; else guest 900 dpkg --purge "$@"; fi
}
remove() { # PACKAGE...
    there=$(present "$@")
    [ -n "$there" ] || exit 0
    case " $there " in *' fuse-overlayfs '*) why=$(held | paste -sd, | sed 's/,/, /g') ;; *) why= ;; esac
    if [ -n "$why" ]; then
        say "$there stays: $why"
        exit 0
    fi
    journal intent removed "$there" || exit 1
    # shellcheck disable=SC2086 # names without blanks
    said=$(purge $there)
    # shellcheck disable=SC2086
    left=$(present $there)
    if [ -n "$left" ]; then
        failed removed "$left"
        say "$left stays: something needs it, see above"
        exit 0
    fi
    journal 'done' removed "$there"
    say "removed: $there"
}

main() {
    action=$1 ct=$2 run=$3 manager=$4
    shift 4
    mkdir -p "$state"
    exec 9>>"$state/lock"
    flock -w 900 9 || {
        say 'another run works on this node for more than 15 minutes: try again later'
        exit 1
    }
    case $action in
    install) install "$@" ;;
    remove) remove "$@" ;;
    *) exit 1 ;;
    esac
}

# called on the last line: a script that arrives cut short does nothing
umask 022
main "$@"
