"""What one container alone is granted, in a profile that nobody else uses."""

import json
import subprocess
from dataclasses import replace

import pytest
from plan_cases import CONF, DOCKER, apparmor, container, fleet, node
from test_apparmor import NEW, OLD, rules
from test_apparmor import TEMPLATES as SHIPPED
from test_refusals import FSTAB, MONITOR

from phoenix.apparmor.allows import ALLOWS, written_allows, written_audits
from phoenix.apparmor.lint import lint
from phoenix.fleet.parse import FleetError, parse_fleet
from phoenix.plan.confinement import Confinement, wanted
from phoenix.plan.facts import NodeFacts
from phoenix.plan.guest_paths import guest_paths
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.plan.render import ProfileError, profile_names, render_profile

NAME = "lxc-docker-nested"
ALL = {**SHIPPED, HOOK_TEMPLATE: "#!/bin/sh\n"}
OWN = Confinement(NAME, own=910, allows=ALLOWS, audits=("/etc", "/srv/a"))


MINE = """profile {{ name }} flags=({{ flags }}) {
  file,
  deny userns,
  {% include "allows.j2" %}
}
"""
STACKED = {"apparmor_stacking": True}


def planned(
    label="unconfined",
    docker=MONITOR,
    options=None,
    templates=ALL,
    files=None,
    conf=CONF,
    **own,
):
    return plan_node(
        fleet=fleet(ct910={**DOCKER, **own}, ct952=DOCKER),
        options=options or Options(),
        facts=NodeFacts(
            containers=node(container(label=label, conf=conf), container(952)),
            apparmor=replace(apparmor(), files=files or {}),
            dockers={910: docker, 952: replace(MONITOR, binds=())},
        ),
        templates=templates,
    )


@pytest.mark.parametrize("name", profile_names(SHIPPED))
@pytest.mark.parametrize("about", [OLD, NEW], ids=["3.0", "4.1"])
@pytest.mark.parametrize("stacked", [False, True])
def test_every_template_has_a_place_for_all_of_it_and_it_compiles(
    name, about, stacked, parser, tmp_path
):
    version = subprocess.run([parser, "--version"], capture_output=True, text=True, check=True)
    if about is NEW and "version 3." in version.stdout:
        about = OLD
    text = render_profile(replace(OWN, template=name, stacked=stacked), SHIPPED, about)
    assert (written_allows(text), written_audits(text)) == ({*ALLOWS}, {*OWN.audits})
    expected = f"{name}-910{'-ns' * stacked}"
    found = lint(text, expected=expected, abis=about.abis, docker=True)
    assert [one for one in found if one.severity == "error"] == []
    file = tmp_path / "profile"
    file.write_text(text)
    compiled = subprocess.run([parser, "-Q", "-K", "-T", file], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.parametrize("allow", ALLOWS)
def test_each_permission_adds_rules_and_takes_none_but_the_deny_that_it_lifts(allow):
    lifted = {
        "nested-userns": {"deny userns,"},
        "binfmt": {
            "audit deny @{any_proc}/sys/fs/[^m]** wkl,",
            "audit deny @{any_sys}/fs/[^.cm]** wkl,",
        },
    }
    assert rules(NAME) - rules(NAME, own=910, allows=(allow,)) == lifted.get(allow, set())
    assert rules(NAME, own=910, allows=(allow,)) - rules(NAME)


def test_a_profile_of_its_own_without_more_is_the_shared_one_under_another_name():
    assert rules(NAME, own=910) == rules(NAME)


def test_a_path_that_is_logged_is_a_rule_with_audit():
    more = rules(NAME, own=910, audits=("/etc",)) - rules(NAME)
    assert more == {"audit /etc{,/,/**} wl,"}


def test_a_template_that_has_no_place_for_it_is_refused_and_says_what_to_write():
    sources = {"lxc-mine.j2": "profile {{ name }} flags=({{ flags }}) { file, }\n"}
    with pytest.raises(ProfileError, match=r'has no place for /etc, binfmt .*include "allows\.j2"'):
        render_profile(
            Confinement("lxc-mine", own=910, allows=("binfmt",), audits=("/etc",)), sources, NEW
        )
    assert "lxc-mine-910" in render_profile(Confinement("lxc-mine", own=910), sources, NEW)


def test_who_asks_for_any_of_it_has_a_profile_of_its_own():
    for entry in ({"apparmor_own": True}, {"apparmor_audit": ["/etc"]}):
        assert wanted(fleet(ct910={**DOCKER, **entry}).containers[910], Options()).own == 910
    assert wanted(fleet(ct910=DOCKER).containers[910], Options()).own is None
    several = {**DOCKER, "apparmor_allows": ["guest-mounts", "binfmt", "guest-mounts"]}
    confinement = wanted(
        fleet(ct910=several).containers[910], Options(mode="complain", stacking=True)
    )
    assert confinement == Confinement(NAME, True, "complain", 910, ("binfmt", "guest-mounts"))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"apparmor_allows": ["host-view"]}, "'nested-userns' is expected"),
        ({"apparmor_allows": "binfmt"}, "a list is expected"),
        ({"apparmor_audit": ["etc"]}, "an absolute path is expected"),
        ({"apparmor_audit": ["/"]}, "not its root"),
        ({"apparmor_audit": ["/etc/*"]}, "only paths of letters, digits"),
        ({"apparmor_audit": ["/a b"]}, "only paths of letters, digits"),
        ({"apparmor_own": 1}, "true or false is expected"),
    ],
)
def test_what_is_written_wrongly_is_named(entry, said):
    with pytest.raises(FleetError) as error:
        parse_fleet(json.dumps({"lxc_configs": {"910": entry}}).encode())
    assert said in str(error.value)


