#!/bin/sh
# works SECONDS [:no-containers | :containers NAME...] - what works in this guest, one record a line; runs in
# the guest, and only reads. busybox is enough. SECONDS: how long its boot may take to end before it is looked
# at. NAME: of those containers alone, as they are named below.
#
#   works 1                                        the answer begins
#   container STATUS HEALTH RESTARTS STARTED NAME  of Docker; HEALTH: - where it has no check;
#                                                  RESTARTS: its policy; STARTED: when
#   podman STATUS HEALTH RESTARTS STARTED NAME     the same of podman
#   unit ACTIVE SUB NAME                           of systemd; of OpenRC in systemd's words
#   boots NAME                                     a service that starts at boot
#   error NAME, error podman:NAME                  one of them that could not be started
#   port NUMBER NAME                               of TCP, that a process of this service listens on
#   booting                                        its boot has not ended yet, or it shuts down
#   silent ENGINE                                  docker or podman cannot be asked
#   end                                            the answer is whole
export LC_ALL=C
most=5000
has() { command -v "$1" >/dev/null; }

# Whose socket listens: of the sockets that /proc knows of each process, those of its network that do.
ports() {
    # shellcheck disable=SC2012 # names of sockets; find has no such answer in busybox
    ls -l /proc/[0-9]*/fd 2>/dev/null | awk '
        function number(hex,    at, sum) {
            for (at = 1; at <= length(hex); at++)
                sum = sum * 16 + index("123456789ABCDEF", substr(hex, at, 1))
            return sum
        }
        function service(pid,    file, line, name) {
            file = "/proc/" pid "/cgroup"
            while ((getline line <file) > 0) {
                if (match(line, /[^\/]*\.service/)) name = substr(line, RSTART, RLENGTH)
                else if (match(line, /\/openrc[.\/][^\/]*/)) name = substr(line, RSTART + 8, RLENGTH - 8)
            }
            close(file)
            return name
        }
        /\/[0-9]+\/fd:$/ { pid = part[split($0, part, "/") - 1] }
        match($0, /socket:\[[0-9]+\]$/) { owner[substr($0, RSTART + 8, RLENGTH - 9)] = pid }
        END {
            files[1] = "/proc/net/tcp"
            files[2] = "/proc/net/tcp6"
            for (one = 1; one <= 2; one++)
                while ((getline <files[one]) > 0)
                    if ($4 == "0A" && ($10 in owner) && (name = service(owner[$10])))
                        print "port", number(substr($2, index($2, ":") + 1)), name
        }' | sort -u | head -n $most
}
limit=
! has timeout || limit='timeout 25'

echo 'works 1'
if has systemctl && [ -d /run/systemd/system ]; then
    state=
    # without timeout nobody waits
    [ "$1" = 0 ] || ! has timeout || state=$(timeout "$1" systemctl is-system-running --wait 2>/dev/null)
    case ${state:-$(systemctl is-system-running 2>/dev/null)} in
    initializing | starting | stopping) echo booting ;;
    esac
    systemctl list-units --all --plain --no-legend --no-pager --full \
        --type=service,socket,mount 2>/dev/null |
        sed -n "s/^\([^ ]*\) *[^ ]* *\([^ ]*\) *\([^ ]*\).*/unit \2 \3 \1/p" | head -n $most
    systemctl list-unit-files --no-legend --no-pager --full --type=service \
        --state=enabled,enabled-runtime 2>/dev/null | sed 's/^\([^ ]*\).*/boots \1/' | head -n $most
elif has rc-status; then
    rc-status -a 2>/dev/null | sed -n \
        -e 's/^ *\([^ ]*\) *\[ *started *.*/unit active running \1/p' \
        -e 's/^ *\([^ ]*\) *\[ *crashed *.*/unit failed failed \1/p' | sort -u | head -n $most
    for level in boot default; do rc-status $level 2>/dev/null; done |
        sed -n 's/^ \([^ ]*\) *\[.*/boots \1/p' | head -n $most
fi
! has awk || ports

containers() { # ENGINE RECORD STARTED [PREFIX]: the engines tell the time of a start each in its way
    ids=
    if [ "$asked" = :containers ]; then
        for name in $names; do
            case $name in
            podman:*) [ "$1" != podman ] || ids="$ids ${name#podman:}" ;;
            *) [ "$1" != docker ] || ids="$ids $name" ;;
            esac
        done
    else
        # shellcheck disable=SC2086 # words or none
        ids=$($limit "$1" ps -aq --no-trunc 2>/dev/null) || echo "silent $1"
        ids=$(printf '%s\n' "$ids" | head -n $most)
    fi
    # podman has a status without a word where none of its checks has run yet
    format="$2 {{.State.Status}} {{with .State.Health}}{{or .Status \"-\"}}{{else}}-{{end}}"
    format="$format {{.HostConfig.RestartPolicy.Name}} $3 {{.Name}}{{if .State.Error}}
error ${4:-}{{.Name}}{{end}}"
    # shellcheck disable=SC2086
    [ -z "$ids" ] || $limit "$1" inspect --type container -f "$format" $ids 2>/dev/null
    # given up by timeout, or it knows another form; one that has just gone is no failure
    status=$?
    # a name that is not there any more is a failure of another kind
    case $asked$status in
    :containers124 | :containers137 | :containers143) ;;
    :containers*)
        # shellcheck disable=SC2086
        [ $status = 0 ] || ! $limit "$1" ps -q >/dev/null 2>&1 || status=0
        ;;
    esac
    case $asked$status in
    *124 | *125 | *137 | *143 | :containers[1-9]*) printf '\nsilent %s\n' "$1" ;;
    esac
}
asked=${2:-} names=
[ $# -lt 3 ] || { shift 2 && names="$*"; }
if [ "$asked" != :no-containers ]; then
    # podman has a script by the name of docker, which asks itself
    ! has docker || head -c 4096 "$(command -v docker)" | grep -q '^ *exec.*podman' ||
        containers docker container '{{.State.StartedAt}}'
    # where it has never run, the question alone would leave something behind
    ! has podman || [ ! -d /var/lib/containers/storage ] ||
        containers podman podman '{{.State.StartedAt.Unix}}' podman:
fi
echo end
