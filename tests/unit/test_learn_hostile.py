"""Whatever a guest has the log say: what is learned of it opens nothing that is denied."""

import re
import subprocess
from dataclasses import replace

import pytest
from conf_strategies import CHARACTERS
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from learn_cases import ID, NAME, OWN, WHOSE, hexed, learned, overlay
from overlay_cases import OLD, profile
from test_apparmor import NEW

from phoenix.apparmor.denials import Owner, read_line
from phoenix.apparmor.lint import lint
from phoenix.apparmor.overlay import CAPABILITIES, SOCKETS, read_overlay, rules
from phoenix.apparmor.profile_text import read_profiles
from phoenix.apparmor.rule_coverage import Mount, file_access

# pieces of what a guest may call a file, a folder or itself
PIECES = st.sampled_from(
    [
        *("/proc", "/sys", "/dev", "proc", "/tmp", "/run", "/run/systemd", "/kernel", "/class"),
        *("/.lxc", "/sysrq-trigger", "/kcore", "/debug", "/1/root", "/namespace-x", "/"),
        *("..", ".", "*", "**", "?", "[p]", "{proc,sys}", "@{", "}", "@", "@{dkr_root}"),
        *("@{dkr_id}", "@{any_proc}", '"', "\\", "\n", "\r", "\t", " ", ",", "#", " r,"),
        *(" -> /proc/", "change_profile,", "include <x>", "ä", "\u202e", "\udcff", "a" * 900),
    ]
)
# and of what it may have good reason to
PLACES = st.sampled_from(
    [
        *("/srv", "/srv/my data", "/tmp/x", "/run/x", "/run/lock/x", "/run/credentials/x/y"),
        *("/var/lib/docker", f"/var/lib/docker/overlay2/{ID}/merged", "/var/lib/containerd"),
        *(f"/var/lib/docker/overlay2/{ID}/diff", "/var/lib/docker/vfs/dir/x", f"/srv/{ID}"),
        *("/run/systemd/unit-root", f"/run/docker/{ID}", "/a@b:c+d-e", "/merged/"),
    ]
)
HOSTILE = st.lists(PIECES, max_size=5).map("".join) | st.text(CHARACTERS, max_size=20)
NAMES = PLACES | st.tuples(PLACES, HOSTILE).map("".join) | HOSTILE
FLAGS = ("rw", "ro, nosuid", "rw, bind", "rw, rbind", "rw, move", "rw, remount", "rw, silent")
OTHER_FLAGS = ("rw, private", "rw, remount, bind", "rw, bind, unknown", "rw, nosymfollow")
TYPES = ("overlay", "tmpfs", "ramfs", "fuse", "fuse.x", "fuse.*", "mqueue", "proc", "sysfs", "ext4")
FAMILIES = ("unix", "inet", "inet6", "netlink", "packet", "alg", "vsock", "unknown(40)")
MASKS = ("r", "w", "wa", "ac", "rwcdklm", "x", "rx", "l", "", "send")
#: For each operation what the kernel says of it, each as one of these words or a guest's name.
KINDS = {
    "mount": {"name": NAMES, "srcname": NAMES, "flags": (*FLAGS, *OTHER_FLAGS), "fstype": TYPES},
    "umount": {"name": NAMES},
    "pivotroot": {"name": NAMES, "srcname": NAMES},
    "open": {"name": NAMES, "denied_mask": MASKS, "requested_mask": MASKS, "class": ("file",)},
    "capable": {"capname": ("net_raw", "sys_admin", "sys_module", "mac_admin", "bpf", "new, x")},
    "create": {
        "family": FAMILIES,
        "sock_type": ("stream", "raw", "dgram", "rdm"),
        "class": ("net",),
    },
    "signal": {"peer": NAMES, "requested_mask": ("send",)},
    "change_profile": {"name": NAMES, "target": NAMES},
    "userns_create": {},
}


@st.composite
def denials(draw):
    """A line as the kernel writes it, and at times with fields that it never has together."""
    operation = draw(st.sampled_from([*KINDS, "mount", "mount"]))
    fields = {}
    for kind in {operation, draw(st.sampled_from([*KINDS]) if draw(ODD) else st.just(operation))}:
        for name, of in KINDS[kind].items():
            if not draw(ODD):
                is_free = isinstance(of, st.SearchStrategy)
                fields[name] = hexed(draw(of)) if is_free else f'"{draw(st.sampled_from(of))}"'
    if operation == "mount" and draw(st.booleans()):
        fields.pop("fstype", None)
    words = " ".join(f"{name}={value}" for name, value in fields.items())
    line = (
        f'apparmor="ALLOWED" operation="{operation}" profile="{OWN}" comm={hexed(draw(NAMES))} '
        f"fsuid=0 {words}"
    )
    denial = read_line(line)
    assert denial
    owner = draw(st.none() | st.builds(Owner, st.just(910), st.just(ID), NAMES))
    return replace(denial, count=3, last=1795305662.5, owner=owner)


ODD = st.sampled_from([True, *[False] * 9])
LOGS = st.lists(denials(), max_size=8)
BASE = profile(["/srv/@{dkr_id} r,"], node=NEW)
DENIES = [one for one in read_profiles(BASE).profiles[0].rules if not one.allows]
VALUES = dict(re.findall(r"^@\{(\w+)\} += (.*)$", BASE, re.MULTILINE))


def spelled_out(pattern):
    """Every pattern without variables that one with variables stands for."""
    found = re.search(r"@\{(\w+)\}", pattern)
    if not found:
        return [pattern]
    values = VALUES[found[1]].split(" ")
    return [one for value in values for one in spelled_out(pattern.replace(found[0], value, 1))]