def test_it_is_planned_under_its_own_name_and_the_others_stay_what_they_are():
    result = planned(apparmor_allows=["guest-mounts"], docker=replace(MONITOR, binds=()))
    assert result.problems == ()
    assert [profile.name for profile in result.profiles] == [NAME, f"{NAME}-910"]
    assert "allowed here" not in result.profiles[0].after
    first, second = result.containers
    assert f"lxc.apparmor.profile: {NAME}-910\n" in first.after.text
    assert f"lxc.apparmor.profile: {NAME}\n" in second.after.text
    assert str(first.label) == f"{NAME}-910 (enforce)"


def test_with_generated_or_unconfined_it_is_refused_before_anything_changes():
    for profile in ("generated", "unconfined"):
        entry = {"apparmor_profile": profile, "apparmor_audit": ["/etc"]}
        (problem,) = planned(**entry).problems
        assert "need a named profile" in problem
        parsed = parse_fleet(json.dumps({"lxc_configs": {"910": {**DOCKER, **entry}}}).encode())
        assert any("harden refuses them" in text for text in parsed.containers[910].warnings)
    # the command line names one
    entry = {"apparmor_profile": "generated", "apparmor_audit": ["/etc"]}
    docker = replace(MONITOR, binds=())
    assert planned(options=Options(profile=NAME), docker=docker, **entry).problems == ()


def test_what_is_granted_is_no_refusal_and_the_way_out_names_it():
    docker = replace(MONITOR, binds=(), fstab=FSTAB, mount=(2, 41))
    assert '"apparmor_allows": ["guest-mounts"]' in planned(docker=docker).alone[910]
    assert planned(docker=docker, apparmor_allows=["guest-mounts"]).alone == {}
    assert 910 in planned(docker=docker, apparmor_allows=["fuse-mounts"]).alone


OWNED = CONF.replace("unconfined", f"{NAME}-910", 1)
MOUNTS = replace(MONITOR, binds=(), fstab=FSTAB, mount=(2, 41))


def text_of(*allows):
    return render_profile(Confinement(NAME, own=910, allows=allows), SHIPPED, apparmor())


@pytest.mark.parametrize(
    ("before", "now", "alone"),
    [
        # refused already
        ([], [], False),
        (["fuse-mounts"], ["fuse-mounts"], False),
        (["fuse-mounts"], [], False),
        # worked so far
        (["guest-mounts"], [], True),
        (["guest-mounts"], ["fuse-mounts"], True),
    ],
)
@pytest.mark.parametrize("stacked", [False, True])
def test_a_permission_that_is_taken_away_is_asked_about_as_at_first(before, now, alone, stacked):
    fstab = FSTAB if "guest-mounts" in before or not before else ()
    result = planned(
        label=f"{NAME}-910 (enforce)",
        conf=OWNED,
        docker=replace(MOUNTS, fstab=fstab),
        files={f"{NAME}-910": text_of(*before)},
        apparmor_own=True,
        apparmor_allows=now,
        apparmor_stacking=stacked,
    )
    assert (910 in result.alone) == alone
    # its profile stays what it is, too: it would take effect at once
    names = {profile.name for profile in result.profiles}
    if alone:
        assert not {name for name in names if name.startswith(f"{NAME}-910")}
    elif stacked or before != now:
        assert f"{NAME}-910{'-ns' * stacked}" in names


