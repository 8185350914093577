"""A node whose guests are shell scripts, for what asks them."""

from tests.unit.script_node import ScriptNode

ATTACH = """
while [ "$1" != -- ]; do
    [ "$1" != -n ] || GUEST=$2
    shift
done
shift
export GUEST
. "$FAKE/guest-$GUEST"
"""


class Guests(ScriptNode):
    """A node whose guests are a shell script each."""

    def __init__(self, folder):
        super().__init__(folder)
        self.tool("lxc-attach", ATTACH)

    @property
    def environment(self):
        return {**super().environment, "PHOENIX_GUEST_TIMEOUT": "1"}

    def runs(self, ctid, script):
        """Have this container run; `script`: what it does instead of ours."""
        self.stopped(ctid)
        self.has(f"/sys/fs/cgroup/lxc/{ctid}/ns/init.scope/cgroup.procs", f"{ctid}0\n")
        self.has(f"/proc/{ctid}0/status", f"Name:\tsystemd\nPPid:\t1\nNSpid:\t{ctid}0\t1\n")
        (self.fake / f"guest-{ctid}").write_text(script)

    def stopped(self, ctid):
        self.has(f"/etc/pve/lxc/{ctid}.conf", "arch: amd64\n")

    def ask(self, *ctids, probe=()):
        return self.observe(dockers={"ctids": list(ctids) or None, "probe": list(probe)})["dockers"]
