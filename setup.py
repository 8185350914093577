"""What a wheel is: one folder, `phoenix_harden`, in which everything lies as in this checkout."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

#: The folder, and the module of this checkout that it is in a wheel.
FOLDER = "phoenix_harden"
#: What hardens a node: without the lab, and without its fleet file.
PARTS = (
    *("config.py", "inventory.py", "phoenix/**/*.py", "node/*.py", "facts/*.py"),
    *("operations/*.py", "deploys/**/*.py", "templates/*/*"),
)
#: The man page and what shells complete, which go to the same places of the environment.
SHARED = sorted(path for path in Path("share").rglob("*") if path.is_file())


class Build(build_py):
    """Puts the folder together for a wheel, and names what it takes to do that for an sdist."""

    def run(self):
        """Build; the same checkout comes to the same wheel, whoever builds it and where."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier version had
        for name in self._parts():
            self._put(name, name)
        self._put(f"{FOLDER}.py", "__init__.py")

    def get_source_files(self):
        """The files that a wheel is made of."""
        return [f"{FOLDER}.py", *self._parts()]

    def _parts(self):
        found = {path for part in PARTS for path in Path().glob(part) if path.is_file()}
        return sorted(map(str, found))

    def _put(self, source, name):
        target = Path(self.build_lib, FOLDER, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


class Wheel(bdist_wheel):
    """Has modes of its own, not those that the builder's files happen to have."""

    def write_wheelfile(self, wheelfile_base, **words):
        """Write the last of the files that lie beside the folder."""
        super().write_wheelfile(wheelfile_base, **words)
        for folder in (wheelfile_base, Path(self.bdist_dir, self.data_dir)):
            for path in Path(folder).rglob("*"):
                if path.is_file():
                    path.chmod(0o644)


class Develop(editable_wheel):
    """Whoever works on the checkout has its packages by their names, with the lab."""

    def run(self):
        """Install them."""
        self.distribution.packages = find_packages(include=["phoenix*", "node", "lab"])
        super().run()


# of what is written here
os.umask(0o022)
setup(
    cmdclass={"build_py": Build, "bdist_wheel": Wheel, "editable_wheel": Develop},
    data_files=[(str(path.parent), [str(path)]) for path in SHARED],
)
