"""Jinja for templates that somebody else wrote: they say what is rendered, and run nothing.

Jinja's sandbox keeps a template away from what Python objects are made of, and its `range` from
more than 100000 items (jinja2.sandbox, `MAX_RANGE`). It does not bound memory. Here a template ends
after 100000 rounds of its loops and calls of its macros; operators and filters make nothing larger
than 1 MiB, and all of them together not more than 64 MiB; what pads, formats or fills is left out,
of filters and of methods alike.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import wraps
from operator import length_hint
from types import BuiltinMethodType, GeneratorType
from typing import Any, TypeVar, cast

from jinja2 import nodes
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import FILTERS
from jinja2.runtime import Context, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import Namespace, pass_context
from jinja2.visitor import NodeTransformer

T = TypeVar("T")

MOST_ROUNDS = 100_000
#: Of one text or list, and of a number's bits; profiles have some KiB.
_LARGEST = 1 << 20
#: Of all that a template makes and puts out.
_MOST = 64 << 20

_VIEWS = (ItemsView, KeysView, ValuesView)

# those that pass on what they are given
_PASSING = (
    "abs attr count d default first float int items last length list map reject rejectattr "
    "round safe select selectattr"
)
# those that make texts, or keys to compare, as large as what they are given
_MAKING = (
    "capitalize dictsort e escape join lower max min replace reverse sort string title trim "
    "unique upper"
)
# methods of Python's own types that make nothing larger than what they are given
_METHODS = (
    "capitalize casefold count endswith find get index isalnum isalpha isascii isdecimal isdigit "
    "islower isnumeric isspace istitle isupper items keys lower lstrip partition removeprefix "
    "removesuffix rfind rindex rpartition rsplit rstrip split splitlines startswith strip title "
    "upper values"
)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates reach nothing but the values that they are given.

    What they may not do raises jinja2's SecurityError, a range that is too long OverflowError:
    while rendering catch Exception, for a template may fail in any way. For one rendering only.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    class code_generator_class(CodeGenerator):  # noqa: N801  (jinja2's name for it)
        """Counts what loops go through, and the calls of macros: two of itself in it double."""

        def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802
            """Put the counters into a template that has been parsed."""
            _Concatenations().visit(node)
            for loop in node.find_all(nodes.For):
                loop.iter = _filter(cast(nodes.Expr, loop.iter), "_each_counted")
            for macro in node.find_all(nodes.Macro):
                macro.body.insert(0, nodes.ExprStmt(_filter(nodes.Const(None), "_counted")))
            super().visit_Template(node, frame)

    def __init__(self, finalize: Callable[[Any], Any] | None = None, **options: Any) -> None:
        def put_out(value: Any) -> Any:
            return self._made(self._fit(finalize(value) if finalize else value))

        super().__init__(finalize=put_out, **options)
        self._rounds = 0
        self._size = 0
        self.filters = {
            **{name: FILTERS[name] for name in _PASSING.split()},
            **{name: self._bounded(name) for name in _MAKING.split()},
            "_counted": self._counted,
            "_each_counted": self._each_counted,
            "_concatenated": self._concatenated,
        }
        self.globals["lipsum"] = _lipsum

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

    @pass_context
    def _concatenated(self, context: Context, values: list[Any]) -> str:
        self._check("~", sum(_weight(value) for value in values))
        join = markup_join if context.eval_ctx.autoescape else str_join
        return self._made(join(values))

    def concat(self, parts: Iterable[str]) -> str:
        """Put together what a template, a block or a macro puts out."""
        found, size = [], 0
        for part in parts:
            size += len(part)
            if size > _MOST:
                raise SecurityError("it puts out too much")
            found.append(part)
        return self._made("".join(found))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would be far larger than what a template needs."""
        if operator == "**":
            raise SecurityError("** is not available here")
        if operator == "%" and not isinstance(left, (int, float)):
            raise SecurityError("% is for numbers here: use ~")
        if operator == "+":
            self._check("+", _length(left) + _length(right))
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(other, int):
                    self._check("*", _length(one) * abs(other))
        return self._made(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Leave out the methods of texts, numbers and lists that make more than they are given."""
        of_pythons = isinstance(obj, (str, bytes, int, float, list, tuple, dict))
        if of_pythons and callable(value) and attr not in _METHODS.split():
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Leave `format` and `format_map` to `is_safe_attribute`: their widths have no limit."""

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Call what a template calls, and count what it gives."""
        found = super().call(__context, __obj, *args, **kwargs)
        # a macro's text has been counted
        return __self._made(found) if isinstance(__obj, BuiltinMethodType) else found

    def _bounded(self, name: str) -> Callable[..., Any]:
        """A filter of Jinja's that takes and makes no more than is bounded."""
        plain = FILTERS[name]

        @wraps(plain)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            args = tuple(self._fit(one) for one in args)
            kwargs = {key: self._fit(one) for key, one in kwargs.items()}
            if name in ("join", "replace"):
                self._check(name, _multiplied(name, *args, **kwargs))
            return self._made(plain(*args, **kwargs))

        return bounded

    def _fit(self, value: Any) -> Any:
        """A value whose text is bounded; what is still to be made is made."""
        if isinstance(value, (GeneratorType, range, *_VIEWS)):
            found, weight = [], 0
            for one in value:
                weight += _weight(one)
                self._check("what it is given", weight)
                found.append(one)
            return found
        self._check("what it is given", _weight(value))
        return value

    def _check(self, what: str, size: int) -> None:
        if size > _LARGEST:
            raise SecurityError(f"{what} makes something too large")

    def _made(self, value: T) -> T:
        self._size += _length(value)
        if self._size > _MOST:
            raise SecurityError("it makes too much")
        return value


class Compiled(BytecodeCache):
    """What templates have been compiled to, for sandboxes that are made with the same options."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give what a text has been compiled to."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what a text has been compiled to."""
        self._codes[bucket.key, bucket.checksum] = bucket.code


class _Concatenations(NodeTransformer):
    """Has `~` done by a filter: Jinja's sandbox does not intercept it."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        values = nodes.List([self.visit(one) for one in node.nodes], lineno=node.lineno)
        return _filter(values, "_concatenated", node.lineno)


def _lipsum(*args: object, **kwargs: object) -> str:
    raise SecurityError("lipsum is not available here")


def _multiplied(name: str, *args: Any, **kwargs: Any) -> int:
    """How long a text becomes of which one part is put between or in the place of many."""
    # the first one is the context of evaluation
    value, *given = args[1:]
    words = ("d", "attribute") if name == "join" else ("old", "new", "count")
    named = {**dict(zip(words, given, strict=False)), **kwargs}
    if name == "join":
        return length_hint(value) * len(str(named.get("d", "")))
    text, old, new = str(value), str(named.get("old")), str(named.get("new"))
    return len(text) + text.count(old) * len(new)


def _length(value: object) -> int:
    """What a value takes by itself; a number in parts of 64 bits."""
    if isinstance(value, int):
        return value.bit_length() // 64
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 0


def _weight(value: object) -> int:
    """What the text of a value takes, all that it holds with it; no further than the limit."""
    weight, left = 0, [value]
    while left and weight <= _LARGEST:
        one = left.pop()
        weight += 1 + _length(one)
        if isinstance(one, Namespace):
            # its text names all that it holds
            one = object.__getattribute__(one, "_Namespace__attrs")
        if isinstance(one, Mapping):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset, *_VIEWS)):
            left += one
    return weight


def _filter(node: nodes.Expr, name: str, lineno: int = 1) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=lineno)
