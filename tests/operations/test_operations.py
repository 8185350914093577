"""Each folder here is an operation, each file in it a case for CT 910 of node pve1.

Of a pct operation:

conf: |                 the container's conf
  features: nesting=1
observed:               how it differs from a stopped container that nobody manages, or
node:                   instead of both: how the node's answer differs from one without containers
kwargs:
  features: keyctl=1
writes: |               the conf that is written, or
  features: nesting=1,keyctl=1
noop: text              why nothing is done, or
refused: text           why it is refused, or
commands: [...]         any other commands

Of apparmor.tunables:

home: |                 /etc/apparmor.d/tunables/home
parser: text            what the node's parser says of it, if it refuses it
site: |                 /etc/apparmor.d/tunables/home.d/site.local
repaired: |             the text that is written; or noop, or refused, as above

Of apparmor.site_tunables:

site: |                 the file that is ours
tunables: {a: [b]}      the variables that are wanted
writes: |               the text that is written, "" where the file goes; or noop, or refused

Of docker operations:

docker: {driver: vfs}   how the guest's Docker differs from Debian's on overlay2 without data
daemon_json: text       its daemon.json, if there is one
installs: [names]       the packages that apt is asked for; or
apk: [names]            apk; or
dnf: [names]            dnf; or
removes: [names]        the packages that are taken out again; or
daemon: {before: text}  with them a Docker, and its daemon.json goes, or goes back to `after`
install: {...}          how the Install differs from the default one
brings: {...}           the Install that the node is asked for; or
writes: |               the daemon.json that is written; or
restarts: true          Docker; or noop, or refused, as above

Of apparmor.profile and apparmor.own_file, on the profile lxc-a and on a file of ours:

installed: |            the profile's file
script: |               the script that is there
loaded: enforce         the mode in which the kernel has it
stale: true             with another text than the file's
kwargs:
  text: ...
installs: true          it is installed; or noop, or refused, as above

Commands are as in node_command.py.
"""

import hashlib
import json
import shlex
from pathlib import Path

from pyinfra_testing.operations import make_operation_tests

from operations import apparmor
from phoenix.apparmor.observed import Label, ObservedAppArmor
from phoenix.docker.install import Install
from phoenix.docker.observed import DaemonFile, ObservedDocker
from phoenix.plan.guest import GuestChange
from phoenix.pve.observed import containers_from_json

NOBODY = {"node": "pve1", "containers": {}, "elsewhere": {}, "problems": [], "wanted": None}
STOPPED = {"ctid": 910, "running": False, "pid": None, "label": None, "ha": None, "node": "pve1"}
RUN = "r20261122T013000Z-beef"
UNIT = (
    "systemd-run --wait --pipe --collect --quiet --unit=phoenix-harden-restart-910 "
    "'--description=phoenix-harden: restart CT 910' --property=UMask=0077 "
    "--property=MemoryMax=512M --property=RuntimeMaxSec=14400"
)


def translate(case):
    """A case as pyinfra-testing reads it."""
    kwargs = {"ctid": 910, **case["kwargs"]}
    if "conf" in case:
        kwargs["observed"] = {**STOPPED, **case.get("observed", {}), "conf": {"text": case["conf"]}}
    commands = []
    if "refused" in case:
        commands = ["never reached"]
    if "fails" in case:
        commands = [f"printf '%s\\n' {shlex.quote(case['fails'])} >&2; exit 2"]
    if "restarts" in case:
        commands = [asks(f"{UNIT} NODE restart 910 {case['restarts']}", None)]
    if "writes" in case:
        line = f"write-conf 910 {sha256(case['conf'])} {sha256(case['writes'])}"
        commands = [asks(f"NODE {line}", {"text": case["writes"]})]
    return {
        "kwargs": kwargs,
        "facts": {"pct.Containers": containers_from_json({**NOBODY, **case.get("node", {})})},
        "commands": commands,
        "noop_description": case.get("noop"),
        "exception": {"name": "OperationValueError", "message": case.get("refused")},
    }


def translate_tunables(case):
    """A case of apparmor.tunables as pyinfra-testing reads it."""
    names = {"home": "tunables/home", "site": "tunables/home.d/site.local"}
    files = {name: case[key] for key, name in names.items() if key in case}
    observed = ObservedAppArmor(True, (4, 1, 0), (), {}, files, case.get("parser", ""))
    commands = ["never reached"] if "refused" in case else []
    if "repaired" in case:
        digests = f"{sha256(case['home'])} {sha256(case['repaired'])}"
        command = f"NODE install-tunables tunables/home {RUN} {digests}"
        commands = [asks(command, {"text": case["repaired"]})]
    return {
        "kwargs": {"run": RUN},
        "facts": {"apparmor.AppArmor": observed},
        "commands": commands,
        "noop_description": case.get("noop"),
        "exception": {"name": "OperationValueError", "message": case.get("refused")},
    }


def translate_site(case):
    """A case of apparmor.site_tunables as pyinfra-testing reads it."""
    files = {apparmor.TUNABLES_SITE: case["site"]} if "site" in case else {}
    observed = ObservedAppArmor(True, (4, 1, 0), files=files, reads_global_d=True)
    commands = ["never reached"] if "refused" in case else []
    if "writes" in case:
        before = sha256(case["site"]) if "site" in case else "none"
        after = sha256(case["writes"]) if case["writes"] else "none"
        command = f"NODE install-tunables {apparmor.TUNABLES_SITE} {RUN} {before} {after}"
        commands = [asks(command, {"text": case["writes"] or None})]
    return {
        "kwargs": {"run": RUN, "tunables": case["tunables"]},
        "facts": {"apparmor.AppArmor": observed},
        "commands": commands,
        "noop_description": case.get("noop"),
        "exception": {"name": "OperationValueError", "message": case.get("refused")},
    }


