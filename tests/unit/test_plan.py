"""What changes on a node, why, and what restarts."""

import json
from dataclasses import replace

import pytest

from phoenix.apparmor import MARKER, ObservedAppArmor
from phoenix.config import parse_fleet
from phoenix.docker import ObservedDocker, dockers_from_json
from phoenix.observed import Live, ObservedContainer, ObservedPct
from phoenix.options import Options
from phoenix.ours import Ours
from phoenix.plan import absent_note, check_selection, plan_node
from phoenix.profile_plan import HOOK_TEMPLATE
from phoenix.pve_conf import PveConf
from phoenix.storage import ObservedStorage

CONF = """\
#a description
arch: amd64
features: nesting=1
hostname: portainer
rootfs: local:910/vm-910-disk-0.raw,size=4G
unprivileged: 1
lxc.apparmor.profile: unconfined

[before]
arch: amd64
lxc.apparmor.profile: unconfined
"""
TEXT = f"{MARKER}\nprofile lxc-docker-nested {{}}\n"
SOURCE = (
    "{{ marker }}\n"
    "profile {{ name }}{% if 'complain' in flags %} flags=(complain){% endif %} "
    "{% if stacked %}{ capability mac_admin, }{% else %}{}{% endif %}\n\n"
)
TEMPLATES = {"lxc-docker-nested.j2": SOURCE, HOOK_TEMPLATE: "#!/bin/sh\n"}
ENFORCED = "lxc-docker-nested (enforce)"
DOCKER = {
    "features": ["docker"],
    "pct_options": ["nesting=1", "keyctl=1"],
    "apparmor_profile": "lxc-docker-nested",
}


def container(ctid=910, conf=CONF, label="unconfined", **changes):
    running = label is not None
    live = Live(dev_fuse=False, keyctl=True) if running else None
    values = {"ha": None, "node": "pve1", "live": live, **changes}
    return ObservedContainer(
        ctid, PveConf.parse(conf), running, 4711 if running else None, label, **values
    )


def node(*containers):
    return ObservedPct("pve1", {one.ctid: one for one in containers or (container(),)})


def apparmor(**changes):
    values = {"enabled": True, "parser": (4, 1, 0), "abis": ("4.0",)}
    return ObservedAppArmor(**{**values, **changes})


def installed():
    return apparmor(loaded={"lxc-docker-nested": "enforce"}, files={"lxc-docker-nested": TEXT})


def fleet(**entries):
    configs = {ctid.removeprefix("ct"): entry for ctid, entry in entries.items()}
    return parse_fleet(json.dumps({"lxc_configs": configs or {"910": DOCKER}}).encode())


def plan(pct=None, host=None, options=None, storage=None, **entries):
    return plan_node(
        fleet(**entries),
        options or Options(),
        pct or node(),
        host or apparmor(),
        storage or ObservedStorage(),
        TEMPLATES,
    )


def hardened(conf=CONF):
    return conf.replace("nesting=1", "nesting=1,keyctl=1", 1).replace(
        "unconfined", "lxc-docker-nested", 1
    )


def test_an_unconfined_container_gets_the_profile_and_its_features_in_the_main_section_only():
    (change,) = plan().containers
    assert change.after.render() == hardened()
    assert (str(change.label), change.restart, change.docker) == (ENFORCED, True, True)
    assert change.reasons == (
        "features: keyctl=1",
        "profile: unconfined becomes lxc-docker-nested",
    )


def test_the_profile_comes_before_the_containers_that_name_it():
    (change,) = plan().profiles
    assert (change.name, change.before, change.after) == ("lxc-docker-nested", None, TEXT)
    assert change.reason == "new"


