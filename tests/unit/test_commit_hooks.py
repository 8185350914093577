"""commit, of a container that has a hook on the node which writes its conf at a start."""

import pytest
from commit_node import FAKES, NEW, OLD, Node
from script_node import sha

from node.hooks import hooks, rewrote, undone

SCRIPT = "hookscript: local:snippets/docker-unconfined.sh\n"
PROFILE = "lxc.apparmor.profile: lxc-docker-nested"
#: What people copy from forums: the profile goes, at every start.
TO_UNCONFINED = f"sed -i 's/^{PROFILE}$/lxc.apparmor.profile: unconfined/' "


class HookedNode(Node):
    """`before` and `ours`: the conf with the hookscript, unconfined and as it shall be."""

    def __init__(self, folder):
        super().__init__(folder)
        self.before, self.ours = SCRIPT + OLD, SCRIPT + NEW
        self.conf.write_text(self.before)
        self.stage(conf=self.ours, before=sha(self.before))

    def hook(self, does, when="start"):
        """Have pct run this at the end of one of its verbs."""
        conf = self.conf
        hook = f'\n[ "$1" != {when} ] || ( conf={conf}; {does} )\n'
        self.tool("pct", FAKES["pct"] + hook)


@pytest.fixture
def node(tmp_path):
    return HookedNode(tmp_path)


def is_the_old_state(node, done):
    assert done.returncode == 1, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        "CT 910: restored: its hookscript local:snippets/docker-unconfined.sh undid the new conf "
        "at the start: the old conf is back and the container runs with it; "
    )
    return True


def test_a_hookscript_that_writes_unconfined_back_ends_in_the_old_state_and_is_named(node):
    node.hook(f'{TO_UNCONFINED} "$conf"')
    done = node.commit()
    assert is_the_old_state(node, done)
    assert "says lxc.apparmor.profile: unconfined: its hookscript" in done.stdout
    assert "FAILED the start has left its conf alone" in done.stdout
    assert node.conf.read_text() == node.before
    assert node.restarts == 2
    assert node.events == ["intent", "started", "back", "restored"]
    assert node.journal[-2]["why"] == "undone"


def test_a_hookscript_that_leaves_the_conf_alone_is_done(node):
    node.hook("true")
    assert node.commit().returncode == 0


@pytest.mark.parametrize(
    "line", ["lxc.cgroup2.devices.allow: c 195:0 rwm", "lxc.mount.entry: /dev/a dev/a none bind"]
)
def test_what_else_a_hook_writes_into_the_conf_is_its_own_affair(node, line):
    node.hook(f'echo "{line}" >>"$conf"')
    done = node.commit()
    assert done.returncode == 0, done.stdout
    assert node.conf.read_text() == f"{node.ours}{line}\n"


@pytest.mark.parametrize(
    "does",
    [
        "sed -i /lxc.apparmor/d $conf",
        "echo lxc.apparmor.profile: unconfined >>$conf",
        "echo lxc.apparmor.profile = unconfined >>$conf",
        "echo lxc.aa_profile: unconfined >>$conf",
        "echo lxc.include: /root/unconfined.conf >>$conf",
        "echo lxc.apparmor.allow_incomplete: 1 >>$conf",
    ],
)
def test_whatever_changes_the_confinement_of_the_next_start_is_found(node, does):
    node.hook(does)
    assert is_the_old_state(node, node.commit())


def test_a_hook_that_changes_the_conf_once_more_with_the_old_state_is_said(node):
    node.hook('echo lxc.apparmor.profile: unconfined >>"$conf"')
    done = node.commit()
    assert is_the_old_state(node, done)
    again = f"{node.before}lxc.apparmor.profile: unconfined\n"
    assert node.conf.read_text() == again
    assert "910.conf was changed again at this start, by its hookscript local:" in done.stdout
    assert node.journal[-1]["after"] == sha(again)


def test_a_hook_at_the_stop_is_named_as_well(node):
    node.hook(f'{TO_UNCONFINED} "$conf"', when="shutdown")
    node.label.write_text("unconfined\n")
    assert is_the_old_state(node, node.commit())
    assert node.conf.read_text() == node.before


def test_a_hook_that_works_in_the_background_is_found_at_the_end_and_taken_back(node):
    node.guest_says("docker run", f"{TO_UNCONFINED} {node.conf}; echo {'2' * 64}")
    done = node.commit()
    assert is_the_old_state(node, done)
    assert "ok the start has left its conf alone" in done.stdout
    assert "FAILED its next start will be the same" in done.stdout
    assert node.conf.read_text() == node.before
    # what it had made of ours is kept
    kept = node.ours.replace("lxc-docker-nested", "unconfined")
    assert (node.run / "files" / sha(kept)).read_text() == kept


