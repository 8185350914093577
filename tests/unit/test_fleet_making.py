"""The keys of the fleet file that only the making of a container needs."""

import jsonschema
import pytest
from fleet_cases import container, fleet, problem, real

from phoenix.fleet.model import Making, Network
from phoenix.fleet.new_values import hostname_of
from phoenix.fleet.parse import parse_fleet
from phoenix.fleet.schema import fleet_schema
from phoenix.pve.raw_keys import RawKey

NETWORK = {"bridge": "vmbr0", "ip": "10.0.0.97/24", "gw": "10.0.0.1"}
NEW = {
    "template": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
    "memory_mb": 2048,
    "swap_mb": 512,
    "cores": 2,
    "storage_pool": "local-zfs",
    "storage_size_gb": 8,
    "network_config": NETWORK,
    "mac_address": "bc:24:11:00:09:70",
    "nameservers": ["10.0.0.1", "2001:db8::1"],
    "searchdomain": "home.arpa",
    "start_at_boot": True,
    "boot_delay": 5,
    "hostname": "web",
    "tags": "docker;home",
}


def test_every_key_has_its_plain_form():
    assert container(**NEW).making == Making(
        template=NEW["template"],
        hostname="web",
        memory=2048,
        swap=512,
        cores=2,
        storage="local-zfs",
        size=8,
        network=Network("eth0", "vmbr0", "10.0.0.97/24", "10.0.0.1"),
        mac="BC:24:11:00:09:70",
        nameservers=("10.0.0.1", "2001:db8::1"),
        searchdomain="home.arpa",
        start_at_boot=True,
        boot_delay=5,
        tags=("docker", "home"),
    )
    jsonschema.validate({"lxc_configs": {"910": NEW}}, fleet_schema())


def test_an_entry_that_says_nothing_of_it_has_nothing_of_it():
    assert container().making == Making()
    assert container(**dict.fromkeys(NEW)).making == Making()


def test_a_clone_says_of_whom_and_a_source_by_which_snapshot():
    both = fleet(
        ct902={"template_snapshot_name": "pre-configured"}, ct910={"clone_from_ctid": "902"}
    )
    assert both.containers[902].making.snapshot == "pre-configured"
    assert both.containers[910].making.clone_from == 902


@pytest.mark.parametrize("name", ["fleet-15.json", "fleet-22.json"])
def test_the_keys_of_real_fleets_are_read(name):
    its = parse_fleet(real(name)).containers
    base = its[900].making
    assert base.template.endswith("ubuntu-24.04-standard_24.04-2_amd64.tar.zst")
    assert base.snapshot == "pre-configured"
    assert base.network.bridge == "vmbr0"
    assert all(one.making.storage and one.making.size and one.making.mac for one in its.values())
    assert its[953].making.swap == 512
    assert all(one.making.clone_from for ctid, one in its.items() if ctid != 900)


def test_a_network_may_say_more_than_the_real_ones_do():
    more = {"name": "lan", "ip": "dhcp", "ip6": "2001:db8::5/64", "gw6": "2001:db8::1"}
    more |= {"tag": 30, "mtu": 9000, "firewall": True}
    network = container(network_config={"bridge": "vmbr0", **more}).making.network
    assert network == Network(bridge="vmbr0", **{"gw": None, **more})


def test_size_gb_is_the_quota_of_a_volume():
    volume = {"name": "data", "pool": "tank", "mount_point": "/data"}
    quotas = [
        container(zfs_volumes=[{**volume, **size}]).mounts[0].quota
        for size in ({}, {"size_gb": 10}, {"size_gb": 0.5})
    ]
    assert quotas == [None, 10 * 1024**3, 512 * 1024**2]


def test_id_maps_are_raw_lines_each_once():
    maps = ["u 0 100000 65536", "lxc.idmap: g 0  100000 65536", "u 0 100000 65536"]
    its = container(id_maps=maps, lxc_options=["lxc.idmap=u 0 100000 65536"])
    assert its.raw == (
        RawKey("lxc.idmap", "u 0 100000 65536"),
        RawKey("lxc.idmap", "g 0 100000 65536"),
    )


@pytest.mark.parametrize(
    ("maps", "says"),
    [
        (["u 0 100000 65536", "u 5 200000 10"], "5 is in u 0 100000 65536 already"),
        (["g 0 100000 65536", "g 65536 100000 1"], "100000 is in g 0 100000 65536 already"),
        (["u 0 100000 4294967295"], "an id is a number below 4294967295"),
    ],
)
def test_id_maps_that_the_kernel_refuses_are_refused(maps, says):
    found = problem(id_maps=maps)
    assert found.path == "lxc_configs.910.id_maps"
    assert says in found.hint
    assert problem(lxc_options=[f"lxc.idmap={one}" for one in maps]).hint == found.hint


def test_what_is_mapped_beside_other_ids_and_for_users_and_groups_is_fine():
    maps = ["u 0 100000 1000", "g 0 100000 1000", "u 1000 1000 1", "u 1001 101001 64535"]
    assert len(container(id_maps=maps).raw) == 4


