"""The conf: read as Proxmox reads it, edited so that nothing else moves."""

import re
from pathlib import Path

import pytest
from conf_strategies import CHARACTERS, confs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phoenix.pve.conf import PENDING, PveConf

RECORDINGS = Path(__file__).parents[1] / "recordings/pct"


WHOLE = """\
#first line of description
#second line%3A with colon
lxc.apparmor.profile: lxc-container-default-with-nesting
arch: amd64
features: nesting=1,keyctl=1
#a comment in the middle
hostname: ct911
lxc.mount.entry: /srv/a srv/a none bind,optional,create=dir 0 0
net0: name=eth0,bridge=vmbr0
unprivileged: 1
lxc.mount.entry: /srv/b srv/b none bind,optional,create=dir 0 0

[pve:pending]
memory: 1024
delete: swap

[snap1]
#snapshot description
arch: amd64
features: fuse=1
lxc.apparmor.profile: unconfined
"""


# -- reading ----------------------------------------------------------------------------------


@given(st.one_of(st.text(CHARACTERS), confs()))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    conf = PveConf.parse(text)
    assert conf.render() == text
    lines = "".join(line.text for line in conf.main.lines)
    assert text.startswith(lines)
    assert sum(len(s.lines) for s in conf.sections) + len(conf.sections) - 1 == len(
        re.findall(r"[^\n]*\n|[^\n]+", text)
    )


@given(st.binary())
def test_any_bytes_come_back_as_they_were(data: bytes) -> None:
    assert PveConf.from_bytes(data).to_bytes() == data


def test_the_sections_of_a_whole_conf() -> None:
    conf = PveConf.parse(WHOLE)
    assert conf.main["features"] == "nesting=1,keyctl=1"
    assert conf.main.keys() == ("arch", "features", "hostname", "net0", "unprivileged")
    assert conf.main.raw("lxc.apparmor.profile") == ("lxc-container-default-with-nesting",)
    assert [key for key, _ in conf.main.raw_items()] == [
        "lxc.apparmor.profile",
        "lxc.mount.entry",
        "lxc.mount.entry",
    ]
    assert conf.main.description == (
        "first line of description\nsecond line: with colon\na comment in the middle\n"
    )
    assert conf.pending is not None
    assert (conf.pending["memory"], conf.pending["delete"]) == ("1024", "swap")
    assert conf.snapshots_names == ("snap1",)
    assert conf.snapshots[0].raw("lxc.apparmor.profile") == ("unconfined",)
    assert (conf.hostname, conf.unprivileged, conf.template, conf.lock) == (
        "ct911",
        True,
        False,
        None,
    )


def test_of_equal_plain_keys_the_last_counts() -> None:
    # native/3c: two features lines, pct config shows the second
    conf = PveConf.parse("features: keyctl=1\ncores: 1\nfeatures:nesting=1\n")
    assert conf.main["features"] == "nesting=1"


def test_of_equal_snapshots_the_last_counts() -> None:
    # native/3e: pct config --snapshot snap1 shows memory 65 alone
    conf = PveConf.parse("cores: 1\n[snap1]\nmemory: 64\nlxc.mount.auto: sys\n[snap1]\nmemory: 65")
    assert conf.snapshots_names == ("snap1",)
    assert conf.snapshots[0]["memory"] == "65"
    assert conf.snapshots[0].raw_items() == ()


@pytest.mark.parametrize(
    "line", ["lxc.tty.max: 2", "lxc.tty.max:2", "lxc.tty.max = 2", "lxc.tty.max=2 \t\r"]
)
def test_raw_keys_are_read_in_every_spelling(line: str) -> None:
    assert PveConf.parse(line).main.raw("lxc.tty.max") == ("2",)


def test_pending_is_found_whatever_its_case() -> None:
    conf = PveConf.parse("[PVE:Pending]\r\ncores: 2\r\n")
    assert conf.pending is not None
    assert conf.pending.name == PENDING
    assert conf.pending["cores"] == "2"


def test_no_other_character_ends_a_line() -> None:
    conf = PveConf.parse("cores: 1\rlxc.tty.max: 2\x85hostname: x\u2028\x0cmemory: 5\n")
    assert conf.main.keys() == ("cores",)


