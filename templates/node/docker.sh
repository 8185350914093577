#!/bin/sh
# docker GUEST-SCRIPT CTID[:probe]... - what Docker in these running containers is and has, one
# line each, all of them asked at once; asked for by facts/docker.py. GUEST-SCRIPT is the text of
# docker-guest.sh. A hung guest costs its time-out, nothing else.
#
#   910 ok guest%201%0Aos%20debian%2013%0A...
#   952 hung
encode() { perl -0777 -pe 's/([^!-\$&-\[\]-~])/sprintf "%%%02X", ord $1/ge'; }
# PHOENIX_PATH: fake tools, for the tests
export LC_ALL=C \
    PATH="${PHOENIX_PATH:+$PHOENIX_PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
patience=${PHOENIX_GUEST_TIMEOUT:-60}
guest=$1
shift
answers=$(mktemp -d) || exit 1
trap 'rm -r "$answers"' EXIT

ask() {
    ct=${1%:probe}
    probe=${1#"$ct"}
    timeout -k 2 "$patience" lxc-attach -n "$ct" --clear-env \
        --set-var PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -- \
        sh -c "$guest" docker-guest "$((patience * 2 / 3))" "$probe" \
        </dev/null >"$answers/$ct.out" 2>"$answers/$ct.err"
    case $? in
    0) state=ok ;;
    44) state=none ;;
    124 | 137) state=hung ;;
    126 | 127) state=noshell ;;
    *)
        state=failed
        [ "$(lxc-info -n "$ct" -s -H 2>/dev/null)" != STOPPED ] || state=stopped
        ;;
    esac
    [ $state = ok ] || cat "$answers/$ct.err" >"$answers/$ct.out"
    printf '%s %s ' "$ct" $state >"$answers/$ct"
    encode <"$answers/$ct.out" >>"$answers/$ct"
}

for one; do
    ask "$one" &
done
wait
# one after the other: long lines of two guests would mix
for one; do
    cat "$answers/${one%:probe}"
    echo
done
