"""What a fleet file may say, what it comes to, and which mistakes are named how."""

import json

import pytest
from fleet_cases import ROOT, TEMPLATES, container, fleet, problem, problems, real

from phoenix.fleet.parse import FleetError, RawKey, parse_fleet

# --- real files ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("fleet-15.json", 15), ("fleet-22.json", 22)])
def test_a_real_fleet_loads_with_all_its_containers_in_file_order(name, count):
    data = real(name)
    found = parse_fleet(data, TEMPLATES)
    assert [str(ctid) for ctid in found.containers] == list(json.loads(data)["lxc_configs"])
    assert len(found.containers) == count


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_every_unconfined_container_of_a_real_fleet_is_warned_of(name):
    for item in parse_fleet(real(name), TEMPLATES).containers.values():
        warned = any("unconfined: no AppArmor at all" in warning for warning in item.warnings)
        assert warned == (item.profile == "unconfined"), item.ctid


def test_a_real_container_with_every_dangerous_key_loads_and_each_is_explained():
    item = parse_fleet(real("fleet-22.json"), TEMPLATES).containers[954]
    assert [raw.key for raw in item.raw] == [
        "lxc.cgroup2.devices.allow",
        "lxc.cap.keep",
        "lxc.mount.auto",
    ]
    assert item.profile == "unconfined"
    assert item.allow_nesting is True
    text = "\n".join(item.warnings)
    assert "every device of the host" in text
    assert "separated by blanks" in text
    assert "all of /proc writable" in text
    assert "not treated as a Docker container" in text


def test_a_real_fleet_names_profiles_that_have_no_template():
    found = parse_fleet(real("fleet-15.json"), TEMPLATES)
    without = {c.ctid for c in found.containers.values() if "no template" in "".join(c.warnings)}
    assert without == {910, 950, 951, 952, 954, 956, 957, 960}
    assert not any(
        "no template" in w
        for c in parse_fleet(real("fleet-15.json")).containers.values()
        for w in c.warnings
    )


def test_a_real_gpu_and_a_real_dataset_are_read():
    item = parse_fleet(real("fleet-22.json"), TEMPLATES)
    assert item.containers[901].gpus == (0, 1)
    (mount,) = item.containers[950].mounts
    assert mount.origin == "zfs_volumes"
    assert mount.target == mount.name
    assert mount.source == f"/{mount.pool}/{mount.name}"


def test_the_labs_own_fleet_loads_without_a_warning():
    found = parse_fleet((ROOT / "phoenix_lxc_configs.json").read_bytes(), TEMPLATES)
    assert found.warnings == ()
    for item in found.containers.values():
        assert item.warnings == ()
        assert item.profile == ("lxc-docker-nested" if item.docker else "generated")


# --- features -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ["nesting=1", "keyctl=1"],
        ["keyctl=1", "nesting=1"],
        ["nesting: 1", "keyctl:1"],
        ["nesting = yes", "keyctl=ON"],
        ["nesting=1,keyctl=1"],
        [{"nesting": True, "keyctl": 1}],
        {"nesting": 1, "keyctl": True},
        {"nesting": "1", "keyctl": "true"},
        ["nesting=1", "keyctl=1", "nesting=1"],
    ],
)
def test_every_spelling_of_pct_options_comes_to_the_same(options):
    assert list(container(pct_options=options).features.items()) == [
        ("keyctl", "1"),
        ("nesting", "1"),
    ]


@pytest.mark.parametrize("options", [[], {}, None])
def test_empty_pct_options_want_nothing(options):
    assert container(pct_options=options).features == {}
    assert container().features == {}


def test_a_switch_beside_pct_options_is_taken_as_one_of_them():
    item = container(nesting=True, pct_options=["keyctl=1"])
    assert item.features == {"nesting": "1", "keyctl": "1"}
    assert problem(nesting=[]).path == "lxc_configs.910.nesting"


def test_a_list_of_file_systems_is_a_feature_value():
    assert container(pct_options=["mount=nfs;cifs"]).features == {"mount": "nfs;cifs"}


def test_an_unknown_feature_is_named_with_its_place_and_what_there_is():
    found = problem(pct_options=["nesting=1", "nestling=1"])
    assert found.path == "lxc_configs.910.pct_options[1]"
    assert str(found).startswith(
        "lxc_configs.910.pct_options[1]: 'nestling=1': unknown feature; one of force_rw_sys, fuse"
    )


