"""Anything that a model may hold, as a short text: another text is another thing.

A function is its instructions, constants, defaults, what it has taken from where it was made, and
what it looks up by name in the user's own files; an object is its class and its state; whatever
stands in Python's library or an installed package counts by its name. What a function assigns to a
variable of its file, such as a count of calls, is no part of it.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter, itemgetter, methodcaller
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.models.lookups import is_theirs, lookups

__all__ = ["told"]

_Place = tuple[int, str]

_PLAIN = {bool, int, float, complex, str, bytes, type(None)}
_WRITTEN = (
    *_PLAIN, np.generic, np.dtype, Fraction, Decimal, date, timedelta, range, slice, type(...),
)  # fmt: skip
_IN_BULK = _PLAIN | {np.float64, np.float32, np.int64, np.bool_}
_NAMED = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter, ChainMap, MappingProxyType)
_ROWS, _SETS = (list, tuple, deque), (set, frozenset)
_SHARED_AT_WILL = (tuple, frozenset, CodeType)
_WITH_STATE = (array, attrgetter, itemgetter, methodcaller, SimpleNamespace)
_RANDOM = (np.random.Generator, np.random.BitGenerator, np.random.RandomState)
_WRAPPED = ("__wrapped__", "py_func", "pyfunc", "func")
_ABOUT_CLASSES = {
    "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "__parameters__", "__orig_bases__",
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__slots__", "_abc_impl",
}  # fmt: skip
_DEEPEST = 40
_HAS_DOCSTRING = 0x4000000


def told(value: Any) -> str:
    """A short text that tells a value from others, the same in every process.

    What cannot be looked into, since an attribute raises, is told by the name of its class.
    """
    teller = _Teller(frozenset(), {})
    try:
        found = teller.all_of(value)
        left_out = frozenset(teller.assigned)
        return _Teller(left_out, {}).all_of(value) if left_out else found
    except Exception:  # of the user's objects, which must not end a run
        return type(value).__qualname__


class _Teller:
    """Tells things, each of them once: where it is met again it is a number.

    Args:
        left_out: variables of files that are no part of what is told.
        met: the things that have a number, by their places in memory; they are kept, so that
            nothing else can come to stand there.

    Attributes:
        assigned: variables of files that some function assigns.
    """

    def __init__(self, left_out: frozenset[_Place], met: Mapping[int, tuple[int, Any]]) -> None:
        self.assigned, self._left_out, self._met = set[_Place](), left_out, dict(met)
        self._waiting, self._depth = deque[Any](), 0

    def all_of(self, value: Any) -> str:
        """A value and all that it leads to."""
        texts = [self._tell(value)]
        while self._waiting:
            texts.append(self._new(self._waiting.popleft()))
        return _digest(texts)

    def _tell(self, value: Any, *, later: bool = False) -> str:
        """A value here, or where it is larger only its number here and the rest at the end."""
        if isinstance(value, _WRITTEN):
            text = f"{type(value).__name__} {value!r}"
            return text if type(value) in _PLAIN else self._joined(text, [type(value)])
        if isinstance(own := _own_text(value), str):
            return own
        if isinstance(value, _SHARED_AT_WILL):
            return self._new(value)
        if id(value) in self._met:
            return f"thing {self._met[id(value)][0]}"
        self._met[id(value)] = len(self._met), value
        if later or self._depth > _DEEPEST:
            self._waiting.append(value)
            return f"thing {len(self._met) - 1}"
        return self._new(value)

    def _new(self, value: Any) -> str:
        self._depth += 1
        try:
            return self._data(value) or self._code_of(value) or self._holder(value)
        finally:
            self._depth -= 1

    def _joined(self, what: str, parts: Iterable[Any]) -> str:
        return _digest([what, *map(self._tell, parts)])

    def _alone(self, value: Any) -> str:
        """A value by itself: in what order such values come says nothing."""
        if isinstance(value, _WRITTEN):
            return self._tell(value)
        teller = _Teller(self._left_out, self._met)
        found = teller.all_of(value)
        self.assigned |= teller.assigned
        return found

    def _data(self, value: Any) -> str | None:
        """Numbers in bulk."""
        kind = type(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        if hasattr(kind, "detach") and hasattr(kind, "cpu"):
            value = value.detach().cpu()
            wide = value.float() if "bfloat16" in str(value.dtype) else value
            return self._joined(str(value.dtype), [wide.numpy()])
        if hasattr(kind, "to_numpy"):
            index = getattr(value, "index", None)
            index = index if hasattr(type(index), "to_numpy") else None
            columns = [str(name) for name in getattr(value, "columns", ())]
            return self._joined("frame", [columns, index, np.asarray(value.to_numpy())])
        return None

    def _array(self, value: NDArray[Any]) -> str:
        about = [str(value.dtype), value.shape]
        if isinstance(value, np.ma.MaskedArray):
            return self._joined("masked", [*about, np.ma.getmaskarray(value), value.filled()])
        if value.dtype.hasobject:
            return self._joined("array", [*about, value.tolist()])
        held = hashlib.sha256(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return self._joined("array", [*about, held.hexdigest()])

    def _code_of(self, value: Any) -> str | None:
        """Functions, methods, classes."""
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, MethodType):
            return self._joined("method", [value.__func__, value.__self__])
        if isinstance(value, functools.partial | functools.partialmethod):
            return self._joined("partial", [value.func, value.args, value.keywords])
        if isinstance(value, _NAMED):
            owner = getattr(value, "__self__", None)
            name = f"{getattr(value, '__module__', None)}.{value.__qualname__}"
            return name if isinstance(owner, ModuleType | None) else self._joined(name, [owner])
        return None

    def _function(self, function: FunctionType) -> str:
        cells = [_content(cell) for cell in function.__closure__ or ()]
        held = [cells, function.__defaults__, function.__kwdefaults__, vars(function)]
        if not is_theirs(function):
            return self._joined(f"{function.__module__}.{function.__qualname__}", held)
        own = self._joined("function", [function.__code__, *held])
        return _digest([own, *self._looked_up(function)])

    def _looked_up(self, function: FunctionType) -> list[str]:
        """What a function finds by name in its file, and in modules of the user's."""
        found, names = lookups(function), function.__globals__
        self.assigned |= {(id(names), name) for name in found.assigned}
        texts, seen = list[str](), set[_Place]()
        waiting = [(names, name) for name in found.loaded]
        waiting += [(vars(m), name) for m in found.imported for name in found.mentioned]
        while waiting:
            space, name = waiting.pop(0)
            place = id(space), name
            if name not in space or place in seen or place in self._left_out:
                continue
            seen.add(place)
            value = space[name]
            if isinstance(value, ModuleType) and is_theirs(value):
                waiting += [(vars(value), attribute) for attribute in found.mentioned]
            else:
                texts.append(f"{name} {self._tell(value, later=True)}")
        return texts

    def _code(self, code: CodeType) -> str:
        count = code.co_argcount + code.co_kwonlyargcount
        taken = (code.co_varnames[:count], code.co_argcount, code.co_posonlyargcount)
        about = [code.co_code, code.co_names, code.co_freevars, code.co_flags, taken]
        return self._joined("code", [*about, *code.co_consts[_documented(code) :]])

    def _class(self, kind: type) -> str:
        if not is_theirs(kind):
            return f"{kind.__module__}.{kind.__qualname__}"
        parts = list[Any]()
        for base in kind.__mro__[:-1]:
            held = vars(base) if is_theirs(base) else {}
            named = sorted(name for name in held if name not in _ABOUT_CLASSES)
            parts += [base.__qualname__, named, *(_unwrapped(held[name]) for name in named)]
        return self._joined("class", parts)

    def _holder(self, value: Any) -> str:
        """Containers, and all other objects."""
        kind, held, theirs = type(value), _attributes(value), is_theirs(type(value))
        name = kind.__qualname__ if theirs else f"{kind.__module__}.{kind.__qualname__}"
        own = [kind, held] if theirs else []
        if value is sys.argv or value is sys.path:
            return "of this process"
        if isinstance(value, Mapping) and (theirs or kind in _MAPPINGS):
            pairs = {self._alone(key): entry for key, entry in value.items()}
            return self._joined(
                name, [*own, *sorted(pairs), *(pairs[key] for key in sorted(pairs))]
            )
        if isinstance(value, _ROWS):
            plain = set(map(type, value)) <= _IN_BULK
            return self._joined(name, [*own, repr(list(value))] if plain else [*own, *value])
        if isinstance(value, _SETS):
            return self._joined(name, [*own, *sorted(map(self._alone, value))])
        if isinstance(value, PurePath):
            return f"path {value.name if value.is_absolute() else value.as_posix()}"
        if isinstance(value, re.Pattern):
            return f"pattern {value.pattern!r} {value.flags}"
        return self._object(value, name, held, theirs)

    def _object(self, value: Any, name: str, held: dict[str, Any] | None, theirs: bool) -> str:
        if not theirs:
            wrapped = [(held or {}).get(attribute) for attribute in _WRAPPED]
            if inner := next((one for one in wrapped if callable(one)), None):
                return self._joined(name, [inner])
            if isinstance(value, ModuleType):
                return f"module {value.__name__}"
            if _by_name(value):
                return name
        slots = any(vars(kind).get("__slots__") for kind in type(value).__mro__)
        state = _reduced(value) if held is None or (slots and not theirs) else held
        return self._joined(name, [type(value), state])


