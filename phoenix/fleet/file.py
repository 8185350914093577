"""The fleet file as people write it: one pydantic model per JSON object.

These models accept every form that real files have and refuse the rest with what to write
instead (value by value in `phoenix.fleet.values`); `phoenix.fleet.parse` makes the one clean form
out of them that everything else uses. `phoenix schema` is generated from here, so the descriptions
are what an editor shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)

from phoenix.apparmor.allows import Allow
from phoenix.fleet import new_values, values
from phoenix.pve import health
from phoenix.pve.raw_keys import RawKey
from phoenix.pve.values import HIGHEST_CTID, LOWEST_CTID

LIST, OBJECT = "#list", "#object"
"""Tags of a union's members; they show up in pydantic's locations and are taken out again."""
KEY = "[key]"
"""What pydantic adds to the location of an object's key that is wrong."""


def _form(value: object) -> str | None:
    if isinstance(value, list):
        return LIST
    return OBJECT if isinstance(value, dict) else None


Line: TypeAlias = Annotated[str, AfterValidator(values.one_line)]
Name: TypeAlias = Annotated[
    str, AfterValidator(values.name), WithJsonSchema({"type": "string", "pattern": "^[^-]"})
]
Variable: TypeAlias = Annotated[str, AfterValidator(values.variable)]
VariableValue: TypeAlias = Annotated[
    str,
    AfterValidator(values.variable_value),
    WithJsonSchema({"type": "string", "pattern": f"^{values.VARIABLE_VALUE.pattern}$"}),
]
Tunables: TypeAlias = Annotated[
    dict[Variable, Annotated[list[VariableValue], Field(min_length=1)]],
    Field(json_schema_extra={"propertyNames": {"pattern": f"^{values.VARIABLE.pattern}$"}}),
]
Rule: TypeAlias = Annotated[str, AfterValidator(values.rule)]
Dataset: TypeAlias = Annotated[
    str,
    AfterValidator(values.dataset),
    WithJsonSchema({"type": "string", "pattern": "^[^-/]"}),
]
Interface: TypeAlias = Annotated[
    str,
    AfterValidator(new_values.interface),
    WithJsonSchema({"type": "string", "pattern": f"^{new_values.INTERFACE.pattern}$"}),
]
_ABSOLUTE = WithJsonSchema({"type": "string", "pattern": "^/"})
GuestPath: TypeAlias = Annotated[str, AfterValidator(values.guest_path), _ABSOLUTE]
AuditedPath: TypeAlias = Annotated[
    str,
    AfterValidator(values.audited_path),
    WithJsonSchema({"type": "string", "pattern": f"^{values.AUDITED_PATH.pattern}/?$"}),
]
HostPath: TypeAlias = Annotated[str, AfterValidator(values.path), _ABSOLUTE]
Command: TypeAlias = Annotated[
    tuple[str, ...],
    PlainValidator(values.command),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"\S", "maxLength": health.MOST_TEXT},
                {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "maxItems": health.MOST_WORDS,
                },
            ]
        }
    ),
]
Url: TypeAlias = Annotated[
    str,
    AfterValidator(values.url),
    WithJsonSchema({"type": "string", "pattern": "^https?://"}),
]
Ctid: TypeAlias = Annotated[
    int,
    PlainValidator(values.ctid),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^0*[1-9][0-9]{2,8}$"},
                {"type": "integer", "minimum": LOWEST_CTID, "maximum": HIGHEST_CTID},
            ]
        }
    ),
]
_SEVERAL: dict[str, Any] = {
    "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]
}
_SETTING: dict[str, Any] = {
    "anyOf": [
        {"type": "boolean"},
        {"enum": [0, 1]},
        {
            "type": "string",
            "pattern": "^([01]|[oO][nN]|[oO][fF]{2}|[yY][eE][sS]|[nN][oO]"
            "|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$",
        },
    ]
}
_SETTINGS: dict[str, Any] = {
    "type": "object",
    "properties": dict.fromkeys(values.SWITCHES, _SETTING)
    | {"mount": {"type": "string", "pattern": f"^{values.MOUNT_TYPES.pattern}$"}},
    "additionalProperties": False,
}
PctOption: TypeAlias = Annotated[
    tuple[tuple[str, str], ...],
    PlainValidator(values.pct_option),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": rf"^\s*({'|'.join(values.FEATURES)})\s*[=:]",
                    "examples": ["nesting=1", "keyctl=1", "fuse=1", "mount=nfs;cifs"],
                },
                _SETTINGS,
            ]
        }
    ),
]
PctOptions: TypeAlias = Annotated[
    Annotated[list[PctOption], Tag(LIST)]
    | Annotated[
        dict[str, Annotated[Any, PlainValidator(values.pct_member)]],
        Tag(OBJECT),
        WithJsonSchema(_SETTINGS),
    ],
    Discriminator(_form),
]


