"""node/apparmor.py on a tree of files that looks like a node, with a fake parser."""

import os
import shutil

import pytest

import node.apparmor
import node.kernel
import node.root
from facts.apparmor import AppArmor

#: Takes tunables without the word "broken"; notes how it is called, and with what.
PARSER = """\
case $1 in --version) echo 'AppArmor parser version 4.1.0'; exit ;; esac
echo "$*" >>"$FAKE/calls"
case $5 in -S) printf 'compiled '; cat "$6"; exit ;; esac
cat >>"$FAKE/profile"
! grep -rq broken "$2/tunables/" || { echo 'in profile tunables/home: 100% wrong' >&2; exit 1; }
"""
KERNEL = "/sys/kernel/security/apparmor"


@pytest.fixture
def pve(node):
    node.has("/sys/module/apparmor/parameters/enabled", "Y\n")
    node.has(f"{KERNEL}/profiles", "")
    loads(node, "lxc-a.7", "lxc-a")
    node.has("/etc/apparmor.d/tunables/home", "@{HOMEDIRS}=/home/\r\n")
    node.has("/etc/apparmor.d/tunables/home.d/site.local", "# ours\n")
    node.has("/etc/apparmor.d/tunables/home.d/site.local.dpkg-old", "# not read\n")
    node.tool("apparmor_parser", PARSER)
    return node


def loads(node, folder, name, mode="enforce", below="policy/profiles"):
    """The kernel has this profile; the folder's name is made from it, and no name to go by."""
    node.has(f"{KERNEL}/{below}/{folder}/name", f"{name}\n")
    node.has(f"{KERNEL}/{below}/{folder}/mode", f"{mode}\n")


def test_tunables_that_compile_are_told_with_the_text_of_home(pve):
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    seen = pve.see(AppArmor, ("lxc-a", "lxc-b"))
    assert seen.files == {
        "tunables/home": "@{HOMEDIRS}=/home/\r\n",
        "lxc-a": "profile lxc-a {}\n",
    }
    assert (seen.tunables_error, seen.parser, seen.loaded) == ("", (4, 1, 0), {"lxc-a": "enforce"})


def test_tunables_that_do_not_are_told_with_the_parsers_words_and_the_sites_own_files(pve):
    pve.has("/etc/apparmor.d/tunables/home", "broken\n")
    seen = pve.see(AppArmor)
    assert seen.tunables_error == "in profile tunables/home: 100% wrong"
    assert seen.files == {"tunables/home": "broken\n", "tunables/home.d/site.local": "# ours\n"}


def test_it_is_tried_with_a_profile_that_uses_both_variables_and_nothing_is_loaded(pve):
    pve.see(AppArmor)
    assert pve.calls[0].split()[2:] == ["-Q", "-K", "-T"]
    profile = (pve.fake / "profile").read_text()
    assert profile.startswith("include <tunables/global>\n")
    assert "@{HOME}/" in profile
    assert "@{HOMEDIRS}/" in profile


def test_the_script_for_namespaces_is_told_where_it_can_run(pve):
    assert pve.see(AppArmor).hook is None
    hook = pve.has("/usr/local/lib/phoenix-harden/namespace", "#!/bin/sh\n# 100%\n")
    assert pve.see(AppArmor).hook is None
    hook.chmod(0o755)
    assert pve.see(AppArmor).hook == "#!/bin/sh\n# 100%\n"


def test_the_abis_that_profiles_are_compiled_by_are_told_unasked(pve):
    pve.has("/etc/apparmor.d/abi/4.0", "file {\n}\n")
    seen = pve.see(AppArmor)
    assert seen.files["abi/4.0"] == "file {\n}\n"
    assert seen.own_file("/etc/apparmor.d/abi/phoenix-harden") is None


def test_a_node_without_a_parser_says_nothing_of_its_tunables(pve, monkeypatch):
    # in this process: a real node's folders of programs are searched, too
    monkeypatch.setattr(node.root, "PATH", str(pve.root))
    monkeypatch.setenv("PHOENIX_ROOT", str(pve.root))
    seen = node.apparmor.observe([])
    assert (seen["parser"], seen["tunables_error"], seen["enabled"]) == (None, "", True)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("include if exists <tunables/global.d>", True),
        ('#include "tunables/global.d"', True),
        ("# also in <tunables/global.d>", False),
    ],
)
def test_the_sites_variables_are_told_and_whether_anything_reads_them(pve, line, read):
    pve.has("/etc/apparmor.d/tunables/global", f"include <tunables/home>\n{line}\n")
    pve.has("/etc/apparmor.d/tunables/global.d/phoenix-harden", "@{a} = b\n")
    seen = pve.see(AppArmor)
    assert seen.reads_global_d is read
    assert seen.files["tunables/global.d/phoenix-harden"] == "@{a} = b\n"


