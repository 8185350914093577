"""What a guest's Docker runs on, and what becomes of one that no program of ours can prove."""

from dataclasses import replace

import pytest
from plan_cases import (
    CONF,
    DOCKER,
    TEMPLATES,
    apparmor,
    container,
    fleet,
    hardened,
    installed,
    node,
)

from phoenix.docker.architecture import of_conf, of_machine
from phoenix.docker.names import PROBES
from phoenix.docker.observed import ObservedDocker
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Severity
from phoenix.plan.node import plan_node
from phoenix.plan.options import Options

#: Of pct.conf(5).
ARCHS = {
    "amd64": "amd64",
    "i386": "386",
    "arm64": "arm64",
    "armhf": "arm",
    "riscv32": "riscv32",
    "riscv64": "riscv64",
}
RUNS = ObservedDocker("ok", "26.1.5", "overlay2", containers=1)
CONFINED = {"label": "lxc-docker-nested (enforce)"}


def plan(arch="amd64", docker=RUNS, host=None, conf=CONF, entry=DOCKER, options=None, **changes):
    text = conf.replace("arch: amd64\n", f"arch: {arch}\n" if arch else "", 1)
    return plan_node(
        fleet=fleet(ct910=entry),
        options=options or Options(),
        facts=NodeFacts(
            containers=node(container(conf=text, **changes)),
            apparmor=host or apparmor(),
            dockers={910: docker} if docker else {},
        ),
        templates=TEMPLATES,
    )


def test_what_a_conf_says_is_told_in_dockers_words():
    assert {arch: of_conf(arch) for arch in ARCHS} == ARCHS
    # pct.conf(5): the default
    assert of_conf(None) == "amd64"


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [
        *[("x86_64", "amd64"), ("i386", "386"), ("i686", "386"), ("aarch64", "arm64")],
        *[("armv6l", "arm"), ("armv7l", "arm"), ("armv8l", "arm"), ("armv7b", "armv7b")],
        *[("riscv64", "riscv64"), ("s390x", "s390x"), ("loongarch64", "loongarch64")],
    ],
)
def test_what_a_machine_is_called_is_told_in_dockers_words(machine, architecture):
    assert of_machine(machine) == architecture


@pytest.mark.parametrize("docker", [None, RUNS, ObservedDocker("dead", error="gone")])
@pytest.mark.parametrize("arch", [None, "amd64", "i386", "arm64", "armhf"])
def test_each_architecture_of_an_official_node_is_proven_by_its_own_program(arch, docker):
    (change,) = plan(arch, docker).containers
    assert (change.docker, change.architecture) == (True, of_conf(arch))
    assert of_conf(arch) in PROBES


def test_docker_knows_better_than_the_conf_what_it_runs_on():
    (change,) = plan("arm64", replace(RUNS, architecture="arm")).containers
    assert change.architecture == "arm"


LEFT = (
    "left alone: its Docker runs on riscv64, and a container of ours can prove it on 386, amd64, "
    "arm, arm64 only"
)


@pytest.mark.parametrize(
    ("arch", "docker"),
    [
        ("riscv64", None),
        ("riscv64", RUNS),
        ("riscv64", ObservedDocker("dead", error="gone")),
        ("amd64", replace(RUNS, architecture="riscv64")),
    ],
)
def test_one_that_cannot_be_proven_is_left_alone_and_the_plan_says_it_with_the_way_out(
    arch, docker
):
    result = plan(arch, docker)
    assert not result.containers
    (found,) = [one for one in result.findings if one.code == Code.ARCHITECTURE]
    assert (found.severity, found.ctid, found.message) == (Severity.WARNING, 910, LEFT)
    assert found.fix == "to go on without that proof: --data force=no-probe"
    # the others go on, and the exit code says that one was left
    assert (result.problems, [*result.alone]) == ((), [910])


def test_who_names_it_is_refused_before_anything_changes():
    result = plan("riscv64", options=Options(only="910"))
    (problem,) = result.problems
    assert LEFT in problem


def test_with_force_it_goes_on_and_the_plan_says_what_proves_it():
    result = plan("riscv64", options=Options(force="no-probe"))
    (change,) = result.containers
    assert (change.docker, change.architecture) == (True, "riscv64")
    assert "its Docker runs on riscv64: proven by what its owner runs" in " ".join(result.notes)
    assert not result.alone


@pytest.mark.parametrize(
    "changes",
    [
        {"entry": {"apparmor_profile": "generated"}},
        {"docker": ObservedDocker("none")},
        {"options": Options(restart="never")},
        {"label": None, "docker": ObservedDocker("stopped")},
    ],
    ids=["no Docker wanted", "none there", "restart=never", "stopped"],
)
def test_where_nothing_is_to_be_proven_it_stands_against_nothing(changes):
    result = plan("riscv64", **changes)
    (change,) = result.containers
    assert Code.ARCHITECTURE not in {one.code for one in result.findings}
    assert change.architecture == "riscv64"


def test_one_that_is_as_it_should_be_is_no_finding():
    result = plan("riscv64", host=installed(), conf=hardened(), **CONFINED)
    assert result.empty
    assert Code.ARCHITECTURE not in {one.code for one in result.findings}


def test_an_odd_architecture_of_a_conf_is_printable():
    result = plan("\x1b[2J")
    (found,) = [one for one in result.findings if one.code == Code.ARCHITECTURE]
    assert str(found).isprintable()
