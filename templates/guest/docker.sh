#!/bin/sh
# docker SECONDS [:probe] - what Docker in this guest is and has, one record a line; runs in the
# guest. busybox is enough. SECONDS: how long dockerd may take to answer. Reads only, and only
# regular files; with `:probe` it also mounts an overlay below Docker's data, for a moment.
# Each command that is started costs an emulated guest tens of milliseconds, docker itself a second:
# so dockerd's own socket is asked where that can be done, and a shell counts and cuts by itself.
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
#   runc VERSION                where dockerd does not say of which release its runc was built
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
#   mount VERSION               of util-linux' mount(8), where fstab mounts something
#   compose LINE OPTION PATH    this line of a file of compose says so: apparmor, seccomp or systempaths
#                               unconfined, or `privileged`
#   cut compose                 not all files of compose were looked at
#   cut docker                  dockerd has not told of all of its containers
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
probe=${2:-}
mib=1048576
# PHOENIX_ROOT: a fake root, for the tests
root=${PHOENIX_ROOT:-}
file=$root/etc/docker/daemon.json
names='docker.io docker-ce docker docker-cli docker-ce-cli moby-engine containerd containerd.io
    runc fuse-overlayfs fuse3'

start() { # BYTES FILE: how a regular file begins
    [ -f "$2" ] && head -c "$1" "$2" 2>/dev/null
}
count() { # PATH...: $number of them, or of the pattern that matched nothing none
    number=$#
    [ -e "$1" ] || [ -L "$1" ] || number=0
}
store() { # NAME FOLDER [WITHOUT]
    [ -d "$2" ] || return
    count "$2"/*
    [ -z "${3:-}" ] || [ ! -e "$2/$3" ] || number=$((number - 1))
    echo "store $1 $number"
}

system() {
    os=
    release=
    while IFS='=' read -r key value; do
        value=${value#[\"\']}
        value=${value%%[\"\']*}
        case $key in
        ID) os=${os:-$value} ;;
        VERSION_ID) release=${release:-$value} ;;
        esac
    done <<END
$(start 65536 /etc/os-release)
END
    echo "os $os $release"
    for manager in apt-get apk dnf; do
        ! has $manager || { echo "manager ${manager%-get}" && break; }
    done
}
fuse() { if [ -c /dev/fuse ]; then echo 'fuse yes'; else echo 'fuse no'; fi; }
mounts_overlay() ( # where Docker itself would mount: elsewhere a profile may deny what it allows there
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
overlay() { if mounts_overlay; then echo 'overlay yes'; else echo 'overlay no'; fi; }

packages() {
    if has dpkg-query; then
        # shellcheck disable=SC2016,SC2086
        dpkg-query -W -f '${db:Status-Abbrev}|${Package} ${Version}\n' $names 2>/dev/null |
            sed 's/^\(..\)[^|]*|/package \1 /; 50q'
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
    else
        about=$(stat -L -c '%s %u %g %a' "$file")
        if [ "${about%% *}" -gt $mib ]; then
            echo 'daemon-file-odd too-large'
        else
            echo "daemon-file ${about#* }"
            head -c $mib "$file"
        fi
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
    if [ "$probe" = :probe ]; then
        overlay
        rmdir "$data" 2>/dev/null
    fi
    daemon_file
    exit 44
fi

echo 'guest 1'
system

if has timeout; then limit="timeout $seconds"; else limit=; fi
# what may be on a share that does not answer is asked by what can be left behind
if has timeout; then brief='timeout -s KILL 2'; else brief=; fi

# dockerd itself, by what each Debian and Ubuntu has: perl-base without a module. Both ways say
# `info TEXT`, and of each Docker container `workload`, `bind`, `secopt` and `compose PATH,...`
# shellcheck disable=SC2016 # perl's
ask='
my ($socket, $seconds) = @ARGV;
my $has_told;
sub gone {    # what it has said counts
    exit $_[0] unless $has_told;
    print "cut docker\n";
    exit 0;
}
$SIG{ALRM} = sub { gone(124) };
$SIG{PIPE} = "IGNORE";
alarm $seconds;
$| = 1;

sub get {    # undef unless dockerd itself says it: podman has such a socket, too
    my ($what, $said) = (@_, "");
    my $dockerd;
    socket($dockerd, 1, 1, 0) && connect($dockerd, pack("Sa*", 1, "$socket\0")) or gone(1);
    syswrite $dockerd, "GET $what HTTP/1.0\r\nHost: docker\r\n\r\n";
    while (sysread $dockerd, $said, 65536, length $said) { length $said < 1 << 23 or return }
    my ($head, $body) = split /\r\n\r\n/, $said, 2;
    return $head =~ /\AHTTP\/1\.[01] 200 / && $head =~ /^Server: Docker\//mi ? $body : undef;
}

my %blank = map { $_ => " " } qw(b f n r t);

sub text {    # a line end or the like counts as a blank
    my ($text) = @_;
    $text =~ s/\\(?:u([0-9a-fA-F]{4})|(.))/defined $1 ? code($1) : $blank{$2} || $2/ge;
    return $text;
}

sub code {
    my $char = chr hex $_[0];
    utf8::encode($char);
    return $char;
}

sub value {    # the JSON at pos() of $_
    /\G\s+/gc;
    if (/\G"/gc) {    # a repetition in one expression has 65,535 rounds and no more
        my $said = "";
        $said .= $1 while /\G([^"\\]+|\\.)/gc;
        /\G"/gc or die;
        return text($said);
    }
    if (/\G\{/gc) {
        my %all;
        until (/\G[\s,]*\}/gc) { /\G[\s,]+/gc; my $key = value(); /\G\s*:/gc; $all{$key} = value() }
        return \%all;
    }
    if (/\G\[/gc) {
        my @all;
        until (/\G[\s,]*\]/gc) { /\G[\s,]+/gc; push @all, value() }
        return \@all;
    }
    /\G([a-zA-Z0-9.+-]+)/gc or die;
    return $1 eq "null" || $1 eq "false" ? undef : $1;
}

my $room = 1 << 20;
sub record {    # a name with a line end or the like is one with a blank, and none of those count
    my $line = join " ", map { defined ? $_ : "" } @_;
    $line =~ s/[\0-\x1f\x7f]/ /g;
    $room -= length $line;
    $room > 0 ? print "$line\n" : gone(0);
}

my $info = get("/info");
chomp $info;
$info =~ /\A\{.*"ServerVersion":"[^"]/ && $info !~ /\n/ && length $info < 1 << 18 or exit 1;
print "info $info\n";
$has_told = 1;
exit 0 if $info =~ /"Containers":0,/;
my @ids = get("/containers/json?all=1") =~ /"Id":"([0-9a-f]{64})"/g;
for my $id (splice @ids, 0, 1000) {
    local $_ = get("/containers/$id/json");
    my $it = eval { value() } or next;
    my ($name, $state, $host) = @$it{"Name", "State", "HostConfig"};
    if ($state->{Running} && $host->{RestartPolicy}{Name} =~ /\A(?:always|unless-stopped)\z/) {
        $_->{Type} eq "bind" && record("bind", $name, @$_{"Source", "Destination"}) for @{$it->{Mounts}};
    }
    record("workload", $name, $state->{Status}, $it->{Config}{Image});
    record("secopt", $name, $_) for @{$host->{SecurityOpt}};
    my $files = $it->{Config}{Labels}{"com.docker.compose.project.config_files"};
    record("compose", $files) if defined $files;
}
gone(0) if @ids;'
# where root has other engines by name, docker knows which one is meant
ask_dockerd() {
    has docker && has perl && [ -S "$root/run/docker.sock" ] && [ ! -e "${HOME:-/root}/.docker/contexts" ] ||
        return
    perl -e "$ask" "$root/run/docker.sock" "$seconds" 2>/dev/null
    [ $? -ne 124 ] || echo 'info gave no answer (exit 124)'
}

# shellcheck disable=SC2016 # variables of Docker's
format='{{$name := .Name}}{{$policy := .HostConfig.RestartPolicy.Name}}
{{- if and .State.Running (or (eq $policy "always") (eq $policy "unless-stopped"))}}
{{- range .Mounts}}{{if eq .Type "bind"}}bind {{$name}} {{.Source}} {{.Destination}}
{{end}}{{end}}{{end}}workload {{$name}} {{.State.Status}} {{.Config.Image}}
{{range .HostConfig.SecurityOpt}}secopt {{$name}} {{.}}
{{end}}{{with index .Config.Labels "com.docker.compose.project.config_files"}}compose {{.}}
{{end}}'
# shellcheck disable=SC2086 # two words or none
ask_docker() {
    info=$({ $limit docker info --format '{{json .}}' 2>&1 || printf '\ngave no answer (exit %s)\n' $?; } |
        head -c 262144 | sed '/^$/d')
    printf '%s\n' "$info" | sed 's/^/info /'
    case $info in
    *'"Containers":0,'*) ;;
    *'"ServerVersion":"'?*)
        ids=$($limit docker ps -aq --no-trunc 2>/dev/null | head -n 1000)
        [ -z "$ids" ] || {
            $limit docker inspect --type container -f "$format" $ids 2>/dev/null ||
                [ $? -ne 124 ] || echo 'cut docker'
        } | sed -n -e '/^cut docker$/p' -e '/^workload /p' -e '/^bind /p' -e '/^secopt /p' -e '/^compose /p' |
            head -n 6000 | head -c $mib
        ;;
    esac
}
answer=$(ask_dockerd)
[ -n "$answer" ] || answer=$(ask_docker)
# what else stands in it is looked into below
printf '%s\n' "$answer" | awk '/^info / || /^cut docker$/ { print }
    /^workload / && ++workloads <= 1000 { print }
    /^secopt .*[=:]unconfined$/ && !there[$0]++ && ++options <= 200 { print }'
case $answer in
*'"ServerVersion":"'?*) ;;
*)
    has dockerd && echo "version $(dockerd --version 2>/dev/null | head -n 1 | head -c 200)"
    engines
    # podman has a script by the name of docker, and no daemon that could be seen
    has podman && start 4096 "$(command -v docker)" | grep -q '^ *exec.*podman' &&
        echo "engine podman 0 $(command -v podman)"
    ;;
esac

# its data, and the commit that its runc was built from
data=
commit=
while read -r key value; do
    case $key in
    root) data=$value ;;
    commit) commit=$value ;;
    esac
done <<END
$(printf '%s\n' "$answer" | sed -n '/^info {/{
    h
    s/.*"DockerRootDir":"\([^"]*\)".*/root \1/p
    g
    s/.*"RuncCommit":{"ID":"\([^"]*\)".*/commit \1/p
    q
}')
END
runc=$(command -v runc)
if [ -n "$runc" ]; then
    case $commit in
    *-[1-9]*-g*) release= ;;
    v[0-9]*.[0-9]*.[0-9]* | [0-9]*.[0-9]*.[0-9]*) release=$commit ;;
    *) release= ;;
    esac
    [ -n "$release" ] ||
        echo "runc $(runc --version 2>/dev/null | sed -n 's/^runc version //p' | head -n 1 | head -c 200)"
    real=$runc
    [ ! -L "$runc" ] || real=$(readlink -f -- "$runc" 2>/dev/null)
    packaged=
    for list in "$root"/var/lib/dpkg/info/runc*.md5sums "$root"/var/lib/dpkg/info/containerd*.md5sums; do
        [ ! -f "$list" ] || while read -r digest path; do
            case $path in usr/bin/runc | usr/sbin/runc) packaged=${packaged:-$digest} ;; esac
        done <"$list"
    done
    found=
    case $packaged:${real#"$root"} in # another one may be newer
    :*) ;;
    *:/usr/bin/runc | *:/usr/sbin/runc) found=$([ ! -f "$real" ] || md5sum <"$real") ;;
    esac
    if [ -n "$packaged" ] && [ "${found%% *}" = "$packaged" ]; then
        :
    elif ! start 4 "$real" | tr '\177' x | grep -q '^xELF'; then
        echo "wrapper script $runc"
    elif [ "${real##*/}" != runc ]; then
        echo "wrapper link $runc"
    elif [ -n "$found" ]; then
        echo "wrapper changed $runc"
    fi
