"""What a fleet file may say, what it comes to, and which mistakes are named how."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoenix.config import FleetError, Problem, RawKey, parse_fleet
from phoenix.schema import fleet_schema, schema_text

ROOT = Path(__file__).parents[2]
FLEETS = Path(__file__).parents[3] / "shared" / "reference" / "fleets"
TEMPLATES = {"lxc-docker-nested", "lxc-phoenix-v2", "lxc-nesting-gpu-docker-storage"}


def fleet(templates=TEMPLATES, **containers):
    """Parse a fleet of containers given as ct910={...}."""
    named = {key.removeprefix("ct"): value for key, value in containers.items()}
    return parse_fleet(json.dumps({"lxc_configs": named}).encode(), templates)


def container(**entry):
    return fleet(ct910=entry).containers[910]


def problems(**entry):
    with pytest.raises(FleetError) as caught:
        container(**entry)
    return caught.value.problems


def problem(**entry):
    (only,) = problems(**entry)
    return only


def real(name):
    path = FLEETS / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path.read_bytes()


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
    assert [c.warnings for c in found.containers.values()] == [()] * 7
    for item in found.containers.values():
        assert item.profile == ("lxc-docker-nested" if item.docker else "generated")


# --- the schema ---------------------------------------------------------------------------


def test_the_committed_schema_is_the_one_that_the_models_give():
    committed = (ROOT / "phoenix_lxc_configs.schema.json").read_text("utf-8")
    assert committed == schema_text(), "run: phoenix schema > phoenix_lxc_configs.schema.json"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(fleet_schema())


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json", "the lab's"])
def test_the_schema_validates(name):
    lab = ROOT / "phoenix_lxc_configs.json"
    data = lab.read_bytes() if name == "the lab's" else real(name)
    jsonschema.Draft202012Validator(fleet_schema()).validate(json.loads(data))


@pytest.mark.parametrize(
    "entry",
    [
        {"pct_options": ["nestling=1"]},
        {"pct_options": "nesting=1"},
        {"pct_options": {"nestling": True}},
        {"apparmor_profile": "lxc_docker_nested"},
        {"unprivileged": 1},
        {"volumes": [{"name": "a"}]},
        {"gpu_assignment": "all"},
        {"storage_driver": "vfs"},
        {"lxc_options": ["mount.auto=sys:rw"]},
        {"dependencies": ["99"]},
        {"mount_points": [{"host_path": "srv", "container_path": "/srv"}]},
    ],
)
def test_the_schema_underlines_what_is_refused(entry):
    validator = jsonschema.Draft202012Validator(fleet_schema())
    assert not validator.is_valid({"lxc_configs": {"910": entry}})
    with pytest.raises(FleetError):
        container(**entry)


def test_every_field_of_the_schema_is_described():
    for model in fleet_schema()["$defs"].values():
        for name, field in model["properties"].items():
            assert field.get("description"), name


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


def test_rules_for_the_generated_profile_are_taken_without_their_key():
    assert container(apparmor_raw=["deny mount, "]).apparmor_raw == ("deny mount,",)
    assert "the rule alone" in problem(apparmor_raw=["lxc.apparmor.raw=deny mount,"]).hint
    assert problem(apparmor_raw=["ok,", "a\nb"]).path == "lxc_configs.910.apparmor_raw[1]"
    item = container(apparmor_profile="lxc-docker-nested", apparmor_raw=["deny mount,"])
    assert "only Proxmox's generated profile reads it" in "".join(item.warnings)


# --- raw keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lxc.mount.auto=sys:rw", "lxc.mount.auto", "sys:rw"),
        ("lxc.mount.auto: sys:rw", "lxc.mount.auto", "sys:rw"),
        ("lxc.mount.auto:sys:rw", "lxc.mount.auto", "sys:rw"),
        ("lxc.mount.auto = sys:rw", "lxc.mount.auto", "sys:rw"),
        ("  lxc.mount.auto=sys:rw ", "lxc.mount.auto", "sys:rw"),
        ("lxc.cap.drop=", "lxc.cap.drop", ""),
        (
            "lxc.mount.entry=/dev/fuse dev/fuse none bind,create=file",
            "lxc.mount.entry",
            "/dev/fuse dev/fuse none bind,create=file",
        ),
        ("lxc.mount.entry=/a\ta none bind", "lxc.mount.entry", "/a a none bind"),
        ("lxc.environment=A=b:c d", "lxc.environment", "A=b:c d"),
        ("lxc.cgroup2.devices.allow=c 10:229 rwm", "lxc.cgroup2.devices.allow", "c 10:229 rwm"),
    ],
)
def test_a_raw_key_is_read_in_every_form_that_proxmox_takes(text, key, value):
    assert container(lxc_options=[text]).raw == (RawKey(key, value),)


def test_repeated_raw_keys_stay_in_their_order():
    item = container(lxc_options=["lxc.cgroup2.devices.allow=c 1:3 rwm"] * 2 + ["lxc.cap.drop=a"])
    assert [raw.key for raw in item.raw] == ["lxc.cgroup2.devices.allow"] * 2 + ["lxc.cap.drop"]


# recordings of what the real pct makes of these lines: facts about raw keys, 3a and 3g
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lxc.mount.auto sys:rw", "write KEY=VALUE"),
        ("lxc.uts.name : spaced", "write KEY=VALUE"),
        ("LXC.Mount.Auto: sys", "lower case only"),
        ("lxc.nosuchkey: 1", "does not know the key"),
        ("lxc.tty.dir: x", "does not know the key"),
        ("lxc.rootfs.path: /x", "`rootfs`"),
        ("lxc.rootfs.options: ro", "`rootfs`"),
        ("lxc.aa_profile: unconfined", "write lxc.apparmor.profile"),
        ("lxc.limit.nofile: 1", "write lxc.prlimit.nofile"),
        ("lxc.network.type: veth", "write lxc.net.INDEX.type"),
        ("mp0: /a,mp=/b", "begins with lxc."),
        ("--lxc.mount.auto=sys", "begins with lxc."),
        ("", "begins with lxc."),
        ("lxc.mount.auto=sys\nlxc.cap.drop=", "control characters"),
        ("lxc.mount.auto=sys\u2028x", "control characters"),
        ("lxc.environment=[snap]", "section header"),
        ("lxc.environment=# no", "comment"),
        ("lxc.mount.entry=/srv/../etc srv none bind", "'..'"),
        ("lxc.mount.entry=/srv ../../etc none bind", "'..'"),
        ("lxc.mount.entry=/srv", "SOURCE TARGET TYPE OPTIONS"),
        (None, "text is expected"),
        (1, "text is expected"),
        ({"lxc.mount.auto": "sys"}, "text is expected"),
    ],
)
def test_a_raw_key_that_would_be_dropped_or_break_out_is_refused(text, says):
    found = problem(lxc_options=["lxc.mount.auto=sys:ro", text])
    assert found.path == "lxc_configs.910.lxc_options[1]"
    assert says in found.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lxc.cgroup2.devices.allow=a", "every device of the host"),
        ("lxc.cgroup2.devices.allow: a *:* rwm", "every device of the host"),
        ("lxc.cgroup.devices.allow: c 1:3 rwm", "cgroup v1"),
        ("lxc.cap.drop=", "drops no capability"),
        ("lxc.mount.auto=proc:rw", "all of /proc writable"),
        ("lxc.mount.auto=cgroup:mixed proc:mixed sys", "all of /sys writable"),
        (
            "lxc.mount.entry=/dev/null sys/module/apparmor/parameters/enabled none bind 0 0",
            "hides AppArmor from Docker",
        ),
        ("lxc.mount.entry=/ host none bind", "hands the host's /"),
        ("lxc.mount.entry=/run/docker.sock run/d.sock none bind", "container engine's socket"),
        ("lxc.mount.entry=/srv /srv none bind", "absolute target"),
        ("lxc.apparmor.allow_incomplete=1", "only part of the profile"),
        ("lxc.seccomp.profile=/dev/null", "system call filter off"),
        ("lxc.idmap=u 0 0 65536", "the host's own root"),
        ("lxc.hook.pre-start=/root/x.sh", "as root on the host"),
        ("lxc.include=/root/more.conf", "not looked at"),
    ],
)
def test_a_dangerous_raw_key_loads_with_a_warning_that_says_why(text, says):
    (warning,) = container(lxc_options=[text]).warnings
    assert warning.startswith("lxc_configs.910.lxc_options[0]: ")
    assert says in warning


@pytest.mark.parametrize(
    "text",
    [
        "lxc.mount.auto=proc:mixed sys:ro cgroup:ro",
        "lxc.cgroup2.devices.allow=c 195:* rwm",
        "lxc.cap.drop=sys_module",
        "lxc.mount.entry=/srv/data srv/data none bind,create=dir 0 0",
        "lxc.idmap=u 0 100000 65536",
        "lxc.prlimit.nofile=65536",
    ],
)
def test_an_ordinary_raw_key_loads_in_silence(text):
    assert container(lxc_options=[text]).warnings == ()


# --- mounts and devices -------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["volumes", "zfs_volumes"])
def test_a_volume_becomes_a_bind_mount_of_its_dataset(origin):
    volume = {"name": "my data", "pool": "tank/shared", "size_gb": 10, "mount_point": "/srv//a b/"}
    (mount,) = container(**{origin: [volume]}).mounts
    assert (mount.source, mount.target) == ("/tank/shared/my data", "srv/a b")
    assert (mount.pool, mount.name, mount.origin) == ("tank/shared", "my data", origin)
    assert mount.raw_value == r"/tank/shared/my\040data srv/a\040b none bind,create=dir 0 0"


def test_a_mount_point_may_name_its_owner():
    points = [
        {"host_path": "/srv/a", "container_path": "/a", "owner_uid": 1000, "owner_gid": 33},
        {"host_path": "/srv/b", "container_path": "/b", "owner_uid": 1000},
        {"host_path": "/srv/c", "container_path": "/c"},
    ]
    mounts = container(mount_points=points).mounts
    assert [mount.owner for mount in mounts] == [(1000, 33), (1000, 1000), None]
    assert [mount.raw_value.split()[1] for mount in mounts] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("host_path", "srv", "beginning with /"),
        ("host_path", "-o", "beginning with /"),
        ("host_path", "/srv/../etc", "'..'"),
        ("host_path", "/srv\n/etc", "control characters"),
        ("host_path", "/srv\\040x", "write blanks as blanks"),
        ("host_path", 5, "text is expected"),
        ("container_path", "/", "not its root"),
        ("container_path", "//.", "not its root"),
        ("owner_uid", True, "a whole number"),
        ("owner_uid", "1000", "a whole number"),
        ("owner_uid", -1, "greater than or equal to 0"),
    ],
)
def test_a_wrong_mount_point_is_refused(field, value, says):
    point = {"host_path": "/srv", "container_path": "/srv", field: value}
    found = problem(mount_points=[point])
    assert found.path == f"lxc_configs.910.mount_points[0].{field}"
    assert says in found.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "-x"), ("name", "../x"), ("name", "a//b"), ("name", "a@snap"),
        ("pool", "/tank"), ("pool", "."), ("pool", "a\x00"), ("pool", None),
        ("mount_point", "data"), ("mount_point", "/../data"), ("size_gb", "10"),
    ],
)  # fmt: skip
def test_a_wrong_volume_is_refused(field, value):
    volume = {"name": "data", "pool": "tank", "mount_point": "/data", field: value}
    assert problem(volumes=[volume]).path == f"lxc_configs.910.volumes[0].{field}"


def test_a_volume_without_its_parts_says_which_are_missing():
    found = problems(volumes=[{}])
    assert [(p.path.rpartition(".")[2], p.hint) for p in found] == [
        ("name", "is missing"),
        ("pool", "is missing"),
        ("mount_point", "is missing"),
    ]


def test_two_mounts_on_one_directory_are_refused_and_the_same_mount_twice_is_one():
    one = {"name": "a", "pool": "tank", "mount_point": "/data"}
    assert len(container(volumes=[one], zfs_volumes=[one]).mounts) == 1
    found = problem(volumes=[one], zfs_volumes=[{**one, "name": "b"}])
    assert found.path == "lxc_configs.910.zfs_volumes[0].mount_point"
    assert "/tank/a is mounted there already" in found.hint


def test_a_mount_of_the_hosts_own_directories_is_warned_of():
    (warning,) = container(
        mount_points=[{"host_path": "/etc/pve/", "container_path": "/x"}]
    ).warnings
    assert warning == "lxc_configs.910.mount_points[0]: hands the host's /etc/pve to the container"


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("none", ()), ("", ()), (None, ()), ("0", (0,)), (1, (1,)), ("0,1", (0, 1)), ("0, 1", (0, 1))],
)
def test_gpus_are_read(text, gpus):
    item = container(gpu_assignment=text)
    assert item.gpus == gpus
    assert [node for node in item.devices if node[-1].isdigit()] == [
        f"/dev/nvidia{gpu}" for gpu in gpus
    ]


@pytest.mark.parametrize("text", ["all", "0,", "-1", "0;1", "99", "0,0", True, 1.5, [0], "²", 400])
def test_wrong_gpus_are_refused(text):
    assert problem(gpu_assignment=text).path == "lxc_configs.910.gpu_assignment"


# --- everything else ----------------------------------------------------------------------


@pytest.mark.parametrize("features", [[], None, ["base_setup", "vllm"]])
def test_other_features_pass_silently(features):
    item = container(features=features)
    assert (item.docker, item.nvidia, item.warnings) == (False, False, ())


def test_docker_and_nvidia_mean_something():
    item = container(features=["nvidia", "docker"], apparmor_profile="lxc-docker-nested")
    assert (item.docker, item.nvidia) == (True, True)


def test_privileged_docker_is_a_warning_with_the_risk():
    (warning,) = container(
        features=["docker"], unprivileged=False, apparmor_profile="lxc-docker-nested"
    ).warnings
    assert "root inside is root on the host" in warning


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


def test_containers_that_wait_for_each_other_are_pointed_at():
    found = fleet(
        ct910={"dependencies": ["911"]},
        ct911={"dependencies": [912]},
        ct912={"dependencies": ["910"]},
        ct913={"dependencies": ["910"]},
    )
    (warning,) = found.warnings
    assert warning.startswith("lxc_configs: dependencies in a circle: ")
    assert {"910", "911", "912"} == set(warning.rpartition(": ")[2].split(" → "))
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
        "lxc_configs": {"910": {"cores": 2, "volumes": [
            {"name": "a", "pool": "b", "mount_point": "/c", "note": ""}]}},
    }  # fmt: skip
    assert parse_fleet(json.dumps(data).encode()).ignored == (
        "$schema",
        '["repo url"]',
        "lxc_configs.910.cores",
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


# --- anything at all ----------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["nesting=1", "lxc.mount.auto=sys:rw", "910", "/srv", "..", "-v", "lxc-a", "#list", "docker"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(fleet_schema()["$defs"]["ContainerEntry"]["properties"])
ENTRIES = st.dictionaries(
    st.sampled_from([*FIELDS, "nesting", "model_config", "__class__"]) | ANY_TEXT,
    ANY_JSON | st.lists(ANY_TEXT, max_size=4),
    max_size=5,
)
CTIDS = st.sampled_from(["910", "0910", "911", "99"]) | ANY_TEXT


def mistakes(data):
    try:
        parse_fleet(data)
    except FleetError as error:
        return error.problems or pytest.fail("an error without a problem")
    return ()


def check(data):
    """Parse anything: a fleet whose every warning has a path, or problems that all have one."""
    named = mistakes(data)
    for item in named:
        assert isinstance(item, Problem)
        assert item.path
        assert item.hint
        assert str(item).isprintable(), str(item)
    if named:
        return None
    found = parse_fleet(data, TEMPLATES)
    for item in found.containers.values():
        assert all(warning.startswith("lxc_configs") for warning in item.warnings)
        assert all(raw.line.isprintable() for raw in item.raw)
        assert all(len(mount.raw_value.split(" ")) == 6 for mount in item.mounts)
    return found


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"\xff\xfe{\x00}\x00")
@example(b'{"lxc_configs":{"910":{"name":"\\ud800"}}}')
def test_arbitrary_bytes_never_end_in_anything_but_a_fleet_or_its_errors(data):
    check(data)


@settings(deadline=None)
@given(ANY_JSON)
def test_arbitrary_json_never_ends_in_anything_but_a_fleet_or_its_errors(value):
    check(json.dumps(value).encode())


@settings(deadline=None)
@given(st.dictionaries(CTIDS, ENTRIES, max_size=4))
def test_arbitrary_containers_never_end_in_anything_but_a_fleet_or_its_errors(containers):
    data = {"lxc_configs": containers}
    if check(json.dumps(data).encode()) is not None:
        # what loads, the schema must not underline
        jsonschema.Draft202012Validator(fleet_schema()).validate(data)


@settings(deadline=None)
@given(st.lists(ANY_TEXT | st.text("lxc.=: \n-/[]#,;10anesti\t", max_size=20), max_size=6))
def test_arbitrary_option_strings_are_taken_or_named(options):
    for field in ("pct_options", "lxc_options", "apparmor_raw", "features", "dependencies"):
        data = {"lxc_configs": {"910": {field: options}}}
        found = mistakes(json.dumps(data).encode())
        assert all(item.path.startswith(f"lxc_configs.910.{field}[") for item in found)
        if not found:
            jsonschema.Draft202012Validator(fleet_schema()).validate(data)
