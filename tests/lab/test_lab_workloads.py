"""What people run in their containers runs under the profiles, and nothing of it is denied.

The guests are those that nobody prepared for us: containerd's image store, BuildKit and compose, an
older Debian. Each check that fails under a profile and not without one is a fault of the profile.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from confined import denied, failed, in_guest, results, text, wear

from lab.recipe import chosen

pytestmark = pytest.mark.lab

PROFILE = "lxc-docker-nested"
STORE, BUILDKIT, OLDER = 957, 958, 955

#: What make test looks at: one of each kind that was broken once.
DOCKER = (
    *("volume-bind", "bind-root", "bind-proc-and-sys", "bind-dev", "bind-cgroup", "net-bridge"),
)
PLUGINS = ("buildkit-build", "buildkit-mounts", "compose-up", "compose-down")
UNITS = (
    *("PrivateTmp=yes", "PrivateDevices=yes", "ProtectSystem=strict", "PrivateNetwork=yes"),
    *("ProtectProc=invisible", "DynamicUser=yes", "LoadCredential=s:/srv/data/secret"),
    *("BindReadOnlyPaths=/srv/data:/mnt", "redis", "logrotate", "everything"),
)


def run(node, ctids, script, names=()):
    """The checks of a script in several guests side by side: CTID to name to line."""
    source = text(f"{script}.sh")
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda ctid: in_guest(node, ctid, source, *names, timeout=6000), ctids)
        return {ctid: results(output) for ctid, output in zip(ctids, said, strict=True)}


def guests():
    """The guests of this stack."""
    return (STORE, BUILDKIT, *((OLDER,) if chosen().older_suite else ()))


@pytest.fixture(scope="module")
def worked(lab):
    """The guests under one profile from their boot on: their checks, and what was denied."""
    lab.reset()
    wear(lab, dict.fromkeys(guests(), PROFILE))
    said = run(lab, guests(), "workloads", (*DOCKER, *PLUGINS))
    units = run(lab, guests()[1:], "units", UNITS)
    return lab, said, units, denied(lab, PROFILE)


def test_the_guests_are_what_they_are_here_for(worked):
    node, _, _, _ = worked
    ask = "docker info -f '{{.Driver}} {{.DriverStatus}}'"
    assert "io.containerd.snapshotter.v1" in in_guest(node, STORE, ask)
    assert in_guest(node, BUILDKIT, ask).startswith("overlay2 ")
    if OLDER in guests():
        assert in_guest(node, OLDER, "systemctl --version").startswith("systemd 252 ")


def test_what_people_run_in_docker_works(worked):
    _, said, _, _ = worked
    for ctid, checks in said.items():
        assert failed(checks) == [], ctid
        assert {*checks} >= {*DOCKER, *(() if ctid == OLDER else PLUGINS)}


def test_units_with_a_view_of_their_own_start(worked):
    _, _, units, _ = worked
    for ctid, checks in units.items():
        assert failed(checks) == [], ctid
        assert {*checks} == {*UNITS}


def test_nothing_of_it_was_denied(worked):
    _, _, _, lines = worked
    assert lines == []


@pytest.mark.long
@pytest.mark.parametrize("script", ["workloads", "units"])
def test_whatever_works_without_a_profile_works_under_it(lab, script):
    lab.reset()
    wear(lab, dict.fromkeys(guests(), "unconfined"))
    before = run(lab, guests(), script)
    lab.reset()
    wear(lab, dict.fromkeys(guests(), PROFILE))
    after = run(lab, guests(), script)
    for ctid, checks in before.items():
        worked = {name for name, line in checks.items() if line.startswith("PASS ")}
        assert worked
        assert failed({name: after[ctid][name] for name in worked}) == [], ctid
    assert denied(lab, PROFILE) == []
