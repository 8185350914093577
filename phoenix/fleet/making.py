"""What the fleet file says of a container for the day on which it is made."""

from __future__ import annotations

from collections.abc import Iterator

from phoenix.fleet.file import ContainerEntry, NetworkConfig
from phoenix.fleet.model import Making, Network
from phoenix.text.problems import Problem, json_path, shown


def making(number: int, key: str, entry: ContainerEntry, problems: list[Problem]) -> Making:
    """Read it; `key`: the container's id as the file spells it, `number`: what that is."""
    if entry.clone_from_ctid == number:
        path = json_path("lxc_configs", key, "clone_from_ctid")
        problems.append(Problem(path, str(number), "a container cannot be cloned from itself"))
    network = entry.network_config
    return Making(
        template=entry.template,
        clone_from=entry.clone_from_ctid,
        snapshot=entry.template_snapshot_name,
        hostname=entry.hostname,
        memory=entry.memory_mb,
        swap=entry.swap_mb,
        cores=entry.cores,
        storage=entry.storage_pool,
        size=entry.storage_size_gb,
        network=_network(key, network, problems) if network else None,
        mac=entry.mac_address,
        nameservers=entry.nameservers or (),
        searchdomain=entry.searchdomain,
        start_at_boot=entry.start_at_boot,
        boot_delay=entry.boot_delay,
        tags=entry.tags or (),
    )


def flaws(making: Making) -> Iterator[tuple[str, str]]:
    """Why nothing can be made of what the file says, each with what to do."""
    if making.template and making.clone_from is not None:
        yield "template and clone_from_ctid: it is made from one of them", "take one out"
    if making.template and making.storage is None:
        yield "storage_pool is missing: nothing says where its disk goes", "add it"


def _network(key: str, config: NetworkConfig, problems: list[Problem]) -> Network:
    for name, way, address in (("gw", config.gw, config.ip), ("gw6", config.gw6, config.ip6)):
        if way and "/" not in (address or ""):
            path = json_path("lxc_configs", key, "network_config", name)
            ip = "ip6" if name == "gw6" else "ip"
            hint = f"only beside {ip} as ADDRESS/LENGTH: write that, or take {name} out"
            problems.append(Problem(path, shown(way), hint))
    return Network(
        config.name,
        config.bridge,
        config.ip,
        config.gw,
        config.ip6,
        config.gw6,
        config.tag,
        config.mtu,
        config.firewall,
    )
