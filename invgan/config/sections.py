"""What a configuration holds: the problem, the settings of every stage, a seed and a device."""

from __future__ import annotations

import math
import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from invgan.config.models import canonical_model, takes_batches
from invgan.laws import canonical_observations, canonical_prior
from invgan.noise import as_noise
from invgan.settings import (
    McmcConfig,
    SampleConfig,
    Section,
    SettingError,
    SimulateConfig,
    TrainConfig,
    short,
)
from invgan.structure import check_masks

__all__ = ["GALLERY", "ORDER", "Config", "ProblemConfig", "Settings"]

GALLERY = "gallery:"
"""What the model of a ready problem starts with."""

ORDER = ("seed", "device", "problem", "simulate", "train", "sample", "mcmc")
"""The sections of a file in the order in which they are written."""


class ProblemConfig(Section):
    """What is asked: the model, the prior over its parameters, and what was observed."""

    model: str | dict[str, Any] = Field(
        description="`file.py:function` (relative to this file), `package.module:function`, "
        "`gallery:name`, or a description (below)",
    )
    prior: dict[str, Any] | None = Field(
        default=None,
        description="a law for each parameter, or one joint law; a gallery problem has its own",
    )
    observations: dict[str, Any] | list[Any] | str | None = Field(
        default=None,
        description="a law, laws by output name, a joint law, a .csv or .npy path, or a list of "
        "rows; a gallery problem has its own",
    )
    outputs: list[str] | None = Field(
        default=None, description="names of the outputs; those of the observations where left out"
    )
    vectorized: bool | None = Field(
        default=None,
        description="false for a model of one parameter vector at a time; true where left out",
    )
    stochastic: bool | None = Field(
        default=None,
        description="true for a model with noise, `model(x, rng)`; false where left out",
    )
    question: Literal["population", "posterior"] | None = Field(
        default=None, description="population (where left out) or posterior"
    )
    noise: dict[str, Any] | None = Field(
        default=None,
        description="law of the measurement noise upon the outputs: `{normal: sd}`, "
        "`{lognormal: sigma}` or `{student_t: {df: 4, sd: 0.1}}`, each with one number or one by "
        "output name",
    )
    summary: str | None = Field(
        default=None,
        min_length=1,
        description="`file.py:function` of the model's outputs (n, R) that returns what is "
        "observed, a column (n,) for each name or (n, L)",
    )
    table: str | None = Field(
        default=None,
        min_length=1,
        description="simulations that were made elsewhere, in the place of `simulate`: a .csv, "
        ".npz or .parquet path; the model is still needed for the checks",
    )
    log_likelihood: str | None = Field(
        default=None,
        min_length=1,
        description="for a posterior, `file.py:function` of parameters (n, D) and observed rows "
        "(R, L) that returns (n,); for MCMC alone",
    )

    missing: bool | None = Field(
        default=None,
        description="true where NaN in an output, the model's or an observed one, means not "
        "observed (in a list null or .nan, in a .csv an empty cell); false where left out",
    )

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, raw: Any) -> Any:
        return canonical_model(raw)

    @field_validator("prior", mode="before")
    @classmethod
    def _prior(cls, raw: Any) -> Any:
        return None if raw is None else canonical_prior(raw)

    @field_validator("observations", mode="before")
    @classmethod
    def _observations(cls, raw: Any) -> Any:
        return None if raw is None else _restored(raw, canonical_observations(_whole(raw)))

    @field_validator("noise", mode="before")
    @classmethod
    def _noise(cls, raw: Any) -> Any:
        return None if raw is None else as_noise(raw).plain()

    @field_validator("outputs", mode="before")
    @classmethod
    def _outputs(cls, raw: Any) -> Any:
        return [raw] if isinstance(raw, str) else raw

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, raw: Any) -> Any:
        """Fill in what a gallery problem, and no other, decides by itself."""
        if not isinstance(raw, dict) or str(raw.get("model")).startswith(GALLERY):
            return raw
        usual = {
            "vectorized": takes_batches(raw.get("model")),
            "stochastic": False,
            "question": "population",
            "missing": False,
        }
        return {**raw, **{key: usual[key] for key in usual if raw.get(key) is None}}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in ("prior", "observations"):
            if getattr(self, key) is None and self.gallery is None:
                raise SettingError((key,), f"is missing; say what the {_MEANING[key]}")
        if self.summary is not None and self.gallery is not None:
            raise SettingError(("summary",), "is for a model of your own, not for the gallery's")
        if self.vectorized and isinstance(self.model, dict) and "command" in self.model:
            raise SettingError(("vectorized",), "must be false for a command: it runs row by row")
        return self

    @property
    def gallery(self) -> str | None:
        """The name of a ready problem, or None for a problem of the user's own."""
        given = self.model if isinstance(self.model, str) else ""
        return given.removeprefix(GALLERY) if given.startswith(GALLERY) else None

    @model_validator(mode="after")
    def _gaps(self) -> Self:
        """Absent values in an inline table are for whoever says so."""
        rows = self.observations if isinstance(self.observations, list) else []
        for i, row in enumerate(rows, start=1):
            if self.missing is False and any(map(_absent, row if isinstance(row, list) else [row])):
                raise SettingError(
                    ("observations",),
                    f"must be finite numbers or rows of them; got nan in row {i}; say missing: "
                    "true where it means not observed",
                )
        return self


class Settings(Section):
    """How to answer: the settings of every stage."""

    simulate: SimulateConfig = Field(
        default=SimulateConfig(), description="prior draws and model runs"
    )
    train: TrainConfig = Field(default=TrainConfig(), description="head start and adversarial game")
    sample: SampleConfig = Field(default=SampleConfig(), description="draws and their correction")
    mcmc: McmcConfig = Field(default=McmcConfig(), description="the emcee baseline")


class Config(Settings):
    """A whole configuration file."""

    seed: int = Field(default=0, ge=0, description="of everything random in the run")
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda`, `cuda:1` or `mps`")
    problem: ProblemConfig = Field(description="model, prior and observations")

    @field_validator("device")
    @classmethod
    def _device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", device):
            wanted = "must be auto, cpu, cuda, cuda:0 (or another number) or mps"
            raise SettingError((), f"{wanted}; got {short(device)}")
        return device

    @model_validator(mode="after")
    def _masks(self) -> Self:
        """Missing outputs need a network that sees the gaps."""
        if self.problem.missing:
            try:
                check_masks(self.train.embedding)
            except SettingError as error:
                raise error.under("train", "embedding") from None
        return self


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _whole(raw: Any) -> Any:
    """An inline table with zeros in the place of absent values."""
    if isinstance(raw, list | tuple):
        return [_whole(value) for value in raw]
    return 0.0 if _absent(raw) else raw


def _restored(raw: Any, canonical: Any) -> Any:
    """What was made of the whole table, with NaN where the raw one has no value."""
    if isinstance(raw, list | tuple):
        return [_restored(*pair) for pair in zip(raw, canonical, strict=True)]
    return math.nan if _absent(raw) else canonical


_MEANING = {
    "prior": "parameters are before any observation, as in {x1: {uniform: [-2, 2]}}",
    "observations": "observed outputs are: a law, a .csv or .npy path, or a list of rows",
}
