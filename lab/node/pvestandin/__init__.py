"""The parts of the stand-in `pct`: see its own docstring.

Every call starts a new Python on an emulated CPU: nothing here imports pathlib, dataclasses or
typing, and subprocess only where LXC's tools are run.
"""
