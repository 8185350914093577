"""The fleet file as people write it: one pydantic model per JSON object.

These models accept every form that real files have and refuse the rest with what to write
instead; `phoenix.config` makes the one clean form out of them that everything else uses.
`phoenix schema` is generated from here, so the descriptions are what an editor shows.
"""

from __future__ import annotations

import re
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
)
from pydantic_core import PydanticCustomError

from phoenix.apparmor import PROFILE_NAME
from phoenix.features import CANONICAL as FEATURES
from phoenix.pve_values import check_value
from phoenix.raw_keys import RawKey, parse_raw

SWITCHES = tuple(name for name in FEATURES if name != "mount")
"""Features of Proxmox that are on or off (pve-container LXC/Config.pm $features_desc)."""


LOWEST_CTID, HIGHEST_CTID = 100, 999_999_999
"""The ids that Proxmox gives to guests (PVE/JSONSchema.pm pve-vmid)."""

_TRUE, _FALSE = ("1", "on", "yes", "true"), ("0", "off", "no", "false")
# pve-container $features_desc: mount => pattern; pve_verify_list, one or more of them
_MOUNT_TYPES = re.compile(r"[a-zA-Z0-9_]+(;[a-zA-Z0-9_]+)*", re.ASCII)
_MAX_GPU = 31


def _wrong(hint: str) -> PydanticCustomError:
    # braces would be read as a template
    return PydanticCustomError("fleet", "{hint}", {"hint": hint})


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise _wrong("must not hold control characters, line breaks or broken Unicode")
    return text


def _name(text: str) -> str:
    if not _one_line(text).strip() or text.startswith("-"):
        raise _wrong("a name must not be empty or begin with '-'")
    return text


def _path(text: str) -> str:
    """Check an absolute path and bring it to its plain form, without doubled slashes."""
    if not _one_line(text).startswith("/"):
        raise _wrong("an absolute path is expected, beginning with /")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _wrong("a path must not hold '..'")
    if "\\" in text:
        raise _wrong("write blanks as blanks: they are escaped where it is needed")
    return "/" + "/".join(parts)


def _guest_path(text: str) -> str:
    path = _path(text)
    if path == "/":
        raise _wrong("a directory inside the container is expected, not its root")
    return path


def _dataset(text: str) -> str:
    """Check the name of a ZFS pool, dataset or plain folder below `/`."""
    parts = _name(text).split("/")
    if any(part in ("", ".", "..") or part.startswith("-") for part in parts):
        raise _wrong("a dataset is expected, as in tank/data: no '..', no leading / or '-'")
    if re.search(r"[\\@#%]", text):
        raise _wrong("a dataset's name has none of \\ @ # %")
    return text


def profile(text: str) -> str:
    """Check the value of `apparmor_profile`; raises PydanticCustomError with the right spelling."""
    if text in ("unconfined", "generated") or PROFILE_NAME.fullmatch(text):
        return text
    one_of = "one of: a profile's name (lxc-…), generated, unconfined, or null"
    if "//" in text:
        raise _wrong("name the profile alone; for its stacked form add apparmor_stacking: true")
    hyphens = text.strip().lower().replace("_", "-")
    if PROFILE_NAME.fullmatch(hyphens) or hyphens in ("unconfined", "generated"):
        # measured: lxc-start may enter lxc-* only, lxc_docker_nested fails with EACCES
        raise _wrong(f"write '{hyphens}'; lxc-start may enter only names that begin with lxc-")
    raise _wrong(f"lxc-start may enter only names that begin with lxc-; {one_of}")


def _raw_key(value: object) -> RawKey:
    if not isinstance(value, str):
        raise _wrong("text is expected, in double quotes")
    try:
        return parse_raw(_one_line(value.replace("\t", " ")))
    except ValueError as error:
        raise _wrong(str(error)) from None


def _rule(text: str) -> str:
    if not _one_line(text).strip() or text.strip().startswith("lxc."):
        raise _wrong('the rule alone is expected, as in "deny mount fstype=debugfs,"')
    try:
        check_value("lxc.apparmor.raw", text)
    except ValueError as error:
        raise _wrong(str(error)) from None
    return text.strip()


def feature(name: str, value: object) -> tuple[str, str]:
    """Read one Proxmox feature: its name, and its value as the conf has it (`"1"`, `"nfs;cifs"`).

    Raises PydanticCustomError for an unknown feature or a value that Proxmox refuses.
    """
    if name not in FEATURES:
        raise _wrong(f"unknown feature; one of {', '.join(FEATURES)}")
    text = str(value).lower() if isinstance(value, bool | int) else value
    if isinstance(text, str):
        if name == "mount" and _MOUNT_TYPES.fullmatch(text) and not isinstance(value, bool | int):
            return name, text
        if name != "mount" and text.lower() in _TRUE + _FALSE:
            return name, "1" if text.lower() in _TRUE else "0"
    right = "mount=nfs;cifs" if name == "mount" else f"{name}=1 or {name}=0"
    raise _wrong(f"write {right}")


def _pct_option(value: object) -> tuple[tuple[str, str], ...]:
    """Read `nesting=1`, `nesting: 1`, `nesting=1,keyctl=1` or `{"nesting": true}`."""
    if isinstance(value, dict):
        return tuple(feature(name, setting) for name, setting in value.items())
    if not isinstance(value, str):
        raise _wrong('text is expected, as in "nesting=1"')
    pairs = []
    for part in _one_line(value).split(","):
        match = re.fullmatch(r"\s*([^=:\s]+)\s*[=:]\s*(.*?)\s*", part)
        if match:
            pairs.append(feature(match[1], match[2]))
        elif part.strip() in SWITCHES:
            raise _wrong(f"write {part.strip()}=1 or {part.strip()}=0")
        else:
            raise _wrong(f"write FEATURE=1, FEATURE one of {', '.join(FEATURES)}")
    return tuple(pairs)