@pytest.mark.parametrize(
    ("options", "path", "says"),
    [
        (["nesting"], "pct_options[0]", "write nesting=1"),
        (["nesting=maybe"], "pct_options[0]", "write nesting=1 or nesting=0"),
        (["mount=1 2"], "pct_options[0]", "write mount=nfs;cifs"),
        (["mount=nfs\n"], "pct_options[0]", "control characters"),
        ([""], "pct_options[0]", "write FEATURE=1"),
        (["--features"], "pct_options[0]", "write FEATURE=1"),
        ([7], "pct_options[0]", "text is expected"),
        ([None], "pct_options[0]", "text is expected"),
        ("nesting=1", "pct_options", "a list is expected"),
        (True, "pct_options", "a list is expected"),
        ({"nesting": 2}, "pct_options.nesting", "write nesting=1"),
        ({"nesting": None}, "pct_options.nesting", "true or false"),
        ({"nestling": 1}, "pct_options.nestling", "unknown feature"),
        (["nesting=1", "nesting=0"], "pct_options[1]", "contradicts nesting=1"),
    ],
)
def test_a_wrong_option_is_refused(options, path, says):
    found = problem(pct_options=options)
    assert found.path == f"lxc_configs.910.{path}"
    assert says in found.hint


# --- what confines it ---------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["lxc-docker-nested", "unconfined", "generated"])
def test_a_profile_is_taken_as_it_is_named(profile):
    assert container(apparmor_profile=profile).profile == profile


def test_no_profile_means_the_generated_one():
    assert container(apparmor_profile=None).profile == "generated"
    assert container().profile == "generated"


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("lxc_docker_nested", "write 'lxc-docker-nested'"),
        ("lxc-docker_nested ", "write 'lxc-docker-nested'"),
        ("Unconfined", "write 'unconfined'"),
        ("docker-nested", "lxc-start may enter only names that begin with lxc-"),
        ("", "lxc-start may enter only"),
        ("-v", "lxc-start may enter only"),
        ("lxc-docker-nested//&:lxc-910:unconfined", "add apparmor_stacking: true"),
        ("lxc-a\nb", "letters, digits"),
        ("lxc-" + "a" * 60, "at most 63"),
        ("lxc-ä", "letters, digits"),
        (True, "text is expected"),
    ],
)
def test_a_profile_that_cannot_be_entered_is_refused_with_the_right_spelling(profile, says):
    found = problem(apparmor_profile=profile)
    assert found.path == "lxc_configs.910.apparmor_profile"
    assert says in found.hint


def test_an_underscore_where_a_known_template_has_a_hyphen_is_an_error():
    with pytest.raises(FleetError, match="write 'lxc-docker-nested'"):
        container(apparmor_profile="lxc-docker_nested")
    assert (
        fleet({"lxc-my_own"}, ct910={"apparmor_profile": "lxc-my_own"}).containers[910].warnings
        == ()
    )


def test_the_raw_profile_loses_against_apparmor_profile_with_a_warning():
    item = container(
        apparmor_profile="lxc-docker-nested", lxc_options=["lxc.apparmor.profile=unconfined"]
    )
    assert item.profile == "lxc-docker-nested"
    assert item.raw == ()
    assert item.warnings == (
        "lxc_configs.910.lxc_options[0]: unconfined contradicts apparmor_profile, "
        "lxc-docker-nested wins",
    )


def test_the_last_raw_profile_counts_where_apparmor_profile_is_absent():
    item = container(
        lxc_options=["lxc.apparmor.profile=generated", "lxc.apparmor.profile: unconfined"]
    )
    assert item.profile == "unconfined"
    assert item.raw == ()
    assert "lxc_options[1]: belongs into apparmor_profile" in "".join(item.warnings)


def test_a_raw_profile_is_checked_like_any_other():
    found = problem(lxc_options=["lxc.apparmor.profile=lxc_docker"])
    assert found.path == "lxc_configs.910.lxc_options[0]"
    assert "write 'lxc-docker'" in found.hint


@pytest.mark.parametrize("manages", [True, False])
def test_apparmor_manages_nesting_has_the_say_over_the_raw_key(manages):
    item = container(
        apparmor_profile="lxc-docker-nested",
        apparmor_manages_nesting=manages,
        lxc_options=["lxc.apparmor.allow_nesting=1"],
    )
    assert (item.allow_nesting, item.raw) == (manages, ())
    assert ("contradicts" in "".join(item.warnings)) == (not manages)


def test_the_raw_nesting_key_stays_where_nothing_else_says():
    item = container(lxc_options=["lxc.apparmor.allow_nesting=1"])
    assert item.allow_nesting is None
    assert item.raw == (RawKey("lxc.apparmor.allow_nesting", "1"),)


def test_the_mode_has_two_names_that_must_agree():
    assert container().mode == "enforce"
    assert container(apparmor_profile="lxc-a", mode="complain").mode == "complain"
    assert container(apparmor_profile="lxc-a", apparmor_mode="complain").mode == "complain"
    found = problem(mode="complain", apparmor_mode="enforce")
    assert found.path == "lxc_configs.910.mode"
    assert problem(mode="learn").hint == "one of 'enforce' or 'complain' is expected"