def test_a_node_that_is_as_the_file_says_gets_an_empty_plan():
    pct = node(container(conf=hardened(), label="lxc-docker-nested (enforce)"))
    assert plan(pct, installed()).empty


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (apparmor(files={"lxc-docker-nested": TEXT}), "installed but not loaded"),
        (
            apparmor(files={"lxc-docker-nested": TEXT}, loaded={"lxc-docker-nested": "complain"}),
            "loaded in complain mode",
        ),
        (
            apparmor(files={"lxc-docker-nested": MARKER}, loaded={"lxc-docker-nested": "enforce"}),
            "changed",
        ),
    ],
)
def test_each_way_in_which_a_profile_can_be_wrong_is_recognised(host, reason):
    assert [change.reason for change in plan(host=host).profiles] == [reason]


def test_a_profile_file_that_we_did_not_write_is_replaced_only_with_force():
    host = apparmor(files={"lxc-docker-nested": "profile lxc-docker-nested {}\n"})
    (problem,) = plan(host=host).problems
    assert "/etc/apparmor.d/lxc-docker-nested is there and not ours" in problem
    assert plan(host=host, options=Options(force=True)).profiles[0].reason == "changed"


def test_a_right_conf_with_a_wrong_live_label_is_a_restart_and_no_write():
    (change,) = plan(node(container(conf=hardened())), installed()).containers
    assert change.after == change.before
    assert change.restart
    assert change.reasons == ("restart due: PID 1 runs as unconfined, not lxc-docker-nested",)


def test_a_feature_that_the_running_container_lacks_is_a_restart():
    conf = hardened().replace("keyctl=1", "keyctl=1,fuse=1", 1)
    live = Live(dev_fuse=False, keyctl=True, config=(("lxc.arch", "amd64"),))
    pct = node(container(conf=conf, label="lxc-docker-nested (enforce)", live=live))
    (change,) = plan(pct, installed()).containers
    assert change.reasons == ("restart due: fuse=0 in the running container",)


def test_restart_never_stages_the_conf_and_says_that_a_restart_is_due():
    result = plan(options=Options(restart="never"))
    (change,) = result.containers
    assert change.after != change.before
    assert not change.restart
    assert result.notes == ("CT 910 portainer: a restart is due (restart=never)",)


def test_restart_never_leaves_a_container_that_only_needs_a_restart():
    pct = node(container(conf=hardened()))
    assert plan(pct, installed(), options=Options(restart="never")).empty


def test_a_stopped_container_changes_and_stays_stopped():
    (change,) = plan(node(container(label=None))).containers
    assert change.after != change.before
    assert not change.restart


@pytest.mark.parametrize(
    ("label", "restart", "noted"),
    [
        ("unconfined", "auto", "lxc-docker-nested"),
        (None, "auto", "lxc-docker-nested"),
        ("unconfined", "never", ""),
    ],
    ids=["proven", "stopped", "restart=never"],
)
def test_the_note_of_a_run_names_the_profile_unless_the_container_goes_on_without(
    label, restart, noted
):
    (change,) = plan(node(container(label=label)), options=Options(restart=restart)).containers
    assert Ours.parse(change.ours.render()).profile == noted


@pytest.mark.parametrize(
    ("observed", "note"),
    [
        (container(conf="template: 1\n" + CONF, label=None), "a template, left alone"),
        (container(conf="lock: backup\n" + CONF), "locked (backup), left alone"),
        (container(ha="started"), "managed by HA (started), left alone"),
        (
            container(conf=CONF + "\n[pve:pending]\nmemory: 4096\n"),
            "left alone: a restart would apply it",
        ),
    ],
    ids=["template", "locked", "ha", "pending"],
)
def test_a_container_that_is_not_ours_to_restart_is_left_alone_with_a_note(observed, note):
    result = plan(node(observed))
    assert not result.containers
    assert not result.problems
    assert note in result.notes[-1]
    # who names it wants to hear that nothing was done for it
    assert note in plan(node(observed), options=Options(only=(910,))).problems[-1]


def test_what_waits_in_pending_is_shown_even_where_nothing_changes():
    conf = hardened() + "\n[pve:pending]\nmemory: 4096\n"
    pct = node(container(conf=conf, label="lxc-docker-nested (enforce)"))
    result = plan(pct, installed())
    assert result.empty
    assert result.notes == ("CT 910 portainer: memory waits in [pve:pending] for the next start",)


