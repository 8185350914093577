"""A fake node on which containers are made and destroyed: fakes of pct and zfs that do it."""

import json
import os
from contextlib import contextmanager

from commit_node import FAKES
from script_node import BOOT, UNPACKED, ScriptNode, sha

from phoenix.runs.journal import read_journal

RUN = "r20261128T013000Z-beef"
LATER = "r20261128T023000Z-beef"
MARK = f"phoenix-harden {RUN}"
CTID = 970

#: What pct writes of the options that it is given; those of a clone are its source's.
CONF = """\
features: nesting=1
hostname: web
rootfs: local:970/vm-970-disk-0.raw,size=8G
unprivileged: 1
"""
RAW = [["lxc.apparmor.profile", "lxc-docker-nested"]]
FINAL = f"{CONF}lxc.apparmor.profile: lxc-docker-nested\n"
SOURCE = """\
features: nesting=1
hostname: template
rootfs: local:900/base-900-disk-0.raw,size=8G
template: 1
unprivileged: 1
lxc.apparmor.profile: unconfined
lxc.cgroup2.devices.allow: a

[pve:pending]
memory: 1

[clean]
snaptime: 1
lxc.apparmor.profile: unconfined
"""

#: `$FAKE/fails` names what fails, by the beginning of a call; `$FAKE/before CALL` is run in front.
PCT = """
conf="$PHOENIX_ROOT/etc/pve/lxc"
echo "pct $*" >>"$FAKE/calls"
[ ! -e "$FAKE/before-$1" ] || . "$FAKE/before-$1"
if grep -qx "$1" "$FAKE/fails" 2>/dev/null; then echo "pct: $1 cannot be done" >&2; exit 255; fi
described() {
    while [ $# -gt 0 ]; do
        if [ "$1" = --description ]; then echo "#$2"; fi
        shift
    done
}
there() {
    if [ -e "$conf/$1.conf" ]; then
        echo "unable to create CT $1: CT $1 already exists on node 'pve1'" >&2
        exit 255
    fi
}
case $1 in
status) echo "status: $(cat "$FAKE/state-$2" 2>/dev/null || echo stopped)" ;;
create)
    there "$2"
    echo 'lock: create' >"$conf/$2.conf"
    [ ! -e "$FAKE/in-create" ] || . "$FAKE/in-create"
    { described "$@"; cat "$FAKE/conf"; } >"$conf/$2.conf"
    ;;
clone)
    there "$3"
    echo 'lock: create' >"$conf/$3.conf"
    sed -i '1i lock: disk' "$conf/$2.conf"
    [ ! -e "$FAKE/in-create" ] || . "$FAKE/in-create"
    {
        described "$@"
        sed '/^lock/d; /^template/d; /^$/,$d; s/900/970/g' "$conf/$2.conf"
    } >"$conf/$3.conf"
    sed -i /^lock/d "$conf/$2.conf"
    ;;
set)
    case "$*" in
    *'--hostname web'*) sed -i 's/^hostname: .*/hostname: web/' "$conf/$2.conf" ;;
    *'--protection 0'*) sed -i '/^protection/d' "$conf/$2.conf" ;;
    esac
    ;;
unlock) sed -i /^lock/d "$conf/$2.conf" ;;
start)
    [ ! -e "$FAKE/at-start" ] || . "$FAKE/at-start"
    cp "$conf/$2.conf" "$FAKE/started-with"
    echo running >"$FAKE/state-$2"
    ;;
shutdown | stop) echo stopped >"$FAKE/state-$2" ;;
snapshot)
    sed -i "s/^rootfs/parent: $3\\nrootfs/" "$conf/$2.conf"
    printf '\\n[%s]\\nsnaptime: 2\\n' "$3" >>"$conf/$2.conf"
    ;;
destroy)
    if grep -q '^lock\\|^protection' "$conf/$2.conf"; then echo "CT $2 is locked" >&2; exit 255; fi
    if grep -qx running "$FAKE/state-$2" 2>/dev/null; then echo 'it is running' >&2; exit 255; fi
    rm "$conf/$2.conf"
    ;;
esac
"""

#: Datasets are folders in `$FAKE/datasets`, each with a file of its properties.
ZFS = """
echo "zfs $*" >>"$FAKE/calls"
if grep -qx "zfs $1" "$FAKE/fails" 2>/dev/null; then echo "cannot do that" >&2; exit 1; fi
for name; do :; done
at="$FAKE/datasets/$(echo "$name" | tr / +)"
case $1 in
get)
    if [ ! -e "$at" ]; then echo "cannot open '$name': dataset does not exist" >&2; exit 1; fi
    cat "$at"
    ;;
create)
    mkdir -p "$FAKE/datasets" "$PHOENIX_ROOT/$name"
    printf 'type\\tfilesystem\\t-\\nmounted\\tyes\\t-\\n' >"$at"
    printf 'mountpoint\\t/%s\\tdefault\\n' "$name" >>"$at"
    case "$*" in
    *phoenix-harden:new=1*) printf 'phoenix-harden:new\\t1\\tlocal\\n' >>"$at" ;;
    *) printf 'phoenix-harden:new\\t-\\t-\\n' >>"$at" ;;
    esac
    ;;
inherit) sed -i '/phoenix-harden/d' "$at" ;;
esac
"""

