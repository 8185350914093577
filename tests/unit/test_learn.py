"""From what AppArmor would have refused one container to the rules of its overlay."""

from dataclasses import replace

import pytest
from learn_cases import (
    ID,
    LAST,
    NAME,
    OWN,
    WEB,
    WHOSE,
    file,
    learned,
    lesson,
    mount,
    overlay,
    refused,
    seen,
)
from test_apparmor import NEW, TEMPLATES

from phoenix.apparmor.denials import Owner
from phoenix.apparmor.learn import _OPENS, MOST_RULES, _places, opens
from phoenix.apparmor.overlay import MOST_BYTES, read_overlay, rules
from phoenix.apparmor.profile_text import read_profiles
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import render_profile

LAYER = f"/var/lib/docker/overlay2/{ID}"


@pytest.mark.parametrize(
    ("denial", "rule"),
    [
        (
            mount("/merged/", "overlay", "rw, silent", "overlay"),
            "mount options=(rw,silent) fstype=overlay -> /merged/,",
        ),
        (mount("/ram/", "x y", "", "ramfs"), "mount options=(rw) fstype=ramfs -> /ram/,"),
        (
            mount("/srv/my data/", "me@there:", "ro, nosuid", "fuse.sshfs"),
            'mount options=(ro,nosuid) fstype=fuse.sshfs -> "/srv/my data/",',
        ),
        (mount("/b/", "/a/", "rw, bind"), "mount options=(rw,bind) /a/ -> /b/,"),
        (mount("/b", "/a b", "rw, rbind"), 'mount options=(rw,rbind) "/a b" -> /b,'),
        (
            mount("/b/", flags="ro, remount, bind"),
            "mount options=(ro,remount,bind) -> /b/,",
        ),
        (seen("umount", name="/b/", **{"class": "mount"}), "umount /b/,"),
        (seen("capable", capname="net_raw", **{"class": "cap"}), "capability net_raw,"),
        (
            seen("create", family="packet", sock_type="raw", **{"class": "net"}),
            "network packet raw,",
        ),
        (file("/srv/x", "rc"), "/srv/x rw,"),
        (file("/srv/x", "ac"), "/srv/x w,"),
        (file("/srv/x y", "lk"), '"/srv/x y" lk,'),
    ],
)
def test_a_rule_allows_what_was_seen(denial, rule):
    assert learned(denial) == [rule]


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (f"{LAYER}/merged/srv/x", "@{dkr_root}/srv/x w,"),
        (f"/var/lib/docker/vfs/dir/{ID}/x", "@{dkr_root}/x w,"),
        (f"/var/lib/docker/rootfs/overlayfs/{ID}/x", "@{dkr_root}/x w,"),
        ("/var/lib/docker/buildkit/executor/abc/rootfs/x", "@{dkr_root}/x w,"),
        (f"{LAYER}/diff/x", "@{dkr_data}/overlay2/@{dkr_id}/diff/x w,"),
        (f"{LAYER}-init/x", "@{dkr_data}/overlay2/@{dkr_id}-init/x w,"),
        ("/var/lib/docker/volumes/db/_data/x", "@{dkr_data}/volumes/db/_data/x w,"),
        ("/var/lib/containerd/x", "@{ctd_data}/x w,"),
        ("/var/lib/docker/containerd/daemon/x", "@{ctd_data}/x w,"),
        ("/run/systemd/unit-root/srv/x", "@{unit_root}/srv/x w,"),
        (f"/run/docker/{ID}/x", "/run/docker/@{dkr_id}/x w,"),
        # what only looks like it
        (f"/srv/{ID}/x", f"/srv/{ID}/x w,"),
        (f"{LAYER}/merged/{ID}", f"@{{dkr_root}}/{ID} w,"),
        (f"/var/lib/docker/overlay2/{ID}0/x", f"@{{dkr_data}}/overlay2/{ID}0/x w,"),
        ("/var/lib/dockers/x", "/var/lib/dockers/x w,"),
        ("/srv/var/lib/docker/x", "/srv/var/lib/docker/x w,"),
    ],
)
def test_a_path_is_generalised_only_by_the_variables_of_the_templates(path, rule):
    assert learned(file(path)) == [rule]