def test_what_waits_in_pending_is_applied_only_with_force():
    pct = node(container(conf=CONF + "\n[pve:pending]\nmemory: 4096\n"))
    assert plan(pct, options=Options(force=True)).containers[0].restart


def test_generated_drops_the_explicit_profile():
    (change,) = plan(ct910={"apparmor_profile": "generated"}).containers
    assert change.after.main.raw("lxc.apparmor.profile") == ()
    assert str(change.label) == "lxc-910_</var/lib/lxc> (enforce)"
    assert change.after.snapshots == change.before.snapshots


def test_the_profile_of_the_command_line_counts_for_docker_containers_only():
    entries = {
        "ct910": {**DOCKER, "apparmor_profile": "unconfined"},
        "ct953": {"apparmor_profile": "unconfined"},
    }
    pct = node(container(), container(953))
    result = plan(pct, options=Options(profile="lxc-docker-nested"), **entries)
    assert [change.ctid for change in result.containers] == [910]


def test_unconfined_in_the_file_never_takes_confinement_away():
    conf = hardened()
    pct = node(container(conf=conf, label="lxc-docker-nested (enforce)"))
    result = plan(pct, ct910={**DOCKER, "apparmor_profile": "unconfined"})
    assert result.empty
    assert "the fleet file says unconfined, the conf lxc-docker-nested: kept" in result.notes[0]


def test_raw_keys_of_the_file_are_added_once():
    entry = {
        **DOCKER,
        "lxc_options": ["lxc.mount.entry=/srv/a srv/a none bind,create=dir 0 0"],
    }
    (change,) = plan(ct910=entry).containers
    (again,) = plan(node(replace(container(), conf=change.after)), ct910=entry).containers
    assert change.after.main.raw("lxc.mount.entry") == ("/srv/a srv/a none bind,create=dir 0 0",)
    assert again.after == again.before


def test_a_profile_without_a_template_is_a_problem_of_selected_containers_only():
    entries = {"ct910": DOCKER, "ct953": {"apparmor_profile": "lxc-nobody-wrote-it"}}
    pct = node(container(), container(953))
    (problem,) = plan(pct, **entries).problems
    assert "apparmor_profile lxc-nobody-wrote-it: no template" in problem
    assert not plan(pct, options=Options(only=(910,)), **entries).problems


def test_without_apparmor_nothing_is_planned():
    result = plan(host=apparmor(enabled=False))
    assert result.empty
    assert "AppArmor is not enabled" in result.problems[0]


def test_only_names_what_no_node_has_and_what_the_file_lacks():
    problems = check_selection(
        fleet(ct910=DOCKER, ct955=DOCKER), Options(only=(910, 955, 999)), [node()]
    )
    assert problems == [
        "only=955: no node of this inventory has a container 955",
        "only=999: phoenix_lxc_configs.json has no lxc_configs.999: add it there",
    ]


def test_only_says_where_a_container_of_another_node_is():
    cluster = ObservedPct("pve1", elsewhere={955: "pve2"})
    assert check_selection(fleet(ct955=DOCKER), Options(only=(955,)), [cluster]) == [
        "only=955: it is on pve2: add that to PHOENIX_NODES"
    ]


def test_what_is_on_another_node_of_the_cluster_is_said_to_be_there():
    cluster = ObservedPct("pve1", elsewhere={955: "pve2"})
    note = absent_note(fleet(ct955=DOCKER, ct956=DOCKER), Options(), [cluster])
    assert note is not None
    assert note.endswith("on no node of this inventory: 955 (on pve2), 956")