class _Part(BaseModel):
    """Strict (no text for a number), frozen, and other people's keys stay."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class Volume(_Part):
    """A dataset that the container mounts: `/POOL/NAME`, or where ZFS really mounts it."""

    name: Dataset = Field(description="The dataset's name below the pool.", examples=["data"])
    pool: Dataset = Field(
        description="The ZFS pool, a dataset in it, or a storage of Proxmox of type zfspool.",
        examples=["rpool", "tank/data"],
    )
    mount_point: GuestPath = Field(description="Where the container sees it; absolute.")
    size_gb: float | None = Field(
        None,
        ge=0.001,
        le=1048576,
        description="The most that it may hold, in GiB: the quota of a dataset that is made.",
    )


class MountPoint(_Part):
    """A directory of the host that the container mounts."""

    host_path: HostPath = Field(description="The directory on the host; absolute.")
    container_path: GuestPath = Field(description="Where the container sees it; absolute.")
    owner_uid: int | None = Field(
        None, ge=0, le=4294967294, description="User id that owns it, as the container counts."
    )
    owner_gid: int | None = Field(
        None, ge=0, le=4294967294, description="Group id that owns it, as the container counts."
    )


class HealthCheckEntry(_Part):
    """What its owner asks of the container: a command that runs in it, or a URL of its own."""

    command: Command | None = Field(
        None,
        description="Runs in the container as its root, and ends with 0 where all is well: a text "
        "for its sh, or a list of words.",
        examples=["curl -fsS http://localhost:6333", ["pg_isready", "-q"]],
    )
    url: Url | None = Field(
        None,
        description="Fetched from the node in the container's network, instead of a command: its "
        "host is localhost or an address, and an answer from 200 to 399 is well.",
        examples=["http://localhost:6333/healthz"],
    )
    retries: int | None = Field(
        health.HealthCheck.retries,
        ge=0,
        le=health.MOST_RETRIES,
        description="How often it is tried again.",
    )
    interval: int | None = Field(
        health.HealthCheck.interval,
        ge=0,
        le=health.MOST_INTERVAL,
        description="Seconds between two tries.",
    )
    timeout: int | None = Field(
        health.HealthCheck.timeout,
        ge=1,
        le=health.MOST_TIMEOUT,
        description="Seconds that one try may take.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> HealthCheckEntry:
        try:
            self.meaning.check()
        except ValueError as error:
            raise values.wrong(str(error)) from None
        return self

    @property
    def meaning(self) -> health.HealthCheck:
        """The same as everything else uses it."""
        given = {"retries": self.retries, "interval": self.interval, "timeout": self.timeout}
        numbers = {name: number for name, number in given.items() if number is not None}
        return health.HealthCheck(self.command or (), self.url or "", **numbers)


class NetworkConfig(_Part):
    """The network card net0 of a container that is to be made."""

    name: Interface = Field("eth0", description="What the card is called in the container.")
    bridge: Interface = Field(description="The bridge of the node that it is plugged into.")
    ip: (
        Annotated[
            str,
            AfterValidator(new_values.address),
            WithJsonSchema({"type": "string", "examples": ["dhcp", "10.0.0.97/24"]}),
        ]
        | None
    ) = Field(None, description="dhcp, manual, or its IPv4 address with the network's length.")
    gw: Annotated[str, AfterValidator(new_values.gateway)] | None = Field(
        None, description="Its way out, an IPv4 address; only with an address in ip."
    )
    ip6: Annotated[str, AfterValidator(new_values.address6)] | None = Field(
        None, description="auto, dhcp, manual, or its IPv6 address with the network's length."
    )
    gw6: Annotated[str, AfterValidator(new_values.gateway6)] | None = Field(
        None, description="The same for IPv6, only with one in ip6."
    )
    tag: int | None = Field(None, ge=1, le=4094, description="The VLAN that it is in.")
    mtu: int | None = Field(None, ge=64, le=65535, description="The longest packet, in bytes.")
    firewall: bool | None = Field(None, description="Whether Proxmox's firewall filters it.")


class DockerRepo(_Part):
    """A package repository of Docker's, and the key that signs it."""

    url: Annotated[
        str,
        AfterValidator(values.web_address),
        WithJsonSchema({"type": "string", "pattern": "^https?://[^\\s]+$"}),
    ] = Field(
        description="Its address, without the release: https://example.org/docker.",
    )
    key: Annotated[
        str,
        AfterValidator(values.openpgp_key),
        WithJsonSchema({"type": "string", "pattern": "^\\s*-----BEGIN PGP PUBLIC KEY BLOCK-----"}),
    ] = Field(description="The OpenPGP key that signs it, ASCII-armoured, line breaks as \\n.")
    fingerprint: Annotated[
        str,
        AfterValidator(values.fingerprint),
        WithJsonSchema({"type": "string", "pattern": r"^\s*([0-9A-Fa-f]\s*){40}$"}),
    ] = Field(description="That of the key: 40 hex digits, blanks between them are fine.")


