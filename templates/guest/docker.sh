#!/bin/sh
# docker SECONDS [:probe] - what Docker in this guest is and has, one record a line; runs in the
# guest. busybox is enough. SECONDS: how long dockerd may take to answer. Reads only, and only
# regular files; with `:probe` it also mounts an overlay below Docker's data, for a moment.
# Exit: 44 no Docker here, and nothing else that runs containers: what it says then is what it takes
#       to install one: os, manager, package, fuse, overlay with `:probe`, daemon-file
#
#   guest 1                     the answer begins
#   os ID VERSION               as in os-release
#   manager apt|apk|dnf         what installs packages
#   absent                      there is no docker to ask: all that follows are engines
#   engine NAME UID PROGRAM     a process that runs containers, where Docker does not answer
#   info TEXT                   docker info as JSON, or lines of why there is none
#   version TEXT                dockerd's, where it does not answer
#   flag TEXT                   one argument of the running dockerd
#   runc VERSION
#   wrapper KIND PATH           in runc's place is no program but a `script`, one that is not what its
#                               package brought (`changed`), or one by another name (`link`)
#   root PATH                   where Docker keeps its data
#   store NAME COUNT            layers or snapshots that a storage driver keeps
#   count volumes|containers N  under Docker's data
#   package STATE NAME VERSION  STATE as dpkg's, or "ii" from apk and rpm
#   hold PACKAGE                held back by apt
#   pin PACKAGE                 kept at a version by apt's preferences
#   fuse yes|no                 /dev/fuse
#   binary fuse-overlayfs       it is there, whoever put it there
#   overlay yes|no              the probe's mount
#   bind NAME SOURCE TARGET     a Docker container that runs and restarts by itself has this path of
#                               the guest, symbolic links resolved; none with blanks
#   workload NAME STATE IMAGE   a Docker container; STATE as Docker calls it
#   secopt NAME OPTION          a Docker container, running or not, has this unconfined
#   fstab TYPE TARGET           what /etc/fstab mounts, and is mounted; not what systemd leaves to
#                               itself or to the node
#   mount VERSION               of util-linux' mount(8)
#   compose LINE OPTION PATH    this line of a file of compose says so: apparmor, seccomp or systempaths
#                               unconfined, or `privileged`
#   cut compose                 not all files of compose were looked at
#   silent NAME SOURCE          a Docker container has this path of the guest, which does not answer
#   daemon-file-odd REASON      there is a daemon.json that nobody should read: `no-regular-file`
#                               or `too-large` (more than 1 MiB)
#   daemon-file UID GID MODE    then all the rest is daemon.json, byte for byte
export LC_ALL=C
has() { command -v "$1" >/dev/null; }
engines() { # whose they are: ls knows it everywhere
    for process in "${PHOENIX_ROOT:-}"/proc/[0-9]*; do
        read -r name <"$process/comm" || continue
        case $name in dockerd | containerd | conmon | crio | k3s-server) ;; *) continue ;; esac
        # shellcheck disable=SC2012 # a number
        uid=$(ls -ldn "$process" | sed 's/^[^ ]* *[0-9]* *\([0-9]*\) .*/\1/')
        echo "engine $name $uid $(readlink "$process/exe")"
    done 2>/dev/null | sort -u | head -n 50
}
seconds=$1
mib=1048576
# PHOENIX_ROOT: a fake root, for the tests
file=${PHOENIX_ROOT:-}/etc/docker/daemon.json
names='docker.io docker-ce docker docker-cli docker-ce-cli moby-engine containerd containerd.io
    runc fuse-overlayfs fuse3'

start() { # BYTES FILE: how a regular file begins
    [ -f "$2" ] && head -c "$1" "$2" 2>/dev/null
}
entries() { # FOLDER [WITHOUT]: how many it has
    # shellcheck disable=SC2012 # a name with a newline counts twice
    ls -A "$1" 2>/dev/null | head -n 1000000 | grep -cvx "${2:-}"
}
store() { # NAME FOLDER [WITHOUT]
    [ -d "$2" ] && echo "store $1 $(entries "$2" "${3:-}")"
}
os_field() {
    start 65536 /etc/os-release | sed -n "s/^$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" | head -n 1
}

