"""The verb restore on a fake root with a fake parser; tests/lab has it on a real kernel."""

import os
import shutil

import pytest
from script_node import ScriptNode, sha
from synced import Fsynced

RUN, UNDONE = "r20261123T013000Z-beef", "r20261122T013000Z-beef"
NAME = "lxc-docker-nested"
PROFILE = f"/etc/apparmor.d/{NAME}"
HOOK = "/usr/local/lib/phoenix-harden/namespace"
ABI = "/etc/apparmor.d/abi/phoenix-harden"
WATCH = "/usr/local/lib/phoenix-harden/watch"
UNIT = "/etc/systemd/system/phoenix-harden-watch"
HOME = "/etc/apparmor.d/tunables/home"

#: The kernel as a file: a name goes with -R, and stays or comes with -r.
PARSER = """\
for last; do :; done
case $1 in --base) shift 2 ;; esac
echo "apparmor_parser $1 ${last##*/}" >>"$FAKE/calls"
[ ! -e "$FAKE/broken" ] || exit 1
kernel=$PHOENIX_ROOT/sys/kernel/security/apparmor/policy/profiles/${last##*/}.1
case $1 in
-R) rm -r "$kernel" ;;
-r) mkdir -p "$kernel" && echo "${last##*/}" >"$kernel/name" && echo enforce >"$kernel/mode" ;;
esac
"""


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        state = self.root / "var/lib/phoenix-harden/runs"
        self.undone, self.run = state / UNDONE, state / RUN
        self.confs = self.root / "etc/pve/lxc"
        for path in (self.undone / "files", self.confs):
            path.mkdir(parents=True)
        self.kernel = self.root / "sys/kernel/security/apparmor/policy/profiles"
        self.has(f"/{self.kernel.relative_to(self.root)}/{NAME}.1/name", f"{NAME}\n")
        self.has(f"/{self.kernel.relative_to(self.root)}/{NAME}.1/mode", "enforce\n")
        (self.root / "proc").mkdir()
        self.tool("apparmor_parser", PARSER)
        self.tool("systemctl", 'echo "systemctl $*" >>"$FAKE/calls"')

    def restore_file(self, path, now, before="none"):
        if before != "none":
            (self.undone / "files" / sha(before)).write_text(before)
            before = sha(before)
        return self.verb("restore", path, sha(now), before, UNDONE, RUN)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_a_profile_that_nobody_needs_leaves_the_kernel_and_the_disk(node):
    file = node.has(PROFILE, "ours")
    done = node.restore_file(PROFILE, "ours")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not file.exists()
    assert [*node.kernel.iterdir()] == []
    assert node.events == ["begin", "intent", "done"]
    assert (node.run / "files" / sha("ours")).read_text() == "ours"


@pytest.mark.parametrize(
    "label",
    [
        f"{NAME} (enforce)",
        f"{NAME}//&:lxc-910_<-x>:unconfined (enforce)",
        f"{NAME}//null-/usr/bin/x (complain)",
    ],
)
def test_a_profile_that_a_process_carries_is_kept(node, label):
    file = node.has(PROFILE, "ours")
    node.has("/proc/4711/attr/apparmor/current", f"{label}\n")
    done = node.restore_file(PROFILE, "ours")
    assert done.returncode == 0
    assert done.stdout == f"{PROFILE} is kept: 1 processes carry it\n"
    assert file.exists()
    assert (node.calls, node.events) == ([], [])


@pytest.mark.parametrize("value", [NAME, f"{NAME}//&:lxc-960_<-x>:unconfined"])
def test_a_profile_that_a_conf_names_is_kept(node, value):
    file = node.has(PROFILE, "ours")
    (node.confs / "960.conf").write_text(f"cores: 1\nlxc.apparmor.profile: {value}\n")
    done = node.restore_file(PROFILE, "ours")
    assert done.stdout == f"{PROFILE} is kept: the conf of CT 960 names it\n"
    assert file.exists()


def test_a_profile_with_a_longer_name_does_not_keep_it(node):
    file = node.has(PROFILE, "ours")
    (node.confs / "960.conf").write_text(f"lxc.apparmor.profile: {NAME}-ns\n")
    node.has("/proc/4711/attr/apparmor/current", f"{NAME}-ns (enforce)\n")
    assert node.restore_file(PROFILE, "ours").returncode == 0
    assert not file.exists()


