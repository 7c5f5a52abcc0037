"""What a model is, as text: two models of one text give the same outputs.

A run folder and a store keep the digest of this text, so that results of one model are never taken
for those of another. Whatever has a text ``identity`` of its own (the models of this room) says it;
a function is its instructions and constants; of anything else only the name is known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np

__all__ = ["identity", "identity_in_file"]


def identity(model: Any) -> str:
    """The text that tells a model from others; a change in what it calls is not seen."""
    own = getattr(model, "identity", None)
    if isinstance(own, str):
        return own
    if isinstance(model, functools.partial):
        return f"{identity(model.func)} {_plain((model.args, model.keywords))}"
    name = getattr(model, "__qualname__", type(model).__qualname__)
    code = getattr(model, "__code__", None)
    return name if code is None else f"{name} {_instructions(code)}"


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
        elif (text := _plain(found)) is not None:
            parts.append(f"{name} = {text}")
    return "\n".join(parts)


def _instructions(code: CodeType) -> str:
    constants = [
        _instructions(c) if isinstance(c, CodeType) else repr(c)
        for c in code.co_consts
        if not isinstance(c, str)
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _members(found: Any) -> list[Any]:
    """The functions of a class; anything else is one by itself."""
    if not isinstance(found, type):
        return [found]
    return [part for part in vars(found).values() if isinstance(part, FunctionType)]


def _named(found: Any) -> set[str]:
    """The names that a function, or the functions of a class or an object, look up."""
    kind = type(found) if not isinstance(found, type | FunctionType) else found
    codes = (getattr(part, "__code__", None) for part in _members(kind))
    return {name for code in codes if code is not None for name in _names(code)}


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _plain(value: Any) -> str | None:
    """Numbers, text, arrays and what holds them; None for anything else."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    if isinstance(value, np.ndarray):
        return None if value.dtype.hasobject else f"{value.dtype}{value.shape} {value.tolist()}"
    if isinstance(value, Mapping):
        pairs = [(_plain(key), _plain(part)) for key, part in value.items()]
        return str(pairs)
    if isinstance(value, list | tuple):
        return str([_plain(part) for part in value])
    return None