class ContainerEntry(_Part):
    """One container; keys that are not listed here are kept and ignored."""

    name: Name | None = Field(None, description="A name for people; the id is what counts.")
    features: list[Line] | None = Field(
        None,
        description="What is installed inside. docker and nvidia mean something here, "
        "everything else passes.",
        examples=[["docker"], ["nvidia", "vllm"]],
    )
    pct_options: PctOptions | None = Field(
        None,
        description='Features that Proxmox shall give the container, as in ["nesting=1", '
        '"keyctl=1"]. What others have set on the node stays.',
    )
    apparmor_profile: (
        Annotated[
            str,
            AfterValidator(values.profile),
            WithJsonSchema(
                {
                    "type": "string",
                    "pattern": f"^(unconfined|generated|{values.PROFILE_NAME.pattern})$",
                    "examples": ["lxc-docker-nested", "lxc-phoenix-v2", "generated"],
                }
            ),
        ]
        | None
    ) = Field(
        None,
        description="What confines the container: a profile's name, generated (Proxmox's own, "
        "also meant by null and by leaving it out), or unconfined (nothing does).",
    )
    apparmor_manages_nesting: bool | None = Field(
        None, description="With a named profile: write lxc.apparmor.allow_nesting beside it."
    )
    apparmor_stacking: bool | None = Field(
        None,
        description="Stack the profile with a policy namespace of the container's own, so that "
        "Docker's docker-default confines the containers inside as well.",
    )
    apparmor_mode: Literal["enforce", "complain"] | None = Field(
        None, description="complain: only log what the profile would deny; for learning."
    )
    mode: Literal["enforce", "complain"] | None = Field(
        None, description="The same as apparmor_mode."
    )
    apparmor_allows: list[Allow] | None = Field(
        None,
        description="What its named profile grants to this container beyond the others: each "
        "opens something, see docs/apparmor.md.",
        examples=[["guest-mounts", "nested-userns"]],
    )
    apparmor_audit: list[AuditedPath] | None = Field(
        None,
        description="Files and folders of the container: what writes to them by that path is "
        "logged, and shown by the audit.",
        examples=[["/etc"]],
    )
    apparmor_own: bool | None = Field(
        None,
        description="Give the container its named profile under a name of its own, NAME-CTID, so "
        "that no other entry shares it. So has who asks for apparmor_allows or apparmor_audit.",
    )
    apparmor_raw: list[Rule] | None = Field(
        None,
        description='Rules added to the generated profile, as in ["deny mount fstype=debugfs,"].',
    )
    lxc_options: (
        list[
            Annotated[
                RawKey,
                PlainValidator(values.raw_key),
                WithJsonSchema({"type": "string", "pattern": r"^\s*lxc\.[a-z0-9_.-]+(:|\s*=)"}),
            ]
        ]
        | None
    ) = Field(
        None,
        description="Raw keys for the container's conf, as in "
        '["lxc.mount.auto=sys:rw"]. They bypass what Proxmox checks.',
    )
    volumes: list[Volume] | None = Field(None, description="Datasets that it mounts.")
    zfs_volumes: list[Volume] | None = Field(None, description="Datasets that it mounts.")
    mount_points: list[MountPoint] | None = Field(
        None, description="Directories of the host that it mounts."
    )
    gpu_assignment: Annotated[
        tuple[int, ...],
        PlainValidator(values.gpus),
        WithJsonSchema(
            {
                "anyOf": [
                    {
                        "type": "string",
                        "pattern": r"^(none|\s*[0-9]{1,2}\s*(,\s*[0-9]{1,2}\s*)*)?$",
                    },
                    {"type": "integer", "minimum": 0, "maximum": values.MAX_GPU},
                    {"type": "null"},
                ]
            }
        ),
    ] = Field((), description='GPUs whose nodes it gets: "none", "0" or "0,1".')
    unprivileged: bool | None = Field(
        None,
        description="Whether root inside is nobody outside. Absent: as on the node, and of one "
        "that is to be made: true; a clone is as its source is.",
    )
    storage_driver: Literal["fuse-overlayfs", "overlay2", "keep", "auto"] | None = Field(
        None,
        description="Docker's storage driver. Absent: fuse-overlayfs where no other driver "
        "holds data yet, else keep.",
    )
    health_check: HealthCheckEntry | None = Field(
        None,
        description="What shows that it works: asked by harden before a change and after it, which "
        "is reverted where it passed before and does not afterwards.",
    )
    docker_source: Literal["distro", "docker-ce", "keep"] | None = Field(
        None,
        description="Where Docker comes from, for a container that has none: distro (its "
        "distribution's own packages, also meant by leaving it out), docker-ce (Docker's "
        "repository), keep (nowhere: nothing is installed).",
    )
    docker_repo: DockerRepo | None = Field(
        None,
        description="For docker-ce: the repository, where the container does not have it already.",
    )
    boot_order: int | None = Field(
        None, ge=0, description="Lower ones are made, restarted and started with the node first."
    )
    dependencies: list[Ctid] | None = Field(
        None,
        description="Ids of containers that have to run before this one, and are made before it.",
    )
    clone_from_ctid: Ctid | None = Field(
        None,
        description="Id of the container that it is, or was, cloned from; a clone begins with the "
        "template_snapshot_name of that one's entry, if it has such a snapshot.",
    )
    template: Annotated[str, AfterValidator(new_values.template)] | None = Field(
        None,
        description="For create: the template that it is made from, instead of clone_from_ctid: a "
        "storage's (pveam list), or the path of an archive on the node.",
        examples=["local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"],
    )
    template_snapshot_name: (
        Annotated[
            str,
            AfterValidator(new_values.snapshot),
            WithJsonSchema({"type": "string", "pattern": f"^{new_values.SNAPSHOT.pattern}$"}),
        ]
        | None
    ) = Field(
        None,
        description="For create: the snapshot that is taken of it once it is made, and from which "
        "others are cloned.",
    )
    hostname: (
        Annotated[
            str,
            AfterValidator(new_values.hostname),
            WithJsonSchema({"type": "string", "pattern": f"^{new_values.HOSTNAME.pattern}$"}),
        ]
        | None
    ) = Field(
        None,
        description="For create: its host's name, by default what name says; where that cannot be "
        "one, the plan says what is used.",
    )
    memory_mb: int | None = Field(
        None, ge=16, le=2**30, description="For create: its memory in MiB."
    )
    swap_mb: int | None = Field(None, ge=0, le=2**30, description="For create: its swap in MiB.")
    cores: int | None = Field(
        None, ge=1, le=8192, description="For create: its CPU cores; all where it is missing."
    )
    storage_pool: (
        Annotated[
            str,
            AfterValidator(new_values.storage),
            WithJsonSchema({"type": "string", "pattern": f"^{new_values.STORAGE.pattern}$"}),
        ]
        | None
    ) = Field(
        None,
        description="For create: the storage of Proxmox that its disk is on; needed with template.",
    )
    storage_size_gb: float | None = Field(
        None,
        ge=0.001,
        le=1048576,
        description="For create: the size of its disk in GiB; 8. A clone's only grows.",
    )
    network_config: NetworkConfig | None = Field(None, description="For create: its network card.")
    mac_address: (
        Annotated[
            str,
            AfterValidator(new_values.mac),
            WithJsonSchema({"type": "string", "pattern": f"^{new_values.MAC.pattern}$"}),
        ]
        | None
    ) = Field(None, description="For create: the address of its network card.")
    nameservers: (
        Annotated[tuple[str, ...], PlainValidator(new_values.nameservers), WithJsonSchema(_SEVERAL)]
        | None
    ) = Field(None, description="For create: addresses of its name servers.")
    searchdomain: Annotated[str, AfterValidator(new_values.searchdomain)] | None = Field(
        None, description="For create: the domain that short names are looked for in."
    )
    start_at_boot: bool | None = Field(
        None, description="For create: whether it starts with the node."
    )
    boot_delay: int | None = Field(
        None, ge=0, le=86400, description="For create: seconds before the next one starts."
    )
    tags: (
        Annotated[tuple[str, ...], PlainValidator(new_values.tags), WithJsonSchema(_SEVERAL)] | None
    ) = Field(None, description="For create: its tags.")
    id_maps: (
        list[
            Annotated[
                RawKey,
                PlainValidator(new_values.id_map),
                WithJsonSchema({"type": "string", "examples": ["u 0 100000 65536"]}),
            ]
        ]
        | None
    ) = Field(
        None,
        description="For create: maps of its ids to the node's, lxc.idmap lines in place of "
        "Proxmox's own: u or g, the first inside, the first on the node, how many. Root stays "
        "where the disk is made for it.",
        examples=[["u 0 100000 65536", "g 0 100000 65536"]],
    )

    @property
    def parts(self) -> Iterator[tuple[str, BaseModel]]:
        """Its keys that are one object, each with that."""
        for name in ("health_check", "network_config", "docker_repo"):
            if part := getattr(self, name):
                yield name, part


class FleetFile(_Part):
    """A fleet of Proxmox containers and how each of them is confined."""

    lxc_configs: dict[str, ContainerEntry] = Field(
        description="The containers by id (100 to 999999999).",
        json_schema_extra={"propertyNames": {"pattern": "^0*[1-9][0-9]{2,8}$"}},
    )
    tunables: Tunables | None = Field(
        None,
        description="AppArmor variables of this site, for profiles to use; "
        "@{apparmor_nesting_profiles} is one that ours know.",
        examples=[{"apparmor_nesting_profiles": ["lxc-docker-nested", "lxc-phoenix-v2"]}],
    )
    apart: list[Ctid] | list[list[Ctid]] | None = Field(
        None,
        description="Ids of containers that must never be down at the same time, such as both "
        "halves of a redundant pair, on whatever nodes; several such groups as a list of lists.",
        examples=[["910", "911"], [["910", "911"], ["920", "921", "922"]]],
    )
