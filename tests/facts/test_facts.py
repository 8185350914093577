"""Each folder here is a fact, each file in it a case: what a node printed and what it becomes.

A case of docker.Dockers is easier to read:

arg: [[910, 954]]
guests:                 state, and what the guest printed, by CTID
  910: {state: ok, says: "guest 1\\n..."}
becomes:                how each differs from a guest of which nothing is known
  910: {version: 26.1.5+dfsg1, driver: overlay2}
drivers:                storage_driver of the fleet file: what is planned then, as a driver and the
  910: {keep: overlay2} managed keys of daemon.json, or `refused`
"""

from pathlib import Path
from urllib.parse import quote

import pytest
from pyinfra_testing.facts import make_fact_tests

from phoenix.docker import ObservedDocker, parse_dockers
from phoenix.storage_driver import plan_driver

# cases are about the output; what a command does is tested against a tree of files
pytestmark = pytest.mark.filterwarnings("ignore:No command set for test")


def cases(folder):
    tests = make_fact_tests("facts", folder.name, folder)
    if folder.name == "docker.Dockers":
        run = tests._test
        tests._test = lambda self, name, case: run(self, name, translate(case))
    return tests


def translate(case):
    """A case of docker.Dockers as pyinfra-testing reads it; the decisions are checked at once."""
    output = [
        f"{ctid} {guest['state']} {quote(guest.get('says', ''))}"
        for ctid, guest in case["guests"].items()
    ]
    for ctid, wanted in case.get("drivers", {}).items():
        docker = parse_dockers(output)[ctid]
        for driver, expected in wanted.items():
            plan = plan_driver(None if driver == "absent" else driver, docker)
            told = "refused" if plan.problems else " ".join([plan.driver, *map(str, plan.settings)])
            assert f"{ctid} {driver}: {told}" == f"{ctid} {driver}: {expected}"
    becomes = {
        str(ctid): {**ObservedDocker(guest["state"]).to_json(), **case["becomes"].get(ctid, {})}
        for ctid, guest in case["guests"].items()
    }
    return {"arg": case["arg"], "output": output, "fact": becomes}


for found in sorted(Path(__file__).parent.glob("*.*/")):
    globals()[f"Test{found.name}"] = cases(found)
