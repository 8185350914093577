"""phoenix lint with this machine's own parser: what it prints, how it exits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phoenix.cli import lint as cli_lint
from phoenix.cli import main as cli

ROOT = Path(__file__).parents[2]
GOOD = "include <tunables/global>\nprofile lxc-a {\n  file,\n}\n"

pytestmark = pytest.mark.usefixtures("parser")


def run(capsys, *argv):
    """Run the command; its exit status, stdout and stderr."""
    status = cli.main(["lint", *(str(word) for word in argv)])
    return (status, *capsys.readouterr())


def findings(capsys, *argv):
    """Run the command with --json; its exit status and the findings as (line, rule)."""
    status, out, _ = run(capsys, "--json", *argv)
    answer = json.loads(out)
    assert answer["errors"] == []
    return status, [(finding["line"], finding["rule"]) for finding in answer["findings"]]


@pytest.fixture
def profile(tmp_path):
    """Write a profile to a file of this name."""

    def write(text, name="lxc-a"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def base(tmp_path):
    """A copy of this machine's tunables and abis beside stand-ins for LXC's abstractions."""
    base = tmp_path / "apparmor.d"
    for folder in ("tunables", "abi"):
        shutil.copytree(Path("/etc/apparmor.d") / folder, base / folder)
    lxc = base / "abstractions/lxc"
    lxc.mkdir(parents=True)
    # of the real files: what decides whether a profile that includes them parses
    (lxc / "container-base").write_text("  file,\n  deny @{PROC}/kcore rwklx,\n")
    (lxc / "start-container").write_text("  change_profile -> unconfined,\n")
    return base


#: As one finds them in guides: everything that ever helped, in one profile.
ONE_GUIDE = """\
#include <tunables/global>