def test_dockers_data_may_lie_elsewhere():
    elsewhere = replace(WHOSE, data_roots=("/srv/docker", "/var/lib/docker"))
    assert learned(file("/srv/docker/x"), whose=elsewhere) == ["@{dkr_data}/x w,"]


def test_the_variables_are_those_that_the_base_template_sets():
    text = render_profile(Confinement(NAME), TEMPLATES, NEW)
    assert {*_places(("/x",))} <= read_profiles(text).variables


@pytest.mark.parametrize(
    ("denial", "why"),
    [
        (seen("change_profile", name="unconfined"), "leave the profile"),
        (seen("userns_create"), '"apparmor_allows": ["nested-userns"]'),
        (seen("uring_sqpoll", **{"class": "io_uring"}), "io_uring"),
        (seen("pivotroot", name="/mnt/", srcname="/mnt/o/"), "another name"),
        (seen("dbus_method_call", name="org.freedesktop.systemd1"), "bus"),
        (seen("capable", capname="sys_module"), "sys_module"),
        (seen("create", family="alg", sock_type="seqpacket"), "family"),
        (seen("create", family="inet"), "one type"),
        (seen("signal", peer="unconfined", requested_mask="send"), "another label"),
        (seen("signal", peer=OWN, requested_mask="send"), "its own is the template's"),
        (seen("ptrace", peer="lxc-other", requested_mask="trace"), "another label"),
        (mount("/srv/x/", flags="rw, move"), '"apparmor_allows": ["guest-mounts"] grants it'),
        (mount("/srv/x/", "/a/", "rw, move"), "no type"),
        (mount("/srv/x/", "proc", "rw", "proc"), "proc is a file system"),
        (mount("/srv/x/", "nfs", "rw", "nfs4"), "have the node mount it"),
        (mount("/proc/sys/fs/binfmt_misc/", "b", "", "binfmt_misc"), '["binfmt"] grants it'),
        (mount("/srv/x/", "/proc/", "rw, bind"), "proc"),
        (mount("/srv/x/", "/", "rw, bind"), "procfs in it"),
        (mount("/proc/tty/", "/a/", "rw, bind"), "proc"),
        (mount("", "/a/", "rw, bind"), "a path begins with"),
        (file("/proc/sysrq-trigger", verdict="DENIED"), "proc"),
        (file("/sys/kernel/x"), "sys"),
        (file("/srv/x", "x"), "lets a program run"),
        (file("/srv/x", ""), "lets a program run"),
        (file("/srv/x", info="Failed name lookup - disconnected path"), "could not be told"),
        (seen("something_new", name="/x"), "no rule is known"),
        (seen("open", name="/x", **{"class": "posix_mqueue"}), "no rule is known"),
    ],
)
def test_what_must_never_be_is_refused_with_the_reason(denial, why):
    (said,) = refused(denial)
    assert why in said


@pytest.mark.parametrize(
    "name",
    [
        *("/srv/*", "/srv/a?", "/srv/[a]", "/srv/{a,b}", "/srv/@{HOME}", "/srv/a^b", "/srv/a\\b"),
        *('/srv/a"', "/srv/a,", "/srv/a\n/b rw,", "/srv/a#b", "/srv/../proc/x", "/srv/./a", "//a"),
        *("/srv/ä", "/srv/\x1b[2J", "/srv/\u202e", f"/srv/{'a' * 4096}", "/srv/\udcff"),
        "/srv/x rw,\n  change_profile -> unconfined,",
        "@{dkr_data}/x",
        "/srv/**",
        "/srv/@{dkr_id}",
        "srv",
        " ",
    ],
)
def test_a_name_that_could_mean_something_else_gives_no_rule(name):
    for denial in (
        mount(name, "x", "rw", "overlay"),
        mount("/b/", name, "rw, bind"),
        seen("umount", name=name),
        file(name) if name[:1] == "/" else file("/proc/x"),
    ):
        (said,) = refused(denial)
        assert said.isprintable()


