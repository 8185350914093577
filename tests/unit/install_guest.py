"""A running container without Docker, whose guest has a root of its own and fake tools."""

import json

from script_node import ScriptNode

RUN = "r20261122T013000Z-beef"
LABEL = "lxc-docker-nested (enforce)"
IMAGE, CONTAINER = f"sha256:{'1' * 64}", "2" * 64

#: The guest's scripts run for real, below a root of their own; what it has of Docker is a word in
#: `dpkg`. Each call is noted but for those of the scripts, of which only the words are.
LXC_ATTACH = f"""
while [ "$1" != -- ]; do shift; done
shift
if [ "$1" = sh ]; then echo "script $4 $5 $6" >>"$FAKE/calls"; else echo "$*" >>"$FAKE/calls"; fi
case "$*" in
'sh -c '*' docker 20 '*) cat "$FAKE/system"; exit $(cat "$FAKE/exit") ;;
'sh -c '*' daemon-json '* | 'sh -c '*' install '* | 'sh -c '*' held '*)
    [ ! -e "$FAKE/says-no-$5" ] || exit 1
    PHOENIX_ROOT="$FAKE/guest" exec "$@"
    ;;
sh*'until said='*)
    [ ! -e "$FAKE/docker-down" ] || exit 1
    echo "$(sed -n 's/.*"storage-driver" *: *"\\([a-z0-9-]*\\)".*/\\1/p' \\
        "$FAKE/guest/etc/docker/daemon.json") []"
    ;;
sh*) [ ! -e "$FAKE/docker-down" ] || exit 1 ;;
dpkg-query* | 'rpm -qa'* | 'apk info'*) cat "$FAKE/installed" ;;
'dpkg --purge'* | 'rpm -e'* | 'apk del'*) : >"$FAKE/installed" ;;
'apt-cache show'*) for last; do :; done; grep -qx "$last" "$FAKE/available" || exit 100 ;;
'dnf -q -y repoquery'*) grep -x "$5" "$FAKE/available"; exit 0 ;;
*' update')
    [ ! -e "$FAKE/guest/etc/apt/sources.list.d/phoenix-docker.sources" ] ||
        cat "$FAKE/in-the-repo" >>"$FAKE/available"
    ;;
apt-get*install* | 'apk add'* | 'dnf -y install'*)
    [ -e "$FAKE/guest/etc/docker/daemon.json" ] || echo early >>"$FAKE/wrong"
    ! [ -e "$FAKE/no-network" ] || {{ echo 'E: Unable to fetch'; exit 100; }}
    for name; do
        case $name in apt-get | apk | dnf | install | add | -* | DPkg* | Dpkg*) continue ;; esac
        if [ "$1" = apt-get ]; then echo "ii  $name"; else echo "$name"; fi >>"$FAKE/installed"
    done
    ;;
*'docker import'*) cat >/dev/null; echo {IMAGE} ;;
*'docker run'*) echo {CONTAINER} ;;
*'docker port'*) echo 127.0.0.1:32768 ;;
'docker info') [ ! -e "$FAKE/docker-down" ] ;;
*'docker info --format'*)
    sed -n 's/.*"storage-driver" *: *"\\([a-z0-9-]*\\)".*/\\1/p' \\
        "$FAKE/guest/etc/docker/daemon.json"
    ;;
esac
exit
"""

SERVICE = 'echo "service $0 $*" >>"$FAKE/calls"; [ ! -e "$FAKE/starts-not" ]'
REQUEST = {
    "install": {"source": "distro", "driver": "fuse-overlayfs", "repository": None},
    "label": LABEL,
    "architecture": "amd64",
}


def last(done):
    assert done.stderr == ""
    return done.stdout.splitlines()[-1]


class InstallGuest(ScriptNode):
    """A fake node with container 910, a Debian without Docker."""

    def __init__(self, folder):
        super().__init__(folder)
        self.run = self.root / f"var/lib/phoenix-harden/runs/{RUN}"
        self.guest = self.fake / "guest"
        (self.guest / "etc").mkdir(parents=True)
        self.in_guest("/etc/os-release", "ID=debian\nVERSION_CODENAME=trixie\n")
        self.has("/sys/fs/cgroup/lxc/910/cgroup.procs", "4711\n")
        self.has("/proc/4711/status", "Name:\tsystemd\nNSpid:\t4711\t1\n")
        self.has("/proc/4711/ns/net", "")
        self.label = self.has("/proc/4711/attr/apparmor/current", f"{LABEL}\n")
        self.tool("lxc-attach", LXC_ATTACH)
        self.tool("nsenter", "echo phoenix-harden")
        for name in ("systemctl", "rc-service", "rc-update", "service", "nvidia-ctk"):
            self.tool(name, SERVICE)
        self.is_a("debian 13", "apt")
        self.installed()
        self.available("docker.io", "docker-cli")
        self.note("in-the-repo", "docker-ce\n")

    @property
    def environment(self):
        return {**super().environment, "PHOENIX_PATIENCE": "0"}

    def note(self, name, text=""):
        (self.fake / name).write_text(text)

    def in_guest(self, path, text):
        file = self.guest / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def says(self, *lines, code=44):
        """What the guest says of itself."""
        self.note("system", "".join(f"{line}\n" for line in ("guest 1", *lines)))
        self.note("exit", str(code))

    def is_a(self, os, manager, *more):
        self.says("absent", f"os {os}", f"manager {manager}", "fuse yes", *more)

    def installed(self, *names, form="ii  {}"):
        self.note("installed", "".join(f"{form.format(name)}\n" for name in ("libc6", *names)))

    def available(self, *names):
        self.note("available", "".join(f"{name}\n" for name in names))

    def install(self, *words, label=LABEL, **install):
        asked = {**REQUEST, "label": label, "install": {**REQUEST["install"], **install}}
        return self.verb("install", *(words or (RUN, "910")), request=asked)

    @property
    def daemon_json(self):
        file = self.guest / "etc/docker/daemon.json"
        return file.read_text() if file.exists() else None

    @property
    def keys(self):
        return json.loads(self.daemon_json)

    def journaled(self):
        """Event, and what it names: packages, or what daemon.json is about."""
        entries = [one for one in self.journal if one["event"] != "begin"]
        assert all(one["ctid"] == 910 for one in entries)
        return [(one["event"], one.get("packages", "daemon.json")) for one in entries]

    def asked_for(self, start):
        """The calls that begin so, in their order."""
        return [call for call in self.calls if call.startswith(start)]
