"""Labels, the node's answer, and profiles rendered for it."""

import subprocess
from pathlib import Path

import pytest

from phoenix.apparmor.observed import (
    MARKER,
    Label,
    ObservedAppArmor,
    apparmor_from_json,
    generated_profile,
)
from phoenix.plan.confinement import Confinement
from phoenix.plan.guest_paths import GuestPaths
from phoenix.plan.render import ProfileError, profile_names, render_profile

TEMPLATES = {
    path.name: path.read_text()
    for path in (Path(__file__).parents[2] / "templates/apparmor").glob("*.j2")
}
PATHS = GuestPaths()
OLD = ObservedAppArmor(enabled=True, parser=(3, 0, 8), abis=("3.0",))
NEW = ObservedAppArmor(
    enabled=True,
    parser=(4, 1, 0),
    abis=(
        "3.0",
        "4.0",
    ),
)


@pytest.mark.parametrize(
    ("text", "profile", "mode", "confined"),
    [
        ("lxc-docker-nested (enforce)\n", "lxc-docker-nested", "enforce", True),
        ("lxc-docker-nested (complain)", "lxc-docker-nested", "complain", False),
        ("unconfined", "unconfined", "", False),
        ("unconfined\0", "unconfined", "", False),
        (
            "lxc-910_</var/lib/lxc>//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)",
            "lxc-910_</var/lib/lxc>",
            "enforce",
            True,
        ),
        (
            "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:docker-default (enforce)",
            "lxc-docker-nested-ns",
            "enforce",
            True,
        ),
    ],
)
def test_the_host_half_of_a_label_decides(text, profile, mode, confined):
    label = Label.parse(text)
    assert (label.profile, label.mode, label.confined) == (profile, mode, confined)
    assert str(label) == text.strip("\0\n")


def test_the_generated_profile_has_the_name_that_lxc_gives_it():
    assert generated_profile(910) == "lxc-910_</var/lib/lxc>"


ANSWER = {
    "enabled": True,
    "parser": [4, 1, 0],
    "abis": ["4.0"],
    "loaded": {"lxc-docker-nested": "enforce", "a name (with brackets)": "complain"},
    "files": {"lxc-docker-nested": "abi <abi/4.0>,\n"},
    "tunables_error": "",
    "hook": None,
    "reads_global_d": False,
    "stale": ["lxc-docker-nested"],
}


def test_an_answer_becomes_what_the_node_has():
    node = apparmor_from_json(ANSWER)
    assert node.parser == (4, 1, 0)
    assert node.abis == ("4.0",)
    assert node.loaded == {"lxc-docker-nested": "enforce", "a name (with brackets)": "complain"}
    assert node.files == {"lxc-docker-nested": "abi <abi/4.0>,\n"}
    assert node.stale == ("lxc-docker-nested",)
    assert node.problem is None


def test_a_node_without_apparmor_is_a_problem_that_tells_the_next_step():
    off, bare = ({**ANSWER, key: value} for key, value in (("enabled", False), ("parser", None)))
    assert "apparmor=1" in (apparmor_from_json(off).problem or "")
    assert "apt install apparmor" in (apparmor_from_json(bare).problem or "")


@pytest.mark.parametrize("key", ANSWER)
def test_an_answer_that_lacks_anything_is_none(key):
    with pytest.raises(KeyError):
        apparmor_from_json({other: value for other, value in ANSWER.items() if other != key})


def test_shared_text_is_no_profile():
    assert profile_names({"base.j2": "", "lxc-a.j2": "", "lxc-b.txt": ""}) == ["lxc-a"]


def test_an_unknown_profile_names_those_that_there_are():
    with pytest.raises(ProfileError, match=r"no template lxc-none\.j2; there are: lxc-"):
        render_profile(Confinement("lxc-none"), TEMPLATES, NEW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n{% block x %}", r"lxc-a\.j2 does not render \(line 2 of lxc-a\.j2\)"),
        ("\n{% extends 'none.j2' %}", r"lxc-a\.j2 does not render: none\.j2"),
        ("{{ nobody_knows_this }}", r"lxc-a\.j2 does not render: 'nobody_knows_this' is undefined"),
    ],
)
def test_a_broken_template_is_one_line_that_says_where(text, message):
    with pytest.raises(ProfileError, match=message):
        render_profile(Confinement("lxc-a"), {"lxc-a.j2": text}, NEW)


@pytest.mark.parametrize("name", profile_names(TEMPLATES))
@pytest.mark.parametrize("node", [OLD, NEW], ids=["3.0", "4.1"])
def test_a_rendered_profile_declares_its_own_name_and_lets_nobody_out(name, node):
    text = render_profile(Confinement(name), TEMPLATES, node)
    rules = [line.split("#")[0] for line in text.splitlines()]
    assert text.startswith(MARKER)
    assert f"profile {name} flags=(attach_disconnected,mediate_deleted) {{" in rules
    assert not any("change_profile" in rule or "start-container" in rule for rule in rules)


def test_rule_classes_that_an_old_parser_does_not_know_are_left_out():
    old, new = (
        render_profile(Confinement("lxc-docker-nested"), TEMPLATES, node) for node in (OLD, NEW)
    )
    assert "abi <abi/3.0>,\n" in old
    assert "abi <abi/4.0>,\n" in new
    for rule in ("deny userns,", "  mqueue,", "nosymfollow"):
        assert rule not in old
        assert rule in new


