"""What the lab says when it cannot go on."""


class LabError(Exception):
    """One clear line: what is wrong, and the next step."""