def test_learning_without_a_profile_of_a_name_is_warned_of():
    asked = {"mode": "complain", "apparmor_profile": "generated"}
    assert "no complain mode: harden refuses it" in "".join(container(**asked).warnings)
    asked = {"mode": "complain", "apparmor_profile": "unconfined"}
    assert "no complain mode: mode has no effect" in "".join(container(**asked).warnings)


def test_rules_for_the_generated_profile_are_taken_without_their_key():
    assert container(apparmor_raw=["deny mount, "]).apparmor_raw == ("deny mount,",)
    assert "the rule alone" in problem(apparmor_raw=["lxc.apparmor.raw=deny mount,"]).hint
    assert problem(apparmor_raw=["ok,", "a\nb"]).path == "lxc_configs.910.apparmor_raw[1]"
    item = container(apparmor_profile="lxc-docker-nested", apparmor_raw=["deny mount,"])
    assert "only Proxmox's generated profile reads it" in "".join(item.warnings)


# --- everything else ----------------------------------------------------------------------


@pytest.mark.parametrize("features", [[], None, ["base_setup", "vllm"]])
def test_other_features_pass_silently(features):
    item = container(features=features)
    assert (item.docker, item.nvidia, item.warnings) == (False, False, ())


def test_docker_and_nvidia_mean_something():
    item = container(features=["nvidia", "docker"], apparmor_profile="lxc-docker-nested")
    assert (item.docker, item.nvidia) == (True, True)


def test_privileged_docker_is_a_warning_with_the_risk():
    refused, risk = container(
        features=["docker"], unprivileged=False, apparmor_profile="lxc-docker-nested"
    ).warnings
    assert refused.endswith("lxc-docker-nested for a privileged container: harden refuses it")
    assert "root in it is root of the node, and no AppArmor profile holds that" in risk


def test_docker_under_the_generated_profile_needs_nesting():
    assert "needs nesting=1" in "".join(container(features=["docker"]).warnings)
    assert container(features=["docker"], pct_options=["nesting=1"]).warnings == ()


def test_a_clone_of_a_docker_container_without_the_feature_is_pointed_at():
    found = fleet(
        ct902={"features": ["docker"], "pct_options": ["nesting=1"]},
        ct954={"features": [], "clone_from_ctid": "902"},
    )
    assert "not treated as a Docker container" in "".join(found.containers[954].warnings)


def test_a_misspelt_key_is_ignored_with_a_guess():
    (warning,) = container(aparmor_profile="lxc-docker-nested").warnings
    assert warning == "lxc_configs.910.aparmor_profile: is ignored; is apparmor_profile meant?"


def test_dependencies_are_ids_and_missing_ones_are_warned_of():
    item = fleet(ct910={"dependencies": ["953", 953, "0954"]}, ct953={}).containers[910]
    assert item.dependencies == (953, 954)
    assert item.warnings == ("lxc_configs.910.dependencies[2]: 954 is not in this file",)
    assert problem(dependencies=["910"]).hint == "a container cannot wait for itself"


def test_containers_that_wait_for_each_other_are_refused_with_the_whole_circle():
    with pytest.raises(FleetError) as refused:
        fleet(
            ct913={"dependencies": ["910"]},
            ct910={"dependencies": ["953", "911"]},
            ct911={"dependencies": [912]},
            ct912={"dependencies": ["910"]},
            ct953={},
        )
    assert str(refused.value) == (
        "lxc_configs.910.dependencies[1]: 911: "
        "they wait for each other (910 → 911 → 912 → 910): take one out"
    )
    assert fleet(ct910={"dependencies": ["911"]}, ct911={}).warnings == ()


@pytest.mark.parametrize("field", ["unprivileged", "apparmor_manages_nesting", "apparmor_stacking"])
@pytest.mark.parametrize("value", [1, 0, "true", "yes", []])
def test_only_true_and_false_are_booleans(field, value):
    found = problem(**{field: value})
    assert found.hint == "true or false is expected, without quotes"


@pytest.mark.parametrize("value", [True, "4", 1.5, -1, []])
def test_only_whole_numbers_are_numbers(value):
    assert problem(boot_order=value).path == "lxc_configs.910.boot_order"


@pytest.mark.parametrize("field", ["features", "lxc_options", "volumes", "dependencies"])
@pytest.mark.parametrize("value", ["docker", {"a": 1}, 1, True])
def test_only_a_list_is_a_list(field, value):
    found = problem(**{field: value})
    assert (found.path, found.hint) == (f"lxc_configs.910.{field}", "a list is expected: […]")


