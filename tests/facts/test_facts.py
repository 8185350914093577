"""Each folder here is a fact, each file in it a case: what a node answered and what it becomes.

answer:                 sections of the answer (or `output`: its lines as they are)
  storage: {paths: [/dev/nvidia0], datasets: {}, silent: {}}
fact: {...}             what it becomes

A case of docker.Dockers is easier to read:

arg: [[910, 954]]
guests:                 state, and what the guest printed, by CTID
  910: {state: ok, text: "guest 1\\n..."}
becomes:                how each differs from a guest of which nothing is known
  910: {version: 26.1.5+dfsg1, driver: overlay2}
drivers:                storage_driver of the fleet file: what is planned then, as a driver and the
  910: {keep: overlay2} managed keys of daemon.json, or `refused`
"""

import json
from pathlib import Path

import pytest
from pyinfra_testing.facts import make_fact_tests

from phoenix.docker.observed import ObservedDocker
from phoenix.docker.reading import dockers_from_json
from phoenix.docker.storage_driver import plan_driver

# cases are about the output; what a command does is tested against a tree of files
pytestmark = pytest.mark.filterwarnings("ignore:No command set for test")


def cases(folder):
    tests = make_fact_tests("facts", folder.name, folder)
    run = tests._test
    tests._test = lambda self, name, case: run(self, name, translate(case))
    return tests


def translate(case):
    """A case as pyinfra-testing reads it."""
    if "guests" in case:
        case = translate_guests(case)
    if "answer" in case:
        return {**case, "output": [json.dumps(case["answer"])]}
    return case


def translate_guests(case):
    """A case of docker.Dockers as the others are; the decisions are checked at once."""
    nothing = {"text": "", "error": ""}
    answer = {str(ctid): {**nothing, **guest} for ctid, guest in case["guests"].items()}
    for ctid, wanted in case.get("drivers", {}).items():
        docker = dockers_from_json(answer)[ctid]
        for driver, expected in wanted.items():
            plan = plan_driver(None if driver == "absent" else driver, docker)
            keys = [key for key, value in plan.settings.items() if value is not None]
            told = "refused" if plan.problems else " ".join([plan.driver, *keys])
            assert f"{ctid} {driver}: {told}" == f"{ctid} {driver}: {expected}"
    becomes = {
        str(ctid): {**ObservedDocker(guest["state"]).to_json(), **case["becomes"].get(ctid, {})}
        for ctid, guest in case["guests"].items()
    }
    return {"arg": case["arg"], "answer": {"dockers": answer}, "fact": becomes}


for found in sorted(Path(__file__).parent.glob("*.*/")):
    globals()[f"Test{found.name}"] = cases(found)
