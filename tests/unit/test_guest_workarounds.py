"""What people change in guests to have Docker run without AppArmor: read, told, with a way out."""

import json

import pytest

from phoenix.docker.observed import ObservedDocker
from phoenix.docker.reading import dockers_from_json
from phoenix.plan.confinement import Confinement
from phoenix.plan.findings import Code, Severity
from phoenix.plan.guest_workarounds import guest_workarounds
from phoenix.plan.needs import before_it_goes, still_needed
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.versions import ObservedVersions


def docker(*lines, daemon=None):
    text = "\n".join(["guest 1", 'info {"ServerVersion":"29.1","Driver":"overlay2"}', *lines])
    if daemon is not None:
        text += f"\ndaemon-file 0 0 644\n{daemon}"
    return dockers_from_json({"910": {"state": "ok", "text": text, "error": ""}})[910]


def found(*lines, need=lambda _: "", **more):
    observed = ObservedContainer(910, PveConf("hostname: a\n"), True, 1, "unconfined", None, "pve1")
    findings = [*guest_workarounds(observed, docker(*lines, **more), need)]
    assert all(one.severity == Severity.NOTE and one.fix for one in findings)
    return [(str(one.code), one.message, one.fix) for one in findings]


def test_held_and_pinned_packages_of_docker_are_told_and_others_are_not():
    assert found("hold vim", "hold runc", "hold containerd.io", "pin vim", "pin containerd.io") == [
        (
            "workaround.hold",
            "workaround apt-mark hold containerd.io runc keeps security fixes away",
            "apt-mark unhold containerd.io runc in the guest once it is confined",
        ),
        (
            "workaround.hold",
            "workaround apt's preferences keep containerd.io at a version, and security fixes away",
            "take that out of /etc/apt/preferences.d in the guest once it is confined",
        ),
    ]
    assert found("hold vim", "pin docker-compose") == []


@pytest.mark.parametrize(
    ("lines", "words", "fix"),
    [
        (
            ("wrapper script /usr/local/bin/runc",),
            "/usr/local/bin/runc is a script in runc's place",
            "rm /usr/local/bin/runc && systemctl restart docker in the guest",
        ),
        (
            ("wrapper script /usr/bin/runc", "package ii containerd.io 1.7"),
            "/usr/bin/runc is a script",
            "apt-get install --reinstall containerd.io && systemctl restart docker in the guest",
        ),
        (
            ("wrapper changed /usr/sbin/runc", "package ii runc 1.1"),
            "is not the runc that its package brought",
            "apt-get install --reinstall runc && systemctl restart docker in the guest",
        ),
        (("wrapper link /usr/bin/runc",), "leads to a program by another name", "apt-get install"),
    ],
)
def test_what_stands_in_runcs_place_is_told_with_how_runc_comes_back(lines, words, fix):
    ((code, message, told),) = found(*lines)
    assert code == "workaround.runc-wrapper"
    assert words in message
    assert told.startswith(fix)


def daemon(path, name="odd"):
    return json.dumps({"default-runtime": name, "runtimes": {"odd": {"path": path}}})


def test_a_runtime_of_daemon_json_that_nobody_knows_is_told():
    ((code, message, fix),) = found(daemon=daemon("/opt/runc-no-apparmor"))
    assert code == "workaround.runc-wrapper"
    assert "Docker starts containers by /opt/runc-no-apparmor" in message
    assert "daemon.json" in fix


@pytest.mark.parametrize(
    "text",
    [
        daemon("/usr/bin/crun"),
        daemon("nvidia-container-runtime"),
        daemon("/opt/x", "runc"),
        daemon(7),
        '{"default-runtime": ["a"], "runtimes": {}}',
        '{"default-runtime": "a", "runtimes": 1}',
        "[1]",
        "{",
        "null",
        "",
    ],
)
def test_known_runtimes_and_whatever_else_a_daemon_json_holds_are_none(text):
    assert found(daemon=text) == []


def test_options_of_containers_are_told_by_the_option_with_what_each_opens():
    names = [f"secopt /c{number} apparmor=unconfined" for number in range(7)]
    one, two, three = found(
        *names, "secopt web seccomp:unconfined", "secopt x systempaths=unconfined"
    )
    assert one == (
        "workaround.security-opt",
        "workaround --security-opt apparmor=unconfined of containers c0, c1, c2, c3, c4 and 2 "
        "more: runs without Docker's own AppArmor profile, where Docker has one",
        "make them anew without it",
    )
    assert two[1].endswith(
        "seccomp:unconfined of container web: runs without Docker's seccomp filter"
    )
    assert two[2] == "make it anew without it"
    assert "sysrq-trigger" in three[1]


def test_a_file_of_compose_is_told_with_its_lines_and_the_command_to_type():
    path = "/opt/my app/docker-compose.yml"
    one, two = found(
        f"compose 4 apparmor {path}", f"compose 5 privileged {path}", f"compose 12 apparmor {path}"
    )
    assert one[0] == two[0] == "workaround.compose"
    assert one[1].startswith(f"workaround apparmor=unconfined in {path}, lines 4, 12: runs without")
    assert "docker compose -f '/opt/my app/docker-compose.yml' up -d" in one[2]
    assert two[1].startswith(f"workaround privileged: true in {path}, line 5: runs with every")


def test_that_not_all_files_of_compose_were_looked_at_is_told():
    ((code, message, fix),) = found("cut compose")
    assert code == "workaround.compose"
    assert "not every file of compose" in message
    assert "grep" in fix