def test_a_profile_that_is_not_loaded_is_removed_all_the_same(node):
    file = node.has(PROFILE, "ours")
    shutil.rmtree(node.kernel / f"{NAME}.1")
    assert node.restore_file(PROFILE, "ours").returncode == 0
    assert (file.exists(), node.calls) == (False, [])


def test_a_profile_that_the_kernel_does_not_let_go_stays_on_disk(node):
    file = node.has(PROFILE, "ours")
    (node.fake / "broken").touch()
    assert node.restore_file(PROFILE, "ours").returncode == 1
    assert file.exists()
    assert node.events == ["begin", "intent"]


def test_an_old_profile_is_replaced_and_never_removed_first(node):
    file = node.has(PROFILE, "ours")
    assert node.restore_file(PROFILE, "ours", before="theirs").returncode == 0
    assert file.read_text() == "theirs"
    assert node.calls == [f"apparmor_parser -r {NAME}"]


def test_each_step_is_on_disk_before_the_next_one(node):
    synced = Fsynced(node, node.has(PROFILE, "ours"))
    assert node.restore_file(PROFILE, "ours", before="theirs").returncode == 0
    assert synced.calls == [
        (sha("ours"), "ours"),
        ("journal.jsonl", "ours"),
        ("journal.jsonl", "ours"),
        (f"{NAME}.dpkg-new", "ours"),
        ("apparmor.d", "theirs"),
        ("etc", "theirs"),
        ("journal.jsonl", "theirs"),
    ]


@pytest.mark.parametrize(("path", "folder"), [(PROFILE, "etc"), (HOOK, "lib")])
def test_a_removal_is_on_disk_before_the_journal_says_so(node, path, folder):
    synced = Fsynced(node, node.has(path, "ours"))
    assert node.restore_file(path, "ours").returncode == 0
    assert synced.calls[-2:] == [(folder, ""), ("journal.jsonl", "")]


def test_an_old_text_that_does_not_load_is_back_and_said(node):
    file = node.has(PROFILE, "ours")
    (node.fake / "broken").touch()
    done = node.restore_file(PROFILE, "ours", before="theirs")
    assert done.returncode == 0
    assert "the old text is back, and does not load" in done.stdout
    assert file.read_text() == "theirs"


def test_tunables_get_their_old_text_and_keep_their_mode(node):
    file = node.has(HOME, "repaired", mode=0o640)
    assert node.restore_file(HOME, "repaired", before="@HOMEDIRS=/home/\n").returncode == 0
    assert file.read_text() == "@HOMEDIRS=/home/\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert node.calls == []


def test_a_hook_that_no_conf_names_goes_with_its_folder(node):
    file = node.has(HOOK, "#!/bin/sh\n", mode=0o755)
    assert node.restore_file(HOOK, "#!/bin/sh\n").returncode == 0
    assert not file.parent.exists()


def test_a_hook_that_a_conf_names_is_kept(node):
    file = node.has(HOOK, "#!/bin/sh\n", mode=0o755)
    (node.confs / "910.conf").write_text(f"lxc.hook.pre-start: {HOOK}\n")
    done = node.restore_file(HOOK, "#!/bin/sh\n")
    assert done.stdout == f"{HOOK} is kept: the conf of CT 910 names it\n"
    assert file.exists()


def test_an_abi_that_a_profile_names_is_kept_and_goes_with_the_last_one(node):
    file = node.has(ABI, "file {\n}\n")
    profile = node.root / "etc/apparmor.d/lxc-a"
    profile.write_text("# ours\nabi <abi/phoenix-harden>,\nprofile lxc-a {}\n")
    done = node.restore_file(ABI, "file {\n}\n")
    assert done.stdout == f"{ABI} is kept: profile lxc-a names it\n"
    assert file.exists()
    profile.write_text("# not abi <abi/phoenix-harden>,\nabi <abi/4.0>,\nprofile lxc-a {}\n")
    assert node.restore_file(ABI, "file {\n}\n").returncode == 0
    assert not file.exists()


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (WATCH, 0o755),
        (ABI, 0o644),
        (f"{UNIT}.service", 0o644),
        ("/var/lib/phoenix-harden/wanted", 0o600),
    ],
)
def test_a_file_that_is_gone_comes_back_with_the_mode_that_it_needs(node, path, mode):
    assert node.restore_file(path, None, before="ours\n").returncode == 0
    file = node.root / path[1:]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("ours\n", mode)


