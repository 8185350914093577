# workloads.sh [NAME...] - what people run in Docker beside its core: BuildKit, compose, volumes of all
# kinds, the binds of monitoring, networks of all drivers; all or those named; a line for each: PASS or
# FAIL NAME
only=" $* "
check() {
    name=$1
    shift
    [ "$only" = "  " ] || [ "$only" != "${only/ $name / }" ] || return 0
    # a function of ours, too
    if said=$(timeout 600 bash -c '"$@"' check "$@" 2>&1); then
        echo "PASS $name"
    else
        echo "FAIL $name: $(echo "$said" | tail -n 3 | tr '\n' ' ')"
    fi
}
run() { docker run --rm --pull never "$@"; }
export -f run
rm -rf /root/work
mkdir -p /root/work/bk /root/work/cp /mnt/data /srv/data
cd /root/work || exit 1
echo hi >bk/f
echo data >/mnt/data/d
docker image inspect hello:lab >/dev/null 2>&1 ||
    docker import -c 'CMD ["/bin/sh"]' /usr/share/lab/hello.tar hello:lab >/dev/null || exit 1

printf 'FROM hello:lab\nCOPY f /f\nRUN echo built >/g && cat /f /g\nCMD ["cat", "/g"]\n' >bk/Dockerfile
if docker buildx version >/dev/null 2>&1; then
    check buildkit-build env DOCKER_BUILDKIT=1 docker build --no-cache -q -t bk:lab bk
    check buildkit-run run bk:lab
    printf 'FROM hello:lab\nRUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=bind,target=/ctx --mount=type=secret,id=s cat /run/secrets/s /ctx/f && echo c >/c/c && echo t >/t/t\n' >bk/Mounts
    check buildkit-mounts env DOCKER_BUILDKIT=1 docker build --no-cache -q --secret id=s,src=bk/f -f bk/Mounts bk
fi

if docker compose version >/dev/null 2>&1; then
    cat >cp/compose.yaml <<'YAML'
services:
  db:
    image: "hello:lab"
    command: sh -c 'echo up >/state/up; exec sleep 1000'
    init: true
    volumes: ["state:/state"]
    healthcheck: {test: ["CMD", "cat", "/state/up"], interval: 2s, timeout: 60s, retries: 30}
  app:
    image: "hello:lab"
    command: sleep 1000
    init: true
    depends_on: {db: {condition: service_healthy}}
    tmpfs: [/cache]
    configs: [{source: c, target: /etc/c}]
  media:
    image: "hello:lab"
    command: sh -c 'cat /d/d && exec sleep 1000'
    init: true
    volumes: ["media:/d"]
configs: {c: {file: ./compose.yaml}}
volumes:
  state: {}
  media: {driver: local, driver_opts: {type: none, o: bind, device: /mnt/data}}
YAML
    check compose-up docker compose --project-directory cp up -d --pull never --wait
    check compose-down docker compose --project-directory cp down -v -t 1
fi

volume() { # OPTION…: a volume of the local driver, written to and read
    docker volume rm -f vol >/dev/null
    docker volume create -d local "$@" vol >/dev/null && run -v vol:/d hello:lab sh -c 'echo x >/d/x && cat /d/x'
}
export -f volume
check volume-bind volume -o type=none -o o=bind -o device=/mnt/data
check volume-rbind volume -o type=none -o o=rbind -o device=/srv/data
check volume-tmpfs volume -o type=tmpfs -o device=tmpfs -o o=size=4m
check volume-subpath sh -c 'docker volume rm -f vol >/dev/null; docker volume create vol >/dev/null &&
    docker run --rm --pull never -v vol:/d hello:lab mkdir /d/sub &&
    docker run --rm --pull never --mount type=volume,src=vol,dst=/d,volume-subpath=sub hello:lab ls /d'

check bind-root run -v /:/host:ro,rslave hello:lab cat /host/etc/hostname
check bind-root-pid-host run --pid host -v /:/host:ro,rslave hello:lab cat /host/proc/1/comm
check bind-proc run -v /proc:/host/proc:ro hello:lab cat /host/proc/stat
check bind-sys run -v /sys:/host/sys:ro hello:lab ls /host/sys/class/net
check bind-proc-and-sys run -v /proc:/host/proc:ro -v /sys:/host/sys:ro hello:lab ls /host/sys/class /host/proc/1
check bind-sys-over-sys run -v /:/rootfs:ro -v /var/run:/var/run -v /sys:/sys:ro -v /var/lib/docker/:/var/lib/docker:ro hello:lab ls /sys/class /rootfs /var/run
check bind-cgroup run -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro hello:lab cat /host/sys/fs/cgroup/cgroup.controllers
check bind-cgroup-rw run --cgroupns host -v /sys/fs/cgroup:/sys/fs/cgroup:rw hello:lab cat /sys/fs/cgroup/cgroup.controllers
check bind-dev run -v /dev:/dev hello:lab ls /dev/null
check bind-dev-host run -v /dev:/host/dev:ro hello:lab ls /host/dev/null
check bind-dev-shm run -v /dev/shm:/dev/shm hello:lab ls /dev/shm
check bind-docker-socket run -v /var/run/docker.sock:/var/run/docker.sock hello:lab ls -l /var/run/docker.sock
check bind-portainer-agent run -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/docker/volumes:/var/lib/docker/volumes -v /:/host hello:lab ls /host/etc /var/lib/docker/volumes
check bind-localtime run -v /etc/localtime:/etc/localtime:ro -v /etc/machine-id:/etc/machine-id:ro hello:lab ls /etc
check bind-shared sh -c 'mkdir -p /mnt/shared && docker run --rm --pull never -v /mnt/shared:/s:rshared hello:lab ls /s'
check privileged run --privileged hello:lab ls /dev
check net-admin run --cap-add NET_ADMIN hello:lab ip link add d0 type dummy
check sys-admin run --cap-add SYS_ADMIN --security-opt apparmor=unconfined hello:lab mount -t tmpfs none /tmp

