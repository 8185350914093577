"""The verb `packages` against a guest with a dpkg database in a file, and a fake apt."""

import time

import pytest
from script_node import ScriptNode

from node import packages
from phoenix.docker.names import MANAGERS

RUN = "r20261122T013000Z-beef"

LXC_ATTACH = """
while [ "$1" != -- ]; do shift; done
shift
echo "$*" >>"$FAKE/calls"
case "$1 $2" in
'rpm -qa') cat "$FAKE/rpm" ;;
'dnf -y') printf '%s\\n' fuse-overlayfs >>"$FAKE/rpm" ;;
'rpm -e') : >"$FAKE/rpm" ;;
dpkg-query*) cat "$FAKE/dpkg" ;;
'apk info') cat "$FAKE/apk" ;;
'apk add') echo fuse-overlayfs >>"$FAKE/apk" ;;
'apk del') : >"$FAKE/apk" ;;
apt-get*)
    case "$*" in
    *install*)
        [ -e "$FAKE/locked" ] && rm "$FAKE/locked" && echo 'E: Could not get lock' && exit 100
        [ -e "$FAKE/cut" ] &&
            echo "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'" && exit 100
        [ -e "$FAKE/unknown" ] && echo 'E: Unable to locate package' && exit 100
        printf 'ii  fuse-overlayfs\\nii  libfuse3-4:amd64\\n' >>"$FAKE/dpkg"
        sed -i '/^rc /d' "$FAKE/dpkg"
        ;;
    *update*) exit 100 ;;
    esac
    ;;
'dpkg --force-confdef') rm "$FAKE/cut" ;;
'dpkg --purge') [ -e "$FAKE/needed" ] && echo 'dpkg: dependency problems' || : >"$FAKE/dpkg" ;;
sh*) [ ! -e "$FAKE/held" ] || cat "$FAKE/held" ;;
esac
"""


class Guest(ScriptNode):
    """A guest that lacks fuse-overlayfs."""

    def __init__(self, folder):
        super().__init__(folder)
        self.folder = self.fake
        self.run = self.root / f"var/lib/phoenix-harden/runs/{RUN}"
        self.tool("lxc-attach", LXC_ATTACH)
        (self.fake / "dpkg").write_text("ii  docker.io\nrc  fuse-overlayfs\nii  libc6:amd64\n")
        (self.fake / "apk").write_text("docker\n")
        (self.fake / "rpm").write_text("docker\n")

    @property
    def environment(self):
        return {**super().environment, "PHOENIX_PATIENCE": "0"}

    def install(self, *packages, run=RUN, manager="apt"):
        return self.packages("install", "910", run, manager, names=packages)

    def remove(self, *packages, run=RUN, manager="apt"):
        return self.packages("remove", "910", run, manager, names=packages)

    def packages(self, *words, names):
        return self.verb("packages", *words, request={"packages": list(names)})

    def calls(self):
        return (self.fake / "calls").read_text()

    def journaled(self, key):
        """Its events, each with the packages that it names under this key."""
        entries = [entry for entry in self.journal if entry["event"] != "begin"]
        assert all(entry["ctid"] == 910 for entry in entries)
        return [(entry["event"], entry[key]) for entry in entries]


@pytest.fixture
def guest(tmp_path):
    return Guest(tmp_path)


@pytest.fixture
def equipped(guest):
    """A guest that has what a run brought."""
    (guest.folder / "dpkg").write_text("ii  docker.io\nii  fuse-overlayfs\nii  libfuse3-4:amd64\n")
    (guest.folder / "apk").write_text("docker\nfuse-overlayfs\n")
    (guest.folder / "rpm").write_text("docker\nfuse-overlayfs\n")
    return guest


def test_a_dpkg_that_was_cut_short_is_finished_first(guest):
    (guest.folder / "cut").touch()
    done = guest.install("fuse-overlayfs")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "CT 910: installed: fuse-overlayfs libfuse3-4:amd64",
    )
    assert "dpkg --force-confdef --force-confold --configure -a\n" in guest.calls()


def test_what_is_missing_comes_in_and_the_journal_names_its_dependencies_too(guest):
    done = guest.install("docker.io", "libc6", "fuse-overlayfs")
    assert (done.returncode, done.stderr) == (0, "")
    assert guest.journaled("packages") == [
        ("intent", "fuse-overlayfs"),
        ("done", "fuse-overlayfs libfuse3-4:amd64"),
    ]
    assert "install --no-upgrade fuse-overlayfs\n" in guest.calls()
    assert "DPkg::Lock::Timeout=300" in guest.calls()


def test_what_is_there_costs_no_installation_and_no_line_in_the_journal(guest):
    assert guest.install("docker.io", "libc6").returncode == 0
    assert "apt-get" not in guest.calls()
    assert not guest.run.parent.exists()