def test_junk_is_what_the_real_pct_warns_about() -> None:
    text = _recorded("native/3a__cat_etc_pve_lxc_912.conf.txt")
    warned = re.findall(
        r"^vm 912 - (?:unable to parse config: (.*)|(lxc\.rootfs\.path): .*)$",
        (RECORDINGS / "native/3a__pct_list.txt").read_text(),
        re.MULTILINE,
    )
    dropped = [line or "lxc.rootfs.path: /x" for line, _ in warned]
    assert list(PveConf.parse(text).main.junk) == dropped


def test_what_is_no_junk_survives_a_write_of_the_real_pct() -> None:
    before = PveConf.parse(_recorded("native/3a__cat_etc_pve_lxc_912.conf.txt")).main
    after = PveConf.parse(_recorded("native/3b__cat_etc_pve_lxc_912.conf.txt")).main
    # in 6.1 lxc.environment.runtime lines move to the front
    assert sorted(after.raw_items()) == sorted(before.raw_items())
    assert sorted(before.keys()) == list(after.keys())


def test_every_recorded_conf_comes_back_as_it_was() -> None:
    files = [*RECORDINGS.glob("*/*__cat_etc_pve_lxc_9*.conf*.txt")]
    assert len(files) > 20
    for file in files:
        text = _recorded(str(file.relative_to(RECORDINGS)))
        conf = PveConf.parse(text)
        assert conf.render() == text
        assert conf.main["arch"] == "amd64", file.name


def test_the_digest_is_the_sha1_of_the_bytes() -> None:
    assert PveConf.from_bytes(b"caf\xe9\n").digest == "ec641dcd5a045c0401341acb3722194999e1a6f5"


# -- editing ----------------------------------------------------------------------------------


def test_a_new_raw_key_stands_at_the_end_of_the_main_section() -> None:
    conf = PveConf.parse(WHOLE).set_raw("lxc.tty.max", "2")
    assert conf.text == WHOLE.replace(
        "create=dir 0 0\n\n[pve:pending]", "create=dir 0 0\nlxc.tty.max: 2\n\n[pve:pending]"
    )


def test_a_raw_key_is_replaced_where_its_first_line_stands() -> None:
    conf = PveConf.parse("lxc.apparmor.profile=a\ncores: 1\nlxc.apparmor.profile: b\n[s1]\n")
    assert conf.set_raw("lxc.apparmor.profile", "c").text == (
        "lxc.apparmor.profile: c\ncores: 1\n[s1]\n"
    )
    # the first one is right already: it keeps its spelling
    assert conf.set_raw("lxc.apparmor.profile", "a").text == (
        "lxc.apparmor.profile=a\ncores: 1\n[s1]\n"
    )


def test_one_of_several_equal_keys_comes_and_goes_by_value() -> None:
    conf = PveConf.parse(WHOLE)
    same = "/srv/a  srv/a\tnone bind,optional,create=dir 0 0"
    assert conf.add_raw("lxc.mount.entry", same) == conf
    more = conf.add_raw("lxc.mount.entry", "/srv/c srv/c none bind")
    assert len(more.main.raw("lxc.mount.entry")) == 3
    assert more.remove_raw("lxc.mount.entry", "/srv/c  srv/c none bind") == conf
    assert conf.remove_raw("lxc.mount.entry", same).text == WHOLE.replace(
        "lxc.mount.entry: /srv/a srv/a none bind,optional,create=dir 0 0\n", ""
    )


def test_a_new_plain_key_stands_where_proxmox_sorts_it() -> None:
    text = "#d\narch: amd64\nhostname: x\nlxc.tty.max: 2\n"
    assert PveConf.parse(text).set_key("features", "nesting=1").text == (
        "#d\narch: amd64\nfeatures: nesting=1\nhostname: x\nlxc.tty.max: 2\n"
    )
    assert PveConf.parse(text).set_key("template", "1").text == (
        "#d\narch: amd64\nhostname: x\ntemplate: 1\nlxc.tty.max: 2\n"
    )
    assert PveConf.parse("").set_key("cores", "1").text == "cores: 1\n"
    assert PveConf.parse("[s1]\ncores: 2\n").set_key("cores", "1").text == (
        "cores: 1\n[s1]\ncores: 2\n"
    )