def test_a_profile_that_lets_root_out_is_never_installed():
    templates = {"lxc-open.j2": "{{ marker }}\nprofile {{ name }} { change_profile, }\n"}
    entries = {"ct910": {**DOCKER, "apparmor_profile": "lxc-open"}}
    result = plan_node(
        fleet(**entries), Options(), node(), apparmor(), ObservedStorage(), templates
    )
    assert not result.profiles
    assert "profile lxc-open: line 2: lets-out" in result.problems[0]


def test_what_the_file_has_and_no_node_is_one_line():
    both = fleet(ct910=DOCKER, ct955=DOCKER, ct956=DOCKER)
    assert absent_note(both, Options(), [node()]) == (
        "in phoenix_lxc_configs.json but on no node of this inventory: 955, 956"
    )
    assert absent_note(both, Options(only=(910,)), [node()]) is None


def test_workarounds_go_only_when_the_operator_says_so():
    conf = CONF.replace("unprivileged: 1\n", "unprivileged: 1\nlxc.cap.drop:\n")
    pct = node(container(conf=conf))
    for reconfine in (False, True):
        (change,) = plan(pct, options=Options(reconfine=reconfine)).containers
        assert ("lxc.cap.drop" in change.after.text) != reconfine


STACKED = {**DOCKER, "apparmor_stacking": True}


def test_stacked_and_plain_containers_live_side_by_side():
    pct = node(container(), container(952))
    result = plan(pct, ct910=STACKED, ct952=DOCKER)
    assert not result.problems
    assert [change.name for change in result.profiles] == [
        "lxc-docker-nested",
        "lxc-docker-nested-ns",
    ]
    assert [str(change.label) for change in result.containers] == [
        "lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)",
        ENFORCED,
    ]


def test_the_script_for_namespaces_is_for_nodes_with_stacked_containers_only():
    assert plan().hook is None
    (missing, other, right) = (
        plan(host=apparmor(hook=text), ct910=STACKED).hook for text in (None, "", "#!/bin/sh\n")
    )
    assert missing.line.startswith("/usr/local/lib/phoenix-harden/namespace: missing")
    assert (other.before, other.after) == ("", "#!/bin/sh\n")
    assert right is None


def test_a_node_that_lacks_only_the_script_has_something_to_do():
    fresh = plan(ct910=STACKED)
    name, text = fresh.profiles[0].name, fresh.profiles[0].after
    label = f"{name}//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)"
    pct = node(container(conf=fresh.containers[0].after.render(), label=label))
    host = apparmor(loaded={name: "enforce"}, files={name: text})
    result = plan(pct, host, ct910=STACKED)
    assert not result.empty
    assert (result.profiles, result.containers) == ((), ())
    assert plan(pct, replace(host, hook="#!/bin/sh\n"), ct910=STACKED).empty


@pytest.mark.parametrize(
    "label",
    [
        "lxc-docker-nested-ns (enforce)",
        "lxc-docker-nested-ns//&:lxc-952_<-var-lib-lxc>:a (enforce)",
    ],
)
def test_a_missing_or_wrong_inner_half_is_a_restart(label):
    conf = plan(ct910=STACKED).containers[0].after.render()
    (change,) = plan(node(container(conf=conf, label=label)), ct910=STACKED).containers
    assert change.reasons == (
        f"restart due: PID 1 runs as {label}, "
        "not lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined",
    )


def test_learning_loads_a_profile_of_its_own_and_is_said_to_be_no_confinement():
    result = plan(ct910={**DOCKER, "mode": "complain"})
    (profile,) = result.profiles
    assert (profile.name, profile.mode) == ("lxc-docker-nested-complain", "complain")
    assert str(result.containers[0].label) == "lxc-docker-nested-complain (complain)"
    assert "learning" in result.notes[0]
    assert "not confinement" in result.notes[0]


def test_a_profile_for_learning_that_is_enforced_is_put_right():
    (profile,) = plan(ct910={**DOCKER, "mode": "complain"}).profiles
    host = apparmor(files={profile.name: profile.after}, loaded={profile.name: "enforce"})
    (again,) = plan(host=host, ct910={**DOCKER, "mode": "complain"}).profiles
    assert again.reason == "loaded in enforce mode"


