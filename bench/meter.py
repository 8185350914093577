"""What a piece of work costs, here and on the lab's node."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from lab_node import SshTarget

#: sshd then logs each command that it starts, whichever client asks for it.
_VERBOSE = "echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/bench.conf; systemctl restart ssh"
#: Of the node since its boot: seconds of processor time times 100 of each kind, programs that were
#: forked, commands that sshd has started, bytes that came and went.
_COUNTERS = """\
sed -n 's/^cpu  //p; s/^processes //p' /proc/stat
journalctl -q -o cat -t sshd -t sshd-session | grep -c '^Starting session: '
cat /sys/class/net/CARD/statistics/rx_bytes /sys/class/net/CARD/statistics/tx_bytes"""


@dataclass(frozen=True)
class Cost:
    """What some work took; on the node also what else went on there meanwhile.

    Attributes:
        wall: seconds.
        here: seconds of processor time of the processes that it started on this machine.
        node: the same of the whole node.
        commands: so many did sshd start on the node.
        forks: so many processes did the node begin.
        sent: bytes that reached the node, as its network card counts them.
        received: bytes that left it.
    """

    wall: float
    here: float
    node: float
    commands: float
    forks: float
    sent: float
    received: float


class Meter:
    """Measures work that uses the node. Its sshd is told to log more, until the node is reset."""

    def __init__(self, node: SshTarget) -> None:
        self._node = node
        node.run(_VERBOSE)
        node.hang_up()  # the connection of before logs as before
        words = node.run("ip -o route show default").stdout.split()
        self._ask = _COUNTERS.replace("CARD", words[words.index("dev") + 1])

    def cost(self, work: Callable[[], object]) -> Cost:
        """What the work takes."""
        before = self._counters()
        began, here = time.monotonic(), _children()
        work()
        wall, here = time.monotonic() - began, _children() - here
        after = self._counters()
        busy, forks, commands, sent, received = (b - a for a, b in zip(before, after, strict=True))
        # the second look at the counters is a command, too
        return Cost(wall, here, busy, commands - 1, forks, sent, received)

    def _counters(self) -> tuple[float, ...]:
        kinds, *others = self._node.run(self._ask, check=False).stdout.splitlines()
        # proc_stat(5): user nice system idle iowait irq softirq steal; guests are within user
        user, nice, system, _, _, irq, softirq, steal = map(int, kinds.split()[:8])
        return ((user + nice + system + irq + softirq + steal) / 100, *map(float, others))


def median(costs: Sequence[Cost]) -> Cost:
    """Of each of their values by itself."""
    return Cost(*map(statistics.median, zip(*map(astuple, costs), strict=True)))


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
