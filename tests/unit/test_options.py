"""What `--data` gives."""

from datetime import datetime

import pytest

from phoenix.plan.options import KEYS, Force, Options, OptionsError
from phoenix.plan.options import parse_options as parse
from phoenix.pve.backups import RequiredBackup

#: What `force=true` is.
NAMED = tuple(one for one in Force if one is not Force.CREATED)


def parse_options(data):
    """By the recipe that takes them."""
    known = (name for name, keys in KEYS.items() if {*data} & {*keys})
    return parse(data, next(known, "harden"))


def test_nothing_given_is_the_labs_own_fleet_and_every_container():
    options = parse_options({})
    assert (options.fleet, options.only) == ("phoenix_lxc_configs.json", ())
    assert (options.profile, options.restart, options.force) == (None, "auto", ())
    assert (options.stacking, options.mode) == (None, None)


@pytest.mark.parametrize("value", [910, "910", [910], "910,910"])
def test_one_ctid_is_read_however_pyinfra_hands_it_over(value):
    assert parse_options({"only": value}).only == (910,)


def test_several_ctids_keep_their_order():
    assert parse_options({"only": "953, 910"}).only == (953, 910)


@pytest.mark.parametrize("value", ["raw-hooks,host-paths", ["raw-hooks", "host-paths"]])
def test_what_is_allowed_is_words_of_a_closed_set(value):
    assert parse_options({"allow": value}).allow == ("raw-hooks", "host-paths")
    assert parse_options({}).allow == ()


def test_what_its_owner_goes_without_is_names_of_containers_and_units():
    assert parse_options({"accept": "db,nginx.service"}).accept == ("db", "nginx.service")
    assert parse_options({"accept": r"srv-my\x2ddata.mount"}).accept == (r"srv-my\x2ddata.mount",)
    assert parse_options({}).accept == ()
    assert parse_options({"settle": 60}).settle == parse_options({"settle": "60"}).settle == 60


def test_hours_arrive_as_a_number_or_a_text():
    assert parse_options({"require_backup": 24}) == parse_options({"require_backup": "24"})
    assert parse_options({"require_backup": 24}).require_backup == RequiredBackup(24)
    assert parse_options({}).require_backup is None


@pytest.mark.parametrize("value", ["24,verified", "verified, 24", [24, "verified"]])
def test_a_backup_may_have_to_be_verified_as_well(value):
    assert parse_options({"require_backup": value}).require_backup == RequiredBackup(24, True)
    alone = parse_options({"require_backup": "verified"}).require_backup
    assert alone == RequiredBackup(None, True)


def test_keys_of_pyinfras_own_command_line_are_not_ours_to_judge():
    assert parse_options({"ssh_user": "root", "ssh_key": "id"}) == Options()


@pytest.mark.parametrize(
    ("value", "since"),
    [
        ("45m", -2700),
        ("2h", -7200),
        ("3d", -259200),
        ("1w", -604800),
        ("2026-11-22T00:27:42Z", 1795307262),
        ("2026-11-22 01:27+01:00", 1795307220),
    ],
)
def test_a_time_is_seconds_since_the_epoch_or_before_now(value, since):
    assert parse_options({"since": value}).since == since


def test_a_time_without_a_zone_is_the_operators_own():
    for value in ("2026-11-22", "2026-11-22T14:30"):
        local = datetime.fromisoformat(value).timestamp()
        assert parse_options({"since": value}).since == local


@pytest.mark.parametrize(
    "value", [7200, "2", "0h", "2 h", "-2h", "2y", "99999999w", "yesterday", "", True, ["2h"]]
)
def test_a_time_is_not_guessed(value):
    with pytest.raises(OptionsError, match="write 45m, 2h, 3d or 1w, or a time like"):
        parse_options({"since": value})


