"""A node with scripted answers, for pyinfra's `@fake` connector."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from phoenix.apparmor.observed import apparmor_from_json
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import render_profile

CONF = """\
features: nesting=1
hostname: {name}
unprivileged: 1
lxc.apparmor.profile: unconfined
"""

APPARMOR = {
    "enabled": True,
    "parser": [4, 1, 0],
    "abis": ["4.0"],
    "loaded": {},
    "files": {},
    "tunables_error": "",
    "hook": None,
    "reads_global_d": True,
    "stale": [],
}

NO_OVERRIDES = {"kernel": {}, "lxc": {}, "base": None, "changed": [], "unread": {}}
NO_STOCK = {"guests": {}, "storages": {}, "templates": [], "pools": []}


def installed(**changes):
    """Of such a node, with our profile as it shall be; `changes`: of a node it was made for."""
    folder = Path(__file__).parents[2] / "templates/apparmor"
    sources = {path.name: path.read_text() for path in folder.glob("*.j2")}
    name = "lxc-docker-nested"
    text = render_profile(Confinement(name), sources, apparmor_from_json({**APPARMOR, **changes}))
    return {"loaded": {name: "enforce"}, "files": {name: text}}


def docker(ctid, *lines, **info):
    """What the node says of a guest whose Docker answers."""
    answer = {"ServerVersion": "26.1.5", "Driver": "overlay2", "Images": 1, **info}
    text = "\n".join(["guest 1", f"info {json.dumps(answer)}", *lines])
    return {str(ctid): {"state": "ok", "text": text, "error": ""}}


def journal(*entries):
    """A journal of the version before, which had neither a first line nor times to speak of."""
    lines = [json.dumps({"time": "2026-11-22T01:30:00Z", **entry}) for entry in entries]
    return "".join(f"{line}\n" for line in lines)


@dataclass
class FakeNode:
    """A node that answers `observe`; commands that no answer is scripted for succeed silently.

    All but the `stopped` ones run under `label`, or that of `labels`. Each answer takes `delay`
    seconds. `responses`: what comes first, by a part of the command. `later`: what it says once a
    plan is made anew.
    """

    name: str
    confs: Mapping[int, str]
    label: str = "unconfined"
    labels: Mapping[int, str] = field(default_factory=dict)
    stopped: Collection[int] = ()
    ha: Mapping[int, str] = field(default_factory=dict)
    services: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    apparmor: Mapping[str, object] = field(default_factory=dict)
    dockers: Mapping[str, object] = field(default_factory=dict)
    wanted: str | None = None
    delay: float = 0
    denials: list[tuple[int, float, str]] = field(default_factory=list)
    rules: list[list[object]] = field(default_factory=list)
    runs: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, object] = field(default_factory=dict)
    watch: Mapping[str, object] = field(default_factory=dict)
    backups: Mapping[str, object] = field(default_factory=dict)
    fallen: Mapping[str, object] = field(default_factory=dict)
    hookscripts: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, object] = field(default_factory=dict)
    etc_pve: Mapping[str, object] = field(default_factory=dict)
    stock: Mapping[str, object] = field(default_factory=dict)
    storage: Mapping[str, object] = field(default_factory=dict)
    includes: Mapping[str, object] = field(default_factory=dict)
    login: Collection[str] = ("uid 0", "user root", "python Python 3.13.5", "pct /usr/sbin/pct")
    responses: dict[str, object] = field(default_factory=dict)
    later: "FakeNode | None" = None

    def host(self) -> tuple[str, dict[str, object]]:
        """The node as an entry of an inventory."""
        answers = {
            "observe staged": self._answer(staged={"conf": None}),
            "observe backups": self._answer(backups=self._backups()),
            **({"observe containers,dockers": self.later._everything()} if self.later else {}),
            "observe ": self._everything(),
            "id -un": [*self.login],
        }
        return f"@fake/{self.name}", {
            # the first match wins
            "fake_responses": {**self.responses, **answers, **self.responses},
            "fake_delay": self.delay,
            "fake_delay_jitter": 0,
        }

    def _everything(self) -> list[str]:
        none = {"files": {}, "guest": {}, "staged": {}, "now": {}, "left": []}
        return self._answer(
            containers=self._containers(),
            apparmor={**APPARMOR, **self.apparmor},
            storage={"paths": [], "datasets": {}, "silent": {}, **self.storage},
            dockers=self.dockers,
            rules={"refused": self.rules, "unchecked": ""},
            runs={"runs": self.runs, "active": [], "problems": []},
            run_files={**none, **self.kept},
            denials={
                "source": "audit.log",
                "begins": None,
                "left": 0,
                "denials": self.denials,
            },
            watch={"files": {}, "timer": False, **self.watch},
            fallen=self.fallen,
            hookscripts=self.hookscripts,
            overrides={**NO_OVERRIDES, **self.overrides},
            versions={"release": "", "build": "", "packages": {}, **self.versions},
            etc_pve=self.etc_pve,
            stock={**NO_STOCK, **self.stock},
            includes=self.includes,
            backups=self._backups(),
        )

    def _backups(self) -> dict[str, object]:
        nothing = {"storages": {}, "backups": [], "problems": []}
        return {"now": "2026-11-22T02:00:00Z", **nothing, **self.backups}

    def _answer(self, **sections: object) -> list[str]:
        return [json.dumps(sections)]

    def _containers(self) -> dict[str, object]:
        containers = {
            str(ctid): {
                "conf": conf,
                "running": ctid not in self.stopped,
                "pid": None if ctid in self.stopped else ctid,
                "started": None if ctid in self.stopped else 1795308303,
                "label": None if ctid in self.stopped else self.labels.get(ctid, self.label),
                "ha": self.ha.get(ctid),
                "service": self.services.get(ctid),
                "live": None,
                "ours": None,
            }
            for ctid, conf in self.confs.items()
        }
        return {
            "node": self.name,
            "containers": containers,
            "elsewhere": dict(self.elsewhere),
            "problems": [],
            "wanted": self.wanted,
        }
