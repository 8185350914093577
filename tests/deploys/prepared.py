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
import gc
import importlib
import inspect
import pkgutil

import pyinfra.connectors.fake  # noqa: F401
from gevent import monkey

# gevent's own would start its loop in this process
fork = monkey.get_original("os", "fork")
waitpid = monkey.get_original("os", "waitpid")


# as "python -m" has it
sys.path[0] = os.getcwd()  # noqa: PTH109
for package in ("phoenix", "facts", "operations", "deploys.steps"):
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}."):
        importlib.import_module(module.name)
# what each run would begin with: pyinfra asks who calls an operation, and inspect, for that, which
# file each module has; and the node's program is packed
inspect.stack()
importlib.import_module("node.pack").stdin()
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