def test_equal_things_are_one_rule_with_all_that_asked_for_it():
    found = lesson(
        mount("/b/", "/a/", "rw, bind", count=2),
        mount("/b/", "/a/", "rw, bind", count=5, owner=WEB, comm="sh"),
    )
    (rule,) = found.rules
    assert (rule.count, rule.last, rule.by) == (7, LAST, ("sh in container web", "app"))


def test_accesses_of_one_file_are_one_rule():
    assert learned(file("/srv/x", "r"), file("/srv/x", "k"), file("/srv/x", "a")) == ["/srv/x rak,"]
    assert learned(file("/srv/x", "wd"), file("/srv/x", "a")) == ["/srv/x w,"]


def test_the_order_does_not_depend_on_the_log():
    denials = [file(f"/srv/{one}", count=one) for one in range(1, 9)]
    assert overlay(*denials).count("/srv/") == 8
    rules = learned(*denials)
    assert rules == learned(*reversed(denials)) == sorted(rules)


# --- whose ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "owner", "why"),
    [
        (OWN, None, ""),
        (f"{OWN}//child", None, ""),
        (NAME, WEB, ""),
        (NAME, None, '"apparmor_own": true'),
        (NAME, Owner(952), "CT 952's, by its process"),
        (OWN, Owner(952), "CT 952's, by its process"),
        (f"{NAME}-952", None, "no profile of CT 910"),
        (f"{NAME}-9100", WEB, "no profile of CT 910"),
        ("lxc-910_</var/lib/lxc>", WEB, "generated profile"),
        ("/usr/bin/lxc-start", None, "lxc-start"),
    ],
)
def test_only_what_is_surely_of_the_container_counts(profile, owner, why):
    found = lesson(file("/srv/x", profile=profile, owner=owner))
    assert len(found.rules) == (not why)
    assert [why in one.why for one in found.left_out] == [True] * bool(why)


def test_what_its_own_policy_refused_is_left_out():
    found = lesson(file("/srv/x", namespace="root//lxc-910_<-var-lib-lxc>"))
    assert found.rules == ()
    assert "own namespace" in found.left_out[0].why


def test_what_is_logged_on_request_was_let_through():
    assert lesson(file("/srv/x", verdict="AUDIT")) == lesson()


def test_refusals_count_as_well_as_what_complain_mode_let_through():
    assert learned(file("/srv/x", verdict="DENIED")) == ["/srv/x w,"]


# --- the file -------------------------------------------------------------------------------------


def test_each_rule_says_what_it_was_seen_for_and_what_it_opens():
    text = overlay(
        mount("/merged/", "overlay", "rw, silent", "overlay", count=12, owner=WEB, comm="mount"),
        mount("/b/", "/a/", "rw, bind", owner=Owner(910, ID)),
    )
    assert text == (
        "# CT 910: what its own profile has beside the template; reviewed, then hardened\n"
        "\n"
        "# learned on 2026-11-28, from what was seen since 2026-11-27\n"
        "\n"
        "# seen 1x, last 2026-11-22 00:01 UTC, by app in container 0123456789ab\n"
        "# opens: the same files by another name, there (old-bind-etc-tmp)\n"
        "mount options=(rw,bind) /a/ -> /b/,\n"
        "\n"
        "# seen 12x, last 2026-11-22 00:01 UTC, by mount in container web\n"
        "# opens: files of the container laid over others of its own, there (old-overlay-tmp)\n"
        "mount options=(rw,silent) fstype=overlay -> /merged/,\n"
    )


