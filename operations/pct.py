"""Containers of a Proxmox VE node: lines of their conf, and their restart.

Each operation edits `/etc/pve/lxc/CTID.conf` losslessly and writes it only if it is still the
one that was read, under Proxmox's own lock. `pct set` is not used: it rewrites and sorts the
whole file and drops what it does not know. Should somebody change the conf in between, the
operation fails and changes nothing; with pyinfra's `_retries=2` it reads and plans anew.

Arguments that all of them have:

+ ctid: the container's number
+ observed: the container as `facts.pct.Containers` saw it, if already asked
+ stage: id of a run: lay the new conf into the run's folder, for `transaction.commit`, and leave
  the container alone; a conf that the run has staged before is edited further

All raise OperationValueError for a value that Proxmox would refuse or read as something else,
and for a container that is a template, locked, on another node or unknown. pyinfra asks only
when it executes if it runs with `-y`: then the operation fails with the same sentence instead.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

from pyinfra import host, state
from pyinfra.api import OperationValueError, StringCommand, operation
from pyinfra.api.output import echo

from facts import program
from facts.pct import Containers
from facts.staged import Staged
from node import pack
from operations import transaction
from operations.diff import show_diff
from operations.refusal import failure, refuse
from operations.unit import TIMEOUT, unit
from phoenix.plan.actions import ContainerChange
from phoenix.plan.container import out_of_ha, pending_lines
from phoenix.pve.conf import Line, PveConf
from phoenix.pve.dev_nodes import collisions
from phoenix.pve.devices import plan_device_entries
from phoenix.pve.features import Wanted, merge
from phoenix.pve.indexed import EntryPlan
from phoenix.pve.mounts import plan_mount_entries
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.raw_keys import REPEATED_KEYS
from phoenix.pve.values import check_ctid
from phoenix.runs.record import check_run_id
from phoenix.text.printable import printable

#: The largest file that pmxcfs holds, in bytes (pmxcfs memdb.h, MEMDB_MAX_FILE_SIZE).
LARGEST_CONF = 1024 * 1024

Commands = Generator[StringCommand, None, None]


@operation()
def features(
    ctid: int,
    features: Wanted | str,
    managed_before: Iterable[str] | Mapping[str, str] = (),
    observed: ObservedContainer | None = None,
    stage: str | None = None,
) -> Commands:
    """Bring features into the container's `features` line; what others set there stays.

    + features: `{"nesting": True, "mount": ["nfs", "cifs"]}`, or a line like `nesting=1`
    + managed_before: what an earlier use added, and is removed where it is wanted no longer
    + ctid, observed, stage: see the module

    **Example:**

    .. code:: python

        pct.features(name="Docker with fuse-overlayfs", ctid=910, features="fuse=1,keyctl=1")
    """

    def edit(conf: PveConf) -> PveConf:
        if not isinstance(features, (str, Mapping)):
            raise ValueError(f"features={features!r}: write a line or a mapping")
        current = conf.main["features"]
        value = merge(current, features, managed_before).value
        if value == (current or ""):
            return conf
        return conf.set_key("features", value) if value else conf.drop_key("features")

    yield from _change(ctid, edit, "features", observed, stage)


@operation()
def raw_keys(
    ctid: int,
    present: Mapping[str, str | Sequence[str]] | None = None,
    absent: Sequence[str] = (),
    observed: ObservedContainer | None = None,
    stage: str | None = None,
) -> Commands:
    """Set and remove raw `lxc.` lines, which `pct set` cannot do.

    + present: the value of a key that stands once; for one that can stand several times
      (`lxc.mount.entry`), or with a list of values, those that must be among the others
    + absent: keys (`lxc.apparmor.profile`), or single lines (`lxc.cap.drop: mknod`)
    + ctid, observed, stage: see the module

    **Example:**

    .. code:: python

        pct.raw_keys(
            name="Confine the container again",
            ctid=910,
            present={"lxc.apparmor.profile": "lxc-docker-nested"},
            absent=["lxc.cgroup2.devices.allow: a"],
        )
    """

    def edit(conf: PveConf) -> PveConf:
        for text in _texts("absent", absent):
            line = Line.parse(text)
            if line.kind == "raw":
                conf = conf.remove_raw(line.key, line.value)
            elif text.startswith("lxc."):
                conf = conf.drop_raw(text)
            else:
                raise ValueError(f"absent: {text!r} is no raw key: write lxc.KEY or lxc.KEY: VALUE")
        for key, value in (present or {}).items():
            if isinstance(value, str) and not key.startswith(REPEATED_KEYS):
                conf = conf.set_raw(key, value)
                continue
            for one in [value] if isinstance(value, str) else _texts(key, value):
                conf = conf.add_raw(key, one)
        return conf

    yield from _change(ctid, edit, "raw keys", observed, stage)


@operation()
def mounts(
    ctid: int,
    entries: Sequence[str],
    managed_before: Iterable[str] = (),
    observed: ObservedContainer | None = None,
    stage: str | None = None,
) -> Commands:
    """Have mount points (`mpN`) in the container, each on the lowest free number.

    + entries: such as `/srv/data,mp=/data,ro=1`; an equal one is recognised whatever its number
      and the order of its options, and one of somebody else is never changed
    + managed_before: what an earlier use added, and is removed where it is wanted no longer
    + ctid, observed, stage: see the module

    Raises OperationValueError when another entry takes the place in the container.
    """

    def edit(conf: PveConf) -> PveConf:
        wanted = _texts("entries", entries)
        return _entries(plan_mount_entries(conf, wanted, managed_before), conf)

    yield from _change(ctid, edit, "mounts", observed, stage)


@operation()
def devices(
    ctid: int,
    entries: Sequence[str],
    managed_before: Iterable[str] = (),
    observed: ObservedContainer | None = None,
    stage: str | None = None,
) -> Commands:
    """Pass devices (`devN`) through to the container, each on the lowest free number.

    + entries: such as `/dev/nvidia0,mode=0666`; treated like those of `mounts`
    + managed_before: what an earlier use added, and is removed where it is wanted no longer
    + ctid, observed, stage: see the module

    Raises OperationValueError when another entry names the same device.
    """

    def edit(conf: PveConf) -> PveConf:
        wanted = _texts("entries", entries)
        return _entries(plan_device_entries(conf, wanted, managed_before), conf)

    yield from _change(ctid, edit, "devices", observed, stage)


@operation(is_idempotent=False)
def restart(
    ctid: int,
    timeout: int = 90,
    force: bool = False,
    observed: ObservedContainer | None = None,
    stage: str | None = None,
) -> Commands:
    """Restart the container if it runs; one that is stopped stays so.

    + timeout: seconds that it gets to shut down, before it is stopped
    + force: also where the restart applies changes that wait in `[pve:pending]`
    + ctid, observed, stage: see the module; staged, it is the commit that restarts

    It restarts every time: bind it to the edits with `_if`. Whatever stands against a restart
    fails the operation when it is executed, and is said before. So does a container that HA
    manages: there `pct` only asks the cluster, and returns before anything has happened.

    **Example:**

    .. code:: python

        edit = pct.features(name="Nesting", ctid=910, features="nesting=1")
        pct.restart(name="Restart 910", ctid=910, _if=edit.did_change)
    """
    if isinstance(timeout, bool) or not 0 < timeout <= TIMEOUT:
        raise OperationValueError(f"timeout={timeout!r}: write seconds")
    try:
        container = _container(ctid, observed)
        if container.running:
            _check_restart(container, force)
        base = _base(container, stage)
    except ValueError as error:
        # `_if` is asked later than this: raising would stop a run that never comes to a restart
        _say(f"CT {ctid}: {error}")
        yield failure(f"CT {ctid}: {error}")
        return
    if not container.running:
        host.noop(f"CT {ctid} does not run: nothing to restart")
    elif stage is not None:
        yield from _stage(stage, container, base, restart=True)
    else:
        yield unit(
            f"restart-{ctid}",
            f"restart CT {ctid}",
            *program.words("restart", str(ctid), str(timeout)),
            _stdin=pack.stdin(),
            _timeout=timeout + TIMEOUT,
        )


def _change(
    ctid: int,
    edit: Callable[[PveConf], PveConf],
    what: str,
    observed: ObservedContainer | None,
    stage: str | None,
) -> Commands:
    """Observe, edit, show and write. `what`: the name of the thing, for people."""
    try:
        container = _container(ctid, observed)
        base = _base(container, stage)
        after = edit(base)
        if len(after.to_bytes()) > LARGEST_CONF:
            raise ValueError("its conf would be larger than the 1 MiB that /etc/pve holds")
        before = collisions(base, ctid)
        if new := [str(one) for one in collisions(after, ctid) if one not in before]:
            raise ValueError(f"it would not start any more: {'; '.join(new)}")
    except ValueError as error:
        yield from refuse(f"CT {ctid}: {error}")
        return
    pending = container.conf.pending
    if pending and what in pending:
        _say(f"CT {ctid}: {what}: {pending[what]} waits in [pve:pending] for the next start")
    if after == base:
        host.noop(f"CT {ctid}: the {what} are as they should be")
    elif stage is not None:
        yield from _stage(stage, container, after)
    else:
        show_diff(f"/etc/pve/lxc/{ctid}.conf", base.render(), after.render())
        request = {"text": after.render()}
        yield program.doing("write-conf", str(ctid), base.sha256, after.sha256, request=request)


def _container(ctid: int, observed: ObservedContainer | None) -> ObservedContainer:
    """The container, if it may be touched. Raises ValueError with the next step."""
    check_ctid(ctid)
    container = observed or _find(ctid, host.get_fact(Containers))
    if container.ctid != ctid:
        raise ValueError(f"observed is CT {container.ctid}")
    if container.conf.template:
        raise ValueError("a template, left alone: change the containers that were cloned from it")
    if lock := container.conf.lock:
        raise ValueError(f"locked ({lock}): run again when that is done, or pct unlock {ctid}")
    return container


def _find(ctid: int, pct: ObservedPct) -> ObservedContainer:
    if ctid in pct.containers:
        return pct.containers[ctid]
    if other := pct.elsewhere.get(ctid):
        raise ValueError(f"it is on {other}, not {pct.node}: run this on {other}")
    if pct.problems:
        raise ValueError(f"not found: {pct.problems[0]}")
    raise ValueError(f"{pct.node} has no such container: pct list shows those that it has")


def _check_restart(container: ObservedContainer, force: bool) -> None:
    # ha-manager(1): API calls for an ignored resource bypass the HA stack
    if way_out := out_of_ha(container):
        raise ValueError(
            f"managed by HA ({container.ha}), whose business its restart is: {way_out}"
        )
    if lines := pending_lines(container):
        raise ValueError(": ".join(lines))
    if (waiting := printable(", ".join(container.conf.waiting), None)) and not force:
        raise ValueError(
            f"{waiting} waits in [pve:pending] and a restart would apply it: "
            "apply or revert it with pct, or restart with force=True"
        )


def _texts(name: str, values: object) -> list[str]:
    """A list of texts. Raises ValueError for anything else, a single text above all."""
    if isinstance(values, (list, tuple)) and all(isinstance(value, str) for value in values):
        return list(values)
    raise ValueError(f"{name}: {values!r}: write a list of texts")


def _entries(plan: EntryPlan, conf: PveConf) -> PveConf:
    """Apply a plan that is free of conflicts. Raises ValueError for another."""
    if plan.conflicts:
        raise ValueError("; ".join(plan.conflicts))
    return plan.apply(conf)


def _base(container: ObservedContainer, stage: str | None) -> PveConf:
    """The conf that is to be edited: what the run has staged, if it fits, or the live one."""
    if stage is None:
        return container.conf
    staged = host.get_fact(Staged, run=check_run_id(stage), ctid=container.ctid)
    if staged is not None and staged.before == container.conf.sha256:
        return staged.conf
    return container.conf


def _stage(
    run: str, container: ObservedContainer, after: PveConf, restart: bool = False
) -> Commands:
    change = ContainerChange(
        ctid=container.ctid,
        name=container.conf.hostname or "",
        before=container.conf,
        after=after,
        label=None,
        restart=restart,
        docker=False,
        reasons=(),
    )
    yield from transaction.stage._inner(run=run, changes=(change,))


def _say(text: str) -> None:
    if not state.is_executing:
        echo(f"{host.print_prefix}{text}", err=True)
