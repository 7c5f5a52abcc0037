"""Settings of the stages around training: simulations, draws, the baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from invgan.errors import InputError
from invgan.execution import Execution
from invgan.settings.section import Section, SettingError, short

__all__ = ["McmcConfig", "SampleConfig", "SimulateConfig"]


class SimulateConfig(Section):
    """Prior draws and model runs."""

    n: int = Field(default=100_000, ge=20, description="number of prior simulations")
    chunk: int = Field(default=8192, ge=1, description="rows handed to the model at once")
    max_failures: float = Field(
        default=0.05, ge=0, le=1, description="share of simulations that may fail"
    )
    rounds: int = Field(
        default=1,
        ge=1,
        description="rounds that n is spent in, each but the first drawn where the answer can be",
    )
    miss: float = Field(
        default=1e-3, gt=0, lt=0.1, description="share of the answer that a round may cut off"
    )
    memory: float = Field(
        default=2.0,
        ge=0,
        description="GB of simulations that are held in memory; more stay on the disk, where "
        "training reads them",
    )
    design: Literal["random", "sobol"] = Field(
        default="random",
        description="independent draws, or Sobol points, which fill independent laws evenly",
    )
    workers: str = Field(
        default="serial",
        description="where the model runs, in every stage: serial, process:N, dask:local, "
        "dask:tcp://host:port",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="seconds that one call of the model may take; a row that takes longer has "
        "failed",
    )
    retries: int = Field(
        default=2, ge=0, description="how often rows are tried again whose worker died"
    )

    @field_validator("workers")
    @classmethod
    def _known_workers(cls, value: str) -> str:
        try:
            Execution(value)
        except InputError:
            raise SettingError(
                (), f"must be serial, process:N, dask:local or dask:tcp://...; got {short(value)}"
            ) from None
        return value

    @property
    def execution(self) -> Execution | None:
        """How the rows of the model are run; None for the plainest way."""
        found = Execution(self.workers, self.timeout, self.retries)
        return None if found == Execution() else found


class SampleConfig(Section):
    """Draws for the observations, and their correction."""

    n: int = Field(default=20_000, ge=20, description="number of parameter draws in the answer")
    correct: bool = Field(
        default=True,
        description="re-weight the draws to fit the data, and the prior given their outputs",
    )


class McmcConfig(Section):
    """The emcee baseline."""

    enabled: bool = Field(default=True, description="run the baseline beside the generator")
    walkers: int | None = Field(
        default=None,
        ge=4,
        description="walkers of the ensemble, an even number; where left out 64, or as many as the "
        "free parameters need, two more than twice their number",
    )
    steps: int = Field(default=5000, ge=10, description="steps of each walker")