ELSEWHERE = GuestPaths(("/srv/docker", "/var/lib/docker"), ("/projects",))


@pytest.mark.parametrize("paths", [GuestPaths(), ELSEWHERE], ids=["default", "elsewhere"])
@pytest.mark.parametrize("form", [{}, {"stacked": True, "mode": "complain"}], ids=["plain", "ns"])
@pytest.mark.parametrize("name", profile_names(TEMPLATES))
def test_a_rendered_profile_compiles_with_the_parser_of_this_machine(
    parser, name, form, paths, tmp_path
):
    version = subprocess.run([parser, "--version"], capture_output=True, text=True, check=True)
    abis = tuple(path.name for path in Path("/etc/apparmor.d/abi").glob("*"))
    numbers = version.stdout.split("version")[1].split()[0].split(".")
    file = tmp_path / name
    file.write_text(
        render_profile(
            Confinement(name, **form),
            TEMPLATES,
            ObservedAppArmor(parser=tuple(map(int, numbers[:3])), abis=abis),
            paths,
        )
    )
    compiled = subprocess.run([parser, "-Q", "-K", "-T", file], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr


def rules(name, node=NEW, paths=PATHS, **form):
    text = render_profile(Confinement(name, **form), TEMPLATES, node, paths).split("{\n", 1)[1]
    stripped = (line.split("#")[0].strip() for line in text.splitlines())
    return {line for line in stripped if line}


def test_each_profile_adds_only_what_its_name_promises():
    base, nested = rules("lxc-phoenix-v2"), rules("lxc-docker-nested")
    gpu = rules("lxc-nesting-gpu-docker-storage")
    assert base < nested < gpu
    assert all(rule.endswith("-> /mnt/**,") for rule in nested - base)
    assert sorted(gpu - nested) == [
        "mount fstype=proc options=(ro) -> /proc/,",
        "mount options=(ro,remount) -> /dev/,",
        "mount options=(rw,bind) /proc/driver/nvidia/{gpus,capabilities}/**"
        " -> @{dkr_root}/proc/driver/nvidia/**,",
        "mount options=(rw,remount) -> /dev/,",
    ]


@pytest.mark.parametrize("name", profile_names(TEMPLATES))
def test_no_rule_for_binds_admits_a_mount_of_any_type(name):
    # measured: "options in (rw,bind,rbind)" lets mount(2) have a procfs, with a path for its device
    kinds = ("bind", "move", "slave", "shared", "private")
    for rule in rules(name):
        if rule.startswith("mount ") and "fstype=" not in rule:
            words = rule.partition("options=(")[2].partition(")")[0].split(",")
            found = any(word.removeprefix("r") in kinds for word in words)
            assert found or "remount" in words, rule


@pytest.mark.parametrize("name", profile_names(TEMPLATES))
def test_the_stacked_form_may_load_policy_and_is_the_plain_one_else(name):
    plain, stacked = rules(name), rules(name, stacked=True)
    assert stacked - plain == {
        "capability mac_admin,",
        "audit deny @{any_sys}/kernel/{debug,mm,slab,software_nodes,sched_ext}/** wkl,",
    }
    assert plain - stacked == {
        "audit deny @{any_sys}/kernel/{debug,mm,security,slab,software_nodes,sched_ext}/** wkl,"
    }


@pytest.mark.parametrize("name", profile_names(TEMPLATES))
def test_the_complain_form_has_the_same_rules_and_only_logs(name):
    assert rules(name, mode="complain") == rules(name)
    text = render_profile(Confinement(name, mode="complain"), TEMPLATES, NEW)
    flags = "attach_disconnected,mediate_deleted,complain"
    assert f"profile {name}-complain flags=({flags}) {{" in text


def test_docker_data_elsewhere_is_named_once_and_its_volumes_are_reached():
    text = render_profile(Confinement("lxc-docker-nested"), TEMPLATES, NEW, ELSEWHERE)
    assert "@{dkr_data} = /srv/docker /var/lib/docker\n" in text
    assert text.count("/var/lib/docker") == 1
    assert rules("lxc-docker-nested", paths=ELSEWHERE) - rules("lxc-docker-nested") == {
        f"mount options=(rw,{how}) {'' if how == 'rbind' else ' '}/projects{{,/**}} -> {target},"
        for how in ("bind", "rbind")
        for target in ("@{dkr_root}/**", "@{dkr_data}/volumes/*/_data/")
    }


def test_docker_data_elsewhere_means_the_same_as_the_default_there(parser, tmp_path):
    # else the parser leaves out what the kernel at hand cannot mediate
    kernel = Path("/etc/apparmor.d/abi/3.0")
    if not kernel.exists():
        pytest.skip(f"no {kernel} on this machine: its AppArmor is older than 3.0")
    node = ObservedAppArmor(parser=(3, 0, 8), abis=("3.0",))
    here = render_profile(Confinement("lxc-docker-nested"), TEMPLATES, node)
    there = render_profile(
        Confinement("lxc-docker-nested"), TEMPLATES, node, GuestPaths(("/srv/docker",))
    )
    texts = {
        "replaced": here.replace("/var/lib/docker", "/srv/docker"),
        "rendered": there,
        "default": here,
    }
    compiled = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        call = [parser, "-Q", "-K", "-T", "-S", "--kernel-features", kernel, tmp_path / name]
        compiled[name] = subprocess.run(call, capture_output=True, check=True).stdout
    assert compiled["replaced"] == compiled["rendered"] != compiled["default"]
