"""What create refuses before anything is changed, each with what to do."""

from dataclasses import replace

import pytest
from create_cases import DOCKER, NEW, STOCK, TEMPLATE, create, facts, made, refused
from plan_cases import CONF, container, node

from phoenix.fleet.parse import parse_fleet
from phoenix.plan.create import share_out
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Force, Options
from phoenix.pve.observed import ObservedPct
from phoenix.pve.stock import Storage

NETWORK = {"bridge": "vmbr0", "ip": "10.0.0.97/24"}
VOLUME = {"name": "data", "pool": "nosuchpool", "mount_point": "/data"}


@pytest.mark.parametrize(
    ("entry", "says", "way"),
    [
        ({"template": TEMPLATE}, "storage_pool is missing", "add it"),
        ({**NEW, "storage_pool": "tank"}, "there is no storage tank", "pvesm status"),
        ({**NEW, "storage_pool": "local"}, "not for disks of containers", "vztmpl,iso,rootdir"),
        ({**NEW, "template": TEMPLATE.replace("local", "nas")}, "no storage nas", "pvesm status"),
        ({**NEW, "template": TEMPLATE.replace("local", "local-zfs")}, "not for templates", "pvesm"),
        ({**NEW, "template": "local:vztmpl/x.tar.zst"}, "is not on this node", "pveam"),
        ({**NEW, "template": "/srv/x.tar.zst"}, "is not on this node", "pveam"),
        ({**NEW, "clone_from_ctid": 902}, "it is made from one of them", "take one out"),
        ({"clone_from_ctid": 902}, "CT 902, which it is cloned from, is not there", "another"),
        ({**NEW, "apparmor_profile": "unconfined"}, "makes no container like that", "generated"),
        ({**DOCKER, "apparmor_profile": "unconfined"}, "makes no container", "lxc-docker-nested"),
        ({**NEW, "volumes": [VOLUME]}, "no ZFS pool nosuchpool", "zpool list"),
        (
            {**NEW, "volumes": [{**VOLUME, "pool": "tank", "name": "my data"}]},
            "tank/my data is no name", "letters",
        ),
        (
            {**NEW, "id_maps": ["u 0 200000 65536", "g 0 200000 65536"]},
            "its root is 200000:200000 on", "begin at 100000",
        ),
        (
            {**NEW, "id_maps": ["u 1 100001 5", "g 1 100001 5"]},
            "its root is nobody on", "begin at 100000",
        ),
        (
            {**NEW, "mount_points": [
                {"host_path": "/srv/a", "container_path": "/a", "owner_uid": 70000}]},
            "its id maps have none for owner 70000:70000", "name one that they map",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_with_what_to_do(entry, says, way):
    found = refused(ct970=entry)
    assert (found.code, found.ctid) == (Code.NOT_MADE, 970)
    assert says in found.message
    assert way in found.fix


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({**DOCKER, "pct_options": ["fuse=0"]}, Code.FUSE),
        ({**DOCKER, "template": TEMPLATE.replace("amd64", "riscv64")}, Code.ARCHITECTURE),
        ({**DOCKER, "unprivileged": False}, Code.PRIVILEGED),
        ({**NEW, "lxc_options": ["lxc.hook.start=/root/x"]}, Code.PERMIT_MISSING),
        ({**NEW, "id_maps": ["u 0 100000 9", "g 0 100000 9", "u 9 0 1"]}, Code.PERMIT_MISSING),
        ({**NEW, "apparmor_allows": ["guest-mounts"]}, Code.NEEDS_NAMED_PROFILE),
        (
            {**NEW, "mount_points": [{"host_path": "/etc/x", "container_path": "/x"}]},
            Code.PERMIT_MISSING,
        ),
    ],
)
def test_what_harden_would_refuse_is_refused_for_what_is_not_there_yet(entry, code):
    stock = replace(STOCK, templates=(entry["template"],))
    assert refused(seen=facts(stock=stock), ct970=entry).code == code


def test_one_that_is_not_there_yet_needs_no_restore_to_be_unprivileged():
    text = refused(ct970={**DOCKER, "unprivileged": False}).text
    assert 'take "unprivileged": false out; to have it' in text
    assert "pct restore" not in text


def test_without_a_proof_of_its_docker_it_is_made_by_a_word():
    template = TEMPLATE.replace("amd64", "riscv64")
    seen = facts(stock=replace(STOCK, templates=(template,)))
    options = Options(force=(Force.NO_PROBE,))
    its = made(seen=seen, options=options, ct970={**DOCKER, "template": template})
    assert its.change.architecture == "riscv64"


def test_a_storage_that_this_node_may_not_use_is_refused():
    storages = {**STOCK.storages, "local-zfs": Storage("zfspool", usable=False)}
    found = refused(seen=facts(stock=replace(STOCK, storages=storages)), ct970=NEW)
    assert found.message == "storage_pool: storage local-zfs is disabled or not for this node"


DISKS = replace(STOCK, storages={**STOCK.storages, "disks": Storage("dir", ("rootdir",))})
ON_DISKS = {**NEW, "storage_pool": "disks"}


@pytest.mark.parametrize("entries", [
    {"ct970": {**ON_DISKS, "template_snapshot_name": "ready"}},
    {"ct970": {"clone_from_ctid": 902, "template_snapshot_name": "ready"}, "ct902": ON_DISKS},
])  # fmt: skip
def test_a_snapshot_on_a_storage_that_has_none_is_refused(entries):
    found = refused(seen=facts(stock=DISKS), **entries)
    text = "template_snapshot_name: storage disks (dir), where its disk is, has no snapshots"
    assert (found.ctid, found.message) == (970, text)
    assert found.fix == "take it out, or name another storage_pool"


def test_a_linked_clone_on_a_storage_that_has_none_is_refused():
    conf = "rootfs: disks:902/base-902-disk-0.raw,size=8G\ntemplate: 1\nunprivileged: 1\n"
    seen = facts(container(902, conf, label=None), stock=DISKS)
    found = refused(seen=seen, ct970={"clone_from_ctid": 902})
    assert found.message == (
        "CT 902, which it is cloned from, is a template on storage disks (dir), "
        "which has no linked clones"
    )
    assert found.fix == "add storage_pool: then it is a copy"
    whole = made(seen=seen, ct970={"clone_from_ctid": 902, "storage_pool": "disks"})
    assert "--full" in whole.pct[0]


def test_the_id_of_a_virtual_machine_is_taken():
    stock = replace(STOCK, guests={970: "pve2"})
    found = refused(seen=facts(stock=stock), ct970=NEW)
    assert found.code == Code.TAKEN
    assert found.message == "a virtual machine on pve2 has this id"


def test_one_that_is_on_a_node_out_of_reach_is_refused_for_who_names_it():
    pct = ObservedPct("pve1", elsewhere={970: "pve2"})
    seen = replace(facts(), containers=pct)
    found = refused(seen=seen, options=Options(only=(970,)), ct970=NEW)
    assert (found.code, found.message) == (
        Code.TAKEN, "is on pve2, which is not in this inventory",
    )  # fmt: skip
    asked = {"options": Options(only=(970,)), "inventory": {"pve1": (), "pve2": (970,)}}
    assert create(seen=seen, ct970=NEW, **asked).problems == ()
    assert create(seen=seen, ct970=NEW).empty


def test_an_entry_without_a_source_is_refused_for_who_names_it():
    found = refused(options=Options(only=(970,)), ct970={"features": ["docker"]})
    assert found.code == Code.NO_SOURCE
    assert found.fix == "add one of them, and storage_pool"


@pytest.mark.parametrize(
    ("stock", "elsewhere", "says"),
    [
        ({902: "pve2"}, {}, "is a virtual machine"),
        ({}, {902: "pve2"}, "is on pve2"),
        ({}, {}, "is not there, and not in the fleet file"),
    ],
)
def test_a_source_that_is_no_container_of_this_node_is_refused(stock, elsewhere, says):
    seen = replace(
        facts(stock=replace(STOCK, guests=stock)),
        containers=ObservedPct("pve1", elsewhere=elsewhere),
    )
    assert refused(seen=seen, ct970={"clone_from_ctid": 902}).message.endswith(says)


def test_a_source_or_a_dependency_that_is_not_selected_is_named_with_the_way():
    only = Options(only=(970,))
    found = refused(options=only, ct902=NEW, ct970={"clone_from_ctid": 902})
    assert found.fix == "make it as well: --data only=902,970"
    found = refused(options=only, ct953=NEW, ct970={**NEW, "dependencies": [953]})
    assert found.message.startswith("dependencies: CT 953, which has to run before it, is not")
    assert found.fix == "make it as well: --data only=953,970"


def test_a_dependency_that_another_node_has_or_makes_is_there():
    entries = {"ct953": NEW, "ct970": {**NEW, "dependencies": [953]}}
    its = create(here=(970,), inventory={"pve1": (970,), "pve2": (953,)}, **entries)
    assert its.problems == ()
    assert [one.ctid for one in its.creations] == [970]


def test_a_circle_of_clones_and_dependencies_is_refused():
    plan = create(ct970={**NEW, "dependencies": [971]}, ct971={"clone_from_ctid": 970})
    assert plan.problems == (
        "pve1: CT 970: they wait for each other (970 → 971 → 970): take one out of dependencies "
        "or clone_from_ctid",
    )
    assert plan.creations == ()


@pytest.mark.parametrize(
    "other",
    [
        {**NEW, "network_config": NETWORK},
        {"network_config": {**NETWORK, "ip": "10.0.0.97/16"}},
    ],
)
def test_two_entries_with_one_ip_are_refused(other):
    plan = create(ct970={**NEW, "network_config": NETWORK}, ct971=other)
    assert "CT 970: network_config: 10.0.0.97 is that of CT 971" in plan.problems[0]


def test_an_address_of_a_card_that_a_container_of_the_node_has_is_refused():
    conf = CONF.replace("rootfs", "net0: name=eth0,hwaddr=bc:24:11:00:09:70,ip=dhcp\nrootfs", 1)
    entry = {**NEW, "network_config": NETWORK, "mac_address": "BC:24:11:00:09:70"}
    found = refused(container(910, conf), ct970=entry)
    assert found.message == "mac_address: BC:24:11:00:09:70 is that of CT 910"


def test_dhcp_is_nobodys_address():
    shared = {**NEW, "network_config": {"bridge": "vmbr0", "ip": "dhcp", "ip6": "auto"}}
    assert create(ct970=shared, ct971=shared).problems == ()


def test_what_stands_against_one_stops_the_run_and_the_others_are_shown():
    plan = create(ct970=NEW, ct971={**NEW, "storage_pool": "tank"})
    assert [one.ctid for one in plan.creations] == [970]
    assert plan.problems


def test_a_conf_that_is_broken_is_no_traceback():
    broken = CONF.replace("rootfs", "net0: name\nfeatures: x\nrootfs", 1)
    assert create(container(910, broken), ct970=NEW).problems == ()
    found = refused(container(902, broken, None), ct902={}, ct970={"clone_from_ctid": 902})
    assert found.severity == Severity.ERROR


def test_apparmor_that_cannot_be_used_stands_against_it():
    host = facts().apparmor.__class__(enabled=False)
    plan = create(seen=facts(host=host), ct970=NEW)
    assert Code.APPARMOR_UNUSABLE in [one.code for one in plan.findings]


# --- which node -----------------------------------------------------------------------------------


def shared(*nodes, options=None, **entries):
    text = str({"lxc_configs": {k[2:]: v for k, v in entries.items()}}).replace("'", '"')
    return share_out(parse_fleet(text.encode()), options or Options(), nodes)


PVE1, PVE2 = ObservedPct("pve1"), replace(node(container(902)), node="pve2")


def test_the_only_node_makes_all_of_them():
    assert shared(PVE1, ct970=NEW) == ({"pve1": (970,)}, [])


def test_a_clone_is_made_where_its_source_is():
    entries = {"ct970": {"clone_from_ctid": 971}, "ct971": {"clone_from_ctid": 902}}
    assert shared(PVE1, PVE2, **entries) == ({"pve1": (), "pve2": (970, 971)}, [])


def test_of_several_nodes_the_operator_says_which():
    shares, problems = shared(PVE1, PVE2, ct970=NEW, ct902={}, ct971={})
    # one that cannot be made is anybody's to tell of
    assert shares == {"pve1": (971,), "pve2": ()}
    assert problems == ["CT 970: 2 nodes could make it: say which with pyinfra's --limit NODE"]


def test_what_is_anywhere_in_the_cluster_is_made_nowhere():
    away = ObservedPct("pve1", elsewhere={970: "pve3"})
    assert shared(away, ct970=NEW) == ({"pve1": ()}, [])


def test_facts_without_that_section_are_of_a_node_that_nobody_asked():
    assert NodeFacts().stock.storages == {}
