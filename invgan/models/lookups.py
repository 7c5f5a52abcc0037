"""What code looks up by name, and whose it is."""

from __future__ import annotations

import dis
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["Lookups", "codes", "is_theirs", "lookups"]

_INSTALLED = {"site-packages", "dist-packages"}
_PYTHON = [sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib")]
_HOMES = [*(Path(place).resolve() for place in _PYTHON), Path(__file__).resolve().parents[1]]


@dataclass(frozen=True)
class Lookups:
    """Names in the code of a function and of those that are nested in it, sorted.

    Attributes:
        loaded: variables of its file, or built in.
        assigned: variables of its file that it assigns.
        mentioned: all names, attributes among them.
        imported: modules that it imports while it runs.
    """

    loaded: tuple[str, ...]
    assigned: tuple[str, ...]
    mentioned: tuple[str, ...]
    imported: tuple[ModuleType, ...]


def lookups(function: FunctionType) -> Lookups:
    """The names that a function uses; modules that nothing has imported yet are left out."""
    found: dict[str, set[str]] = {"LOAD_GLOBAL": set(), "STORE_GLOBAL": set(), "IMPORT_NAME": set()}
    mentioned = set[str]()
    for code in codes(function.__code__):
        mentioned |= {name for name in code.co_names if not _is_special(name)}
        for instruction in dis.get_instructions(code):
            kind = instruction.opname.replace("LOAD_NAME", "LOAD_GLOBAL")
            if kind in found and not _is_special(str(instruction.argval)):
                found[kind].add(str(instruction.argval))
    package = function.__globals__.get("__package__") or ""
    named = [n for one in sorted(found["IMPORT_NAME"]) for n in (one, f"{package}.{one}")]
    modules = tuple(sys.modules[name] for name in named if name in sys.modules)
    loaded, assigned = (tuple(sorted(found[k])) for k in ("LOAD_GLOBAL", "STORE_GLOBAL"))
    return Lookups(loaded, assigned, tuple(sorted(mentioned)), modules)


def _is_special(name: str) -> bool:
    """Whether Python gives it, such as the file's own place."""
    return name.startswith("__") and name.endswith("__")


def codes(code: CodeType) -> Iterator[CodeType]:
    """Some code and all that is nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def is_theirs(found: Any) -> bool:
    """Whether a function, a class or a module stands in a file of the user's.

    Python's library, installed packages and invgan are not.
    """
    name = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", None)
    if not isinstance(name, str):
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return _is_own(file)
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    return name not in sys.builtin_module_names and origin not in ("built-in", "frozen")


@lru_cache(maxsize=4096)
def _is_own(file: str) -> bool:
    place = Path(file).resolve()
    return not _INSTALLED.intersection(place.parts) and not any(map(place.is_relative_to, _HOMES))
