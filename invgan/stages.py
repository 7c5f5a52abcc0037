"""What each stage does, whatever road the problem and the settings ask for.

simulate (in rounds) -> train -> sample, correct or iterate -> (mcmc) -> validate
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from invgan.answers import corrected_draws
from invgan.arguments import seeds_from
from invgan.checks import beside, compare, validate
from invgan.config import Settings
from invgan.correction import correct, push_forward
from invgan.errors import InputError
from invgan.folder import Verdicts
from invgan.gan import (
    Inverse,
    PopulationGenerator,
    RganConfig,
    check_training,
    sample,
    train,
    train_rgan,
)
from invgan.health import standing
from invgan.mcmc import run_mcmc, suitable_walkers
from invgan.mixing import iterate
from invgan.models import held_against
from invgan.problem import Problem
from invgan.rounds import Confined, confined, learnable, sample_inside, simulate_rounds
from invgan.samples import Samples, Simulations
from invgan.settings import TrainConfig
from invgan.simulation import check_repeatable, measure, run_model, runs_to_repeat, simulate
from invgan.truncation import Truncated
from invgan.validation import Validation

__all__ = ["ProgressFactory", "Work", "evidence", "seconds_of", "stage_seeds"]

Advance = Callable[[int, int], None]
ProgressFactory = Callable[[str], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class Work:
    """How the stages of one run are done; the stages' results are handed in and out.

    Attributes:
        problem: what is asked.
        settings: of all stages.
        device: where to train and draw.
        progress: called with a stage's title; gives a context with a (done, total) callback. One
            that has a method ``tell`` is given a few words on how training stands, and on how many
            draws a check has made, as well.

    Raises:
        InputError: the settings of the training or the baseline do not suit the problem, or the
            regularised generator is asked to learn from rounds.
    """

    problem: Problem
    settings: Settings
    device: str
    progress: ProgressFactory | None

    def __post_init__(self) -> None:
        if self.settings.train.method == "rgan" and self.settings.simulate.rounds > 1:
            raise InputError(
                "the regularised generator holds to the whole prior, and rounds cut it; got "
                f"train.method rgan with simulate.rounds {self.settings.simulate.rounds}: set "
                "simulate.rounds to 1, or train.method to cgan"
            )
        check_training(self.problem, self.settings.train)
        if self.settings.train.method == "rgan":
            _ = self.regularised
        if self.has_baseline:
            suitable_walkers(self.problem, self.settings.mcmc.walkers)

    @property
    def has_baseline(self) -> bool:
        """Whether MCMC is wanted, and the answer's density can be stated."""
        return self.settings.mcmc.enabled and self.problem.has_density

    def simulate(self, seed: int, store: Path | None, *, retry: bool = True) -> Simulations:
        """Simulations of the prior; those that the store holds already are not made again.

        Args:
            seed: of draws and noise.
            store: where they go as they come.
            retry: whether rows that ran out of a shorter time are run again.
        """
        chosen = self.settings.simulate
        self._try_model(seed, store)
        with self._bar("simulate") as advance:
            made = simulate(
                self.problem, chosen.n, seed=seed, chunk=chosen.chunk,
                max_failures=chosen.max_failures, design=chosen.design, store=store,
                memory=chosen.memory, retry=retry, progress=advance,
            )  # fmt: skip
        return self._counted(made)

    def _try_model(self, seed: int, place: Path | None) -> None:
        """Refuse hidden noise, unless simulations lie there already."""
        if place is None or not place.exists():
            check_repeatable(self.problem, seed=seed)

    def _counted(self, made: Simulations) -> Simulations:
        """With the runs that tried the model, in this sitting or an earlier one."""
        runs = made.info["model_evaluations"] + runs_to_repeat(self.problem)
        return replace(made, info={**made.info, "model_evaluations": runs})

    def take(self, given: Simulations, seed: int) -> Simulations:
        """Simulations that were made elsewhere, as they would be observed.

        Those of a table hold the model's own outputs, to which the noise of the measurement is
        added. Where the model is deterministic a few of them are run again.
        """
        problem, raw = self.problem, "table" in given.info
        if problem.stochastic and problem.repeats > 1:
            raise InputError(
                f"{problem.repeats} repeats of a model with noise of its own need as many runs of "
                "each row, which no table has: let the model be simulated"
            )
        own = not problem.stochastic and (raw or problem.noise is None)
        if own:
            held_against(given, lambda x: run_model(problem, x))
        info = {**given.info, "held_against": 20 if own else 0}
        if not own or problem.noise is None:
            return replace(given, info=info)
        return replace(given, y=measure(problem, given.y, seed=seed), own=given.y, info=info)

    def simulate_rounds(self, seed: int, folder: Path | None, fingerprint: str) -> Simulations:
        """Simulations in rounds, which are kept in a folder as they are done."""
        chosen = self.settings.simulate
        self._try_model(seed, folder)
        made = simulate_rounds(
            self.problem, chosen, self.settings.train, seed=seed, device=self.device,
            store=folder, fingerprint=fingerprint, bar=self._bar,
        )  # fmt: skip
        return self._counted(made)

    def train(
        self, simulations: Simulations, seed: int, checkpoint: Path | None
    ) -> Inverse | PopulationGenerator:
        """The inverse, or for the method r-GAN the generator of the population."""
        chosen = self.settings.train
        with self._bar("train") as advance:
            if chosen.method == "rgan":
                return train_rgan(
                    confined(self.problem, simulations), simulations, self.regularised,
                    seed=seed, device=self.device, checkpoint=checkpoint, progress=advance,
                )  # fmt: skip
            return train(
                *learnable(self.problem, simulations), chosen, seed=seed, device=self.device,
                checkpoint=checkpoint, progress=advance, watch=_telling(advance, standing),
            )  # fmt: skip

    def sample(
        self,
        simulations: Simulations,
        inverse: Inverse | PopulationGenerator,
        seed: int,
        correct_seed: int,
        scratch: Path | None = None,
    ) -> tuple[Samples, Samples]:
        """The answer and, before correction or iteration, the generator's draws.

        Outputs of the model are kept in the scratch folder as they come, which the caller removes.
        """
        here, n = confined(self.problem, simulations), self.settings.sample.n
        with self._bar("sample") as advance:
            if self._correcting:
                return corrected_draws(
                    here, partial(_drawn, here, inverse),
                    lambda raw, seed: correct(here, raw, n, simulations=simulations, seed=seed), n,
                    seeds=(seed, correct_seed), scratch=scratch, progress=advance,
                )  # fmt: skip
            drawn = _drawn(here, inverse, n, seed)
            raw = push_forward(here, drawn, seed=seed, scratch=scratch, progress=advance)
            if here.question == "population" and here.random and isinstance(inverse, Inverse):
                drawer = Confined(inverse, here.prior)
                return iterate(here, drawer, n, seed=seed, scratch=scratch, progress=advance), raw
            return raw, raw

    def mcmc(self, simulations: Simulations, seed: int, checkpoint: Path | None) -> Samples:
        """The baseline."""
        chosen = self.settings.mcmc
        with self._bar("mcmc") as advance:
            return run_mcmc(
                confined(self.problem, simulations), simulations, self.settings.sample.n,
                walkers=chosen.walkers, steps=chosen.steps, seed=seed, checkpoint=checkpoint,
                progress=advance,
            )  # fmt: skip

    def validate(
        self,
        simulations: Simulations,
        inverse: Inverse | PopulationGenerator,
        answer: Samples,
        raw: Samples,
        baseline: Samples | None,
        *,
        seed: int,
    ) -> Verdicts:
        """The verdicts on the answer and what stands beside it."""
        here, comparison = confined(self.problem, simulations), None
        with self._bar("validate") as advance:
            known = evidence(inverse, here, _telling(advance, _drawing))
            found = {"answer": validate(here, answer, simulations=simulations, seed=seed, **known)}
            advance(1, 3)
            if here.question == "population":
                found["raw"] = validate(here, raw, seed=seed)
            advance(2, 3)
            if baseline is not None:
                found["mcmc"] = validate(here, baseline, seed=seed)
                comparison = compare(answer, baseline, seed=seed)
                found["answer"] = beside(found["answer"], found["mcmc"], comparison)
            advance(3, 3)
        return found, comparison

    @property
    def _correcting(self) -> bool:
        """Whether draws will be weighed by their outputs."""
        population = self.problem.question == "population"
        return self.settings.sample.correct and population and not self.problem.random

    @property
    def regularised(self) -> RganConfig:
        """The settings of the regularised generator among those of training.

        It has a learning rate and steps of a surrogate of its own, where nobody chose others.
        """
        chosen, usual = self.settings.train, TrainConfig()
        names = ("steps", "batch_size", "hidden", "layers", "gamma", "averaging", "evaluations",
                 "patience")  # fmt: skip
        given = {name: getattr(chosen, name) for name in names}
        if chosen.learning_rate != usual.learning_rate:
            given["learning_rate"] = chosen.learning_rate
        if chosen.head_steps is not None:
            given["surrogate_steps"] = chosen.head_steps
        found = RganConfig(**given)
        return found.to_be_corrected() if self._correcting else found

    def _bar(self, title: str) -> AbstractContextManager[Advance]:
        if self.progress is None:
            return nullcontext(lambda done, total: None)
        return self.progress(title)


