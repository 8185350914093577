"""The node's program in commands, so that a test can read them.

Whatever is in front of the verb becomes `NODE`; conftest.py has the request on stdin as JSON:

    NODE install-profile lxc-a r20261122T013000Z-beef enforce       {"text": "profile ..."}
"""

from pyinfra.api import StringCommand

from facts.program import doing, words


def _before_verb(command):
    return StringCommand(*command).get_raw_value().removesuffix(" VERB")


#: What comes in front of a verb: in a shell, and in a transient unit.
_IN_SHELL = _before_verb([doing("VERB")])
_IN_UNIT = _before_verb(words("VERB"))


def readable(text):
    """A command with `NODE` for all that comes in front of the verb."""
    return text.replace(_IN_SHELL, "NODE").replace(_IN_UNIT, "NODE")
