"""Docker in the containers of a Proxmox VE node: packages, daemon.json, the daemon.

Everything is done by the node's own program, which enters the guest. Arguments that all of them
have:

+ ctid: the container's number; it must be running
+ observed: its Docker as `facts.docker.Dockers` saw it, if already asked

All raise OperationValueError for what cannot be done; pyinfra asks only when it executes if it
runs with `-y`: then the operation fails with the same sentence instead.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import suppress

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts import program
from facts.docker import Dockers
from node import pack
from operations.diff import show_diff
from operations.refusal import refuse
from operations.unit import unit
from phoenix.apparmor.observed import Label
from phoenix.docker.daemon_json import DaemonJson, DaemonJsonError, digest, first, held, merge
from phoenix.docker.install import Install
from phoenix.docker.names import DAEMON_JSON, MANAGERS, NEITHER, PACKAGE_NAME, PROBE_DEFAULT
from phoenix.docker.observed import ObservedDocker
from phoenix.docker.storage_driver import plan_driver
from phoenix.plan.guest import GuestChange
from phoenix.pve.values import check_ctid
from phoenix.runs.record import check_run_id

#: Seconds after which the operator gives an installation up; the node goes on.
_INSTALL = 3600

#: Seconds for what a guest does, twice what the node itself gives it (node/daemon_json.py).
_PATIENCE = 1200

Commands = Generator[StringCommand, None, None]


@operation()
def packages(
    ctid: int,
    packages: Collection[str],
    observed: ObservedDocker | None = None,
    run: str | None = None,
) -> Commands:
    """Have packages installed in the guest; what is there is not upgraded.

    + packages: names, as the guest's apt, apk or dnf knows them
    + run: id of a run, for its journal
    + ctid, observed: see the module

    Debian and Ubuntu by apt, Alpine by apk, Fedora by dnf; other guests are refused. No question
    is asked, the guest's own version of a changed conffile stays. Done is what the guest's database
    then says.

    **Example:**

    .. code:: python

        docker.packages(name="fuse-overlayfs", ctid=910, packages=["fuse-overlayfs"])
    """
    try:
        docker = _docker(ctid, observed)
        names = _names(packages)
        if docker.manager not in MANAGERS:
            raise ValueError(
                f"its guest ({docker.os or 'of an unknown kind'}) has {NEITHER}: "
                f"install {', '.join(names)} there by hand"
            )
        if run:
            check_run_id(run)
    except ValueError as error:
        yield from refuse(f"CT {ctid}: {error}")
        return
    missing = [name for name in names if docker.packages.get(name) != "ii"]
    if not missing:
        host.noop(f"CT {ctid}: {', '.join(names)} installed")
        return
    yield _packages("install", ctid, run, docker.manager, missing)


@operation()
def no_packages(
    ctid: int,
    packages: Collection[str],
    manager: str,
    run: str,
    daemon: GuestChange | None = None,
) -> Commands:
    """Take out of the guest what a run brought there, unless something needs it.

    + packages: names, as the guest's apt, apk or dnf knows them
    + manager: apt, apk or dnf
    + run: id of the run that rolls it back, for its journal
    + daemon: they are a Docker that a run installed: its daemon.json, as it is and as it was
    + ctid: see the module

    They stay while another package needs them, and fuse-overlayfs as long as Docker runs on it or
    it holds data; with `daemon`, all of them as long as Docker holds anything.
    """
    try:
        if manager not in MANAGERS:
            raise ValueError(f"{manager!r} is {NEITHER}")
        check_ctid(ctid)
        names = [] if daemon and not packages else _names(packages)
        check_run_id(run)
    except ValueError as error:
        yield from refuse(f"CT {ctid}: {error}")
        return
    if daemon:
        show_diff(f"CT {ctid}: {DAEMON_JSON}", daemon.before, daemon.after)
    yield _packages("remove", ctid, run, manager, names, daemon)


@operation()
def install(
    ctid: int,
    install: Install,
    label: Label | None,
    run: str,
    architecture: str = PROBE_DEFAULT,
    observed: ObservedDocker | None = None,
) -> Commands:
    """Bring Docker into a guest that has none, and prove that it works.

    + install: where it comes from, and its storage driver
    + label: what PID 1 must carry, or nothing is installed; None: unconfined on request
    + run: id of the run, for its journal
    + architecture: what its Docker runs on, as Docker calls it; one of ours proves it there
    + ctid, observed: see the module

    daemon.json comes first, every other key of one that is there stays; then Docker's repository,
    the packages and the service. An installation that was cut short is gone on with. Runs in a
    transient unit, so that it finishes without the operator.

    **Example:**

    .. code:: python

        label = Label.parse("lxc-docker-nested (enforce)")
        docker.install(name="Docker", ctid=910, install=Install(), label=label, run=run)
    """
    try:
        docker = _asked(ctid, observed)
        if docker.state not in ("none", "ok", "dead"):
            raise ValueError(_words(docker))
        check_run_id(run)
    except ValueError as error:
        yield from refuse(f"CT {ctid}: {error}")
        return
    if docker.state == "ok":
        host.noop(f"CT {ctid}: its Docker answers")
        return
    before = docker.file.text if docker.file else None
    with suppress(DaemonJsonError):
        # what is no JSON, and `auto`, is for the node to see to
        if install.driver != "auto":
            after = first(DaemonJson.parse(before or ""), install.driver).text
            if after != before:
                show_diff(f"CT {ctid}: {DAEMON_JSON}", before, after)
    request = {
        "install": install.to_json(),
        "label": str(label) if label else None,
        "architecture": architecture,
    }
    yield unit(
        f"{run}-{ctid}-install",
        f"Docker in CT {ctid}",
        *program.words("install", run, str(ctid)),
        _stdin=pack.stdin(request),
        _timeout=_INSTALL,
    )


@operation()
def daemon_json(
    ctid: int,
    storage_driver: str,
    force: bool = False,
    observed: ObservedDocker | None = None,
) -> Commands:
    """Have Docker's storage driver in the guest's daemon.json; every other key stays.

    + storage_driver: `fuse-overlayfs`, `overlay2`, or `auto` where the fact was asked to probe
    + force: also where it hides images, containers or volumes; the old ones stay on disk
    + ctid, observed: see the module

    Replaced only if it is still the file that was read; dockerd checks the new one before, where
    it can. Docker reads it when it restarts.

    **Example:**

    .. code:: python

        edit = docker.daemon_json(name="Driver", ctid=910, storage_driver="fuse-overlayfs")
        docker.restart(name="Restart Docker", ctid=910, _if=edit.did_change)
    """
    try:
        docker = _docker(ctid, observed)
        if storage_driver not in ("fuse-overlayfs", "overlay2", "auto"):
            raise ValueError(f"storage_driver={storage_driver!r} is not known")
        if docker.state != "ok":
            raise ValueError(f"its Docker does not answer: {docker.error or docker.state}")
        plan = plan_driver(storage_driver, docker, force)
        if plan.problems:
            raise ValueError("; ".join(plan.problems))
        before = docker.file.text if docker.file else None
        after = merge(before, {**held(before, {}), **plan.settings}, {}).text
    except DaemonJsonError as error:
        yield from refuse(f"CT {ctid}: {DAEMON_JSON}: {error}: correct it in the guest")
        return
    except ValueError as error:
        yield from refuse(f"CT {ctid}: {error}")
        return
    if after is None or after == before:
        host.noop(f"CT {ctid}: {DAEMON_JSON} is as it should be")
        return
    show_diff(f"CT {ctid}: {DAEMON_JSON}", before, after)
    request = {"text": after}
    yield _in_guest(ctid, "put", digest(before), digest(after), request=request)


@operation(is_idempotent=False)
def restart(ctid: int, observed: ObservedDocker | None = None) -> Commands:
    """Restart Docker in the guest, by systemd, OpenRC or `service`.

    + ctid, observed: see the module

    It restarts every time: bind it to an edit with `_if`. Containers without a restart policy
    stay stopped.
    """
    try:
        _docker(ctid, observed)
    except ValueError as error:
        yield from refuse(f"CT {ctid}: {error}")
        return
    yield _in_guest(ctid, "restart")


def _docker(ctid: int, observed: ObservedDocker | None) -> ObservedDocker:
    """The Docker of a guest, if it can be worked on. Raises ValueError with the reason."""
    docker = _asked(ctid, observed)
    if docker.state not in ("ok", "dead"):
        raise ValueError(_words(docker))
    return docker


def _asked(ctid: int, observed: ObservedDocker | None) -> ObservedDocker:
    """What a guest says of its Docker. Raises ValueError where the node says nothing."""
    check_ctid(ctid)
    docker = observed or host.get_fact(Dockers, ctids=(ctid,)).get(ctid)
    if docker is None:
        raise ValueError("the node said nothing about it: does it exist?")
    return docker


def _words(docker: ObservedDocker) -> str:
    """Why one cannot be worked on that neither answers nor is down."""
    words = {
        "none": "there is no Docker in it",
        "elsewhere": "its containers are run by something else than a Docker that root can ask",
        "application": "it is an application container (entrypoint): nothing in it is asked",
        "hung": "its guest gave no answer in time",
        "stopped": "it does not run",
        "noshell": "its guest has no shell",
        "flooded": "its guest said more than it should",
        "failed": f"its guest cannot be entered: {docker.error}",
    }
    return words[docker.state]


def _names(packages: Collection[str]) -> list[str]:
    if isinstance(packages, str) or not packages:
        raise ValueError(f"packages={packages!r}: write a list of names")
    for name in packages:
        if not isinstance(name, str) or not PACKAGE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no package's name")
    return list(packages)


def _packages(
    action: str,
    ctid: int,
    run: str | None,
    manager: str,
    names: Collection[str],
    daemon: GuestChange | None = None,
) -> StringCommand:
    """node/packages.py in a transient unit; `action`: install or remove."""
    request: dict[str, object] = {"packages": list(names)}
    if daemon:
        request["docker"] = {"after": daemon.digest_before, "text": daemon.after}
    return unit(
        f"{run or 'docker'}-{ctid}-packages",
        f"packages of CT {ctid}",
        *program.words("packages", action, str(ctid), run or "-", manager),
        _stdin=pack.stdin(request),
    )


def _in_guest(ctid: int, *words: str, request: object = None) -> StringCommand:
    """node/daemon_json.py."""
    return program.doing("daemon-json", str(ctid), *words, request=request, _timeout=_PATIENCE)