def _by_name(value: Any) -> bool:
    """Whether an object is known by its class alone: random generators, loggers, locks, files."""
    home = type(value).__module__.partition(".")[0]
    python = home in sys.stdlib_module_names and not isinstance(value, _WITH_STATE)
    return python or isinstance(value, _RANDOM) or type(value).__qualname__ == "Generator"


def _own_text(value: Any) -> Any:
    """What a model of ours says of itself."""
    if isinstance(value, type | ModuleType):
        return None
    said = (_attributes(value) or {}).get("identity")
    return getattr(value, "identity", None) if hasattr(type(value), "identity") else said


def _attributes(value: Any) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def _reduced(value: Any) -> list[Any] | None:
    """What an object without a dictionary would be copied from."""
    try:
        found = value.__reduce_ex__(4)
    except Exception:  # whatever stands in the way of a copy
        return None
    if not isinstance(found, tuple):
        return [found]
    return [part if place < 3 or part is None else list(part) for place, part in enumerate(found)]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ...


def _unwrapped(member: Any) -> Any:
    """What a class holds, without what the class makes of it."""
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    if isinstance(member, property):
        return [member.fget, member.fset, member.fdel]
    return member.func if isinstance(member, functools.cached_property) else member


def _documented(code: CodeType) -> bool:
    """Whether the first constant is a text that only a reader sees."""
    if not code.co_consts or not isinstance(code.co_consts[0], str):
        return False
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOCSTRING)
    return not code.co_name.startswith("<")


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
