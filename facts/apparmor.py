"""What a node says of its AppArmor."""

from __future__ import annotations

from pyinfra.api import StringCommand
from typing_extensions import override

from facts.observe import Observed
from facts.program import asking
from phoenix.apparmor.generated_rules import ObservedRules, rules_from_json
from phoenix.apparmor.observed import ObservedAppArmor, apparmor_from_json


class AppArmor(Observed[ObservedAppArmor]):
    """Kernel switch and mode, parser, ABIs, loaded profiles, tunables, files of `/etc/apparmor.d`.

    ```
    {"apparmor": {"enabled": true, "parser": [4, 1, 0], "abis": ["4.0"],
     "loaded": {"lxc-docker-nested": "enforce"},
     "files": {"tunables/home": "@{HOMEDIRS}=/home/\\n"},
     "tunables_error": "", "hook": null, "reads_global_d": true, "stale": [], "mode": "enforce"}}
    ```

    becomes `ObservedAppArmor(enabled=True, parser=(4, 1, 0), abis=("4.0",),
    loaded={"lxc-docker-nested": "enforce"}, files={"tunables/home": "@{HOMEDIRS}=/home/\\n"},
    tunables_error="", hook=None, reads_global_d=True, stale=(), mode="enforce")`. The profiles
    are those of the node's own namespace: guests name theirs as they like.
    """

    section = "apparmor"
    read = staticmethod(apparmor_from_json)

    @override
    def command(self, files: tuple[str, ...] = ()) -> StringCommand:
        """Ask once, for all `files` of interest."""
        return asking({self.section: {"files": [*files]}})

    @staticmethod
    @override
    def default() -> ObservedAppArmor:
        return ObservedAppArmor()


class RawRules(Observed[ObservedRules]):
    """What the node's parser says of rules for generated profiles, all of them in one command.

    ```
    {"rules": {"refused": [[953, 1, "AppArmor parser error at line 4: Invalid capability foo."]],
     "unchecked": ""}}
    ```

    becomes `ObservedRules(refused={(953, 1): "AppArmor parser error at line 4: Invalid capability
    foo."})`. Rules that it takes are not told.
    """

    section = "rules"
    read = staticmethod(rules_from_json)

    @override
    def command(self, rules: tuple[tuple[int, str], ...]) -> StringCommand:
        """Ask once; `rules`: CTID and rule, those of one container one after the other."""
        return asking({self.section: {"rules": [[ctid, rule] for ctid, rule in rules]}})

    @staticmethod
    @override
    def default() -> ObservedRules:
        return ObservedRules()
