"""The settings of every stage, validated: one small model each, with the defaults and their units.

The defaults are one set for all problems, chosen by measurement (docs/benchmarks.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from invgan.errors import InputError

__all__ = ["McmcConfig", "SampleConfig", "Section", "SimulateConfig", "TrainConfig", "sentence"]


class Section(BaseModel):
    """A group of settings: frozen, strict about names, types and ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(sentence(error, type(self))) from None


class SimulateConfig(Section):
    """Prior draws and model runs."""

    n: int = Field(100_000, ge=20, description="number of prior simulations")
    chunk: int = Field(8192, ge=1, description="rows handed to the model at once")
    max_failures: float = Field(
        0.05, ge=0, le=1, description="share of simulations that may be non-finite"
    )


class TrainConfig(Section):
    """The head start, the adversarial game, and what decides between them."""

    head: Literal["flow", "gaussian", "none"] = Field(
        "flow", description="density fitted by likelihood before the game: spline flow, or none"
    )
    head_steps: int = Field(4000, ge=1, description="most optimiser steps of the head")
    steps: int = Field(
        6000, ge=0, description="most generator steps of the game; 0 keeps the head alone"
    )
    batch_size: int = Field(512, ge=8, description="pairs in one step")
    learning_rate: float = Field(1e-3, gt=0, description="of head, generator and critic")
    hidden: int = Field(128, ge=4, description="units in each hidden layer")
    layers: int = Field(3, ge=1, description="hidden layers of generator and critic")
    transforms: int = Field(3, ge=1, description="spline transforms of the flow head")
    gamma: float = Field(0.05, ge=0, description="weight of the R1 and R2 gradient penalties")
    critic_steps: int = Field(1, ge=1, description="critic steps for each generator step")
    averaging: float = Field(
        0.999, ge=0, lt=1, description="decay of the average of generator weights"
    )
    evaluations: int = Field(12, ge=1, description="held-out evaluations over the game")
    patience: int = Field(
        5, ge=1, description="evaluations without improvement after which a stage stops"
    )
    focus: float = Field(
        0.25, ge=0, description="margin around the observed range, in ranges, that is trained on"
    )


class SampleConfig(Section):
    """Draws for the observations, and their correction."""

    n: int = Field(20_000, ge=1, description="number of parameter draws in the answer")
    correct: bool = Field(True, description="make the draws data-consistent by re-weighting")


class McmcConfig(Section):
    """The emcee baseline."""

    enabled: bool = Field(True, description="run the baseline beside the generator")
    walkers: int = Field(64, ge=4, description="walkers of the ensemble")
    steps: int = Field(5000, ge=10, description="steps of each walker")


def sentence(error: ValidationError, model: type[BaseModel], prefix: Sequence[str] = ()) -> str:
    """The first of pydantic's complaints as one sentence: what, got, do."""
    first = error.errors()[0]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        return str(inner)
    path = ".".join([*prefix, *map(str, first["loc"])])
    if first["type"] == "extra_forbidden":
        return f"{path} is not a setting{_suggestion(str(first['loc'][-1]), model, path)}"
    return f"{path}: {first['msg'][0].lower()}{first['msg'][1:]}; got {first['input']!r}"


def _suggestion(name: str, model: type[BaseModel], path: str) -> str:
    known = list(model.model_fields)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {path.removesuffix(name)}{close[0]}?"
    return f"; known are {', '.join(known)}"
