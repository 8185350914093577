"""apparmor.sh against a tree of files that looks like a node, with a fake parser."""

import os
import shutil
import subprocess

import pytest
from pyinfra.api.command import StringCommand

from facts.apparmor import AppArmor

pytestmark = pytest.mark.skipif(not shutil.which("perl"), reason="perl is not installed")

#: Takes tunables without the word "broken"; notes how it is called, and with what.
PARSER = """\
#!/bin/sh
case $1 in --version) echo 'AppArmor parser version 4.1.0'; exit ;; esac
echo "$*" >>"$FAKE/calls"
cat >>"$FAKE/profile"
! grep -rq broken "$2/tunables/" || { echo 'in profile tunables/home: 100% wrong' >&2; exit 1; }
"""


class Node:
    def __init__(self, folder):
        self.root, self.fake = folder / "root", folder / "fake"
        self.fake.mkdir()
        self.write("sys/module/apparmor/parameters/enabled", "Y\n")
        self.write("sys/kernel/security/apparmor/profiles", "lxc-a (enforce)\n")
        self.write("etc/apparmor.d/tunables/home", "@{HOMEDIRS}=/home/\r\n")
        self.write("etc/apparmor.d/tunables/home.d/site.local", "# ours\n")
        self.write("etc/apparmor.d/tunables/home.d/site.local.dpkg-old", "# not read\n")
        (self.fake / "apparmor_parser").write_text(PARSER)
        (self.fake / "apparmor_parser").chmod(0o755)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def see(self, *files):
        done = subprocess.run(
            ["/bin/sh", "-c", StringCommand(AppArmor().command(files)).get_raw_value()],
            env={
                "PATH": f"{self.fake}:{os.environ['PATH']}",
                "PHOENIX_ROOT": str(self.root),
                "FAKE": str(self.fake),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return AppArmor().process([line.strip() for line in done.stdout.splitlines()])


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_tunables_that_compile_are_told_with_the_text_of_home(node):
    node.write("etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    seen = node.see("lxc-a", "lxc-b")
    assert seen.files == {
        "tunables/home": "@{HOMEDIRS}=/home/\r\n",
        "lxc-a": "profile lxc-a {}\n",
    }
    assert (seen.tunables_error, seen.parser, seen.loaded) == ("", (4, 1, 0), {"lxc-a": "enforce"})


def test_tunables_that_do_not_are_told_with_the_parsers_words_and_the_sites_own_files(node):
    node.write("etc/apparmor.d/tunables/home", "broken\n")
    seen = node.see()
    assert seen.tunables_error == "in profile tunables/home: 100% wrong"
    assert seen.files == {"tunables/home": "broken\n", "tunables/home.d/site.local": "# ours\n"}


def test_it_is_tried_with_a_profile_that_uses_both_variables_and_nothing_is_loaded(node):
    node.see()
    assert (node.fake / "calls").read_text().split()[2:] == ["-Q", "-K", "-T"]
    profile = (node.fake / "profile").read_text()
    assert profile.startswith("include <tunables/global>\n")
    assert "@{HOME}/" in profile
    assert "@{HOMEDIRS}/" in profile


def test_the_script_for_namespaces_is_told_where_it_can_run(node):
    assert node.see().hook is None
    node.write("usr/local/lib/phoenix-harden/namespace", "#!/bin/sh\n# 100%\n")
    assert node.see().hook is None
    (node.root / "usr/local/lib/phoenix-harden/namespace").chmod(0o755)
    assert node.see().hook == "#!/bin/sh\n# 100%\n"


def test_a_node_without_a_parser_says_nothing_of_its_tunables(node):
    (node.fake / "apparmor_parser").unlink()
    for tool in ("sed", "perl", "cat", "sh"):
        (node.fake / tool).symlink_to(shutil.which(tool))
    command = StringCommand(AppArmor().command(())).get_raw_value()
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": str(node.fake), "PHOENIX_ROOT": str(node.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = AppArmor().process(done.stdout.splitlines())
    assert (seen.parser, seen.tunables_error) == (None, "")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("include if exists <tunables/global.d>", True),
        ('#include "tunables/global.d"', True),
        ("# also in <tunables/global.d>", False),
    ],
)
def test_the_sites_variables_are_told_and_whether_anything_reads_them(node, line, read):
    node.write("etc/apparmor.d/tunables/global", f"include <tunables/home>\n{line}\n")
    node.write("etc/apparmor.d/tunables/global.d/phoenix-harden", "@{a} = b\n")
    seen = node.see()
    assert seen.reads_global_d is read
    assert seen.files["tunables/global.d/phoenix-harden"] == "@{a} = b\n"
