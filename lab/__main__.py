"""``python -m lab``: the same as ``phoenix lab``."""

import sys

from lab.cli import main

sys.exit(main(sys.argv[1:]))
