# leave.sh NUMBER - tries to leave the profile in each known way, from the container and from a
# default Docker container in it; what tried sleeps on, NUMBER1, NUMBER2 ... seconds, to be looked
# at from the node
way() {
    setsid sh -c "$2 exec sleep $n$1" >/dev/null 2>&1 </dev/null &
}
n=$1
way 1 "echo 'changeprofile unconfined' >/proc/self/attr/current;"
way 2 "echo 'changeprofile unconfined' >/proc/self/attr/apparmor/current;"
way 3 "echo 'exec unconfined' >/proc/self/attr/exec;"
way 4 "aa-exec -p unconfined -- sleep ${n}4 ||"
way 7 "echo 'changeprofile :root:unconfined' >/proc/self/attr/current;"
if command -v docker >/dev/null; then
    docker run -d --rm --pull never hello:lab \
        sh -c "echo 'changeprofile unconfined' >/proc/self/attr/current; exec sleep ${n}5"
    docker run -d --rm --pull never hello:lab \
        sh -c "echo 'exec unconfined' >/proc/self/attr/exec; exec sleep ${n}6"
fi
sleep 2
