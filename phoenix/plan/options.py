"""What an operator gives with `--data KEY=VALUE`, and which recipe takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, ValidationError

from phoenix.apparmor.observed import PROFILE_NAME
from phoenix.fleet.model import Container
from phoenix.fleet.permits import PERMISSIONS
from phoenix.pve.backups import RequiredBackup
from phoenix.runs.record import check_run_id

#: Keys of pyinfra's own command line (`--user`, `--key`, ...) arrive in the same mapping.
PYINFRA_KEYS = frozenset({"ssh_user", "ssh_key", "ssh_key_password", "ssh_port", "ssh_password"})

#: The key of pyinfra's data by which the inventory names the offline members of its cluster.
OFFLINE = "phoenix_offline"


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


def _required_backup(value: object) -> RequiredBackup:
    """`24` arrives as a number, `verified` and `24,verified` as texts, a list as one."""
    words = _texts(value)
    hours = [int(word) for word in words if re.fullmatch(r"[1-9][0-9]{0,4}", word)]
    verified = words.count("verified")
    once = len(hours) <= 1 and verified <= 1 and len(hours) + verified == len(words)
    if isinstance(value, bool) or not once:
        hint = "write a number of hours, like 24, or verified, or both: 24,verified"
        raise ValueError(f"{hint} (not {value!r})")
    return RequiredBackup(next(iter(hours), None), bool(verified))


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


class Force(StrEnum):
    """What `force=` goes on with although a check stops there."""

    #: Another storage driver, which hides images, containers and volumes; they stay on disk.
    DOCKER_DATA = "docker-data"
    #: A restart that applies what waits in `[pve:pending]`.
    PENDING = "pending"
    #: A profile file of that name that is not ours: it is replaced.
    FOREIGN_PROFILE = "foreign-profile"
    #: A rollback over what somebody has changed since the run.
    CONFLICTS = "conflicts"
    #: A rollback that destroys the containers which the run has made.
    CREATED = "created"
    #: A guest whose containers another engine runs: they are not proven.
    ENGINE = "engine"
    #: A named profile for a privileged container, which it does not hold.
    PRIVILEGED = "privileged"
    #: What works in the guest and the profile would refuse.
    WOULD_BREAK = "would-break"
    #: A guest for whose architecture there is no container of our own to prove its Docker with.
    NO_PROBE = "no-probe"


def _force(value: object) -> tuple[Force, ...]:
    """`pending` and `pending,conflicts` arrive as texts, a list as one.

    `true` is all of them but `created`: what destroys must be named.
    """
    if isinstance(value, bool):
        return tuple(one for one in Force if one is not Force.CREATED) if value else ()
    try:
        return tuple(dict.fromkeys(map(Force, _texts(value))))
    except ValueError:
        words = ", ".join(Force)
        hint = f"write what to force, with commas between: {words}; or true for all but created"
        raise ValueError(f"{hint} (not {value!r})") from None


_AGO = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
# before the kernel logged such lines
_EARLIEST = datetime(2010, 1, 1).timestamp()
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def read_since(value: object) -> int:
    """`2h` is 7200 seconds ago, -7200; a date or time is its seconds since the epoch.

    Raises ValueError; its text says what to write.
    """
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
    """The data keys of all recipes (`KEYS`); each may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The fleet file, on the operator's machine.
    fleet: Annotated[str, BeforeValidator(_path)] = "phoenix_lxc_configs.json"
    #: A folder with templates of the operator's own (`lxc-NAME.j2`), beside ours.
    profiles: Annotated[str | None, BeforeValidator(_path)] = None
    #: refuse: only with all nodes; skip: without those that cannot be reached. Else the members
    #: that are offline, as their cluster says, are left out, and one out of reach stops the run.
    offline: Literal["refuse", "skip"] | None = None
    #: These CTIDs and no others.
    only: Annotated[tuple[int, ...], BeforeValidator(_ctids)] = ()
    #: docker: those of the fleet file's containers that have Docker, and no others.
    scope: Literal["all", "docker"] = "all"
    #: For the selected Docker containers, instead of what the file says.
    profile: Annotated[str | None, BeforeValidator(_profile)] = None
    #: The same, where a profile is named: its stacked form.
    stacking: StrictBool | None = None
    #: The same, where a profile is named: its complain form.
    mode: Literal["enforce", "complain"] | None = None
    #: 1: one container at a time of all nodes; nodes: one of each node.
    rolling: Literal[1, "nodes"] = 1
    #: Take what HA manages out of its hands for as long as it is changed, and give it back.
    ha: StrictBool = False
    #: never: change the conf, leave the container running as it is.
    restart: Literal["auto", "never"] = "auto"
    #: Refuse to change a container without a backup of the last so many hours, or a verified one.
    require_backup: Annotated[RequiredBackup | None, BeforeValidator(_required_backup)] = None
    #: A folder of this machine for an archive of each node's own configuration before the run.
    backup: Annotated[str | None, BeforeValidator(_path)] = None
    #: Have Proxmox take a snapshot of each container before it is changed.
    snapshot: StrictBool = False
    #: Install Docker where the fleet file lists it and there is none.
    install: StrictBool = False
    #: Install or remove the timer that warns of labels that are not the wanted ones.
    watch: StrictBool | None = None
    #: Take workarounds in a conf back, whoever wrote them.
    reconfine: StrictBool = False
    #: Of what the fleet file asks for, also that which acts on the node as root (`PERMISSIONS`).
    allow: Annotated[tuple[str, ...], BeforeValidator(_permissions)] = ()
    #: Names of the owner's containers, units and ports that need not work afterwards.
    accept: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    #: So many seconds after the proof nothing that worked may have gone down; 0: the gate's own.
    settle: Annotated[int, BeforeValidator(_settle)] = 0
    #: Go on where a check stops and says which word helps.
    force: Annotated[tuple[Force, ...], BeforeValidator(_force)] = ()
    #: A file for the plan, as JSON, also under --dry.
    plan: Annotated[str | None, BeforeValidator(_path)] = None
    #: Fail if anything needs attention.
    strict: StrictBool = False
    #: What the audit does with containers that the fleet file does not name; fail: each of them
    #: needs attention, also one that is confined.
    unmanaged: Literal["ignore", "show", "fail"] = "show"
    #: What is rolled back, by default the last run.
    run: Annotated[str | None, BeforeValidator(_run)] = None
    #: Show the runs.
    list: StrictBool = False
    #: A folder for the audit's JSON file and its page, or for that of what a run has come to.
    report: Annotated[str | None, BeforeValidator(_path)] = None
    #: A file for the fleet file that a first look proposes.
    write: Annotated[str | None, BeforeValidator(_path)] = None
    #: Show denials from then on: seconds since the epoch or, below zero, before now.
    since: Annotated[int | None, BeforeValidator(read_since)] = None

    def takes(self, container: Container) -> bool:
        """Whether a container of the fleet file is this run's business."""
        if self.only and container.ctid not in self.only:
            return False
        return self.scope == "all" or container.docker


