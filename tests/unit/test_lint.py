"""Lint: each rule fires on what it is about and stays silent on what only looks like it."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from phoenix.apparmor.lint import lint
from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import profile_names, render_profile

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests/recordings/apparmor"
TEMPLATES = {path.name: path.read_text() for path in (ROOT / "templates/apparmor").glob("*.j2")}
NODES = [
    ObservedAppArmor(parser=(3, 0, 8), abis=("3.0",)),
    ObservedAppArmor(
        parser=(4, 1, 0),
        abis=(
            "3.0",
            "4.0",
        ),
    ),
]
BASE = "include <abstractions/lxc/container-base>"
DEBIAN_WARNING = (
    "Cache read/write disabled: interface file missing. (Kernel needs AppArmor 2.4 …)\n"
)


def found(text, **options):
    """The findings of a text as (line, rule)."""
    return [(finding.line, finding.rule) for finding in lint(text, **options)]


def of(*rules):
    """The findings of a good profile with these lines in it, the first of which is line 3."""
    return found("\n".join(["include <tunables/global>", "profile lxc-a {", *rules, "}"]))


# --- nothing to find ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "node"),
    [*product(profile_names(TEMPLATES), NODES)],
    ids=lambda value: str(value)[-40:],
)
def test_our_own_profiles_are_clean(name, node):
    text = render_profile(Confinement(name), TEMPLATES, node)
    assert lint(text, expected=name, abis=node.abis, docker=True) == ()


def test_they_are_compiled_by_our_own_abi_where_there_is_one():
    node = replace(NODES[1], files={"abi/4.0": "file {mask {read\n}\n}\n"})
    text = render_profile(Confinement("lxc-docker-nested"), TEMPLATES, node)
    assert "\nabi <abi/phoenix-harden>,\n" in text
    assert found(text, abis=node.abis) == [
        (text.split("\n").index("abi <abi/phoenix-harden>,") + 1, "unknown-abi")
    ]


@pytest.mark.parametrize("name", ["lxc-docker-nested", "lxc-docker-nested-ns"])
def test_the_measured_profiles_are_clean(name):
    text = (REFERENCE / name).read_text()
    assert lint(text, expected=name, abis={"4.0"}, docker=True) == ()


# --- what the parser says -----------------------------------------------------------------


def parse_error(text, message, **options):
    """The one finding that a parser's message becomes."""
    (finding,) = (
        finding
        for finding in lint(text, parser_message=message, parser_file="/tmp/x", **options)
        if finding.rule == "does-not-parse"
    )
    assert not finding.parses
    return finding


def test_a_syntax_error_keeps_the_parsers_line_and_says_that_it_is_often_the_next_one():
    message = (
        f"{DEBIAN_WARNING}AppArmor parser error for /tmp/x in profile /tmp/x at line 64: "
        "syntax error, unexpected TOK_ID, expecting TOK_END_OF_RULE"
    )
    finding = parse_error("profile lxc-a {\n}", message)
    assert (finding.line, finding.message) == (64, message.rpartition("line 64: ")[2])
    assert "this line and the one before" in finding.way_out


def test_an_error_in_an_included_file_gets_the_line_of_the_include():
    message = (
        "AppArmor parser error for /tmp/x in profile /etc/apparmor.d/tunables/home at line 21: "
        "syntax error, unexpected TOK_EQUALS, expecting TOK_OPEN"
    )
    text = "abi <abi/3.0>,\n#include <tunables/global>\nprofile lxc-a {\n include <local/a>\n}"
    finding = parse_error(text, message)
    assert finding.line == 2
    assert finding.message.startswith("/etc/apparmor.d/tunables/home line 21: syntax error")
    assert "/etc/apparmor.d/tunables/home" in finding.way_out


@pytest.mark.parametrize(
    ("message", "line", "way_out"),
    [
        ("Found reference to variable PROC, but is never declared", 4, "include <tunables/global>"),
        ("profile lxc-a: has merged rule /x with conflicting x modifiers\nERROR", 1, "ix"),
        ("apparmor_parser: Unable to parse input line '/etc/{a,b'", 5, "before"),
        ("what nobody has seen yet", 1, "before"),
    ],
)
def test_an_error_without_a_line_is_put_where_its_words_point(message, line, way_out):
    text = "profile lxc-a {\n\n/x r,\n@{PROC}/x r,\n /etc/{a,b r,\n}"
    finding = parse_error(text, DEBIAN_WARNING + message)
    assert (finding.line, way_out in finding.way_out) == (line, True), finding


