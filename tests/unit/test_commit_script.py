"""commit, against a fake root and fake tools; tests/lab has it against real ones."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from commit_node import CONTAINER, IMAGE, NEW, OLD, RUN, Node
from script_node import sha

from phoenix.docker.names import PROBES
from phoenix.runs.outcome import Ending, read_outcome

PROGRAMS = Path(__file__).parents[2] / "templates/probe"


#: The container goes down once its journal says that it was restarted.
GOES_DOWN = """
import os
def fsync(fd, real=os.fsync):
    global SOCKETS
    real(fd)
    if SOCKETS and os.path.exists(JOURNAL) and "started" in open(JOURNAL).read():
        open(SOCKETS, "w").write("Num\\n")
        SOCKETS = ""
os.fsync = fsync
"""


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_a_proven_container_keeps_the_new_conf(node):
    done = node.commit()
    assert (done.returncode, done.stderr) == (0, "")
    assert node.conf.read_text() == NEW
    assert node.restarts == 1
    assert node.events == ["intent", "started", "done"]
    assert "CT 910: ok PID 1 runs as lxc-docker-nested (enforce)" in done.stdout
    assert "CT 910: ok a container of our own runs" in done.stdout


def test_the_before_image_is_on_disk_under_its_hash(node):
    node.commit()
    intent = node.intent
    assert (node.run / "files" / str(intent["before"])).read_text() == OLD
    assert intent["after"] == sha(NEW)


def test_a_container_that_goes_down_again_after_its_restart_is_not_done(node):
    # as soon as the journal says that it was restarted
    names = f"JOURNAL, SOCKETS = {str(node.run / 'journal.jsonl')!r}, {str(node.sockets)!r}"
    node.boot = f"{names}\n{GOES_DOWN}{node.boot}"
    done = node.commit()
    assert done.returncode == 1
    assert "CT 910: does not run any more" in done.stdout
    assert node.conf.read_text() == OLD
    assert node.state == "running"
    assert node.events == ["intent", "started", "back", "restored"]


def test_our_container_and_its_image_are_removed_by_id(node):
    assert node.commit().returncode == 0
    guest = [call for call in node.calls if call.startswith("guest docker")]
    assert guest == [
        'guest docker import -c CMD ["/probe"] -c LABEL phoenix-harden=probe -',
        "guest docker run -d --pull never -p 127.0.0.1::8080 "
        f"--sysctl net.ipv4.ip_unprivileged_port_start=0 {IMAGE}",
        f"guest docker port {CONTAINER} 8080/tcp",
        f"guest docker rm -f {CONTAINER}",
        f"guest docker rmi {IMAGE}",
    ]


@pytest.mark.parametrize(
    ("noted", "architecture"), [("", "amd64"), *((name, name) for name in PROBES)]
)
def test_the_image_holds_the_program_of_what_its_docker_runs_on(node, noted, architecture):
    node.stage(docker=noted)
    assert node.commit().returncode == 0
    with tarfile.open(node.fake / "image.tar") as image:
        (entry,) = image.getmembers()
        assert (entry.name, entry.mode) == ("probe", 0o755)
        program = image.extractfile(entry).read()
    assert program == (PROGRAMS / f"probe-{architecture}").read_bytes()


def test_where_there_is_no_program_for_it_docker_is_proven_without_and_says_so(node):
    node.stage(docker="riscv64")
    done = node.commit()
    assert (done.returncode, node.events[-1]) == (0, "done")
    assert "CT 910: ok dockerd answers" in done.stdout
    assert "CT 910: note: no container of our own was run: there is none for riscv64" in done.stdout
    assert not [call for call in node.calls if call.startswith("guest docker import")]


@pytest.mark.parametrize("wrong", ["dockerd", "label"])
def test_without_a_program_for_it_all_else_is_proven(node, wrong):
    node.stage(docker="riscv64")
    if wrong == "label":
        node.label.write_text("unconfined\n")
    else:
        node.guest_says("until said=", "exit 1")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (1 if wrong == "label" else 3, OLD)


def test_our_container_and_its_image_are_removed_when_it_does_not_start(node):
    (node.fake / "docker-denied").touch()
    node.commit()
    assert node.calls.count(f"guest docker rm -f {CONTAINER}") == 2
    assert node.calls.count(f"guest docker rmi {IMAGE}") == 2


def test_what_cannot_be_removed_again_is_no_proof(node):
    node.guest_says("sh -c docker rm -f", "exit 1")
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (3, OLD)
    assert "CT 910: ok a container of our own runs and answers" in done.stdout
    assert "CT 910: FAILED our container is removed again" in done.stdout


def test_it_is_not_done_before_what_was_ours_is_removed(node):
    journal = node.run / "journal.jsonl"
    node.guest_says("docker rmi", f"sleep 1; cat {journal} >$FAKE/at-the-removal")
    assert node.commit().returncode == 0
    assert '"done"' not in (node.fake / "at-the-removal").read_text()
    assert node.events[-1] == "done"


def test_before_the_old_state_is_brought_back_what_was_ours_is_removed(node):
    node.guest_says("docker rmi", 'sleep 1; echo removed >>"$FAKE/calls"')
    node.has("/proc/4711/ns/net", "")
    node.tool("nsenter", "echo nobody")
    assert node.commit().returncode == 3
    calls = [call for call in node.calls if call == "removed" or call.startswith("pct s")]
    assert calls == [
        "pct shutdown 910 --timeout 90",
        "pct start 910",
        "removed",
        "pct shutdown 910 --timeout 90",
        "pct start 910",
        "removed",
    ]


def test_a_docker_whose_client_says_no_id_leaves_no_container_either(node):
    (node.fake / "probes").write_text(f"{'c' * 12}\n")
    node.guest_says("docker run", "exit 1")
    assert node.commit().returncode == 3
    assert f"guest docker rm -f {'c' * 12}" in node.calls
    assert f"guest docker rmi {IMAGE}" in node.calls


def test_of_a_failure_to_run_the_reason_is_told_not_where_help_is(node):
    said = "docker: Error response from daemon: no.\\n\\nRun 'docker run --help' for more"
    node.guest_says("docker run", f'printf "{said}\\n" >&2; exit 125')
    assert "CT 910: docker run: docker: Error response from daemon: no.\n" in node.commit().stdout


def test_a_docker_that_does_not_run_brings_the_old_conf_back(node):
    (node.fake / "docker-denied").touch()
    done = node.commit()
    assert done.returncode == 1
    assert node.conf.read_text() == OLD
    assert node.restarts == 2
    assert node.events == ["intent", "started", "back", "restored"]
    assert "FAILED a container of our own runs" in done.stdout
    assert done.stdout.endswith("restored: the old conf is back and the container runs with it\n")


def test_a_wrong_label_brings_the_old_conf_back_and_is_named(node):
    node.label.write_text("unconfined\n")
    done = node.commit()
    assert done.returncode == 1
    assert node.conf.read_text() == OLD
    assert "PID 1 carries 'unconfined'" in done.stdout


def test_complain_mode_is_not_confined(node):
    node.label.write_text("lxc-docker-nested (complain)\n")
    assert node.commit().returncode == 1


def test_a_stacked_label_counts_by_its_host_half(node):
    node.label.write_text("lxc-docker-nested//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)\n")
    assert node.commit().returncode == 0


STACKED = "lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined"


@pytest.mark.parametrize(
    ("wanted", "carried", "code"),
    [
        (f"{STACKED} (enforce)", f"{STACKED} (enforce)", 0),
        # what the guest loaded into its namespace is its own affair
        (f"{STACKED} (enforce)", f"{STACKED.replace('unconfined', 'a')} (enforce)", 0),
        (f"{STACKED} (enforce)", "lxc-a-ns (enforce)", 1),
        (f"{STACKED} (enforce)", f"{STACKED.replace('910', '952')} (enforce)", 1),
        (f"{STACKED} (enforce)", f"{STACKED} (complain)", 1),
        ("lxc-a-complain (complain)", "lxc-a-complain (complain)", 0),
        ("lxc-a-complain (complain)", "lxc-a-complain (enforce)", 1),
        ("lxc-a-complain (complain)", "unconfined", 1),
        (
            "lxc-910_</var/lib/lxc> (enforce)",
            "lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)",
            0,
        ),
        ("lxc-910_</var/lib/lxc> (enforce)", "lxc-910_</var/lib/lxc>x (enforce)", 1),
    ],
)
def test_the_label_must_be_that_of_the_wanted_form(node, wanted, carried, code):
    node.stage(label=wanted)
    node.label.write_text(f"{carried}\n")
    done = node.commit()
    assert done.returncode == code
    assert f"{'ok' if code == 0 else 'FAILED'} PID 1 runs as {wanted}" in done.stdout


def test_a_stacked_container_whose_docker_finds_no_apparmor_is_a_note(node):
    node.stage(label=f"{STACKED} (enforce)")
    node.label.write_text(f"{STACKED} (enforce)\n")
    assert "note: Docker finds no AppArmor" in node.commit().stdout


def test_a_stacked_container_whose_docker_finds_it_is_none(node):
    (node.fake / "options").write_text(" name=apparmor")
    node.stage(label=f"{STACKED} (enforce)")
    node.label.write_text(f"{STACKED} (enforce)\n")
    done = node.commit()
    assert (done.returncode, "note:" in done.stdout) == (0, False)


def test_a_container_that_does_not_start_gets_its_old_conf_and_starts_again(node):
    node.stage(conf=NEW + "tags: boots-not\n")
    done = node.commit()
    assert done.returncode == 1
    assert node.state == "running"
    assert node.conf.read_text() == OLD


@pytest.fixture
def denied(node):
    """A node whose log has one denial of the container's profile since the restart."""
    line = 'type=AVC msg=audit(%d.1:7): apparmor="DENIED" operation="mount" profile="%s" '
    line += 'pid=7 comm="a"'
    # what was there before is not looked at, whenever it was
    node.has("/var/log/audit/audit.log", f"{line % (9999999998, 'lxc-docker-nested')}\n")
    node.refuses(
        line % (1, "lxc-docker-nested"),
        line % (9999999999, "another"),
        line % (9999999999, "lxc-docker-nested"),
    )
    node.tool("systemctl", '[ "$*" = "-q is-active auditd" ]')
    return node