def test_the_line_that_counts_is_the_one_that_is_changed() -> None:
    conf = PveConf.parse("cores: 1\nmemory: 5\ncores:2\n")
    assert conf.set_key("cores", "2") == conf
    assert conf.set_key("cores", "3").text == "cores: 1\nmemory: 5\ncores: 3\n"
    assert conf.drop_key("cores").text == "memory: 5\n"


def test_new_lines_end_like_the_others() -> None:
    conf = PveConf.parse("arch: amd64\r\n\r\n[s1]\r\narch: i386\r\n")
    edited = conf.set_raw("lxc.tty.max", "2").set_key("arch", "arm64")
    assert edited.text == "arch: arm64\r\nlxc.tty.max: 2\r\n\r\n[s1]\r\narch: i386\r\n"


def test_an_unfinished_last_line_is_finished_first() -> None:
    assert PveConf.parse("arch: amd64").set_raw("lxc.tty.max", "2").text == (
        "arch: amd64\nlxc.tty.max: 2\n"
    )
    assert PveConf.parse("arch: amd64").set_key("arch", "i386").text == "arch: i386"


def test_dropping_what_is_not_there_changes_nothing() -> None:
    conf = PveConf.parse(WHOLE)
    assert conf.drop_key("memory").drop_raw("lxc.idmap").remove_raw("lxc.idmap", "x") == conf


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lxc.apparmor.profile", "a\nlxc.apparmor.profile: unconfined", "control character"),
        ("lxc.apparmor.profile", "a\rb", "control character"),
        ("lxc.apparmor.profile", "a\0b", "control character"),
        ("lxc.apparmor.profile", "a\u2028b", "control character"),
        ("lxc.apparmor.profile", " [snap1]", "starts with '\\['"),
        ("lxc.apparmor.profile", "#x", "starts with '#'"),
        ("lxc.mount.entry", "/srv/../etc srv none bind 0 0", "climbs out"),
        ("lxc.mount.entry", "/srv ../etc none bind 0 0", "climbs out"),
        ("lxc.nosuchkey", "1", "does not know the key"),
        ("lxc.rootfs.path", "/x", "`rootfs` key"),
        ("LXC.tty.max", "1", "not a raw lxc key"),
    ],
)
def test_raw_values_cannot_break_out(key: str, value: str, said: str) -> None:
    for edit in (PveConf.parse(WHOLE).set_raw, PveConf.parse(WHOLE).add_raw):
        with pytest.raises(ValueError, match=said):
            edit(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features", "nesting=1\n[snap1]"),
        ("features", ""),
        ("features", "  "),
        ("mp0", "/srv/../etc,mp=/x"),
        ("dev0", "/dev/../etc/shadow"),
        # would be read as a snapstate, whatever stands before it
        ("foo", "snapstate: delete"),
        ("description", "x"),
        ("delete", "swap"),
        ("lxc.tty.max", "2"),
        ("bad key", "2"),
    ],
)
def test_plain_values_cannot_break_out(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(key)):
        PveConf.parse(WHOLE).set_key(key, value)


VALUE = st.text(CHARACTERS, max_size=12)


@given(confs(), VALUE)
def test_a_value_is_refused_or_read_back_alone(text: str, value: str) -> None:
    conf = PveConf.parse(text)
    try:
        edited = conf.set_raw("lxc.environment", value)
    except ValueError:
        return
    assert edited.main.raw("lxc.environment") == (value.strip(" \t"),)
    others = [line for line in edited.main.lines if line.key != "lxc.environment"]
    assert len(others) == len(conf.main.lines)
    assert edited.sections[1:] == conf.sections[1:]


KEYS = st.sampled_from(["cores", "features", "hostname", "mp0", "mp7", "zz"])
RAWS = st.sampled_from(["lxc.apparmor.profile", "lxc.mount.entry", "lxc.cap.drop", "lxc.idmap"])
VALUES = st.sampled_from(["1", "/srv/b srv/b none bind", "unconfined", "nesting=1,keyctl=1"])
EDITS = st.one_of(
    st.tuples(st.just("set_key"), KEYS, VALUES),
    st.tuples(st.just("drop_key"), KEYS),
    st.tuples(st.just("set_raw"), RAWS, VALUES),
    st.tuples(st.just("drop_raw"), RAWS),
    st.tuples(st.just("add_raw"), RAWS, VALUES),
    st.tuples(st.just("remove_raw"), RAWS, VALUES),
)


