"""The single values of a fleet file: how each may be written and what it is then.

Every function here takes what the JSON holds and gives the clean value, or raises
PydanticCustomError (a ValueError) that says what to write instead.
"""

from __future__ import annotations

import re

from pydantic_core import PydanticCustomError

from phoenix.apparmor.observed import PROFILE_NAME
from phoenix.pve.features import CANONICAL as FEATURES
from phoenix.pve.health import check_command, parse_url
from phoenix.pve.raw_keys import RawKey, parse_raw
from phoenix.pve.values import HIGHEST_CTID, LOWEST_CTID, check_value

SWITCHES = tuple(name for name in FEATURES if name != "mount")
"""Features of Proxmox that are on or off (pve-container LXC/Config.pm $features_desc)."""

_TRUE, _FALSE = ("1", "on", "yes", "true"), ("0", "off", "no", "false")
MOUNT_TYPES = re.compile(r"[a-zA-Z0-9_]+(;[a-zA-Z0-9_]+)*", re.ASCII)
"""Value of the mount feature: file system types (pve-container $features_desc)."""
AUDITED_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+", re.ASCII)
"""A path without a character that means something in a rule (apparmor.d(5), globbing)."""
MAX_GPU = 31
"""Highest minor number of an NVIDIA node that is taken for a GPU."""


def wrong(hint: str) -> PydanticCustomError:
    """Make the error that says what to write instead; braces in it stay braces."""
    return PydanticCustomError("fleet", "{hint}", {"hint": hint})


def one_line(text: str) -> str:
    """Check that a text is printable: it ends up in lines and on terminals."""
    if not text.isprintable():
        raise wrong("must not hold control characters, line breaks or broken Unicode")
    return text


def name(text: str) -> str:
    """Check a name that people gave: not empty, and no option look-alike."""
    if not one_line(text).strip() or text.startswith("-"):
        raise wrong("a name must not be empty or begin with '-'")
    return text


def path(text: str) -> str:
    """Check an absolute path and bring it to its plain form, without doubled slashes."""
    if not one_line(text).startswith("/"):
        raise wrong("an absolute path is expected, beginning with /")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise wrong("a path must not hold '..'")
    if "\\" in text:
        raise wrong("write blanks as blanks: they are escaped where it is needed")
    return "/" + "/".join(parts)


def guest_path(text: str) -> str:
    """Check an absolute path inside a container, other than its root."""
    plain = path(text)
    if plain == "/":
        raise wrong("a directory inside the container is expected, not its root")
    return plain


def audited_path(text: str) -> str:
    """Check a path that a rule of a profile names."""
    plain = guest_path(text)
    if not AUDITED_PATH.fullmatch(plain):
        raise wrong("a rule names only paths of letters, digits, / and . _ + -")
    return plain


def dataset(text: str) -> str:
    """Check the name of a ZFS pool, dataset or plain folder below `/`."""
    parts = name(text).split("/")
    if any(part in ("", ".", "..") or part.startswith("-") for part in parts):
        raise wrong("a dataset is expected, as in tank/data: no '..', no leading / or '-'")
    if re.search(r"[\\@#%]", text):
        raise wrong("a dataset's name has none of \\ @ # %")
    return text


def profile(text: str) -> str:
    """Check the value of `apparmor_profile`; an error names the right spelling."""
    if text in ("unconfined", "generated") or PROFILE_NAME.fullmatch(text):
        return text
    one_of = "one of: a profile's name (lxc-…), generated, unconfined, or null"
    if "//" in text:
        raise wrong("name the profile alone; for its stacked form add apparmor_stacking: true")
    hyphens = text.strip().lower().replace("_", "-")
    if PROFILE_NAME.fullmatch(hyphens) or hyphens in ("unconfined", "generated"):
        # measured: lxc-start may enter lxc-* only, lxc_docker_nested fails with EACCES
        raise wrong(f"write '{hyphens}'; lxc-start may enter only names that begin with lxc-")
    if hyphens.startswith("lxc-"):
        raise wrong("a profile's name has letters, digits, '.', '_' and '-', at most 63 of them")
    raise wrong(f"lxc-start may enter only names that begin with lxc-; {one_of}")


def raw_key(value: object) -> RawKey:
    """Read one item of `lxc_options`; a tab separates like a blank."""
    if not isinstance(value, str):
        raise wrong("text is expected, in double quotes")
    try:
        return parse_raw(one_line(value.replace("\t", " ")))
    except ValueError as error:
        raise wrong(str(error)) from None


_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._~+%/-]*)?",
    re.ASCII,
)
_ARMOUR = re.compile(
    r"\s*-----BEGIN PGP PUBLIC KEY BLOCK-----\n[\n -~]{1,65536}"
    r"\n-----END PGP PUBLIC KEY BLOCK-----\s*",
    re.ASCII,
)
_FINGERPRINT = re.compile(r"[0-9A-F]{40}")


def web_address(text: str) -> str:
    """Check the address of a package repository; it is without a slash at its end then."""
    if "@" in text:
        raise wrong("an address without user and password is expected")
    if len(text) > 1000 or not _ADDRESS.fullmatch(text):
        raise wrong("an address is expected, as in https://example.org/docker")
    return text.rstrip("/")


def openpgp_key(text: str) -> str:
    """Check that a text looks like one ASCII-armoured key (RFC 9580, 6.2); it ends with a line end.

    Whether it is one, and whose, `gpg` says.
    """
    plain = text.replace("\r\n", "\n")
    if not _ARMOUR.fullmatch(plain) or plain.count("-----BEGIN") != 1:
        raise wrong("one key is expected: -----BEGIN PGP PUBLIC KEY BLOCK----- … -----END …")
    return f"{plain.strip()}\n"