def is_of_group(node, pid, group):
    """A process that lives, in this control group."""
    node.has(f"/proc/{pid}/cgroup", f"0::{group}\n")
    node.has(f"/proc/{pid}/stat", f"{pid} (a) {' '.join(['S', '1', *['0'] * 17, '1'])}\n")


DENIAL = '  apparmor="DENIED" operation="mount" profile="lxc-docker-nested" comm="a"'


def test_a_failure_is_explained_by_the_denials_since_the_restart(denied):
    denied.label.write_text("unconfined\n")
    said = denied.commit().stdout.splitlines()
    assert [text for text in said if "DENIED" in text] == [DENIAL]


def test_where_auditd_is_gone_the_kernels_own_log_explains_it_and_no_old_file(denied):
    denied.tool("systemctl", "exit 3")
    line = 'audit: type=1400 audit(9999999999.1:7): apparmor="DENIED" operation="umount" '
    line += 'profile="lxc-docker-nested" pid=7 comm="a"'
    denied.tool("journalctl", f"echo '{line}'")
    denied.label.write_text("unconfined\n")
    said = [text for text in denied.commit().stdout.splitlines() if "DENIED" in text]
    assert said == [DENIAL.replace("mount", "umount")]


def test_a_child_of_its_profile_explains_it_and_one_whose_name_only_begins_so_does_not(denied):
    line = 'type=AVC msg=audit(9999999999.1:7): apparmor="DENIED" operation="open" '
    line += 'profile="lxc-docker-nested%s" name="/%s" pid=7 comm="b"'
    kinds = [line % one for one in (("//child", "a"), ("//null-/usr/bin/x", "b"), ("-910", "c"))]
    denied.refuses(*kinds)
    denied.label.write_text("unconfined\n")
    said = [text for text in denied.commit().stdout.splitlines() if "DENIED" in text]
    assert [text.partition('name="')[2][:2] for text in said] == ["/a", "/b"]


