"""What a model is, as text: two models of one text give the same outputs.

A run folder and a store keep the digest of this text, so that results of one model are never taken
for those of another. Whatever has a text ``identity`` of its own (the models of this room) says it;
anything else is told by `invgan.models.telling`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from types import MethodType
from typing import Any, ParamSpec, TypeVar

from invgan.ground import own_ground
from invgan.models.telling import told

__all__ = ["identity", "while_working"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(eq=False)
class _Known:
    """A model that was asked for its identity.

    Attributes:
        model: it, or for a method its object, as long as it lives.
        name: of the method.
        late: its text as it was of late.
        identity: that text, or an earlier one that it stands for.
    """

    model: weakref.ref[Any]
    name: str | None
    late: str
    identity: str

    @property
    def text(self) -> str:
        """Its text now."""
        found = self.model()
        return told(found if self.name is None else getattr(found, self.name))

    def look(self) -> None:
        """See whether it is still what it was of late."""
        text = self.text
        if text != self.late:
            self.identity = text
        self.late = text

    def settle(self) -> None:
        """Take it, as it is now, for what it was."""
        self.late = self.text


_known: dict[tuple[int, str | None], _Known] = {}
_at_work: ContextVar[list[_Known] | None] = ContextVar("at_work", default=None)


def identity(model: Any) -> str:
    """The text that tells a model from others.

    What calls of the model change of it `while_working`, such as a count of them, is no part of it.
    """
    own = getattr(model, "identity", None)
    if isinstance(own, str):
        return own
    found = _acquainted(model)
    if found is None:
        return told(model)
    met = _at_work.get()
    if met is None or found not in met:
        found.look()
        if met is not None:
            met.append(found)
    return found.identity


def while_working(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the models of a function's first argument stay what they were while it runs them.

    What the user changes of a model between two such times makes another of it. Work is done on
    ground of our own.

    Args:
        function: of a problem first, or a method of what has one.
    """

    @wraps(function)
    def working(*given: _P.args, **named: _P.kwargs) -> _R:
        if _at_work.get() is not None:
            return function(*given, **named)
        met = list[_Known]()
        _at_work.set(met)
        try:
            _look_at_models(given[0] if given else named.get("problem"))
            with own_ground():
                return function(*given, **named)
        finally:
            _at_work.set(None)
            for known in met:
                known.settle()

    return working


def _look_at_models(first: Any) -> None:
    """See what the models of a problem, or of what has one, are before they are run."""
    problem = getattr(first, "problem", first)
    for name in ("model", "log_likelihood"):
        if callable(model := getattr(problem, name, None)):
            identity(model)


def _acquainted(model: Any) -> _Known | None:
    """What is known of a model; None where it cannot be followed."""
    method = isinstance(model, MethodType)
    home, name = (model.__self__, model.__name__) if method else (model, None)
    key = id(home), name
    if key not in _known:
        try:
            reference = weakref.ref(home, lambda _: _known.pop(key, None))
        except TypeError:
            return None
        _known[key] = _Known(reference, name, "", "")
    return _known[key]