@given(confs(), st.lists(EDITS, max_size=8))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_edits_leave_every_other_line_in_place(text: str, edits: list[tuple[str, ...]]) -> None:
    before = after = PveConf.parse(text)
    for name, *arguments in edits:
        after = getattr(after, name)(*arguments)
        # a second time is no change
        assert getattr(after, name)(*arguments) == after
        key = arguments[0]
        match name:
            case "set_key":
                assert after.main[key] == arguments[1]
            case "drop_key":
                assert key not in after.main
            case "set_raw":
                assert len(after.main.raw(key)) == 1
            case "drop_raw":
                assert not after.main.raw(key)

    touched = {key for _, key, *_ in edits}
    kept, expected = _others(after, touched), _others(before, touched)
    if expected and not expected[-1].endswith("\n") and kept != expected:
        # an unfinished last line may have got its newline
        assert kept.pop() in (f"{expected[-1]}\n", f"{expected[-1]}\r\n")
        expected.pop()
    assert kept == expected
    rest = sum(len(line.text) for line in before.main.lines)
    assert after.text.endswith(text[rest:])


def _others(conf: PveConf, touched: set[str]) -> list[str]:
    """The lines of the main section that no edit was about."""
    return [
        line.text
        for line in conf.main.lines
        if not (line.kind in ("key", "raw") and line.key in touched)
    ]


def _recorded(name: str) -> str:
    """The standard output of a recording."""
    data = (RECORDINGS / name).read_bytes().decode("utf-8", "surrogateescape")
    text = data.split("--- stdout\n", 1)[1].split("--- stderr\n", 1)[0]
    return text.replace("^M$\n", "\r\n") if "cat_-A" in name else text


# -- what waits for the next start ------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "waiting"),
    [
        ("memory: 1024\ncores: 2\n", ("memory", "cores")),
        ("delete: swap,!tags\n", ("delete",)),
        # pve-container write_pct_config: `env` has no line of its own
        ("lxc.environment.runtime: TZ=UTC\n", ("env (TZ)",)),
        ("lxc.environment.runtime = A=1\nlxc.environment.runtime: B=x=y\n", ("env (A, B)",)),
        (
            "".join(f"lxc.environment.runtime: V{number}=\n" for number in range(9)),
            ("env (V0, V1, V2, V3, V4, …)",),
        ),
        ("lxc.environment.runtime:\n", ("env (?)",)),
        ("env: A=1\n", ("env",)),
        ("delete: env\n", ("delete",)),
        ("lxc.cap.drop: mknod\nlxc.cap.drop: sys_time\n", ("lxc.cap.drop",)),
        # what Proxmox drops is not applied
        ("lxc.nosuchkey: 1\nsnapstate: delete\n#a comment\n", ()),
        ("", ()),
    ],
)
def test_all_that_waits_is_named_and_no_value_of_it(lines: str, waiting: tuple[str, ...]) -> None:
    conf = PveConf.parse(f"arch: amd64\n\n[pve:pending]\n{lines}\n[snap1]\nmemory: 64\n")
    assert conf.waiting == waiting


def test_without_a_pending_section_nothing_waits() -> None:
    conf = PveConf.parse("memory: 64\nlxc.environment.runtime: A=1\n[snap1]\ncores: 1\n")
    assert (conf.waiting, conf.waiting_raw) == ((), ())


def test_raw_lines_that_wait_are_told_apart_from_env() -> None:
    conf = PveConf.parse("[pve:pending]\nlxc.environment.runtime: A=1\nlxc.cap.drop: mknod\n")
    assert conf.waiting == ("env (A)", "lxc.cap.drop")
    assert conf.waiting_raw == ("lxc.cap.drop",)


@given(confs(), st.lists(st.tuples(RAWS, VALUES), max_size=8))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_many_raw_lines_at_once_are_what_they_are_one_after_another(
    text: str, lines: list[tuple[str, str]]
) -> None:
    before = one_by_one = PveConf.parse(text)
    came = []
    for key, value in lines:
        after = one_by_one.add_raw(key, value)
        came += [(key, value)] if after != one_by_one else []
        one_by_one = after
    assert before.add_raws(lines) == (one_by_one, tuple(came))
    gone = one_by_one
    for key, value in lines:
        gone = gone.remove_raw(key, value)
    assert one_by_one.remove_raws(lines) == gone
