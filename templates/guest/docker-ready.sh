#!/bin/sh
# Waits until dockerd is ready, then says in a line its storage driver, a blank and its security
# options; gives up once its service has failed. Who called us ends us in time.
#
# Clients before 23 fail where dockerd does not answer, later ones say nothing in place of a driver.
until said=$(docker info --format '{{.Driver}} {{.SecurityOptions}}' 2>/dev/null | head -c 4096) &&
    [ "${said%% *}" ]; do
    systemctl is-failed -q docker.service 2>/dev/null && exit 1
    sleep 1
done
printf '%s\n' "$said"