def regex(pattern):
    """apparmor.d(5): ** is anything, * anything but a slash, {a,b} one of them, [^a] as usual."""
    parts = re.findall(r"\*\*|\*|\[[^\]]*\]|[{},]|.", pattern)
    known = {"**": ".*", "*": "[^/]*", "{": "(?:", "}": ")", ",": "|"}
    return re.compile(
        "".join(known.get(one) or (one if one[0] == "[" else re.escape(one)) for one in parts)
    )


DENIED_FILES = [
    regex(pattern)
    for rule in DENIES
    if (access := file_access(rule))
    for pattern in spelled_out(access.path)
]
#: What a variable of a learned rule may stand for.
EXAMPLES = {
    "@{dkr_root}": f"/var/lib/docker/overlay2/{ID}/merged",
    "@{dkr_data}": "/var/lib/docker",
    "@{ctd_data}": "/var/lib/containerd",
    "@{unit_root}": "/run/systemd/unit-root",
    "@{dkr_id}": ID,
}


def example(path):
    for variable, value in EXAMPLES.items():
        path = path.replace(variable, value)
    return path


def paths_of(rule):
    if access := file_access(rule):
        return [access.path]
    mount = Mount.parse(rule)
    if mount:
        return [path for path in (mount.source, mount.target) if path is not None]
    return list(rule.words[1:]) if rule.words[0] == "umount" else []


@given(LOGS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_the_overlay_is_one_that_a_person_might_write(log):
    text = overlay(*log)
    lines, flaws = read_overlay(text.encode())
    assert flaws == ()
    assert all(line.isprintable() for line in lines)
    assert [str(rule) for rule in rules(lines)] == [str(rules([one])[0]) for one in learned(*log)]
    # and nothing more is learned from the same log
    assert overlay(*log, present=text) == text


@given(LOGS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_it_allows_nothing_of_what_is_denied(log):
    for rule in rules(learned(*log)):
        assert rule.qualifiers == ()
        for path in map(example, paths_of(rule)):
            assert not {"proc", "sys", "dev", ".."} & {*path.split("/")}
            assert not [one.pattern for one in DENIED_FILES if one.fullmatch(path)]
        kind, *words = rule.words
        if kind == "mount":
            _check_mount(Mount.parse(rule))
        elif kind == "capability":
            assert {*words} <= CAPABILITIES
        elif kind == "network":
            assert words[1] in SOCKETS[words[0]]
        else:
            assert kind == "umount" or file_access(rule).execute == ""


def _check_mount(mount):
    assert mount.target not in (None, "/")
    assert mount.exact
    assert "move" not in mount.flags
    if mount.fstype is None:
        assert "remount" in mount.flags or mount.source
    else:
        (kind,) = mount.fstype
        assert kind.partition(".")[0] in ("overlay", "tmpfs", "ramfs", "mqueue", "fuse")


@given(LOGS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_rule_is_wider_than_what_was_seen(log):
    """Nothing in it stands for more than one name but the variables, in place of what was seen."""
    names = {denial[field].rstrip("/") for denial in log for field in ("name", "srcname")}
    for rule in rules(learned(*log)):
        for path in paths_of(rule):
            assert not {*"*?[]{}^\\"} & {*re.sub(r"@\{(dkr|ctd|unit)_\w+\}", "", path)}
            assert any(_stands_for(path.rstrip("/"), name) for name in names)


def _stands_for(path, name):
    """Whether a path with variables was made of a name."""
    parts = re.split(r"(@\{\w+\})", path)
    choices = ([regex(one).pattern for one in spelled_out(part)] for part in parts[1::2])
    values = [*(f"(?:{'|'.join(one)})" for one in choices), ""]
    pattern = "".join(re.escape(one) + value for one, value in zip(parts[::2], values, strict=True))
    return re.fullmatch(pattern, name) is not None


@given(st.lists(denials(), min_size=20, max_size=40))
@settings(max_examples=20, suppress_health_check=[*HealthCheck], deadline=None)
def test_the_profile_is_linted_clean_and_the_parser_takes_its_rules(parser, tmp_path, log):
    lines, _ = read_overlay(overlay(*log).encode())
    rendered = profile(lines, node=OLD)
    found = lint(rendered, expected=f"{NAME}-910", abis=OLD.abis, docker=True, warnings=False)
    assert found == ()
    # without the template's rules, which take the parser a second
    head, _, rest = rendered.partition(" {\n")
    own = rest.partition("profiles.d/910.rules")[2].partition("\n")[2]
    file = tmp_path / "profile"
    file.write_text(f"{head} {{\n{own or '}'}")
    compiled = subprocess.run([parser, "-Q", "-K", "-T", file], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.parametrize("begin", ["mount", "umount", "capability", "network", "/"])
def test_rules_of_each_kind_are_learned_here(begin):
    """Or the tests above would hold for nothing."""
    find(
        denials(),
        lambda denial: any(rule.startswith(begin) for rule in learned(denial)),
        settings=settings(
            max_examples=5000,
            suppress_health_check=[*HealthCheck],
            # the first that is found will do, however long it is
            phases=[Phase.generate],
        ),
    )


def test_the_list_of_what_is_denied_is_read_here():
    """Or the tests above would hold for nothing."""
    for path in ("/proc/sysrq-trigger", "/x/sys/class/gpio", "/tmp/kcore", "/dev/.lxc/proc/x"):
        assert any(one.fullmatch(path) for one in DENIED_FILES)
    assert not any(one.fullmatch("/srv/x") for one in DENIED_FILES)
    assert WHOSE.ctid == 910
