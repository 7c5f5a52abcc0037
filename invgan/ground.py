"""The process as it is, where invgan works and where the user's model does.

A model's file may set for the whole process what numerical code relies on: torch's default
precision, whether it keeps gradients, its default device, or which floating-point errors numpy
raises. A model must be run as its author meant it, and nothing else may depend on it. So public
functions work on ground of their own (`own_ground`), and give it back around the model (`theirs`)
and at their end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["own_ground", "theirs"]

_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@dataclass(frozen=True)
class _Ground:
    """What numpy and, where it is imported, torch go by.

    Attributes:
        errors: what numpy does at floating-point errors.
        precision: torch's default dtype, or None.
        gradients: whether torch keeps what gradients need.
        device: torch's default device where it is not the processor.
    """

    errors: dict[str, str]
    precision: Any
    gradients: bool
    device: Any

    @classmethod
    def now(cls) -> _Ground:
        """How things stand."""
        errors = {kind: str(what) for kind, what in np.geterr().items()}
        if (torch := _torch()) is None:
            return cls(errors, None, True, None)
        device = torch.get_default_device()
        return cls(
            errors, torch.get_default_dtype(), torch.is_grad_enabled(),
            None if device.type == "cpu" else device,
        )  # fmt: skip

    @classmethod
    def ours(cls) -> _Ground:
        """How numpy and torch stand after their import."""
        torch = _torch()
        return cls(_ERRORS, None if torch is None else torch.float32, True, None)

    def put(self, before: _Ground) -> None:
        """Change what differs from how things stood before."""
        if self.errors != before.errors:
            np.seterr(**self.errors)  # type: ignore[arg-type]
        torch = _torch()
        if torch is None or self.precision is None:
            return
        if self.precision != before.precision:
            torch.set_default_dtype(self.precision)
        if self.gradients != before.gradients:
            torch.set_grad_enabled(self.gradients)
        if self.device != before.device:
            torch.set_default_device(self.device)


_outside: ContextVar[_Ground | None] = ContextVar("outside", default=None)


@contextmanager
def own_ground() -> Iterator[None]:
    """Let the code inside, or a function so decorated, go by numpy's and torch's defaults."""
    if _outside.get() is not None:
        yield
        return
    outside = _Ground.now()
    _outside.set(outside)
    _Ground.ours().put(outside)
    try:
        yield
    finally:
        inside, left = _Ground.now(), _outside.get() or outside
        _outside.set(None)
        left.put(inside)


@contextmanager
def theirs() -> Iterator[None]:
    """Let the user's code inside go by what the user has set; what it sets stays for the next.

    Torch's default precision belongs to the process: two threads must not be here at once.
    """
    outside = _outside.get()
    if outside is None:
        yield
        return
    # Here gradients may be off for a while.
    here = _Ground.now()
    _outside.set(None)
    outside.put(here)
    try:
        yield
    finally:
        now = _Ground.now()
        (_Ground.ours() if here.precision is None else here).put(now)
        _outside.set(now)


def _torch() -> Any:
    """Torch, where anything has imported it."""
    return sys.modules.get("torch")
