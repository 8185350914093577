"""What a plan says of the owner's own check, and when the gate is given it."""

import pytest
from plan_cases import CONF, DOCKER, container, hardened, installed, node, plan

from phoenix.plan.findings import Code
from phoenix.plan.options import Options
from phoenix.pve.health import HealthCheck

COMMAND = {"command": "curl -fs http://localhost"}
CHECK = HealthCheck(("sh", "-c", COMMAND["command"]))


def told(planned):
    return [str(one) for one in planned.findings if one.code == Code.HEALTH_CHECK]


def test_a_container_that_restarts_is_asked_and_the_plan_says_what():
    found = plan(ct910={**DOCKER, "health_check": COMMAND})
    (change,) = found.containers
    assert change.health == CHECK
    assert told(found) == [
        "CT 910 portainer: its health_check is asked before and after: curl -fs http://localhost"
    ]


def test_without_one_nothing_is_said():
    found = plan()
    assert (found.containers[0].health, told(found)) == (None, [])


@pytest.mark.parametrize(
    ("pct", "options"),
    [
        (node(container()), Options(restart="never")),
        (node(container(label=None)), Options()),
        (node(container(conf=hardened(), label="lxc-docker-nested (enforce)")), Options()),
    ],
)
def test_where_nothing_restarts_nothing_is_said_of_it(pct, options):
    assert told(plan(pct, installed(), options, ct910={**DOCKER, "health_check": COMMAND})) == []


def test_who_goes_without_it_reads_that():
    options = Options(accept=("health_check",))
    found = plan(options=options, ct910={**DOCKER, "health_check": COMMAND})
    assert found.containers[0].accept == ("health_check",)
    assert told(found) == ["CT 910 portainer: its health_check is not asked (accept=health_check)"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (COMMAND, "is not asked: nothing is run in one program: give it a url"),
        ({"url": "http://localhost"}, "is asked before and after: http://localhost"),
    ],
)
def test_of_one_program_only_a_url_is_asked(entry, says):
    pct = node(container(conf=f"entrypoint: /app\n{CONF}"))
    wanted = {"apparmor_profile": "lxc-docker-nested", "health_check": entry}
    assert told(plan(pct, ct910=wanted)) == [f"CT 910 portainer: its health_check {says}"]


def test_a_long_command_is_cut_where_it_is_told():
    entry = {**DOCKER, "health_check": {"command": "x" * 5000 + "\n"}}
    (text,) = told(plan(ct910=entry))
    assert len(text) < 200
    assert text.isprintable()
