"""The nouns that stages hand to each other: named arrays, frozen, saved without pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.files import replacing
from invgan.mapped import let_go, on_disk
from invgan.tables import read_npz

__all__ = ["Records", "Samples", "Simulations", "failure_records"]

Array = NDArray[np.float64]
Records = NDArray[np.void]
"""A structured array with the fields kind, message and seconds."""

_LONGEST = 200
_MOST_ROWS, _MOST_BYTES = 100_000, 2**27
_BEYOND = ("x_beyond", "y_beyond", "own_beyond")
_CHAIN = ("chain", "chain_log_prob")


@dataclass(frozen=True)
class Simulations:
    """Prior draws and the model's outputs for them.

    The rows are independent and in no order, so that a fixed share of them can be set aside:
    `training` is the first 85 %, `selection` the next 10 % and `heldout` the last 5 %. Training
    never sees the other two, and the choice of a generator never sees the last.

    Attributes:
        x: parameters, shape (n, D).
        y: outputs, shape (n, L), finite, or NaN where a problem lets them be missing.
        names: the D parameter names.
        outputs: the L output names.
        failed: parameters whose simulation failed, shape (n_failed, D).
        info: figures for the report: seed, seconds, model_evaluations.
        failures: how each of them failed, shape (n_failed,), with the fields kind (``"raised"``,
            ``"timed out"``, ``"not finite"``, ``"worker died"`` or ``"wrong outputs"``), message
            and seconds; by default not finite.
        beyond: of several rounds, the rows outside the last region, which training learns from
            too; they are no draws of the prior that x are. None where there are hardly any.
        own: the model's own outputs, shape (n, L), where y has the noise of a measurement upon
            them; training learns from them under further noise. None where there is no such noise,
            or where they are not at hand.

    Raises:
        InputError: there is not one record for each failed row, or not own outputs for each row.
    """

    x: Array
    y: Array
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    failed: Array
    info: dict[str, Any] = field(default_factory=dict)
    failures: Records = field(default_factory=lambda: failure_records([]))
    beyond: Simulations | None = None
    own: Array | None = None

    def __post_init__(self) -> None:
        if self.own is not None and len(self.own) != len(self.x):
            raise InputError(
                f"own outputs belong to rows one by one; got {len(self.own)} for {len(self.x)} rows"
            )
        if not len(self.failures) and len(self.failed):
            unknown = failure_records([("not finite", "", 0.0)] * len(self.failed))
            object.__setattr__(self, "failures", unknown)
        if len(self.failures) != len(self.failed):
            raise InputError(
                f"{len(self.failed)} failed rows need as many records of how they failed; got "
                f"{len(self.failures)}"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def training(self) -> Self:
        """The rows that networks are fitted to."""
        return self._rows(slice(0, int(0.85 * len(self))))

    @property
    def selection(self) -> Self:
        """The rows that decide which generator is kept."""
        return self._rows(slice(int(0.85 * len(self)), int(0.95 * len(self))))

    @property
    def unlearnt(self) -> Self:
        """The rows that no network and no correction learns from: the selection and `heldout`."""
        return self._rows(slice(int(0.85 * len(self)), None))

    @property
    def heldout(self) -> Self:
        """The rows that nothing but the checks sees."""
        return self._rows(slice(int(0.95 * len(self)), None))

    def few(self) -> Self:
        """Themselves where they are in memory; of those on the disk as many as any check needs.

        These are the first of the training, of the selection and of the held-out rows, in memory,
        100,000 of them and 128 MB at most; ``info["rows"]`` says how many there are in all. They
        have the same three parts, so that what was held out stays held out.
        """
        if not on_disk(self.y):
            return self
        row = max(1, self.x[:1].nbytes + self.y[:1].nbytes)
        n = min(_MOST_ROWS, _MOST_BYTES // row)
        # All, or so many fewer that no part can be asked for a row more than it has.
        n = len(self) if n >= len(self) else max(0, min(n, len(self) - 20))
        ends = int(0.85 * n), int(0.95 * n), n
        sizes = np.diff([0, *ends])
        shares = zip((self.training, self.selection, self.heldout), sizes, strict=True)
        x, y = zip(*((part.x[:size], part.y[:size]) for part, size in shares), strict=True)
        info = {**self.info, "rows": len(self)}
        found = replace(self, x=np.concatenate(x), y=np.concatenate(y), info=info)
        let_go(self.x, self.y)
        return found

    def _rows(self, rows: slice) -> Self:
        return type(self)(
            self.x[rows], self.y[rows], self.names, self.outputs, self.failed[:0], self.info,
            own=None if self.own is None else self.own[rows],
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write to an .npz file, whole or not at all."""
        others = {"own": self.own}
        if self.beyond is not None:
            found = self.beyond.x, self.beyond.y, self.beyond.own
            others |= dict(zip(_BEYOND, found, strict=True))
        _save(
            path, self.names, self.outputs, self.info, x=self.x, y=self.y, failed=self.failed,
            failures=self.failures, **{k: v for k, v in others.items() if v is not None},
        )  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing or is not such a file.
        """
        meta, arrays = _load(path, ("x", "y", "failed"), ("own", *_BEYOND), records="failures")
        beyond = None
        if arrays.keys() >= set(_BEYOND[:2]):
            beyond = cls(
                arrays["x_beyond"], arrays["y_beyond"], meta["names"], meta["outputs"],
                arrays["failed"][:0], own=arrays.get("own_beyond"),
            )  # fmt: skip
        return cls(
            arrays["x"], arrays["y"], failed=arrays["failed"], failures=arrays["failures"],
            beyond=beyond, own=arrays.get("own"), **meta,
        )  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """Draws of the parameters that answer the question, by whichever road.

    Attributes:
        x: parameters, shape (n, D).
        y: the model's outputs for them, shape (n, L), or None where it was not run yet.
        weights: shape (n,), with mean one; all ones for draws that count equally.
        names: the D parameter names.
        outputs: the L output names.
        info: figures for the report: method, seconds, model_evaluations, diagnostics.
        chain: of MCMC, where its walkers were after the burn-in, step by step, shape (T, W, D);
            the draws are some of its states. None of other roads.
        chain_log_prob: the log-density there, up to a constant, shape (T, W).
    """

    x: Array
    y: Array | None
    weights: Array
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    info: dict[str, Any] = field(default_factory=dict)
    chain: Array | None = None
    chain_log_prob: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def save(self, path: str | Path) -> None:
        """Write to an .npz file, whole or not at all."""
        y = np.empty((0, len(self.outputs))) if self.y is None else self.y
        others = {}
        if self.chain is not None and self.chain_log_prob is not None:
            others = {"chain": self.chain, "chain_log_prob": self.chain_log_prob}
        _save(
            path, self.names, self.outputs, self.info, x=self.x, y=y, weights=self.weights, **others
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing or is not such a file.
        """
        meta, arrays = _load(path, ("x", "y", "weights"), _CHAIN)
        y = arrays["y"] if len(arrays["y"]) else None
        chain, log_prob = map(arrays.get, _CHAIN)
        return cls(arrays["x"], y, arrays["weights"], **meta, chain=chain, chain_log_prob=log_prob)


