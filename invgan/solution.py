"""The noun at the end: everything that a run found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from invgan.gan import Inverse, PopulationGenerator
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.validation import Validation

__all__ = ["Solution"]


@dataclass(frozen=True, repr=False)
class Solution:
    """Everything that a run found.

    Attributes:
        problem: what was asked.
        simulations: the prior simulations.
        inverse: the trained inverse, good for further observations in the same range.
        samples: the answer: draws of the parameters, their push-forward, weights.
        raw: the generator's draws before correction.
        validation: figures, checks and verdict of the answer.
        baseline: the MCMC draws, or None where there is no baseline.
        baseline_validation: the same figures for MCMC.
        comparison: the two answers side by side.
        report: where report.html lies, or None where no folder was given.
    """

    problem: Problem
    simulations: Simulations
    inverse: Inverse | PopulationGenerator
    samples: Samples
    raw: Samples
    validation: Validation
    baseline: Samples | None
    baseline_validation: Validation | None
    comparison: dict[str, float] | None
    report: Path | None

    def __str__(self) -> str:
        """The verdict with its reasons and figures, and where the report lies."""
        report = [] if self.report is None else [f"report: {self.report}"]
        return "\n".join([str(self.validation), *report])

    def __repr__(self) -> str:
        names = ", ".join(self.samples.names[:6]) + (", ..." if len(self.samples.names) > 6 else "")
        return f"Solution({self.validation.verdict!r}, {len(self.samples)} draws of {names})"
