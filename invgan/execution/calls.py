"""One call of the user's model, in whichever of its forms, and its outputs as a table.

Where the model draws noise of its own, a batched model has a generator for each block of `BLOCK`
rows, and a model of one parameter vector one for each row, all spawned from the seed: so the noise
depends on nothing but the seed and the place of the row. A part of a block, which is run where
the whole block failed, has a generator of its own too.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError, ModelError
from invgan.frames import by_name

__all__ = [
    "BLOCK",
    "KINDS",
    "Caller",
    "RaisedError",
    "called_with",
    "check_call",
    "generator",
    "numbered",
]

Array = NDArray[np.float64]

BLOCK = 1024
KINDS = ("raised", "timed out", "not finite", "worker died", "wrong outputs")
"""How a row can fail."""

_OF_ROW, _OF_PART = 0, 2
_LONGEST, _MOST_NAMES = 120, 6
_FLAT = "; a flat list of observations is many rows of one output, [[0.5, 0.1]] is one row of two"
_HINT = "; if it takes one parameter vector at a time, set vectorized=False"


class RaisedError(Exception):
    """The model raised.

    Attributes:
        kind: of failure; an error may say that of its own, as in ``"timed out"``.
        message: what and where, on one line.
        sentence: the same with the parameters that it was called with.
    """

    def __init__(self, error: BaseException, names: tuple[str, ...], x: Array) -> None:
        own = str(getattr(error, "kind", "")).replace("time-out", "timed out")
        self.kind = own if own in KINDS else "raised"
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(f"{type(error).__name__}: {_said(error)}".split())
        cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
        self.message = f"{cut} (line {frame.lineno} of {Path(frame.filename).name})"
        called = first = called_with(names, x[0])
        if len(x) > 1:
            called = f"{len(x)} parameter vectors (first: {first})"
        where = f"line {frame.lineno} of {frame.filename}"
        self.sentence = f"the model raised {text} ({where}, called with {called})"
        super().__init__(self.sentence)


def _said(error: BaseException) -> str:
    """What an error says, in characters that can be written to a file."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:  # of the error's own, on its way to a sentence
        return "(it cannot say what)"