system() {
    echo "os $(os_field ID) $(os_field VERSION_ID)"
    for manager in apt-get apk dnf; do
        ! has $manager || { echo "manager ${manager%-get}" && break; }
    done
}
fuse() { if [ -c /dev/fuse ]; then echo 'fuse yes'; else echo 'fuse no'; fi; }
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
overlay() { if probe; then echo 'overlay yes'; else echo 'overlay no'; fi; }

packages() {
    if has dpkg-query; then
        # shellcheck disable=SC2016,SC2086
        dpkg-query -W -f '${db:Status-Abbrev}|${Package} ${Version}\n' $names 2>/dev/null |
            head -n 50 | sed 's/^\(..\)[^|]*|/package \1 /'
    elif has apk; then
        # shellcheck disable=SC2086
        for name in $names; do
            apk info -e "$name" >/dev/null 2>&1 &&
                echo "package ii $name $(apk info -v "$name" 2>/dev/null | sed -n "s/^$name-\([0-9][^ ]*\).*/\1/p" | head -n 1)"
        done
    elif has rpm; then
        # shellcheck disable=SC2086
        rpm -q --qf 'package ii %{NAME} %{VERSION}\n' $names 2>/dev/null | grep '^package' | head -n 50
    fi
}
daemon_file() {
    [ -e "$file" ] || return
    if [ ! -f "$file" ]; then
        echo 'daemon-file-odd no-regular-file'
    elif [ "$(stat -L -c %s "$file")" -gt $mib ]; then
        echo 'daemon-file-odd too-large'
    else
        echo "daemon-file $(stat -L -c '%u %g %a' "$file")"
        head -c $mib "$file"
    fi
}

if ! has docker && ! has dockerd; then
    engines=$(engines)
    printf 'guest 1\nabsent\n'
    if [ -n "$engines" ]; then
        printf '%s\n' "$engines"
        exit 0
    fi
    system
    packages
    fuse
    data=/var/lib/docker
    if [ "${2:-}" = :probe ]; then
        overlay
        rmdir "$data" 2>/dev/null
    fi
    daemon_file
    exit 44
fi

echo 'guest 1'
system

if has timeout; then limit="timeout $seconds"; else limit=; fi
# shellcheck disable=SC2086 # two words or none
info=$({ $limit docker info --format '{{json .}}' 2>&1 || printf '\ngave no answer (exit %s)\n' $?; } |
    head -c 262144 | sed '/^$/d')
printf '%s\n' "$info" | sed 's/^/info /'
case $info in
*'"ServerVersion":"'?*) ;;
*)
    has dockerd && echo "version $(dockerd --version 2>/dev/null | head -n 1 | head -c 200)"
    engines
    # podman has a script by the name of docker, and no daemon that could be seen
    has podman && start 4096 "$(command -v docker)" | grep -q '^ *exec.*podman' &&
        echo "engine podman 0 $(command -v podman)"
    ;;
esac
has runc && echo "runc $(runc --version 2>/dev/null | sed -n 's/^runc version //p' | head -n 1 | head -c 200)"
runc=$(command -v runc)
if [ -n "$runc" ]; then
    real=$(readlink -f -- "$runc" 2>/dev/null)
    packaged=$(cat "${PHOENIX_ROOT:-}"/var/lib/dpkg/info/runc*.md5sums \
        "${PHOENIX_ROOT:-}"/var/lib/dpkg/info/containerd*.md5sums 2>/dev/null | head -c $mib |
        sed -n "s|^\([0-9a-f]*\)  *usr/s\{0,1\}bin/runc\$|\1|p" | head -n 1)
    if ! start 4 "$real" | tr '\177' x | grep -q '^xELF'; then
        echo "wrapper script $runc"
    elif [ "${real##*/}" != runc ]; then
        echo "wrapper link $runc"
    elif [ -n "$packaged" ]; then
        case ${real#"${PHOENIX_ROOT:-}"} in # another one may be newer
        /usr/bin/runc | /usr/sbin/runc)
            [ "$(start 134217728 "$real" | md5sum | head -c 32)" = "$packaged" ] ||
                echo "wrapper changed $runc"
            ;;
        esac
    fi
