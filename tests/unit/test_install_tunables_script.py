"""The verb that replaces files of tunables, against a fake root and a fake parser."""

import pytest
from script_node import ScriptNode, sha
from synced import Fsynced

RUN = "r20261122T013000Z-beef"
OLD, NEW = "broken\n", "sound\n"
SITE = "tunables/global.d/phoenix-harden"
OURS = "# Managed by phoenix-harden: changes are overwritten by its next run.\n"

#: Refuses everything while tunables/home says "broken", apart from what says how it differs.
PARSER = """\
for last; do :; done
case $last in -*) last=/dev/stdin ;; esac
echo "$*" >>"$FAKE/calls"
home=$2/tunables/home
site=$2/tunables/global.d/phoenix-harden
case $(cat "$last") in
*'needs the list'*) [ -e "$site" ] ;;
*'loads without the list'*) case $* in *' -r '*) [ ! -e "$site" ] ;; esac ;;
'needs none') ;;
'needs the old one') grep -q broken "$home" ;;
'never compiles') exit 1 ;;
*) ! grep -q broken "$home" || { echo "$home at line 1: broken" >&2; exit 1; } ;;
esac
"""


class Node(ScriptNode):
    def __init__(self, folder):
        super().__init__(folder)
        self.run = self.root / "var/lib/phoenix-harden/runs" / RUN
        self.base = self.root / "etc/apparmor.d"
        self.home = self.has("/etc/apparmor.d/tunables/home", OLD, 0o640)
        for name in ("usr.bin.man", "with blank", "left.dpkg-old"):
            (self.base / name).write_text("include <tunables/global>\n")
        (self.base / "alone").write_text("needs none\n")
        self.tool("apparmor_parser", PARSER)

    def repair(self, text=NEW, planned=OLD):
        return self.install("tunables/home", text, planned)

    def install(self, name, text, planned):
        words = (name, RUN, sha(planned), sha(text))
        return self.verb("install-tunables", *words, request={"text": text})

    def untouched(self):
        mode = self.home.stat().st_mode & 0o777
        return (self.home.read_text(), mode, len([*self.home.parent.iterdir()])) == (OLD, 0o640, 1)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_it_is_repaired_and_proven_by_every_file_that_the_service_would_load(node):
    done = node.repair()
    assert done.returncode == 0, done.stdout
    assert node.home.read_text() == NEW
    assert "repaired: 3 of 3 profile files compile, 1 did before" in done.stdout
    assert "systemctl reload apparmor" in done.stdout
    assert node.events == ["begin", "intent", "done"]
    assert {entry["file"] for entry in node.journal[1:]} == {"/etc/apparmor.d/tunables/home"}


def test_the_mode_stays_and_nothing_is_left_beside_it(node):
    node.repair()
    assert node.home.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in node.home.parent.iterdir()] == ["home"]


def test_nothing_is_loaded(node):
    node.repair()
    calls = (node.fake / "calls").read_text().splitlines()
    assert all(" -Q -K -T" in call for call in calls)


def test_the_original_is_kept_under_its_hash_for_root_alone(node):
    node.repair()
    (kept,) = (node.run / "files").iterdir()
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (OLD, 0o600)
    assert node.journal[1]["before"] == kept.name == sha(OLD)
    assert node.journal[2]["after"] == sha(NEW)


def test_each_step_is_on_disk_before_the_next_one(node):
    synced = Fsynced(node, node.home)
    assert node.repair().returncode == 0
    assert synced.calls == [
        (sha(OLD), "broken"),
        ("journal.jsonl", "broken"),
        ("journal.jsonl", "broken"),
        ("home.dpkg-new", "broken"),
        ("tunables", "sound"),
        ("apparmor.d", "sound"),
        ("journal.jsonl", "sound"),
    ]


def test_the_way_back_is_on_disk_before_the_journal_says_so(node):
    synced = Fsynced(node, node.home)
    node.repair("still broken\n")
    assert synced.calls[-4:] == [
        ("home.dpkg-new", "still broken"),
        ("tunables", "broken"),
        ("apparmor.d", "broken"),
        ("journal.jsonl", "broken"),
    ]


def test_without_a_copy_on_disk_nothing_is_changed(node):
    Fsynced(node, node.home).fails_for(sha(OLD))
    done = node.repair()
    assert done.returncode == 1
    assert "cannot keep a copy in " in done.stdout
    assert node.untouched()
    assert node.events == []


def test_a_repair_that_does_not_compile_is_taken_back(node):
    done = node.repair("still broken\n")
    assert done.returncode == 1
    assert "do not compile with the repair: " in done.stdout
    assert "the old text is back" in done.stdout
    assert node.untouched()
    assert node.events == ["begin", "intent", "restored"]


