"""What this node's AppArmor is and has, and what its parser says of a text."""

from __future__ import annotations

import os
import re
from typing import Any

from node.bounded import run
from node.files import names_in, read, text
from node.kernel import is_readable, loaded, stale
from node.refusal import tunables_refusal
from node.root import at
from phoenix.apparmor.observed import ABI_BASE, ABI_OURS, FOLDER, HOOK, TUNABLES_HOME, TUNABLES_SITE

_PATIENCE = 60

# what the parser passes over (libapparmor, private.c: ignored_suffixes)
_IGNORED = re.compile(r".*(~|\.dpkg-[^.]*|\.pac[^.]*|\.rpm[^.]*|\.orig|\.rej)")
_GLOBAL_D = re.compile(
    rb'^[ \t]*#?include +(?:if +exists +)?[<"]tunables/global\.d[>"]', re.MULTILINE
)


def observe(files: list[str]) -> dict[str, Any]:
    """Kernel switch and mode, parser, ABIs, loaded profiles, texts of `files` in /etc/apparmor.d.

    `stale`: those profiles that the kernel has with another text. Always told: `tunables/home`, the
    site's variables and the abis that we know, whether the tunables compile (with one broken line
    in them nothing else does) and include a folder for such files, and our script for policy
    namespaces where it can be run.
    """
    parser = _parser()
    error = "" if parser is None else tunables_refusal()
    ours = (TUNABLES_HOME, TUNABLES_SITE, ABI_BASE, ABI_OURS)
    names = [*ours, *files, *(_site_files() if error else ())]
    texts = {name: text(_regular(f"{FOLDER}/{name}")) for name in names}
    there = _parameter("enabled") == "Y"
    return {
        # enabled in the kernel but not there to be asked: as good as absent
        "enabled": there and is_readable(),
        "mode": _parameter("mode"),
        "parser": parser,
        "abis": [
            name for name in names_in(at(f"{FOLDER}/abi")) if _is_file(f"{FOLDER}/abi/{name}")
        ],
        "loaded": loaded(),
        "stale": stale(files) if parser else [],
        "files": {name: found for name, found in texts.items() if found is not None},
        "tunables_error": error,
        "hook": text(_regular(HOOK)) if os.access(at(HOOK), os.X_OK) else None,
        "reads_global_d": bool(_GLOBAL_D.search(_regular(f"{FOLDER}/tunables/global") or b"")),
    }


def _parameter(name: str) -> str:
    return (text(read(at(f"/sys/module/apparmor/parameters/{name}"))) or "").strip()


def _parser() -> list[int] | None:
    said = run(["apparmor_parser", "--version"], seconds=_PATIENCE).out
    found = re.search(rb"version (\d+(?:\.\d+)*)", said)
    return [int(number) for number in found[1].split(b".")[:3]] if found else None


def _site_files() -> list[str]:
    there = [f"tunables/home.d/{name}" for name in names_in(at(f"{FOLDER}/tunables/home.d"))]
    return [name for name in there if not _IGNORED.fullmatch(name)]


def _regular(path: str) -> bytes | None:
    return read(at(path)) if _is_file(path) else None


def _is_file(path: str) -> bool:
    return os.path.isfile(at(path))