fi
pid=$(start 16 /run/docker.pid || start 16 /var/run/docker.pid)
[ -z "$pid" ] || start 65536 "/proc/$pid/cmdline" | tr '\0' '\n' | sed '1d; s/^/flag /'

data=$(printf '%s' "$info" | sed -n 's/.*"DockerRootDir":"\([^"]*\)".*/\1/p' | head -n 1)
[ -n "$data" ] ||
    data=$(start $mib "$file" | sed -n 's/.*"data-root"[^"]*"\([^"]*\)".*/\1/p' | head -n 1)
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
done | head -n 50
echo "count volumes $(find "$data/volumes" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1000000 | wc -l)"
echo "count containers $(entries "$data/containers")"

packages
if has dpkg-query; then
    dpkg --get-selections 2>/dev/null | sed -n 's/[[:space:]]*hold$//p' | head -n 5000 | sed 's/^/hold /'
    # apt_preferences(5): by origin or release alone nothing is kept back
    for list in "${PHOENIX_ROOT:-}"/etc/apt/preferences "${PHOENIX_ROOT:-}"/etc/apt/preferences.d/*; do
        start 65536 "$list" && echo
    done | awk -v RS= '/(^|\n)Pin: *version / { sub(/^(.*\n)?Package: */, ""); sub(/\n.*/, ""); print }' |
        tr -s ' ' '\n' | head -n 100 | sed 's/^/pin /'
fi
fuse
has fuse-overlayfs && echo 'binary fuse-overlayfs'

# shellcheck disable=SC2016 # a variable of Docker's
format='{{$name := .Name}}{{$policy := .HostConfig.RestartPolicy.Name}}
{{- if and .State.Running (or (eq $policy "always") (eq $policy "unless-stopped"))}}
{{- range .Mounts}}{{if eq .Type "bind"}}bind {{$name}} {{.Source}} {{.Destination}}
{{end}}{{end}}{{end}}workload {{$name}} {{.State.Status}} {{.Config.Image}}
{{range .HostConfig.SecurityOpt}}secopt {{$name}} {{.}}
{{end}}{{with index .Config.Labels "com.docker.compose.project.config_files"}}compose {{.}}
{{end}}'
said=
silent= # an x each
# what may be on a share that does not answer is asked by what can be left behind
if has timeout; then brief='timeout -s KILL 1'; else brief=; fi
case $info in
# each further command of Docker takes a small machine seconds
*'"Containers":0,'*) ;;
*'"ServerVersion":"'?*)
    ids=$($limit docker ps -aq --no-trunc 2>/dev/null | head -n 1000)
    # shellcheck disable=SC2086 # words or none
    said=$([ -z "$ids" ] || $limit docker inspect --type container -f "$format" $ids 2>/dev/null |
        sed -n -e '/^workload /p' -e '/^bind /p' -e '/^secopt /p' -e '/^compose /p' |
        head -n 6000 | head -c $mib)
    printf '%s\n' "$said" | sed -n '/^workload /p' | head -n 1000
    printf '%s\n' "$said" | sed -n '/^bind /p' | head -n 1000 | while read -r _ name source target rest; do
        [ -z "$rest" ] || continue
        if [ ${#silent} -lt 5 ]; then
            real=$($brief readlink -f -- "$source" 2>/dev/null)
            case $? in
            0) ;;
            124 | 137 | 143)
                silent=x$silent
                echo "silent $name $source"
                ;;
            *) continue ;;
            esac
        else real=; fi
        echo "bind $name ${real:-$source} $target"
    done 2>/dev/null
    printf '%s\n' "$said" | sed -n '/^secopt .*[=:]unconfined$/p' | sort -u | head -n 200
    ;;
esac
start 65536 "${PHOENIX_ROOT:-}/etc/fstab" | head -n 500 | while read -r source target type _; do
    case $source in '#'*) continue ;; esac
    case $target/ in
    *[!!-~]* | // | /proc/* | /sys/* | /dev/* | /run/* | /tmp/ | /tmp//) continue ;;
    /*) grep -qF " ${target%/} " "${PHOENIX_ROOT:-}/proc/self/mounts" 2>/dev/null &&
        echo "fstab $type $target" ;;
    esac
done
mount --version 2>/dev/null | sed -n 's/^mount from util-linux \([0-9.]*\).*/mount \1/p' | head -n 1

