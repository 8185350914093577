#!/bin/bash
# What Docker itself does, check by check, in the container. $DAEMON: its daemon.json; $1: what the
# lines call the store, $2: full for all checks. A line each: PASS NAME or FAIL(CODE) NAME.
D=$1; export DOCKER_BUILDKIT=0
T() { local n="$1"; shift; local t0=$(date +%s%N) o rc; o=$(timeout 600 "$@" 2>&1); rc=$?; local ms=$(( ($(date +%s%N)-t0)/1000000 )); if [ $rc = 0 ]; then echo "PASS $n ${ms}ms :: $(echo "$o" | tail -1 | cut -c1-100)"; else echo "FAIL($rc) $n ${ms}ms :: $(echo "$o" | tail -3 | tr '\n' ' ' | cut -c1-420)"; fi; return $rc; }
mkdir -p /etc/docker; printf '%s\n' "$DAEMON" >/etc/docker/daemon.json
systemctl stop docker.socket docker.service 2>/dev/null; systemctl reset-failed docker.service docker.socket 2>/dev/null
T "dockerd-start[$D]" systemctl start docker.service || { journalctl -u docker.service -n 25 --no-pager -o cat | grep -E "level=(error|fatal|warn)|failed" | tail -6; exit 1; }
T "driver" sh -c 'docker info 2>/dev/null | grep -E "Storage Driver|Cgroup Driver|Security Options" -A3 | tr "\n" " "; docker info -f "{{.Driver}} {{.SecurityOptions}}"'
[ -f /root/hello.tar ] || { mkdir -p /root/h/bin; cp /bin/busybox /root/h/bin/; for a in sh echo sleep ls cat id mount ping wget httpd touch mkdir grep dd mknod unshare; do ln -sf busybox /root/h/bin/$a; done; mkdir -p /root/h/tmp /root/h/proc /root/h/sys /root/h/dev /root/h/etc /root/h/root; tar -C /root/h -cf /root/hello.tar .; }
docker image inspect hello:lab >/dev/null 2>&1 || T import docker import -c 'CMD ["/bin/sh"]' /root/hello.tar hello:lab
T run docker run --rm hello:lab echo ok || true
docker rm -f c1 >/dev/null 2>&1
T run-d docker run -d --name c1 hello:lab sleep 1000
T exec docker exec c1 echo ok
T stop docker stop -t 1 c1
T rm docker rm c1
mkdir -p /root/b; echo hi > /root/b/f; printf 'FROM hello:lab\nCOPY f /f\nRUN echo built > /g && cat /f /g\nCMD ["cat","/g"]\n' > /root/b/Dockerfile
T build docker build --no-cache -q -t built:lab /root/b
T run-built docker run --rm built:lab
[ "$2" = full ] || exit 0
T read-only docker run --rm --read-only hello:lab sh -c 'touch /x 2>/dev/null && exit 1; echo ro-ok'
mkdir -p /root/vol; T bind-v docker run --rm -v /root/vol:/v hello:lab sh -c 'echo x > /v/x && cat /v/x'
T bind-ro docker run --rm -v /root/vol:/v:ro hello:lab sh -c 'cat /v/x && ! touch /v/y'
T named-vol docker run --rm -v vol1:/v hello:lab sh -c 'echo x > /v/x && cat /v/x'
T tmpfs docker run --rm --tmpfs /t hello:lab sh -c 'echo x > /t/x && cat /t/x'
T net-none docker run --rm --network none hello:lab echo ok
T net-host docker run --rm --network host hello:lab echo ok
T bridge-ping docker run --rm hello:lab ping -c1 -W5 172.17.0.1
docker rm -f web >/dev/null 2>&1
T publish docker run -d --name web -p 8080:80 hello:lab httpd -f -p 80 -h /etc
sleep 1; T publish-get bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080 && printf "GET /hostname HTTP/1.0\r\n\r\n" >&3 && head -1 <&3'
docker rm -f web >/dev/null 2>&1
T user docker run --rm -u 1000:1000 hello:lab id
T memlimit docker run --rm -m 64m --cpus 0.5 --pids-limit 50 hello:lab echo ok
T shm docker run --rm --shm-size 16m --ipc private hello:lab echo ok
T capdrop docker run --rm --cap-drop ALL --security-opt no-new-privileges hello:lab echo ok
T sysctl docker run --rm --sysctl net.ipv4.ip_unprivileged_port_start=0 hello:lab cat /proc/sys/net/ipv4/ip_unprivileged_port_start
T commit sh -c 'docker create --name cc hello:lab touch /z >/dev/null && docker start -a cc && docker commit cc cm:lab && docker rm cc'
T cp sh -c 'docker run -d --name cp1 hello:lab sleep 100 >/dev/null; docker cp /etc/hostname cp1:/hn && docker exec cp1 cat /hn; r=$?; docker rm -f cp1 >/dev/null; exit $r'
T save-load sh -c 'docker save hello:lab | docker load'
T net-create sh -c 'docker network create n1 >/dev/null && docker run --rm --network n1 hello:lab echo ok; r=$?; docker network rm n1 >/dev/null; exit $r'
T init docker run --rm --init hello:lab echo ok
T logs-restartpolicy sh -c 'docker run -d --restart always --name ra hello:lab sleep 500'
T restart-dockerd systemctl restart docker.service
timeout 600 sh -c 'until docker exec ra echo; do sleep 0.2; done' >/dev/null 2>&1; T ra-after-restart sh -c 'docker exec ra echo alive; r=$?; docker rm -f ra >/dev/null; exit $r'
T seccomp-unconf docker run --rm --security-opt seccomp=unconfined hello:lab echo ok
T aa-unconf-opt docker run --rm --security-opt apparmor=unconfined hello:lab cat /proc/self/attr/current
T aa-label docker run --rm hello:lab cat /proc/self/attr/current
T privileged docker run --rm --privileged hello:lab echo ok
T prune docker system prune -f
