"""Each folder here is a fact, each file in it a case: what a node printed and what it becomes."""

from pathlib import Path

import pytest
from pyinfra_testing.facts import make_fact_tests

# cases are about the output; what a command does is tested against a tree of files
pytestmark = pytest.mark.filterwarnings("ignore:No command set for test")

for folder in sorted(Path(__file__).parent.glob("*.*/")):
    globals()[f"Test{folder.name}"] = make_fact_tests("facts", folder.name, folder)
