"""Files that appear whole or not at all, and digests by which one knows what they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.mapped import in_parts, let_go, on_disk

__all__ = ["digest", "replacing", "write_text"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Hand out a temporary path beside the given one and move it there when all went well.

    The name is of its own, so that two that write the same file do not meet in it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{token_hex(4)}.partial")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def digest(*parts: str | NDArray[Any]) -> str:
    """SHA-256 of texts and of the bytes of arrays, in this order."""
    content = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            content.update(f"{part}\0".encode())
        elif on_disk(part):
            for rows in in_parts(part):
                content.update(np.ascontiguousarray(part[rows]).data)
                let_go(part)
        else:
            content.update(np.ascontiguousarray(part).data)
    return content.hexdigest()
