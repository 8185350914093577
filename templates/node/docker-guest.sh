#!/bin/sh
# docker-guest SECONDS [:probe] - what Docker in this guest is and has, one record a line; runs in
# the guest, sent there by docker.sh. busybox is enough. SECONDS: how long dockerd may take to
# answer. Reads only; with `:probe` it also mounts an overlay below Docker's data, for a moment.
# Exit: 44 no Docker here
#
#   guest 1                     the answer begins
#   os ID VERSION               as in os-release
#   manager apt|apk|dnf         what installs packages
#   info TEXT                   docker info as JSON, or lines of why there is none
#   version TEXT                dockerd's, where it does not answer
#   flag TEXT                   one argument of the running dockerd
#   runc VERSION
#   store NAME COUNT            layers or snapshots that a storage driver keeps
#   count volumes|containers N  under Docker's data
#   package STATE NAME VERSION  STATE as dpkg's, or "ii" from apk and rpm
#   hold PACKAGE                held back by apt
#   fuse yes|no                 /dev/fuse
#   binary fuse-overlayfs       it is there, whoever put it there
#   overlay yes|no              the probe's mount
#   daemon-file UID GID MODE    then all the rest is daemon.json, byte for byte
command -v docker >/dev/null || command -v dockerd >/dev/null || exit 44
export LC_ALL=C
seconds=$1
names='docker.io docker-ce docker docker-cli docker-ce-cli moby-engine containerd containerd.io
    runc fuse-overlayfs fuse3'

has() { command -v "$1" >/dev/null; }
entries() { ls -A "$1" 2>/dev/null; }
store() { # NAME FOLDER [WITHOUT]
    count=$(entries "$2" | grep -cvx "${3:-}")
    [ -d "$2" ] && echo "store $1 $count"
}
os_field() { sed -n "s/^$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" /etc/os-release 2>/dev/null; }

echo 'guest 1'
echo "os $(os_field ID) $(os_field VERSION_ID)"
for manager in apt-get apk dnf; do
    ! has $manager || { echo "manager ${manager%-get}" && break; }
done

if has timeout; then limit="timeout $seconds"; else limit=; fi
# shellcheck disable=SC2086 # two words or none
info=$($limit docker info --format '{{json .}}' 2>&1) || info="$info
gave no answer (exit $?)"
printf '%s\n' "$info" | sed 's/^/info /'
case $info in
*'"ServerVersion":"'?*) ;;
*) has dockerd && echo "version $(dockerd --version 2>/dev/null)" ;;
esac
has runc && echo "runc $(runc --version 2>/dev/null | sed -n 's/^runc version //p')"
pid=$(cat /run/docker.pid 2>/dev/null || cat /var/run/docker.pid 2>/dev/null)
[ -z "$pid" ] || tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | sed '1d; s/^/flag /'

data=$(printf '%s' "$info" | sed -n 's/.*"DockerRootDir":"\([^"]*\)".*/\1/p')
[ -n "$data" ] || data=$(sed -n 's/.*"data-root"[^"]*"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null)
data=${data:-/var/lib/docker}
echo "root $data"
# "l" holds the short names of the layers
store overlay2 "$data/overlay2" l
store fuse-overlayfs "$data/fuse-overlayfs" l
store vfs "$data/vfs/dir"
store btrfs "$data/btrfs/subvolumes"
store zfs "$data/zfs/graph"
for folder in /var/lib/containerd/io.containerd.snapshotter.v1.* \
    "$data"/containerd/daemon/io.containerd.snapshotter.v1.*; do
    [ ! -d "$folder/snapshots" ] || store "${folder##*/}" "$folder/snapshots"
done
echo "count volumes $(find "$data/volumes" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l)"
echo "count containers $(entries "$data/containers" | wc -l)"

if has dpkg-query; then
    # shellcheck disable=SC2016,SC2086
    dpkg-query -W -f '${db:Status-Abbrev}|${Package} ${Version}\n' $names 2>/dev/null |
        sed 's/^\(..\)[^|]*|/package \1 /'
    dpkg --get-selections 2>/dev/null | sed -n 's/[[:space:]]*hold$//p' | sed 's/^/hold /'
elif has apk; then
    # shellcheck disable=SC2086
    for name in $names; do
        apk info -e "$name" >/dev/null 2>&1 &&
            echo "package ii $name $(apk info -v "$name" 2>/dev/null | sed -n "s/^$name-\([0-9][^ ]*\).*/\1/p" | head -n 1)"
    done
elif has rpm; then
    # shellcheck disable=SC2086
    rpm -q --qf 'package ii %{NAME} %{VERSION}\n' $names 2>/dev/null | grep '^package'
fi
if [ -c /dev/fuse ]; then echo 'fuse yes'; else echo 'fuse no'; fi
has fuse-overlayfs && echo 'binary fuse-overlayfs'

probe() ( # where Docker itself would mount: elsewhere a profile may deny what it allows there
    made=
    [ -d "$data/overlay2" ] || made=$data/overlay2
    mkdir -p "$data/overlay2" && dir=$(mktemp -d "$data/overlay2/phoenix-probe.XXXXXX") || exit 1
    mkdir "$dir/lower" "$dir/upper" "$dir/work" "$dir/merged" &&
        mount -t overlay overlay -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" \
            "$dir/merged" 2>/dev/null && : >"$dir/merged/file" && [ -f "$dir/upper/file" ]
    works=$?
    umount "$dir/merged" 2>/dev/null
    # by name and never across a mount
    rm -f "$dir/upper/file"
    rmdir "$dir/work/work" "$dir/work" "$dir/lower" "$dir/upper" "$dir/merged" "$dir" 2>/dev/null
    [ -z "$made" ] || rmdir "$made" 2>/dev/null
    exit $works
)
if [ "${2:-}" = :probe ]; then
    case $info in
    # it has one mounted: nothing to try
    *'"Driver":"overlay2"'* | *'"Driver":"overlayfs"'*) echo 'overlay yes' ;;
    *) if probe; then echo 'overlay yes'; else echo 'overlay no'; fi ;;
    esac
fi

file=/etc/docker/daemon.json
[ -f "$file" ] || exit 0
echo "daemon-file $(stat -L -c '%u %g %a' "$file")"
cat "$file"
