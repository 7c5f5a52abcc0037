"""Trained networks on disk: `<stem>.safetensors` (weights) and `<stem>.json` (all else).

Both are plain data that load on any device and run nothing. What kind of network they hold is said
in the JSON by its method and format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.files import replacing, write_text
from invgan.gan.tensors import write_tensors

__all__ = ["Kind"]

T = TypeVar("T")
Rebuild = Callable[[dict[str, Any], dict[str, Tensor]], T]

_DAMAGE = (
    AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError,
    OSError,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of artefact.

    Attributes:
        word: what it is called, as in "inverse".
        method: what the JSON says of it; None where it says nothing.
        format: of the JSON; only files of this one are read.
        remedy: how one is made.
    """

    word: str
    method: str | None
    format: int
    remedy: str

    def save(self, path: str | Path, network: nn.Module, description: Mapping[str, Any]) -> None:
        """Write the weights of a network and what else must be known of it."""
        text, weights = _files(path)
        tensors = network.state_dict()
        copies = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        with replacing(weights) as temporary:
            write_tensors(copies, temporary)
        method = {} if self.method is None else {"method": self.method}
        write_text(text, json.dumps({"format": self.format, **method, **description}, indent=1))

    def load(self, path: str | Path, place: torch.device, rebuild: Rebuild[T]) -> T:
        """Read what `save` wrote.

        Args:
            path: the stem.
            place: where the weights go.
            rebuild: makes the artefact of the description and the weights by name.

        Raises:
            InputError: the files are missing, damaged, of another kind or format.
        """
        text, weights = _files(path)
        if not (text.is_file() and weights.is_file()):
            raise InputError(f"there is no trained {self.word} at {str(path)!r}; {self.remedy}")
        try:
            data = json.loads(text.read_text(encoding="utf-8"))
            refusal = self._refusal(data, text)
            if refusal is None:
                return rebuild(data, load_file(str(weights), device=str(place)))
        except _DAMAGE as error:
            refusal = f"{path} is no {self.word} that invgan wrote, or is damaged: {error}"
        raise InputError(refusal)

    def _refusal(self, data: dict[str, Any], text: Path) -> str | None:
        """What is wrong with files that may be whole."""
        if data.get("method") != self.method:
            return f"{text} describes another kind of network, no {self.word}"
        if data["format"] != self.format:
            older = "an earlier" if data["format"] < self.format else "a later"
            return f"{text} was written by {older} invgan; train again with this one"
        return None


def _files(path: str | Path) -> tuple[Path, Path]:
    """The JSON and the weights."""
    stem = Path(path)
    return stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors")
