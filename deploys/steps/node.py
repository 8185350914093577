"""What is done to a node itself, before its containers and after them: shared by the recipes."""

from __future__ import annotations

from pathlib import Path

from pyinfra import host

from deploys.steps.run import Run
from deploys.steps.screen import show
from deploys.steps.survey import Survey
from operations import apparmor, archive
from operations.diff import tells_all
from operations.etc_pve import try_etc_pve
from operations.watch import watch
from phoenix.plan.actions import WatchChange
from phoenix.report.groups import FEW
from phoenix.runs.archive import CONTENT, archive_name


def keep_config(run: Run) -> None:
    """Have the node's own configuration as it is, before anything of it is changed.

    Nothing where nothing is changed; an operation, so that --dry leaves it.
    """
    if run.options.backup and not run.plan.empty:
        file = Path(run.options.backup) / archive_name(run.plan.node, run.id)
        show([f"{run.plan.node}: before the first change {CONTENT} go to {file}; not with --dry"])
        run.step(archive.keep_config, name=f"Archive {file.name}", file=str(file))


def prepare(run: Survey) -> None:
    """Install what containers are confined by: tunables, files of our own, profiles.

    Nothing where all is right; and not before it has been tried whether their confs can be written.
    With several nodes all of them have that before a container changes, wherever it may move then.
    """
    if run.plan.writes_confs and (run.plan.prepares or run.plan.packages):
        run.step(try_etc_pve, name="Try whether /etc/pve takes changes")
    if run.plan.tunables:
        run.step(apparmor.tunables, name="AppArmor tunables", observed=run.node_apparmor)
    if run.plan.site_tunables:
        run.step(
            apparmor.site_tunables,
            name="Tunables of the site",
            tunables=run.fleet.tunables,
            observed=run.node_apparmor,
        )
    for file in host.loop(run.plan.own_files):
        run.step(
            apparmor.own_file,
            name=f"Install {file.path}",
            path=file.path,
            text=file.after,
            observed=run.node_apparmor,
        )
    for change in host.loop(run.plan.profiles):
        shown = tells_all(run.state) or change in run.plan.profiles[:FEW]
        run.step(
            apparmor.profile,
            name=f"AppArmor profile {change.name}",
            profile=change.name,
            text=change.after,
            mode=change.mode,
            shown=shown,
            observed=run.node_apparmor,
        )
    plans = run.plans.values()
    if (
        len(plans) > 1
        and any(one.prepares for one in plans)
        and any(one.containers for one in plans)
    ):
        run.meet("Profiles are on all nodes")


def keep_watch(run: Survey) -> None:
    """Install, update or remove the watch; last, so that it finds all right.

    Also where a step has failed: what was done is looked at as it is now. It waits while a run is
    under way, and is told of its end.
    """
    change = run.plan.watch
    if change is None and not run.plan.empty and run.is_watched:
        change = WatchChange("keep")
    if change:
        run.step(watch, always=True, name="The node's watch", change=change)
