"""How a container shall be confined, and the names that follow from it.

A template has up to four forms, each a profile by its own name, so that containers with different
confinements live side by side on a node and replacing one form never touches the users of another:

    lxc-a               enforced
    lxc-a-ns            stacked: enforced, over a policy namespace of the container's own
    lxc-a-complain      for learning: logs what it would deny
    lxc-a-ns-complain   both

Each of them may be one container's own, `lxc-a-910`, `lxc-a-910-ns` and so on: what is granted or
logged for that container alone is in no other's profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from phoenix.apparmor.observed import HOOK, PROFILE_NAME, Label, generated_profile
from phoenix.fleet.model import Container
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.includes import NO_INCLUDES, IncludedLine, Includes
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.raw_keys import RawKey
from phoenix.text.printable import printable

#: The key of a conf that names the profile.
PROFILE_KEY = "lxc.apparmor.profile"
#: The key that brings in a file, or a folder of them.
INCLUDE_KEY = "lxc.include"
#: What LXC takes where the last line names none (lxc, src/lxc/lsm/apparmor.c).
_WITHOUT = "lxc-container-default-cgns"

#: What the conf of a stacked container has beside its profile: LXC makes a namespace for its
#: generated profile only, and Docker looks for AppArmor's files (measured).
STACKED = (
    RawKey("lxc.mount.entry", "/sys/kernel/security sys/kernel/security none bind,optional 0 0"),
    RawKey("lxc.hook.pre-start", HOOK),
    RawKey("lxc.hook.post-stop", HOOK),
)

_MODES: tuple[Literal["enforce", "complain"], ...] = ("enforce", "complain")


@dataclass(frozen=True)
class Confinement:
    """A profile that a container shall have, and in which form.

    `template`: a template's name, or `generated` or `unconfined`, which have one form only.
    `own`: the container whose own profile it is, None for one that others may use as well;
    `allows`, `audits` and `overlay`: what it grants and logs beyond those
    (`phoenix.fleet.model.Container`).

    >>> Confinement("lxc-a", stacked=True, mode="complain").profile
    'lxc-a-ns-complain'
    >>> Confinement("lxc-a", own=910, allows=("guest-mounts",)).profile
    'lxc-a-910'
    """

    template: str
    stacked: bool = False
    mode: Literal["enforce", "complain"] = "enforce"
    own: int | None = None
    allows: tuple[str, ...] = ()
    audits: tuple[str, ...] = ()
    overlay: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether a profile of its own name is meant (not `generated`, not `unconfined`)."""
        return self.template not in ("generated", "unconfined")

    @property
    def learning(self) -> bool:
        """Whether the profile shall only log."""
        return self.named and self.mode == "complain"

    @property
    def profile(self) -> str:
        """The name of the profile; of one of ours that by which the kernel has it."""
        if not self.named:
            return self.template
        own = "" if self.own is None else f"-{self.own}"
        complain = "-complain" if self.mode == "complain" else ""
        return f"{self.template}{own}{'-ns' if self.stacked else ''}{complain}"

    def label(self, ctid: int) -> Label | None:
        """What the container's PID 1 shall carry as the node sees it, None where nothing is asked.

        The inner half of a generated profile is Proxmox's affair, and not in it.
        """
        if self.template == "unconfined":
            return None
        if self.template == "generated":
            return Label(generated_profile(ctid), "enforce")
        return Label(self.profile, self.mode, _namespace(ctid) if self.stacked else "")

    def conf_value(self, ctid: int) -> str:
        """The value of `lxc.apparmor.profile` that stands for it."""
        label = self.label(ctid) if self.named else None
        return label.stack if label else self.template

    @property
    def raw(self) -> tuple[RawKey, ...]:
        """The other raw lines that it needs."""
        return STACKED if self.named and self.stacked else ()

    def problem(self, templates: Iterable[str]) -> str | None:
        """Why this form cannot have its name, or None; `templates`: the names of all of them.

        Where two templates could have a form of one name, it belongs to the longer one.
        """
        others = [name for name in templates if len(name) > len(self.template)]
        for other in others if self.named else ():
            if any(form.profile == self.profile for form in forms(other)):
                return (
                    f"its form would be called {self.profile}, and {other} is a template of its "
                    "own: rename that one"
                )
        if self.named and not PROFILE_NAME.fullmatch(self.profile):
            return f"its form would be called {self.profile}: longer than 63 characters"
        return None


