"""The order of the stages, and the only room that knows it.

    simulate (in rounds) -> train -> sample, correct or iterate -> (mcmc) -> validate -> report

Each stage is taken from memory, else from the run folder, else computed into it, so that a run
that was stopped goes on where it was and nothing finished is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np

from invgan.checks import compare, validate
from invgan.config import Settings, plain
from invgan.correction import correct, push_forward
from invgan.errors import CorrectionError, InputError
from invgan.folder import Folder, Verdicts, fingerprints
from invgan.gan import Inverse, PopulationGenerator, RganConfig, sample, train, train_rgan
from invgan.mcmc import run_mcmc
from invgan.mixing import iterate
from invgan.predictability import check_predictability
from invgan.problem import Problem
from invgan.report import Findings, write_report
from invgan.rounds import Confined, confined, sample_inside, simulate_rounds
from invgan.samples import Samples, Simulations
from invgan.settings import TrainConfig
from invgan.simulation import simulate
from invgan.solution import Solution
from invgan.truncation import Truncated
from invgan.validation import Validation

__all__ = ["Run", "solve"]

Advance = Callable[[int, int], None]
ProgressFactory = Callable[[str], AbstractContextManager[Advance]]

_SPARE = 1.5


def solve(
    problem: Problem,
    out: str | Path | None = None,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressFactory | None = None,
) -> Solution:
    """Answer a problem: simulate, train, sample, correct, run MCMC, validate, report.

    Args:
        problem: model, prior, observations and question.
        out: the run folder; a run that was stopped there goes on. Without one nothing is written.

    Other Args:
        settings: of all stages; the defaults are one set for all problems.
        seed: of everything random.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        overwrite: redo the stages that the folder holds already.
        progress: called with a stage's title; gives a context with a (done, total) callback.

    Returns:
        The answer, its validation and verdict, and the baseline beside it.

    Raises:
        ModelError: the model raised or did not return its outputs.
        OutsideError: no parameter of the prior explains the observations.
        InputError: something else in the input is not usable.
    """
    run = Run(
        problem,
        settings or Settings(),
        None if out is None else Path(out),
        seed=seed,
        device=device,
        overwrite=overwrite,
        progress=progress,
    )
    return run.solve()


class Run:
    """One run.

    Args:
        problem: what is asked.
        settings: of all stages.
        out: the run folder, or None to keep everything in memory.

    Other Args:
        seed: of everything random.
        device: where to train and draw.
        overwrite: redo the stages that are called for, whatever the folder holds of them.
        progress: called with a stage's title; gives a context with a (done, total) callback.
        resolved: the whole configuration as plain data, for config.yml; the settings by default.

    Raises:
        InputError: out is a file.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        out: Path | None,
        *,
        seed: int = 0,
        device: str = "auto",
        overwrite: bool = False,
        progress: ProgressFactory | None = None,
        resolved: Mapping[str, Any] | None = None,
    ) -> None:
        self.problem, self.settings = problem, settings
        self._device, self._overwrite, self._progress = device, overwrite, progress
        names = ("simulate", "train", "sample", "correct", "mcmc", "validate")
        states = np.random.SeedSequence(seed).generate_state(len(names))
        self._seeds = {name: int(state) for name, state in zip(names, states, strict=True)}
        self._folder = Folder(out, fingerprints(problem, settings, seed), device)
        self._resolved = dict(resolved or {"seed": seed, "device": device, **plain(settings)})
        self._done: dict[str, Any] = {}

    def simulate(self) -> Simulations:
        """Prior simulations."""
        return cast(Simulations, self._stage("simulate", self._simulate))

    def train(self) -> Inverse | PopulationGenerator:
        """The trained inverse; refuses observations that the simulations cannot explain."""
        return cast("Inverse | PopulationGenerator", self._stage("train", self._train))

    def sample(self) -> Samples:
        """The answer: the generator's draws, pushed through the model and corrected."""
        return cast(tuple[Samples, Samples], self._stage("sample", self._sample))[0]

    def mcmc(self) -> Samples | None:
        """The baseline; None where it is switched off or the answer's density is not known."""
        if not self.settings.mcmc.enabled or not self.problem.has_density:
            return None
        return cast(Samples, self._stage("mcmc", self._mcmc))

    def validate(self) -> Validation:
        """The verdict on the answer."""
        return cast(Verdicts, self._stage("validate", self._validate))[0]["answer"]

    def report(self) -> Path:
        """Write the report of what the other stages found.

        Raises:
            InputError: the run has no folder, or an earlier stage has not been run.
        """
        if self._folder.path is None:
            raise InputError("a report needs a folder: give out, as in solve(problem, 'runs/one')")
        return write_report(self._findings(), self._folder.path)

    def solve(self) -> Solution:
        """All stages, each taken up where it is finished."""
        self.simulate()
        self.train()
        self.sample()
        self.mcmc()
        self.validate()
        found = self._findings()
        return Solution(
            problem=self.problem,
            simulations=found.simulations,
            inverse=self.train(),
            samples=found.samples,
            raw=found.raw or found.samples,
            validation=found.validation,
            baseline=found.baseline,
            baseline_validation=found.baseline_validation,
            comparison=cast("dict[str, float] | None", found.comparison),
            report=None if self._folder.path is None else self.report(),
        )

    def _simulate(self) -> Simulations:
        self._folder.save_config(self._resolved)
        chosen, seed = self.settings.simulate, self._seeds["simulate"]
        if chosen.rounds > 1:
            if self._overwrite:
                self._folder.forget_rounds()
            return simulate_rounds(
                self.problem, chosen, self.settings.train, seed=seed, device=self._device,
                store=self._folder.rounds, fingerprint=self._folder.key("simulate"),
                bar=self._bar,
            )  # fmt: skip
        with self._bar("simulate") as advance:
            return simulate(
                self.problem, chosen.n, seed=seed, chunk=chosen.chunk,
                max_failures=chosen.max_failures, progress=advance,
            )  # fmt: skip

    def _train(self) -> Inverse | PopulationGenerator:
        simulations = self._before("simulate")
        if self.settings.simulate.rounds == 1:
            check_predictability(self.problem, simulations, seed=self._seeds["validate"])
        if self._overwrite:
            self._folder.forget_checkpoints()
        chosen, seed = self.settings.train, self._seeds["train"]
        here, checkpoint = self._confined(), self._folder.checkpoint
        with self._bar("train") as advance:
            if chosen.method == "rgan":
                return train_rgan(
                    here, simulations, _regularised(chosen), seed=seed, device=self._device,
                    checkpoint=checkpoint, progress=advance,
                )  # fmt: skip
            return train(
                here, simulations, chosen, seed=seed, device=self._device, checkpoint=checkpoint,
                progress=advance,
            )  # fmt: skip

    def _confined(self) -> Problem:
        """The problem with the prior that the simulations are draws of."""
        return confined(self.problem, self._before("simulate"))

    def _sample(self) -> tuple[Samples, Samples]:
        """The answer and, before correction or iteration, the generator's draws."""
        inverse, here, n = self._before("train"), self._confined(), self.settings.sample.n
        population, seed = here.question == "population", self._seeds["sample"]
        correcting = self.settings.sample.correct and population and not here.random
        with self._bar("sample") as advance:
            drawn = self._drawn(int(_SPARE * n) if correcting else n)
            raw = push_forward(here, drawn, seed=seed, progress=advance)
            if population and here.random and isinstance(inverse, Inverse):
                drawer = Confined(inverse, here.prior)
                return iterate(here, drawer, n, seed=seed, progress=advance), raw
            return (self._corrected(raw, n) if correcting else raw), raw

    def _drawn(self, n: int) -> Samples:
        """The generator's own draws."""
        inverse, here, seed = self._before("train"), self._confined(), self._seeds["sample"]
        if isinstance(inverse, PopulationGenerator):
            return inverse.sample(n, seed=seed)
        if isinstance(here.prior, Truncated):
            return sample_inside(here, inverse, n, seed=seed)
        return sample(inverse, here.observations, n, seed=seed)

    def _corrected(self, raw: Samples, n: int) -> Samples:
        """The corrected draws, or the raw ones with the reason why they cannot be believed."""
        try:
            return correct(self.problem, raw, n, seed=self._seeds["correct"])
        except CorrectionError as error:
            info = {**raw.info, "converged": False, "message": str(error)}
            return Samples(raw.x, raw.y, raw.weights, raw.names, raw.outputs, info)

    def _mcmc(self) -> Samples:
        chosen = self.settings.mcmc
        with self._bar("mcmc") as advance:
            return run_mcmc(
                self._confined(),
                self._before("simulate"),
                self.settings.sample.n,
                walkers=chosen.walkers,
                steps=chosen.steps,
                seed=self._seeds["mcmc"],
                progress=advance,
            )

    def _validate(self) -> Verdicts:
        here, simulations = self._confined(), self._before("simulate")
        (answer, raw), baseline = self._before("sample"), self._found("mcmc")
        seed, comparison = self._seeds["validate"], None
        with self._bar("validate") as advance:
            evidence = _evidence(self._before("train"), here)
            found = {
                "answer": validate(here, answer, simulations=simulations, seed=seed, **evidence)
            }
            advance(1, 3)
            if here.question == "population":
                found["raw"] = validate(here, raw, seed=seed)
            advance(2, 3)
            if baseline is not None:
                found["mcmc"] = validate(here, baseline, seed=seed)
                comparison = compare(answer, baseline, seed=seed)
            advance(3, 3)
        return found, comparison

    def _findings(self) -> Findings:
        simulations, inverse = self._before("simulate"), self._before("train")
        (answer, raw), baseline = self._before("sample"), self._found("mcmc")
        validations, comparison = self._before("validate")
        return Findings(
            problem=self.problem,
            simulations=simulations,
            samples=answer,
            validation=validations["answer"],
            raw=raw,
            raw_validation=validations.get("raw"),
            baseline=baseline,
            baseline_validation=validations.get("mcmc"),
            comparison=comparison,
            history=inverse.history,
            training=inverse.info,
            settings=self._resolved,
            seconds=_seconds(simulations, inverse, answer, raw, baseline, validations["answer"]),
        )

    def _stage(self, name: str, compute: Callable[[], Any]) -> Any:
        """The result of a stage that is called for."""
        if name not in self._done:
            found = None if self._overwrite else self._folder.load(name)
            if found is None:
                found = compute()
                self._folder.save(name, found)
            self._done[name] = found
        return self._done[name]

    def _found(self, name: str) -> Any:
        """The result of a stage where it has been run, else None."""
        if name not in self._done:
            found = self._folder.load(name)
            if found is None:
                return None
            self._done[name] = found
        return self._done[name]

    def _before(self, name: str) -> Any:
        """The result of a stage that must have been run."""
        found = self._found(name)
        if found is None:
            raise InputError(
                f"this needs the stage before: run `invgan {name}` on this folder first"
            )
        return found

    def _bar(self, title: str) -> AbstractContextManager[Advance]:
        if self._progress is None:
            return nullcontext(lambda done, total: None)
        return self._progress(title)


def _evidence(inverse: Inverse | PopulationGenerator, problem: Problem) -> dict[str, Any]:
    """What validation may ask of an inverse; nothing of a generator of the population itself."""
    if isinstance(inverse, PopulationGenerator):
        return {}
    drawer = Confined(inverse, problem.prior)
    structured = inverse.config.embedding.kind != "none"
    return {
        "inverse": drawer,
        "log_ratio": inverse.log_ratio if inverse.has_density else None,
        "members": inverse.each if len(inverse.members) > 1 else (),
        "embed": inverse.embed if structured else None,
    }


def _regularised(config: TrainConfig) -> RganConfig:
    """The settings of the regularised generator among those of training."""
    names = ("steps", "batch_size", "hidden", "layers", "gamma", "averaging", "evaluations",
             "patience")  # fmt: skip
    return RganConfig(**{name: getattr(config, name) for name in names})


def _seconds(
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
