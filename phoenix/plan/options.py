"""What an operator gives with `--data KEY=VALUE`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, ValidationError

from phoenix.apparmor.observed import PROFILE_NAME
from phoenix.fleet.permits import PERMISSIONS
from phoenix.runs.record import check_run_id

#: Keys of pyinfra's own command line (`--user`, `--key`, ...) arrive in the same mapping.
PYINFRA_KEYS = frozenset({"ssh_user", "ssh_key", "ssh_key_password", "ssh_port", "ssh_password"})


def _texts(value: object) -> list[str]:
    """Several arrive as a text with commas between them, or as a list."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return [str(part).strip() for part in parts]


def _ctids(value: object) -> tuple[int, ...]:
    """`910` arrives as a number, `910,953` as a text, `[910,953]` as a list."""
    texts = _texts(value)
    if not all(re.fullmatch(r"[1-9][0-9]{2,8}", text) for text in texts):
        raise ValueError(f"write CTIDs with commas between them, like 910,953 (not {value!r})")
    return tuple(dict.fromkeys(int(text) for text in texts))


def _profile(value: object) -> str:
    if not isinstance(value, str) or not (value == "generated" or PROFILE_NAME.fullmatch(value)):
        raise ValueError(f"write a profile's name, lxc-..., or generated (not {value!r})")
    return value


def _path(value: object) -> str:
    text = str(value)
    if isinstance(value, bool) or not text or "\0" in text:
        raise ValueError(f"write a path (not {value!r})")
    return text


def _run(value: object) -> str:
    return check_run_id(str(value))


def _permissions(value: object) -> tuple[str, ...]:
    """`raw-hooks` and `raw-hooks,host-paths` arrive as texts, a list as one."""
    texts = _texts(value)
    if any(text not in PERMISSIONS for text in texts):
        words = " or ".join(PERMISSIONS)
        raise ValueError(f"write {words}, both with a comma between them (not {value!r})")
    return tuple(dict.fromkeys(texts))


def _hours(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        raise ValueError(f"write a number of hours, like 24 (not {value!r})")
    return int(text)


# as node/works.py takes them: names of Docker's containers, and of units
_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}", re.ASCII)


def _names(value: object) -> tuple[str, ...]:
    """`db` and `db,nginx.service` arrive as texts, a list as one."""
    texts = _texts(value)
    if isinstance(value, bool) or not all(map(_NAME.fullmatch, texts)):
        raise ValueError(
            f"write names of containers or units with commas between them (not {value!r})"
        )
    return tuple(dict.fromkeys(texts))


def _settle(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,3}", text):
        raise ValueError(f"write a number of seconds below 1000, like 60 (not {value!r})")
    return int(text)


_AGO = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
# before the kernel logged such lines
_EARLIEST = datetime(2010, 1, 1).timestamp()
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def _since(value: object) -> int:
    """`2h` is 7200 seconds ago, -7200; a date or time is its seconds since the epoch."""
    text = str(value)
    if ago := _AGO.fullmatch(text):
        return -int(ago[1]) * _SECONDS[ago[2]]
    try:
        # a time without a zone is the operator's own
        time = datetime.fromisoformat(text).timestamp() if _DATE.fullmatch(text) else 0
    except (ValueError, OverflowError, OSError):
        time = 0
    if time < _EARLIEST:
        hint = "write 45m, 2h, 3d or 1w, or a time like 2026-11-22T14:30"
        raise ValueError(f"{hint} (not {value!r})")
    return int(time)


class Options(BaseModel):
    """The data keys of harden, host_prep, audit and rollback; all of them may be left out.

    `fleet`: the fleet file on the operator's machine; `profiles`: a folder with templates of
    the operator's own (`lxc-NAME.j2`), beside ours; `only`: these CTIDs and no others;
    `profile`, `stacking`, `mode`: for the selected Docker containers, instead of what the file
    says, the latter two where a profile is named;
    `restart=never`: change the conf, leave the container running as it is;
    `require_backup`: refuse a run that would change a container without a backup of the last so
    many hours; `snapshot`: have Proxmox take a snapshot of each container before it is changed;
    `watch`: install or remove the timer that warns of labels that are not the wanted ones;
    `reconfine`: take workarounds in a conf back, whoever wrote them;
    `allow`: of what the fleet file asks for, also that which acts on the node as root
    (`PERMISSIONS`);
    `accept`: names of the owner's containers and units that need not work afterwards; `settle`: so
    many seconds after the proof nothing that worked may have gone down;
    `force`: go on where a check stops and says that this helps; `strict`: audit fails on any
    finding; `report`: a folder for audit's JSON file and HTML page; `since`: audit shows what was
    denied from then on, seconds since the epoch or, below zero, before now; `run`: what rollback
    undoes, by default the last one; `list`: show the runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fleet: Annotated[str, BeforeValidator(_path)] = "phoenix_lxc_configs.json"
    profiles: Annotated[str | None, BeforeValidator(_path)] = None
    only: Annotated[tuple[int, ...], BeforeValidator(_ctids)] = ()
    profile: Annotated[str | None, BeforeValidator(_profile)] = None
    stacking: StrictBool | None = None
    mode: Literal["enforce", "complain"] | None = None
    restart: Literal["auto", "never"] = "auto"
    require_backup: Annotated[int | None, BeforeValidator(_hours)] = None
    snapshot: StrictBool = False
    watch: StrictBool | None = None
    reconfine: StrictBool = False
    allow: Annotated[tuple[str, ...], BeforeValidator(_permissions)] = ()
    accept: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    settle: Annotated[int, BeforeValidator(_settle)] = 0
    force: StrictBool = False
    strict: StrictBool = False
    run: Annotated[str | None, BeforeValidator(_run)] = None
    list: StrictBool = False
    report: Annotated[str | None, BeforeValidator(_path)] = None
    since: Annotated[int | None, BeforeValidator(_since)] = None


class OptionsError(ValueError):
    """A `--data` key or value that means nothing; its text has one line per problem."""


def parse_options(data: Mapping[str, Any]) -> Options:
    """Read `inventory.override_data`. Raises `OptionsError` with every problem at once."""
    given = {key: value for key, value in data.items() if key not in PYINFRA_KEYS}
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors()]
    raise OptionsError("\n".join(problems))


def _problem(detail: Mapping[str, Any]) -> str:
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        return f"--data {key}: unknown key; there are: {', '.join(Options.model_fields)}"
    if detail["type"] == "bool_type":
        return f"--data {key}={detail['input']}: write true or false"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"--data {key}={detail['input']}: {message}"
