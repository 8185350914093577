#!/bin/sh
# namespace - hook of LXC: gives a container an AppArmor policy namespace of its own, without which
# a stacked profile cannot be entered (LXC makes one for its generated profile only). Installed by
# phoenix-harden, which overwrites it; named in a conf as lxc.hook.pre-start (makes the namespace)
# and as lxc.hook.post-stop (removes it).
#
# LXC says what it is at in LXC_HOOK_TYPE, or, with lxc.hook.version 0, in the third argument.
set -u
# PHOENIX_ROOT: a fake root, for the tests
all=${PHOENIX_ROOT:-}/sys/kernel/security/apparmor/policy/namespaces
# the name that LXC gives its own (src/lxc/lsm/apparmor.c)
namespace="$all/lxc-${LXC_NAME}_<-var-lib-lxc>"

# what was loaded into it goes with it; an earlier life of the container may have left one behind
[ ! -d "$namespace" ] || rmdir "$namespace"
gone=$?

case ${LXC_HOOK_TYPE:-${3:-}} in
pre-start)
    [ -d "$all" ] || {
        echo "phoenix-harden: $all is not there: is securityfs mounted?" >&2
        exit 1
    }
    mkdir -p "$namespace"
    ;;
# never fails: LXC would leave out what else is to be done
post-stop)
    [ "$gone" = 0 ] || echo "phoenix-harden: cannot remove $namespace" >&2
    exit 0
    ;;
esac