def test_removed_with_its_configuration_left_is_not_installed(guest):
    assert guest.install("fuse-overlayfs").returncode == 0
    assert "install --no-upgrade fuse-overlayfs" in guest.calls()


def test_a_lock_that_is_held_is_waited_for(guest):
    (guest.folder / "locked").touch()
    assert guest.install("fuse-overlayfs").returncode == 0


def test_what_the_guest_does_not_have_afterwards_is_a_failure_whatever_apt_returned(guest):
    (guest.folder / "unknown").touch()
    done = guest.install("fuse-overlayfs")
    assert done.returncode == 1
    assert "E: Unable to locate package" in done.stdout
    assert done.stdout.endswith("CT 910: failed: not installed: fuse-overlayfs\n")
    assert guest.journaled("packages") == [("intent", "fuse-overlayfs"), ("failed", "")]


def test_alpine_installs_by_apk(guest):
    assert guest.install("fuse-overlayfs", manager="apk").returncode == 0
    assert "apk add --no-cache fuse-overlayfs\n" in guest.calls()
    assert guest.journaled("packages")[-1] == ("done", "fuse-overlayfs")


def test_fedora_installs_by_dnf(guest):
    assert guest.install("fuse-overlayfs", manager="dnf").returncode == 0
    assert "dnf -y install fuse-overlayfs\n" in guest.calls()
    assert guest.journaled("packages")[-1] == ("done", "fuse-overlayfs")


def test_a_key_of_a_repository_that_rpm_counts_as_a_package_is_none(guest):
    (guest.folder / "rpm").write_text("NetworkManager\n")
    guest.tool("lxc-attach", LXC_ATTACH.replace('>>"$FAKE/rpm"', 'gpg-pubkey >>"$FAKE/rpm"'))
    assert guest.install("fuse-overlayfs", "NetworkManager", manager="dnf").returncode == 0
    assert guest.journaled("packages")[-1] == ("done", "fuse-overlayfs")


def test_without_a_run_nothing_is_written_down(guest):
    assert guest.install("fuse-overlayfs", run="-").returncode == 0
    assert not guest.run.parent.exists()


def test_all_that_the_run_brought_goes_in_one_command(equipped):
    done = equipped.remove("fuse-overlayfs", "libfuse3-4:amd64")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "CT 910: removed: fuse-overlayfs libfuse3-4:amd64\n"
    assert "dpkg --purge fuse-overlayfs libfuse3-4:amd64\n" in equipped.calls()
    both = "fuse-overlayfs libfuse3-4:amd64"
    assert equipped.journaled("removed") == [("intent", both), ("done", both)]


def test_alpine_removes_by_apk(equipped):
    assert equipped.remove("fuse-overlayfs", manager="apk").returncode == 0
    assert "apk del fuse-overlayfs\n" in equipped.calls()


def test_fedora_removes_by_rpm_which_takes_nothing_that_needs_them(equipped):
    assert equipped.remove("fuse-overlayfs", manager="dnf").returncode == 0
    assert "rpm -e fuse-overlayfs\n" in equipped.calls()


def test_what_is_gone_already_is_nothing_to_do(equipped):
    done = equipped.remove("fuse3")
    assert (done.returncode, done.stdout, equipped.journaled("removed")) == (0, "", [])


def test_fuse_overlayfs_stays_while_docker_keeps_something_with_it(equipped):
    (equipped.folder / "held").write_text("Docker runs on fuse-overlayfs\n3 layers are there\n")
    done = equipped.remove("fuse-overlayfs")
    assert done.returncode == 0
    assert done.stdout == (
        "CT 910: kept: fuse-overlayfs: Docker runs on fuse-overlayfs, 3 layers are there\n"
    )
    assert "--purge" not in equipped.calls()


def test_what_another_package_needs_stays_and_says_why(equipped):
    (equipped.folder / "needed").touch()
    done = equipped.remove("libfuse3-4:amd64")
    assert done.returncode == 0
    assert "dpkg: dependency problems" in done.stdout
    assert done.stdout.endswith("CT 910: kept: libfuse3-4:amd64: something needs it, see above\n")
    assert equipped.journaled("removed")[-1] == ("failed", "libfuse3-4:amd64")


# --- a guest that says what it likes --------------------------------------------------------------


def test_what_is_no_name_of_a_package_reaches_neither_journal_nor_screen_as_one(guest):
    forged = '","file":"/etc/ld.so.preload","after":"none'
    (guest.folder / "dpkg").write_text(f"ii  docker.io\nii  x{forged}\n")
    guest.tool(
        "lxc-attach",
        LXC_ATTACH.replace("libfuse3-4:amd64", f"y{forged.replace(chr(34), chr(92) + chr(34))}"),
    )
    assert guest.install("fuse-overlayfs").returncode == 0
    assert guest.journaled("packages")[-1] == ("done", "fuse-overlayfs")
    assert "ld.so.preload" not in (guest.run / "journal.jsonl").read_text()