fi
for pidfile in /run/docker.pid /var/run/docker.pid; do
    [ -f "$pidfile" ] || continue
    read -r pid <"$pidfile"
    [ ! -f "/proc/$pid/cmdline" ] || tr '\0' '\n' <"/proc/$pid/cmdline" | sed '1d; s/^/flag /; 200q'
    break
done

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
folders=0
for folder in /var/lib/containerd/io.containerd.snapshotter.v1.* \
    "$data"/containerd/daemon/io.containerd.snapshotter.v1.*; do
    [ $((folders += 1)) -le 50 ] || break
    store "${folder##*/}" "$folder/snapshots"
done
count "$data"/volumes/*/
echo "count volumes $number"
count "$data"/containers/*
echo "count containers $number"

pins() { # FILE...
    # apt_preferences(5): by origin or release alone nothing is kept back
    for list; do
        start 65536 "$list" && echo
    done | awk -v RS= '/(^|\n)Pin: *version / { sub(/^(.*\n)?Package: */, ""); sub(/\n.*/, ""); print }' |
        tr -s ' ' '\n' | head -n 100 | sed 's/^/pin /'
}
packages
if has dpkg-query; then
    # most have none, and dpkg reads all that it has to say so
    grep -q '^Status: hold ' "$root/var/lib/dpkg/status" 2>/dev/null
    [ $? -eq 1 ] || dpkg --get-selections 2>/dev/null |
        sed -n 's/[[:space:]]*hold$//p' | head -n 5000 | sed 's/^/hold /'
    set -- "$root"/etc/apt/preferences "$root"/etc/apt/preferences.d/*
    for list; do
        [ ! -f "$list" ] || { pins "$@" && break; }
    done
fi
fuse
has fuse-overlayfs && echo 'binary fuse-overlayfs'

# what its containers bind, symbolic links resolved; some paths at a time, since each command takes
# its time, and the next time it goes on behind the one that did not answer
# shellcheck disable=SC2016 # of the inner shell
resolve='
asked=0
while [ $asked -lt 4 ] && read -r _ name source target rest; do
    [ -z "$rest" ] || continue
    asked=$((asked + 1))
    echo "try $name $source $target"
    readlink -f -- "$source" || echo
done
[ $asked -lt 4 ] || exit 7'
case $answer in
*'
bind '*)
    printf '%s\n' "$answer" | sed -n '/^bind /p' | head -n 1000 | {
        silent=0
        while [ $silent -lt 5 ]; do
            $brief sh -c "$resolve"
            case $? in
            7) ;;
            124 | 137 | 143) silent=$((silent + 1)) ;;
            *) break ;;
            esac
        done
        cat
    } 2>/dev/null | awk '
        function settle() {
            if (asked) print "silent " name " " source "\nbind " name " " source " " target
            asked = 0
        }
        /^try / { settle(); name = $2; source = $3; target = $4; asked = 1; next }
        asked { if (/^\//) print "bind " name " " $0 " " target; asked = 0; next }
        /^bind / && NF == 4 { print }
        END { settle() }'
    ;;
esac
mounts=
entries=0
while read -r source target type _; do
    [ $((entries += 1)) -le 500 ] || break
    case $source in '#'*) continue ;; esac
    case $target/ in
    *[!!-~]* | // | /proc/* | /sys/* | /dev/* | /run/* | /tmp/ | /tmp//) continue ;;
    /*) grep -qF " ${target%/} " "$root/proc/self/mounts" 2>/dev/null || continue ;;
    *) continue ;;
    esac
    echo "fstab $type $target"
    mounts=x
done <<END
$(start 65536 "$root/etc/fstab")
END
[ -z "$mounts" ] ||
    mount --version 2>/dev/null | sed -n 's/^mount from util-linux \([0-9.]*\).*/mount \1/p' | head -n 1

