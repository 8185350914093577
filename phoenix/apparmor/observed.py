"""AppArmor as the product sees it: labels, and what a node can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: lxc-start may enter only these (AppArmor's own `usr.bin.lxc-start`: `change_profile -> lxc-*`).
PROFILE_NAME = re.compile(r"lxc-[A-Za-z0-9][A-Za-z0-9._-]{0,58}")

_OWN = re.compile(r"-([1-9][0-9]{2,8})(?:-ns)?(?:-complain)?$")

#: The line by which a profile file is known to be ours to replace.
MARKER = "# Managed by phoenix-harden:"

#: The tunables file that people break, in `/etc/apparmor.d`.
TUNABLES_HOME = "tunables/home"

#: The tunables file that is ours: the site's own variables, from the fleet file.
TUNABLES_SITE = "tunables/global.d/phoenix-harden"

#: The features by which profiles are compiled: those of AppArmor 4.0, and ours
#: (`phoenix.apparmor.abi`).
ABI_BASE = "abi/4.0"
ABI_OURS = "abi/phoenix-harden"

#: Where AppArmor has its files, on a node.
FOLDER = "/etc/apparmor.d"

ABI = f"{FOLDER}/{ABI_OURS}"

#: The program that makes a container's policy namespace and removes it (templates/node), on a node.
HOOK = "/usr/local/lib/phoenix-harden/namespace"

#: The mode of the kernel's AppArmor that goes for every profile and stands in none's label (linux,
#: security/apparmor/include/policy.h COMPLAIN_MODE, label.c label_modename).
_ONLY_LOGS = "complain"

#: The files of a node that are ours alone, profiles aside, and their modes.
OWN_FILES = {HOOK: 0o755, ABI: 0o644}


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

    @property
    def stack(self) -> str:
        """Both halves, without the mode."""
        return f"{self.profile}//&{self.inner}" if self.inner else self.profile

    @property
    def namespace(self) -> str:
        """The policy namespace of the inner half, "" without one."""
        return self.inner[1:].partition(":")[0] if self.inner.startswith(":") else ""

    def matches(self, wanted: Label) -> bool:
        """Whether the profile is that of a wanted label, and stacked if that is.

        The mode is not compared; nor is what the guest makes of its own half.
        """
        inside = not wanted.inner or self.namespace == wanted.namespace
        return self.profile == wanted.profile and inside

    def __str__(self) -> str:
        return f"{self.stack} ({self.mode})" if self.mode else self.stack


def generated_profile(ctid: int) -> str:
    """The name of the profile that LXC generates for a container (lxc, src/lxc/lsm/apparmor.c)."""
    return f"lxc-{ctid}_</var/lib/lxc>"


def own_ctid(profile: str) -> int | None:
    """The container that a profile is called after as its own: `NAME-CTID`
    (`phoenix.plan.confinement`).
    """
    own = _OWN.search(profile)
    return int(own[1]) if own else None


@dataclass(frozen=True)
class ObservedAppArmor:
    """What a node says of its AppArmor.

    `enabled`: it is on in the kernel; `mode`: that of the kernel's AppArmor as a whole, "" where it
    is not told; `parser`: version of `apparmor_parser`, None when missing;
    `abis`: files in `/etc/apparmor.d/abi`; `loaded`: profile name to mode; `files`: text of the
    asked-for files in `/etc/apparmor.d`, without those that are missing; `TUNABLES_HOME`,
    `TUNABLES_SITE`, `ABI_BASE` and `ABI_OURS` are always asked for. `tunables_error`: what the
    parser says of `include <tunables/global>`, "" if it takes it; `files` then has the files of
    `tunables/home.d`, too.
    `hook`: the text of the script for policy namespaces (`HOOK`), None unless it is there and
    executable. `reads_global_d`: `tunables/global` includes `tunables/global.d`
    (AppArmor 3.0 as Debian 12 ships it does not). `stale`: the profiles that the kernel has with
    another text than their files, as far as it tells.
    """

    enabled: bool = False
    parser: tuple[int, ...] | None = None
    abis: tuple[str, ...] = ()
    loaded: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    tunables_error: str = ""
    hook: str | None = None
    reads_global_d: bool = False
    stale: tuple[str, ...] = ()
    mode: str = ""

    def own_file(self, path: str) -> str | None:
        """The text of one of `OWN_FILES`, None where it is not there as it must be."""
        return self.hook if path == HOOK else self.files.get(path.removeprefix(f"{FOLDER}/"))

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
        if self.mode == _ONLY_LOGS:
            return (
                f"AppArmor as a whole is in mode {self.mode}: it only logs violations, whatever "
                "the labels say: echo enforce >/sys/module/apparmor/parameters/mode, and take "
                "apparmor.mode off the kernel's line"
            )
        if self.parser is None:
            return "apparmor_parser is missing: apt install apparmor"
        return None


def apparmor_from_json(data: Mapping[str, Any]) -> ObservedAppArmor:
    """Read the section `apparmor` of the node's answer (`node.apparmor`)."""
    parser = data["parser"]
    return ObservedAppArmor(
        enabled=data["enabled"],
        parser=None if parser is None else tuple(parser),
        abis=tuple(data["abis"]),
        loaded=data["loaded"],
        files=data["files"],
        tunables_error=data["tunables_error"],
        hook=data["hook"],
        reads_global_d=data["reads_global_d"],
        stale=tuple(data["stale"]),
        # a node's program of before does not tell
        mode=data.get("mode", ""),
    )
