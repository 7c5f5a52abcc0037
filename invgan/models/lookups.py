"""What a model looks up by name in the user's own files, however deep.

A function is followed to whatever its instructions name: other functions, classes, constants, of
its own file and of files that it imports. Python's library and installed packages are not followed,
nor is what an instruction assigns, such as a count of calls.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

__all__ = ["is_theirs", "members", "reached"]

_INSTALLED = {"site-packages", "dist-packages"}
_NOT_THEIRS = sys.stdlib_module_names | {"invgan"}

_Place = tuple[int, str]


class _Lookup(NamedTuple):
    """A name that a function looks up, among all the names that it mentions."""

    names: Mapping[str, Any]
    name: str
    mentioned: tuple[str, ...]

    @property
    def place(self) -> _Place:
        """One for each variable of each file."""
        return id(self.names), self.name


def reached(model: Any) -> list[tuple[str, Any]]:
    """The user's functions, classes and constants that a model uses, by the names it gives them.

    What a function imports while it runs is found where something has imported it before.
    """
    found, assigned = dict[_Place, Any](), set[_Place]()
    waiting, seen = _lookups(model, assigned), set[_Place]()
    while waiting:
        lookup = waiting.pop(0)
        if lookup.place in seen or lookup.name not in lookup.names:
            continue
        seen.add(lookup.place)
        value = lookup.names[lookup.name]
        if isinstance(value, ModuleType):
            waiting += _inside(value, lookup.mentioned)
        elif _counts(value):
            found[lookup.place] = value
            waiting += _lookups(value, assigned)
    return [(place[1], value) for place, value in found.items() if place not in assigned]


def _counts(value: Any) -> bool:
    """Whether a value may change what a model does: not so one of an installed package."""
    if isinstance(value, type | FunctionType):
        return is_theirs(value)
    return not isinstance(value, BuiltinFunctionType)


def is_theirs(found: Any) -> bool:
    """Whether a function, a class or a module stands in a file of the user's."""
    name = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", None)
    if not isinstance(name, str) or name.partition(".")[0] in _NOT_THEIRS:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or not _INSTALLED.intersection(Path(file).parts)


def members(found: Any) -> list[Any]:
    """The functions of a class and of those that it inherits from; anything else is one."""
    if not isinstance(found, type):
        return [found]
    parts = [part for kind in found.__mro__[:-1] for part in vars(kind).values()]
    plain = [getattr(part, "__func__", getattr(part, "fget", part)) for part in parts]
    return [part for part in plain if isinstance(part, FunctionType)]


def _lookups(found: Any, assigned: set[_Place]) -> list[_Lookup]:
    """What the functions of some object look up; what they assign is added to a set."""
    looked_up = list[_Lookup]()
    for function in _functions(found):
        space, codes = function.__globals__, list(_codes(function.__code__))
        names = tuple(sorted({n for code in codes for n in code.co_names if n[:2] != "__"}))
        looked_up += [_Lookup(space, name, names) for name in names]
        for instruction in (one for code in codes for one in dis.get_instructions(code)):
            if instruction.opname == "STORE_GLOBAL":
                assigned.add((id(space), instruction.argval))
            elif instruction.opname == "IMPORT_NAME":
                looked_up += _inside(sys.modules.get(instruction.argval), names)
    return looked_up


def _inside(module: ModuleType | None, names: tuple[str, ...]) -> list[_Lookup]:
    """Names as a module of the user's defines them."""
    if module is None or not is_theirs(module):
        return []
    return [_Lookup(vars(module), name, names) for name in names]


def _functions(found: Any) -> list[FunctionType]:
    """The functions of an object, its class, its parts, and what decorators have around it."""
    functions, waiting, seen = list[FunctionType](), [found], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, FunctionType):
            functions += [one] if is_theirs(one) else []
        elif isinstance(one, type):
            functions += members(one) if is_theirs(one) else []
        elif is_theirs(type(one)):
            waiting.append(type(one))
        waiting += _parts(one)
    return functions


def _parts(found: Any) -> Iterator[Any]:
    """What an object holds that may be, or hold, a function."""
    if isinstance(found, MethodType):
        yield from (found.__func__, found.__self__)
    elif isinstance(found, functools.partial):
        yield from (found.func, *found.args, *found.keywords.values())
    elif isinstance(found, Mapping):
        yield from found.values()
    elif isinstance(found, list | tuple | set | frozenset):
        yield from found
    elif not isinstance(found, type | ModuleType):
        yield from (cell.cell_contents for cell in _cells(found))
        yield from getattr(found, "__dict__", {}).values()


def _cells(found: Any) -> Iterator[CellType]:
    """The filled cells of a function's closure."""
    for cell in getattr(found, "__closure__", None) or ():
        try:
            cell.cell_contents  # noqa: B018
        except ValueError:
            continue
        yield cell


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Some code and all that is nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