network() { # DRIVER OPTION…
    docker network rm net >/dev/null 2>&1
    docker network create -d "$@" net >/dev/null && run --network net hello:lab ip addr
}
export -f network
check net-bridge network bridge
check net-bridge-ipv6 network bridge --ipv6 --subnet fd00:1:2::/64
check net-internal network bridge --internal
check net-macvlan network macvlan -o parent=eth0 --subnet 10.77.0.0/24
check net-ipvlan network ipvlan -o parent=eth0 --subnet 10.78.0.0/24
docker network rm net >/dev/null 2>&1
check net-host run --network host hello:lab ip addr
check net-none run --network none hello:lab ip addr
check net-container sh -c 'docker run -d --pull never --name peer --init hello:lab sleep 1000 >/dev/null &&
    docker run --rm --pull never --network container:peer hello:lab ip addr; r=$?; docker rm -f peer >/dev/null; exit $r'
check swarm sh -c 'docker swarm init --advertise-addr 127.0.0.1 >/dev/null && docker network create -d overlay --attachable o >/dev/null &&
    docker run --rm --pull never --network o hello:lab ip addr; r=$?; docker network rm o; docker swarm leave --force; exit $r'
check read-only run --read-only --tmpfs /run hello:lab sh -c '! touch /x && touch /run/x'
check cp sh -c 'docker create --name cc hello:lab >/dev/null && docker cp /etc/hostname cc:/hn && docker cp cc:/hn /root/work/hn; r=$?; docker rm -f cc >/dev/null; exit $r'
check commit sh -c 'docker create --name cc hello:lab touch /z >/dev/null && docker start -a cc && docker commit cc cm:lab; r=$?; docker rm -f cc >/dev/null; exit $r'
check save-load sh -c 'docker save hello:lab | docker load'
check export-import sh -c 'docker create --name cc hello:lab >/dev/null && docker export cc | docker import - ex:lab; r=$?; docker rm -f cc >/dev/null; exit $r'
check diff sh -c 'docker run --name cc --pull never hello:lab touch /z && docker diff cc | grep /z; r=$?; docker rm -f cc >/dev/null; exit $r'
check health sh -c 'docker run -d --name cc --pull never --init --health-cmd true --health-interval 1s hello:lab sleep 1000 >/dev/null || exit 1
    until [ "$(docker inspect -f "{{.State.Health.Status}}" cc)" = healthy ]; do sleep 0.5; done; docker rm -f cc'
check update-pause sh -c 'docker run -d --name cc --pull never --init hello:lab sleep 1000 >/dev/null && docker update --memory 64m --memory-swap 64m cc &&
    docker pause cc && docker unpause cc && docker restart -t 1 cc; r=$?; docker rm -f cc >/dev/null; exit $r'
check dind-mounts run --privileged -v /var/lib/inner:/var/lib/docker hello:lab mount -t tmpfs none /tmp
# docker:dind: a dockerd of its own in a container, here with this guest's programs
check dind sh -c 'docker run -d --name dind --privileged --pull never --network none --tmpfs /run -v dind:/var/lib/docker -v /etc:/etc \
    -v /usr:/usr:ro -v /bin:/bin:ro -v /sbin:/sbin:ro -v /lib:/lib:ro -v /lib64:/lib64:ro hello:lab \
    sh -c "ln -s /run /var/run; exec dockerd --config-file /dev/null --bridge none --iptables=false --ip6tables=false" >/dev/null || exit 1
    until docker exec dind docker info >/dev/null 2>&1; do [ "$(docker inspect -f "{{.State.Running}}" dind)" = true ] || break; sleep 1; done
    docker exec dind sh -c "docker import /usr/share/lab/hello.tar inner:lab && docker run --rm --network none inner:lab echo inner"; r=$?
    [ $r = 0 ] || docker logs --tail 3 dind; docker rm -f -v dind >/dev/null; docker volume rm -f dind >/dev/null; exit $r'
