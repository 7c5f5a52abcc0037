"""The order of the stages, and the only room that knows it.

    simulate -> train -> sample -> (mcmc) -> validate -> report

Each stage is taken from memory, else from the run folder, else computed into it, so that a run
that was stopped goes on where it was and nothing finished is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from invgan.arguments import check_kinds
from invgan.config import Settings, plain
from invgan.errors import InputError
from invgan.fingerprints import fingerprints
from invgan.folder import Folder, Verdicts
from invgan.gan import Inverse, PopulationGenerator, check_enough, choose_device
from invgan.models.identity import while_working
from invgan.predictability import check_predictability
from invgan.problem import Problem
from invgan.report import Findings, write_report
from invgan.samples import Samples, Simulations
from invgan.solution import Solution
from invgan.stages import ProgressFactory, Work, seconds_of, stage_seeds
from invgan.validation import Validation

__all__ = ["Run", "solve"]


def solve(
    problem: Problem,
    out: str | Path | None = None,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressFactory | None = None,
    simulations: Simulations | None = None,
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
        progress: called with a stage's title; gives a context with a (done, total) callback. One
            that has a method ``tell`` is given a few words on how training stands as well.
        simulations: that were made elsewhere (`load_table`, `apply_summary`), in the place of the
            first stage; they are held against the model where it has no noise of its own.

    Returns:
        The answer, its validation and verdict, and the baseline beside it.

    Raises:
        ModelError: the model raised or did not return its outputs.
        OutsideError: no parameter of the prior explains the observations.
        InputError: something else in the input is not usable.
    """
    check_kinds(problem=(problem, Problem), out=(out, str | Path | None))
    run = Run(
        problem,
        settings or Settings(),
        None if out is None else Path(out),
        seed=seed,
        device=device,
        overwrite=overwrite,
        progress=progress,
        simulations=simulations,
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
        simulations: that were made elsewhere, in the place of the first stage.

    Raises:
        InputError: out is a file.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        out: str | Path | None,
        *,
        seed: int = 0,
        device: str = "auto",
        overwrite: bool = False,
        progress: ProgressFactory | None = None,
        resolved: Mapping[str, Any] | None = None,
        simulations: Simulations | None = None,
    ) -> None:
        check_kinds(
            problem=(problem, Problem), settings=(settings, Settings),
            simulations=(simulations, Simulations | None),
        )  # fmt: skip
        if problem.execution is None:
            problem = problem.on(settings.simulate.execution)
        self.problem, self.settings = problem, settings
        self._overwrite = overwrite
        self._work = Work(problem, settings, device, progress)
        self._seeds = stage_seeds(seed)
        self._resolved = dict(resolved or {"seed": seed, "device": device, **plain(settings)})
        keys = fingerprints(problem, settings, seed, simulations)
        # A model may change the working directory.
        where = None if out is None else Path(out).absolute()
        self._folder = Folder(where, keys, device, self._resolved)
        self._done: dict[str, Any] = {}
        self._given = simulations

    @while_working
    def simulate(self) -> Simulations:
        """Prior simulations."""
        return cast(Simulations, self._stage("simulate", self._simulate))

    @while_working
    def train(self) -> Inverse | PopulationGenerator:
        """The trained inverse; refuses observations that the simulations cannot explain."""
        return cast("Inverse | PopulationGenerator", self._stage("train", self._train))

    @while_working
    def sample(self) -> Samples:
        """The answer: the generator's draws, pushed through the model and corrected."""
        return cast(tuple[Samples, Samples], self._stage("sample", self._sample))[0]

    @while_working
    def mcmc(self) -> Samples | None:
        """The baseline; None where it is switched off or the answer's density is not known."""
        if not self._work.has_baseline:
            return None
        return cast(Samples, self._stage("mcmc", self._mcmc))

    @while_working
    def validate(self) -> Validation:
        """The verdict on the answer."""
        return cast(Verdicts, self._stage("validate", self._validate))[0]["answer"]

    @while_working
    def report(self) -> Path:
        """Write the report of what the other stages found.

        Raises:
            InputError: the run has no folder, or an earlier stage has not been run.
        """
        if self._folder.path is None:
            raise InputError("a report needs a folder: give out, as in solve(problem, 'runs/one')")
        return write_report(self._findings(), self._folder.path)

    @while_working
    def solve(self) -> Solution:
        """All stages, each taken up where it is finished.

        Raises:
            InputError: the folder holds what another problem, seed or setting made; it is left as
                it is.
        """
        choose_device(self._work.device)
        if self._given is None:
            check_enough(self.settings.simulate.n)
        if not self._overwrite:
            self._found("train")
            self._found("sample")
            self._baseline()
            self._found("validate")
        self.simulate()
        self.train()
        self.sample()
        self.mcmc()
        self.validate()
        found = self._findings()
        return Solution(
            problem=self.problem,
            simulations=self.simulate(),
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
        self._folder.open()
        if self._overwrite:
            self._folder.forget_from("simulate")
        seed, key = self._seeds["simulate"], self._folder.key("simulate")
        if self._given is not None:
            return self._work.take(self._given, seed)
        if self.settings.simulate.rounds > 1:
            return self._work.simulate_rounds(seed, self._folder.rounds, key)
        return self._stored()

    def _stored(self) -> Simulations:
        """Simulations from the folder's store, which is filled as far as it is not.

        Those that something rests on already stay as they are.
        """
        retry = not any(self._folder.has(stage) for stage in ("train", "mcmc"))
        made = self._work.simulate(self._seeds["simulate"], self._folder.store, retry=retry)
        self._folder.account(made)
        return made

    def _train(self) -> Inverse | PopulationGenerator:
        simulations = self._before("simulate")
        if self.settings.simulate.rounds == 1:
            check_predictability(self.problem, simulations, seed=self._seeds["validate"])
        if self._overwrite:
            self._folder.forget_from("train")
        return self._work.train(simulations, self._seeds["train"], self._folder.checkpoint)

    def _sample(self) -> tuple[Samples, Samples]:
        inverse, simulations = self._before("train"), self._before("simulate")
        if self._overwrite:
            self._folder.forget_from("sample")
        seeds = self._seeds["sample"], self._seeds["correct"]
        return self._work.sample(simulations, inverse, *seeds, self._folder.draws)

    def _mcmc(self) -> Samples:
        simulations = self._before("simulate")
        if self._overwrite:
            self._folder.forget_from("mcmc")
        return self._work.mcmc(simulations, self._seeds["mcmc"], self._folder.chain)

    def _validate(self) -> Verdicts:
        simulations, inverse = self._before("simulate"), self._before("train")
        made = simulations, inverse, *self._before("sample"), self._baseline()
        return self._work.validate(*made, seed=self._seeds["validate"])

    def _findings(self) -> Findings:
        simulations, inverse = self._before("simulate"), self._before("train")
        (answer, raw), baseline = self._before("sample"), self._baseline()
        validations, comparison = self._before("validate")
        return Findings(
            problem=self.problem,
            simulations=simulations.few(),
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
            seconds=seconds_of(simulations, inverse, answer, raw, baseline, validations["answer"]),
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
            if name == "simulate" and self._in_store:
                found = self._stored()
            if found is None:
                return None
            self._done[name] = found
        return self._done[name]

    def _baseline(self) -> Samples | None:
        """The baseline where there is to be one and it has been made."""
        return cast(Samples, self._found("mcmc")) if self._work.has_baseline else None

    @property
    def _in_store(self) -> bool:
        """Whether the simulations are of one round of our own, and finished."""
        wanted = self.settings.simulate
        return self._given is None and wanted.rounds == 1 and self._folder.holds(wanted.n)

    def _before(self, name: str) -> Any:
        """The result of a stage that must have been run."""
        found = self._found(name)
        if found is None:
            raise InputError(
                f"this needs the stage before: run `invgan {name}` on this folder first"
            )
        return found
