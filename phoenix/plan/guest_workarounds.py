"""What people change in a guest to have Docker run without AppArmor, and how it goes back.

What the guest says of it is shown and decides nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import PurePosixPath

from phoenix.docker.observed import ComposeLine, ObservedDocker
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.pve.observed import ObservedContainer
from phoenix.text.guest_json import read_json
from phoenix.text.printable import printable

_HELD = re.compile(r"containerd|containerd\.io|runc|docker\.io|docker-ce(-.+)?|moby-.+")
#: What people choose for other reasons than AppArmor.
_RUNTIMES = frozenset(
    ["runc", "crun", "youki", "runsc", "kata-runtime", "sysbox-runc", "nvidia-container-runtime"]
)
_WRAPPED = {
    "script": "is a script in runc's place",
    "changed": "is not the runc that its package brought",
    "link": "leads to a program by another name than runc",
}
_OPENS = {
    "apparmor": "without Docker's own AppArmor profile, where Docker has one",
    "seccomp": "without Docker's seccomp filter",
    "systempaths": "with all of /proc and /sys in sight, sysrq-trigger included",
    "privileged": (
        "with every device and capability of its guest, without Docker's AppArmor profile and "
        "seccomp filter"
    ),
}
#: So many names are told at once.
_SHOWN = 5


def guest_workarounds(
    observed: ObservedContainer, docker: ObservedDocker | None, need: Callable[[Code], str]
) -> Iterator[Finding]:
    """What its Docker said of such things; `need`: whether they are needed still, in words."""
    if docker is None:
        return
    name = printable(observed.conf.hostname or "")

    def note(code: Code, text: str, fix: str) -> Finding:
        message = "; ".join(filter(None, (f"workaround {text}", need(code))))
        return Finding(code, Severity.NOTE, printable(message, None), observed.ctid, name, fix)

    if held := sorted(filter(_HELD.fullmatch, docker.holds)):
        text = f"apt-mark hold {' '.join(held)} keeps security fixes away"
        fix = f"apt-mark unhold {' '.join(held)} in the guest once it is confined"
        yield note(Code.HOLD, text, fix)
    if pinned := sorted(filter(_HELD.fullmatch, docker.pins)):
        text = f"apt's preferences keep {' '.join(pinned)} at a version, and security fixes away"
        fix = "take that out of /etc/apt/preferences.d in the guest once it is confined"
        yield note(Code.HOLD, text, fix)
    for kind, path in docker.wrappers:
        text = f"{path} {_WRAPPED[kind]}: it may start each container without its AppArmor profile"
        yield note(Code.WRAPPER, text, _runc_back(docker, path))
    if runtime := _odd_runtime(docker):
        text = f"Docker starts containers by {runtime}, which may leave out their AppArmor profile"
        fix = "take default-runtime out of /etc/docker/daemon.json in the guest and restart Docker"
        yield note(Code.WRAPPER, text, fix)
    for option in sorted({option for _, option in docker.unconfined}):
        having = [one for one, has in docker.unconfined if has == option]
        opens = _OPENS[re.split("[=:]", option)[0]]
        text = f"--security-opt {option} of {_listed(having)}: runs {opens}"
        fix = f"make {'it' if len(having) == 1 else 'them'} anew without it"
        yield note(Code.SECURITY_OPT, text, fix)
    for (path, option), lines in _by_option(docker.composes).items():
        said = "privileged: true" if option == "privileged" else f"{option}=unconfined"
        text = f"{said} in {path}, {lines}: runs {_OPENS[option]}"
        file = shlex.quote(printable(path, None))
        fix = (
            "take that line out; where the project runs, docker compose -f "
            f"{file} up -d in the guest makes its containers anew"
        )
        yield note(Code.COMPOSE, text, fix)
    if docker.composes_cut:
        text = "not every file of compose in it was looked at: too many, or no answer in time"
        fix = "grep -rn unconfined --include='*compose*.y*ml' FOLDER in the guest finds the others"
        yield Finding(Code.COMPOSE, Severity.NOTE, text, observed.ctid, name, fix)
    if docker.partly:
        text = "its dockerd has not told of all of its containers: its answer broke off"
        fix = "run this again; where it stays so, docker ps -a in the guest shows which one hangs"
        yield Finding(Code.DOCKER_PARTLY, Severity.NOTE, text, observed.ctid, name, fix)
    for owner, path in docker.silent[:_SHOWN]:
        text = f"{path}, a mount of its Docker container {owner}, gives no answer, as a dead share"
        fix = f"umount -l it, or bring its server back; df {shlex.quote(path)} in the guest hangs"
        texts = (printable(text, None), observed.ctid, name, printable(fix, None))
        yield Finding(Code.SILENT_BIND, Severity.NOTE, *texts)


def _by_option(found: Iterable[ComposeLine]) -> dict[tuple[str, str], str]:
    """By file and option its lines, in words."""
    lines: dict[tuple[str, str], list[int]] = {}
    for one in found:
        lines.setdefault((one.path, one.option), []).append(one.line)
    words = {}
    for key, numbers in lines.items():
        more = ", …" if len(numbers) > _SHOWN else ""
        word = "line" if len(numbers) == 1 else "lines"
        words[key] = f"{word} {', '.join(map(str, numbers[:_SHOWN]))}{more}"
    return words


def _runc_back(docker: ObservedDocker, path: str) -> str:
    """The commands by which the guest has runc as its package brought it."""
    then = "systemctl restart docker"
    if path.startswith("/usr/local/"):
        return f"rm {shlex.quote(printable(path, None))} && {then} in the guest"
    package = "containerd.io" if docker.packages.get("containerd.io", "")[1:] == "i" else "runc"
    return f"apt-get install --reinstall {package} && {then} in the guest"


def _odd_runtime(docker: ObservedDocker) -> str:
    """The program that daemon.json names in runc's place, if it is none that people know."""
    try:
        settings = read_json(docker.file.text if docker.file else "{}")
        path = settings["runtimes"][settings["default-runtime"]]["path"]
    except (ValueError, TypeError, KeyError):
        return ""
    if not isinstance(path, str) or PurePosixPath(path).name in _RUNTIMES:
        return ""
    return printable(path, 200)


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    word = "container" if len(names) == 1 else "containers"
    return f"{word} {', '.join([*names][:_SHOWN])}{more}"
