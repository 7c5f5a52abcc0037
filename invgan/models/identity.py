"""What a model is, as text: two models of one text give the same outputs.

A run folder and a store keep the digest of this text, so that results of one model are never taken
for those of another. Whatever has a text ``identity`` of its own (the models of this room) says it;
a function is its instructions, constants and defaults and what it has taken from where it was made;
an object is its class and its attributes. What either looks up by name in the user's own files
(`invgan.models.lookups`) counts with it; installed packages count by name alone.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta
from numbers import Number
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from invgan.ground import own_ground
from invgan.models.lookups import members, reached

__all__ = ["identity", "while_working"]

_DEEPEST = 6
_WRAPPED = (staticmethod, classmethod, property)
_WRITTEN = (bool, str, bytes, np.generic, Number, date, timedelta)
_HOLDERS = {"argparse", "functools", "types"}
_known: WeakKeyDictionary[Any, tuple[str, str]] = WeakKeyDictionary()
"""The text of each model as it was of late, and its identity, which may be an earlier text."""

_at_work: ContextVar[bool] = ContextVar("at_work", default=False)


def identity(model: Any) -> str:
    """The text that tells a model from others.

    What calls of the model change of it `while_working`, such as a count of them, is no part of it.
    """
    own = getattr(model, "identity", None)
    if isinstance(own, str):
        return own
    try:
        late, first = _known.get(model, ("", ""))
        if first and _at_work.get():
            return first
        text = _in_full(model)
        _known[model] = text, first if text == late else text
        return _known[model][1]
    except TypeError:  # what has no hash, or nothing weak can refer to
        return _in_full(model)


@contextmanager
def while_working() -> Iterator[None]:
    """Let models that are run inside, or by a function so decorated, stay the models they were.

    What the user changes of a model between two such times makes another of it. Work is done on
    ground of our own.
    """
    if _at_work.get():
        yield
        return
    for model in list(_known):
        identity(model)
    _at_work.set(True)
    try:
        with own_ground():
            yield
    finally:
        _at_work.set(False)
        for model, (_, first) in list(_known.items()):
            _known[model] = _in_full(model), first


def _in_full(model: Any) -> str:
    """A model, and all that it uses of the user's files."""
    parts = [_told(model, 0)]
    for name, found in reached(model):
        if isinstance(found, type | FunctionType):
            parts += [f"{name}: {_told(one, 0)}" for one in members(found)]
            parts += [f"{name}: {_values(found)}"] if isinstance(found, type) else []
        else:
            parts.append(f"{name} = {_plain(found)}")
    return "\n".join(parts)


def _told(found: Any, depth: int) -> str:
    """A callable as text: instructions, constants, defaults, and what it holds on to."""
    if isinstance(found, functools.partial):
        return f"{identity(found.func)} {_plain((found.args, found.keywords), depth)}"
    if isinstance(found, MethodType):
        return f"{_told(found.__func__, depth)} of {_plain(found.__self__, depth)}"
    name = str(getattr(found, "__qualname__", getattr(found, "__name__", type(found).__qualname__)))
    if not isinstance(found, FunctionType):
        parts = [_told(one, depth + 1) for one in members(type(found))] if depth < _DEEPEST else []
        return f"{name} {_state(found, depth)} {parts}" if _own(found) else name
    held = [_plain(cell.cell_contents, depth) for cell in found.__closure__ or () if _filled(cell)]
    defaults = _plain((found.__defaults__, found.__kwdefaults__), depth)
    return f"{name} {_instructions(found.__code__)} {defaults} {held}"


def _own(found: Any) -> bool:
    """Whether an object keeps attributes of its own, so that they may tell it from others.

    Those of Python's library are not the user's: a logger knows all that was imported before.
    """
    if isinstance(found, type | ModuleType) or not hasattr(found, "__dict__"):
        return False
    home = type(found).__module__.partition(".")[0]
    return home in _HOLDERS or home not in sys.stdlib_module_names


def _state(found: Any, depth: int) -> str:
    if depth >= _DEEPEST:
        return ""
    held = vars(found).items()
    told = [
        (k, _plain(v, depth + 1)) for k, v in held if not k.startswith("__") or k == "__wrapped__"
    ]
    return f"{sorted(told)} {[_values(kind) for kind in type(found).__mro__[:-1]]}"


def _filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _instructions(code: CodeType) -> str:
    constants = [
        _instructions(c) if isinstance(c, CodeType) else _plain(c)
        for c in code.co_consts[_documented(code) :]
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _documented(code: CodeType) -> bool:
    """Whether the first constant is a text that only a reader sees."""
    if not code.co_consts or not isinstance(code.co_consts[0], str):
        return False
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    return not code.co_name.startswith("<")


def _values(kind: type) -> str:
    """What a class holds beside functions, such as its constants."""
    held = [(k, v) for k, v in vars(kind).items() if not k.startswith("_") and not callable(v)]
    return str([(k, _plain(v, _DEEPEST)) for k, v in held if not isinstance(v, _WRAPPED)])


def _plain(value: Any, depth: int = 0) -> str:
    """Numbers, text, arrays, what holds them, and of other things their name and attributes."""
    if value is None or isinstance(value, _WRITTEN):
        return repr(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "to_numpy"):
        return _plain([[*map(str, getattr(value, "columns", ()))], value.to_numpy()], depth)
    if isinstance(value, np.ndarray):
        return _array(value, depth)
    if depth >= _DEEPEST or isinstance(value, type | ModuleType):
        return str(getattr(value, "__qualname__", getattr(value, "__name__", type(value))))
    if isinstance(value, Mapping):
        return str([(_plain(k, depth + 1), _plain(v, depth + 1)) for k, v in value.items()])
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_plain(part, depth + 1) for part in value]
        return str(sorted(parts) if isinstance(value, set | frozenset) else parts)
    if callable(value):
        own = getattr(value, "identity", None)
        return own if isinstance(own, str) else _told(value, depth + 1)
    name = type(value).__qualname__
    return f"{name} {_state(value, depth)}" if _own(value) else name


def _array(value: NDArray[Any], depth: int) -> str:
    if value.dtype.hasobject:
        return f"{value.shape} {_plain(value.tolist(), depth + 1)}"
    held = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"{value.dtype}{value.shape} {held}"
