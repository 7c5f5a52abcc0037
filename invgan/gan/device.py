"""Where tensors live: the choice of a device, and arrays to and from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invgan.errors import InputError

__all__ = ["choose_device", "few_threads", "generator_on", "to_array", "to_tensor"]

_THREADS = 1


def choose_device(name: str) -> torch.device:
    """The device of this name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda[:N]``, ``mps``.

    Raises:
        InputError: no such name, or no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?|mps", name):
        raise InputError(f"device must be auto, cpu, cuda, cuda:N or mps; got {name!r}")
    if name.startswith("cuda"):
        count = torch.cuda.device_count()
        index = int(name.partition(":")[2] or 0)
        if index >= count:
            raise InputError(f"device {name!r}: this machine has {count} CUDA devices; use auto")
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("device 'mps': this machine has none; use auto")
    return torch.device(name)


def generator_on(device: torch.device, seed: int) -> torch.Generator:
    """A random generator of the device's own."""
    return torch.Generator(device).manual_seed(seed)


def to_tensor(array: NDArray[np.float64], device: torch.device) -> Tensor:
    """Single precision on the device."""
    return torch.as_tensor(array, dtype=torch.float32, device=device)


def to_array(tensor: Tensor) -> NDArray[np.float64]:
    """Double precision, as numpy."""
    return tensor.detach().cpu().double().numpy()


@contextmanager
def few_threads() -> Iterator[None]:
    """Bound torch's threads: layers of a hundred units gain nothing from many, and lose time."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, _THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(before)