@pytest.mark.parametrize("driver", ["vfs", "", True, "Overlay2"])
def test_an_unknown_storage_driver_is_refused_with_the_known_ones(driver):
    assert "'fuse-overlayfs', 'overlay2', 'keep' or 'auto'" in problem(storage_driver=driver).hint


@pytest.mark.parametrize("name", ["", " ", "-rf", "a\nb", "a\x1b[31m", "\ud800", 7])
def test_a_name_that_a_terminal_or_a_command_would_misread_is_refused(name):
    found = problem(name=name)
    assert found.path == "lxc_configs.910.name"
    assert str(found).isprintable()


def test_keys_that_mean_nothing_here_are_kept_apart_by_path():
    data = {
        "$schema": "/usr/local/x.json",
        "repo url": "x",
        "lxc_configs": {"910": {"ports": 2, "volumes": [
            {"name": "a", "pool": "b", "mount_point": "/c", "note": ""}]}},
    }  # fmt: skip
    assert parse_fleet(json.dumps(data).encode()).ignored == (
        "$schema",
        '["repo url"]',
        "lxc_configs.910.ports",
        "lxc_configs.910.volumes[0].note",
    )


# --- ids and the file as a whole ----------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["99", "0", "1000000000", "9" * 5000, "abc", "", " 910", "-910", "910.0", "٩١٠", "9_10"]
)
def test_a_key_that_is_no_container_id_is_refused(key):
    with pytest.raises(FleetError) as caught:
        fleet(**{f"ct{key}": {}})
    (found,) = caught.value.problems
    assert found.path.startswith("lxc_configs")
    assert "a container's id is" in found.hint


def test_leading_zeros_do_not_make_another_container():
    assert list(fleet(ct0910={}).containers) == [910]
    with pytest.raises(FleetError, match="the same container as '910'"):
        fleet(ct910={}, ct0910={})


def test_duplicate_keys_are_named_wherever_they_stand():
    data = b"""{"lxc_configs": {"910": {"name": "a", "deep": [{"x": 1, "x": 2}]},
    "910": {}}, "lxc_configs": {}}"""
    with pytest.raises(FleetError) as caught:
        parse_fleet(data)
    assert [found.path for found in caught.value.problems] == [
        "lxc_configs.910.deep[0].x",
        "lxc_configs.910",
        "lxc_configs",
    ]
    assert "(line 1, column 18 and line 2, column 5)" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"", "$"),
        (b"   ", "$"),
        (b"[]", "$"),
        (b"null", "$"),
        (b"{}", "lxc_configs"),
        (b'{"lxc_configs": []}', "lxc_configs"),
        (b'{"lxc_configs": null}', "lxc_configs"),
        (b'{"lxc_configs": {"910": null}}', "lxc_configs.910"),
        (b'{"lxc_configs": {"910": []}}', "lxc_configs.910"),
    ],
)
def test_a_file_that_is_no_fleet_says_where_it_goes_wrong(data, path):
    with pytest.raises(FleetError) as caught:
        parse_fleet(data)
    assert [found.path for found in caught.value.problems] == [path]


def test_a_fleet_of_nobody_loads_with_a_warning():
    assert fleet().warnings == ("lxc_configs: no containers in here",)


def test_all_mistakes_of_all_containers_come_at_once():
    with pytest.raises(FleetError) as caught:
        fleet(
            ct99={"mode": "x"},
            ct910={"pct_options": ["a=1", "b=1"], "unprivileged": "no"},
            ct911=[],
        )
    assert [found.path for found in caught.value.problems] == [
        "lxc_configs.99",
        "lxc_configs.99.mode",
        "lxc_configs.910.pct_options[0]",
        "lxc_configs.910.pct_options[1]",
        "lxc_configs.910.unprivileged",
        "lxc_configs.911",
    ]
    assert len(str(caught.value).splitlines()) == 6


@pytest.mark.parametrize("key", ["a\nb", "\x1b[2J", "\ud800", "\u202e"])
def test_a_key_that_a_terminal_would_misread_is_refused(key):
    found = problem(**{key: 1})
    assert "a key must not hold control characters" in found.hint
    assert str(found).isprintable()


def test_mistakes_between_keys_come_with_those_within_them():
    paths = [
        found.path.removeprefix("lxc_configs.910.")
        for found in problems(
            boot_order="1",
            apparmor_profile="docker",
            lxc_options=["lxc.apparmor.profile=also_wrong"],
            pct_options=["nesting=1", "nesting=0"],
            dependencies=["910"],
        )
    ]
    assert sorted(paths) == [
        "apparmor_profile",
        "boot_order",
        "dependencies[0]",
        "pct_options[1]",
    ]


def test_what_was_read_cannot_be_changed():
    item = container(pct_options=["nesting=1"])
    with pytest.raises(TypeError):
        item.features["nesting"] = "0"
    with pytest.raises(AttributeError):
        item.profile = "unconfined"
