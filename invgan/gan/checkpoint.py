"""The state of a stage of training in one file of plain tensors, so that a killed run goes on.

Networks, optimisers and random generators are flattened to named tensors (safetensors, no pickle);
counters, histories and the fingerprint of what is trained ride along as JSON in the header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from invgan.files import replacing
from invgan.gan.tensors import write_tensors

__all__ = ["State", "load_state", "save_state"]


@dataclass
class State:
    """What training must remember between two evaluations.

    Attributes:
        modules: networks by name.
        optimisers: optimisers by name.
        rng: the random generator of the device.
        memory: anything JSON holds: steps done, history, best measure.
        best: the parameters kept so far, by name.
    """

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    rng: torch.Generator
    memory: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)


def save_state(path: Path | None, stage: str, fingerprint: str, state: State) -> None:
    """Write a state, whole or not at all; nothing where path is None."""
    if path is None:
        return
    tensors = {"rng": state.rng.get_state()}
    for name, module in state.modules.items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimiser in state.optimisers.items():
        for index, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{index}/{key}": slots[key] for key in slots}
    tensors |= {f"best/{key}": value for key, value in state.best.items()}
    header = {"stage": stage, "fingerprint": fingerprint, "memory": json.dumps(state.memory)}
    copies = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    with replacing(path) as temporary:
        write_tensors(copies, temporary, header)


def load_state(path: Path | None, stage: str, fingerprint: str, state: State) -> bool:
    """Put a saved state back into place; False where there is none of this stage and training."""
    if path is None or not path.is_file():
        return False
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if (header.get("stage"), header.get("fingerprint")) != (stage, fingerprint):
                return False
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            memory = json.loads(header["memory"])
    except (SafetensorError, KeyError, ValueError, OSError):
        return False
    for name, module in state.modules.items():
        module.load_state_dict(_under(tensors, f"module/{name}/"))
    for name, optimiser in state.optimisers.items():
        _restore(optimiser, _under(tensors, f"optimiser/{name}/"))
    state.best = _under(tensors, "best/")
    state.rng.set_state(tensors["rng"])
    state.memory = memory
    return True


def _restore(optimiser: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, _, name = key.partition("/")
        slots.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