@pytest.mark.parametrize("value", ["2026-13-01", "2026-11-22T25:00", "20261122", "1970-01-01"])
def test_a_date_that_is_none_is_refused(value):
    with pytest.raises(OptionsError, match="write 45m"):
        parse_options({"since": value})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ony": 910}, "--data ony: unknown key; harden takes fleet, profiles, only"),
        ({"only": "91x"}, "--data only=91x: write CTIDs"),
        ({"only": 99}, "--data only=99: write CTIDs"),
        ({"only": True}, "--data only=True: write CTIDs"),
        ({"only": ""}, "--data only=: write CTIDs"),
        ({"allow": "all"}, "--data allow=all: write raw-hooks or host-paths, both with a comma"),
        ({"accept": "a b"}, "--data accept=a b: write names of containers or units with commas"),
        ({"accept": "db,"}, "--data accept=db,: write names of containers or units with commas"),
        ({"accept": True}, "--data accept=True: write names of containers or units"),
        ({"settle": "1m"}, "--data settle=1m: write a number of seconds below 1000, like 60"),
        ({"settle": 1000}, "--data settle=1000: write a number of seconds below 1000"),
        ({"settle": True}, "--data settle=True: write a number of seconds below 1000"),
        ({"allow": "raw-hooks,"}, "--data allow=raw-hooks,: write raw-hooks or host-paths"),
        ({"allow": True}, "--data allow=True: write raw-hooks or host-paths"),
        ({"force": "no"}, "--data force=no: write what to force, with commas between: docker-data"),
        ({"strict": 1}, "--data strict=1: write true or false"),
        ({"require_backup": 0}, "--data require_backup=0: write a number of hours"),
        ({"require_backup": True}, "--data require_backup=True: write a number of hours"),
        ({"require_backup": "24,12"}, "--data require_backup=24,12: write a number of hours"),
        ({"require_backup": "24,checked"}, "--data require_backup=24,checked: write a number of"),
        ({"require_backup": ""}, "--data require_backup=: write a number of hours, like 24, or v"),
        ({"require_backup": "verified,verified"}, "--data require_backup=verified,verified: write"),
        ({"require_backup": "2d"}, "--data require_backup=2d: write a number of hours"),
        ({"watch": "on"}, "--data watch=on: write true or false"),
        ({"snapshot": 1}, "--data snapshot=1: write true or false"),
        ({"scope": "some"}, "--data scope=some: Input should be 'all' or 'docker'"),
        ({"unmanaged": True}, "--data unmanaged=True: Input should be 'ignore', 'show' or 'fail'"),
        ({"restart": "maybe"}, "--data restart=maybe: Input should be 'auto' or 'never'"),
        ({"profile": "lxc_docker_nested"}, "--data profile=lxc_docker_nested: write a profile's"),
        ({"profile": "unconfined"}, "--data profile=unconfined: write a profile's"),
        ({"stacking": "yes"}, "--data stacking=yes: write true or false"),
        ({"mode": "learn"}, "--data mode=learn: Input should be 'enforce' or 'complain'"),
        ({"profile": "--help"}, "--data profile=--help: write a profile's"),
        ({"fleet": True}, "--data fleet=True: write a path"),
        ({"backup": True}, "--data backup=True: write a path"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_says_what_to_write(data, message):
    with pytest.raises(OptionsError) as error:
        parse_options(data)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_all_mistakes_come_at_once():
    with pytest.raises(OptionsError) as error:
        parse_options({"ony": 1, "force": "no", "restart": 1})
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, NAMED),
        (False, ()),
        ("pending", (Force.PENDING,)),
        ("docker-data,engine", (Force.DOCKER_DATA, Force.ENGINE)),
        (["pending", "pending"], (Force.PENDING,)),
    ],
)
def test_what_is_forced_is_said_word_by_word_or_is_all_of_it(value, words):
    assert parse_options({"force": value}).force == words


@pytest.mark.parametrize(
    ("recipe", "key", "value", "owners"),
    [
        ("harden", "strict", True, "audit"),
        ("host_prep", "report", "out", "harden and audit and rollback and doctor"),
        ("harden", "since", "2h", "audit and denials"),
        ("harden", "run", "r20261122T013000Z-beef", "rollback"),
        ("host_prep", "snapshot", True, "harden"),
        ("audit", "watch", True, "harden and host_prep"),
        ("audit", "list", True, "rollback"),
        ("rollback", "fleet", "a", "harden and host_prep and audit and create and doctor"),
    ],
)
def test_a_key_of_another_recipe_is_refused_with_its_name(recipe, key, value, owners):
    with pytest.raises(OptionsError) as error:
        parse({key: value}, recipe)
    message = f"--data {key}: belongs to {owners}; {recipe} takes {KEYS[recipe][0]}, "
    assert str(error.value).startswith(message)


def test_each_key_is_taken_by_a_recipe():
    assert {key for keys in KEYS.values() for key in keys} == {*Options.model_fields}


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        *(("harden", "conflicts"), ("rollback", "docker-data"), ("audit", "conflicts")),
        ("harden", "created"),
    ],
)
def test_a_word_of_force_that_means_nothing_to_the_recipe_is_refused(recipe, word):
    with pytest.raises(OptionsError, match=f"force={word}: means nothing to {recipe}, "):
        parse({"force": f"pending,{word}"}, recipe)
    assert parse({"force": True}, recipe).force == NAMED