def test_an_edit_beside_that_of_the_hook_is_not_overwritten(node):
    edit = f"echo cores: 2 >>{node.conf}; {TO_UNCONFINED} {node.conf}; echo {'2' * 64}"
    node.guest_says("docker run", edit)
    done = node.commit()
    assert done.returncode == 3
    assert "cores: 2" in node.conf.read_text()


def while_docker_is_proven(node, does):
    """Somebody does this to the conf, and that proof, the first, fails for reasons of its own."""
    once = f'[ ! -e "$FAKE/once" ] || {{ echo {"2" * 64}; exit; }}; touch "$FAKE/once"'
    node.guest_says("docker run", f"{once}; conf={node.conf}; {does}; exit 1")
    return node.commit()


EDITS = [
    "lxc.mount.entry: /srv srv none bind",
    "lxc.environment: A=b",
    "lxc.hook.post-stop: /root/mine",
    "cores: 2",
]


@pytest.mark.parametrize("line", EDITS)
@pytest.mark.parametrize("script", [SCRIPT, ""], ids=["hookscript", "no hook"])
def test_an_edit_that_undoes_nothing_stays_whatever_fails(node, script, line):
    node.before, node.ours = script + OLD, script + NEW
    node.conf.write_text(node.before)
    node.stage(conf=node.ours, before=sha(node.before))
    done = while_docker_is_proven(node, f"echo '{line}' >>$conf")
    assert done.returncode == 3, done.stdout
    assert node.conf.read_text() == f"{node.ours}{line}\n"
    assert "somebody changed /etc/pve/lxc/910.conf since it was read" in done.stdout
    assert "/etc/pve/lxc/910.conf is left as it is" in done.stdout.splitlines()[-1]


def test_a_hook_that_somebody_adds_does_not_excuse_what_else_they_change(node):
    node.before, node.ours = OLD, NEW
    node.conf.write_text(OLD)
    node.stage(conf=NEW, before=sha(OLD))
    done = while_docker_is_proven(
        node, f"echo 'lxc.hook.post-stop: /root/mine' >>$conf; {TO_UNCONFINED} $conf"
    )
    assert done.returncode == 3, done.stdout
    assert node.conf.read_text() == f"{OLD}lxc.hook.post-stop: /root/mine\n"


def test_what_a_hook_undid_is_replaced_whatever_failed_and_kept_and_said(node):
    mount = "lxc.mount.entry: /srv srv none bind"
    done = while_docker_is_proven(node, f"{TO_UNCONFINED} $conf; echo '{mount}' >>$conf")
    assert is_the_old_state(node, done)
    assert node.conf.read_text() == node.before
    found = f"{node.before}{mount}\n"
    assert f"what was there is kept: {node.run}/files/{sha(found)}\n" in done.stdout
    assert (node.run / "files" / sha(found)).read_text() == found
    assert node.journal[-1]["kept"] == sha(found)


def test_what_a_start_has_made_of_ours_is_kept_before_it_goes(node):
    node.hook('echo lxc.environment: A=b >>"$conf"')
    done = while_docker_is_proven(node, "true")
    assert done.returncode == 1, done.stdout
    found = f"{node.ours}lxc.environment: A=b\n"
    assert f"what was there is kept: {node.run}/files/{sha(found)}\n" in done.stdout
    assert (node.run / "files" / sha(found)).read_text() == found


def test_our_own_conf_goes_without_a_word(node):
    done = while_docker_is_proven(node, "true")
    assert done.returncode == 1, done.stdout
    assert "is kept" not in done.stdout
    assert "kept" not in node.journal[-1]


def test_without_a_hook_whoever_changes_the_profile_meanwhile_keeps_it(node):
    for name in ("before", "ours"):
        setattr(node, name, getattr(node, name).replace(SCRIPT, ""))
    node.conf.write_text(node.before)
    node.stage(conf=node.ours, before=sha(node.before))
    another = f"sed -i s/lxc-docker-nested/lxc-another/ {node.conf}"
    node.guest_says("docker run", f"{another}; echo {'2' * 64}")
    done = node.commit()
    assert done.returncode == 3
    assert "something on the node has changed it" in done.stdout
    assert "somebody changed /etc/pve/lxc/910.conf since it was read" in done.stdout


def test_raw_lines_that_wait_in_pending_take_the_place_of_ours_and_are_named(node):
    pending = "[pve:pending]\nlxc.environment.runtime: A=b\n"
    node.before, node.ours = f"{OLD}\n{pending}", f"{NEW}\n{pending}"
    node.conf.write_text(node.before)
    node.stage(conf=node.ours, before=sha(node.before))
    node.hook('printf "hostname: old\\nlxc.environment.runtime: A=b\\n" >"$conf"')
    done = node.commit()
    assert done.returncode == 1
    assert "910.conf has no lxc.apparmor.profile: what waited in [pve:pending]" in done.stdout