def test_generated_has_no_complain_mode_and_that_is_one_problem():
    entry = {**DOCKER, "apparmor_profile": "generated", "mode": "complain"}
    (problem,) = plan(ct910=entry).problems
    assert "mode=complain is for profiles with a name" in problem
    (problem,) = plan(options=Options(profile="generated", mode="complain")).problems
    assert problem.startswith("pve1: CT 910 portainer: ")


def test_a_form_that_would_take_the_name_of_a_template_is_a_problem():
    templates = {**TEMPLATES, "lxc-docker-nested-ns.j2": SOURCE}
    result = plan_node(
        fleet(ct910=STACKED), Options(), node(), apparmor(), ObservedStorage(), templates
    )
    assert "lxc-docker-nested-ns is a template of its own" in result.problems[0]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"apparmor_stacking": True}, "lxc-mine.j2 has no stacked form: write {% if stacked %}"),
        ({"mode": "complain"}, "lxc-mine.j2 has no complain form: write flags=({{ flags }})"),
    ],
)
def test_a_template_that_stands_for_itself_says_when_it_lacks_a_form(entry, problem):
    templates = {**TEMPLATES, "lxc-mine.j2": "{{ marker }}\nprofile {{ name }} { file, }\n"}
    entries = {"ct910": {**DOCKER, "apparmor_profile": "lxc-mine", **entry}}
    result = plan_node(
        fleet(**entries), Options(), node(), apparmor(), ObservedStorage(), templates
    )
    assert problem in result.problems[0]


def roots(pct, data_roots=None, host=None, options=None, **entries):
    """The data roots that the one profile of a plan is rendered with, and its problems."""
    templates = {"lxc-docker-nested.j2": ROOTS}
    result = plan_node(
        fleet(**entries),
        options or Options(),
        pct,
        host or apparmor(),
        ObservedStorage(),
        templates,
        dockers={
            ctid: ObservedDocker("ok", data_root=root) for ctid, root in (data_roots or {}).items()
        },
    )
    return [
        change.after.split(" = ")[1].split("\n")[0] for change in result.profiles
    ], result.problems


ROOTS = (
    "{{ marker }}\n@{dkr_data} = {{ data_roots | join(' ') }}\n"
    "profile {{ name }} {\n{% for source in sources %}# {{ source }}\n{% endfor %} }\n"
)


def test_a_profile_knows_the_data_roots_of_all_who_wear_it_selected_or_not():
    pct = node(container(), container(952, conf=hardened()), container(954))
    entries = {"ct910": DOCKER, "ct952": DOCKER, "ct954": DOCKER}
    known = {910: "/srv/docker", 952: "/data/docker", 954: "/opt/docker"}
    all_of_them = ["/data/docker /opt/docker /srv/docker"]
    assert roots(pct, known, **entries) == (all_of_them, ())
    # 954 does not wear it yet
    only = Options(only=(910,))
    assert roots(pct, known, options=only, **entries) == (["/data/docker /srv/docker"], ())
    # nor is 952 in the file
    assert roots(pct, known, options=only, ct910=DOCKER)[0] == ["/data/docker /srv/docker"]


def test_what_is_not_known_stays_as_it_is_installed():
    pct = node(container(), container(952, conf=hardened(), label=None))
    installed_now = f"{MARKER}\n@{{dkr_data}} = /data/docker\nprofile lxc-docker-nested {{}}\n"
    host = apparmor(files={"lxc-docker-nested": installed_now})
    known = {910: "/srv/docker"}
    assert roots(pct, known, host)[0] == ["/data/docker /srv/docker /var/lib/docker"]
    assert roots(pct, {**known, 952: "/opt/d"}, host)[0] == ["/opt/d /srv/docker"]
    # the words of somebody else's file are not ours
    other = apparmor(files={"lxc-docker-nested": installed_now.replace(MARKER, "#")})
    assert roots(pct, known, other, options=Options(force=True))[0] == [
        "/srv/docker /var/lib/docker"
    ]


