"""The schema of fleet files, and what arbitrary input may end in."""

import json

import jsonschema
import pytest
from fleet_cases import ROOT, TEMPLATES, container, real
from hypothesis import example, given
from hypothesis import strategies as st

from phoenix.fleet.parse import FleetError, Problem, parse_fleet
from phoenix.fleet.schema import fleet_schema, schema_text

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


# --- anything at all ----------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["nesting=1", "lxc.mount.auto=sys:rw", "910", "/srv", "..", "-v", "lxc-a", "#list", "docker"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
SCHEMA = jsonschema.Draft202012Validator(fleet_schema())
FIELDS = sorted(SCHEMA.schema["$defs"]["ContainerEntry"]["properties"])
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


@given(st.binary(max_size=200))
@example(b"\xff\xfe{\x00}\x00")
@example(b'{"lxc_configs":{"910":{"name":"\\ud800"}}}')
def test_arbitrary_bytes_never_end_in_anything_but_a_fleet_or_its_errors(data):
    check(data)


@given(ANY_JSON)
def test_arbitrary_json_never_ends_in_anything_but_a_fleet_or_its_errors(value):
    check(json.dumps(value).encode())


@given(st.dictionaries(CTIDS, ENTRIES, max_size=4))
def test_arbitrary_containers_never_end_in_anything_but_a_fleet_or_its_errors(containers):
    data = {"lxc_configs": containers}
    if check(json.dumps(data).encode()) is not None:
        # what loads, the schema must not underline
        SCHEMA.validate(data)


@given(st.lists(ANY_TEXT | st.text("lxc.=: \n-/[]#,;10anesti\t", max_size=20), max_size=6))
def test_arbitrary_option_strings_are_taken_or_named(options):
    for field in ("pct_options", "lxc_options", "apparmor_raw", "features", "dependencies"):
        data = {"lxc_configs": {"910": {field: options}}}
        found = mistakes(json.dumps(data).encode())
        assert all(item.path.startswith(f"lxc_configs.910.{field}[") for item in found)
        if not found:
            SCHEMA.validate(data)
