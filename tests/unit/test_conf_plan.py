"""How one container's conf changes."""

import json

import pytest
from plan_cases import said

from phoenix.apparmor.observed import HOOK
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.conf import plan_conf
from phoenix.plan.confinement import Confinement
from phoenix.plan.options import Options
from phoenix.plan.questions import asked_by_harden
from phoenix.pve.conf import PveConf
from phoenix.pve.managed import Managed
from phoenix.pve.nvidia import ObservedNvidia
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.pve.storage import ObservedStorage

CONF = "features: nesting=1\nunprivileged: 1\n"
PLAIN = Confinement("lxc-a")
GENERATED = Confinement("generated")
STACKED = Confinement("lxc-a", stacked=True)


def plan(conf=CONF, managed=None, storage=None, confinement=PLAIN, **entry):
    fleet = parse_fleet(json.dumps({"lxc_configs": {"910": entry}}).encode())
    observed = ObservedContainer(
        910, PveConf(conf), False, None, None, None, "pve1", managed=managed
    )
    return plan_conf(fleet.containers[910], confinement, observed, storage or ObservedStorage())


def again(result, **entry):
    """The next run, with what the last one left behind."""
    return plan(result.after.render(), result.managed.render(), **entry)


def test_a_feature_that_we_added_goes_when_the_file_no_longer_has_it():
    first = plan(pct_options=["keyctl=1"])
    assert first.after.main["features"] == "nesting=1,keyctl=1"
    assert said(first)[0] == "features: keyctl=1 (keeps nesting)"
    second = again(first)
    assert second.after.main["features"] == "nesting=1"
    assert said(second) == ("features: no keyctl any more (keeps nesting)",)
    assert second.managed == Managed()


def test_a_feature_of_the_operator_stays_when_the_file_no_longer_has_it():
    first = plan(pct_options=["nesting=1"])
    assert again(first).after.main["features"] == "nesting=1"


def test_what_we_added_stays_ours_over_runs_that_change_nothing():
    first = plan(pct_options=["keyctl=1"])
    second = again(first, pct_options=["keyctl=1"])
    assert (second.after, second.managed) == (first.after, first.managed)
    assert again(second).after.main["features"] == "nesting=1"


def test_a_raw_line_that_we_added_goes_with_the_file_and_another_of_its_key_stays():
    mine, theirs = "/srv/a srv/a none bind 0 0", "/srv/b srv/b none bind 0 0"
    first = plan(f"{CONF}lxc.mount.entry: {theirs}\n", lxc_options=[f"lxc.mount.entry={mine}"])
    assert first.after.main.raw("lxc.mount.entry") == (theirs, mine)
    assert first.managed.raw == (RawKey("lxc.mount.entry", mine),)
    second = again(first)
    assert second.after.main.raw("lxc.mount.entry") == (theirs,)
    assert f"no lxc.mount.entry: {mine} any more" in said(second)


def test_a_value_of_the_operator_that_the_file_changes_is_not_ours_to_remove():
    first = plan(f"{CONF}lxc.mount.auto: proc:rw\n", lxc_options=["lxc.mount.auto=sys:rw"])
    assert first.after.main.raw("lxc.mount.auto") == ("sys:rw",)
    assert again(first).after.main.raw("lxc.mount.auto") == ("sys:rw",)


def test_nesting_stands_beside_a_named_profile_only():
    asked = {"apparmor_manages_nesting": True}
    key = "lxc.apparmor.allow_nesting"
    assert plan(**asked).after.main.raw(key) == ("1",)
    assert plan(confinement=GENERATED, **asked).after.main.raw(key) == ()


VOLUME = {"volumes": [{"name": "data", "pool": "tank", "size_gb": 1, "mount_point": "/data"}]}
MOUNTED = "/tank/data data none bind,create=dir 0 0"


def test_a_volume_whose_directory_is_there_is_mounted_once():
    storage = ObservedStorage(("/tank/data",))
    first = plan(storage=storage, **VOLUME)
    assert first.after.main.raw("lxc.mount.entry") == (MOUNTED,)
    assert again(first, storage=storage, **VOLUME).after == first.after


def test_a_volume_is_mounted_from_where_its_dataset_really_is():
    storage = ObservedStorage(datasets={"tank/data": "/srv/my data"})
    (entry,) = plan(storage=storage, **VOLUME).after.main.raw("lxc.mount.entry")
    assert entry == "/srv/my\\040data data none bind,create=dir 0 0"


def test_a_volume_that_is_not_there_is_left_out_and_said():
    result = plan(**VOLUME)
    assert result.after.main.raw("lxc.mount.entry") == ()
    assert "volumes: /tank/data is not on this node: left out" in result.notes[0]
    assert "zfs create tank/data" in result.notes[0]


