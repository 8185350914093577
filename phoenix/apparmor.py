"""AppArmor as the product sees it: labels, what a node can do, and the profiles rendered for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from jinja2 import DictLoader, Environment, StrictUndefined

#: lxc-start may enter only these (AppArmor's own `usr.bin.lxc-start`: `change_profile -> lxc-*`).
PROFILE_NAME = re.compile(r"lxc-[A-Za-z0-9][A-Za-z0-9._-]{0,58}")

#: The line by which a profile file is known to be ours to replace.
MARKER = "# Managed by phoenix-harden:"

#: The tunables file that people break, in `/etc/apparmor.d`.
TUNABLES_HOME = "tunables/home"


@dataclass(frozen=True)
class Label:
    """A task's AppArmor label as the host reads it in `/proc/PID/attr/apparmor/current`.

    A stacked label holds the word "unconfined" and is confined all the same: its first part, the
    one in the host's namespace, decides.

    >>> Label.parse("lxc-a//&:lxc-910_<-var-lib-lxc>:unconfined (enforce)")
    Label(profile='lxc-a', mode='enforce', inner=':lxc-910_<-var-lib-lxc>:unconfined')
    >>> Label.parse("unconfined").confined
    False
    """

    profile: str
    mode: str
    inner: str = ""

    @classmethod
    def parse(cls, text: str) -> Label:
        """Read one label; a text without a mode (`unconfined`) has the mode ""."""
        text = text.strip("\0\n ")
        stack, mode = text, ""
        if text.endswith(")") and " (" in text:
            stack, mode = text[:-1].rsplit(" (", 1)
        profile, _, inner = stack.partition("//&")
        return cls(profile, mode, inner)

    @property
    def confined(self) -> bool:
        """Whether the host's policy is enforced on the task."""
        return self.profile != "unconfined" and self.mode == "enforce"

    def __str__(self) -> str:
        stack = f"{self.profile}//&{self.inner}" if self.inner else self.profile
        return f"{stack} ({self.mode})" if self.mode else stack


def generated_profile(ctid: int) -> str:
    """The name of the profile that LXC generates for a container (lxc, src/lxc/lsm/apparmor.c)."""
    return f"lxc-{ctid}_</var/lib/lxc>"


@dataclass(frozen=True)
class ObservedAppArmor:
    """What a node says of its AppArmor.

    `enabled`: the kernel enforces it; `parser`: version of `apparmor_parser`, None when missing;
    `abis`: files in `/etc/apparmor.d/abi`; `loaded`: profile name to mode; `files`: text of the
    asked-for files in `/etc/apparmor.d`, without those that are missing; `tunables/home` is always
    asked for. `tunables_error`: what the parser says of `include <tunables/global>`, "" if it
    takes it; `files` then has the files of `tunables/home.d`, too.
    """

    enabled: bool = False
    parser: tuple[int, ...] | None = None
    abis: tuple[str, ...] = ()
    loaded: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    tunables_error: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    @property
    def problem(self) -> str | None:
        """Why no profile can be used on this node and what to do, or None."""
        if not self.enabled:
            return (
                "AppArmor is not enabled in the running kernel: boot it with "
                "apparmor=1 security=apparmor (cat /sys/module/apparmor/parameters/enabled)"
            )
        if self.parser is None:
            return "apparmor_parser is missing: apt install apparmor"
        return None


def parse_apparmor(lines: list[str]) -> ObservedAppArmor:
    """Read the answer of `templates/node/apparmor.sh`, one record a line, unknown ones skipped."""
    enabled, parser, tunables_error = False, None, ""
    abis: list[str] = []
    loaded: dict[str, str] = {}
    files: dict[str, str] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "enabled":
            enabled = rest == "Y"
        elif word == "parser" and (numbers := re.findall(r"\d+", rest)):
            parser = tuple(int(number) for number in numbers[:3])
        elif word == "abi":
            abis.append(rest)
        elif word == "loaded" and rest.endswith(")") and " (" in rest:
            name, mode = rest[:-1].rsplit(" (", 1)
            loaded[name] = mode
        elif word == "file":
            name, _, text = rest.partition(" ")
            files[name] = _decoded(text)
        elif word == "tunables":
            tunables_error = _decoded(rest.removeprefix("broken "))
    return ObservedAppArmor(enabled, parser, tuple(abis), loaded, files, tunables_error)


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


class ProfileError(ValueError):
    """A profile cannot be rendered: nobody wrote its template, or the template is broken."""


def render_profile(name: str, sources: Mapping[str, str], node: ObservedAppArmor) -> str:
    """Render the template `NAME.j2` for a node's parser and abstractions.

    `sources`: file name to template text. Raises `ProfileError`.
    """
    if f"{name}.j2" not in sources:
        known = ", ".join(profile_names(sources))
        raise ProfileError(f"no template {name}.j2; there are: {known}")
    # AppArmor profiles are no HTML: nothing to escape
    environment = Environment(
        loader=DictLoader(dict(sources)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    modern = node.parser is not None and node.parser >= (4, 0)
    values = {
        "marker": MARKER,
        "name": name,
        "abi": next((abi for abi in ("4.0", "3.0") if abi in node.abis), None),
        # rule classes and a mount flag that parsers before 4.0 do not know
        "has_userns": modern,
        "has_mqueue": modern,
        "nosymfollow": "nosymfollow," if modern else "",
    }
    try:
        return environment.get_template(f"{name}.j2").render(values)
    except Exception as error:  # what a template says runs, and may fail in any way
        line = getattr(error, "lineno", None)
        file = getattr(error, "name", None) or f"{name}.j2"
        where = f" (line {line} of {file})" if line else ""
        raise ProfileError(f"{name}.j2 does not render{where}: {error}") from None


def profile_names(sources: Iterable[str]) -> list[str]:
    """The profiles that files of templates declare: `lxc-*.j2`; the rest is shared text."""
    return sorted(
        stem
        for file in sources
        if PROFILE_NAME.fullmatch(stem := file.removesuffix(".j2")) and file.endswith(".j2")
    )