def test_an_id_map_to_the_nodes_root_needs_the_operators_word():
    (warning,) = container(id_maps=["u 1 0 1"]).warnings
    assert warning.startswith("lxc_configs.910.id_maps[0]: ")
    assert warning.endswith("needs --data allow=raw-hooks")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("template", "debian-13.tar.zst"), ("template", "local:iso/x.tar.zst"),
        ("template", "/srv/x.iso"), ("template", "--help"), ("template", "local:vztmpl/../x.tar"),
        ("template", "local:vztmpl/x,y.tar.zst"), ("template", 1),
        ("template_snapshot_name", "current"), ("template_snapshot_name", "-x"),
        ("template_snapshot_name", "a b"), ("memory_mb", "2048"), ("memory_mb", 0),
        ("swap_mb", -1), ("cores", 0), ("cores", True), ("storage_pool", "tank/data"),
        ("storage_pool", "a,b"), ("storage_pool", "-x"), ("storage_size_gb", "8"),
        ("storage_size_gb", 0), ("storage_size_gb", 1e-9),
        ("mac_address", "01:24:11:00:09:70"), ("mac_address", "bc24"),
        ("mac_address", "bc:24:11:00:09:70,ip=dhcp"), ("nameservers", ["dns.example.org"]),
        ("nameservers", 8), ("nameservers", ["fe80::1%eth0"]), ("searchdomain", "a=b"),
        ("hostname", "my_web"), ("hostname", "-x"), ("hostname", "a..b"), ("tags", ["a=b"]),
        ("tags", ["-a"]), ("tags", 3), ("id_maps", ["u 0 100000"]), ("id_maps", ["x 0 1 1"]),
        ("id_maps", [3]), ("start_at_boot", 1), ("boot_delay", -1), ("network_config", []),
        ("clone_from_ctid", 910),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_what_to_write(key, value):
    found = problem(**{key: value})
    assert found.path.startswith(f"lxc_configs.910.{key}")
    assert found.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ip", "10.0.0.97"), ("ip", "10.0.0.97/7"), ("ip", "10.0.0.256/24"), ("ip", "auto"),
        ("ip", "10.0.0.97/24,gw=10.0.0.1"), ("gw", "10.0.0.1/24"), ("gw", "router"),
        ("ip6", "10.0.0.97/24"), ("gw6", "fe80::1%eth0"), ("bridge", "vmbr0,firewall=0"),
        ("bridge", "-x"), ("bridge", None), ("name", "a-name-that-is-too-long"), ("tag", 4095),
        ("mtu", 10), ("firewall", 1),
    ],
)  # fmt: skip
def test_a_bad_value_of_the_network_is_refused_with_what_to_write(key, value):
    found = problem(network_config={**NETWORK, key: value})
    assert found.path == f"lxc_configs.910.network_config.{key}"
    assert found.hint


@pytest.mark.parametrize("given", [{"ip": "dhcp"}, {"ip": None}, {"ip": "manual"}])
def test_a_gateway_without_an_address_beside_it_is_refused(given):
    assert problem(network_config={**NETWORK, **given}).path.endswith("network_config.gw")


def test_a_network_without_a_bridge_is_refused():
    found = problem(network_config={"ip": "dhcp"})
    assert (found.path, found.hint) == ("lxc_configs.910.network_config.bridge", "is missing")


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Portainer", "Portainer"),
        ("vllm-qwen2.5-7b-awq", "vllm-qwen2.5-7b-awq"),
        ("my_web server!", "my-web-server"),
        ("Küche", "K-che"),
        ("…", "CT910"),
        ("a" * 80, "a" * 63),
        ("a..b", "a.b"),
    ],
)
def test_a_name_becomes_one_that_a_host_can_have(name, host):
    assert hostname_of(name, 910) == host


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, False),
        ({"apparmor_profile": None}, True),
        ({"apparmor_profile": "generated"}, True),
        ({"lxc_options": ["lxc.apparmor.profile=lxc-a"]}, True),
    ],
)
def test_it_is_known_whether_the_file_says_under_which_profile(entry, says):
    assert container(**entry).says_profile is says


def test_what_is_made_from_something_has_the_profile_that_its_features_imply():
    source = {"template": NEW["template"], "storage_pool": "local-zfs"}
    assert container(features=["docker"], apparmor_stacking=True, **source).warnings == ()
    others = container(features=["docker"], apparmor_stacking=True)
    assert [one.split(": ")[0] for one in others.warnings] == [
        "lxc_configs.910.lxc_options",
        "lxc_configs.910.pct_options",
    ]


def test_an_address_of_a_card_that_it_does_not_have_is_told():
    (warning,) = container(mac_address=NEW["mac_address"]).warnings
    assert warning == "lxc_configs.910.mac_address: has no effect without network_config"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"template": NEW["template"]}, ": storage_pool is missing"),
        ({"clone_from_ctid": 900, **NEW}, ": template and clone_from_ctid: it is made from one"),
        ({"docker_source": "distro"}, ".docker_source: has no effect without 'docker' in features"),
        (
            {"network_config": {"bridge": "vmbr0", "firewal": True}},
            ".network_config.firewal: is ignored; is firewall meant?",
        ),
    ],
)
def test_what_create_cannot_use_is_told_by_check(entry, says):
    (warning,) = container(**entry).warnings
    assert warning.startswith(f"lxc_configs.910{says}")


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ({"storage_size_gb": "8"}, "a number is expected, without quotes"),
        ({"template_snapshot_name": "current"}, "this name means something else to Proxmox"),
        ({"nameservers": [1]}, "addresses are expected, each in double quotes"),
        ({"tags": [1]}, "tags are expected, each in double quotes"),
        ({"network_config": {"bridge": "vmbr0", "ip": "dhcp", "gw": "10.0.0.1"}}, "only beside ip"),
    ],
)
def test_a_wrong_value_is_told_with_what_to_write(entry, hint):
    assert problem(**entry).hint.startswith(hint)
