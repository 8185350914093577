"""pyinfra with its imports done: each line of standard input is a run, in a fork of this process.

A line is ``{"argv": […], "cwd": …, "env": {…}, "stdout": PATH, "stderr": PATH}``; the answer is the
exit code. Nothing of a run is left in the next one, and each is spared the second of the imports.
"""

from __future__ import annotations

import json
import os
import sys

# patches the standard library, so it comes first
from pyinfra_cli.main import main

# isort: split
import functools
import gc
import importlib
import inspect
import pkgutil
from contextlib import suppress
from pathlib import Path

import pyinfra.connectors.fake  # noqa: F401
from gevent import monkey
from jinja2 import UndefinedError
from pyinfra.api import connectors

# gevent's own would start its loop in this process
fork = monkey.get_original("os", "fork")
waitpid = monkey.get_original("os", "waitpid")


# as "python -m" has it
sys.path[0] = os.getcwd()  # noqa: PTH109
for package in ("phoenix", "facts", "operations", "deploys.steps"):
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}."):
        importlib.import_module(module.name)
# what each run would begin with, or do again and again: the node's program is packed,
importlib.import_module("node.pack").stdin()
# templates are compiled,
survey, audit, render = (
    importlib.import_module(name)
    for name in ("deploys.steps.survey", "deploys.steps.audit", "phoenix.plan.render")
)
templates = survey.read_templates(None)
for name in render.profile_names(templates):
    render.render_profile(render.Confinement(name), templates, render.ObservedAppArmor())
with suppress(UndefinedError):
    audit.audit_page({"need_attention": 0, "nodes_need_attention": []}, audit.PAGE.read_text())
# pyinfra asks which connectors are installed, some six times,
connectors.entry_points = functools.cache(connectors.entry_points)
connectors.get_all_connectors()
# and who calls an operation; inspect, for that, which file each module has, and a recipe is none
inspect.stack()
for recipe in Path("deploys").glob("*.py"):
    inspect.modulesbyfile[str(recipe.absolute())] = "__main__"
# no run looks through all this for garbage, which copies it
gc.freeze()


def become(argv, cwd, env, stdout, stderr):
    """Be a process that has just been started so."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)


for line in sys.stdin:
    child = fork()
    if child == 0:
        become(**json.loads(line))
        main()
    print(os.waitstatus_to_exitcode(waitpid(child, 0)[1]), flush=True)