def _pct_member(value: object) -> object:
    if isinstance(value, bool | int | str):
        return value
    raise _wrong("1, 0, true or false is expected")


def _gpus(value: object) -> tuple[int, ...]:
    right = '"none", "0" or "0,1" is expected: the numbers of the GPUs'
    if value is None or value in ("none", ""):
        return ()
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(right)
    parts = [part.strip() for part in str(value).split(",")]
    if not all(re.fullmatch(r"[0-9]{1,2}", part, re.ASCII) for part in parts):
        raise _wrong(right)
    gpus = tuple(int(part) for part in parts)
    if max(gpus) > _MAX_GPU or len(set(gpus)) < len(gpus):
        raise _wrong(f"each GPU once, numbers from 0 to {_MAX_GPU}")
    return gpus


def ctid(value: object) -> int:
    """Read a container's id from text or a number, leading zeros allowed.

    Raises PydanticCustomError (a ValueError) when it is none, or outside what Proxmox gives out.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong("a container's id is expected")
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,30}", text, re.ASCII):
        raise _wrong("a container's id is digits only")
    if not LOWEST_CTID <= int(text) <= HIGHEST_CTID:
        raise _wrong(f"a container's id is between {LOWEST_CTID} and {HIGHEST_CTID}")
    return int(text)


def _form(value: object) -> str | None:
    if isinstance(value, list):
        return LIST
    return OBJECT if isinstance(value, dict) else None


LIST, OBJECT = "#list", "#object"
"""Tags of a union's members; they show up in pydantic's locations and are taken out again."""

Line: TypeAlias = Annotated[str, AfterValidator(_one_line)]
Name: TypeAlias = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[^-]"})
]
Rule: TypeAlias = Annotated[str, AfterValidator(_rule)]
Dataset: TypeAlias = Annotated[
    str,
    AfterValidator(_dataset),
    WithJsonSchema({"type": "string", "pattern": "^[^-/]", "examples": ["tank/data"]}),
]
_ABSOLUTE = WithJsonSchema({"type": "string", "pattern": "^/"})
GuestPath: TypeAlias = Annotated[str, AfterValidator(_guest_path), _ABSOLUTE]
HostPath: TypeAlias = Annotated[str, AfterValidator(_path), _ABSOLUTE]
Ctid: TypeAlias = Annotated[
    int,
    PlainValidator(ctid),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^0*[1-9][0-9]{2,8}$"},
                {"type": "integer", "minimum": LOWEST_CTID, "maximum": HIGHEST_CTID},
            ]
        }
    ),
]
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
    "properties": dict.fromkeys(SWITCHES, _SETTING)
    | {"mount": {"type": "string", "pattern": f"^{_MOUNT_TYPES.pattern}$"}},
    "additionalProperties": False,
}
PctOption: TypeAlias = Annotated[
    tuple[tuple[str, str], ...],
    PlainValidator(_pct_option),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": rf"^\s*({'|'.join(FEATURES)})\s*[=:]",
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
        dict[str, Annotated[Any, PlainValidator(_pct_member)]],
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

    name: Dataset = Field(description="The dataset's name below the pool.")
    pool: Dataset = Field(description="The ZFS pool, or a dataset in it.")
    mount_point: GuestPath = Field(description="Where the container sees it; absolute.")
    size_gb: float | None = Field(None, description="Size in GB; not used here.")


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
            AfterValidator(profile),
            WithJsonSchema(
                {
                    "type": "string",
                    "pattern": f"^(unconfined|generated|{PROFILE_NAME.pattern})$",
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
    apparmor_raw: list[Rule] | None = Field(
        None,
        description='Rules added to the generated profile, as in ["deny mount fstype=debugfs,"].',
    )
    lxc_options: (
        list[
            Annotated[
                RawKey,
                PlainValidator(_raw_key),
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
        PlainValidator(_gpus),
        WithJsonSchema(
            {
                "anyOf": [
                    {
                        "type": "string",
                        "pattern": r"^(none|\s*[0-9]{1,2}\s*(,\s*[0-9]{1,2}\s*)*)?$",
                    },
                    {"type": "integer", "minimum": 0, "maximum": _MAX_GPU},
                    {"type": "null"},
                ]
            }
        ),
    ] = Field((), description='GPUs whose nodes it gets: "none", "0" or "0,1".')
    unprivileged: bool | None = Field(
        None, description="Whether root inside is nobody outside. Absent: as on the node."
    )
    storage_driver: Literal["fuse-overlayfs", "overlay2", "keep", "auto"] | None = Field(
        None,
        description="Docker's storage driver. Absent: fuse-overlayfs where no other driver "
        "holds data yet, else keep.",
    )
    boot_order: int | None = Field(None, ge=0, description="Lower ones are restarted first.")
    dependencies: list[Ctid] | None = Field(
        None, description="Ids of containers that have to run before this one."
    )
    clone_from_ctid: Ctid | None = Field(
        None, description="Id of the container that it was cloned from; for warnings only."
    )


class FleetFile(_Part):
    """A fleet of Proxmox containers and how each of them is confined."""

    lxc_configs: dict[str, ContainerEntry] = Field(
        description="The containers by id (100 to 999999999).",
        json_schema_extra={"propertyNames": {"pattern": "^0*[1-9][0-9]{2,8}$"}},
    )