def test_of_a_long_log_only_what_comes_during_the_commit_is_read(denied):
    # to read this much would take longer than the test may
    with (denied.root / "var/log/audit/audit.log").open("r+b") as log:
        log.truncate(2**40)
    denied.label.write_text("unconfined\n")
    said = denied.commit().stdout.splitlines()
    # the first of them ends the hole, which no line of the kernel is as long as
    assert [text for text in said if "DENIED" in text] == [DENIAL]


def test_a_log_that_is_rotated_during_the_commit_is_read_on_in_the_new_file(denied):
    log = denied.root / "var/log/audit/audit.log"
    log.write_text(log.read_text().replace("9999999998", "2"))
    pct = denied.fake / "pct"
    rotates = f"case $1 in start) mv {log} {log}.1; : >{log} ;; esac"
    pct.write_text(pct.read_text().replace("case $1 in", f"{rotates}\ncase $1 in", 1))
    denied.label.write_text("unconfined\n")
    said = denied.commit().stdout.splitlines()
    assert [text for text in said if "DENIED" in text] == [DENIAL]


def test_what_the_nodes_message_bus_refused_explains_it_too(denied):
    line = "type=USER_AVC msg=audit(9999999999.1:7): pid=9 uid=101 subj=unconfined "
    line += 'msg=\'apparmor="DENIED" operation="dbus_method_call"  bus="system" '
    line += 'member="StartUnit" mask="send" name=":1.2" pid=%d label="lxc-docker-nested" peer_pid=1'
    denied.refuses(*(line % pid for pid in (7, 8)))
    # the bus is no process of the container's, nor is the one in another
    is_of_group(denied, 8, "/lxc/952/ns/init.scope")
    is_of_group(denied, 9, "/lxc/952/ns/init.scope")
    denied.label.write_text("unconfined\n")
    said = denied.commit().stdout.splitlines()
    assert [text for text in said if "DENIED" in text] == [
        '  apparmor="DENIED" operation="dbus_method_call" bus="system" member="StartUnit" '
        'mask="send" name=":1.2" profile="lxc-docker-nested"'
    ]