def test_what_stands_in_it_stays_byte_for_byte():
    present = "# mine\r\n  capability   net_raw,  \n\n\n/srv/x rw,"
    text = overlay(file("/srv/y"), file("/srv/x"), present=present)
    assert text.startswith(f"{present}\n\n# learned on 2026-11-28")
    assert text.endswith("\n/srv/y w,\n")
    assert text.count("/srv/x") == 1


def test_what_is_there_already_is_not_learned_again():
    denials = [
        file("/srv/x"),
        mount("/b/", "/a/", "rw, bind"),
        mount("/m/", "x", "rw", "overlay"),
        seen("capable", capname="net_raw"),
        seen("create", family="inet", sock_type="raw"),
    ]
    text = overlay(*denials)
    assert overlay(*denials, present=text) == text
    broad = "network inet,\ncapability chown net_raw,\nmount fstype=(overlay,tmpfs) -> /m/,\n"
    assert learned(*denials[2:], present=broad.splitlines()) == []


def test_nothing_new_leaves_it_alone():
    for present in ("", "# mine"):
        assert overlay(seen("userns_create"), present=present) == present


@pytest.mark.parametrize("there", ["", f"# {'x' * 900}\n" * 60])
def test_what_is_learned_of_long_names_stays_a_file_that_is_read_again(there):
    denials = [file(f"/srv/{'ab' * 450}/{number}", count=number) for number in range(1, 100)]
    found = lesson(*denials, present=there.splitlines())
    lines, flaws = read_overlay(overlay(*denials, present=there).encode())
    assert (len(rules(lines)), flaws) == (len(found.rules), ())
    # those seen most often
    last = [int(one.text.rpartition("/")[2].split()[0]) for one in found.rules]
    assert sorted(last) == [*range(100 - len(last), 100)]
    assert 0 < len(last) < 70
    assert {one.why for one in found.refused} == {
        f"an overlay has at most {MOST_BYTES} bytes: tidy up what stands there"
    }


def test_a_flood_is_bounded_and_told_as_such():
    denials = [file(f"/srv/{number}", count=number) for number in range(1, MOST_RULES + 51)]
    found = lesson(*denials)
    assert len(found.rules) == MOST_RULES
    assert min(one.count for one in found.rules) == 51
    assert {one.why for one in found.refused} == {
        f"more than {MOST_RULES} rules, those seen more often come first: nobody reviews them"
    }
    assert read_overlay(overlay(*denials).encode())[1] == ()


def test_many_programs_are_named_in_part():
    text = overlay(*(file("/srv/x", comm=f"app{number}", count=9 - number) for number in range(5)))
    assert ", by app0, app1, app2 and 2 more\n" in text


def test_what_a_guest_calls_itself_ends_no_comment():
    names = ["a\nchange_profile,", "\x1b[2J", "allowed here: x", "\u2028x", "x" * 99]
    for name in names:
        text = overlay(file("/srv/x", comm=name, owner=Owner(910, ID, name)))
        assert read_overlay(text.encode())[1] == ()
        assert len(text.splitlines()) == 7


def test_a_time_beyond_all_years_is_no_traceback():
    assert "9999-12-31" in overlay(replace(file("/srv/x"), last=999999999999.0))


def test_the_actions_that_are_named_stand_on_the_page_of_confinement(pytestconfig):
    page = (pytestconfig.rootpath / "docs/confinement.md").read_text()
    named = [text.rpartition("(")[2].rstrip(")") for text in _OPENS.values() if "(" in text]
    assert len(named) == 4
    assert [name for name in named if f"| {name} |" not in page] == []


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("mount options=(rw,rbind) /remount/ -> /b/,", "bind"),
        ("mount options=(rw) fstype=fuse.x -> /bind/,", "fuse"),
        ("mount options=(ro,remount,bind) -> /b/,", "remount"),
        ('"/mount x" r,', "file"),
        ("umount /b/,", "umount"),
    ],
)
def test_what_a_rule_opens_goes_by_its_kind(rule, kind):
    assert opens(rule) == _OPENS[kind]