profile lxc_guide flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/lxc/container-base>
  #include <abstractions/lxc/start-container>
  capability sys_admin,
  capability mac_admin,
  network inet stream,
  /etc/hosts r,
  mount fstype=proc -> /proc/,
  mount options=(rw,bind) -> /mnt/**,
  audit deny mount fstype=binfmt_misc,
  /var/lib/docker/** rwm,
}
"""
ANOTHER_GUIDE = """\
profile lxc-guide flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/lxc/container-base>
  #include <abstractions/lxc/start-container>
  deny /dev/.lxc/proc/** rw,
  mount options=(rw,bind),
  mount fstype=debugfs -> **,
  mount fstype=overlay,
  mount options=(rbind),
  /dev/nvidia* rwm,
  deny audit mount fstype=binfmt_misc,
  audit /etc/** w,
}
"""


# --- exit status and form -----------------------------------------------------------------


def test_a_clean_profile_prints_nothing(capsys, profile):
    assert run(capsys, profile(GOOD)) == (0, "", "")


def test_a_finding_is_one_line_with_file_line_rule_and_way_out(capsys, profile):
    file = profile(GOOD.replace("file,", "file,\n  mount,"))
    status, out, err = run(capsys, file)
    assert (status, err) == (1, "")
    assert out.startswith(f"{file}:4: mounts-anywhere: `mount` names no path")
    assert out.count("\n") == 1
    assert " — say from where and to where" in out


def test_what_does_not_parse_wins_over_findings(capsys, profile):
    files = (
        profile(GOOD.replace("file,", "file")),
        profile(GOOD.replace("file,", "mount,"), "lxc-b"),
    )
    status, found = findings(capsys, *files)
    assert (status, found) == (
        2,
        [(4, "does-not-parse"), (2, "name-mismatch"), (3, "mounts-anywhere")],
    )


def test_the_name_is_the_files_or_the_one_that_is_asked_for(capsys, profile):
    assert findings(capsys, profile(GOOD, "lxc-b")) == (1, [(2, "name-mismatch")])
    assert findings(capsys, profile(GOOD, "some-file")) == (0, [])
    assert findings(capsys, "--name", "lxc-c", profile(GOOD)) == (1, [(2, "name-mismatch")])


def test_json_holds_every_part_of_a_finding(capsys, profile):
    file = profile(GOOD.replace("file,", "file,\n  /x r,"))
    _, out, _ = run(capsys, "--json", file)
    assert json.loads(out) == {
        "findings": [
            {
                "file": str(file),
                "line": 4,
                "rule": "redundant-allow",
                "message": "`/x r` does nothing: line 3, `file`, already gives it",
                "way_out": "keep one of the two: this one, if no more is needed",
                "severity": "warning",
                "parses": True,
            }
        ],
        "errors": [],
    }


def test_a_profile_may_come_on_stdin():
    command = [sys.executable, "-m", "phoenix.cli.main", "lint", "-"]
    text = GOOD.replace("file,", "mount,")
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("<stdin>:3: mounts-anywhere: ")


def test_without_a_parser_the_text_is_linted_and_the_exit_says_that_this_is_not_all(
    capsys, profile, monkeypatch
):
    monkeypatch.setattr(cli_lint, "find_parser", lambda: None)
    status, out, err = run(capsys, profile(GOOD.replace("file,", "mount,")))
    assert status == 2
    assert "mounts-anywhere" in out
    assert err.count("\n") == 1
    assert err.startswith("apparmor_parser is missing")
    assert "apt install apparmor" in err


def test_a_parser_that_hangs_does_not_hang_the_command(capsys, profile, monkeypatch, tmp_path):
    slow = tmp_path / "apparmor_parser"
    slow.write_text('#!/bin/sh\n[ "$1" = --version ] || exec sleep 60\n')
    slow.chmod(0o755)
    monkeypatch.setattr(cli_lint, "find_parser", lambda: str(slow))
    monkeypatch.setattr(cli_lint, "_PATIENCE", 0.2)
    status, out, _ = run(capsys, profile(GOOD))
    assert status == 2
    assert "did not finish" in out


# --- files that are no profiles -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"profile lxc-a {\0}", "NUL byte"),
        (b"# x\n" * 300_000, "larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_linted_is_said_in_one_line(capsys, tmp_path, content, reason):
    file = tmp_path / "lxc-a"
    if content is not None:
        file.write_bytes(content)
    status, out, err = run(capsys, file)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{file}: ")
    assert reason in err


def test_an_unreadable_file_does_not_hide_what_is_found_in_the_next(capsys, tmp_path, profile):
    status, out, _ = run(capsys, tmp_path, profile(GOOD.replace("file,", "mount,")))
    assert status == 2
    assert "mounts-anywhere" in out


def test_bytes_that_are_no_utf8_and_names_with_control_characters_do_no_harm(capsys, tmp_path):
    file = tmp_path / "a\x1b[31m\n"
    file.write_bytes(b"include <tunables/global>\nprofile lxc-a {\n  mount, # \xe9\n}\n")
    status, out, _ = run(capsys, file)
    assert (status, out.count("\n"), "\x1b" in out) == (1, 1, False)


# --- templates ----------------------------------------------------------------------------


def test_our_templates_are_clean_and_shared_text_is_skipped(capsys):
    templates = sorted((ROOT / "templates/apparmor").glob("*.j2"))
    status, out, err = run(capsys, *templates)
    assert (status, out) == (0, "")
    assert "base.j2: skipped" in err


def test_a_users_template_may_extend_ours(capsys, profile):
    text = '{% extends "base.j2" %}\n{% block purpose %}x{% endblock %}\n{% block promises %}\n'
    file = profile(f"{text}  mount,\n{{% endblock %}}\n", "lxc-mine.j2")
    status, out, err = run(capsys, file)
    assert (status, err) == (1, "")
    assert out.startswith(f"{file} (rendered):")
    assert ": mounts-anywhere: `mount` names no path" in out
    assert ": redundant-allow: `mount fstype=tmpfs` does nothing" in out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{% block x %}", "does not render (line 1 of lxc-mine.j2)"),
        ("{{ nothing_of_this_name }}", "does not render: 'nothing_of_this_name' is undefined"),
        ('{% extends "none.j2" %}', "does not render: none.j2"),
        ("{{ 1 / 0 }}", "does not render: division by zero"),
    ],
)
def test_a_template_that_does_not_render_is_said_in_one_line(capsys, profile, text, reason):
    status, out, err = run(capsys, profile(text, "lxc-mine.j2"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert reason in err


# --- profiles that people wrote -----------------------------------------------------------


def test_the_profile_of_a_guide_parses_and_is_wrong_all_the_same(capsys, profile, base):
    file = profile(ONE_GUIDE, "lxc-guide")
    assert findings(capsys, "--base", base, file) == (
        1,
        [
            (3, "name-mismatch"),
            (3, "name-not-lxc"),
            (4, "container-base-with-docker"),
            (5, "lets-out"),
            *((line, "redundant-allow") for line in (6, 7, 8, 9, 10, 13)),
        ],
    )


def test_the_profile_of_another_guide_does_not_parse(capsys, profile, base):
    file = profile(ANOTHER_GUIDE, "lxc-guide")
    expected = [
        (2, "missing-tunables"),
        (3, "lets-out"),
        (5, "mounts-anywhere"),
        (6, "redundant-allow"),
        (8, "mounts-anywhere"),
        (9, "redundant-allow"),
        (10, "deny-audit-order"),
        (10, "does-not-parse"),
    ]
    assert findings(capsys, "--base", base, file) == (2, expected)


def test_with_audit_in_its_place_it_lacks_the_tunables(capsys, profile, base):
    text = ANOTHER_GUIDE.replace("deny audit", "audit deny")
    file = profile(text, "lxc-guide")
    status, found = findings(capsys, "--base", base, file)
    syntax = [one for one in found if one[1] in ("does-not-parse", "missing-tunables")]
    assert (status, syntax) == (2, [(2, "does-not-parse"), (2, "missing-tunables")])
    file.write_text("include <tunables/global>\n" + text)
    status, found = findings(capsys, "--base", base, file)
    assert status == 1
    assert {"does-not-parse", "missing-tunables"}.isdisjoint(rule for _, rule in found)


def test_a_file_in_lxc_is_read_as_lxc_containers_does(capsys, base):
    (base / "lxc").mkdir()
    file = base / "lxc/lxc-default"
    text = "profile lxc-container-default {\n  #include <abstractions/lxc/container-base>\n}\n"
    file.write_text(text)
    assert findings(capsys, "--base", base, file) == (0, [])
    file.write_text(text.replace("}", "  deny audit /x r,\n}"))
    assert findings(capsys, "--base", base, file) == (
        2,
        [(3, "deny-audit-order"), (3, "does-not-parse")],
    )


def test_a_file_that_begins_with_a_byte_order_mark_has_that_finding_alone(capsys, profile):
    assert findings(capsys, profile(f"\ufeff{GOOD}")) == (2, [(1, "byte-order-mark")])


def test_a_template_is_read_without_it_as_harden_does(capsys, profile):
    text = "{% extends 'base.j2' %}\n{% block purpose %}# a{% endblock %}\n"
    assert run(capsys, profile(f"\ufeff{text}", "lxc-a.j2"))[0] == 0
