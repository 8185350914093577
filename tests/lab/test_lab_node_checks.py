"""The node's own kernel, LXC and message bus, as it tells of them itself."""

from __future__ import annotations

import json

import pytest
from on_node import pyinfra

pytestmark = pytest.mark.lab

#: What the system bus has the kernel log of CT 953 (dbus, bus/apparmor.c; libaudit).
REFUSED = (
    'apparmor="DENIED" operation="dbus_method_call"  bus="system" path="/org/freedesktop/systemd1" '
    'interface="org.freedesktop.systemd1.Manager" member="StartUnit" mask="send" '
    'name="org.freedesktop.systemd1" pid=4711 label="lxc-953_</var/lib/lxc>" peer_pid=1 '
    'peer_label="unconfined"\\n exe="/usr/bin/dbus-daemon" sauid=101 hostname=? addr=? terminal=?'
)
#: Sends it as the bus does: NETLINK_AUDIT, AUDIT_USER_AVC, NLM_F_REQUEST | NLM_F_ACK.
LOGS = f"""
import socket, struct
data = {REFUSED!r}.encode() + b"\\0"
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
kernel.send(struct.pack("=IHHII", 16 + len(data), 1107, 5, 1, 0) + data)
kernel.recv(8192)
"""


def test_what_the_message_bus_refused_is_in_the_audit(lab, tmp_path):
    lab.reset()
    lab.ssh("python3 -", input=LOGS)
    done = pyinfra("audit", "-y", only=953, report=str(tmp_path))
    (line,) = [line for line in done.stderr.splitlines() if "dbus_method_call" in line]
    assert line.startswith("  CT 953 ")
    assert ": 1x dbus_method_call send org.freedesktop.systemd1.Manager.StartUnit" in line
    assert "under lxc-953_</var/lib/lxc>, last " in line
    (node,) = json.loads((tmp_path / "audit.json").read_text())["nodes"]
    (denial,) = [one for one in node["denials"] if one["operation"] == "dbus_method_call"]
    assert (denial["ctids"], denial["count"], denial["rule"]) == ([953], 1, "")


def test_the_kernel_and_lxc_of_the_lab_have_their_fixes_and_are_no_finding(lab, tmp_path):
    running = lab.ssh("uname -v").stdout
    assert "Debian" in running
    pyinfra("audit", "-y", report=str(tmp_path))
    (node,) = json.loads((tmp_path / "audit.json").read_text())["nodes"]
    found = {one["code"] for one in node["findings"]}
    assert not found & {"version.kernel", "version.lxc"}, running