def translate_docker(case):
    """A case of a docker operation as pyinfra-testing reads it."""
    debian = {"state": "ok", "version": "26.1.5", "driver": "overlay2", "manager": "apt"}
    file = DaemonFile(case["daemon_json"]) if "daemon_json" in case else None
    observed = ObservedDocker(**{**debian, **case.get("docker", {})}, file=file)
    commands = ["never reached"] if "refused" in case else []
    kwargs = {"ctid": 910, **case.get("kwargs", {})}
    for key, manager in (("installs", "apt"), ("apk", "apk"), ("dnf", "dnf")):
        if key in case:
            unit = UNIT.replace("restart-910", "docker-910-packages")
            unit = unit.replace("restart CT 910", "packages of CT 910")
            line = f"{unit} NODE packages install 910 - {manager}"
            commands = [asks(line, {"packages": case[key]})]
    if "removes" in case:
        unit = UNIT.replace("restart-910", f"{RUN}-910-packages")
        unit = unit.replace("restart CT 910", "packages of CT 910")
        line = f"{unit} NODE packages remove 910 {RUN} {kwargs['manager']}"
        request = {"packages": case["removes"]}
        if "daemon" in case:
            before, after = (case["daemon"].get(key) for key in ("before", "after"))
            kwargs["daemon"] = GuestChange(before, after)
            request["docker"] = {"after": sha256(before), "text": after}
        commands = [asks(line, request)]
    if "writes" in case:
        before = sha256(case["daemon_json"]) if "daemon_json" in case else "none"
        line = f"NODE daemon-json 910 put {before} {sha256(case['writes'])}"
        commands = [asks(line, {"text": case["writes"]})]
    if "restarts" in case:
        commands = [asks("NODE daemon-json 910 restart", None)]
    return {
        "kwargs": kwargs,
        "facts": {"docker.Dockers": {"ctids=(910,), probe=()": {910: observed}}},
        "commands": commands,
        "noop_description": case.get("noop"),
        "exception": {"name": "OperationValueError", "message": case.get("refused")},
    }


def translate_docker_install(case):
    """A case of docker.install as pyinfra-testing reads it."""
    label = Label("lxc-docker-nested", "enforce")
    kwargs = {"install": Install(**case.get("install", {})), "label": label, "run": RUN}
    kwargs |= case["kwargs"]
    found = translate_docker({**case, "kwargs": kwargs})
    if "brings" in case:
        unit = UNIT.replace("restart-910", f"{RUN}-910-install")
        unit = unit.replace("restart CT 910", "Docker in CT 910")
        request = {
            "install": case["brings"],
            "label": str(kwargs["label"]) if kwargs["label"] else None,
            "architecture": kwargs.get("architecture", "amd64"),
        }
        found["commands"] = [asks(f"{unit} NODE install {RUN} 910", request)]
    return found


def translate_install(case):
    """A case of apparmor.profile or apparmor.own_file as pyinfra-testing reads it."""
    loaded = {"lxc-a": case["loaded"]} if "loaded" in case else {}
    files = {"lxc-a": case["installed"]} if "installed" in case else {}
    observed = ObservedAppArmor(
        enabled=True,
        parser=(4, 1, 0),
        loaded=loaded,
        files=files,
        hook=case.get("script"),
        stale=("lxc-a",) if case.get("stale") else (),
    )
    kwargs = {"run": RUN, **case.get("kwargs", {})}
    commands = ["never reached"] if "refused" in case else []
    if "installs" in case and "profile" in kwargs:
        line = f"NODE install-profile lxc-a {RUN} {kwargs.get('mode', 'enforce')}"
        commands = [asks(line, {"text": kwargs["text"]})]
    elif "installs" in case:
        line = f"NODE install-file {kwargs['path']} {RUN}"
        commands = [asks(line, {"text": kwargs["text"]})]
    return {
        "kwargs": kwargs,
        "facts": {"apparmor.AppArmor": {"files=('lxc-a',)": observed}}
        if "profile" in kwargs
        else {"apparmor.AppArmor": observed},
        "commands": commands,
        "noop_description": case.get("noop"),
        "exception": {"name": "OperationValueError", "message": case.get("refused")},
    }


def asks(command, request):
    """A command of the node's program."""
    return {"command": command, "_stdin": json.dumps(request)}


def sha256(text):
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


TRANSLATE = {
    "docker.install": translate_docker_install,
    "apparmor.tunables": translate_tunables,
    "apparmor.site_tunables": translate_site,
    "apparmor.profile": translate_install,
    "apparmor.own_file": translate_install,
}


def cases(folder):
    tests = make_operation_tests("operations", folder.name, folder)
    run = tests._test
    module = folder.name.partition(".")[0]
    usual = translate_docker if module == "docker" else translate
    read = TRANSLATE.get(folder.name, usual)
    tests._test = lambda self, name, case: run(self, name, read(case))
    return tests


for found in sorted(Path(__file__).parent.glob("*.*/")):
    globals()[f"Test{found.name}"] = cases(found)
