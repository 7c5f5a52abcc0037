"""Import the function that a configuration names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from invgan.errors import InputError
from invgan.models import FileFunction
from invgan.models.source import found_in, running
from invgan.settings import short

__all__ = ["load_model"]


def load_model(
    reference: str, directory: Path, setting: str = "problem.model"
) -> Callable[..., Any]:
    """The function that a reference names; the code around it is run.

    Args:
        reference: ``file.py:function`` or ``package.module:function``.
        directory: where a relative file starts.
        setting: what holds the reference, for the sentences.

    Returns:
        A `FileFunction`, or the function of the module itself; other processes can load either.

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
        return FileFunction(directory / home, name, setting=setting)
    return found_in(_module(home, setting), name, home, setting)


def _module(home: str, setting: str) -> ModuleType:
    if not all(part.isidentifier() for part in home.split(".")):
        raise InputError(
            f"{setting}: {home!r} is neither a file ending in .py nor the name of a module"
        )
    with running(home, setting):
        try:
            return importlib.import_module(home)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{home}.".startswith(f"{error.name}."):
                raise
    raise InputError(
        f"{setting}: there is no module {home!r} to import; install it, or name its file, "
        "as in model.py:function"
    )