def test_a_repair_that_costs_another_file_is_taken_back_and_names_it(node):
    (node.base / "with blank").write_text("needs the old one\n")
    done = node.repair()
    assert done.returncode == 1
    assert f"with the repair these no longer compile: {node.base}/with blank;" in done.stdout
    assert node.untouched()
    assert node.events == ["begin", "intent", "restored"]


def test_a_file_that_did_not_compile_before_either_is_no_loss(node):
    (node.base / "usr.bin.man").write_text("never compiles\n")
    done = node.repair()
    assert done.returncode == 0, done.stdout
    assert "repaired: 2 of 3 profile files compile, 1 did before" in done.stdout


def test_a_file_that_somebody_changed_meanwhile_is_left_alone(node):
    done = node.repair(planned="what the plan saw\n")
    assert done.returncode == 1
    assert "somebody changed it meanwhile; nothing was changed" in done.stdout
    assert node.untouched()
    assert node.events == []


def test_a_link_stays_one_and_what_it_names_is_repaired(node):
    real = node.root / "srv/home"
    real.parent.mkdir()
    node.home.rename(real)
    node.home.symlink_to(real)
    assert node.repair().returncode == 0
    assert node.home.is_symlink()
    assert real.read_text() == NEW


@pytest.fixture
def sound(node):
    """A node whose tunables compile, with a loaded profile of ours and one that is not loaded."""
    node.home.write_text(NEW)
    for name in ("lxc-ours", "lxc-theirs"):
        profile = f"/sys/kernel/security/apparmor/policy/profiles/{name}.1"
        node.has(f"{profile}/name", f"{name}\n")
        node.has(f"{profile}/mode", "enforce\n")
    (node.base / "lxc-ours").write_text(f"{OURS}a profile\n")
    (node.base / "lxc-idle").write_text(f"{OURS}another\n")
    (node.base / "lxc-theirs").write_text("theirs\n")
    return node


def loads(node):
    return [call.rpartition("/")[2] for call in node.calls if " -r " in call]


def test_the_sites_variables_are_put_in_place_and_what_is_loaded_of_ours_is_loaded_anew(sound):
    done = sound.install(SITE, "list\n", None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    file = sound.base / SITE
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("list\n", 0o644)
    assert file.parent.stat().st_mode & 0o777 == 0o755
    assert loads(sound) == ["lxc-ours"]
    assert sound.events == ["begin", "intent", "done"]
    assert [entry["file"] for entry in sound.journal[1:]] == [f"/etc/apparmor.d/{SITE}"] * 2


def test_the_sites_variables_go_and_leave_a_copy(sound):
    sound.install(SITE, "list\n", None)
    assert sound.install(SITE, None, "list\n").returncode == 0
    assert not (sound.base / SITE).exists()
    assert (sound.run / "files" / sha("list\n")).read_text() == "list\n"
    assert loads(sound) == ["lxc-ours"] * 2


def test_variables_that_another_profile_needs_do_not_go(sound):
    sound.install(SITE, "list\n", None)
    (sound.base / "usr.bin.man").write_text("needs the list\n")
    done = sound.install(SITE, None, "list\n")
    assert done.returncode == 1
    assert f"with it these no longer compile: {sound.base}/usr.bin.man" in done.stdout
    assert (sound.base / SITE).read_text() == "list\n"
    assert sound.events[-2:] == ["intent", "restored"]


def test_variables_with_which_a_profile_of_ours_does_not_load_go_again(sound):
    (sound.base / "lxc-ours").write_text(f"{OURS}loads without the list\n")
    done = sound.install(SITE, "list\n", None)
    assert done.returncode == 1
    assert "with it a profile of ours no longer loads; the old text is back" in done.stdout
    assert not (sound.base / SITE).exists()
    assert loads(sound) == ["lxc-ours"] * 2


def test_a_text_that_is_not_the_planned_one_changes_nothing(sound):
    words = (SITE, RUN, "none", sha("list and more\n"))
    done = sound.verb("install-tunables", *words, request={"text": "list\n"})
    assert done.returncode == 1
    assert "did not arrive whole; nothing was changed" in done.stdout
    assert (sound.base / SITE).exists() is False


def test_another_file_is_none_of_ours(sound):
    words = ("tunables/global", RUN, "none", sha("x\n"))
    assert sound.verb("install-tunables", *words, request={"text": "x\n"}).returncode == 2
    assert not (sound.base / "tunables/global").exists()
