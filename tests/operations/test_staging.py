"""Container operations with `stage=`: into the run's folder, never onto the container."""

import hashlib
import json

import pytest
from pyinfra.api import OperationValueError
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from facts.staged import StagedConf
from operations import pct
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer

RUN = "r20261122T013000Z-beef"
CONF = PveConf("features: nesting=1\n")
EDITED = PveConf("features: nesting=1,keyctl=1\n")


def sha256(conf):
    return hashlib.sha256(conf.to_bytes()).hexdigest()


@pytest.fixture
def staged():
    """What an operation stages (None: nothing), over what the run's folder holds already."""

    def run(operation, already=None, running=True, **arguments):
        observed = ObservedContainer(910, CONF, running, 4711, None, None, "pve1")
        state = FakeState()
        host = create_host(state, facts={"staged.Staged": {f"ctid=910, run={RUN}": already}})
        with ctx_state.use(state), ctx_host.use(host):
            commands = list(
                operation._inner(ctid=910, observed=observed, **{"stage": RUN, **arguments})
            )
        if not commands:
            assert host.noop_description
            return None
        (command,) = commands
        assert command.get_raw_value().endswith(f" stage {RUN}")
        request = json.loads(command.connector_arguments["_stdin"])
        assert request["replace"] == []
        return {
            f"{ctid}/{name}": text
            for ctid, files in request["containers"].items()
            for name, text in files.items()
        }

    return run


def test_the_new_conf_is_staged_with_the_digest_of_the_live_one(staged):
    files = staged(pct.features, features="keyctl=1")
    assert files["910/conf"] == EDITED.text
    assert files["910/before"] == sha256(CONF)


def test_a_second_edit_builds_on_the_first(staged):
    files = staged(
        pct.raw_keys,
        already=StagedConf(sha256(CONF), EDITED),
        present={"lxc.apparmor.profile": "lxc-docker-nested"},
    )
    assert files["910/conf"] == f"{EDITED.text}lxc.apparmor.profile: lxc-docker-nested\n"
    assert files["910/before"] == sha256(CONF)


def test_what_is_staged_already_is_not_staged_again(staged):
    already = StagedConf(sha256(CONF), EDITED)
    assert staged(pct.features, already=already, features="keyctl=1") is None


def test_what_was_staged_for_a_conf_that_changed_since_is_staged_anew(staged):
    already = StagedConf(sha256(PveConf("features: fuse=1\n")), PveConf("features: fuse=1\n"))
    assert staged(pct.features, already=already, features="keyctl=1")["910/conf"] == (EDITED.text)


def test_a_staged_restart_is_the_commits_and_keeps_the_staged_conf(staged):
    files = staged(pct.restart, already=StagedConf(sha256(CONF), EDITED))
    assert files["910/conf"] == EDITED.text
    assert "910/restart" in files


def test_a_stopped_container_has_no_restart_to_stage(staged):
    assert staged(pct.restart, running=False) is None


def test_what_is_no_run_id_becomes_no_folder(staged):
    with pytest.raises(OperationValueError, match=r"CT 910: '\.\./etc' is not the id of a run"):
        staged(pct.features, features="keyctl=1", stage="../etc")


def test_a_conf_that_pmxcfs_would_cut_off_is_refused(staged):
    with pytest.raises(OperationValueError, match="larger than the 1 MiB"):
        staged(pct.raw_keys, present={"lxc.environment": ["A=" + "x" * 1024 * 1024]})
