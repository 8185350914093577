#!/bin/sh
# docker CTID... - what Docker says of itself in these running containers, one line each, all of
# them asked at once; asked for by facts/docker.py. A hung guest costs its time-out, nothing else.
#
#   910 ok 26.1.5%2Bdfsg1|fuse-overlayfs
encode() { perl -0777 -pe 's/([^!-\$&-~])/sprintf "%%%02X", ord $1/ge'; }

ask() {
    answer=$(timeout -k 2 "${PHOENIX_GUEST_TIMEOUT:-30}" lxc-attach -n "$1" --clear-env \
        --set-var PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin -- \
        sh -c 'command -v docker >/dev/null || exit 44
            docker info --format "{{.ServerVersion}}|{{.Driver}}" 2>&1' 2>&1 </dev/null)
    case $? in
    0) state=ok ;;
    44) state=none ;;
    124 | 137) state=hung ;;
    *) state=dead ;;
    esac
    echo "$1 $state $(printf %s "$answer" | encode)"
}

for ct; do
    ask "$ct" &
done
wait
