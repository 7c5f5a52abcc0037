"""Import the model that a configuration names."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import itertools
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from invgan.errors import InputError, ModelError
from invgan.settings import short

__all__ = ["load_model"]

_count = itertools.count(1)


def load_model(
    reference: str, directory: Path, setting: str = "problem.model"
) -> Callable[..., Any]:
    """The function that a reference names; the code around it is run.

    Args:
        reference: ``file.py:function`` or ``package.module:function``.
        directory: where a relative file starts.
        setting: what holds the reference, for the sentences.

    Raises:
        InputError: the reference has another form, or there is no such file or module.
        ModelError: the code does not run, or holds no such function.
    """
    home, _, name = reference.rpartition(":")
    if not home.strip() or not name.strip():
        raise InputError(
            f"{setting} must be file.py:function, package.module:function"
            f"{' or gallery:name' if setting == 'problem.model' else ''}; got {short(reference)}"
        )
    if home.endswith(".py"):
        return _function(_from_file(directory / home, setting), name, home, setting)
    return _function(_from_module(home, setting), name, home, setting)


def _from_file(path: Path, setting: str) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{setting}: there is no file {str(path)!r}")
    path = path.resolve()
    loader = importlib.machinery.SourceFileLoader(f"_invgan_model_{next(_count)}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    if spec is None:
        raise ModelError(f"{setting}: {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    with _running(path, setting), _beside(path.parent):
        sys.modules[loader.name] = module
        try:
            # Compiled afresh: cached byte code may be older than an edit of the same second.
            exec(loader.source_to_code(loader.get_data(str(path)), str(path)), vars(module))
        except BaseException:
            del sys.modules[loader.name]
            raise
    return module


def _from_module(home: str, setting: str) -> ModuleType:
    if not all(part.isidentifier() for part in home.split(".")):
        raise InputError(
            f"{setting}: {home!r} is neither a file ending in .py nor the name of a module"
        )
    with _running(home, setting):
        try:
            return importlib.import_module(home)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{home}.".startswith(f"{error.name}."):
                raise
    raise InputError(
        f"{setting}: there is no module {home!r} to import; install it, or name its file, "
        "as in model.py:function"
    )


@contextmanager
def _running(what: Path | str, setting: str) -> Iterator[None]:
    """Turn whatever the user's code raises on import into one sentence."""
    try:
        yield
    except SyntaxError as error:
        where = f"{error.filename or what}, line {error.lineno}"
        raise ModelError(f"{setting}: {where}: not valid Python: {error.msg}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next(
            (f" (line {f.lineno})" for f in reversed(frames) if f.filename == str(what)), ""
        )
        raised = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ModelError(f"{setting}: importing {what} raised {raised}{line}") from error


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let the model's file import its neighbours while it is run, as a script may."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _function(module: ModuleType, name: str, home: str, setting: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if callable(found):
        chosen: Callable[..., Any] = found
        return chosen
    if hasattr(module, name):
        raise ModelError(f"{setting}: {name} in {home} is no function; got {type(found).__name__}")
    known = [key for key, value in vars(module).items() if callable(value) and key[:1] != "_"]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {home}:{close[0]}?" if close else f"it has {', '.join(known) or 'none'}"
    raise ModelError(f"{setting}: {home} has no function {name!r}; {hint}")
