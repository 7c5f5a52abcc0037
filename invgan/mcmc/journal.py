"""What a chain has walked so far, on disk, so that a run that is stopped goes on and not back.

Every file holds the states since the one before and the state of the random generator after them,
and is written whole or not at all. emcee's own HDF5 backend would be one file that a kill in the
middle of a write may leave unreadable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import emcee
import numpy as np
from numpy.typing import NDArray

from invgan.files import replacing

__all__ = ["Journal", "Stretch", "joined"]

Array = NDArray[np.float64]

_LEAST_SECONDS, _SHARE = 5.0, 0.01
_ARRAYS = ("coords", "log_prob", "blobs", "accepted")


@dataclass(frozen=True)
class Stretch:
    """Consecutive states of all walkers.

    Attributes:
        coords: free parameters, shape (T, W, F).
        log_prob: shape (T, W).
        blobs: the model's own outputs, shape (T, W, L), L zero where it was not run.
        accepted: how many proposals of each walker were taken, shape (W,).
        evaluations: model runs, in all.
        random_state: of numpy's MT19937, after the last state.
    """

    coords: Array
    log_prob: Array
    blobs: Array
    accepted: Array
    evaluations: int
    random_state: tuple[Any, ...]

    def state(self) -> emcee.State:
        """Where the walkers stand at the end."""
        blobs = self.blobs[-1]
        width = blobs.shape[1]
        return emcee.State(
            self.coords[-1],
            log_prob=self.log_prob[-1],
            blobs=(blobs[:, 0] if width == 1 else blobs) if width else None,
            random_state=self.random_state,
        )


def joined(stretches: list[Stretch]) -> Stretch:
    """One stretch of several."""
    last = stretches[-1]
    return replace(
        last,
        coords=np.concatenate([s.coords for s in stretches]),
        log_prob=np.concatenate([s.log_prob for s in stretches]),
        blobs=np.concatenate([s.blobs for s in stretches]),
        accepted=np.sum([s.accepted for s in stretches], axis=0),
        evaluations=sum(s.evaluations for s in stretches),
    )


class Journal:
    """The stretches of one chain in files ``<stem>-1.npz``, ``<stem>-2.npz`` and so on.

    Args:
        stem: of the files, or None to keep nothing.
        fingerprint: what is sampled, and how; files of another chain are not taken up.
    """

    def __init__(self, stem: Path | None, fingerprint: str) -> None:
        self._stem, self._fingerprint = stem, fingerprint
        self._count, self._began = 0, time.perf_counter()
        self._written = self._began

    @property
    def due(self) -> bool:
        """Whether enough time has passed to write: seconds, and a hundredth of the run."""
        now = time.perf_counter()
        rest = max(_LEAST_SECONDS, _SHARE * (now - self._began))
        return self._stem is not None and now - self._written > rest

    def read(self) -> list[Stretch]:
        """The stretches that lie there, up to the first that is missing, damaged or another's."""
        found = list(self._readable())
        self._count = len(found)
        return found

    def _readable(self) -> Iterator[Stretch]:
        if self._stem is None:
            return
        for number in count(1):
            stretch = _read(self._file(number), self._fingerprint)
            if stretch is None:
                return
            yield stretch

    def write(self, stretch: Stretch) -> None:
        """Keep a stretch that follows those before."""
        if self._stem is None:
            return
        self._count += 1
        name, keys, *rest = stretch.random_state
        with replacing(self._file(self._count)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                fingerprint=np.array(self._fingerprint),
                **{array: getattr(stretch, array) for array in _ARRAYS},
                evaluations=np.array(stretch.evaluations),
                generator=np.array(name),
                keys=keys,
                rest=np.array(rest, float),
            )
        self._written = time.perf_counter()

    def _file(self, number: int) -> Path:
        return Path(f"{self._stem}-{number}.npz")


def _read(path: Path, fingerprint: str) -> Stretch | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            if str(data["fingerprint"]) != fingerprint:
                return None
            position, has_gauss, gauss = data["rest"].tolist()
            random_state = (
                str(data["generator"]), data["keys"], int(position), int(has_gauss), gauss
            )  # fmt: skip
            coords, log_prob, blobs, accepted = (
                np.asarray(data[name], float) for name in _ARRAYS
            )  # fmt: skip
            evaluations = int(data["evaluations"])
            return Stretch(coords, log_prob, blobs, accepted, evaluations, random_state)
    # A damaged archive makes its reader raise anything.
    except Exception:
        return None