@pytest.mark.parametrize(
    "line",
    ["mp0: tank:subvol-910-disk-1,mp=/data,size=1G", "lxc.mount.entry: /old data none bind 0 0"],
)
def test_nothing_is_mounted_over_what_the_operator_mounted_there(line):
    storage = ObservedStorage(("/tank/data",))
    result = plan(f"{CONF}{line}\n", storage=storage, **VOLUME)
    assert MOUNTED not in result.after.main.raw("lxc.mount.entry")
    assert result.notes[0].startswith("/data is ")


def test_gpus_become_devices_on_the_next_free_number_as_far_as_they_are_there():
    storage = ObservedStorage(
        (
            "/dev/nvidia0",
            "/dev/nvidiactl",
        )
    )
    conf = f"dev0: /dev/ttyS0\n{CONF}"
    first = plan(conf, storage=storage, gpu_assignment="0")
    assert first.after.main["dev0"] == "/dev/ttyS0"
    assert first.after.main["dev1"] == "/dev/nvidia0"
    assert first.after.main["dev2"] == "/dev/nvidiactl"
    assert first.notes == (
        "gpu_assignment: not on this node: /dev/nvidia-uvm, /dev/nvidia-uvm-tools",
    )
    assert again(first, storage=storage).after.main["dev1"] is None


CAPS = ("/dev/nvidia-caps/nvidia-cap1", "/dev/nvidia-caps/nvidia-cap2")
DRI = {0: ("/dev/dri/card1", "/dev/dri/renderD128"), 1: ("/dev/dri/card0", "/dev/dri/renderD129")}
DRIVER = ("/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")


def devices(result):
    main = result.after.main
    return [main[f"dev{number}"] for number in range(20) if main[f"dev{number}"]]


def test_a_gpu_brings_the_capabilities_and_its_own_nodes_of_the_drm():
    storage = ObservedStorage(("/dev/nvidia0", *DRIVER), nvidia=ObservedNvidia(CAPS, DRI))
    first = plan(storage=storage, gpu_assignment="1")
    assert devices(first) == [*DRIVER, *CAPS, *DRI[1]]
    assert first.notes == ()
    assert devices(plan(storage=storage, gpu_assignment="1,0"))[-4:] == [*DRI[1], *DRI[0]]
    assert devices(plan(storage=storage, gpu_assignment="none")) == []
    assert again(first, storage=storage, gpu_assignment="1").after == first.after
    assert devices(again(first, storage=ObservedStorage(), gpu_assignment="none")) == []


def test_what_gpus_have_beside_is_asked_where_a_container_has_one():
    def asked(gpus):
        entry = {"lxc_configs": {"910": {"gpu_assignment": gpus}}}
        return asked_by_harden(parse_fleet(json.dumps(entry).encode()), Options())["storage"]

    assert asked("none") == {"paths": []}
    assert asked("1") == {"paths": sorted(DRIVER), "nvidia": True}


def test_a_gpu_that_is_not_there_brings_nothing_of_the_others():
    storage = ObservedStorage(("/dev/nvidia0", *DRIVER[1:]), nvidia=ObservedNvidia((), DRI))
    result = plan(storage=storage, gpu_assignment="1")
    assert devices(result) == [*DRIVER[1:]]
    assert result.notes[0].startswith("gpu_assignment: not on this node: /dev/nvidia1: no GPU for")


def test_nodes_of_the_drm_of_which_nothing_tells_whose_they_are_are_left_out():
    unclear = ObservedNvidia(unclear=("/dev/dri/card0", "/dev/dri/renderD128"))
    result = plan(storage=ObservedStorage(DRIVER, nvidia=unclear), gpu_assignment="1")
    assert devices(result) == [*DRIVER]
    assert "which of /dev/dri/card0, /dev/dri/renderD128 is of GPU 1: left out" in result.notes[0]


def test_nodes_that_a_folder_of_the_node_brings_get_no_device():
    entry = "lxc.mount.entry: /dev/dri dev/dri none bind,optional,create=dir 0 0\n"
    storage = ObservedStorage(DRIVER, nvidia=ObservedNvidia(CAPS, DRI))
    result = plan(f"{CONF}{entry}", storage=storage, gpu_assignment="1")
    assert devices(result) == [*DRIVER, *CAPS]
    assert "is left to lxc.mount.entry" in result.notes[0]


def test_on_a_node_without_a_gpu_that_is_said():
    result = plan(gpu_assignment="0")
    assert devices(result) == []
    assert result.notes == (
        "gpu_assignment: not on this node: /dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm, "
        "/dev/nvidia-uvm-tools: no GPU for this container, see whether nvidia-smi finds one on the "
        "node",
    )


def test_a_privileged_docker_container_is_a_note_with_the_risk():
    result = plan("features: nesting=1\n", features=["docker"], unprivileged=True)
    assert "the fleet file says unprivileged, but the container is privileged" in result.notes[0]
    assert "root in it is root of the node" in result.notes[1]