def failure_records(rows: Iterable[tuple[str, str, float]]) -> Records:
    """Kind, message and seconds of failures as one structured array, messages cut to a line."""
    found = [(kind, message[:_LONGEST], seconds) for kind, message, seconds in rows]
    width = max((len(message) for _, message, _ in found), default=1)
    kinds = [("kind", "U13"), ("message", f"U{max(width, 1)}"), ("seconds", "f8")]
    return np.array(found, dtype=kinds)


def _save(
    path: str | Path,
    names: tuple[str, ...],
    outputs: tuple[str, ...],
    info: dict[str, Any],
    **arrays: NDArray[Any],
) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            names=np.array(names, dtype=str),
            outputs=np.array(outputs, dtype=str),
            info=np.array(json.dumps(info)),
            allow_pickle=False,
            **arrays,
        )


def _check_shapes(arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
    """Raise ValueError unless the arrays belong together."""
    size, outputs, y = len(meta["names"]), len(meta["outputs"]), arrays["y"]
    n, failed, beyond = (len(arrays.get(key, ())) for key in ("x", "failed", "x_beyond"))
    walked = np.shape(arrays.get("chain_log_prob", ()))
    wanted = {
        "x": (n, size), "failed": (failed, size), "weights": (n,), "own": (n, outputs),
        "x_beyond": (beyond, size), "y_beyond": (beyond, *y.shape[1:]),
        "own_beyond": (beyond, outputs), "chain": (*walked[:2], size), "chain_log_prob": walked[:2],
    }  # fmt: skip
    fit = all(arrays[key].shape == shape for key, shape in wanted.items() if key in arrays)
    rows = len(y) in (n, 0) and y.ndim == 2 and y.shape[1] % max(1, outputs) == 0
    if not (fit and rows and size and isinstance(meta["info"], dict)):
        shapes = {key: values.shape for key, values in arrays.items()}
        raise ValueError(f"its arrays do not fit each other: {shapes}")


def _load(
    path: str | Path, keys: tuple[str, ...], optional: tuple[str, ...] = (), *, records: str = ""
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    if not Path(path).is_file():
        raise InputError(f"there is no file {str(path)!r}; run the stage that writes it first")
    try:
        archive = read_npz(path)
        arrays: dict[str, NDArray[Any]]
        found = (*keys, *(key for key in optional if key in archive))
        arrays = {key: np.asarray(archive[key], float) for key in found}
        if records:
            told = archive[records].tolist() if records in archive else []
            arrays[records] = failure_records(told)
        meta = {
            "names": tuple(map(str, archive["names"])),
            "outputs": tuple(map(str, archive["outputs"])),
            "info": json.loads(str(archive["info"])),
        }
        _check_shapes(arrays, meta)
    # A damaged archive makes its reader raise anything, NotImplementedError included.
    except Exception as error:
        raise InputError(
            f"{path} is not a file that invgan wrote, or is damaged: {error}"
        ) from None
    return meta, arrays
