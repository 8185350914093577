"""What was seen of one node, all of it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from phoenix.apparmor.denials import ObservedDenials, denials_from_json
from phoenix.apparmor.generated_rules import ObservedRules, rules_from_json
from phoenix.apparmor.observed import ObservedAppArmor, apparmor_from_json
from phoenix.docker.fallen import Fallen, fallen_from_json
from phoenix.docker.observed import ObservedDocker
from phoenix.docker.reading import dockers_from_json
from phoenix.pve.backups import ObservedBackups, backups_from_json
from phoenix.pve.etc_pve import ObservedEtcPve, etc_pve_from_json
from phoenix.pve.hookscripts import HookScript, hookscripts_from_json
from phoenix.pve.includes import Includes, includes_from_json
from phoenix.pve.observed import ObservedPct, containers_from_json
from phoenix.pve.overrides import ObservedOverrides, overrides_from_json
from phoenix.pve.stock import ObservedStock, stock_from_json
from phoenix.pve.storage import ObservedStorage, storage_from_json
from phoenix.pve.versions import ObservedVersions, versions_from_json
from phoenix.runs.files import ObservedRuns, RunFiles, run_files_from_json, runs_from_json
from phoenix.runs.watch import ObservedWatch, watch_from_json


@dataclass(frozen=True)
class NodeFacts:
    """One field per section of the node's answer; what nobody asked for is empty."""

    containers: ObservedPct = field(default_factory=lambda: ObservedPct(""))
    apparmor: ObservedAppArmor = field(default_factory=ObservedAppArmor)
    storage: ObservedStorage = field(default_factory=ObservedStorage)
    dockers: Mapping[int, ObservedDocker] = field(default_factory=dict)
    rules: ObservedRules = field(default_factory=ObservedRules)
    runs: ObservedRuns = field(default_factory=ObservedRuns)
    run_files: RunFiles = field(default_factory=RunFiles)
    denials: ObservedDenials = field(default_factory=ObservedDenials)
    watch: ObservedWatch = field(default_factory=ObservedWatch)
    backups: ObservedBackups = field(default_factory=ObservedBackups)
    fallen: Mapping[int, Fallen] = field(default_factory=dict)
    hookscripts: Mapping[str, HookScript] = field(default_factory=dict)
    overrides: ObservedOverrides = field(default_factory=ObservedOverrides)
    versions: ObservedVersions = field(default_factory=ObservedVersions)
    etc_pve: ObservedEtcPve = field(default_factory=ObservedEtcPve)
    stock: ObservedStock = field(default_factory=ObservedStock)
    includes: Includes = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have each container know what its conf includes; what is not known stays as it is."""
        if self.includes:
            confs = {
                ctid: replace(one, includes=self.includes)
                for ctid, one in self.containers.containers.items()
            }
            object.__setattr__(self, "containers", replace(self.containers, containers=confs))


_SECTIONS: Mapping[str, Callable[[Any], object]] = {
    "containers": containers_from_json,
    "apparmor": apparmor_from_json,
    "storage": storage_from_json,
    "dockers": dockers_from_json,
    "rules": rules_from_json,
    "runs": runs_from_json,
    "run_files": run_files_from_json,
    "denials": denials_from_json,
    "watch": watch_from_json,
    "backups": backups_from_json,
    "fallen": fallen_from_json,
    "hookscripts": hookscripts_from_json,
    "overrides": overrides_from_json,
    "versions": versions_from_json,
    "etc_pve": etc_pve_from_json,
    "stock": stock_from_json,
    "includes": includes_from_json,
}


def read_facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of an answer as fields of `NodeFacts`.

    Raises ValueError, KeyError or TypeError for what no node of ours says.
    """
    return {name: _SECTIONS[name](section) for name, section in answer.items()}
