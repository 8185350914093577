"""A container that HA manages: out of its hands while it is changed, and back."""

from __future__ import annotations

import ha_stack
import pytest
from on_node import ENFORCED, conf, pyinfra

pytestmark = [pytest.mark.lab, pytest.mark.long]

CTID = 910
RESOURCES = ha_stack.resources(CTID)


@pytest.fixture
def managed(clean_lab):
    ha_stack.manage(CTID, [clean_lab])
    return clean_lab


def test_it_is_hardened_and_rolled_back_and_ha_never_has_anything_to_do(managed):
    before = conf(managed, CTID)
    away = f"ha-manager set ct:{CTID} --state ignored"
    dry = pyinfra("harden", "--dry", only=CTID, ha="true")
    assert f"{away}, and back to started" in dry.stderr
    assert ha_stack.calls(managed) == []
    done = pyinfra("harden", "-y", only=CTID, ha="true")
    assert done.returncode == 0, done.stderr
    assert managed.label(CTID) == ENFORCED
    back = f"ha-manager set ct:{CTID} --state started"
    assert ha_stack.calls(managed) == [away, back]
    done = pyinfra("rollback", "-y", ha="true")
    assert done.returncode == 0, done.stderr
    assert (conf(managed, CTID), ha_stack.asked(managed)) == (before, RESOURCES)
    assert ha_stack.calls(managed) == [away, back] * 2
    assert ha_stack.acts(managed) == ""


def test_an_ha_that_refuses_stands_against_the_change_with_its_own_words(managed):
    managed.ssh("touch /run/ha-refuses")
    before, pid = conf(managed, CTID), managed.ssh(f"lxc-info -n {CTID} -pH").stdout
    done = pyinfra("harden", "-y", only=CTID, ha="true")
    assert done.returncode == 1
    assert "refused: ha-manager refuses: cluster not ready - no quorum?" in done.stderr
    assert conf(managed, CTID) == before
    assert managed.ssh(f"lxc-info -n {CTID} -pH").stdout == pid
    assert ha_stack.asked(managed) == RESOURCES