def test_what_the_parser_takes_is_not_called_unparsable():
    text = "abi <abi/9.9>,\nprofile lxc-a {\n  deny audit @{PROC}/x r,\n}\n"
    assert [rule for _, rule in found(text, abis={"3.0"})] == [
        "unknown-abi",
        "deny-audit-order",
        "missing-tunables",
    ]
    assert found(text, abis={"3.0"}, parser_message="") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("profile lxc-a {\n file,\n", 1),
        ("profile lxc-a {\n profile b {\n}\n", 1),
        ("profile lxc-a {\n}\n}\n", 3),
        ('profile lxc-a {\n\n /a "b r,\n}\n', 3),
    ],
)
def test_what_is_open_at_the_end_needs_no_parser_to_be_found(text, line):
    assert (line, "does-not-parse") in found(text)


# --- names --------------------------------------------------------------------------------


def test_a_profile_of_another_name_than_the_conf_uses_is_found():
    text = "# lxc-a\n\nprofile lxc-b {\n}\n"
    assert found(text, expected="lxc-a") == [(3, "name-mismatch")]
    assert found(text, expected="lxc-b") == []
    assert found(text) == []
    assert found(text + "profile lxc-a {\n}\n", expected="lxc-a") == []


def test_lxc_start_enters_only_what_is_called_lxc():
    assert found("profile lxc_docker_nested {\n}") == [(1, "name-not-lxc")]
    assert found("/usr/bin/lxc-start flags=(attach_disconnected) {\n}") == [(1, "name-not-lxc")]
    assert (
        found('profile "lxc-a b" /x flags=(complain) {\n profile inner {\n}\n ^hat {\n}\n}') == []
    )


def test_a_file_without_a_profile_is_not_clean():
    assert found("") == [(1, "no-profile")]
    assert found("# profile lxc-a {\n# }\n") == [(1, "no-profile")]


# --- ways out of the profile --------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        "include <abstractions/lxc/start-container>",
        "  #include <abstractions/lxc/start-container>",
        'include "abstractions/lxc/start-container"',
        "change_profile,",
        "change_profile -> unconfined,",
        "change_profile -> **,",
        "change_profile -> lxc-**,",
        "change_profile -> lxc-*,",
        "change_profile unsafe /bin/sh -> {a,unconfined},",
        "change_profile -> :lxc-*:unconfined,",
        "audit {\n change_profile,\n}",
        "/bin/sh Ux,",
        "/bin/** rPUx,",
    ],
)
def test_a_way_out_of_the_profile_is_found(rule):
    assert "lets-out" in [rule for _, rule in of(rule)]


@pytest.mark.parametrize(
    "rule",
    [
        "# include <abstractions/lxc/start-container>",
        "change_profile -> docker-default,",
        "change_profile -> lxc-a//inner,",
        "change_profile -> &unconfined,",
        "deny change_profile,",
        "deny /bin/sh Ux,",
        "/bin/sh rix,",
        "/bin/ux r,",
        "signal peer=unconfined,",
    ],
)
def test_what_only_looks_like_a_way_out_is_left_alone(rule):
    assert of(rule) == []


def test_the_include_is_found_in_child_profiles_too():
    rules = ["profile inner {", "include <abstractions/lxc/start-container>", "}"]
    assert of(*rules) == [(4, "lets-out")]


def test_a_profile_flagged_unconfined_confines_nothing():
    assert found("profile lxc-a flags=(attach_disconnected, unconfined) {\n}") == [(1, "lets-out")]


# --- container-base and Docker ------------------------------------------------------------


@pytest.mark.parametrize("rule", ["mount fstype=overlay -> /var/lib/docker/**,"])
def test_container_base_is_refused_for_docker_only(rule):
    assert of(BASE, rule) == [(3, "container-base-with-docker")]
    assert of(BASE) == []
    assert of(rule) == []
    assert of(BASE, "audit deny /var/lib/docker/** w,", "# docker") == []


def test_the_caller_may_know_of_docker_what_the_text_does_not_say():
    text = f"include <tunables/global>\nprofile lxc-a {{\n{BASE}\n}}"
    assert found(text, docker=True) == [(3, "container-base-with-docker")]


# --- grammar ------------------------------------------------------------------------------


def test_audit_stands_before_deny():
    assert of("deny audit mount fstype=binfmt_misc,") == [(3, "deny-audit-order")]
    assert of("audit deny mount fstype=binfmt_misc,", "priority=1 audit allow /x r,") == []