def test_apparmor_that_is_off_or_cannot_be_asked_is_not_enabled(pve):
    assert pve.see(AppArmor).enabled
    pve.has("/sys/module/apparmor/parameters/enabled", "N\n")
    assert not pve.see(AppArmor).enabled
    pve.has("/sys/module/apparmor/parameters/enabled", "Y\n")
    (pve.root / f"{KERNEL}/profiles"[1:]).unlink()
    assert not pve.see(AppArmor).enabled


# -- what is loaded: guests name the profiles of their own namespace ------------------------------


def test_a_profile_of_a_guests_namespace_is_none_of_the_nodes_whatever_its_name(pve):
    forged = "x (enforce)\nlxc-docker-nested (enforce)\ny"
    inside = "policy/namespaces/lxc-910_<-var-lib-lxc>/profiles"
    loads(pve, "x.1", forged, below=inside)
    loads(pve, "lxc-b.2", "lxc-b", below=inside)
    # in this file all of them stand, and a line of it is what root in the guest has written
    pve.has(f"{KERNEL}/profiles", f"lxc-a (enforce)\n:lxc-910_<-var-lib-lxc>:{forged} (enforce)\n")
    assert pve.see(AppArmor).loaded == {"lxc-a": "enforce"}


def test_a_name_is_what_the_kernel_says_but_for_the_newline_after_it(pve):
    loads(pve, "a.name.8", "a name (with brackets)", "complain")
    loads(pve, "usr.bin.man.9", "/usr/bin/man")
    assert pve.see(AppArmor).loaded == {
        "lxc-a": "enforce",
        "a name (with brackets)": "complain",
        "/usr/bin/man": "enforce",
    }


@pytest.mark.parametrize(
    "name", ["lxc-b\n", "x\nlxc-b", "\nlxc-b", "lxc-b\x1b[2J", "lxc-b\x7f", ""]
)
def test_a_name_with_a_control_character_is_not_taken_as_anything(pve, name):
    loads(pve, "odd.8", name)
    assert pve.see(AppArmor).loaded == {"lxc-a": "enforce"}


def test_profiles_within_others_are_left_out(pve):
    loads(pve, "lxc-b.8", "lxc-b", below="policy/profiles/lxc-a.7/profiles")
    assert pve.see(AppArmor).loaded == {"lxc-a": "enforce"}


def test_one_that_is_removed_meanwhile_is_not_loaded(pve):
    (pve.root / f"{KERNEL}/policy/profiles/gone.8"[1:]).mkdir()
    assert pve.see(AppArmor).loaded == {"lxc-a": "enforce"}


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("lxc-a (enforce)\nlxc-b (complain)\nnoise\n", {"lxc-a": "enforce", "lxc-b": "complain"}),
        ("lxc-a (enforce)\n:lxc-910:x (enforce)\nlxc-b (enforce)\n", {}),
        ("lxc-a (enforce)\nlxc-c//null-/tmp/x\nlxc-b (enforce)\ny (complain)\n", {}),
    ],
)
def test_an_old_kernels_list_counts_while_no_guest_can_have_written_in_it(node, text, loaded):
    node.tool("apparmor_parser", PARSER)
    node.has(f"{KERNEL}/profiles", text)
    assert node.see(AppArmor).loaded == loaded


# -- whether the kernel has what the file says ----------------------------------------------------


def has(node, text, name="lxc-a.7"):
    """The kernel has the compiled form of this text."""
    node.has(f"{KERNEL}/policy/profiles/{name}/raw_data", f"compiled {text}")


def test_a_profile_that_was_loaded_from_another_text_is_stale(pve):
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    has(pve, "profile lxc-a { file, }\n")
    assert pve.see(AppArmor, ("lxc-a",)).stale == ("lxc-a",)
    has(pve, "profile lxc-a {}\n")
    assert pve.see(AppArmor, ("lxc-a",)).stale == ()


def test_what_cannot_be_compared_is_not_stale(pve):
    # the kernel does not tell, there is no file, it is not loaded, it does not compile
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    assert pve.see(AppArmor, ("lxc-a", "lxc-b")).stale == ()
    has(pve, "profile lxc-a { file, }\n")
    pve.tool("apparmor_parser", PARSER.replace("printf", "exit 1; printf"))
    assert pve.see(AppArmor, ("lxc-a",)).stale == ()


def test_what_was_found_right_once_is_not_compiled_again(pve, monkeypatch):
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    has(pve, "profile lxc-a {}\n")
    note = str(pve.root / "var/lib/phoenix-harden/loaded")
    monkeypatch.setenv("PHOENIX_ROOT", str(pve.root))
    node.kernel.remember(["lxc-a", "lxc-b"], note)
    assert pve.see(AppArmor, ("lxc-a",)).stale == ()
    assert not any("-S" in call for call in pve.calls)
    # another text on both sides: the note is of the one before
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a { file, }\n")
    assert pve.see(AppArmor, ("lxc-a",)).stale == ("lxc-a",)


def note(its):
    """What the kernel has is noted anew, as after a load."""
    node.kernel.remember(["lxc-a"], str(its.root / "var/lib/phoenix-harden/loaded"))


