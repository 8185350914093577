"""Which profiles a plan brings, in which form, and what they know of their users."""

import json
from dataclasses import replace

import pytest
from plan_cases import (
    DOCKER,
    ENFORCED,
    SOURCE,
    TEMPLATES,
    apparmor,
    container,
    fleet,
    hardened,
    node,
    plan,
    said,
)

from phoenix.apparmor.abi import abi_name
from phoenix.apparmor.observed import MARKER
from phoenix.docker.observed import ObservedDocker
from phoenix.docker.reading import dockers_from_json
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options

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
    assert plan().own_files == ()
    (missing, other, right) = (
        plan(host=apparmor(hook=text), ct910=STACKED).own_files
        for text in (None, "", "#!/bin/sh\n")
    )
    assert missing[0].line.startswith("/usr/local/lib/phoenix-harden/namespace: missing")
    assert (other[0].before, other[0].after) == ("", "#!/bin/sh\n")
    assert right == ()


ABI = {"abi/4.0": "file {mask {read\n}\n}\n"}
OURS = "file {mask {read\n}\n}\nio_uring {mask {sqpoll override_creds\n}\n}\n"


def test_a_node_gets_the_abi_by_which_profiles_refuse_io_uring():
    (change,) = plan(host=apparmor(files=ABI)).own_files
    assert (change.before, change.after) == (None, OURS)
    assert change.line == (
        "/etc/apparmor.d/abi/phoenix-harden: missing: the profiles cannot be compiled without it"
    )
    assert plan(host=apparmor(files={**ABI, "abi/phoenix-harden": OURS})).own_files == ()
    # nobody on it uses a profile of ours
    assert plan(host=apparmor(files=ABI), ct910={"apparmor_profile": "generated"}).own_files == ()


@pytest.mark.parametrize(
    "host",
    [
        apparmor(),
        apparmor(files=ABI, parser=(3, 0, 8)),
        apparmor(files={"abi/4.0": f"{ABI['abi/4.0']}io_uring {{mask {{sqpoll\n}}\n}}\n"}),
    ],
    ids=["without that release", "a parser that knows no io_uring", "one that has it already"],
)
def test_a_node_that_needs_no_abi_of_ours_gets_none(host):
    assert plan(host=host).own_files == ()
    assert abi_name(host) == "4.0"


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
    assert said(change) == (
        f"restart due: PID 1 runs as {label}, "
        "not lxc-docker-nested-ns//&:lxc-910_<-var-lib-lxc>:unconfined",
    )


def test_learning_loads_a_profile_of_its_own_and_is_said_to_be_no_confinement():
    result = plan(ct910={**DOCKER, "mode": "complain"})
    (profile,) = result.profiles
    assert (profile.name, profile.mode) == ("lxc-docker-nested-complain", "complain")
    assert str(result.containers[0].label) == "lxc-docker-nested-complain (complain)"
    assert "learning" in result.notes[0]
    assert "the container is not confined" in result.notes[0]


def test_a_profile_for_learning_that_is_enforced_is_put_right():
    (profile,) = plan(ct910={**DOCKER, "mode": "complain"}).profiles
    host = apparmor(files={profile.name: profile.after}, loaded={profile.name: "enforce"})
    (again,) = plan(host=host, ct910={**DOCKER, "mode": "complain"}).profiles
    assert str(again.reason) == "loaded in enforce mode"


def test_generated_has_no_complain_mode_and_that_is_one_problem():
    entry = {**DOCKER, "apparmor_profile": "generated", "mode": "complain"}
    (problem,) = plan(ct910=entry).problems
    assert "mode=complain needs a named profile" in problem
    (problem,) = plan(options=Options(profile="generated", mode="complain")).problems
    assert problem.startswith("pve1: CT 910 portainer: ")


def test_a_form_that_would_take_the_name_of_a_template_is_a_problem():
    templates = {**TEMPLATES, "lxc-docker-nested-ns.j2": SOURCE}
    result = plan_node(
        fleet=fleet(ct910=STACKED),
        options=Options(),
        facts=NodeFacts(containers=node(), apparmor=apparmor()),
        templates=templates,
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
        fleet=fleet(**entries),
        options=Options(),
        facts=NodeFacts(containers=node(), apparmor=apparmor()),
        templates=templates,
    )
    assert problem in result.problems[0]