def test_equal_denials_are_one_line_and_the_kinds_that_are_cut_are_counted(denied):
    line = 'type=AVC msg=audit(9999999999.1:7): apparmor="DENIED" operation="open" '
    line += 'profile="lxc-docker-nested" name="/%s/%s" pid=7 comm="b"'
    often = [line % ("often", "0123456789abcdef" * 4), line % ("often", "fedcba9876543210" * 4)]
    kinds = [line % ("once", chr(97 + number)) for number in range(12)]
    denied.refuses(*often, *kinds)
    denied.label.write_text("unconfined\n")
    said = denied.commit().stdout.splitlines()
    first = said.index("CT 910: AppArmor denied since the restart:") + 1
    assert said[first].startswith('  2x apparmor="DENIED" operation="open"')
    assert 'name="/often/*"' in said[first]
    assert [text[-17:-8] for text in said[first + 7 : first + 10]] == [
        *('/once/j" ', '/once/k" ', '/once/l" ')
    ]
    assert said[first + 10] == "  and at least 3 other kinds"


@pytest.mark.parametrize("group", ["/lxc/952/ns/init.scope", "/lxc.payload.952/init.scope"])
def test_a_denial_of_a_process_in_another_container_does_not_explain_it(denied, group):
    is_of_group(denied, 7, group)
    denied.label.write_text("unconfined\n")
    assert "DENIED" not in denied.commit().stdout


def test_one_of_its_own_processes_does(denied):
    is_of_group(denied, 7, "/lxc/910/ns/init.scope")
    denied.label.write_text("unconfined\n")
    assert DENIAL in denied.commit().stdout


