"""What a node needs before any container of it can be confined: shared by two recipes."""

from __future__ import annotations

from pyinfra import host

from deploys.steps.survey import Survey
from operations import apparmor
from operations.watch import watch


def prepare(run: Survey) -> None:
    """Install what containers are confined by: tunables, files of our own, profiles.

    Nothing where all is right.
    """
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
        run.step(
            apparmor.profile,
            name=f"AppArmor profile {change.name}",
            profile=change.name,
            text=change.after,
            mode=change.mode,
            observed=run.node_apparmor,
        )


def keep_watch(run: Survey) -> None:
    """Install, update or remove the watch over the labels; last, so that it finds them right."""
    if run.plan.watch:
        run.step(watch, name="Watch over the containers' labels", change=run.plan.watch)