@dataclass(frozen=True)
class Caller:
    """The user's model with what is needed to call it and to read its outputs.

    It goes to other processes, so it holds nothing else.

    Attributes:
        model: the user's function.
        names: the D parameter names.
        outputs: the L output names.
        in_order: whether outputs of other names, as many, are taken in the order they come in.
        vectorized: whether the model takes a batch.
        stochastic: whether it takes a generator.
        runs: how often each row is run: the repeats of a model with noise, else once.
        shape: of the parameters of one row as the model takes them; None for a vector (D,).
        seen: the shape (c, h, w) of the outputs where they were observed as a field, or None.
    """

    model: Callable[..., Any]
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    in_order: bool
    vectorized: bool
    stochastic: bool
    runs: int
    shape: tuple[int, ...] | None = None
    seen: tuple[int, int, int] | None = None

    def __call__(self, x: Array, *, seed: int, start: int, whole: bool) -> Array:
        """Outputs (m, runs, L) of the rows x (m, D), the first of which is row `start` of all.

        Args:
            x: parameters; one row only where the model takes one at a time.
            seed: for the model's own noise.
            start: the place of the first row.
            whole: False for a part of a call that failed.

        Raises:
            RaisedError: the model raised.
            ModelError: it returned something that is not its outputs.
        """
        rng = self._generator(seed, start, len(x), whole) if self.stochastic else None
        if self.vectorized:
            rows = x if self.runs == 1 else np.repeat(x, self.runs, axis=0)
            y = self._table(self._returned(rows, rows, rng), rows)
        else:
            each = [self._row(self._returned(x[0], x, rng), x[0]) for _ in range(self.runs)]
            y = each[0] if self.runs == 1 else np.stack(each)
        return y.reshape(len(x), self.runs, len(self.outputs))

    def _generator(self, seed: int, start: int, m: int, whole: bool) -> np.random.Generator:
        block, first = divmod(start, BLOCK)
        if not self.vectorized:
            return generator(seed, block, _OF_ROW, first)
        return generator(seed, block) if whole else generator(seed, block, _OF_PART, first, m)

    def _returned(self, given: Array, rows: Array, rng: np.random.Generator | None) -> Any:
        """What the model returns for a copy of its argument, which it may write to."""
        noise = () if rng is None else (rng,)
        given = given.copy()
        if self.shape is not None:
            given = given.reshape(*given.shape[:-1], *self.shape)
        try:
            return self.model(given, *noise)
        except (Exception, SystemExit) as error:
            raise RaisedError(error, self.names, rows) from error

    def _table(self, result: Any, x: Array) -> Array:
        found = by_name(result)
        if found is not None:
            named = self._named(self._spread(found, 1))
            columns = [_numbers(column).reshape(-1) for column in named]
            wrong = [len(c) for c in columns if len(c) != len(x)]
            if wrong:
                raise ModelError(
                    f"the model turned {x.shape} parameters into a column of {wrong[0]} values; "
                    f"expected {len(x)}, one for each row{_HINT}"
                )
            return np.stack(columns, axis=1)
        y = _numbers(result)
        wanted = (len(x), len(self.outputs))
        if y.ndim > 2 and len(y) == len(x):
            self._check_field(y.shape[1:])
            y = y.reshape(len(x), -1)
        if y.shape == wanted[:1] and wanted[1] == 1:
            return y[:, None]
        if y.shape != wanted:
            hint = "" if y.ndim and len(y) == len(x) else _HINT
            if not hint and wanted[1] == 1:
                hint = _FLAT
            raise ModelError(
                f"the model turned {x.shape} parameters into outputs of shape {y.shape}; expected "
                f"{wanted}, one column for each observed quantity ({_shown(self.outputs)}){hint}"
            )
        return y

    def _check_field(self, shape: tuple[int, ...]) -> None:
        """Refuse a field of another shape than was observed, whose values would be mixed up."""
        if self.seen is not None and (1, *shape)[-3:] != self.seen:
            raise ModelError(
                f"the model returned a field of shape {shape} for each parameter vector, and what "
                f"was observed has the shape {self.seen} (channels, height, width)"
            )

    def _row(self, result: Any, x: Array) -> Array:
        found = by_name(result)
        values = [result] if found is None else self._named(self._spread(found, 0))
        if found is None and len(shape := getattr(result, "shape", ())) > 1:
            self._check_field(tuple(shape))
        parts = [_numbers(value).reshape(-1) for value in values]
        y = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if len(y) != len(self.outputs):
            raise ModelError(
                f"the model turned one parameter vector {x.shape} into {len(y)} outputs; expected "
                f"{len(self.outputs)} ({', '.join(self.outputs)})"
            )
        return y

    def _spread(self, result: Mapping[str, Any], axes: int) -> dict[str, Any]:
        """Arrays under one name as the columns name[i,j] that observations of the like have."""
        if set(self.outputs) <= set(result):
            return dict(result)
        found: dict[str, Any] = {}
        for name, value in result.items():
            block = _numbers(value) if isinstance(value, list | tuple) else value
            if name in self.outputs or np.ndim(block) <= axes:
                found[name] = value
                continue
            block = _numbers(block)
            columns = block.reshape(*block.shape[:axes], -1)
            names = numbered(name, block.shape[axes:])
            found |= zip(names, np.moveaxis(columns, -1, 0), strict=True)
        return found

    def _named(self, result: Mapping[str, Any]) -> list[Any]:
        missing = [name for name in self.outputs if name not in result]
        if not missing:
            return [result[name] for name in self.outputs]
        if self.in_order and len(result) == len(self.outputs):
            return list(result.values())
        raise ModelError(
            f"the model returned outputs {list(result)}; {missing[0]!r} is observed but not among "
            "them"
        )


def check_call(model: Callable[..., Any], stochastic: bool) -> None:
    """Refuse a model that does not take what it will be given, where its signature says so.

    Raises:
        InputError: it takes no generator beside the parameters, or cannot do without one.
    """
    try:
        takes = inspect.signature(model)
    except (TypeError, ValueError):  # of numpy's own functions there is none
        return
    for noisy in (stochastic, not stochastic):
        try:
            takes.bind(*([None] * (1 + noisy)))
        except TypeError:
            continue
        if noisy == stochastic:
            return
        raise InputError(
            f"stochastic={stochastic}, and the model takes {takes}: "
            + ("give it a generator too, as in model(x, rng), or leave stochastic out"
               if stochastic else "set stochastic=True where it draws noise of its own")
        )  # fmt: skip


def generator(seed: int, *key: int) -> np.random.Generator:
    """The generator that belongs to a seed and a place."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def numbered(name: str, shape: tuple[int, ...]) -> list[str]:
    """Names of the values of an array of this shape, name[i,j]; of a number the name itself."""
    return [
        f"{name}[{','.join(map(str, index))}]" if shape else name for index in np.ndindex(*shape)
    ]


def called_with(names: tuple[str, ...], row: Array) -> str:
    """A parameter vector as it is shown in a sentence."""
    return ", ".join(f"{n}: {v:.6g}" for n, v in zip(names, row, strict=False))


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{names[0]}, ... {names[-1]}"


def _numbers(result: Any) -> Array:
    """A copy, since a model may hand out one buffer again and again."""
    if result is None:
        raise ModelError("the model returned None; does it end with `return`?")
    # A torch tensor comes to numpy by its own methods, without importing torch.
    value = result.detach().cpu().numpy() if hasattr(result, "detach") else result
    try:
        if np.iscomplexobj(value):
            raise TypeError("complex numbers have no order")
        if isinstance(value, np.ma.MaskedArray):
            return np.asarray(np.ma.filled(value.astype(float), np.nan))
        return np.array(value, float)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the model returned {type(result).__name__}, which is not an array of real numbers: "
            f"{error}"
        ) from None