# --- mounts without paths -----------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        "mount,",
        "mount options=(rw,bind),",
        "mount options = ( rw, rbind ),",
        "mount options=bind,",
        "mount options in (rw,bind,remount),",
        "mount options=(rw,bind) -> /{,**},",
        "mount options=(rw,move) -> **,",
        "mount options=(rw),",
    ],
)
def test_a_mount_of_anything_to_anywhere_is_found(rule):
    assert of(rule) == [(3, "mounts-anywhere")]


@pytest.mark.parametrize(
    "rule",
    [
        "mount options=(rw,bind) /srv/**,",
        "mount options=(rw,bind) -> /mnt/**,",
        "mount options=(rw,rslave) -> /{,**},",
        "mount options=(rw,make-rshared) -> **,",
        "mount options=(ro,remount,bind) options in (nosuid,nodev) -> /{,**},",
        "mount fstype=tmpfs,",
        "audit deny mount,",
        "umount,",
    ],
)
def test_a_mount_that_something_limits_is_left_alone(rule):
    assert of(rule) == []


# --- allows that do nothing ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("broad", "narrow"),
    [
        ("file,", "/var/lib/docker/** rwm,"),
        ("file,", "owner @{PROC}/*/fd/ r,"),
        ("file,", "file r /etc/hosts,"),
        ("file,", '"/a b" rix,'),
        ("/dev/nvidia* rw,", "/dev/nvidia-uvm rw,"),
        ("/srv/** rwk,", "/srv/a/{b,c} a,"),
        ("capability,", "capability sys_admin,"),
        ("capability chown kill,", "capability kill,"),
        ("network,", "network inet stream,"),
        ("network inet,", "network inet stream,"),
        ("umount,", "umount /mnt/**,"),
        ("signal,", "signal (receive) peer=unconfined,"),
        ("mount fstype=tmpfs,", "mount fstype=tmpfs options=(rw,nosuid) -> /run/**,"),
        ("mount fstype=fuse.*,", "mount fstype=fuse.fuse-overlayfs -> /x/,"),
        (
            "mount options in (rw,bind,rbind) /a/** -> /b/**,",
            "mount options=(rw,bind) /a/x -> /b/y,",
        ),
        ("mount options=(rw,make-slave) -> /{,**},", "mount options=(slave, rw) -> /x/,"),
        ("all,", "mount fstype=tmpfs,"),
    ],
)
def test_an_allow_that_a_broader_rule_gives_is_found_wherever_that_stands(broad, narrow):
    assert of(broad, narrow) == [(4, "redundant-allow")]
    assert of(narrow, broad) == [(3, "redundant-allow")]


def test_of_two_equal_rules_the_later_one_is_too_many():
    assert of("/x r,", "/y r,", "/x r,") == [(5, "redundant-allow")]


@pytest.mark.parametrize(
    ("broad", "narrow"),
    [
        ("file,", "audit /etc/** w,"),
        ("file,", "deny /etc/** w,"),
        ("file,", "/bin/x Px,"),
        ("owner /srv/** rw,", "/srv/a rw,"),
        ("audit deny /srv/** rw,", "/srv/a rw,"),
        ("/srv/** r,", "/srv/ r,"),
        ("/srv/** r,", "/srv/a rw,"),
        ("/srv/** r,", "/srv/{,**} r,"),
        ("/srv/* r,", "/srv/a/b r,"),
        ("@{PROC}/** r,", "/proc/x r,"),
        ("/dev/nvidia* rw,", "/dev/nvidia-caps/* rw,"),
        ("capability chown,", "capability kill,"),
        ("network inet stream,", "network inet dgram,"),
        ("network inet,", "network inet6 stream,"),
        ("signal (receive),", "signal peer=lxc-a,"),
        ("mount fstype=tmpfs,", "mount fstype=ramfs -> /x/,"),
        ("mount fstype=proc -> /proc/,", "mount fstype=proc -> /x/,"),
        ("mount options=(rw,bind) /a/ -> /b/,", "mount options=(ro,bind) /a/ -> /b/,"),
        ("mount options=(rw,bind) /a/ -> /**,", "mount options=(rw,bind) /b/ -> /c/,"),
        ("umount,", "mount fstype=tmpfs,"),
        ("profile inner {\n file,\n}", "/x r,"),
        ("if $X {\n file,\n}", "/x r,"),
    ],
)
def test_an_allow_that_gives_something_of_its_own_is_left_alone(broad, narrow):
    assert of(broad, narrow) == []


@pytest.mark.parametrize(
    "rule",
    [
        "/etc/hosts r,",
        "capability sys_admin,",
        "network inet dgram,",
        "umount /x,",
        "mount fstype=tmpfs -> /run/**,",
        "mount fstype=fuse.sshfs -> /x/,",
        "mount fstype=proc -> /proc/,",
    ],
)
def test_what_container_base_grants_need_not_be_granted_again(rule):
    assert of(BASE, rule) == [(4, "redundant-allow")]


