"""Staging and committing: which commands, with what on their stdin."""

import base64
import io
import os
import subprocess
import tarfile

import pytest
from pyinfra.api import OperationValueError
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.util import FakeState, create_host

from operations import transaction
from phoenix.apparmor import Label
from phoenix.changes import ContainerChange
from phoenix.pve_conf import PveConf

RUN = "r20261122T013000Z-beef"


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


def unpack(command):
    data = base64.b64decode(command.connector_arguments["_stdin"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            entry.name: (tar.extractfile(entry).read(), entry.mode) for entry in tar.getmembers()
        }


def test_everything_is_staged_by_one_command_with_the_files_on_its_stdin(commands):
    (command,) = commands(transaction.stage, run=RUN, changes=(change(), change(ctid=952)))
    folder = f"/var/lib/phoenix-harden/runs/{RUN}"
    said = command.get_raw_value()
    assert said.startswith(f"umask 077 && mkdir -p {folder} && if [ $(df -Pk {folder} ")
    assert said.endswith(f" && base64 -d | tar -x -C {folder} && sync -f {folder}")
    files = unpack(command)
    assert files["commit"] == ((transaction.NODE / "commit.sh").read_bytes(), 0o700)
    assert files["910/conf"] == (b"hostname: a\r\n#\xff;$(reboot)\n", 0o600)
    assert files["910/label"] == (b"lxc-docker-nested (enforce)", 0o600)
    assert {"910/docker", "910/restart", "910/before", "952/conf"} <= set(files)


@pytest.mark.parametrize(("free", "code"), [(65535, 1), (65536, 0)])
def test_a_node_without_room_is_refused_before_anything_is_staged(commands, tmp_path, free, code):
    (command,) = commands(transaction.stage, run=RUN, changes=(change(),))
    df = tmp_path / "df"
    df.write_text(f"#!/bin/sh\necho 'Filesystem blocks Used Available'\necho '/ 9 9 {free} 9% /'\n")
    df.chmod(0o755)
    folder = f"{transaction.RUNS}/{RUN}"
    done = subprocess.run(
        ["sh", "-c", command.get_raw_value().replace(folder, f"{tmp_path}/run")],
        input=command.connector_arguments["_stdin"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert (tmp_path / "run/910/conf").exists() == (code == 0)
    message = "less than 64 MiB are free in /var/lib/phoenix-harden: make room and run again\n"
    assert done.stderr == (message if code else "")


def test_what_is_not_asked_for_has_no_file(commands):
    asked = change(restart=False, docker=False, label=None)
    (command,) = commands(transaction.stage, run=RUN, changes=(asked,))
    assert {name for name in unpack(command) if name.startswith("910/")} == {
        "910/conf",
        "910/before",
    }


def test_the_image_of_the_proof_holds_one_static_program(commands):
    (command,) = commands(transaction.stage, run=RUN, changes=(change(),))
    with tarfile.open(fileobj=io.BytesIO(unpack(command)["probe.tar"][0])) as image:
        assert [(entry.name, entry.mode) for entry in image.getmembers()] == [("probe", 0o755)]


def test_a_commit_is_a_transient_unit_that_outlives_the_operator(commands):
    (command,) = commands(transaction.commit, run=RUN, ctid=910)
    assert command.get_raw_value() == (
        f"systemd-run --wait --pipe --collect --quiet --unit=phoenix-harden-{RUN}-910 "
        "'--description=phoenix-harden: commit CT 910' "
        f"/var/lib/phoenix-harden/runs/{RUN}/commit 910"
    )


@pytest.mark.parametrize("ctid", [99, True, "910; reboot"])
def test_what_is_no_ctid_reaches_no_shell(commands, ctid):
    with pytest.raises(OperationValueError, match="is not a CTID"):
        commands(transaction.commit, run=RUN, ctid=ctid)


def test_what_is_no_run_id_becomes_no_folder(commands):
    with pytest.raises(ValueError, match="is not the id of a run"):
        commands(transaction.stage, run="../../etc", changes=())