def test_what_is_named_for_the_place_and_the_kind_of_each_line_of_fstab():
    fstab = (("fuse.sshfs", "/mnt/x"), ("tmpfs", "/projects/y"))
    docker = replace(MOUNTS, fstab=fstab)
    allows = ["guest-mounts"]
    why = planned(docker=docker, apparmor_allows=allows).alone[910]
    assert "/mnt/x (fuse.sshfs)" in why
    assert '"apparmor_allows": ["fuse-mounts"]' in why
    both = {"apparmor_allows": ["fuse-mounts", "guest-mounts"]}
    assert "/mnt/x" not in (why := planned(docker=docker, **both).alone[910])
    # its patterns miss that place, unless the fleet file mounts something there
    assert "/projects/y" in why
    assert "apparmor_allows" not in why
    mounts = [{"host_path": "/tank/projects", "container_path": "/projects/data"}]
    assert planned(docker=docker, mount_points=mounts, **both).alone == {}


def test_its_own_profile_is_there_before_it_comes_from_another_node():
    here = node(container(952))
    here = replace(here, elsewhere={910: "pve2", 999: "pve2"})
    result = plan_node(
        fleet=fleet(ct910={**DOCKER, "apparmor_own": True}, ct952=DOCKER),
        options=Options(),
        facts=NodeFacts(containers=here, apparmor=apparmor()),
        templates=SHIPPED,
    )
    assert [profile.name for profile in result.profiles] == [NAME, f"{NAME}-910"]


def test_a_shared_profile_is_there_too_with_the_data_roots_that_are_used_on_other_nodes():
    here = replace(node(container(952)), elsewhere={910: "pve2"})
    result = plan_node(
        fleet=fleet(ct910=DOCKER),
        options=Options(),
        facts=NodeFacts(containers=here, apparmor=apparmor()),
        templates=SHIPPED,
        data_roots={910: "/srv/docker"},
    )
    (profile,) = result.profiles
    assert profile.name == NAME
    assert "/srv/docker" in profile.after


def test_a_foreign_profile_stops_no_run_where_no_container_shall_have_it():
    here = replace(node(container(952)), elsewhere={910: "pve2"})
    result = plan_node(
        fleet=fleet(ct910=DOCKER),
        options=Options(),
        facts=NodeFacts(
            containers=here, apparmor=replace(apparmor(), files={NAME: "# somebody's\n"})
        ),
        templates=SHIPPED,
    )
    assert (result.problems, result.profiles) == ((), ())
    assert any("is there and not ours" in note for note in result.notes)


def test_one_that_only_runs_for_other_containers_installs_nothing_for_those_elsewhere():
    here = replace(node(container(952)), elsewhere={910: "pve2"})
    result = plan_node(
        fleet=fleet(ct910={**DOCKER, "apparmor_own": True}, ct952=DOCKER),
        options=Options(only=(952,)),
        facts=NodeFacts(containers=here, apparmor=apparmor()),
        templates=SHIPPED,
    )
    assert [profile.name for profile in result.profiles] == [NAME]


def test_a_new_one_for_a_stopped_container_has_the_data_root_of_the_profile_before():
    shared = render_profile(Confinement(NAME), SHIPPED, apparmor(), guest_paths(["/srv/docker"]))
    result = plan_node(
        fleet=fleet(ct910={**DOCKER, "apparmor_own": True}),
        options=Options(),
        facts=NodeFacts(
            containers=node(container(label=None, conf=CONF.replace("unconfined", NAME, 1))),
            apparmor=replace(apparmor(), files={NAME: shared}),
        ),
        templates=SHIPPED,
    )
    (profile,) = result.profiles
    assert "@{dkr_data} = /srv/docker\n" in profile.after


def test_one_that_has_become_nobodys_is_named():
    loaded = {NAME: "enforce", f"{NAME}-910-ns": "enforce", "lxc-other-910": "enforce"}
    here = replace(apparmor(), loaded=loaded)
    wanted_by = {"shared": DOCKER, "own": {**DOCKER, "apparmor_own": True, **STACKED}}

    def notes(entry, conf=CONF):
        result = plan_node(
            fleet=fleet(ct910=entry),
            options=Options(),
            facts=NodeFacts(containers=node(container(conf=conf)), apparmor=here),
            templates=ALL,
        )
        return [note for note in result.notes if "nobody's" in note]

    (note,) = notes(wanted_by["shared"])
    assert note.startswith(f"profile {NAME}-910-ns is nobody's any more")
    assert notes(wanted_by["own"]) == []
    named = f"{NAME}-910-ns//&:lxc-910_<-var-lib-lxc>:unconfined"
    assert notes(wanted_by["shared"], CONF.replace("unconfined", named, 1)) == []


def test_a_template_that_denies_it_all_the_same_is_refused():
    sources = {**SHIPPED, "lxc-mine.j2": MINE}
    confinement = Confinement("lxc-mine", own=910, allows=("nested-userns",))
    with pytest.raises(ProfileError, match="says deny userns, which beats nested-userns"):
        render_profile(confinement, sources, NEW)