def fingerprint(text: str) -> str:
    """Read the fingerprint of an OpenPGP key: 40 capital hex digits, the blanks taken out."""
    plain = re.sub(r"\s", "", one_line(text)).upper()
    if not _FINGERPRINT.fullmatch(plain):
        raise wrong("40 hex digits are expected, as gpg --show-keys --fingerprint prints them")
    return plain


VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
"""Name of an AppArmor variable (apparmor.d(5), Variables)."""
VARIABLE_VALUE = re.compile(
    r"[A-Za-z0-9/*{]([A-Za-z0-9/*?{}\[\]^._:,+-]*[A-Za-z0-9/*?}\]_])?", re.ASCII
)
"""One value of it: a path or name, with AppArmor's globs, without quotes, blanks and variables."""


def variable(text: str) -> str:
    """Check the name of an AppArmor variable, as it stands between `@{` and `}`."""
    if not VARIABLE.fullmatch(text):
        raise wrong("a variable's name is expected, without @{}: letters, digits and '_'")
    return text


def variable_value(text: str) -> str:
    """Check one value of an AppArmor variable; several are several items of the list."""
    if not VARIABLE_VALUE.fullmatch(text):
        raise wrong("a path or a name is expected, as in lxc-docker-nested or /srv/{a,b}/")
    return text


def rule(text: str) -> str:
    """Check one item of `apparmor_raw`; its syntax is for the node's parser to judge."""
    if not one_line(text).strip() or text.strip().startswith("lxc."):
        raise wrong('the rule alone is expected, as in "deny mount fstype=debugfs,"')
    try:
        check_value("lxc.apparmor.raw", text)
    except ValueError as error:
        raise wrong(str(error)) from None
    return text.strip()


def feature(name: str, value: object) -> tuple[str, str]:
    """Read one Proxmox feature: its name, and its value as in the conf (`"1"`, `"nfs;cifs"`)."""
    if name not in FEATURES:
        raise wrong(f"unknown feature; one of {', '.join(FEATURES)}")
    text = str(value).lower() if isinstance(value, bool | int) else value
    if isinstance(text, str):
        if name == "mount" and MOUNT_TYPES.fullmatch(text) and not isinstance(value, bool | int):
            return name, text
        if name != "mount" and text.lower() in _TRUE + _FALSE:
            return name, "1" if text.lower() in _TRUE else "0"
    right = "mount=nfs;cifs" if name == "mount" else f"{name}=1 or {name}=0"
    raise wrong(f"write {right}")


def pct_option(value: object) -> tuple[tuple[str, str], ...]:
    """Read `nesting=1`, `nesting: 1`, `nesting=1,keyctl=1` or `{"nesting": true}`."""
    if isinstance(value, dict):
        return tuple(feature(name, setting) for name, setting in value.items())
    if not isinstance(value, str):
        raise wrong('text is expected, as in "nesting=1"')
    pairs = []
    for part in one_line(value).split(","):
        match = re.fullmatch(r"\s*([^=:\s]+)\s*[=:]\s*(.*?)\s*", part)
        if match:
            pairs.append(feature(match[1], match[2]))
        elif part.strip() in SWITCHES:
            raise wrong(f"write {part.strip()}=1 or {part.strip()}=0")
        else:
            raise wrong(f"write FEATURE=1, FEATURE one of {', '.join(FEATURES)}")
    return tuple(pairs)


def pct_member(value: object) -> object:
    """Check the type of a value in the object form of `pct_options`."""
    if isinstance(value, bool | int | str):
        return value
    raise wrong("1, 0, true or false is expected")


def gpus(value: object) -> tuple[int, ...]:
    """Read `gpu_assignment`: `"none"`, `"0"`, `"0, 1"`, a number or null."""
    right = '"none", "0" or "0,1" is expected: the numbers of the GPUs'
    if value is None or value in ("none", ""):
        return ()
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong(right)
    parts = [part.strip() for part in str(value).split(",")]
    if not all(re.fullmatch(r"[0-9]{1,2}", part, re.ASCII) for part in parts):
        raise wrong(right)
    numbers = tuple(int(part) for part in parts)
    if max(numbers) > MAX_GPU or len(set(numbers)) < len(numbers):
        raise wrong(f"each GPU once, numbers from 0 to {MAX_GPU}")
    return numbers


def command(value: object) -> tuple[str, ...]:
    """Read the command of a `health_check`: a text for the guest's sh, or a list of words."""
    words = ["sh", "-c", value] if isinstance(value, str) else value
    if not isinstance(words, list) or (isinstance(value, str) and not value.strip()):
        raise wrong('a command is expected, as in "curl -fs http://localhost" or ["true"]')
    try:
        check_command(tuple(words))
    except ValueError as error:
        raise wrong(str(error)) from None
    return tuple(words)


def url(text: str) -> str:
    """Check the URL of a `health_check`."""
    try:
        parse_url(text)
    except ValueError as error:
        raise wrong(str(error)) from None
    return text


def ctid(value: object) -> int:
    """Read a container's id from text or a number, leading zeros allowed."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong("a container's id is expected")
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,30}", text, re.ASCII):
        raise wrong("a container's id is digits only")
    if not LOWEST_CTID <= int(text) <= HIGHEST_CTID:
        raise wrong(f"a container's id is between {LOWEST_CTID} and {HIGHEST_CTID}")
    return int(text)
