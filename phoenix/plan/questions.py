"""What a recipe asks a node: the request of one `observe` command, before anything is known of it.

The fleet file alone decides, so that one command can ask for everything; a node that has none of
these containers answers with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from phoenix.fleet.model import Container, Fleet
from phoenix.fleet.warnings import DOCKER_PROFILE
from phoenix.plan.confinement import wanted
from phoenix.plan.options import Options

#: Seconds of a log that are read where nobody asks what is in it.
_A_MOMENT = 60

#: Sections of `node.observe`, each with its arguments.
Request = dict[str, dict[str, Any]]


def asked_by_harden(fleet: Fleet, options: Options, guests: bool = True) -> Request:
    """All that a plan is made from; `guests`: the selected containers' Docker, too."""
    chosen = _chosen(fleet, options)
    return {**_common(chosen, options), **(asked_of_guests(chosen) if guests else {})}


def asked_by_create(fleet: Fleet, options: Options) -> Request:
    """What new containers are planned from, with those that they are cloned from."""
    chosen = _chosen(fleet, options)
    templates = {one.making.template for one in chosen if one.making.template}
    return {**_common(chosen, options), "stock": {"templates": sorted(templates)}}


def asked_by_audit(fleet: Fleet, options: Options) -> Request:
    """The same, of every container that runs its Docker, its denials and what fell over, and what
    of the node itself takes confinement away.
    """
    chosen = _chosen(fleet, options)
    return {
        **_common(chosen, options),
        "dockers": {"ctids": [*options.only] or None, "probe": _auto(chosen)},
        **_denials(options),
        "fallen": {"only": [*options.only]},
        "overrides": {},
    }


def asked_by_doctor(fleet: Fleet, options: Options) -> Request:
    """What the audit asks, of the profile that Docker shall have whatever the fleet file says, and
    which backups there are. Of the log only where it is and what it may lack.
    """
    asked = asked_by_audit(fleet, options)
    del asked["fallen"]
    files = sorted({*asked["apparmor"]["files"], DOCKER_PROFILE})
    return {
        **asked,
        "apparmor": {"files": files},
        "denials": {"since": [-_A_MOMENT], "only": []},
        "backups": {"listed": True},
    }


def asked_by_denials(options: Options) -> Request:
    """What was denied, and the containers at whose door it is laid; no fleet file needed."""
    return {"containers": {}, **_denials(options)}


def asked_again(fleet: Fleet, options: Options) -> Request:
    """What may have changed of the selected containers since they were planned."""
    return {"containers": {}, **asked_of_guests(_chosen(fleet, options))}


def asked_of_guests(containers: Sequence[Container]) -> Request:
    """Their Docker, of those that run and shall have it; an overlay is tried where it is to decide.

    Nothing where there is none.
    """
    ctids = [container.ctid for container in containers if container.docker]
    return {"dockers": {"ctids": ctids, "probe": _auto(containers)}} if ctids else {}


def _common(chosen: Sequence[Container], options: Options) -> Request:
    confinements = {wanted(one, options) for container in chosen for one in _meant(container)}
    mounts = {mount.source for container in chosen for mount in container.mounts}
    devices = {device for container in chosen for device in container.devices}
    return {
        "containers": {},
        "apparmor": {
            "files": sorted(
                {confinement.profile for confinement in confinements if confinement.named}
            )
        },
        "storage": {"paths": sorted(mounts | devices), **({"nvidia": True} if devices else {})},
        "runs": {"unfinished": True},
        "watch": {},
        "hookscripts": {},
        "versions": {},
        "etc_pve": {},
        "includes": {},
    }


def _denials(options: Options) -> Request:
    since = None if options.since is None else [options.since]
    return {"denials": {"since": since, "only": [*options.only]}}


def _meant(container: Container) -> tuple[Container, ...]:
    """A container as the file may mean it: what its conf says is not known yet (`as_made`)."""
    if container.says_profile:
        return (container,)
    return container, replace(container, profile=container.implied)


def _chosen(fleet: Fleet, options: Options) -> list[Container]:
    return [container for container in fleet.containers.values() if options.takes(container)]


def _auto(containers: Sequence[Container]) -> list[int]:
    return [one.ctid for one in containers if one.docker and one.storage_driver == "auto"]
