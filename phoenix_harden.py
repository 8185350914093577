"""Where the command `phoenix` begins, in a checkout as in the one folder that a wheel installs.

In that folder everything lies as in a checkout. Its packages have plain names (`node`, `facts`, …),
which must not be among those of others in site-packages, so they are looked for here alone.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run the command line of this process and return the exit status."""
    # in front: others have a package called phoenix, too
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from phoenix.cli.main import main

    return main()
