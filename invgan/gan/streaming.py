"""Training pairs that lie on the disk, for simulations larger than memory.

The scaled pairs are written once, in single precision and in order, to a file that has no name: it
goes with the process, however that ends. Batches are rows of it at random, drawn by the same
generator as those of pairs in memory, so that both ways of holding the same pairs train the same
weights. What was read is not kept by the process; the system's cache of files keeps what it can.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invgan.errors import InputError
from invgan.gan.member import Estimator
from invgan.gan.stage import Source
from invgan.mapped import release

__all__ = ["OnDisk", "Rows", "in_latent_space", "written"]

Floats = NDArray[np.float32]

_AT_ONCE = 2**27
_UNTIL_RELEASE = 2**27
_PAGES_AROUND = 2**18


class Rows:
    """Rows of a file, which come as tensors of a device.

    Args:
        file: filled with rows in single precision; it may be closed afterwards.
        width: numbers in a row.
        device: where rows go.
        folder: the file's, or None for the system's own.

    Attributes:
        shape: (n, width).
        device: where rows go.
        folder: where more of the like may be put.
    """

    def __init__(
        self, file: IO[bytes], width: int, device: torch.device, folder: Path | None
    ) -> None:
        self.folder = folder
        self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._array: Floats = np.frombuffer(self._mapping, np.float32).reshape(-1, width)
        self.shape, self.device = torch.Size(self._array.shape), device
        self._touched = 0

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Any, /) -> Tensor:
        """Some rows (m, width), by a slice or by a tensor of numbers, on the device."""
        index = rows if isinstance(rows, slice) else rows.cpu().numpy()
        found = self._array[index]
        self._touched += found.nbytes
        if isinstance(rows, slice):
            found = found.copy()
        else:
            # A page that is read at random brings its neighbours along.
            self._touched += len(found) * _PAGES_AROUND
        if self._touched > _UNTIL_RELEASE:
            release(self._mapping)
            self._touched = 0
        return torch.from_numpy(found).to(self.device)


class OnDisk(Source[Rows]):
    """Pairs on the disk, whose batches come to the device."""

    def some(self) -> tuple[Tensor, Tensor]:
        """The first pairs, 128 MB of them at most."""
        n = _AT_ONCE // (4 * (self.u.shape[1] + self.y.shape[1]))
        return self.u[:n], self.y[:n]


def written(
    chunks: Iterable[tuple[Tensor, Tensor]], folder: Path | None, device: torch.device
) -> OnDisk:
    """Pairs that come in chunks, on the disk.

    Args:
        chunks: u (m, E) and y (m, L), one after the other.
        folder: where the disk has room; the system's own for temporary files where None.
        device: where batches will go.

    Raises:
        InputError: the disk is full.
    """
    return OnDisk(*_spooled(chunks, folder, device))


@torch.no_grad()
def in_latent_space(estimator: Estimator, pairs: OnDisk) -> OnDisk:
    """The pairs in the head's latent space, with the summaries of their outputs.

    Where nothing is learnt of the outputs they are their own summaries, and stay where they are:
    absent values were written as the zeros that they count as.
    """
    folder = pairs.u.folder
    if estimator.embedding.learnt:
        mapped = ((estimator(e, y)[0], estimator.summary(y)) for e, y in pairs.chunks())
        return written(mapped, folder, pairs.u.device)
    latent = ((estimator(e, y)[0],) for e, y in pairs.chunks())
    (u,) = _spooled(latent, folder, pairs.u.device)
    return OnDisk(u, pairs.y)


def _spooled(
    chunks: Iterable[tuple[Tensor, ...]], folder: Path | None, device: torch.device
) -> list[Rows]:
    """A file for each of the columns that come in chunks."""
    files: list[IO[bytes]] = []
    widths: list[int] = []
    with ExitStack() as stack:
        try:
            for chunk in chunks:
                if not files:
                    widths = [part.shape[1] for part in chunk]
                    files = [stack.enter_context(_nameless(folder)) for _ in chunk]
                for file, part in zip(files, chunk, strict=True):
                    file.write(part.cpu().numpy().data)
            for file in files:
                file.flush()
        except OSError as error:
            raise InputError(
                f"there is no room to lay training pairs out on the disk ({error}): free half of "
                "what the simulations take, or name a checkpoint where there is as much"
            ) from None
        return [
            Rows(file, width, device, folder) for file, width in zip(files, widths, strict=True)
        ]


def _nameless(folder: Path | None) -> IO[bytes]:
    return cast("IO[bytes]", tempfile.TemporaryFile(dir=folder))
