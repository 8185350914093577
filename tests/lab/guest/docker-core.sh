# docker-core.sh [DRIVER] - the core of what Docker does, in the container, on another storage driver
# if one is named; a line for each: PASS or FAIL NAME
export DOCKER_BUILDKIT=0
check() {
    name=$1
    shift
    if said=$(timeout 600 "$@" 2>&1); then
        echo "PASS $name"
    else
        echo "FAIL $name: $(echo "$said" | tail -n 3 | tr '\n' ' ')"
    fi
}
answers() {
    exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /it HTTP/1.0\r\n\r\n' >&3 && grep -q works <&3
}
export -f answers
mkdir -p /root/core/www
echo works >/root/core/www/it
printf 'FROM hello:lab\nCOPY www /www\nRUN echo built >/g && cat /g\n' >/root/core/Dockerfile
docker rm -f core >/dev/null 2>&1

if [ -n "${1-}" ]; then
    [ -e /root/hello.image ] || docker save -o /root/hello.image hello:lab
    systemctl stop docker.socket docker
    mkdir -p /etc/docker
    echo "{\"storage-driver\": \"$1\"}" >/etc/docker/daemon.json
    # systemd refuses a fourth start within a minute
    systemctl reset-failed docker.socket docker
fi
check dockerd-start sh -c 'systemctl start docker || { journalctl -u docker -n 3 -o cat; exit 1; }'
if [ -n "${1-}" ]; then
    check driver sh -c "docker info -f '{{.Driver}}' | grep -x $1"
    check load docker load -q -i /root/hello.image
fi
check run docker run --rm --pull never hello:lab echo it works
check build docker build -q -t core:lab /root/core
# a shell's applet as PID 1 hears no SIGTERM; dockerd gives up its containers after a while, and a
# loaded one then finds "task already exists" when it starts them again
check publish docker run -d --stop-signal KILL --name core --restart always -p 8081:80 core:lab httpd -f -p 80 -h /www
check publish-get bash -c 'until answers; do sleep 0.2; done'
check exec docker exec core cat /g
check restart-dockerd systemctl restart docker
check ra-after-restart sh -c 'until docker exec core cat /g; do sleep 0.2; done'
check named-vol docker run --rm --pull never -v data:/data hello:lab sh -c 'echo x >/data/x && cat /data/x'
check rm docker rm -f core