def test_what_container_base_does_not_grant_is_left_alone():
    assert of(BASE, "mount fstype=overlay,", "mount fstype=cgroup -> /sys/fs/cgroup/**,") == []


def test_redundant_allows_only_warn():
    (finding,) = lint("profile lxc-a {\n file,\n /x r,\n}")
    assert (finding.severity, finding.parses) == ("warning", True)
    assert "`file`" in finding.message


# --- tunables and abi ---------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["@{PROC}/x r,", BASE, "mount -> @{PROC}/x,"])
def test_variables_need_the_tunables(rule):
    text = f"profile lxc-a {{\n{rule}\n}}"
    assert found(text) == [(2, "missing-tunables")]
    assert found(f"include <tunables/global>\n{text}") == []
    assert found(f"#include if exists <tunables/global>\n{text}") == []
    assert found(f"@{{PROC}} = /proc/ # , {{\n{text}") == []
    assert found(text, by_itself=False) == []


def test_the_parsers_own_variables_need_no_tunables():
    assert found("profile lxc-a {\n signal peer=@{profile_name},\n}") == []


def test_an_abi_that_the_machine_does_not_have_is_found():
    text = "# x\nabi <abi/4.0>,\nprofile lxc-a {\n}\n"
    assert found(text, abis={"3.0"}) == [(2, "unknown-abi")]
    assert found(text, abis={"3.0", "4.0"}) == []
    assert found(text) == []


# --- reading ------------------------------------------------------------------------------


def test_lines_are_true_through_comments_quotes_lists_and_continuations():
    assert of(
        'file, # a "quote, {',
        "mount options=(rw,",
        "  bind) /a",
        "  -> /b,",
        'capability "chown", capability \\',
        "  chown,",
        "/etc/#x r, /x,y r,",
    ) == [(7, "redundant-allow"), (9, "redundant-allow"), (9, "redundant-allow")]


def test_each_profile_of_a_file_is_read_by_itself():
    text = "profile lxc-a {\n file,\n}\nprofile lxc-b {\n /x r,\n mount,\n}\n"
    assert found(text) == [(6, "mounts-anywhere")]


@pytest.mark.parametrize(
    "text",
    [
        "{" * 5000,
        "}" * 5000,
        "profile x {" * 3000,
        "(" * 5000,
        '"' * 5001,
        ",,,{,}",
        "deny,audit,owner deny audit {",
        "profile lxc-a { /" + "*a" * 40 + " r, /" + "a" * 4000 + " r,}",
        "profile lxc-a {" + "/x r,\n" * 5000 + "}",
        "= == mount options= in (",
        "profile lxc-a { mount options in, mount fstype=, mount ->, -> {,",
        '"" "" { "" = "", "" }',
        "\\",
        "\udcff\x1b#include",
        "include",
    ],
    ids=range(15),
)
def test_nonsense_is_read_without_an_exception(text):
    assert isinstance(lint(text, expected="lxc-a", abis=(), parser_message="x\n\udcff"), tuple)
    lint(text)


MARK = "\ufeff"


@pytest.mark.parametrize("begin", ["", "# a comment\n", "abi <abi/3.0>,\n", "@{A}=/srv\n"])
def test_a_byte_order_mark_is_one_finding_and_brings_no_others(begin):
    text = f"{begin}include <tunables/global>\nprofile lxc-a {{\n  file,\n}}\n"
    assert found(text, expected="lxc-a", abis={"3.0"}) == []
    assert found(MARK + text, expected="lxc-a", abis={"3.0"}) == [(1, "byte-order-mark")]
    said = "AppArmor parser error for /tmp/x in profile /tmp/x at line 1: Lexer found unexpected"
    options = {"expected": "lxc-a", "abis": {"3.0"}, "parser_file": "/tmp/x"}
    assert found(MARK + text, parser_message=said, **options) == [(1, "byte-order-mark")]


def test_one_in_front_of_a_later_line_is_found_there():
    text = f"include <tunables/global>\n{MARK}profile lxc-a {{\n  file,\n}}\n"
    assert found(text, expected="lxc-a") == [(2, "byte-order-mark")]


def test_what_else_is_wrong_in_a_file_with_a_mark_is_found_all_the_same():
    text = f"{MARK}profile lxc-a {{\n  file,\n  deny audit /srv/** r,\n}}\n"
    assert found(text, expected="lxc-b") == [
        *((1, "byte-order-mark"), (1, "name-mismatch"), (3, "deny-audit-order"))
    ]
