"""What Proxmox knows of the conf's options: their types, and the texts that refuse a bad value."""

from __future__ import annotations

import re

TRUE = re.compile(r"(?:1|on|yes|true)\Z", re.IGNORECASE)
FALSE = re.compile(r"(?:0|off|no|false)\Z", re.IGNORECASE)


class FormatError(Exception):
    """A value does not fit its format; `nested` holds the errors of its parts."""

    def __init__(self, text: str, nested: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.nested = nested or {}

    def lines(self, prefix: str = "") -> str:
        """The text as Perl prints the exception: one line, then one for each part."""
        nested = [f"{prefix}{key}: {why}" for key, why in self.nested.items()]
        return "\n".join([str(self), *nested])


class Option:
    """One option, or one part of an option's comma-separated value."""

    def __init__(
        self,
        kind: str = "string",
        *,
        low: int | None = None,
        high: int | None = None,
        pattern: str | None = None,
        choices: str | None = None,
        parts: dict[str, Option] | None = None,
        required: bool = False,
        default_key: bool = False,
    ) -> None:
        self.kind = kind
        self.low = low
        self.high = high
        self.pattern = pattern
        self.choices = choices.split() if choices else None
        self.parts = parts
        self.required = required
        self.default_key = default_key

    def problem(self, value: str) -> str | None:
        """Why this is no value of the option (PVE::JSONSchema check_prop), None if it is one."""
        if self.kind != "string" and not KINDS[self.kind].fullmatch(value):
            return f"type check ('{self.kind}') failed - got '{value}'"
        if self.kind in ("integer", "number"):
            if self.low is not None and float(value) < self.low:
                return f"value must have a minimum value of {self.low}"
            if self.high is not None and float(value) > self.high:
                return f"value must have a maximum value of {self.high}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return "value does not match the regex pattern"
        if self.choices and value not in self.choices:
            listed = ", ".join(self.choices)
            return f"value '{value}' does not have a value in the enumeration '{listed}'"
        return None


KINDS = {
    "boolean": re.compile(r"(?:1|on|yes|true|0|off|no|false)", re.IGNORECASE),
    "integer": re.compile(r"[+-]?\d+"),
    "number": re.compile(r"[+-]?\d+(?:\.\d+)?"),
}
FLAG = Option("boolean")
TEXT = Option()

FEATURES = {
    "mount": Option(pattern=r"[a-zA-Z0-9_; ]+"),
    **dict.fromkeys(("nesting", "keyctl", "fuse", "mknod", "force_rw_sys"), FLAG),
}
VOLUME = {
    "volume": Option(required=True, default_key=True),
    "size": TEXT,
    "mountoptions": TEXT,
    "idmap": TEXT,
    **dict.fromkeys(("acl", "ro", "quota", "replicate", "shared"), FLAG),
}
MOUNT_POINT = {**VOLUME, "backup": FLAG, "mp": Option(required=True), "keepattrs": FLAG}
DEVICE = {
    "path": Option(default_key=True),
    "mode": Option(pattern="0[0-7]{3}"),
    "uid": Option("integer", low=0),
    "gid": Option("integer", low=0),
    "deny-write": FLAG,
}
NETWORK = {
    "name": Option(required=True, pattern=r"[-_.\w\d]+"),
    "mtu": Option("integer", low=64, high=65535),
    "tag": Option("integer", low=1, high=4094),
    "rate": Option("number"),
    "type": Option(choices="veth"),
    **dict.fromkeys(("bridge", "hwaddr", "ip", "gw", "ip6", "gw6", "trunks"), TEXT),
    **dict.fromkeys(("firewall", "link_down", "host-managed"), FLAG),
}
OPTIONS = {
    "arch": Option(choices="amd64 i386 arm64 armhf riscv32 riscv64"),
    "cmode": Option(choices="shell console tty"),
    "cores": Option("integer", low=1, high=8192),
    "cpulimit": Option("number", low=0, high=8192),
    "cpuunits": Option("integer", low=0, high=500000),
    "features": Option(parts=FEATURES),
    "lock": Option(
        choices="backup create destroyed disk fstrim migrate mounted rollback snapshot"
        " snapshot-delete"
    ),
    "memory": Option("integer", low=16),
    "ostype": Option(
        choices="debian devuan ubuntu centos fedora opensuse archlinux alpine gentoo nixos"
        " unmanaged"
    ),
    "rootfs": Option(parts=VOLUME),
    "snaptime": Option("integer", low=0),
    "swap": Option("integer", low=0),
    "tty": Option("integer", low=0, high=6),
    **dict.fromkeys(("console", "debug", "onboot", "protection", "template", "unprivileged"), FLAG),
    **dict.fromkeys(
        (
            *("description", "entrypoint", "env", "hookscript", "hostname", "nameserver"),
            *("parent", "searchdomain", "startup", "tags", "timezone"),
        ),
        TEXT,
    ),
}
NUMBERED = {
    "net": (32, Option(parts=NETWORK)),
    "mp": (256, Option(parts=MOUNT_POINT)),
    "dev": (256, Option(parts=DEVICE)),
    "unused": (256, Option(parts={"volume": Option(required=True, default_key=True)})),
}


def option(key: str) -> Option | None:
    """The option of that name, mpN and its like included."""
    if key in OPTIONS:
        return OPTIONS[key]
    match = re.fullmatch(r"([a-z]+)(0|[1-9]\d*)", key)
    if match and match[1] in NUMBERED:
        count, found = NUMBERED[match[1]]
        if int(match[2]) < count:
            return found
    return None


def truth(value: str | None) -> bool:
    """What a boolean of a conf means."""
    return bool(value and TRUE.match(value))


def conf_value(key: str, value: str) -> str:
    """The value as the conf's parser takes it in, or FormatError (PVE::LXC::Config check_type)."""
    known = option(key)
    if known is None:
        raise FormatError(f"unknown setting '{key}'")
    if known.kind == "boolean":
        if not KINDS["boolean"].fullmatch(value):
            raise FormatError(f"type check ('boolean') failed - got '{value}'")
        return "1" if truth(value) else "0"
    strict = {"integer": r"\d+", "number": r"\d+(?:\.\d+)?"}.get(known.kind)
    if strict:
        if not re.fullmatch(strict, value):
            raise FormatError(f"type check ('{known.kind}') failed - got '{value}'")
        return str(int(value)) if known.kind == "integer" else value
    if known.parts:
        parts(known.parts, value)
    return value


def parts(known: dict[str, Option], text: str) -> dict[str, str]:
    """A comma-separated value as a dict, or FormatError (PVE::JSONSchema parse_property_string)."""
    found: dict[str, str] = {}
    default = next((key for key, part in known.items() if part.default_key), None)
    for part in text.split(","):
        if not part.strip():
            continue
        pair = re.match(r"([^=]+)=(.+)$", part)
        if pair:
            key, value = pair[1], pair[2]
        elif "=" in part:
            raise FormatError("missing key in comma-separated list property")
        elif default is None:
            raise FormatError("value without key, but schema does not define a default key")
        else:
            key, value = default, part
        if key in found:
            raise FormatError(f"duplicate key in comma-separated list property: {key}")
        found[key] = value
    problems: dict[str, str] = {}
    for key, value in found.items():
        if key not in known:
            problems[key] = (
                "property is not defined in schema and the schema does not allow additional"
                " properties"
            )
        elif why := known[key].problem(value):
            problems[key] = why
    for key, part_option in known.items():
        if part_option.required and key not in found:
            problems[key] = "property is missing and it is not optional"
    if problems:
        raise FormatError("format error", problems)
    return found


def refusal(key: str, value: str) -> str | None:
    """Why the API refuses a value: the line (or lines) that pct prints for the option."""
    known = option(key)
    if known is None:
        return None
    if known.parts:
        try:
            parts(known.parts, value)
        except FormatError as error:
            return f"{key}: invalid format - {error.lines(f'{key}.')}\n"
    why = known.problem(value)
    return f"{key}: {why}" if why else None
