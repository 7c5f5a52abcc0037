"""What a model is, as text: two models of one text give the same outputs.

A run folder and a store keep the digest of this text, so that results of one model are never taken
for those of another. Whatever has a text ``identity`` of its own (the models of this room) says it;
a function is its instructions, constants and defaults and what it has taken from where it was made;
an object is its class and its attributes.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

__all__ = ["identity", "identity_in_file"]

_DEEPEST = 6
_WRAPPED = (staticmethod, classmethod, property)
_ELSEWHERE = (type, ModuleType, FunctionType, BuiltinFunctionType)
_FIRST: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def identity(model: Any) -> str:
    """The text that tells a model from others; a change in what it calls is not seen.

    It is that of the moment when the model was first asked, since many a model counts its calls.
    """
    own = getattr(model, "identity", None)
    if isinstance(own, str):
        return own
    try:
        if model not in _FIRST:
            _FIRST[model] = _told(model, 0)
        return _FIRST[model]
    except TypeError:  # what has no hash, or nothing weak can refer to
        return _told(model, 0)


def _told(found: Any, depth: int) -> str:
    """A callable as text: instructions, constants, defaults, and what it holds on to."""
    if isinstance(found, functools.partial):
        return f"{identity(found.func)} {_plain((found.args, found.keywords), depth)}"
    if isinstance(found, MethodType):
        return f"{_told(found.__func__, depth)} of {_plain(found.__self__, depth)}"
    name = getattr(found, "__qualname__", type(found).__qualname__)
    if not isinstance(found, FunctionType):
        parts = [_told(one, depth + 1) for one in _members(type(found))] if depth < _DEEPEST else []
        return f"{name} {_state(found, depth)} {parts}" if _own(found) else name
    held = [_plain(cell.cell_contents, depth) for cell in found.__closure__ or () if _filled(cell)]
    defaults = _plain((found.__defaults__, found.__kwdefaults__), depth)
    return f"{name} {_instructions(found.__code__)} {defaults} {held}"


def _own(found: Any) -> bool:
    """Whether an object keeps attributes of its own, so that they may tell it from others."""
    return hasattr(found, "__dict__") and not isinstance(found, type | ModuleType)


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


def identity_in_file(model: Any, names: Mapping[str, Any]) -> str:
    """The same with what the model uses of the file that it stands in, however deep.

    Args:
        model: what the file defines.
        names: all that the file defines, by name.
    """
    parts, waiting, seen = [identity(model)], sorted(_named(model)), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in names:
            continue
        seen.add(name)
        found = names[name]
        if getattr(found, "__module__", None) == names.get("__name__"):
            parts += [f"{name}: {identity(one)}" for one in _members(found)]
            waiting += sorted(_named(found))
            parts += [f"{name}: {_values(found)}"] if isinstance(found, type) else []
        elif not isinstance(found, _ELSEWHERE):
            parts.append(f"{name} = {_plain(found)}")
    return "\n".join(parts)


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


def _members(found: Any) -> list[Any]:
    """The functions of a class and of those that it inherits from; anything else is one."""
    if not isinstance(found, type):
        return [found]
    parts = [part for kind in found.__mro__[:-1] for part in vars(kind).values()]
    plain = [getattr(part, "__func__", getattr(part, "fget", part)) for part in parts]
    return [part for part in plain if isinstance(part, FunctionType)]


def _values(kind: type) -> str:
    """What a class holds beside functions, such as its constants."""
    held = [(k, v) for k, v in vars(kind).items() if not k.startswith("_") and not callable(v)]
    return str([(k, _plain(v, _DEEPEST)) for k, v in held if not isinstance(v, _WRAPPED)])


def _named(found: Any) -> set[str]:
    """The names that a function, or the functions of a class or an object, look up."""
    kind = type(found) if not isinstance(found, type | FunctionType) else found
    codes = [getattr(part, "__code__", None) for part in (*_members(kind), *_within(found))]
    return {name for code in codes if code is not None for name in _names(code)}


def _within(found: Any) -> list[FunctionType]:
    """The functions that a decorator or a wrapper has around it, however deep."""
    inner, waiting = list[FunctionType](), [found]
    while waiting:
        outer = waiting.pop()
        cells = getattr(outer, "__closure__", None) or ()
        held = [cell.cell_contents for cell in cells if _filled(cell)]
        held += [*getattr(outer, "__dict__", {}).values(), getattr(outer, "func", None)]
        more = [one for one in held if isinstance(one, FunctionType) and one not in inner]
        inner += more
        waiting += more
    return inner


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _plain(value: Any, depth: int = 0) -> str:
    """Numbers, text, arrays, what holds them, and of other things their name and attributes."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        held = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype}{value.shape} {held}"
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
