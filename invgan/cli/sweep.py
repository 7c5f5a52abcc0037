"""`invgan sweep`: many trainings on the same simulations, and which settings did best."""

from __future__ import annotations

import functools
import json
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from invgan.cli.screen import answering, progress
from invgan.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from invgan.config import Config
    from invgan.problem import Problem
    from invgan.samples import Simulations
    from invgan.study import Study, SweepPlan

__all__ = ["sweep"]

_EXACT_ROWS = 5_000


@dataclass(frozen=True)
class _Options:
    """What the command line says beside the two files."""

    config: Path
    plan: Path
    out: Path
    workers: int
    device: str | None
    seed: int | None
    quiet: bool
    dry_run: bool
    debug: bool


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the sweep.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, help="Runs at once, a process each."
)
@click.option("--device", help="auto, cpu, cuda, cuda:1 or mps; replaces the configuration's.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed; replaces the configuration's.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--dry-run", is_flag=True, help="Check everything and write nothing.")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def sweep(**options: Any) -> None:
    """Try many settings on the same simulations.

    PLAN is a YAML file that says which settings vary; docs/hyperparameters.md describes it. A
    sweep that was stopped goes on where it was.
    """
    chosen = _Options(**options)
    with answering(chosen.debug, None if chosen.dry_run else chosen.out, "the same command"):
        _carry_out(chosen)


def _carry_out(options: _Options) -> None:
    from invgan.config import (  # noqa: PLC0415
        Config,
        build_simulations,
        load_config,
        plain,
        relocated,
    )
    from invgan.study import load_plan, processes  # noqa: PLC0415
    from invgan.study import sweep as study_of  # noqa: PLC0415

    changes = {"seed": options.seed, "device": options.device}
    given = {key: value for key, value in changes.items() if value is not None}
    config = Config(**{**dict(load_config(options.config)), **given})
    plan, folder = load_plan(options.plan), options.config.parent
    text = json.dumps(plain(config))
    problem = _problem(text, str(folder))
    exact = _exact(config)
    rows = build_simulations(config, problem, folder)
    if options.dry_run:
        _rehearse(problem, config, plan, options, rows, exact=exact is not None)
        return
    alone: AbstractContextManager[Executor | None] = nullcontext()
    with processes(options.workers) if options.workers > 1 else alone as executor:
        study = study_of(
            problem,
            config,
            plan,
            options.out,
            simulations=rows,
            executor=executor,
            exact=exact,
            rebuild=functools.partial(_problem, text, str(folder)),
            seed=config.seed,
            device=config.device,
            progress=None if options.quiet else progress,
            resolved=plain(relocated(config, folder, options.out)),
        )
    _show(study, options.out)


# A worker builds the problem once for all of its runs; some ready problems cannot be pickled.
@functools.lru_cache(maxsize=1)
def _problem(text: str, folder: str) -> Problem:
    from invgan.config import Config, build_problem  # noqa: PLC0415

    return build_problem(Config(**json.loads(text)), folder)


def _exact(config: Config) -> NDArray[np.float64] | None:
    """Exact draws of the answer, for a problem of the gallery as it stands there."""
    from invgan.gallery import get  # noqa: PLC0415

    given = config.problem
    own = {key for key, value in dict(given).items() if value is not None} - {"model"}
    if given.gallery is None or own:
        return None
    ready = get(given.gallery)
    known = ready.exact is not None and ready.known == "answer"
    return ready.exact(_EXACT_ROWS, config.seed) if known and ready.exact else None


def _rehearse(
    problem: Problem,
    config: Config,
    plan: SweepPlan,
    options: _Options,
    given: Simulations | None,
    *,
    exact: bool,
) -> None:
    """Say what the sweep would do."""
    from invgan.study import rehearse  # noqa: PLC0415

    settings, runs = rehearse(problem, config, plan, exact=exact, seed=config.seed)
    most = "" if plan.method == "grid" else " at most"
    click.echo(f"varies      {', '.join(plan.vary)}")
    click.echo(f"settings    {settings}{most}, by {plan.method}")
    click.echo(f"runs        {runs}{most}, {options.workers} at once")
    made = f"{config.simulate.n} runs of the model"
    there = f"none, {given and len(given)} rows of {config.problem.table} are"
    click.echo(f"simulate    {made if given is None else there}, shared by all")
    click.echo(f"best        smallest {plan.score}")
    click.echo(f"`sweep` would write to {options.out}; nothing was written")


def _show(study: Study, out: Path) -> None:
    from invgan.study import said  # noqa: PLC0415

    failed = f", {len(study.failed)} failed" if study.failed else ""
    click.echo(f"{len(study.rows)} runs of {len(study.tried)} settings{failed}")
    if study.best is None:
        there = ", ".join(study.scores)
        first = next((f" (first: {row.failure})" for row in study.failed), "")
        others = f"; they gave {there}, of which a plan may name another score" if there else ""
        raise InputError(
            f"no run gave the figure {study.plan.score}{first}{others}; the rows are in "
            f"{out / 'table.csv'}"
        )
    click.echo(f"best: {said(study.best.settings)}")
    click.echo(f"  {study.plan.score} {study.best.score:.4g}")
    click.echo(f"best setting: {out / 'best.yml'}")
    click.echo(f"summary: {out / 'summary.md'}")
