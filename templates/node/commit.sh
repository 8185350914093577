#!/bin/sh
# commit CTID [settle] - the dangerous part of a run, done on the node alone.
#
# Swaps in what was staged in RUN/CTID, restarts the container and proves it; or puts the old
# state back, restarts and proves that. Runs in a transient unit, so that losing the operator
# does not stop it. RUN is the folder that this file lies in, beside the scripts that it calls.
# With `settle` it takes up a commit of this run that was cut short (a kill, a reboot) where the
# journal says that it was; one that has ended costs nothing. Staged, each value a file:
#
#   RUN/CTID/conf      the new /etc/pve/lxc/CTID.conf
#   RUN/CTID/before    sha256 of the conf that it was planned on
#   RUN/CTID/label     if there: what PID 1 must carry, PROFILE[//&:NAMESPACE:PROFILE] (MODE)
#   RUN/CTID/docker    if there: Docker must work in it
#   RUN/CTID/ours      if there: what our runs have brought into the conf after this one; empty:
#                      nothing
#   RUN/CTID/restart   if there: restart it (a stopped container stays stopped)
#   RUN/CTID/daemon-before   if there: the guest's /etc/docker/daemon.json changes; sha256 of the
#                      one that this was planned on, or `none`
#   RUN/CTID/daemon.json     the new one; without it, the file shall go
#   RUN/CTID/driver, RUN/CTID/driver-before   if there: the storage driver that Docker must say
#                      afterwards, and the one that it says with the old daemon.json
#
# daemon.json takes effect with the container's restart, or else with one of Docker. In a stopped
# container it is not touched.
#
# The journal: intent · started (restarted on the new conf) · done; or back · restored or failed.
# daemon.json has lines of its own, each before that of the conf but for the intent.
#
# Exit: 0 done · 1 failed, the old state is back · 2 refused, nothing was changed
#       3 failed, and the old state could not be proven: look at it by hand
#       4 the conf or daemon.json is not the one that this was planned on, nothing was changed;
#         RUN/CTID/changed is left for the operator's side, which may plan anew
# shellcheck disable=SC2317,SC2329 # the checks of the gate are called by name
set -u
standard=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# PHOENIX_ROOT, PHOENIX_PATH: a fake root and fake tools, for the tests
export LC_ALL=C PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}$standard"
root=${PHOENIX_ROOT:-}
ct=$1
run=$(cd "$(dirname "$0")" && pwd)
staged=$run/$ct
name=/etc/pve/lxc/$ct.conf
settles=${2:-}
conf=$root$name
state=$root/var/lib/phoenix-harden
label=$(cat "$staged/label" 2>/dev/null)
stack=${label% (*}
profile=${stack%%//&*}
began=$(date +%s)
umask 077
exec </dev/null

# whoever listened may be gone: that is no failure
say() { printf 'CT %s: %s\n' "$ct" "$*" 2>/dev/null || :; }
sha256() { sha256sum | cut -d' ' -f1; }
journal() { # EVENT [KEY VALUE]...: values are hashes, numbers and words of ours
    line="{\"time\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\",\"ctid\":$ct,\"event\":\"$1\""
    shift
    while [ $# -gt 0 ]; do
        line="$line,\"$1\":\"$2\""
        shift 2
    done
    printf '%s}\n' "$line" >>"$run/journal.jsonl" && sync "$run/journal.jsonl"
}
refuse() {
    say "refused: $*"
    exit 2
}
changed() { # FILE
    touch "$staged/changed"
    say "somebody changed $1 since this run was planned: nothing was changed"
    exit 4
}

swap() { # FILE EXPECTED: put FILE in the conf's place if the conf still has that digest
    base64 <"$1" | sh "$run/write-conf" "$ct" "$2" "$(sha256 <"$1")" 2>&1
}
digest() { sha256 <"$conf"; }
running() { [ "$(pct status "$ct" 2>/dev/null)" = 'status: running' ]; }
restart() ( # one that did not come up before is started; none of them gets our lock or umask
    umask 022
    exec 9>&-
    if running; then
        sh "$run/restart" "$ct" 90 || exit
    else
        pct start "$ct"
    fi
    # what it is afterwards counts, not what pct returns
    running
)

# --- gate: what must be true of the container that came up ----------------------------------

guest() { # SECONDS COMMAND...
    seconds=$1
    shift
    timeout -k 5 "$seconds" lxc-attach -n "$ct" --clear-env \
        --set-var "PATH=$standard" -- "$@"
}
init_pid() { lxc-info -n "$ct" -p -H; }

label_is_right() {
    carried=$(tr -d '\0' <"$root/proc/$(init_pid)/attr/apparmor/current") || return
    mode=${label##*" ("}
    case $stack in
    # the first part is the host's; of the other only the namespace, the rest is the guest's own
    *//\&:*) case $carried in "${stack%:*}:"*" ($mode") return ;; esac ;;
    *) case $carried in "$profile ($mode" | "$profile//&"*" ($mode") return ;; esac ;;
    esac
    say "PID 1 carries '$carried'"
    return 1
}

# --- the guest's daemon.json -----------------------------------------------------------------

in_guest() ( # daemon-json ACTION... in the guest; without our lock and umask
    umask 022
    exec 9>&-
    guest 600 sh -c "$(cat "$run/daemon-json")" daemon-json "$@"
)
names_driver() { # FILE, or none
    [ "$1" != none ] && grep -q '"storage-driver"' "$1"
}
put_daemon() { # FILE|none EXPECTED LEFT [trust]: LEFT is the driver that is left with this file
    if [ "$1" = none ]; then
        in_guest remove "$2"
    else
        in_guest put "$2" "$(sha256 <"$1")" "${4:-}" <"$1"
    fi || return
    docker_due=yes
    leaving=
    names_driver "$1" || [ "$driver" = "$driver_before" ] || leaving=$3
}
daemon_back() { # the old one, if it is not there; never over somebody else's
    found=$(in_guest digest) || return
    [ "$found" != "$daemon_before" ] || return 0
    if [ "$found" != "$daemon_after" ]; then
        say "$daemon_name was changed meanwhile and is left as it is"
        return 1
    fi
    put_daemon "$daemon_image" "$daemon_after" "$driver" trust
}
clear_driver() { # before dockerd starts with a file that names none
    [ -n "$leaving" ] || return 0
    in_guest leave "$leaving"
    leaving=
}
keep_daemon() { # its before-image
    if [ "$daemon_before" = none ]; then
        [ "$(in_guest digest)" = none ] || changed "$daemon_name"
        return
    fi
    if ! in_guest read >"$daemon_image" || ! sync "$daemon_image"; then
        refuse "cannot keep a copy of $daemon_name in $run/files"
    fi
    [ "$(sha256 <"$daemon_image")" = "$daemon_before" ] && return
    rm -f "$daemon_image"
    changed "$daemon_name"
}
journal_daemon() { # EVENT [KEY VALUE]...
    [ -n "$daemon" ] || return 0
    event=$1
    shift
    journal "$event" file "$daemon_name" "$@"
}

docker_answers() { # the socket answers once dockerd is ready; before it exists, ask again
    guest 180 sh -c 'until docker info >/dev/null 2>&1; do
        systemctl is-failed -q docker.service 2>/dev/null && exit 1
        sleep 1
    done'
}

# Our own image, never a user's: one static program that answers on port 8080.
probe=phoenix-harden=probe
clear_probes() { # what a gate that was cut short left there
    containers=$(guest 60 docker ps -aq --filter "label=$probe")
    # shellcheck disable=SC2086 # ids
    [ -z "$containers" ] || guest 60 docker rm -f $containers >/dev/null
    images=$(guest 60 docker images -q --filter "label=$probe")
    # shellcheck disable=SC2086
    [ -z "$images" ] || guest 60 docker rmi $images >/dev/null
}
docker_runs() {
    [ -z "$settles" ] || clear_probes
    image=$(guest 60 docker import -c 'CMD ["/probe"]' -c "LABEL $probe" - <"$run/probe.tar") || return
    # the sysctl that runc cannot set where a profile denies what it does since CVE-2025-52881
    container=$(guest 60 docker create --pull never -p 127.0.0.1::8080 \
        --sysctl net.ipv4.ip_unprivileged_port_start=0 "$image") &&
        guest 120 docker start "$container" >/dev/null && answers_on_its_port
    code=$?
    # by id, whatever happened above
    [ -z "$container" ] || guest 60 docker rm -f "$container" >/dev/null || code=1
    guest 60 docker rmi "$image" >/dev/null || code=1
    return "$code"
}
answers_on_its_port() {
    port=$(guest 30 docker port "$container" 8080/tcp) || return
    # the guest may have no client of its own: ask from the node, in the guest's network
    # shellcheck disable=SC2016
    answer=$(nsenter -t "$(init_pid)" -n timeout 30 bash -c \
        'exec 3<>"/dev/tcp/127.0.0.1/$0" && cat <&3' "${port##*:}")
    [ "$answer" = phoenix-harden ]
}

docker_says() { # DRIVER
    said=$(guest 60 docker info --format '{{.Driver}}')
    [ "$said" = "$1" ] || {
        say "docker info says '$said'"
        return 1
    }
}
docker_finds_apparmor() { guest 30 docker info -f '{{.SecurityOptions}}' | grep -q name=apparmor; }

check() { # TEXT COMMAND...: one line with its verdict and how long it took
    text=$1
    shift
    from=$(date +%s)
    if "$@"; then verdict=ok; else verdict=FAILED; fi
    say "$verdict $text ($(($(date +%s) - from)) s)"
    [ $verdict = ok ]
}
gate() { # with-label|without-label
    if [ -f "$staged/restart" ] && [ "$restarted" = no ]; then
        ! running || clear_driver
        found=$(digest)
        check 'restarts' restart
        up=$?
        docker_due=no
        # what Proxmox makes of our conf at the start; any other change is somebody else's
        [ "$found" = "$left" ] && left=$(digest)
        [ "$1" = without-label ] || journal started file "$name" after "$left"
        [ "$up" = 0 ] || return
    fi
    if ! running; then
        # it did not before either; else it has gone down again, and nothing is proven
        [ -f "$staged/restart" ] || [ -n "$daemon" ] || return 0
        say 'does not run any more'
        return 1
    fi
    if [ -n "$daemon" ]; then
        # a container that had not come up has its new one still
        [ "$1" = with-label ] || daemon_back || return
        if [ "$docker_due" = yes ]; then
            clear_driver
            docker_due=no
            check 'restarts Docker' in_guest restart || return
        fi
    fi
    if [ "$1" = with-label ] && [ -n "$label" ] && [ -f "$staged/restart" ]; then
        check "PID 1 runs as $label" label_is_right || return
    fi
    if [ -f "$staged/docker" ] && { [ -f "$staged/restart" ] || [ -n "$daemon" ]; }; then
        if [ "$1" = with-label ]; then says=$driver; else says=$driver_before; fi
        check 'dockerd answers' docker_answers &&
            { [ -z "$says" ] || check "docker info says $says" docker_says "$says"; } &&
            check 'a container of our own runs and answers on a published port' docker_runs ||
            return
        case $1$stack in
        with-label*//\&:*)
            docker_finds_apparmor ||
                say 'note: Docker finds no AppArmor in it and confines nothing inside: apt install apparmor there'
            ;;
        esac
    fi
}

denials() { # what AppArmor refused under this profile since we began; audit.log is complete,
    # the kernel's ring buffer is not
    log=$root/var/log/audit/audit.log
    { cat "$log" 2>/dev/null || journalctl -k -o cat --since "@$began"; } | awk -v since="$began" \
        -v mine="profile=\"${profile:-lxc-${ct}_</var/lib/lxc>}\"" '
        /apparmor="DENIED"/ && (index($0, mine) || /profile="\/usr\/bin\/lxc-start"/) {
            time = $0
            sub(/.*audit\(/, "", time)
            if (time + 0 >= since) { sub(/.*apparmor=/, "apparmor="); print "  " $0 }
        }' | tail -n 10
}
tell_denials() { # WORDS: before them, if there are any
    found=$(denials)
    [ -z "$found" ] || say "$1
$found"
}

keep_ours() { # beside the runs, for the next one to know
    [ -f "$staged/ours" ] || return 0
    if [ ! -s "$staged/ours" ]; then
        rm -f "$note"
        return
    fi
    mkdir -p "$state/containers" && cp "$staged/ours" "$note.new" &&
        sync "$note.new" && mv -f "$note.new" "$note"
}

# --- the transaction ------------------------------------------------------------------------

keep() { # FILE DIGEST: a before-image, under its digest
    cat "$1" >"$run/files/$2" && sync "$run/files/$2"
}
events() { # of this container's conf in this run
    grep "\"ctid\":$ct,\"event\":\"[a-z]*\",\"file\":\"$name\"" "$run/journal.jsonl" 2>/dev/null
}

begin() { # the swap, with everything on disk before it
    rm -f "$staged/changed"
    # only running containers are restarted
    running || rm -f "$staged/restart"
    if [ -n "$daemon" ] && ! running; then
        say "does not run: its $daemon_name stays as it is"
        rm -f "$staged/daemon-before"
        daemon=
    fi
    ours=none
    mkdir -p "$run/files"
    if [ -f "$note" ]; then
        ours=$(sha256 <"$note")
        keep "$note" "$ours" || refuse "cannot keep a copy of $note in $run/files"
    fi
    if ! keep "$conf" "$before" || ! sync "$staged/conf"; then
        refuse "cannot keep a copy of $name in $run/files"
    fi
    if [ "$(sha256 <"$run/files/$before")" != "$before" ]; then
        rm -f "$run/files/$before"
        changed "$name"
    fi
    [ -z "$daemon" ] || keep_daemon
    journal intent file "$name" before "$before" after "$after" ours "$ours" ||
        refuse "cannot write $run/journal.jsonl"
    if [ -n "$daemon" ]; then
        journal intent file "$daemon_name" before "$daemon_before" after "$daemon_after" \
            driver_before "$driver_before" driver "$driver" ||
            refuse "cannot write $run/journal.jsonl"
        put_daemon "$daemon_new" "$daemon_before" "$driver_before"
        code=$?
        if [ "$code" != 0 ]; then
            # cut short it may have come through all the same
            daemon_back
            journal_daemon refused
            journal refused file "$name"
            [ "$code" != 4 ] || changed "$daemon_name"
            refuse "$daemon_name cannot be replaced, see above: nothing was changed"
        fi
    fi
    swap "$staged/conf" "$before" && return
    [ -z "$daemon" ] || daemon_back
    journal_daemon refused
    journal refused file "$name"
    [ "$(digest)" = "$before" ] || changed "$name"
    refuse 'nothing was changed'
}

settle() { # take up what was cut short, with what that may have left: a line, a file
    [ -z "$(tail -c 1 "$run/journal.jsonl")" ] || echo >>"$run/journal.jsonl"
    mkdir -p "$root/run/lock/lxc"
    flock -w 10 "$root/run/lock/lxc/pve-config-$ct.lock" rm -f "$conf".tmp.* 2>/dev/null
    last=$(events | tail -n 1 | sed 's/.*"event":"\([a-z]*\)".*/\1/')
    found=$(events | sed -n 's/.*"event":"started".*"after":"\([0-9a-f]*\)".*/\1/p' | tail -n 1)
    left=${found:-$after}
    case $last in
    intent | started | back) say "run ${run##*/} was cut short here: settles it" ;;
    *)
        say "run ${run##*/} has ended for it already"
        exit 0
        ;;
    esac
    [ "$last" != back ] || back
    if [ "$(digest)" = "$before" ]; then
        # it never came to the swap, or to one that changes the conf
        up=0
        # it ran before: stopped for its restart, or by a reboot that does not start it
        if [ -f "$staged/restart" ] && ! running; then
            check 'starts again' restart
            up=$?
        fi
        if [ -n "$daemon" ]; then undo_daemon; fi
        journal restored file "$name" after "$before"
        say 'settled: nothing had been changed'
        if [ "$up" != 0 ]; then
            say "it ran before and does not start: pct start $ct --debug"
            exit 3
        fi
        exit 0
    fi
    if [ "$last" = started ] && running; then restarted=yes; fi
    if [ -n "$daemon" ] && [ "$restarted" = no ]; then docker_due=yes; fi
}
undo_daemon() { # and have Docker read the old one, in case it has read the new one
    docker_due=no
    if daemon_back; then
        [ "$docker_due" = no ] || { clear_driver && in_guest restart; }
        journal_daemon restored after "$daemon_before"
    else
        journal_daemon failed
    fi
}

finish() { # prove what is there now
    gate with-label && keep_ours || return
    [ -z "$daemon" ] || journal_daemon 'done' after "$(in_guest digest)"
    journal 'done' file "$name" after "$(digest)"
    tell_denials 'warning: it works, and AppArmor denied since the restart:'
    say 'done'
    exit 0
}

back() { # the old state, and the proof of it
    say 'puts the old state back'
    journal back file "$name"
    restarted=no
    # where it runs now the restart brings it; where it does not, the gate puts it back
    if [ -n "$daemon" ] && running; then daemon_back; fi
    if [ "$(digest)" != "$before" ] && ! swap "$run/files/$before" "$left"; then
        journal_daemon failed
        journal failed file "$name"
        say "$name is left as it is: rollback with run=${run##*/} takes back what this run changed"
        exit 3
    fi
    if gate without-label; then
        journal_daemon restored after "$daemon_before"
        journal restored file "$name" after "$before"
        say 'restored: the old conf is back and the container runs with it'
        exit 1
    fi
    journal_daemon failed
    journal failed file "$name" after "$before"
    say "the old conf is back, but the container is not healthy: pct status $ct; journalctl -e"
    exit 3
}

[ -f "$staged/before" ] || refuse "nothing whole is staged in $staged"
exec 9>>"$state/lock"
if ! flock -n 9; then
    say "waits for $(cat "$state/lock")"
    flock -w 600 9 || refuse "$(cat "$state/lock") works on this node for more than 10 minutes: try again later"
fi
echo "run ${run##*/}, CT $ct" >"$state/lock"

note=$state/containers/$ct
before=$(cat "$staged/before")
after=$(sha256 <"$staged/conf")
left=$after
restarted=no

daemon_name=/etc/docker/daemon.json
daemon=
driver=$(cat "$staged/driver" 2>/dev/null)
driver_before=$(cat "$staged/driver-before" 2>/dev/null)
docker_due=no
leaving=
daemon_before=none
daemon_image=none
daemon_after=none
daemon_new=none
if [ -f "$staged/daemon-before" ]; then
    daemon=yes
    daemon_before=$(cat "$staged/daemon-before")
    [ "$daemon_before" = none ] || daemon_image=$run/files/$daemon_before
    if [ -f "$staged/daemon.json" ]; then
        daemon_new=$staged/daemon.json
        daemon_after=$(sha256 <"$daemon_new")
    fi
fi
if [ "$settles" = settle ]; then settle; else begin; fi
finish
tell_denials 'AppArmor denied since the restart:'
back