def test_what_it_prints_moves_no_cursor_and_speaks_for_no_other_container(guest):
    says = r"printf '\033[2J\nCT 911: done\r\n'; exit 100"
    guest.tool("lxc-attach", LXC_ATTACH.replace("apt-get*)", f"apt-get*) {says} ;;\nnone)"))
    done = guest.install("fuse-overlayfs")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert [line for line in done.stdout.splitlines() if "911" in line] == [
        "CT 910:   CT 911: done"
    ]


@pytest.mark.parametrize(
    "database",
    ["exit 1", r"printf '\377'", "exec yes 'ii  a'", "seq -f 'ii  a%.0f' 30000", "exec yes x"],
)
def test_a_list_of_packages_that_is_none_is_a_failure_before_anything_is_tried(guest, database):
    guest.tool(
        "lxc-attach", f'case "$*" in *dpkg-query*) {database} ;; *) touch "$FAKE/tried" ;; esac'
    )
    for done in (guest.install("fuse-overlayfs"), guest.remove("fuse-overlayfs")):
        assert done.returncode == 1
        assert done.stdout == "CT 910: refused: its list of packages cannot be read\n"
    assert not (guest.folder / "tried").exists()
    assert guest.journal == []


def test_more_than_an_installation_brings_is_not_written_down(guest):
    brings = "seq -f 'ii  somepackage%.0f' 10000"
    text = LXC_ATTACH.replace("sed -i '/^rc /d'", f"{brings} >>\"$FAKE/dpkg\"; sed -i '/^rc /d'")
    guest.tool("lxc-attach", text)
    done = guest.install("fuse-overlayfs")
    assert done.returncode == 1
    assert "more packages came in than an installation brings" in done.stdout
    assert guest.journaled("packages")[-1] == ("failed", "fuse-overlayfs")


def test_a_flood_of_apts_is_stopped_and_the_database_tells(guest):
    guest.tool("lxc-attach", LXC_ATTACH.replace("*update*) exit 100", "*update*) exec yes"))
    assert guest.install("fuse-overlayfs").returncode == 0


def test_what_stays_and_keeps_our_pipes_holds_up_nothing(guest):
    keeps = "*update*) setsid sleep 20 &"
    guest.tool("lxc-attach", LXC_ATTACH.replace("*update*) exit 100", keeps))
    began = time.monotonic()
    assert guest.install("fuse-overlayfs").returncode == 0
    assert time.monotonic() - began < 10


def test_fuse_overlayfs_stays_where_the_guest_does_not_say_what_docker_keeps(equipped):
    equipped.tool("lxc-attach", LXC_ATTACH.replace("sh*)", "sh*) echo no; exit 7 ;;\nno)"))
    done = equipped.remove("fuse-overlayfs")
    assert (done.returncode, equipped.journal) == (0, [])
    assert done.stdout.startswith("CT 910: kept: fuse-overlayfs: its guest does not say what ")


# --- who calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("install", "910", "../../x", "apt"),
        ("install", "910;x", "-", "apt"),
        ("purge", "910", "-", "apt"),
        ("install", "910", "-", "pacman"),
        ("install", "910", "-"),
    ],
)
def test_a_call_that_is_none_is_refused(guest, words):
    done = guest.packages(*words, names=["fuse-overlayfs"])
    assert (done.returncode, done.stderr) == (2, "")
    assert not (guest.folder / "calls").exists()


@pytest.mark.parametrize("names", [[], ["-x"], ["a b"], ["a\n"], [1]])
def test_what_is_no_name_reaches_no_guest(guest, names):
    assert guest.packages("install", "910", "-", "apt", names=names).returncode == 2
    assert not (guest.folder / "calls").exists()


def test_what_is_ours_is_roots_alone_if_this_comes_first(guest):
    guest.install("fuse-overlayfs")
    state = guest.root / "var/lib/phoenix-harden"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (state, *state.rglob("*"))}
    assert modes == {
        "phoenix-harden": 0o700,
        "lock": 0o600,
        "runs": 0o700,
        RUN: 0o700,
        "journal.jsonl": 0o600,
    }


def test_the_lock_does_not_reach_the_guest(guest):
    lists = 'ls -l /proc/self/fd >>"$FAKE/descriptors"\n'
    guest.tool("lxc-attach", lists + LXC_ATTACH)
    guest.install("fuse-overlayfs")
    held = (guest.folder / "descriptors").read_text()
    assert "pipe:" in held
    assert "phoenix-harden" not in held


def test_each_manager_that_a_plan_may_name_is_known_to_the_node():
    assert tuple(packages._KINDS) == MANAGERS
