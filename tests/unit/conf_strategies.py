"""Confs for property tests: what Proxmox writes, what people write, and what nobody should."""

import json

from hypothesis import strategies as st

#: What `st.text` makes texts of. By itself it has a codec try all of Unicode first: 2 seconds.
CHARACTERS = st.characters(exclude_categories=["Cs"])

MAIN_LINES = [
    "#a description",
    "#second%3A line",
    "arch: amd64",
    "cores: 2",
    "cores:3",
    "features: nesting=1,keyctl=1",
    "features: ",
    "hostname: ct911",
    "lock: backup",
    "template: 1",
    "unprivileged: yes",
    "mp0: /srv/shared,mp=/mnt/shared",
    "dev0: /dev/nvidia0,mode=0666",
    "lxc.apparmor.profile: unconfined",
    "lxc.apparmor.profile=generated",
    "lxc.apparmor.profile = lxc-container-default",
    "lxc.mount.entry: /srv/a srv/a none bind,optional,create=dir 0 0",
    "lxc.mount.entry:/srv/b  srv/b none bind",
    "lxc.mount.entry:",
    "lxc.cap.drop:",
    "lxc.cgroup2.devices.allow =c 10:229 rwm",
    # what Proxmox drops
    "lxc.nosuchkey: 1",
    " lxc.mount.auto: cgroup",
    "nodename=oops",
    "[bad section!]",
    "delete: swap",
    "just some text",
    "x snapstate: prepare",
    "caf\udce9 \x00 \x0c\x0b\x1c\x85\u2028",
    "",
    "  ",
    "\x0c",
]
HEADERS = ["[pve:pending]", "[PVE:Pending]  ", "[snap1]", "[snap2]\t", "[snap1]"]
ENDINGS = ["\n", "\n", "\n", "\r\n", "\r\r\n"]


def _section(lines: list[str]) -> st.SearchStrategy[str]:
    line = st.tuples(st.sampled_from(lines), st.sampled_from(ENDINGS)).map("".join)
    return st.lists(line, max_size=12).map("".join)


@st.composite
def confs(draw: st.DrawFn) -> str:
    """A conf: main section, pending, snapshots, in any state of disorder."""
    text = draw(_section(MAIN_LINES))
    for header in draw(st.lists(st.sampled_from(HEADERS), max_size=3)):
        text += draw(st.sampled_from(["", "\n", "\r\n\r\n"])) + header
        text += draw(st.sampled_from(ENDINGS)) + draw(_section(MAIN_LINES))
    return text[:-1] if text and draw(st.booleans()) else text


@st.composite
def daemon_jsons(draw: st.DrawFn) -> str:
    """A daemon.json: any keys, the managed ones among them, in any layout."""
    inner = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(CHARACTERS, max_size=5),
        lambda deeper: (
            st.lists(deeper, max_size=3)
            | st.dictionaries(st.text(CHARACTERS, max_size=3), deeper, max_size=3)
        ),
        max_leaves=5,
    )
    document = draw(st.dictionaries(st.text(CHARACTERS, max_size=5), inner, max_size=4))
    document.pop("features", None)
    document.pop("storage-driver", None)
    pairs = list(document.items())
    if draw(st.booleans()):
        pairs.append(("storage-driver", draw(st.sampled_from(["overlay2", "vfs"]))))
    if draw(st.booleans()):
        value = draw(st.sampled_from([{}, {"buildkit": 1}, {"containerd-snapshotter": True}]))
        pairs.append(("features", value))
    pairs = draw(st.permutations(pairs))
    indent = draw(st.sampled_from([None, None, 1, 2, 4, "\t"]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]))
    ascii_only = draw(st.booleans())
    text = json.dumps(dict(pairs), indent=indent, separators=separators, ensure_ascii=ascii_only)
    end = draw(st.sampled_from(["", "\n", " \r\n\n"]))
    return text + end