def test_denials_alone_are_a_warning_when_everything_works(denied):
    done = denied.commit()
    assert done.returncode == 0
    assert done.stdout.splitlines()[-3:] == [
        "CT 910: warning: it works, and AppArmor denied since the restart:",
        DENIAL,
        "CT 910: done",
    ]


def test_a_conf_that_somebody_changed_since_is_refused_and_untouched(node):
    node.conf.write_text(OLD + "cores: 2\n")
    done = node.commit()
    assert done.returncode == 4
    assert node.conf.read_text() == OLD + "cores: 2\n"
    # by its last line the operator's side plans anew
    assert read_outcome(910, done.stdout.splitlines()).ending is Ending.CHANGED
    assert not (node.run / "journal.jsonl").exists()
    assert node.restarts == 0


def test_a_stopped_container_gets_its_conf_and_stays_stopped(node):
    node.state = "stopped"
    assert node.commit().returncode == 0
    assert node.conf.read_text() == NEW
    assert node.restarts == 0


def test_without_a_restart_asked_for_a_running_container_goes_on(node):
    (node.run / "910/restart").unlink()
    assert node.commit().returncode == 0
    assert node.conf.read_text() == NEW
    assert node.restarts == 0


def test_what_was_not_staged_is_refused(node):
    (node.run / "910/before").unlink()
    done = node.commit()
    assert (done.returncode, node.conf.read_text()) == (2, OLD)


def test_no_temporary_file_is_left_beside_the_conf(node):
    node.commit()
    assert [path.name for path in node.conf.parent.iterdir()] == ["910.conf"]


def test_what_was_noted_as_ours_before_is_kept_with_the_conf(node):
    note = node.has("/var/lib/phoenix-harden/containers/910", "the note of an earlier run")
    node.stage(ours="the new note")
    assert node.commit().returncode == 0
    assert note.read_text() == "the new note"
    kept = node.run / "files" / str(node.intent["ours"])
    assert kept.read_text() == "the note of an earlier run"


def test_an_empty_note_of_what_is_ours_takes_the_note_away(node):
    note = node.has("/var/lib/phoenix-harden/containers/910", "the note of an earlier run")
    node.stage(ours="")
    assert node.commit().returncode == 0
    assert not note.exists()


def test_an_edit_made_during_the_proof_is_not_overwritten(node):
    node.guest_says("docker run", f"echo cores: 2 >>{node.conf}; false")
    done = node.commit()
    assert done.returncode == 3
    assert node.conf.read_text() == NEW + "cores: 2\n"
    assert f"rollback with run={RUN} reverts what this run changed" in done.stdout
    assert node.events[-1] == "failed"


def test_a_commit_whose_operator_is_gone_goes_on_to_its_end(node):
    pct = node.fake / "pct"
    # as the real one fails then: after its work is done
    pct.write_text(pct.read_text() + "case $1 in start | shutdown) echo done || exit 1 ;; esac\n")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        node.call,
        env=node.environment,
        stdout=write,
        stderr=write,
        # SIGPIPE is ignored in a unit of systemd, as it is in Python
        restore_signals=False,
        timeout=60,
    )
    os.close(write)
    assert done.returncode == 0
    assert node.conf.read_text() == NEW
    assert node.events == ["intent", "started", "done"]


def test_whoever_has_the_lock_is_named_while_the_commit_waits(node):
    lock = node.root / "var/lib/phoenix-harden/lock"
    ready = node.fake / "ready"
    os.mkfifo(ready)
    hold = f"exec 9>>{lock}; flock 9; echo run r0, CT 952 >{lock}; echo >{ready}; read _"
    with subprocess.Popen(["sh", "-c", hold], stdin=subprocess.PIPE, text=True) as holder:
        ready.read_text()
        with subprocess.Popen(
            node.call,
            env=node.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as commit:
            assert commit.stdout.readline() == "CT 910: waits for run r0, CT 952\n"
            holder.communicate("go on\n")
            assert commit.stdout.read().endswith("CT 910: done\n")
    assert node.conf.read_text() == NEW
