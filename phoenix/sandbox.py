"""Jinja for templates that somebody else wrote: they say what is rendered, and run nothing.

Jinja's sandbox keeps a template away from what Python objects are made of, and its `range` from
more than 100000 items (jinja2.sandbox, `MAX_RANGE`). Here a template also ends after 100000
rounds of its loops and calls of its macros, and neither `*` nor `**` makes what fills the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import pass_context

T = TypeVar("T")

MOST_ROUNDS = 100_000
#: Of a text or list that `*` makes, and of a number's bits; profiles have some KiB.
_LARGEST = 1 << 20


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates reach nothing but the values that they are given.

    What they may not do raises jinja2's SecurityError, a range that is too long OverflowError:
    while rendering catch Exception, for a template may fail in any way. For one rendering only.
    """

    intercepted_binops = frozenset({"*", "**"})

    class code_generator_class(CodeGenerator):  # noqa: N801  (jinja2's name for it)
        """Counts what loops go through, and the calls of macros: two of itself in it double."""

        def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802
            """Put the counters into a template that has been parsed."""
            for loop in node.find_all(nodes.For):
                loop.iter = _filter(cast(nodes.Expr, loop.iter), "_each_counted")
            for macro in node.find_all(nodes.Macro):
                macro.body.insert(0, nodes.ExprStmt(_filter(nodes.Const(None), "_counted")))
            super().visit_Template(node, frame)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rounds = 0
        self.filters["_counted"] = self._counted
        self.filters["_each_counted"] = self._each_counted

    # with the context, or the compiler would call them once and for all
    @pass_context
    def _counted(self, context: Context, value: T) -> T:
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise SecurityError(f"its loops and macros go round more than {MOST_ROUNDS} times")
        return value

    @pass_context
    def _each_counted(self, context: Context, values: Iterable[T]) -> Iterator[T]:
        for value in values:
            yield self._counted(context, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would be far larger than what a template needs."""
        if operator == "**":
            raise SecurityError("** is not available here")
        for one, other in ((left, right), (right, left)):
            if isinstance(other, int) and _size(one) * abs(other) > _LARGEST:
                raise SecurityError("* makes something too large")
        return super().call_binop(context, operator, left, right)


def _size(value: object) -> int:
    if isinstance(value, int):
        return value.bit_length() // 64
    return len(value) if isinstance(value, (str, bytes, list, tuple)) else 0


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=1)
