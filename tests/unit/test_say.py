"""What the node says, in whatever language its own programs speak."""

import os
import subprocess
import sys
from pathlib import Path

SAYS = "from node.main import main; from node.say import say; main(['packages']); say('…€', 910)"


def test_a_node_whose_language_is_not_utf_8_says_what_others_say():
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.stderr == b""
    assert done.stdout.decode().splitlines()[-1] == "CT 910: …€"
