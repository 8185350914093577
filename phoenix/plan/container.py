"""What becomes of one container: its conf, its Docker, whether it restarts, or why it is left."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from phoenix.apparmor.observed import Label
from phoenix.docker.architecture import of_conf
from phoenix.docker.names import PROBES
from phoenix.docker.observed import ObservedDocker
from phoenix.fleet.model import Container
from phoenix.fleet.overlays import overlay_file
from phoenix.fleet.permits import permits
from phoenix.plan.actions import ContainerChange
from phoenix.plan.collisions import collision_fix, collision_text
from phoenix.plan.conf import ConfPlan, holders, plan_conf, restart_reasons
from phoenix.plan.confinement import Confinement, wanted, winner
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.guest import GuestPlan, plan_guest, with_install
from phoenix.plan.install import InstallChange, install_obstacle, lacks_docker, wanted_install
from phoenix.plan.options import Force, Options
from phoenix.plan.refusals import TEMPLATES, Refusal, is_under_its_rules, refusals
from phoenix.plan.silent_mounts import silent_fix, silent_text
from phoenix.pve.application import is_application, program
from phoenix.pve.dev_nodes import collisions
from phoenix.pve.features import Features
from phoenix.pve.ha import RUNS, SETTLE, unsettled
from phoenix.pve.health import NAME as HEALTH
from phoenix.pve.managed import Managed
from phoenix.pve.observed import ObservedContainer
from phoenix.pve.privileged import NOT_HELD, WAY_OUT, is_privileged
from phoenix.pve.storage import ObservedStorage
from phoenix.text.printable import printable
from phoenix.text.some import some

_BASED = re.compile(r"{%-? *extends *[\"']base\.j2[\"']")

#: What each finding begins with that says why a container stays as it is.
_ALONE = "left alone: "

#: So many of the things that a profile would refuse are told of a container.
_SHOWN = 5


@dataclass(kw_only=True)
class ContainerPlanner:
    """The planning of one container; `findings` is what it has to say.

    `docker`: None where nobody asked the guest; `sources`: what its profile will name beside its
    patterns; `withdrawn`: what the installed one grants and the new one no longer does;
    `no_room`: why its data root finds no place in its profile, "" if it does.
    """

    container: Container
    options: Options
    observed: ObservedContainer
    storage: ObservedStorage
    docker: ObservedDocker | None
    templates: Mapping[str, str]
    sources: Collection[str] = ()
    withdrawn: Collection[str] = ()
    no_room: str = ""
    findings: list[Finding] = field(default_factory=list)
    #: The Docker to install once it is confined, None for none.
    install: InstallChange | None = field(default=None, init=False)

    def plan(self) -> ContainerChange | None:
        """What is to be done, None for nothing; why is among the findings."""
        if reason := left_alone(self.observed, self.options):
            self._leave_held(*reason)
            return None
        return self._plan()

    def _plan(self) -> ContainerChange | None:
        if not self._has_a_form():
            return None
        self._ask_for_permits()
        try:
            guest = self._guest()
            if alone := self._cannot(guest):
                self._leave(*alone)
                return None
            asked = _with_fuse(self.container, guest)
            conf = plan_conf(
                asked, self._confinement, self.observed, self.storage, self.options.reconfine
            )
        except ValueError as error:
            self._error(Code.CONF_REFUSED, str(error))
            return None
        if overruled := self._overruled(conf):
            self._leave(Code.INCLUDED, *overruled)
            return None
        if colliding := collisions(conf.after, self.observed.ctid):
            text, fix = collision_text(colliding), collision_fix(colliding, self.observed.ctid)
            self._leave(Code.COLLISION, text, fix)
            return None
        self._tell(conf, guest)
        change = self._change(conf, self._in_time(guest))
        if guest.install:
            self.install = InstallChange(
                ctid=self.observed.ctid,
                name=self._name,
                install=guest.install,
                before=self.observed.conf,
                label=self._confinement.label(self.observed.ctid),
                architecture=self._architecture,
            )
        return change

    # --- its steps ------------------------------------------------------------------------------

    def _has_a_form(self) -> bool:
        """Whether what the fleet file asks for is there for such a profile."""
        confinement, its = self._confinement, self.container
        name = "apparmor_profile, or --data profile=NAME"
        if confinement.mode == "complain" and confinement.template == "generated":
            self._error(
                Code.NEEDS_NAMED_PROFILE,
                "mode=complain needs a named profile, but this container uses Proxmox's generated "
                "one",
                f"name one ({name}), or drop mode=complain",
            )
            return False
        its_own = {
            "apparmor_allows and apparmor_audit need": bool(its.allows or its.audits),
            f"{overlay_file(its.ctid)} needs": its.overlay is not None,
        }
        given = [what for what, is_given in its_own.items() if is_given and not confinement.named]
        for what in given:
            self._error(
                Code.NEEDS_NAMED_PROFILE,
                f"{what} a named profile, but this container's is {confinement.template}",
                f"name one ({name}), or drop them",
            )
        return not given

    def _ask_for_permits(self) -> None:
        for permit in permits(self.container, self.storage, is_privileged(self.observed.conf)):
            if permit.word in self.options.allow:
                self._note(Code.PERMIT_GIVEN, f"allowed ({permit.word}): {permit}")
            else:
                self._error(
                    Code.PERMIT_MISSING,
                    f"{self.options.fleet}, {permit}",
                    f"take it out there, or say that it is meant: --data allow={permit.word}",
                )

    def _guest(self) -> GuestPlan:
        if not self.container.docker:
            return GuestPlan()
        has_fuse = Features.parse(self.observed.conf.main["features"]).on("fuse")
        guest = plan_guest(
            self.container.storage_driver,
            self.docker,
            self._managed.daemon,
            has_fuse,
            self.options.force,
        )
        if self.docker is None or self._in_the_way_of_docker is not None:
            return guest
        install = wanted_install(self.container, self.docker)
        return with_install(guest, install, self.docker, has_fuse) if install else guest

    @cached_property
    def _in_the_way_of_docker(self) -> tuple[Code, Severity, str, str] | None:
        """Why this run installs no Docker: what to say of it, "" for nothing. None if it does."""
        docker = self.docker
        nothing = (Code.DOCKER_MISSING, Severity.NOTE, "", "")
        if docker is None or not lacks_docker(docker):
            return nothing
        install = wanted_install(self.container, docker)
        text = "the fleet file lists docker, but Docker is not installed"
        if not (self.options.install and install):
            if docker.state != "none":
                return nothing
            fix = "harden with --data install=true installs it" if install else ""
            said = "Docker checks skipped" if install else "docker_source keep leaves it so"
            return Code.DOCKER_MISSING, Severity.NOTE, f"{text}; {said}", fix
        if obstacle := install_obstacle(install, docker):
            return Code.DOCKER_MISSING, self._weight, f"{text}, and cannot be: {obstacle}", ""
        if self.options.restart == "never":
            said = f"{text}: that waits for a run that may restart (restart=never)"
            return Code.RESTART_DUE, Severity.NOTE, said, ""
        return None

    def _cannot(self, guest: GuestPlan) -> tuple[Code, str] | None:
        """What only the guest's own words stand against: it stops nobody else."""
        if guest.alone:
            return Code.GUEST, guest.alone
        if guest.problems:
            return Code.STORAGE_DRIVER, "; ".join(guest.problems)
        if (
            guest.fuse
            and (guest.driver or guest.install)
            and self.container.features.get("fuse", "1") != "1"
        ):
            return Code.FUSE, "fuse-overlayfs needs fuse=1, and pct_options says fuse=0"
        return (Code.DATA_ROOT, self.no_room) if self.no_room else None

    def _overruled(self, conf: ConfPlan) -> tuple[str, str] | None:
        """By which include another profile wins than the one that is wanted, and what to do.

        One with a name is put behind it; Proxmox's generated one has no line in the conf.
        """
        named, line = winner(conf.after, self.observed.includes)
        if line is None or self._confinement.template != "generated" or named == "generated":
            return None
        return (
            f"{line.place}, which its conf includes, says lxc.apparmor.profile: {named}, and that "
            "comes after the profile that Proxmox generates",
            "take that line, or the lxc.include, out; or name a profile in the fleet file",
        )

    def _tell(self, conf: ConfPlan, guest: GuestPlan) -> None:
        for text in conf.notes:
            self._note(Code.CONF, text)
        for text in guest.notes:
            self._note(Code.DOCKER, text)
        if (missing := self._in_the_way_of_docker) and missing[2]:
            self._say(*missing)
        if self.container.docker and not self.observed.running:
            self._note(Code.DOCKER_UNSEEN, "stopped: Docker inside was not checked")
        # what else waits beside raw lines is the smaller matter
        if self._waiting and not self.observed.conf.waiting_raw:
            text = f"{self._waiting} waits in [pve:pending] for the next start"
            self._note(Code.PENDING_KEYS, text)

    def _in_time(self, guest: GuestPlan) -> GuestPlan:
        """What may be done in the guest by this run."""
        if not guest.change or self.options.restart != "never":
            return guest
        text = f"{guest.reasons[0]}: waits for a run that may restart (restart=never)"
        self._note(Code.RESTART_DUE, text)
        return replace(guest, change=None, reasons=(), managed=self._managed.daemon)

    def _change(self, conf: ConfPlan, guest: GuestPlan) -> ContainerChange | None:
        observed, options, confinement = self.observed, self.options, self._confinement
        changes = conf.after != observed.conf
        label = confinement.label(observed.ctid)
        due = restart_reasons(label, observed) if observed.running and not changes else ()
        restart = observed.running and bool(changes or due)
        if restart and options.restart == "never":
            self._note(Code.RESTART_DUE, "a restart is due (restart=never)")
            restart = False
        elif restart and self._waiting and Force.PENDING not in options.force:
            self._leave(
                Code.PENDING,
                "a restart would apply these pending changes",
                f"apply or revert them with pct, or --data force={Force.PENDING}",
            )
            return None
        if not (changes or restart or guest.change or self.withdrawn):
            return None
        if restart and (why := silent_text(conf.after, self.storage.silent)):
            self._leave(Code.MOUNT, why, silent_fix(observed.ctid))
            return None
        forced = Force.WOULD_BREAK in options.force
        if (restart or self.withdrawn) and not forced and (why := self._breaks(guest)):
            self._leave(Code.WOULD_BREAK, why)
            return None
        if not (changes or restart or guest.change):
            return None
        proves_docker = self.container.docker and guest.provable
        if proves_docker and (restart or guest.change) and not self._may_be_proven():
            return None
        if restart and is_application(observed.init):
            self._note(
                Code.CONF,
                f"one program ({printable(program(observed.init))}), not a system: proven from the "
                "node, by its label, that it stays up, and its open ports",
            )
        if restart or guest.change:
            self._tell_health()
        if (
            confinement.named
            and is_privileged(conf.after)
            and Force.PRIVILEGED not in options.force
        ):
            self._error(
                Code.PRIVILEGED,
                f"{confinement.template} for a privileged container: {NOT_HELD}. {WAY_OUT}; to "
                f"have it under the profile all the same: --data force={Force.PRIVILEGED}",
            )
            return None
        # what only its next start makes true is not proven
        proven = restart or not observed.running
        managed = replace(conf.managed, daemon=guest.managed)
        return ContainerChange(
            ctid=observed.ctid,
            name=self._name,
            before=observed.conf,
            after=conf.after,
            label=label,
            restart=restart,
            docker=proves_docker,
            reasons=(*conf.reasons, *due, *guest.reasons),
            managed=replace(managed, profile=label.profile if label else "") if proven else managed,
            guest=guest.change,
            driver=guest.driver,
            driver_before=guest.driver_now,
            accept=options.accept,
            settle=options.settle,
            health=self.container.health,
            architecture=self._architecture,
            ha=ha_to_take(observed),
        )

    def _tell_health(self) -> None:
        """What the gate asks of it, or why not."""
        health = self.container.health
        if health is None:
            return
        text, fix = f"its {HEALTH} is asked before and after: {printable(health.shown)}", ""
        if HEALTH in self.options.accept:
            text = f"its {HEALTH} is not asked (accept={HEALTH})"
        elif health.argv and is_application(self.observed.init):
            text, fix = f"its {HEALTH} is not asked: nothing is run in one program", "give it a url"
        self._note(Code.HEALTH_CHECK, text, fix)

    def _may_be_proven(self) -> bool:
        """Whether there is a program to prove its Docker with, or the operator goes without."""
        if self._architecture in PROBES:
            return True
        text = f"its Docker runs on {self._architecture}"
        if Force.NO_PROBE in self.options.force:
            self._note(
                Code.DOCKER, f"{text}: proven by what its owner runs, not by a container of ours"
            )
            return True
        self._leave(
            Code.ARCHITECTURE,
            f"{text}, and a container of ours can prove it on {', '.join(PROBES)} only",
            f"to go on without that proof: --data force={Force.NO_PROBE}",
        )
        return False

    def _breaks(self, guest: GuestPlan) -> str:
        """What works in the guest today and would not under the profile, "" for nothing."""
        refused = [*self._refused(guest.driver)]
        if not refused:
            return ""
        why = "; ".join(str(one) for one in refused[:_SHOWN])
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        owners = ",".join(dict.fromkeys(one.owner for one in refused))
        way = f"to go on without: --data accept={owners}, or force={Force.WOULD_BREAK}"
        return f"{why}{more}; {way}"

    def _refused(self, driver: str) -> Iterator[Refusal]:
        confinement, docker = self._confinement, self.docker
        source = self.templates.get(f"{confinement.template}.j2", "")
        if not docker or confinement.learning:
            return
        if confinement.template not in TEMPLATES or not _BASED.search(source):
            return
        label = Label.parse(self.observed.label or "")
        if is_under_its_rules(label, self.observed.ctid, self.withdrawn):
            return
        there = holders(self.observed.conf)
        mounted = {target.rstrip("/") for _, target in docker.fstab if target.strip("/") in there}
        yield from refusals(
            docker,
            driver,
            confinement.profile,
            self.sources,
            self.options.accept,
            mounted,
            confinement.allows,
        )

    # --- what it says ---------------------------------------------------------------------------

    def _leave_held(self, code: Code, why: str, fix: str) -> None:
        """Say that no run touches it, and what one would do if it might."""
        todo = self._still_to_do()
        # what a next start would make of it is not as wanted, however the conf is
        as_wanted = not todo and code != Code.PENDING_LINES
        severity = Severity.NOTE if as_wanted else self._weight
        if code == Code.TEMPLATE:
            # it never runs, so it may stay as it is
            todo = ()
            severity = severity if self._is_named else Severity.NOTE
        text = f"{why}; still to do: {some(todo, separator='; ')}" if todo else why
        self._say(code, severity, f"{_ALONE}{text}", fix)
        lines = pending_lines(self.observed)
        if lines and code not in (Code.TEMPLATE, Code.PENDING_LINES):
            self._leave(Code.PENDING_LINES, *lines)

    def _still_to_do(self) -> tuple[str, ...]:
        """What a run would change, or what would stand against that.

        A collision stands for itself, beside it; what waits in [pve:pending] is no reason to hold
        back what another holds.
        """
        force = (*self.options.force, Force.PENDING)
        freed = replace(self, findings=[], options=self.options.model_copy(update={"force": force}))
        change = freed._plan()
        apart = (Code.COLLISION, Code.PENDING_KEYS)
        self.findings += [one for one in freed.findings if one.code in apart]
        if change:
            return tuple(map(str, change.reasons))
        # what only needs a word of the operator is there already
        against = (one for one in freed.findings if one.code not in (*apart, Code.PERMIT_MISSING))
        return tuple(one.message.removeprefix(_ALONE) for one in against if one.needs_attention)

    def _leave(self, code: Code, why: str, fix: str = "") -> None:
        """Say that it stays as it is, and should not."""
        self._say(code, self._weight, f"{_ALONE}{why}", fix)

    @property
    def _weight(self) -> Severity:
        # who names a container wants to hear that nothing was done for it
        return Severity.ERROR if self._is_named else Severity.WARNING

    @property
    def _is_named(self) -> bool:
        return self.observed.ctid in self.options.only

    def _error(self, code: Code, message: str, fix: str = "") -> None:
        self._say(code, Severity.ERROR, message, fix)

    def _note(self, code: Code, message: str, fix: str = "") -> None:
        self._say(code, Severity.NOTE, message, fix)

    def _say(self, code: Code, severity: Severity, message: str, fix: str) -> None:
        found = Finding(code, severity, message, self.observed.ctid, self._name, fix)
        self.findings.append(found)

    @cached_property
    def _confinement(self) -> Confinement:
        return wanted(self.container, self.options)

    @cached_property
    def _architecture(self) -> str:
        told = self.docker.architecture if self.docker else ""
        return told or of_conf(self.observed.conf.main["arch"])

    @cached_property
    def _managed(self) -> Managed:
        return Managed.parse(self.observed.managed)

    @cached_property
    def _waiting(self) -> str:
        return waiting_keys(self.observed)

    @cached_property
    def _name(self) -> str:
        return printable(self.observed.conf.hostname or self.container.name or "")


