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
STORE, BUILDKIT, OLDER, PLAIN = 957, 958, 955, 953

#: What make test looks at in a guest: one of each kind that was broken once.
UNITS = (
    *("PrivateTmp=yes", "PrivateDevices=yes", "ProtectSystem=strict", "PrivateNetwork=yes"),
    *("ProtectProc=invisible", "DynamicUser=yes", "LoadCredential=s:/srv/data/secret"),
    *("BindReadOnlyPaths=/srv/data:/mnt", "redis", "logrotate", "everything"),
)
CUT = {
    "stable": {PLAIN: ("units", UNITS), OLDER: ("units", UNITS)},
    "current": {
        PLAIN: ("units", UNITS),
        STORE: ("workloads", ("buildkit-build", "compose-up", "bind-root", "bind-dev")),
        BUILDKIT: ("workloads", ("buildkit-build", "volume-bind", "bind-proc-and-sys")),
    },
}


def run(node, wanted):
    """Checks in several guests side by side: CTID to name to line; `wanted`: the script, names."""

    def ask(ctid):
        script, names = wanted[ctid]
        return results(in_guest(node, ctid, text(f"{script}.sh"), *names, timeout=6000))

    with ThreadPoolExecutor() as pool:
        return dict(zip(wanted, pool.map(ask, wanted), strict=True))


@pytest.fixture(scope="module")
def worked(lab):
    """The guests under one profile from their boot on: their checks, and what was denied."""
    wanted = CUT[chosen().name]
    lab.reset()
    wear(lab, dict.fromkeys(wanted, PROFILE))
    return lab, wanted, run(lab, wanted), denied(lab, PROFILE)


def test_what_people_run_works(worked):
    _, wanted, said, _ = worked
    for ctid, (_, names) in wanted.items():
        assert failed(said[ctid]) == [], ctid
        assert {*said[ctid]} == {*names}


def test_the_guests_are_what_they_are_here_for(worked):
    node, wanted, _, _ = worked
    driver = "docker info -f '{{.Driver}} {{.DriverStatus}}'"
    asked = {
        STORE: (driver, "io.containerd.snapshotter.v1"),
        BUILDKIT: (driver, "overlay2 "),
        OLDER: ("systemctl --version", "systemd 252 "),
    }
    for ctid, (question, answer) in asked.items():
        if ctid in wanted:
            assert answer in in_guest(node, ctid, question)


def test_nothing_of_it_was_denied(worked):
    *_, lines = worked
    assert lines == []
