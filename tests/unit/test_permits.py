"""What of a fleet file is done only at the operator's word, as the plan of a node has it."""

import pytest
from fleet_cases import container as entry
from fleet_cases import fleet

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.plan.facts import NodeFacts
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options
from phoenix.plan.profiles import HOOK_TEMPLATE
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.storage import ObservedStorage

CONF = "hostname: web\nunprivileged: 1\nlxc.hook.stop: /root/theirs.sh\n"
HOOK = "lxc.hook.pre-start: /root/x.sh"
MOUNT = {"host_path": "/etc/cron.d", "container_path": "/jobs"}


def plan(options=None, conf=CONF, datasets=None, **entries):
    fleet_file = fleet(**entries)
    pct = {
        ctid: ObservedContainer(ctid, PveConf(conf), False, None, None, None, "pve1")
        for ctid in fleet_file.containers
    }
    node = ObservedPct("pve1", pct)
    storage = ObservedStorage(("/etc/cron.d",), datasets or {})
    apparmor = ObservedAppArmor(enabled=True, parser=(4, 1, 0))
    return plan_node(
        fleet=fleet_file,
        options=options or Options(),
        facts=NodeFacts(containers=node, apparmor=apparmor, storage=storage),
        templates={HOOK_TEMPLATE: ""},
    )


def test_every_line_of_every_container_is_a_problem_that_names_the_word():
    found = plan(
        ct910={"lxc_options": [HOOK, "lxc.log.file: /etc/x"]}, ct952={"mount_points": [MOUNT]}
    )
    assert found.problems == (
        f"pve1: CT 910 web: phoenix_lxc_configs.json, lxc_options: {HOOK} runs a program as root "
        "on the host: take it out there, or say that it is meant: --data allow=raw-hooks",
        "pve1: CT 910 web: phoenix_lxc_configs.json, lxc_options: lxc.log.file: /etc/x writes a "
        "log to a file of the host, as root: take it out there, or say that it is meant: "
        "--data allow=raw-hooks",
        "pve1: CT 952 web: phoenix_lxc_configs.json, mount_points: /etc/cron.d on /jobs hands the "
        "host's /etc/cron.d to the container: what the host runs and trusts as root: take it out "
        "there, or say that it is meant: --data allow=host-paths",
    )


def test_what_is_allowed_is_done_and_shown_line_by_line():
    options = Options(allow=("raw-hooks", "host-paths"))
    found = plan(
        options,
        ct910={"lxc_options": [HOOK]},
        ct952={"lxc_options": [HOOK], "mount_points": [MOUNT]},
    )
    assert not found.problems
    shown = [note for note in found.notes if ": allowed (" in note]
    hook = f"allowed (raw-hooks): lxc_options: {HOOK} runs a program as root on the host"
    assert shown[:2] == [f"CT 910 web: {hook}", f"CT 952 web: {hook}"]
    assert shown[2].startswith(
        "CT 952 web: allowed (host-paths): mount_points: /etc/cron.d on /jobs"
    )
    assert all(HOOK in change.after.text for change in found.containers)


def test_one_word_does_not_stand_for_the_other():
    found = plan(Options(allow=("raw-hooks",)), ct910={"mount_points": [MOUNT]})
    assert len(found.problems) == 1
    assert found.problems[0].endswith("--data allow=host-paths")


def test_force_is_no_such_word():
    assert plan(Options(force=True), ct910={"lxc_options": [HOOK]}).problems


def test_lines_that_a_conf_has_are_not_judged():
    found = plan(ct910={"lxc_options": ["lxc.mount.auto: sys:ro"]})
    assert not found.problems
    assert "lxc.hook.stop: /root/theirs.sh" in found.containers[0].after.text


def test_our_own_lines_need_no_word():
    stacked = {"apparmor_profile": "lxc-docker-nested", "apparmor_stacking": True}
    problems = plan(ct910=stacked).problems
    assert not [problem for problem in problems if "allow=" in problem]


@pytest.mark.parametrize("mountpoint", ["/", "/var/lib", "/root"])
def test_a_dataset_is_judged_by_where_zfs_mounts_it_on_that_node(mountpoint):
    volume = {"pool": "rpool", "name": "ROOT", "mount_point": "/data"}
    assert entry(volumes=[volume]).warnings == ()
    (problem,) = plan(datasets={"rpool/ROOT": mountpoint}, ct910={"volumes": [volume]}).problems
    assert f"volumes: {mountpoint} on /data hands the host's {mountpoint} " in problem
    assert not plan(datasets={"rpool/ROOT": "/srv/a"}, ct910={"volumes": [volume]}).problems


@pytest.mark.parametrize("key", ["volumes", "zfs_volumes"])
def test_a_volume_whose_name_leads_into_the_nodes_own_folders_is_warned_of(key):
    (warning,) = entry(**{key: [{"pool": "etc", "name": "pve", "mount_point": "/x"}]}).warnings
    assert warning.startswith(f"lxc_configs.910.{key}[0]: hands the host's /etc/pve")


@pytest.mark.parametrize(
    ("line", "word"), [(HOOK, "raw-hooks"), ("lxc.mount.entry: //etc x none bind", "host-paths")]
)
def test_a_check_of_the_file_warns_of_it_and_says_the_word(line, word):
    (warning,) = entry(lxc_options=[line]).warnings
    assert warning.startswith("lxc_configs.910.lxc_options[0]: ")
    assert warning.endswith(f": needs --data allow={word}")


def test_in_a_privileged_container_more_needs_it():
    every = {"lxc_options": ["lxc.cgroup2.devices.allow: a"]}
    assert not plan(ct910=every).problems
    (problem,) = plan(conf="hostname: web\n", ct910=every).problems
    assert "allow=raw-hooks" in problem


def test_a_mount_of_all_disks_of_containers_needs_the_operators_word_on_that_node():
    disks = {"rpool/data/subvol-952-disk-0": "/rpool/data/subvol-952-disk-0"}
    wanted = (
        {"lxc_options": ["lxc.mount.entry: /rpool/data mnt none rbind"]},
        {"mount_points": [{"host_path": "/rpool/data", "container_path": "/disks"}]},
    )
    for one in wanted:
        permits = [text for text in plan(ct910=one).problems if "allow=" in text]
        assert not permits
        permits = [text for text in plan(datasets=disks, ct910=one).problems if "allow=" in text]
        assert len(permits) == 1
        assert permits[0].endswith("--data allow=host-paths")


CHECK = {"health_check": {"command": "curl -fs http://localhost"}}


def test_a_command_of_a_guest_that_is_root_of_nothing_needs_no_word():
    assert not plan(ct910=CHECK).problems
    assert entry(**CHECK).warnings == ()


def test_a_command_of_a_privileged_guest_does():
    (problem,) = plan(conf="hostname: web\n", ct910=CHECK).problems
    assert "health_check: curl -fs http://localhost runs in a privileged container" in problem
    assert "--data allow=raw-hooks" in problem
    allowed = Options(allow=("raw-hooks",))
    assert not plan(allowed, conf="hostname: web\n", ct910=CHECK).problems
    url = {"health_check": {"url": "http://localhost"}}
    assert not plan(conf="hostname: web\n", ct910=url).problems
    (warning,) = entry(unprivileged=False, **CHECK).warnings
    assert warning.endswith("as root of the node: needs --data allow=raw-hooks")
