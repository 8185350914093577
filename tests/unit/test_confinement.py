"""The forms of a named profile, and what their names are."""

import json

import pytest

from phoenix.apparmor.observed import Label
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.confinement import Confinement, is_learning, wanted
from phoenix.plan.options import Options

DOCKER = {"features": ["docker"], "apparmor_profile": "lxc-a"}


def container(**entry):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": entry}}).encode())
    return fleet.containers[910]


@pytest.mark.parametrize(
    ("confinement", "profile", "label", "value"),
    [
        (Confinement("lxc-a"), "lxc-a", "lxc-a (enforce)", "lxc-a"),
        (
            Confinement("lxc-a", stacked=True),
            "lxc-a-ns",
            "lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)",
            "lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined",
        ),
        (
            Confinement("lxc-a", mode="complain"),
            "lxc-a-complain",
            "lxc-a-complain (complain)",
            "lxc-a-complain",
        ),
        (
            Confinement("lxc-a", stacked=True, mode="complain"),
            "lxc-a-ns-complain",
            "lxc-a-ns-complain//&:lxc-910_<-var-lib-lxc>:unconfined (complain)",
            "lxc-a-ns-complain//&:lxc-910_<-var-lib-lxc>:unconfined",
        ),
        (Confinement("lxc-a", own=910), "lxc-a-910", "lxc-a-910 (enforce)", "lxc-a-910"),
        (
            Confinement("lxc-a", stacked=True, mode="complain", own=910),
            "lxc-a-910-ns-complain",
            "lxc-a-910-ns-complain//&:lxc-910_<-var-lib-lxc>:unconfined (complain)",
            "lxc-a-910-ns-complain//&:lxc-910_<-var-lib-lxc>:unconfined",
        ),
        (
            Confinement("generated", stacked=True),
            "generated",
            "lxc-910_</var/lib/lxc> (enforce)",
            "generated",
        ),
        (Confinement("unconfined", mode="complain"), "unconfined", "None", "unconfined"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_form_is_a_profile_of_its_own(confinement, profile, label, value):
    assert (confinement.profile, str(confinement.label(910)), confinement.conf_value(910)) == (
        profile,
        label,
        value,
    )


def test_only_a_named_stacked_form_needs_lines_beside_its_profile():
    assert [raw.key for raw in Confinement("lxc-a", stacked=True).raw] == [
        "lxc.mount.entry",
        "lxc.hook.pre-start",
        "lxc.hook.post-stop",
    ]
    assert Confinement("lxc-a").raw == Confinement("generated", stacked=True).raw == ()


@pytest.mark.parametrize(
    ("confinement", "taken"),
    [
        (Confinement("lxc-a", stacked=True), "lxc-a-ns"),
        (Confinement("lxc-a", mode="complain"), "lxc-a-complain"),
        # both would be called lxc-a-ns-complain
        (Confinement("lxc-a", stacked=True, mode="complain"), "lxc-a-ns"),
    ],
)
def test_a_form_never_takes_the_name_of_a_template_or_of_its_forms(confinement, taken):
    problem = confinement.problem(["lxc-a", "lxc-b", taken])
    assert problem == (
        f"its form would be called {confinement.profile}, and {taken} is a template of its own: "
        "rename that one"
    )
    assert confinement.problem(["lxc-a", "lxc-b"]) is None


def test_a_template_whose_name_looks_like_a_form_keeps_it():
    assert Confinement("lxc-a-ns").problem(["lxc-a", "lxc-a-ns"]) is None
    assert Confinement("lxc-a-ns", mode="complain").problem(["lxc-a", "lxc-a-ns"]) is None


def test_a_form_with_too_long_a_name_is_refused():
    longest = f"lxc-{'a' * 59}"
    assert Confinement(longest).problem([longest]) is None
    assert "longer than 63 characters" in str(Confinement(longest, stacked=True).problem([longest]))


def test_the_command_line_wins_over_the_file_for_containers_with_docker():
    asked = {**DOCKER, "apparmor_stacking": True, "mode": "complain"}
    assert wanted(container(**asked), Options()) == Confinement("lxc-a", True, "complain")
    line = Options(profile="lxc-b", stacking=False, mode="enforce")
    assert wanted(container(**asked), line) == Confinement("lxc-b")
    line = Options(stacking=True, mode="complain")
    assert wanted(container(**DOCKER), line) == Confinement("lxc-a", True, "complain")
    assert wanted(container(apparmor_profile="lxc-a"), line) == Confinement("lxc-a")


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)", True),
        # what the guest loaded into its namespace is its own affair
        ("lxc-a-ns//&:lxc-910_<-var-lib-lxc>:docker-default (enforce)", True),
        ("lxc-a-ns//&:lxc-952_<-var-lib-lxc>:unconfined (enforce)", False),
        ("lxc-a-ns (enforce)", False),
        ("lxc-a-ns//&lxc-b (enforce)", False),
        ("lxc-a (enforce)", False),
        ("unconfined", False),
    ],
)
def test_both_halves_of_a_stacked_label_are_looked_at(text, matches):
    confinement = Confinement("lxc-a", stacked=True).label(910)
    assert Label.parse(text).matches(confinement) == matches


def test_a_plain_profile_is_judged_by_the_half_that_the_node_enforces():
    assert Label.parse("lxc-a//&:lxc-910_<-var-lib-lxc>:x (enforce)").matches(
        Confinement("lxc-a").label(910)
    )


@pytest.mark.parametrize(
    ("text", "learning"),
    [
        ("lxc-a-complain (complain)", True),
        ("lxc-a-ns-complain//&:lxc-910_<-var-lib-lxc>:unconfined (complain)", True),
        ("lxc-a (complain)", False),
        ("lxc-a-complain (enforce)", False),
    ],
)
def test_learning_is_told_from_a_profile_that_somebody_set_to_complain(text, learning):
    assert is_learning(Label.parse(text)) == learning