def is_compiled(its):
    """Whether it is compiled for a look at it."""
    before = len(its.calls)
    assert its.see(AppArmor, ("lxc-a",)).stale == ()
    return any("-S" in call for call in its.calls[before:])


@pytest.fixture
def noted(pve, monkeypatch):
    """A node whose kernel has what the file says, which is noted."""
    monkeypatch.setenv("PHOENIX_ROOT", str(pve.root))
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    pve.has("/etc/apparmor.d/abstractions/base.d/site", "/a r,\n")
    has(pve, "profile lxc-a {}\n")
    note(pve)
    assert not is_compiled(pve)
    return pve


@pytest.mark.parametrize(
    "path",
    [
        "tunables/home",
        "tunables/home.d/site.local",
        "tunables/home.d/another",
        "abi/4.0",
        "abstractions/base",
        "abstractions/base.d/site",
    ],
)
def test_what_was_right_is_compiled_again_once_a_file_has_changed_that_it_may_include(noted, path):
    noted.has(f"/etc/apparmor.d/{path}", "# another\n")
    assert is_compiled(noted)
    note(noted)
    assert not is_compiled(noted)


def test_a_changed_include_that_makes_another_profile_is_told(noted):
    noted.has("/etc/apparmor.d/tunables/home", "@{HOMEDIRS}=/srv/\n")
    noted.tool("apparmor_parser", PARSER.replace("'compiled '", "'compiled for /srv '"))
    assert noted.see(AppArmor, ("lxc-a",)).stale == ("lxc-a",)


def test_a_file_with_an_old_date_and_one_that_goes_are_changes_too(noted):
    site = noted.root / "etc/apparmor.d/abstractions/base.d/site"
    was = site.stat()
    site.write_text("/b r,\n")
    os.utime(site, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert is_compiled(noted)
    note(noted)
    site.unlink()
    assert is_compiled(noted)


def test_all_includes_gone_are_a_change(noted):
    for name in ("abstractions", "tunables"):
        shutil.rmtree(noted.root / f"etc/apparmor.d/{name}")
    noted.tool("apparmor_parser", PARSER.replace("! grep", "true || grep"))
    assert is_compiled(noted)


def test_what_another_file_is_does_not_matter(noted):
    noted.has("/etc/apparmor.d/lxc-b", "profile lxc-b {}\n")
    noted.has("/etc/apparmor.d/abstractions/a/b/c", "deep\n")
    assert not is_compiled(noted)


def test_the_kernels_profiles_are_listed_once_for_all_names(pve, monkeypatch):
    monkeypatch.setenv("PHOENIX_ROOT", str(pve.root))
    listed, profiles = [], node.kernel._profiles
    monkeypatch.setattr(node.kernel, "_profiles", lambda: listed.append(1) or profiles())
    assert node.kernel.stale(["lxc-a", "lxc-b", "lxc-c"]) == []
    assert listed == [1]


def test_only_what_was_compared_and_is_equal_is_noted(pve, monkeypatch):
    monkeypatch.setenv("PHOENIX_ROOT", str(pve.root))
    monkeypatch.setattr(node.root, "PATH", f"{pve.fake}:{node.root.PATH}")
    monkeypatch.setenv("FAKE", str(pve.fake))
    note = str(pve.root / "note")
    for name, there in (("lxc-a", "a"), ("lxc-b", "other"), ("lxc-c", "c")):
        loads(pve, f"{name}.7", name)
        pve.has(f"/etc/apparmor.d/{name}", name[-1])
        has(pve, there, f"{name}.7")
    # one of them does not compile
    pve.tool("apparmor_parser", PARSER.replace("printf", "case $6 in *-c) exit 1 ;; esac; printf"))
    assert node.kernel.stale(["lxc-c", "lxc-b", "lxc-a"], note, notes_equal=True) == ["lxc-b"]
    noted = (pve.root / "note").read_text()
    assert [line.split()[0] for line in noted.splitlines()] == ["includes", "lxc-a"]


@pytest.mark.parametrize("text", ["", "lxc-a\n", "lxc-a x y z\n", "\xff\n"])
def test_a_note_that_nobody_can_read_is_none(pve, text):
    pve.has("/etc/apparmor.d/lxc-a", "profile lxc-a {}\n")
    pve.has("/var/lib/phoenix-harden/loaded", text)
    has(pve, "profile lxc-a { file, }\n")
    assert pve.see(AppArmor, ("lxc-a",)).stale == ("lxc-a",)


def test_the_mode_that_goes_for_every_profile_is_told(pve):
    assert pve.see(AppArmor).mode == ""
    pve.has("/sys/module/apparmor/parameters/mode", "complain\n")
    seen = pve.see(AppArmor)
    assert seen.mode == "complain"
    assert "it only logs violations, whatever the labels say" in seen.problem
    pve.has("/sys/module/apparmor/parameters/mode", "enforce\n")
    assert pve.see(AppArmor).problem is None
