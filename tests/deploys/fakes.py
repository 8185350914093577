"""Answers of a fake node that are not the same each time; inventories import this."""


class Dying(dict):
    """Answers of a node until a command has `at` in it: the connection ends, and stays so."""

    def __init__(self, answers, at, error):
        super().__init__(answers)
        self.at, self.error, self.is_dead = at, error, False

    def __repr__(self):
        return f"fakes.Dying({dict(self)!r}, {self.at!r}, {self.error!r})"

    def items(self):
        """What pyinfra goes through for each command; the first match wins."""
        return [("" if self.is_dead else self.at, _Death(self)), *super().items()]


class _Death:
    """pyinfra asks a response for its text once it has matched."""

    def __init__(self, node):
        self._node = node

    def __str__(self):
        self._node.is_dead = True
        raise {"OSError": OSError, "EOFError": EOFError, "TimeoutError": TimeoutError}[
            self._node.error
        ]("gone")


class InTurn:
    """One answer after another, each a line; the last one stays."""

    def __init__(self, *lines):
        self._lines = [*lines]

    def __repr__(self):
        return f"fakes.InTurn(*{self._lines!r})"

    def __str__(self):
        return self._lines.pop(0) if len(self._lines) > 1 else self._lines[0]
