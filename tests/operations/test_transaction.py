"""Staging and committing: which commands, with what on their stdin."""

import json
import shlex

import pytest
from node_command import readable
from pyinfra.api import OperationValueError
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from operations import transaction
from phoenix.apparmor.observed import Label
from phoenix.plan.actions import ContainerChange
from phoenix.pve.conf import PveConf
from phoenix.pve.health import HealthCheck

RUN = "r20261122T013000Z-beef"
LATER = "r20261122T023000Z-beef"


def change(**changes):
    values = {
        "ctid": 910,
        "name": "portainer",
        "before": PveConf("hostname: a\n"),
        "after": PveConf("hostname: a\r\n#\udcff;$(reboot)\n"),
        "label": Label("lxc-docker-nested", "enforce"),
        "restart": True,
        "docker": True,
        "reasons": (),
    }
    return ContainerChange(**{**values, **changes})


@pytest.fixture
def commands():
    """The commands of an operation, outside a run."""

    def run(operation, **arguments):
        state = FakeState()
        with ctx_state.use(state), ctx_host.use(create_host(state)):
            return list(operation._inner(**arguments))

    return run


def asked(command):
    """The request of a command."""
    return json.loads(command.connector_arguments["_stdin"])


def test_everything_is_staged_by_one_command_with_the_files_on_its_stdin(commands):
    (command,) = commands(transaction.stage, run=RUN, changes=(change(), change(ctid=952)))
    assert readable(command.get_raw_value()) == f"NODE stage {RUN}"
    request = asked(command)
    assert request["replace"] == []
    files = request["containers"]["910"]
    assert files["conf"] == "hostname: a\r\n#\udcff;$(reboot)\n"
    assert files["label"] == "lxc-docker-nested (enforce)"
    assert {"docker", "restart", "before"} <= set(files)
    assert "conf" in request["containers"]["952"]


def test_what_proves_docker_is_staged_with_it(commands):
    guest = change(architecture="arm64")
    (command,) = commands(transaction.stage, run=RUN, changes=(guest, change(ctid=952)))
    containers = asked(command)["containers"]
    assert [containers[ctid]["docker"] for ctid in ("910", "952")] == ["arm64", "amd64"]


def test_the_owners_check_is_staged_as_the_node_reads_it(commands):
    check = HealthCheck(("sh", "-c", "echo '$(reboot)'; exit 1"), retries=2)
    (command,) = commands(transaction.stage, run=RUN, changes=(change(health=check),))
    files = asked(command)["containers"]["910"]
    assert HealthCheck.parse(files["health"]) == check
    # it travels on stdin, and in no shell's words
    assert "reboot" not in command.get_raw_value()


def test_what_is_not_asked_for_has_no_file(commands):
    plain = change(restart=False, docker=False, label=None)
    (command,) = commands(transaction.stage, run=RUN, changes=(plain,))
    assert set(asked(command)["containers"]["910"]) == {"conf", "before"}


def test_a_commit_is_a_transient_unit_that_outlives_the_operator(commands):
    (command,) = commands(transaction.commit, run=RUN, ctid=910)
    program = f"/usr/bin/python3 -I /var/lib/phoenix-harden/runs/{RUN}/node.pyz"
    assert command.get_raw_value() == (
        f"systemd-run --wait --pipe --collect --quiet --unit=phoenix-harden-{RUN}-910 "
        "'--description=phoenix-harden: commit CT 910' "
        "--property=UMask=0077 --property=MemoryMax=512M --property=RuntimeMaxSec=14400 "
        "--property=KillSignal=SIGKILL --property=TimeoutStopSec=14400 "
        f"'--property=ExecStopPost={program} recover {RUN} 910 --if-cut' "
        f"{program} commit {RUN} 910"
    )


def test_several_are_committed_by_one_unit_and_taken_up_by_one(commands):
    arguments = {"run": RUN, "ctids": (910, 952, 953), "again": lambda ctid: None}
    (command,) = commands(transaction.commit_together, **arguments)
    program = f"/usr/bin/python3 -I /var/lib/phoenix-harden/runs/{RUN}/node.pyz"
    words = command.get_raw_value()
    assert f"--unit=phoenix-harden-{RUN}-910 " in words
    assert "'--description=phoenix-harden: commit CT 910 and 2 more'" in words
    assert f"'--property=ExecStopPost={program} recover {RUN} 910 952 953 --if-cut'" in words
    assert words.endswith(f"{program} commit {RUN} 910 952 953")
    assert command.connector_arguments["_success_exit_codes"] == [0, 4]


def test_however_many_there_are_no_command_becomes_too_long(commands):
    ctids = tuple(range(100_000_000, 100_001_000))
    some = commands(transaction.commit_together, run=RUN, ctids=ctids, again=lambda ctid: None)
    words = [command.get_raw_value() for command in some]
    assert max(map(len, words)) < 4096
    committed = [text.partition(f"commit {RUN} ")[2] for text in words]
    assert " ".join(committed) == " ".join(map(str, ctids))


def test_what_was_cut_short_is_recovered_by_the_program_as_it_is_now(commands):
    (command,) = commands(
        transaction.recover, undecided=RUN, run=LATER, ctid=910, again=lambda ctid: None
    )
    assert readable(command.get_raw_value()) == (
        f"systemd-run --wait --pipe --collect --quiet --unit=phoenix-harden-recover-{RUN}-910 "
        "'--description=phoenix-harden: recover CT 910' "
        "--property=UMask=0077 --property=MemoryMax=512M --property=RuntimeMaxSec=14400 "
        f"NODE recover {RUN} 910"
    )
    assert command.connector_arguments["_success_exit_codes"] == [0, 4]


def test_nothing_that_systemd_would_expand_is_in_the_words_of_a_unit(commands):
    """`%` begins a specifier (systemd.unit(5)), `$` a variable, `;` another command (.service)."""
    recovers = {"undecided": RUN, "run": LATER, "ctid": 910, "again": lambda ctid: None}
    for operation, arguments in (
        (transaction.commit, {"run": RUN, "ctid": 910}),
        (transaction.recover, recovers),
    ):
        (command,) = commands(operation, **arguments)
        words = shlex.split(command.get_raw_value())
        assert [word for word in words if "%" in word or "$" in word or word == ";"] == []
        assert "\\" not in "".join(words)


@pytest.mark.parametrize("ctid", [99, True, "910; reboot"])
def test_what_is_no_ctid_reaches_no_shell(commands, ctid):
    with pytest.raises(OperationValueError, match="is not a CTID"):
        commands(transaction.commit, run=RUN, ctid=ctid)


def test_what_is_no_run_id_becomes_no_folder(commands):
    with pytest.raises(ValueError, match="is not the id of a run"):
        commands(transaction.stage, run="../../etc", changes=())
