"""Input files of a program, rendered from templates with the parameters as numbers.

The language is Jinja's, of which there are values, arithmetic, filters, conditions and loops. A
template is data: it reaches no file, no attribute of Python and no code; what it does not know is
an error; and it cannot grow without bounds, since it has no variables of its own, loops of 10,000
rounds in two levels, and 16 MiB of text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from invgan.errors import InputError

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["check_template", "render"]

_MOST_SOURCE, _MOST_TEXT = 1 << 20, 1 << 24
_ROUNDS, _LEVELS = 10_000, 2
_FILTERS = ("abs", "float", "int", "length", "list", "lower", "max", "min", "sum", "upper")
_REFUSED = ("Macro", "CallBlock", "FilterBlock", "Include", "Import", "FromImport", "Extends",
            "Block", "Assign", "AssignBlock", "With", "Concat", "Slice")  # fmt: skip
_WIDTH = re.compile(r"\*|\d{4,}")


def check_template(text: str, name: str) -> frozenset[str]:
    """The variables that a template asks for.

    Args:
        text: the template.
        name: its file, for the sentences.

    Raises:
        InputError: it is not a template, or uses more of the language than there is here.
    """
    from jinja2 import TemplateError, meta  # noqa: PLC0415

    if len(text) > _MOST_SOURCE:
        raise InputError(f"{name} has {len(text)} characters; {_MOST_SOURCE} are read at most")
    try:
        tree = _environment().parse(text)
        _check_language(tree, name)
        _environment().from_string(text)
    except InputError:
        raise
    except (TemplateError, *_UNFIT) as error:
        line = getattr(error, "lineno", None)
        where = f"{name}, line {line}" if line else name
        raise InputError(f"{where} is no template: {error}") from None
    return frozenset(meta.find_undeclared_variables(tree) - {"range"})


def render(text: str, name: str, values: Mapping[str, Any]) -> str:
    """The text of an input file.

    Args:
        text: the template.
        name: its file, for the sentences.
        values: the variables.

    Raises:
        InputError: it cannot be rendered with these values.
    """
    try:
        return "".join(_bounded(_compiled(text).generate(**values)))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    # What arithmetic and filters raise has no common name.
    except Exception as error:
        raise InputError(f"{name} could not be rendered: {error}") from None


# What compiling deeply nested or very long text raises.
_UNFIT = (ArithmeticError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError)


def _check_language(tree: Any, name: str) -> None:
    """Refuse what could grow without bounds, or reach beyond the template."""
    from jinja2 import nodes  # noqa: PLC0415

    refused = tuple(getattr(nodes, kind) for kind in _REFUSED)
    calls = (
        call for call in tree.find_all(nodes.Call) if getattr(call.node, "name", "") != "range"
    )
    found = next(tree.find_all(refused), None) or next(calls, None)
    if found is not None or any(loop.recursive for loop in tree.find_all(nodes.For)):
        what = "a recursive loop" if found is None else type(found).__name__.lower()
        raise InputError(
            f"{name}: a template here has values, conditions and loops; it has no use for {what}"
        )
    if _depth(tree) > _LEVELS:
        raise InputError(f"{name}: loops within loops go {_LEVELS} deep here; write it flatter")


@functools.lru_cache(maxsize=32)
def _compiled(text: str) -> Any:
    return _environment().from_string(text)


@functools.lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined  # noqa: PLC0415
    from jinja2.exceptions import SecurityError  # noqa: PLC0415
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    class Environment(ImmutableSandboxedEnvironment):
        """Arithmetic with numbers alone: text times a number, and whole powers, know no bounds."""

        intercepted_binops = frozenset(["*", "**", "%", "+"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if not all(isinstance(value, int | float) for value in (left, right)):
                raise SecurityError(f"{operator} takes numbers")
            return super().call_binop(context, operator, float(left), float(right))

    found = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    own = {"format": _format, "round": _round}
    found.filters = {name: found.filters[name] for name in _FILTERS} | own
    found.globals = {"range": _range}
    return found


def _format(pattern: str, *values: Any) -> str:
    """``"%12.5e" | format(x)`` with widths of three digits at most."""
    if _WIDTH.search(pattern):
        raise InputError(f"{str(pattern)[:40]!r} is too wide a format")
    return str(pattern) % values


def _round(value: float, digits: int = 0) -> float:
    return round(float(value), max(-400, min(400, digits)))


def _range(*arguments: Any) -> range:
    found = range(*map(int, arguments))
    if len(found) > _ROUNDS:
        raise InputError(f"a loop has {_ROUNDS} rounds at most; got {len(found)}")
    return found


def _bounded(pieces: Iterator[str]) -> Iterator[str]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _MOST_TEXT:
            raise InputError(f"it grows beyond {_MOST_TEXT} characters")
        yield piece


def _depth(node: Any) -> int:
    from jinja2 import nodes  # noqa: PLC0415

    inner = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)