def test_the_stacked_form_brings_its_lines_and_takes_them_away_again():
    theirs = "/srv/b srv/b none bind 0 0"
    first = plan(f"{CONF}lxc.mount.entry: {theirs}\n", confinement=STACKED)
    main = first.after.main
    assert main.raw("lxc.apparmor.profile") == ("lxc-a-ns//&:lxc-910_<-var-lib-lxc>:unconfined",)
    assert main.raw("lxc.mount.entry") == (
        theirs,
        "/sys/kernel/security sys/kernel/security none bind,optional 0 0",
    )
    assert main.raw("lxc.hook.pre-start") == main.raw("lxc.hook.post-stop") == (HOOK,)
    assert said(first)[-1] == "profile: generated becomes lxc-a-ns (stacked)"
    same = again(first, confinement=STACKED)
    assert (same.after, said(same), same.managed) == (first.after, (), first.managed)
    plain = again(first)
    assert plain.after.main.raw("lxc.mount.entry") == (theirs,)
    assert plain.after.main.raw("lxc.apparmor.profile") == ("lxc-a",)
    assert HOOK not in plain.after.text
    assert plain.managed == Managed()


def test_the_lines_of_the_stacked_form_go_even_where_nobody_noted_that_they_are_ours():
    stacked = plan(confinement=STACKED).after.render()
    for confinement in (PLAIN, GENERATED):
        plain = plan(stacked, managed=None, confinement=confinement).after
        assert plain == plan(confinement=confinement).after


def test_a_stack_with_the_wrong_namespace_is_put_right_and_shown_in_full():
    wrong = "lxc-a-ns//&:lxc-952_<-var-lib-lxc>:unconfined"
    result = plan(f"{CONF}lxc.apparmor.profile: {wrong}\n", confinement=STACKED)
    assert said(result)[-1] == f"profile: {wrong} becomes {wrong.replace('952', '910')}"


def test_a_hook_of_the_operator_stays():
    conf = f"{CONF}lxc.hook.pre-start: /root/mine\n"
    first = plan(conf, confinement=STACKED)
    assert first.after.main.raw("lxc.hook.pre-start") == ("/root/mine", HOOK)
    assert again(first).after.main.raw("lxc.hook.pre-start") == ("/root/mine",)


def test_learning_is_said_not_to_be_confinement():
    result = plan(confinement=Confinement("lxc-a", mode="complain"))
    assert result.after.main.raw("lxc.apparmor.profile") == ("lxc-a-complain",)
    assert "learning: " in result.notes[0]
    assert "the container is not confined" in result.notes[0]


RULES = ["deny /srv/a r,", "deny /srv/b r,"]


def test_rules_for_the_generated_profile_join_those_of_the_operator_and_go_with_the_file():
    theirs = "deny mount fstype=debugfs,"
    first = plan(f"{CONF}lxc.apparmor.raw: {theirs}\n", confinement=GENERATED, apparmor_raw=RULES)
    assert first.after.main.raw("lxc.apparmor.raw") == (theirs, *RULES)
    assert said(first) == tuple(f"lxc.apparmor.raw: {rule}" for rule in RULES)
    assert again(first, confinement=GENERATED, apparmor_raw=RULES).after == first.after
    second = again(first, confinement=GENERATED, apparmor_raw=RULES[1:])
    assert second.after.main.raw("lxc.apparmor.raw") == (theirs, RULES[1])
    assert again(second, confinement=GENERATED).after.main.raw("lxc.apparmor.raw") == (theirs,)


def test_a_rule_that_the_operator_has_already_stays_the_operators():
    mine = plan(
        f"{CONF}lxc.apparmor.raw:{RULES[0]}\n", confinement=GENERATED, apparmor_raw=RULES[:1]
    )
    assert said(mine) == ()
    assert again(mine, confinement=GENERATED).after.main.raw("lxc.apparmor.raw") == (RULES[0],)


def test_beside_a_named_profile_the_rules_do_nothing_and_that_is_said():
    result = plan(apparmor_raw=RULES)
    assert result.after.main.raw("lxc.apparmor.raw") == ()
    assert result.notes == (
        "apparmor_raw has no effect under lxc-a: only Proxmox's generated profile reads it",
    )


def test_rules_of_ours_go_when_the_container_gets_a_named_profile():
    first = plan(confinement=GENERATED, apparmor_raw=RULES)
    assert again(first, apparmor_raw=RULES).after.main.raw("lxc.apparmor.raw") == ()


def test_a_note_about_us_that_nobody_can_read_means_that_nothing_is_ours():
    for text in ("", "{", "[]", '{"features": 1}', '{"features": {}, "raw": [1], "devices": []}'):
        assert Managed.parse(text) == Managed()