def _telling(advance: Advance, words: Callable[..., str]) -> Callable[..., None] | None:
    """Puts what it is called with into words, for a bar that can show more than a count."""
    tell = getattr(advance, "tell", None)
    return None if tell is None else lambda *found: tell(words(*found))


def _drawing(done: int, total: int) -> str:
    """How many of the draws that a check asks for are done."""
    return "" if done == total else f"{done:,} of {total:,} draws"


def _drawn(problem: Problem, inverse: Inverse | PopulationGenerator, n: int, seed: int) -> Samples:
    """The generator's own draws."""
    if isinstance(inverse, PopulationGenerator):
        return inverse.sample(n, seed=seed)
    if isinstance(problem.prior, Truncated):
        return sample_inside(problem, inverse, n, seed=seed)
    return sample(inverse, problem.observations, n, seed=seed)


def stage_seeds(seed: int) -> dict[str, int]:
    """The seeds of the stages of a run with this seed, as a run of `invgan solve` has them."""
    names = ("simulate", "train", "sample", "correct", "mcmc", "validate")
    return dict(zip(names, seeds_from(seed, len(names)), strict=True))


def evidence(
    inverse: Inverse | PopulationGenerator, problem: Problem, progress: Advance | None = None
) -> dict[str, Any]:
    """What validation may ask of an inverse; nothing of a generator of the population itself.

    Args:
        inverse: what was trained.
        problem: with the prior that it was trained under.
        progress: called with (rows done, total) of each set of draws.
    """
    if isinstance(inverse, PopulationGenerator):
        return {}
    drawer = Confined(inverse, problem.prior, progress)
    members = [Confined(member, problem.prior, progress) for member in inverse.each]
    structured = inverse.config.embedding.kind != "none"
    return {
        "inverse": drawer,
        "log_prob": inverse.log_prob_of_heads if inverse.has_density else None,
        "members": members if len(members) > 1 else (),
        "embed": inverse.embed if structured else None,
        "residuals": inverse.residuals if inverse.rests_on_likelihood else None,
        "doubts": inverse.doubts,
    }


def seconds_of(
    simulations: Simulations,
    inverse: Inverse | PopulationGenerator,
    answer: Samples,
    raw: Samples,
    baseline: Samples | None,
    validation: Validation,
) -> dict[str, float]:
    """Wall seconds of each stage; an answer's count its sampling too."""
    infos = {"simulate": simulations.info, "train": inverse.info, "sample": raw.info}
    if answer is not raw and "effective_share" in answer.info:
        infos["correct"] = answer.info
    if baseline is not None:
        infos["mcmc"] = baseline.info
    infos["validate"] = validation.info
    seconds = {name: float(info.get("seconds", 0)) for name, info in infos.items()}
    if "correct" in seconds and answer.info.get("method") != "cgan-iterated":
        seconds["correct"] -= seconds["sample"]
    return seconds
