"""What the guide shows of recipes is what they print, on a node with scripted answers."""

import json
import re
import shlex
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from fake_node import FakeNode, docker, installed, journal
from test_create import STOCK
from test_ha import SETTLED
from test_install import none
from test_rollback import RUN, of_conf, sha

GUIDE = Path(__file__).parents[2] / "docs/guide"
PROFILE = "lxc-docker-nested"
_START = "features: keyctl=1,nesting=1\nhostname: Portainer\nunprivileged: 1\n"
HARDENED = f"{_START}lxc.apparmor.profile: {PROFILE}\n"
#: As a script of community-scripts makes one, and somebody opened it.
CONF = f"""{_START}\
lxc.apparmor.profile: unconfined
lxc.mount.entry: /dev/null sys/module/apparmor/parameters/enabled none bind 0 0
"""
OTHER = "features: nesting=1\nhostname: nginx\nunprivileged: 1\nlxc.apparmor.profile: unconfined\n"
CLOSED = OTHER.replace("lxc.apparmor.profile: unconfined\n", "")
GENERATED = "lxc-953_</var/lib/lxc>//&:lxc-953_<-var-lib-lxc>:unconfined (enforce)"
RUNS = [
    {"profile": PROFILE, "event": "intent", "before": "none", "after": sha("p")},
    {"profile": PROFILE, "event": "done", "after": sha("p")},
    of_conf("intent", before=sha(CONF), after=sha(HARDENED), ours="none"),
    of_conf("done", after=sha(HARDENED)),
]


def text_of(page):
    return (GUIDE / f"{page}.md").read_text()


def fleet_of(page):
    """The containers of the fleet file that a page shows."""
    (block, *_) = re.findall(r"```json\n(.*?)```", text_of(page), re.DOTALL)
    shown = json.loads(block if block.startswith("{") else f"{{{block}}}")
    return shown.get("lxc_configs", shown)


FIRST = fleet_of("first-container")
FLEET = {**FIRST, "953": {"name": "nginx", "apparmor_profile": "generated"}}


def pve(conf=CONF, other=OTHER, **changes):
    confs = {910: conf} if other is None else {910: conf, 953: other}
    return FakeNode("pve1", confs, dockers=docker(910), **changes)


def hardened(apparmor, **changes):
    return pve(HARDENED, label=f"{PROFILE} (enforce)", apparmor=apparmor, **changes)


OPEN = pve()
CONFINED = hardened(
    installed(),
    other=CLOSED,
    labels={953: GENERATED},
)
UPGRADED = hardened(installed(parser=[3, 0, 8], abis=["3.0"]), other=None)
DONE = hardened(
    {},
    other=None,
    runs={RUN: journal(*RUNS)},
    kept={
        "files": {sha(CONF): CONF},
        "staged": {"910": {"conf": HARDENED, "before": sha(CONF), "docker": ""}},
        "now": {f"/etc/apparmor.d/{PROFILE}": "p"},
    },
)
MANAGED = pve(other=None, ha={910: "started"}, services={910: SETTLED}, apparmor=installed())
QDRANT = FakeNode(
    "pve1",
    {952: CONF.replace("Portainer", "qdrant")},
    dockers=docker(952),
    apparmor=installed(),
)
#: As one finds them: open ones, one that is locked, one on btrfs, stopped ones, an old kernel.
FOUND = FakeNode(
    "pve1",
    {
        900: f"template: 1\n{OTHER.replace('nginx', 'Template-Base')}",
        910: OTHER.replace("nginx", "portainer"),
        952: OTHER.replace("nginx", "qdrant"),
        953: OTHER,
        954: f"lock: backup\n{OTHER.replace('nginx', 'n8n')}",
        955: CLOSED.replace("nginx", "plain"),
        957: OTHER.replace("nginx", "docker29"),
        961: OTHER.replace("nginx", "files"),
    },
    stopped=(900, 955, 957),
    apparmor={"loaded": {f"profile-{place}": "enforce" for place in range(131)}},
    backups={
        "backups": [[ctid, "2026-11-22T00:00:00Z", "local"] for ctid in (910, 953, 954, 955, 961)]
    },
    dockers={
        **docker(910),
        **docker(952, RuncCommit={"ID": "v1.2.5"}),
        **none(953),
        **docker(954),
        **docker(961, Driver="btrfs"),
    },
    versions={
        "release": "6.17.4-1-pve",
        "packages": {"pve-manager": "9.1.4", "lxc-pve": "6.0.5-2", "apparmor": "4.1.1-pmx1"},
    },
)
BARE = FakeNode("pve1", {953: CLOSED}, label=GENERATED, dockers=none(953), apparmor=installed())
#: The nodes and the fleet file that each page is about.
SCENES = {
    "first-look": ([FOUND], None),
    "first-container": ([OPEN], FIRST),
    "whole-node": ([OPEN], FLEET),
    "cluster": ([pve(other=None), FakeNode("pve2", {953: OTHER})], FLEET),
    "ha": ([MANAGED], FIRST),
    "audit": ([CONFINED], FLEET),
    "create": ([FakeNode("pve1", {}, stock=STOCK)], fleet_of("create")),
    "docker": ([BARE], fleet_of("docker")),
    "own-check": ([QDRANT], fleet_of("own-check")),
    "undo": ([DONE], None),
    "upgrade": ([UPGRADED], FIRST),
    "unconfined": ([OPEN], {}),
}


def shown():
    """Each command of a page that shows what a recipe prints, with that."""
    for page in sorted(GUIDE.glob("*.md")):
        for block in re.findall(r"^ *```console\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.M):
            for part in re.split(r"^\$ ", textwrap.dedent(block), flags=re.M)[1:]:
                line, *answer = part.splitlines()
                # what the lab printed is the lab's
                if "deploys/" in line and answer and not any("[pve-lab]" in one for one in answer):
                    yield pytest.param(page.stem, line, answer, id=f"{page.stem} {line[33:]}")


def squeezed(line):
    """Without the widths of columns, which names outside of the page may have."""
    return " ".join(line.split())


@pytest.mark.parametrize(("page", "line", "answer"), [*shown()])
def test_what_a_page_shows_is_what_the_recipe_prints(
    page, line, answer, pyinfra, tmp_path, monkeypatch
):
    nodes, fleet = SCENES[page]
    _, _, recipe, *words = shlex.split(line)
    given = [after for word, after in pairwise(words) if word == "--data"]
    data = dict(one.split("=") for one in given)
    name = data.pop("fleet", "")
    if "write" in data:
        name, data["write"] = data["write"], tmp_path / "fleet.json"
    for variable, value in re.findall(r"^\$ export (\w+)=(\S+)", text_of(page), re.M):
        monkeypatch.setenv(variable, value)
    # the page begins with an empty file, and goes on with one that names containers
    fleet = FLEET if name and "only" in data else fleet
    flags = [word for word in words if word in ("--dry", "-y")] or ["-y"]
    done = pyinfra(Path(recipe).stem, *nodes, fleet=fleet, flags=flags, verbose=(), **data)
    printed = done.stderr.replace("@fake/", "").replace(str(tmp_path / "fleet.json"), name)
    lines = [squeezed(one) for one in printed.splitlines()]
    place, left_out = 0, True
    for one in map(squeezed, answer):
        if one == "...":
            left_out = True
            continue
        assert one in (lines[place:] if left_out else lines[place : place + 1]), printed
        place = lines.index(one, place) + 1
        left_out = False