def _with_fuse(container: Container, guest: GuestPlan) -> Container:
    """What the fleet file asks for, and fuse=1 where Docker needs it.

    What the file says wins: it may switch it off where nothing is known of Docker.
    """
    if not guest.fuse:
        return container
    return replace(container, features={"fuse": "1", **container.features})


def left_alone(observed: ObservedContainer, options: Options) -> tuple[Code, str, str] | None:
    """Why no run touches a container at all, and what to do; or None."""
    if observed.conf.template:
        return Code.TEMPLATE, "a template", ""
    if observed.conf.lock:
        text = f"locked ({observed.conf.lock})"
        return Code.LOCKED, text, "run again when the lock is gone"
    if held := _held_by_ha(observed, options.ha):
        return Code.HA, *held
    if lines := pending_lines(observed):
        return Code.PENDING_LINES, *lines
    return None


def _held_by_ha(observed: ObservedContainer, may_be_taken: bool) -> tuple[str, str] | None:
    """Why its restart is HA's business, and what to do; None where a run may have it.

    `may_be_taken`: a run takes it out of HA's hands meanwhile (ha=true), where that is safe.
    """
    if not (way_out := out_of_ha(observed)):
        return None
    if state := ha_to_take(observed):
        if not may_be_taken:
            way_out = f"{way_out}, or --data ha=true, which does that and puts it back"
        elif why := unsettled(state, observed.service, observed.node, observed.running):
            return f"managed by HA, which is not to be disturbed now: {why}", SETTLE
        else:
            return None
    return f"managed by HA ({observed.ha}), its restart belongs to the cluster", way_out


