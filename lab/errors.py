"""What the lab says when it cannot go on."""


class LabError(Exception):
    """One clear line: what is wrong, and the next step."""


class EndedError(LabError):
    """QEMU has ended by itself, as it does with a saved state that it cannot load."""
