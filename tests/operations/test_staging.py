"""Container operations with `stage=`: into the run's folder, never onto the container."""

import base64
import hashlib
import io
import tarfile

import pytest
from pyinfra.api import OperationValueError
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from facts.staged import StagedConf
from operations import pct
from phoenix.observed import ObservedContainer
from phoenix.pve_conf import PveConf

RUN = "r20261122T013000Z-beef"
FOLDER = f"/var/lib/phoenix-harden/runs/{RUN}"
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
        host = create_host(state, facts={"staged.Staged": {f"folder={FOLDER}/910": already}})
        with ctx_state.use(state), ctx_host.use(host):
            commands = list(
                operation._inner(ctid=910, observed=observed, **{"stage": RUN, **arguments})
            )
        if not commands:
            assert host.noop_description
            return None
        (command,) = commands
        assert f"tar -x -C {FOLDER}" in command.get_raw_value()
        data = base64.b64decode(command.connector_arguments["_stdin"])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {name: tar.extractfile(name).read() for name in tar.getnames()}

    return run


def test_the_new_conf_is_staged_with_the_digest_of_the_live_one(staged):
    files = staged(pct.features, features="keyctl=1")
    assert files["910/conf"] == EDITED.to_bytes()
    assert files["910/before"] == sha256(CONF).encode()


def test_the_run_gets_all_that_its_commit_needs(staged):
    files = staged(pct.features, features="keyctl=1")
    assert set(files) == {
        *("commit", "write-conf", "restart", "daemon-json", "probe.tar"),
        *("910/conf", "910/before"),
    }


def test_a_second_edit_builds_on_the_first(staged):
    files = staged(
        pct.raw_keys,
        already=StagedConf(sha256(CONF), EDITED),
        present={"lxc.apparmor.profile": "lxc-docker-nested"},
    )
    assert files["910/conf"] == b"%slxc.apparmor.profile: lxc-docker-nested\n" % EDITED.to_bytes()
    assert files["910/before"] == sha256(CONF).encode()


def test_what_is_staged_already_is_not_staged_again(staged):
    already = StagedConf(sha256(CONF), EDITED)
    assert staged(pct.features, already=already, features="keyctl=1") is None


def test_what_was_staged_for_a_conf_that_changed_since_is_staged_anew(staged):
    already = StagedConf(sha256(PveConf("features: fuse=1\n")), PveConf("features: fuse=1\n"))
    assert staged(pct.features, already=already, features="keyctl=1")["910/conf"] == (
        EDITED.to_bytes()
    )


def test_a_staged_restart_is_the_commits_and_keeps_the_staged_conf(staged):
    files = staged(pct.restart, already=StagedConf(sha256(CONF), EDITED))
    assert files["910/conf"] == EDITED.to_bytes()
    assert "910/restart" in files


def test_a_stopped_container_has_no_restart_to_stage(staged):
    assert staged(pct.restart, running=False) is None


def test_what_is_no_run_id_becomes_no_folder(staged):
    with pytest.raises(OperationValueError, match=r"CT 910: '\.\./etc' is not the id of a run"):
        staged(pct.features, features="keyctl=1", stage="../etc")


def test_a_conf_that_pmxcfs_would_cut_off_is_refused(staged):
    with pytest.raises(OperationValueError, match="larger than the 1 MiB"):
        staged(pct.raw_keys, present={"lxc.environment": ["A=" + "x" * 1024 * 1024]})
