"""A deploy during which somebody adds `line` to the conf.

The operation writes over what was read before that, or, with `late`, reads anew.
"""

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand
from pyinfra.operations import server

from facts.pct import Containers
from operations import pct

seen = host.get_fact(Containers).containers[910]
conf = host.data.conf
server.shell(
    name="Somebody else",
    commands=[StringCommand("echo", QuoteString(host.data.line), ">>", QuoteString(conf))],
)
pct.features(
    name="Features",
    ctid=910,
    features="keyctl=1",
    observed=None if host.data.get("late") else seen,
)