if [ "${2:-}" = :probe ]; then
    case $info in
    # it has one mounted: nothing to try
    *'"Driver":"overlay2"'* | *'"Driver":"overlayfs"'*) echo 'overlay yes' ;;
    *) overlay ;;
    esac
fi

# the files may be on a share that does not answer: asked only by what can be left behind, last but
# for daemon.json, which has to be the end
found_composes() { # those that containers are from; of projects that are down where people keep them
    printf '%s\n' "$said" | sed -n 's/^compose //p' | tr , '\n' | sort -u | head -n 20
    has timeout || { echo cut && return; }
    root=${PHOENIX_ROOT:-}
    local_mounts=$(awk '$2 ~ /^\/(opt|srv|root|home|docker|stacks|data|mnt|media)\/[^\\]*$/ &&
        $3 ~ /^(ext[234]|xfs|btrfs|zfs|f2fs)$/ { print $2 }' "$root/proc/self/mounts" 2>/dev/null | head -n 20)
    # shellcheck disable=SC2086 # echo writes at once: what was found before the end is not lost
    timeout -s KILL 3 find "$root/opt" "$root/srv" "$root/root" "$root/home" "$root/docker" \
        "$root/stacks" "$root/data" "$root/etc/docker" "$root/usr/local" "$root/var/lib/docker-compose" \
        "$root/var/lib/casaos/apps" "$data/volumes/portainer_data/_data/compose" "$root/mnt" \
        "$root/media" $local_mounts -maxdepth 5 -xdev \
        \( -name .git -o -name .cache -o -name node_modules \) -prune -o \
        \( -name 'compose*.y*ml' -o -name 'docker-compose*.y*ml' \) ! -type d -exec echo {} \;
    [ $? -le 1 ] || echo cut
}
# shellcheck disable=SC2016 # of awk: what stands in a list of security_opt, or is such an item alone
scan='
function told(option) { print "compose " NR " " option " " ENVIRON["path"] }
/^cut$/ { print "cut compose"; next }
{
    line = tolower(substr($0, 1, 4096))
    sub(/(^|[ \t])#.*/, "", line)
    if (line !~ /[^ \t\r]/) next
    match(line, /^ */)
    indent = RLENGTH
    here = ""
    if (match(line, /(^|[^a-z0-9_-])security_opt["\47]?[ \t]*:/)) {
        inside = 1
        depth = indent
        here = substr(line, RSTART + RLENGTH)
    } else if (inside && (indent > depth || (indent == depth && line ~ /^ *[]-]/)))
        here = line
    else {
        inside = 0
        if (line ~ /^ *- *["\47]?(apparmor|seccomp|systempaths) *[:=] *["\47]?unconfined["\47]?[ \t\r]*$/)
            here = line
    }
    if (here ~ /(^|[^a-z0-9_-])apparmor *[:=] *["\47]?unconfined([^a-z0-9_-]|$)/) told("apparmor")
    if (here ~ /(^|[^a-z0-9_-])seccomp *[:=] *["\47]?unconfined([^a-z0-9_-]|$)/) told("seccomp")
    if (here ~ /(^|[^a-z0-9_-])systempaths *[:=] *["\47]?unconfined([^a-z0-9_-]|$)/) told("systempaths")
    if (line ~ /(^|[ {,\t])["\47]?privileged["\47]?[ \t]*:[ \t]*["\47]?(true|yes|on)["\47]?[ \t\r]*([,}]|$)/)
        told("privileged")
}'
end=$(($(date +%s) + 6))
count=0
# shellcheck disable=SC2016,SC2086 # two words or none; of the inner shell
found_composes 2>/dev/null | awk '!there[$0]++' | while read -r path; do
    count=$((count + 1))
    if [ "$path" = cut ] || [ $count -gt 100 ] || [ "$(date +%s)" -gt $end ]; then
        echo 'cut compose'
        [ "$path" = cut ] || break
        continue
    fi
    {
        $brief sh -c '[ -f "$1" ] && head -c 262144 "$1"' - "$path" </dev/null 2>/dev/null
        [ $? -lt 124 ] || printf '\ncut\n' # no file of compose has such a line
    } | path=$path awk "$scan" | head -n 50
done 2>/dev/null | head -n 500

daemon_file
exit 0
