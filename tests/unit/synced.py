"""A stand-in for sync(1) that notes how a file stands whenever something is put on disk.

It asks the real one, so that what cannot be put on disk fails; what it is told to fail for, too.
"""

TOOL = """#!/bin/sh
for path; do echo "${path##*/} $(cat '%(file)s' 2>/dev/null)" >>'%(tools)s/synced'; done
case $* in */"$(cat '%(tools)s/sync-fails')") exit 1 ;; esac
exec /bin/sync "$@"
"""


class Synced:
    """What was put on disk; `tools`: a folder in front of PATH, `file`: the one to look at."""

    def __init__(self, tools, file):
        self.tools = tools
        (tools / "sync").write_text(TOOL % {"tools": tools, "file": file})
        (tools / "sync").chmod(0o755)
        self.fails_for("nothing")

    def fails_for(self, name):
        """Have it fail for a file or folder of that name."""
        (self.tools / "sync-fails").write_text(name)

    @property
    def calls(self):
        """In order: the last part of each path, and the text of the file then."""
        lines = (self.tools / "synced").read_text().splitlines()
        return [tuple(line.split(" ", 1)) for line in lines]
