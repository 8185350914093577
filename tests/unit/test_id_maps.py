"""Which ids of the node the users of a container have."""

import pytest

from phoenix.pve.conf import PveConf
from phoenix.pve.id_maps import owner_on_node

MAPS = """\
unprivileged: 1
lxc.idmap: u 0 100000 1000
lxc.idmap: g 0 100000 1000
lxc.idmap = u 1000 1000 1
lxc.idmap: g 1000 5000 1
"""


@pytest.mark.parametrize(
    ("text", "owner", "expected"),
    [
        ("unprivileged: 1\n", (0, 0), (100000, 100000)),
        ("unprivileged: 1\n", (65535, 33), (165535, 100033)),
        ("unprivileged: 1\n", (65536, 0), None),
        ("", (33, 70000), (33, 70000)),
        (MAPS, (0, 999), (100000, 100999)),
        (MAPS, (1000, 1000), (1000, 5000)),
        (MAPS, (1001, 0), None),
        ("lxc.idmap: b 0 200000 65536\n", (5, 6), (200005, 200006)),
        # what LXC would not start with is no map here either
        ("unprivileged: 1\nlxc.idmap: u 0 x 1\n", (0, 0), (100000, 100000)),
    ],
)
def test_an_owner_is_counted_as_the_node_counts(text, owner, expected):
    assert owner_on_node(PveConf.parse(text), *owner) == expected
