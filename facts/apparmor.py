"""What a node says of its AppArmor."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from phoenix.apparmor import ObservedAppArmor, parse_apparmor
from phoenix.raw_rules import ObservedRules, parse_rules

NODE = Path(__file__).parents[1] / "templates/node"
SCRIPT = NODE / "apparmor.sh"
RULES = NODE / "raw-rules.sh"


class AppArmor(FactBase[ObservedAppArmor]):
    """Kernel switch, parser, ABIs, loaded profiles, tunables, the named files of `/etc/apparmor.d`.

    ```
    enabled Y
    parser 4.1.0
    abi 4.0
    loaded lxc-docker-nested (enforce)
    file tunables/home @{HOMEDIRS}=/home/%0A
    file lxc-docker-nested abi%20<abi/4.0>,%0A
    ```

    becomes `ObservedAppArmor(enabled=True, parser=(4, 1, 0), abis=("4.0",),
    loaded={"lxc-docker-nested": "enforce"}, files={"tunables/home": "@{HOMEDIRS}=/home/\\n",
    "lxc-docker-nested": "abi <abi/4.0>,\\n"})`. Where the tunables do not compile, one more line

    ```
    tunables broken AppArmor%20parser%20error%20...
    ```

    becomes `tunables_error`.
    """

    @override
    def command(self, files: tuple[str, ...] = ()) -> StringCommand:
        """Ask once, for all `files` of interest."""
        script = SCRIPT.read_text()
        return StringCommand(
            "sh", "-c", QuoteString(script), "apparmor", *(QuoteString(name) for name in files)
        )

    @staticmethod
    @override
    def default() -> ObservedAppArmor:
        return ObservedAppArmor()

    @override
    def process(self, output: list[str]) -> ObservedAppArmor:
        return parse_apparmor(output)


class RawRules(FactBase[ObservedRules]):
    """What the node's parser says of rules for generated profiles, all of them in one command.

    ```
    refused 953 1 AppArmor%20parser%20error%20at%20line%204:%20Invalid%20capability%20foo.
    ```

    becomes `ObservedRules(refused={(953, 1): "AppArmor parser error at line 4: Invalid capability
    foo."})`. Rules that it takes print nothing.
    """

    @override
    def command(self, rules: tuple[tuple[int, str], ...]) -> StringCommand:
        """Ask once; `rules`: CTID and rule, those of one container one after the other."""
        words = [word for ctid, rule in rules for word in (f"{ctid:d}", QuoteString(rule))]
        return StringCommand("sh", "-c", QuoteString(RULES.read_text()), "raw-rules", *words)

    @staticmethod
    @override
    def default() -> ObservedRules:
        return ObservedRules()

    @override
    def process(self, output: list[str]) -> ObservedRules:
        return parse_rules(output)
