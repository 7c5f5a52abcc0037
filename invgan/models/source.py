"""A function in a file of the user's, which other processes can find again.

A function of a file that is no module of any package cannot be pickled by its name. `FileFunction`
pickles as the path, the name and a digest of the file: the other process runs the file anew, and
refuses one that has changed in between. Running the file is running a program; nothing here makes
that safe.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
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
from invgan.models.identity import identity

__all__ = ["FileFunction", "found_in", "running"]

_count = itertools.count(1)


class FileFunction:
    """A function, or anything else that can be called, of a Python file. The file is run.

    Args:
        path: the file.
        name: what it calls the function.
        setting: what holds the reference, for the sentences.

    Attributes:
        path: the file, absolute.
        digest: of the file's bytes as they were run.
        identity: the code of the function and of what it uses of the user's files.

    Raises:
        InputError: there is no such file.
        ModelError: it does not run, or has no such function.
    """

    path: Path
    digest: str
    identity: str

    def __init__(self, path: str | Path, name: str, *, setting: str = "the model") -> None:
        if not Path(path).is_file():
            raise InputError(f"{setting}: there is no file {str(path)!r}")
        self.path, self._named = Path(path).resolve(), name
        source = self.path.read_bytes()
        self.digest = hashlib.sha256(source).hexdigest()
        module = _run(self.path, source, setting)
        self._function = found_in(module, name, Path(path).name, setting)
        functools.update_wrapper(self, self._function, updated=())
        if (code := getattr(self._function, "__code__", None)) is not None:
            self.__code__ = code
        self.identity = identity(self._function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Whatever the function returns."""
        return self._function(*arguments, **named)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (str(self.path), self._named, self.digest)

    def __repr__(self) -> str:
        return f"FileFunction({str(self.path)!r}, {self._named!r})"


# One process unpickles the model of every piece of work: the file is run once.
@functools.lru_cache(maxsize=64)
def _again(path: str, name: str, digest: str) -> FileFunction:
    function = FileFunction(path, name)
    if function.digest != digest:
        raise ModelError(f"{path} was changed while a run was using it: start the run again")
    return function


def _run(path: Path, source: bytes, setting: str) -> ModuleType:
    """The module that the source defines."""
    loader = importlib.machinery.SourceFileLoader(f"_invgan_model_{next(_count)}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    if spec is None:
        raise ModelError(f"{setting}: {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    with running(path, setting), _beside(path.parent):
        sys.modules[loader.name] = module
        try:
            # Compiled afresh: cached byte code may be older than an edit of the same second.
            exec(loader.source_to_code(source, str(path)), vars(module))
        except BaseException:
            del sys.modules[loader.name]
            raise
    return module


@contextmanager
def running(what: Path | str, setting: str) -> Iterator[None]:
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


def found_in(module: ModuleType, name: str, home: str, setting: str) -> Callable[..., Any]:
    """What a module calls by this name.

    Raises:
        ModelError: there is no such function.
    """
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
