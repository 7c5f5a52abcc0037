"""Tensors in a file, without pickle."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["write_tensors"]


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors on the CPU to a safetensors file.

    Raises:
        OSError: the disk is full, or the file cannot be written for another reason.
    """
    try:
        save_file(dict(tensors), str(path), metadata=metadata)
    except SafetensorError as error:
        full = "No space" in str(error) or "os error 28" in str(error)
        code, said = (errno.ENOSPC, "No space left on device") if full else (errno.EIO, str(error))
        raise OSError(code, said, str(path)) from error
