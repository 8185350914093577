"""Whatever may stand in an overlay, the parser takes it: it refuses a profile as a whole."""

import subprocess
from random import Random

import pytest
from overlay_cases import GOOD

from phoenix.apparmor.overlay import flaw

# what the profiles around an overlay set
HEAD = """@{dkr_data} = /var/lib/docker
@{dkr_root} = @{dkr_data}/overlay2/*/merged
@{ctd_data} = /var/lib/containerd
@{unit_root} = /run/systemd/unit-root
@{dkr_id} = [0-9a-f][0-9a-f]
"""
FLAGS = ("rw", "ro", "nosuid", "noexec", "relatime", "sync", "remount", "bind", "rbind", "move", "")
TYPES = ("tmpfs", "(tmpfs,overlay)", "fuse.x", "fuse", "(overlay, ramfs)", "(,)")
PATHS = (
    *("/srv/a", "/srv/a/", '"/srv/a b/"', '"/srv/a "', "/srv/x*/", "/srv/-a+@:b", "/srv/a:"),
    *("@{dkr_data}/x", "@{dkr_root}/", "@{ctd_data}", "@", "@{", "@}", "@{dkr_id}", "@{mine}"),
    *("/srv/@{dkr_id}*/", "/srv/@x@/", "/srv/{", '"@{dkr_data}"/x', "/srv/.a", "/", '"/a"'),
    *("none", "in", "all", "audit", "fstype", "options", "capability", "file", "rw", "safe"),
)
WORDS = (
    *("r", "rw", "rwlkm", "ix", "mrix", "rr", "all", "lall", "wa", "x", "->", "inet", "raw"),
    *("unix", "dgram", "packet", "chown", "net_raw", "fstype=tmpfs", "fstype=(,)", "options=rw"),
)
KINDS = ("umount", "file", "capability", "network", "mount", "")
# in front of a line, and behind it
EDGES = (*[""] * 12, " ", "\t", "\f", "\r", "\x1c", "\xa0", "\u2028")


def any_line(random):
    """Something like a rule."""
    pick, edge = random.choice, random.choice(EDGES)
    if random.random() < 0.6:
        flags = pick((",", ", ", " ")).join(pick(FLAGS) for _ in range(random.randint(1, 3)))
        words = [f"options=({flags})", f"fstype={pick(TYPES)}", pick(PATHS)]
        words = random.sample(words, random.randint(1, 3))
        return f"{edge}mount {' '.join(words)} -> {pick(PATHS)},"
    if random.random() < 0.2:
        return f"{edge}{pick(GOOD)}{pick(EDGES)}"
    words = [pick((*PATHS, *WORDS, *WORDS)) for _ in range(random.randint(1, 3))]
    return f"{edge}{' '.join([pick(KINDS), *words]).strip()},"


@pytest.mark.parametrize("seed", range(4))
def test_the_parser_takes_what_is_accepted(parser, seed):
    random = Random(seed)
    lines = [line for _ in range(10_000) if not flaw(line := any_line(random))]
    for kind in ("mount fstype=", "mount options=", "umount ", "capability ", "network ", "/", "@"):
        assert [line for line in lines if line.strip().startswith(kind)]
    text = "\n".join((HEAD, "profile x {", "  file,", *lines, "}", ""))
    command = [parser, "-Q", "-K", "-T"]
    done = subprocess.run(command, input=text.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