def roots(pct, data_roots=None, host=None, options=None, **entries):
    """The data roots that the one profile of a plan is rendered with, and its problems."""
    templates = {"lxc-docker-nested.j2": ROOTS}
    result = plan_node(
        fleet=fleet(**entries),
        options=options or Options(),
        facts=NodeFacts(
            containers=pct,
            apparmor=host or apparmor(),
            dockers={
                ctid: ObservedDocker("ok", data_root=root)
                for ctid, root in (data_roots or {}).items()
            },
        ),
        templates=templates,
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
    # 954 does not use it yet
    only = Options(only=(910,))
    only_910 = (["/srv/docker /var/lib/docker"], ())
    # 952 does, and is not asked in such a run
    assert roots(pct, known, options=only, **entries) == only_910
    # nor where it is not in the file, whoever asks it: the audit plans what harden does
    assert roots(pct, known, options=only, ct910=DOCKER) == only_910


def test_what_is_not_known_stays_as_it_is_installed():
    pct = node(container(), container(952, conf=hardened(), label=None))
    installed_now = f"{MARKER}\n@{{dkr_data}} = /data/docker\nprofile lxc-docker-nested {{}}\n"
    host = apparmor(files={"lxc-docker-nested": installed_now})
    known = {910: "/srv/docker"}
    assert roots(pct, known, host)[0] == ["/data/docker /srv/docker"]
    both = {"ct910": DOCKER, "ct952": DOCKER}
    assert roots(pct, {**known, 952: "/opt/d"}, host, **both)[0] == ["/opt/d /srv/docker"]
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
        fleet=fleet(ct910=DOCKER, ct952=DOCKER),
        options=Options(),
        facts=NodeFacts(
            containers=node(container(), container(952)),
            apparmor=apparmor(),
            dockers=dockers_from_json(told),
        ),
        templates={"lxc-docker-nested.j2": ROOTS},
    )
    assert result.problems == ()
    assert [change.ctid for change in result.containers] == [952]
    assert "/srv/docker" in result.profiles[0].after
    assert list(result.alone) == [910]
    (note,) = (note for note in result.notes if note.startswith("CT 910 "))
    assert "its Docker says something that cannot be used: DockerRootDir is '" in note
    assert note.endswith(": put it right in the guest")
    assert note.isprintable()


def test_mounts_of_the_fleet_file_that_the_rules_would_miss_get_one():
    mount = {"host_path": "/tank/p", "container_path": "/projects/a"}
    entry = {**DOCKER, "mount_points": [mount]}
    templates = {"lxc-docker-nested.j2": ROOTS}
    result = plan_node(
        fleet=fleet(ct910=entry),
        options=Options(),
        facts=NodeFacts(containers=node(), apparmor=apparmor()),
        templates=templates,
    )
    assert "# /projects\n" in result.profiles[0].after


def test_a_profile_names_sixteen_data_roots_and_who_brings_one_more_is_left_alone():
    ctids = range(910, 928)
    entries = {f"ct{ctid}": DOCKER for ctid in ctids}
    pct = node(*(container(ctid) for ctid in ctids))
    there = f"{MARKER}\n@{{dkr_data}} = /srv/927\nprofile lxc-docker-nested {{}}\n"
    result = plan_node(
        fleet=fleet(**entries),
        options=Options(),
        facts=NodeFacts(
            containers=pct,
            apparmor=apparmor(files={"lxc-docker-nested": there}),
            dockers={ctid: ObservedDocker("ok", data_root=f"/srv/{ctid}") for ctid in ctids},
        ),
        templates={"lxc-docker-nested.j2": ROOTS},
    )
    assert result.problems == ()
    # the one whose root it names already keeps its place
    assert list(result.alone) == [925, 926]
    assert result.alone[925].startswith(
        "left alone: Docker's data lies in /srv/925, and lxc-docker-nested "
    )
    assert {change.ctid for change in result.containers} == {*ctids} - {925, 926}
    named = result.profiles[0].after.split(" = ")[1].split("\n")[0].split()
    assert len(named) == 16
    assert not {"/srv/925", "/srv/926"} & {*named}


@pytest.mark.parametrize("named", ["/data/docker", "/data/docker /srv/docker"])
@pytest.mark.parametrize("known", [{910: "/data/docker"}, {}], ids=["known", "stopped"])
def test_a_profile_stays_whether_or_not_somebodys_data_root_is_known_in_this_run(named, known):
    there = apparmor(
        files={
            "lxc-docker-nested": f"{MARKER}\n@{{dkr_data}} = {named}\n"
            "profile lxc-docker-nested {\n }\n"
        },
        loaded={"lxc-docker-nested": "enforce"},
    )
    pct = node(container(conf=hardened(), label="lxc-docker-nested (enforce)"))
    assert roots(pct, known, there) == ([], ())


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