def ha_to_take(observed: ObservedContainer) -> str:
    """What HA is asked for of a container that it manages, "" where it does not, or holds it."""
    return observed.ha if observed.ha in RUNS else ""


def out_of_ha(observed: ObservedContainer) -> str:
    """How to take its restart out of the hands of the HA stack, "" where it is not there.

    An ignored resource is left alone by it (ha-manager(1)), and so are all where it is disarmed in
    mode `ignore`; in mode `freeze` it holds every command back (pve-ha-manager Config.pm,
    Manager.pm; since 5.1.3).
    """
    if observed.ha in (None, "ignored", "disarmed"):
        return ""
    if observed.ha == "frozen":
        return (
            "HA is disarmed in mode freeze, which holds restarts back: arm it, or use mode ignore"
        )
    if observed.ha == "disarming":
        return "HA is being disarmed: run again once ha-manager status says disarmed"
    return f"ha-manager set ct:{observed.ctid} --state ignored first"


def pending_lines(observed: ObservedContainer) -> tuple[str, str] | None:
    """Which raw lines wait for its next start, and what to do; None for none.

    They would take the place of ours, the profile among them, whoever starts it.
    """
    if not (keys := observed.conf.waiting_raw):
        return None
    text = (
        f"{printable(', '.join(keys), None)} in [pve:pending]: at its next start Proxmox puts this "
        "in the place of every lxc. line of the conf, the profile too"
    )
    return text, "move the lines above [pve:pending], or delete them"


def waiting_keys(observed: ObservedContainer) -> str:
    """The keys that somebody left waiting for the next start."""
    return printable(", ".join(observed.conf.waiting), None)