@pytest.mark.parametrize("root", ["/srv/my docker", "/srv/a\n/b", "/proc/x", "/srv/../etc", "a"])
def test_a_guest_whose_docker_names_an_impossible_folder_stops_nobody_but_itself(root):
    said = {"ServerVersion": "26.1.5", "Driver": "overlay2", "DockerRootDir": root, "Images": 1}
    good = {**said, "DockerRootDir": "/srv/docker"}
    told = {
        str(ctid): {"state": "ok", "text": f"guest 1\ninfo {json.dumps(info)}", "error": ""}
        for ctid, info in ((910, said), (952, good))
    }
    result = plan_node(
        fleet(ct910=DOCKER, ct952=DOCKER),
        Options(),
        node(container(), container(952)),
        apparmor(),
        ObservedStorage(),
        {"lxc-docker-nested.j2": ROOTS},
        dockers=dockers_from_json(told),
    )
    assert result.problems == ()
    assert [change.ctid for change in result.containers] == [952]
    assert "/srv/docker" in result.profiles[0].after
    assert list(result.alone) == [910]
    (note,) = (note for note in result.notes if note.startswith("CT 910 "))
    assert "its Docker says something that cannot be used: DockerRootDir is '" in note
    assert note.endswith("; left alone: put it right in the guest")
    assert note.isprintable()


def test_mounts_of_the_fleet_file_that_the_rules_would_miss_get_one():
    mount = {"host_path": "/tank/p", "container_path": "/projects/a"}
    entry = {**DOCKER, "mount_points": [mount]}
    templates = {"lxc-docker-nested.j2": ROOTS}
    result = plan_node(
        fleet(ct910=entry), Options(), node(), apparmor(), ObservedStorage(), templates
    )
    assert "# /projects\n" in result.profiles[0].after


def test_a_profile_names_sixteen_data_roots_and_who_brings_one_more_is_left_alone():
    ctids = range(910, 928)
    entries = {f"ct{ctid}": DOCKER for ctid in ctids}
    pct = node(*(container(ctid) for ctid in ctids))
    there = f"{MARKER}\n@{{dkr_data}} = /srv/927\nprofile lxc-docker-nested {{}}\n"
    result = plan_node(
        fleet(**entries),
        Options(),
        pct,
        apparmor(files={"lxc-docker-nested": there}),
        ObservedStorage(),
        {"lxc-docker-nested.j2": ROOTS},
        dockers={ctid: ObservedDocker("ok", data_root=f"/srv/{ctid}") for ctid in ctids},
    )
    assert result.problems == ()
    # the one whose root it names already keeps its place
    assert list(result.alone) == [925, 926]
    assert result.alone[925].startswith("Docker's data lies in /srv/925, and lxc-docker-nested ")
    assert {change.ctid for change in result.containers} == {*ctids} - {925, 926}
    named = result.profiles[0].after.split(" = ")[1].split("\n")[0].split()
    assert len(named) == 16
    assert not {"/srv/925", "/srv/926"} & {*named}


def test_roots_that_a_guest_had_one_after_another_fill_no_profile():
    had = " ".join(f"/srv/{number:02}" for number in range(40))
    there = f"{MARKER}\n@{{dkr_data}} = {had}\nprofile lxc-docker-nested {{}}\n"
    host = apparmor(files={"lxc-docker-nested": there})
    pct = node(container(), container(952, conf=hardened(), label=None))
    (named,), problems = roots(pct, {910: "/srv/07"}, host, ct910=DOCKER, ct952=DOCKER)
    assert (len(named.split()), problems) == (16, ())
    # once all of them are known those that nobody has are gone
    known = {910: "/srv/07", 952: "/srv/08"}
    assert roots(pct, known, host, ct910=DOCKER, ct952=DOCKER)[0] == ["/srv/07 /srv/08"]