# --- where a kill came in between -----------------------------------------------------------------


def was_cut_short(node, *events, conf):
    """As a kill leaves it, with journal and before-image of the conf with the hookscript."""
    node.was_cut_short(*events, conf=conf)
    (node.run / "files" / sha(node.before)).write_text(node.before)
    journal = node.run / "journal.jsonl"
    text = journal.read_text().replace(sha(OLD), sha(node.before)).replace(sha(NEW), sha(node.ours))
    begin = '{"time":"2026-11-22T01:30:00Z","event":"begin","format":2}\n'
    journal.write_text(begin + text.replace('"event":"back"', '"event":"back","why":"undone"'))


def test_the_hooks_work_on_a_conf_of_a_commit_that_was_cut_short_is_taken_back(node):
    node.hook(f'{TO_UNCONFINED} "$conf"')
    node.label.write_text("unconfined\n")
    hooked = node.ours.replace("lxc-docker-nested", "unconfined") + "# by hook\n"
    hooked = hooked.replace("# by hook\n", "lxc.environment: A=b\n")
    was_cut_short(node, "intent", conf=hooked)
    assert is_the_old_state(node, node.recover())
    assert node.conf.read_text() == node.before


def test_a_restoration_that_was_cut_short_after_the_hook_had_its_way_is_finished(node):
    node.hook('echo lxc.apparmor.profile: unconfined >>"$conf"')
    hooked = f"{node.before}lxc.apparmor.profile: unconfined\n"
    was_cut_short(node, "intent", "started", "back", conf=hooked)
    assert is_the_old_state(node, node.recover())
    assert node.conf.read_text() == hooked
    assert node.events == ["intent", "started", "back", "back", "restored"]


# --- what is compared -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (NEW, ""),
        (NEW.replace(": lxc", " = lxc"), ""),
        # it lands in the last snapshot, which no start reads
        (f"{NEW}\n[before]\nlxc.apparmor.profile: unconfined\n", ""),
        (OLD, "says lxc.apparmor.profile: unconfined"),
        ("hostname: old\n", "has no lxc.apparmor.profile"),
        (f"{NEW}lxc.apparmor.raw: mount,\n", "has lxc.apparmor.raw: mount,"),
        ("", "has no lxc.apparmor.profile"),
    ],
)
def test_only_what_confines_is_compared(found, words):
    assert undone(NEW.encode(), OLD.encode(), found.encode()) == words


def test_a_line_that_we_brought_must_stay_and_one_of_others_need_not():
    ours = f"{NEW}lxc.hook.pre-start: /ours\nlxc.environment: A=b\n"
    before = f"{OLD}lxc.environment: A=b\n"
    assert undone(ours.encode(), before.encode(), NEW.encode()) == "lacks lxc.hook.pre-start: /ours"


def test_a_generated_profile_is_undone_by_any_that_is_named():
    words = undone(b"hostname: old\n", OLD.encode(), OLD.encode())
    assert words == "says lxc.apparmor.profile: unconfined"


def test_hooks_of_lxc_are_hooks_and_ours_is_none():
    ours = b"lxc.hook.pre-start: /usr/local/lib/phoenix-harden/namespace\n"
    assert hooks(ours) == ""
    assert hooks(ours + b"lxc.hook.start-host: /x\n") == ""
    assert hooks(ours.replace(b"\n", b" x\n") + b"lxc.hook.version: 1\nlxc.hook.start: /x\n") == ""
    theirs = ours + b"hookscript: local:snippets/a\x1b.sh\nlxc.hook.pre-start: /opt/a b\n"
    assert hooks(theirs) == "hookscript local:snippets/a\\x1b.sh, lxc.hook.pre-start /opt/a b"


def test_a_rewritten_conf_differs_in_raw_lines_alone_in_whatever_order():
    one = b"hookscript: local:snippets/a\nhostname: a\nlxc.apparmor.profile: lxc-a\n"
    assert rewrote(b"hostname: a\n\nhookscript: local:snippets/a\nlxc.cap.drop:\n", one)
    assert not rewrote(one + b"cores: 2\n", one)
    assert not rewrote(b"hostname: a\n", b"hostname: a\nlxc.apparmor.profile: lxc-a\n")
    # a hook that only the other one has is somebody's edit
    assert not rewrote(b"hostname: a\nlxc.hook.post-stop: /b\n", b"hostname: a\n")