def test_that_dockerd_has_not_told_all_is_told():
    ((code, message, fix),) = found("cut docker")
    assert code == "docker.partly"
    assert "its answer broke off" in message
    assert "docker ps -a" in fix


def test_a_mount_of_a_docker_container_that_gives_no_answer_is_told():
    ((code, message, fix),) = found("silent /web /mnt/nas")
    assert code == "mount.silent"
    assert message.startswith("/mnt/nas, a mount of its Docker container web, gives no answer")
    assert "umount -l" in fix


def test_a_guest_that_names_more_than_anybody_reads_is_cut():
    assert len(found(*(f"compose 1 apparmor /opt/{number}" for number in range(2000)))) == 500


@pytest.mark.parametrize(
    "line",
    [
        "wrapper elf /usr/bin/runc",
        "wrapper script runc",
        "wrapper script /a\x1b[2J",
        "secopt web apparmor=docker-default",
        "secopt web\x1b apparmor=unconfined",
        "secopt web label=disable",
        "secopt web a apparmor=unconfined",
        "compose 1 apparmor docker-compose.yml",
        "compose 1 apparmor /a\x07",
        "compose 1 apparmor /" + "x" * 2000,
        "compose 1 label /a",
        "compose -1 apparmor /a",
        "compose /a",
        "cut",
        "silent web nas",
        "pin a b",
        "pin $(id)",
    ],
)
def test_what_a_guest_says_in_no_closed_form_is_dropped(line):
    assert found(line) == []


def test_what_a_guest_names_in_letters_that_no_screen_shows_is_escaped():
    ((_, message, fix),) = found("compose 1 apparmor /a\u202eb")
    assert (message + fix).isprintable()


def test_of_a_guest_that_was_not_asked_nothing_is_said():
    observed = ObservedContainer(910, PveConf(""), True, 1, None, None, "pve1")
    assert [*guest_workarounds(observed, None, lambda _: "")] == []
    assert [*guest_workarounds(observed, ObservedDocker("hung"), lambda _: "")] == []


# --- whether it is needed still -------------------------------------------------------------------

OURS, GENERATED = Confinement("lxc-a", stacked=True), Confinement("generated")
NEW, OLD, DEBIAN, UNKNOWN = (
    ObservedVersions(packages=packages)
    for packages in (
        {"lxc-pve": "6.0.5-3"},
        {"lxc-pve": "6.0.5-1"},
        {"lxc": "1:6.0.4-4+deb13u4"},
        {"lxc": "1:5.0.2-1"},
    )
)


@pytest.mark.parametrize(
    ("code", "confinement", "versions", "words"),
    [
        (Code.WRAPPER, OURS, OLD, "not needed under lxc-a-ns"),
        (
            Code.WRAPPER,
            GENERATED,
            NEW,
            "not needed since lxc-pve 6.0.5-2; this node has 6.0.5-3",
        ),
        (Code.MASK, None, DEBIAN, "not needed since lxc 1:6.0.4-4+deb13u4; this node has 1:6.0.4"),
        (
            Code.HOLD,
            GENERATED,
            OLD,
            "Docker with a newer runc needs it under Proxmox's generated profile until lxc-pve is "
            "6.0.5-2; this node has 6.0.5-1",
        ),
        (
            Code.HOLD,
            GENERATED,
            ObservedVersions(packages={"lxc": "1:6.0.5-1"}),
            "Docker with a newer runc needs it under Proxmox's generated profile until lxc is "
            "1:6.0.6; this node has 1:6.0.5-1",
        ),
        (Code.HOLD, GENERATED, UNKNOWN, ""),
        (Code.HOLD, GENERATED, ObservedVersions(), ""),
        (Code.DEVICES, GENERATED, OLD, "Docker does not need it"),
    ],
)
def test_whether_a_workaround_is_needed_follows_from_profile_and_versions(
    code, confinement, versions, words
):
    assert still_needed(code, confinement, versions).startswith(words)
    if not words:
        assert still_needed(code, confinement, versions) == ""


def test_a_mask_is_needed_as_long_as_docker_sees_apparmor_and_stacking_is_the_way_out():
    plain, seen = Confinement("lxc-a"), "ostype: ubuntu"
    words = still_needed(Code.MASK, plain, NEW, seen)
    assert words == "needed as long as its Docker sees AppArmor's files (ostype: ubuntu)"
    assert '"apparmor_stacking": true' in before_it_goes(Code.MASK, plain, NEW, seen)
    assert still_needed(Code.HOLD, plain, NEW, seen) == "not needed under lxc-a"
    assert before_it_goes(Code.HOLD, plain, NEW, seen) == ""


@pytest.mark.parametrize(
    ("code", "confinement", "versions"),
    [
        (Code.MASK, OURS, OLD),
        (Code.MASK, GENERATED, NEW),
        (Code.MASK, GENERATED, UNKNOWN),
        (Code.DEVICES, GENERATED, OLD),
    ],
)
def test_nothing_has_to_come_before_one_goes_that_nobody_needs(code, confinement, versions):
    assert before_it_goes(code, confinement, versions) == ""


@pytest.mark.parametrize("confinement", [GENERATED, None])
def test_what_an_old_lxc_needs_goes_after_its_upgrade(confinement):
    words = before_it_goes(Code.MASK, confinement, OLD)
    assert words == "upgrade lxc-pve on the node to 6.0.5-2 or newer: then it can go"


def test_it_stands_behind_what_the_workaround_does():
    ((_, message, _),) = found("hold runc", need=lambda code: f"{code}: no")
    assert message.endswith("security fixes away; workaround.hold: no")
