"""An inverse as plain data: `<stem>.safetensors` (weights) and `<stem>.json` (all the rest)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from invgan.gan.artefact import Kind
from invgan.gan.member import Member
from invgan.gan.weigher import Weigher
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

if TYPE_CHECKING:
    from invgan.gan.inverse import Inverse

__all__ = ["KIND", "description", "networks", "rebuilt"]

KIND = Kind("inverse", None, 3, "run train first")


def networks(members: Sequence[Member], weigher: Weigher | None) -> nn.ModuleList:
    """All that has weights."""
    return nn.ModuleList([*members, *([] if weigher is None else [weigher])])


def description(inverse: Inverse) -> dict[str, Any]:
    """What must be known beside the weights, as plain values."""
    return {
        "names": inverse.names,
        "outputs": inverse.outputs,
        "low": inverse.low.tolist(),
        "high": inverse.high.tolist(),
        "members": [member.form for member in inverse.members],
        "weigher": None if inverse.weigher is None else inverse.weigher.to_dict(),
        "parameters": inverse.parameters.to_dict(),
        "scaling": inverse.scaling.to_dict(),
        "config": inverse.config.model_dump(),
        "history": inverse.history,
        "info": inverse.info,
    }


def rebuilt(
    data: Mapping[str, Any], weights: Mapping[str, Tensor], place: torch.device
) -> dict[str, Any]:
    """The fields of the inverse that a description and weights are of, on a device."""
    config = TrainConfig(**data["config"])
    parameters = ParameterScaling.from_dict(data["parameters"])
    sizes = parameters.dimension, len(data["low"])
    members = [Member.blank(config, form, *sizes) for form in data["members"]]
    form = data.get("weigher")
    weigher = None if form is None else Weigher.blank(config, form, *sizes)
    networks(members, weigher).load_state_dict(weights)
    return {
        "members": tuple(member.to(place) for member in members),
        "parameters": parameters,
        "scaling": OutputScaling.from_dict(data["scaling"]),
        "low": np.array(data["low"], float),
        "high": np.array(data["high"], float),
        "names": tuple(data["names"]),
        "outputs": tuple(data["outputs"]),
        "config": config,
        "history": data["history"],
        "info": data["info"],
        "weigher": None if weigher is None else weigher.to(place),
    }