Recipe = Literal["harden", "host_prep", "audit", "create", "rollback", "denials", "doctor"]

_FLEET = ("fleet", "profiles", "only", "scope", "profile", "stacking", "mode", "offline")
_GATE = ("restart", "rolling", "ha", "accept", "settle", "force")
#: The keys that each recipe takes.
KEYS: Mapping[Recipe, tuple[str, ...]] = {
    "harden": (
        *_FLEET,
        *("allow", "reconfine", "require_backup", "backup", "snapshot", "install", "watch", "plan"),
        "report",
        *_GATE,
    ),
    "host_prep": (*_FLEET, "allow", "backup", "watch", "accept", "force", "plan"),
    "audit": (
        *_FLEET,
        *("allow", "accept", "force", "strict", "unmanaged", "report", "since"),
    ),
    "create": (*_FLEET, *("allow", "reconfine", "backup", "plan", "accept", "settle", "force")),
    "rollback": ("run", "list", "offline", "only", "backup", "plan", "report", *_GATE),
    "denials": ("offline", "only", "since"),
    "doctor": ("fleet", "profiles", "offline", "only", "write", "report"),
}


#: The keys that are paths of the operator's machine.
PATHS = frozenset(
    name for name, one in Options.model_fields.items() if BeforeValidator(_path) in one.metadata
)

_PLANNED = tuple(one for one in Force if one not in (Force.CONFLICTS, Force.CREATED))
#: The words of `force=` that mean something to each recipe.
FORCES: Mapping[Recipe, tuple[Force, ...]] = {
    "harden": _PLANNED,
    "host_prep": _PLANNED,
    "audit": _PLANNED,
    "create": (Force.FOREIGN_PROFILE, Force.PRIVILEGED, Force.NO_PROBE),
    "rollback": (Force.CONFLICTS, Force.CREATED, Force.PENDING),
    "denials": (),
    "doctor": (),
}


class OptionsError(ValueError):
    """A `--data` key or value that means nothing; its text has one line per problem."""


def parse_options(data: Mapping[str, Any], recipe: Recipe) -> Options:
    """Read `inventory.override_data` for the recipe that runs.

    Raises `OptionsError` with every problem at once, a key of another recipe's among them.
    """
    given = {key: value for key, value in data.items() if key not in PYINFRA_KEYS}
    problems = [foreign_key(key, recipe) for key in given if key not in KEYS[recipe]]
    mine = {key: value for key, value in given.items() if key in KEYS[recipe]}
    try:
        options = Options.model_validate(mine)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
    else:
        # true is all of them, whatever there is
        if mine.get("force") is not True:
            problems += [
                _unforced(one, recipe) for one in options.force if one not in FORCES[recipe]
            ]
    if problems:
        raise OptionsError("\n".join(problems))
    return options


def _unforced(word: Force, recipe: Recipe) -> str:
    words = ", ".join(FORCES[recipe])
    return f"--data force={word}: means nothing to {recipe}, which takes {words}"


def foreign_key(key: str, recipe: Recipe) -> str:
    """What is wrong with a key that the recipe does not take."""
    takers = [name for name, keys in KEYS.items() if key in keys]
    why = f"belongs to {' and '.join(takers)}" if takers else "unknown key"
    return f"--data {key}: {why}; {recipe} takes {', '.join(KEYS[recipe])}"


def _problem(detail: Mapping[str, Any]) -> str:
    key = str(detail["loc"][0])
    if detail["type"] == "bool_type":
        return f"--data {key}={detail['input']}: write true or false"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"--data {key}={detail['input']}: {message}"