#: Stands in for the `install` of `node.create`, which enters the guest.
INSTALL = """\
def install(its, request):
    from node import restart
    its.say("installs " + str(request) + " while " + restart.state(its.ctid))
    return INSTALLS
import node.create
node.create.install = install
"""

CREATE = {
    "pct": [["create", "970", "local:vztmpl/debian.tar.zst", "--hostname", "web"]],
    "raw": RAW,
    "datasets": [],
    "folders": [],
    "start": True,
    "snapshot": "",
    "install": None,
}
OWNER = (os.getuid(), os.getgid())
TANK = {"name": "tank/web", "quota": 10 * 2**30, "owner": OWNER}
SRV = {"path": "/srv/web/data", "owner": OWNER}
DOCKER = {"source": "distro", "driver": "fuse-overlayfs", "repository": None}
CLONE = [["clone", "900", "970", "--snapname", "clean"], ["set", "970", "--hostname", "web"]]
NOTHING_LEFT = "nothing is left of the container"
#: A conf of that number that is not ours.
ANOTHERS = "hostname: another\nrootfs: local:970/vm-970-disk-0.raw\n"


def change(node):
    """What the journal says of the container."""
    (found,) = read_journal(RUN, (node.run / "journal.jsonl").read_text()).changes
    return found


def is_gone(node):
    confs = sorted(path.name for path in node.conf.parent.iterdir())
    return confs == ["900.conf"] and node.source.read_text() == SOURCE and node.state == "stopped"


class Node(ScriptNode):
    """A fake node that has no container 970; its run is staged to make one."""

    def __init__(self, folder):
        super().__init__(folder)
        self.run = self.root / f"var/lib/phoenix-harden/runs/{RUN}"
        for path in (self.run / "970", self.root / "run", self.root / "etc/pve/lxc"):
            path.mkdir(parents=True)
        (self.run / "node.pyz").symlink_to(UNPACKED)
        self.conf = self.root / "etc/pve/lxc/970.conf"
        self.source = self.has("/etc/pve/lxc/900.conf", SOURCE)
        (self.fake / "conf").write_text(CONF)
        self.has("/sys/fs/cgroup/lxc/970/cgroup.procs", "4711\n")
        self.has("/proc/4711/status", "Name:\tsystemd\nNSpid:\t4711\t1\n")
        self.has("/proc/4711/ns/net", "")
        carried = "lxc-docker-nested (enforce)\n"
        self.label = self.has("/proc/4711/attr/apparmor/current", carried)
        self.tool("pct", PCT)
        self.tool("zfs", ZFS)
        self.tool("lxc-attach", FAKES["lxc-attach"].replace("910", "970"))
        self.tool("nsenter", FAKES["nsenter"])
        self.tool("journalctl", FAKES["journalctl"])
        self.installs(True)
        self.stage(conf="hostname: web\nunprivileged: 1\n", before=sha("unprivileged: 1\n"))
        self.stage(label="lxc-docker-nested (enforce)", docker="")
        self.asks()

    def installs(self, well):
        starts = "sys.exit("
        self.boot = BOOT.replace(starts, f"INSTALLS = {well}\n{INSTALL}{starts}")

    def stage(self, **files):
        for name, text in files.items():
            (self.run / "970" / name).write_text(text)

    def asks(self, **changes):
        """Stage what is to be made."""
        (self.run / "970/create.json").write_text(json.dumps({**CREATE, **changes}))

    def fails(self, *calls):
        (self.fake / "fails").write_text("".join(f"{call}\n" for call in calls))

    @contextmanager
    def killed_in(self, at):
        """What runs meanwhile is killed where pct is: `at`, a file that PCT runs."""
        (self.fake / at).write_text("kill -9 $PPID; exit")
        yield
        (self.fake / at).unlink()

    def create(self):
        return self.verb("create", RUN, "970")

    def recover(self, *words):
        return self.verb("recover", RUN, "970", *words)

    @property
    def events(self):
        return [entry["event"] for entry in self.journal if entry["event"] != "begin"]

    @property
    def state(self):
        file = self.fake / "state-970"
        return file.read_text().strip() if file.exists() else "stopped"

    @property
    def pct(self):
        """What pct was asked, but for the state."""
        return [call[4:] for call in self.calls if call.startswith("pct ") and "status" not in call]