def test_a_timer_that_comes_back_is_on_once_its_service_is_there(node):
    assert node.restore_file(f"{UNIT}.timer", None, before="timer").returncode == 0
    assert node.calls == ["systemctl daemon-reload"]
    assert node.restore_file(f"{UNIT}.service", None, before="service").returncode == 0
    on = "systemctl -q enable --now phoenix-harden-watch.timer"
    assert node.calls[1:] == ["systemctl daemon-reload", on]


def test_a_unit_that_was_replaced_leaves_its_timer_as_it_is(node):
    node.has(f"{UNIT}.timer", "timer")
    node.has(f"{UNIT}.service", "new")
    assert node.restore_file(f"{UNIT}.service", "new", before="old").returncode == 0
    assert node.calls == ["systemctl daemon-reload"]


def test_profiles_of_ours_are_loaded_anew_once_the_sites_variables_are_back(node):
    managed = node.has(PROFILE, "# Managed by phoenix-harden: changes are overwritten.\n")
    node.has(f"{PROFILE}-ns", managed.read_text())
    site = "/etc/apparmor.d/tunables/global.d/phoenix-harden"
    file = node.has(site, "list")
    assert node.restore_file(site, "list").returncode == 0
    assert not file.exists()
    # not the one that is not loaded
    assert node.calls == [f"apparmor_parser -r {NAME}"]


def test_profiles_are_compiled_anew_by_an_abi_that_is_as_it_was(node):
    managed = node.has(PROFILE, "# Managed by phoenix-harden:\nabi <abi/phoenix-harden>,\n")
    os.utime(managed, (1, 1))
    file = node.has(ABI, "new")
    assert node.restore_file(ABI, "new", before="old").returncode == 0
    assert file.read_text() == "old"
    assert node.calls == [f"apparmor_parser -r {NAME}"]
    # else the parser's cache has it as it was compiled before
    assert managed.stat().st_mtime > 1


def test_what_somebody_changed_meanwhile_is_left_alone(node):
    file = node.has(PROFILE, "edited")
    done = node.restore_file(PROFILE, "ours")
    assert (done.returncode, file.read_text()) == (1, "edited")
    assert "somebody changed it since this was planned: run it again" in done.stdout


def test_what_another_rollback_has_put_back_already_is_nothing_to_do(node):
    done = node.restore_file(PROFILE, "ours")
    assert (done.returncode, done.stdout, node.events) == (0, "", [])


@pytest.mark.parametrize("left", [f"{PROFILE}.dpkg-new", f"{UNIT}.timer.phoenix-new"])
def test_what_a_cut_left_beside_the_file_goes(node, left):
    left = node.has(left, "half of it")
    path = f"/{left.relative_to(node.root)}".rpartition(".")[0]
    node.has(path, "theirs")
    done = node.restore_file(path, "theirs", before="theirs")
    assert (done.returncode, done.stdout, node.events) == (0, "", [])
    assert not left.exists()


def test_an_image_that_is_not_whole_changes_nothing(node):
    file = node.has(HOME, "repaired")
    (node.undone / "files" / sha("old")).write_text("ol")
    done = node.verb("restore", HOME, sha("repaired"), sha("old"), UNDONE, RUN)
    assert (done.returncode, file.read_text()) == (1, "repaired")
    assert "is not whole" in done.stdout


@pytest.mark.parametrize(
    "path",
    [
        "/etc/ld.so.preload",
        "/etc/profile.d/zz.sh",
        "/etc/apparmor.d/../ld.so.preload",
        "/etc/apparmor.d/lxc/lxc-a",
        "/etc/systemd/system/other.service",
        "/var/lib/phoenix-harden/runs",
        "etc/apparmor.d/lxc-a",
    ],
)
def test_a_file_that_no_run_changes_is_refused_whatever_a_journal_says(node, path):
    done = node.restore_file(path, None, before="evil\n")
    assert done.returncode == 2
    assert "refused" in done.stdout
    assert not (node.root / path.lstrip("/")).is_file()
    assert not node.run.exists()


def test_the_link_that_tunables_are_stays_one(node):
    real = node.has("/srv/home", "repaired")
    link = node.root / HOME[1:]
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert node.restore_file(HOME, "repaired", before="old").returncode == 0
    assert (link.is_symlink(), real.read_text()) == (True, "old")


def test_a_guests_own_half_of_a_label_keeps_no_profile(node):
    file = node.has(PROFILE, "ours")
    label = f"lxc-a//&:lxc-910_<-var-lib-lxc>:x\n{NAME} (enforce)"
    node.has("/proc/4711/attr/apparmor/current", f"{label}\n")
    assert node.restore_file(PROFILE, "ours").returncode == 0
    assert not file.exists()