def wanted(container: Container, options: Options) -> Confinement:
    """How a container shall be confined; `--data` goes for containers with Docker."""
    confinement = Confinement(container.profile, container.stacking, container.mode)
    if container.docker:
        confinement = Confinement(
            options.profile or confinement.template,
            confinement.stacked if options.stacking is None else options.stacking,
            options.mode or confinement.mode,
        )
    alone = container.own or container.allows or container.audits
    if not confinement.named or not (alone or container.overlay is not None):
        return confinement
    return replace(
        confinement,
        own=container.ctid,
        allows=container.allows,
        audits=container.audits,
        overlay=container.overlay or (),
    )


def winner(conf: PveConf, includes: Includes = NO_INCLUDES) -> tuple[str, IncludedLine | None]:
    """The profile that a container is started with, and the line of an include that says so.

    LXC takes the last one. Proxmox writes its own before all raw lines of the conf, and these in
    their order (pve-container `update_lxc_config`, `make_apparmor_config`). Of an include nothing
    counts but what is known of it.
    """
    found: tuple[str, IncludedLine | None] = ("generated", None)
    for key, value in conf.main.raw_items():
        if key == PROFILE_KEY:
            found = value, None
        elif key == INCLUDE_KEY and value in includes:
            for line in includes[value].lines:
                if line.raw.key == PROFILE_KEY:
                    found = line.raw.value or _WITHOUT, line
    return found


def named_in(conf: PveConf, includes: Includes = NO_INCLUDES) -> str:
    """The profile that a conf names: without one Proxmox generates it (make_apparmor_config)."""
    return winner(conf, includes)[0]


def says_open(conf: PveConf, includes: Includes = NO_INCLUDES) -> str:
    """What a conf says of the profile if that confines nothing, "" if it confines the container.

    lxc.container.conf(5): `unchanged` is the label of lxc-start, which may leave it. Without
    confinement is also what is unconfined in a policy namespace alone.
    """
    named, line = winner(conf, includes)
    is_open = Label.parse(named).profile.rpartition(":")[2] in ("unconfined", "unchanged")
    return "" if not is_open else f"{named} (by {line.place})" if line else named


def until_restart(said: str) -> str:
    """What is to be said of one that runs confined, with a conf that says otherwise (`said`)."""
    return f"confined until it is restarted: its conf says {printable(said, None)}"


def unproven(observed: ObservedContainer, usable: bool) -> str:
    """Why a container that shows no label is not taken for confined, "" if it is.

    A stopped one counts by its conf; `usable`: the node's AppArmor is.
    """
    if observed.running:
        return "runs, and its label cannot be read"
    if not usable:
        return "stopped, and would start without AppArmor"
    if said := says_open(observed.conf, observed.includes):
        return f"stopped, its conf says {printable(said, None)}"
    if unread := unread_includes(observed):
        files = printable(", ".join(unread), None)
        return f"stopped, its conf includes {files}, which may name another profile"
    return ""


def unread_includes(observed: ObservedContainer) -> tuple[str, ...]:
    """Those of its includes that nobody could read to their end."""
    known = observed.includes
    values = dict.fromkeys(filter(None, observed.conf.main.raw(INCLUDE_KEY)))
    return tuple(value for value in values if value not in known or known[value].why)


def template_text(observed: ObservedContainer) -> str:
    """What is to be said of a template: it never runs, and its clones have its conf."""
    said = printable(says_open(observed.conf, observed.includes), None)
    return (
        f"template; its conf says {said}, and so will those of its clones" if said else "template"
    )


def is_learning(label: Label) -> bool:
    """Whether a label is that of a profile which was loaded for learning."""
    return label.mode == "complain" and label.profile.endswith("-complain")


def _namespace(ctid: int) -> str:
    """The inner half of a stacked label, as LXC names it for its own (lxc, lsm/apparmor.c)."""
    return f":lxc-{ctid}_<-var-lib-lxc>:unconfined"


def forms(template: str, own: int | None = None) -> Iterator[Confinement]:
    """The forms of a template; `own`: those of a container's own."""
    for stacked in (False, True):
        for mode in _MODES:
            yield Confinement(template, stacked, mode, own)