if [ "$probe" = :probe ]; then
    case $answer in
    # it has one mounted: nothing to try
    *'"Driver":"overlay2"'* | *'"Driver":"overlayfs"'*) echo 'overlay yes' ;;
    *) overlay ;;
    esac
fi

# the files may be on a share that does not answer: asked only by what can be left behind, last but
# for daemon.json, which has to be the end
found_composes() { # those that containers are from; of projects that are down where people keep them
    case $answer in
    *'
compose '*)
        printf '%s\n' "$answer" | sed -n 's/^compose //p' | tr , '\n' |
            awk '!there[$0]++ && ++files <= 20'
        ;;
    esac
    has timeout || { echo cut && return; }
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
function told(option) { if (++count <= 50) print "compose " number " " option " " path }
/^phoenix-harden reads \// {
    path = substr($0, 22)
    number = count = inside = 0
    files++
    next
}
/^phoenix-harden ended [0-9]+$/ { code = $3; next }
{
    number++
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
}
END { # how many of them are done with, and 100 where the last of those gave no answer
    if (code >= 124) exit 100 + (files ? files : 1)
    exit code == 7 ? 5 : 0
}'
# shellcheck disable=SC2016 # of the inner shell
read_files='
files=0
for path; do
    [ $((files += 1)) -le 5 ] || exit 7
    printf "\nphoenix-harden reads %s\n" "$path"
    [ -f "$path" ] && head -c 262144 "$path"
done'
scan_composes() { # FILE...: some at a time, and the next time behind the one that did not answer
    end=$(($(date +%s) + 4))
    while [ $# -gt 0 ]; do
        [ "$(date +%s)" -le $end ] || { echo 'cut compose' && return; }
        {
            $brief sh -c "$read_files" - "$@" </dev/null
            printf '\nphoenix-harden ended %s\n' $?
        } 2>/dev/null | awk "$scan"
        dealt=$?
        if [ $dealt -gt 100 ]; then
            echo 'cut compose'
            dealt=$((dealt - 100))
        fi
        [ $dealt -gt 0 ] || return
        shift $dealt
    done
}
composes=$(found_composes 2>/dev/null | awk '
    $0 == "cut" || (!there[$0] && files == 100) { cut = 1; next }
    !there[$0]++ { files++; print }
    END { exit cut + 0 }')
cut=$?
if [ -n "$composes" ]; then
    set -f
    IFS='
'
    # shellcheck disable=SC2086 # a line each
    set -- $composes
    unset IFS
    set +f
    scan_composes "$@" | head -n 500
fi
[ $cut -eq 0 ] || echo 'cut compose'

daemon_file
exit 0
