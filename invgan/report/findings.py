"""The noun of the report: everything that a run found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invgan.gan.losses import LOSSES, jensen_shannon
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.validation import Validation

__all__ = ["Findings"]


@dataclass(frozen=True)
class Findings:
    """All that a run found.

    Attributes:
        problem: what was asked.
        simulations: the prior draws that were learnt from.
        samples: the answer. Its info counts the seconds and model runs of sampling and correction
            together, as `correct` leaves it.
        validation: what the model says of the answer.
        raw: the generator's draws before their correction; their info counts them alone.
        raw_validation: what the model says of these.
        baseline: MCMC's draws.
        baseline_validation: what the model says of these.
        comparison: cGAN against MCMC: figures by name, as in ``{"C2ST in x": 0.51}``.
        history: rows of the training history, as `invgan.plots.plot_history` takes them.
        training: what held-out pairs decided in training, as `Inverse.info` holds it: head,
            heads, divergence, divergence_of_head, by_parameters, kept_step, judge, members; {}
            where unknown.
        settings: the resolved configuration.
        seconds: wall seconds by stage: simulate, train, sample, correct, mcmc, validate.
    """

    problem: Problem
    simulations: Simulations
    samples: Samples
    validation: Validation
    raw: Samples | None = None
    raw_validation: Validation | None = None
    baseline: Samples | None = None
    baseline_validation: Validation | None = None
    comparison: Mapping[str, float] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def iterated(self) -> bool:
        """Whether the answer is the iterated solution of a model with noise."""
        return self.samples.info.get("method") == "cgan-iterated"

    @property
    def cut(self) -> bool:
        """Whether the simulations are draws of a prior that rounds have cut."""
        return bool(self.simulations.info.get("regions"))

    @property
    def calibration(self) -> Mapping[str, Any]:
        """Curves and sentences of the inverse's calibration; {} where it was not checked."""
        found: Mapping[str, Any] = self.validation.info.get("calibration") or {}
        return found

    @property
    def critic_divergence(self) -> float | None:
        """Jensen-Shannon divergence (nats) that the critic finds at the end; None where no V is.

        No critic finds more than there is: a lower bound, (V + log 4) / 2, where labels are whole.
        """
        settings = self.settings.get("train", {})
        losses = [row["critic_loss"] for row in self.history if "critic_loss" in row]
        times = LOSSES[settings.get("loss", "relativistic")].times
        if times is None or settings.get("real_label", 1.0) != 1 or not losses:
            return None
        last = losses[-max(1, len(losses) // 10) :]
        return jensen_shannon(times * sum(last) / len(last))

    @property
    def rounds(self) -> dict[str, list[dict[str, Any]]]:
        """The rounds of simulation, and those of the iterated solution; empty where none were."""
        return {
            "simulations": list(self.simulations.info.get("rounds", ())),
            "answer": list(self.samples.info.get("rounds", ())) if self.iterated else [],
        }

    @property
    def roads(self) -> dict[str, Samples]:
        """The draws of every road that was taken: cgan, raw (cgan before correction), mcmc."""
        roads = {"cgan": self.samples, "raw": self.raw, "mcmc": self.baseline}
        return {road: samples for road, samples in roads.items() if samples is not None}

    @property
    def validations(self) -> dict[str, Validation]:
        """The validation of every road that was judged."""
        found = {
            "cgan": self.validation,
            "raw": self.raw_validation,
            "mcmc": self.baseline_validation,
        }
        return {road: validation for road, validation in found.items() if validation is not None}
