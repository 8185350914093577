"""The program's files in memory, and what imports its modules from there.

`node.pack` sends this source with a call of `arrive` behind it. For a few questions that is much
faster than a zip: `zipimport`, Python itself, takes as long for a module as its compiler.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType


class Files:
    """Imports modules from files that are named as in the checkout: `node/main.py`."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Whether it is here (`importlib.abc.MetaPathFinder`)."""
        file = self._file(name)
        if file not in self._files:
            return None
        package = file.endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=file, is_package=package)  # type: ignore[arg-type]
        # what lies beside a package is found by its place (`pkgutil.get_data`)
        spec.has_location = package
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual (`importlib.abc.Loader`)."""

    def exec_module(self, module: ModuleType) -> None:
        """Run its source."""
        file = self._file(module.__name__)
        exec(compile(self._files[file], file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102

    def get_data(self, path: str) -> bytes:
        """A file. Raises OSError."""
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def get_source(self, name: str) -> str:
        """For the lines of a traceback."""
        return self._files[self._file(name)].decode("utf-8")

    def _file(self, name: str) -> str:
        path = name.replace(".", "/")
        package = f"{path}/__init__.py"
        return package if package in self._files else f"{path}.py"


def arrive(files: Mapping[str, bytes]) -> None:
    """Have the modules of these files imported before any others."""
    sys.meta_path.insert(0, Files(files))
