"""The command line: read a configuration, call the pipeline, print what came out.

Exit codes: 0 solved and consistent; 2 something in the input is not usable; 3 solved, but the
answer is not consistent with the observations; 130 stopped by Ctrl-C, 143 by SIGTERM. Heavy
packages are imported inside the commands, so that ``invgan --help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from invgan.cli.screen import answering, duration, exit_code, kept, progress
from invgan.cli.sweep import sweep
from invgan.errors import InputError

if TYPE_CHECKING:
    from invgan.config import Config
    from invgan.pipeline import Run
    from invgan.problem import Problem
    from invgan.samples import Samples, Simulations

__all__ = ["main"]

_MOST_NAMES = 16


class _InOrder(click.Group):
    """Commands listed in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="invgan")
def main() -> None:
    """Which parameters of my model explain the data that I see?

    `invgan init` writes a first configuration; `invgan solve CONFIG --out DIR` does everything.
    The other commands do one stage of it each.
    """


@dataclass(frozen=True)
class _Options:
    """What the command line says beside the configuration."""

    config: Path
    out: Path
    device: str | None
    seed: int | None
    resume: bool
    quiet: bool
    dry_run: bool
    debug: bool


def _command(act: Callable[[Run], int]) -> Callable[[Run], int]:
    """Make a command of a function that carries out a run's stages and returns an exit code."""
    name = act.__name__.strip("_")

    @main.command(name, help=act.__doc__)
    @click.argument("config", type=click.Path(path_type=Path))
    @click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
    @click.option("--device", help="auto, cpu, cuda, cuda:1 or mps; replaces the configuration's.")
    @click.option("--seed", type=click.IntRange(min=0), help="Seed; replaces the configuration's.")
    @click.option(
        "--resume/--overwrite", default=True, help="Keep finished stages (default) or redo them."
    )
    @click.option("--quiet", is_flag=True, help="No progress.")
    @click.option("--dry-run", is_flag=True, help="Check everything and write nothing.")
    @click.option("--debug", is_flag=True, help="Show where an error came from.")
    def command(**options: Any) -> None:
        chosen = _Options(**options)
        with answering(chosen.debug, None if chosen.dry_run else chosen.out):
            click.get_current_context().exit(_carry_out(name, act, chosen))

    return act


def _carry_out(stage: str, act: Callable[[Run], int], options: _Options) -> int:
    from invgan.config import (  # noqa: PLC0415
        Config,
        build_problem,
        build_simulations,
        load_config,
        plain,
        relocated,
    )

    changes = {"seed": options.seed, "device": options.device}
    given = {key: value for key, value in changes.items() if value is not None}
    config = Config(**{**dict(load_config(options.config)), **given})
    folder = options.config.parent
    problem = build_problem(config, folder, out=options.out)
    given_rows = build_simulations(config, problem, folder)
    if options.dry_run:
        return _rehearse(stage, problem, config, options, given_rows)

    from invgan.pipeline import Run  # noqa: PLC0415

    run = Run(
        problem,
        config,
        options.out,
        seed=config.seed,
        device=config.device,
        overwrite=not options.resume,
        progress=None if options.quiet else progress,
        resolved=plain(relocated(config, folder, options.out)),
        simulations=given_rows,
    )
    return act(run)


@_command
def _solve(run: Run) -> int:
    """Do everything: simulate, train, sample, mcmc, validate, report."""
    solution = run.solve()
    click.echo(str(solution.validation))
    _warn_of(solution.baseline)
    if solution.report is not None:
        click.echo(f"report: {solution.report}")
    return exit_code(solution.validation)


@_command
def _simulate(run: Run) -> int:
    """Run the model on draws of the prior."""
    simulations = run.simulate()
    failed = f", {len(simulations.failed)} failed" if len(simulations.failed) else ""
    click.echo(f"{len(simulations)} simulations{failed}")
    return 0


@_command
def _train(run: Run) -> int:
    """Train the generator on the simulations."""
    run.train()
    click.echo("the generator is trained")
    return 0


@_command
def _sample(run: Run) -> int:
    """Draw the parameters that answer the question."""
    samples = run.sample()
    click.echo(f"{len(samples)} draws of {', '.join(samples.names)}")
    return 0


@_command
def _mcmc(run: Run) -> int:
    """Run the MCMC baseline on the same problem."""
    samples = run.mcmc()
    off = "no baseline: it is switched off (mcmc.enabled), or the problem has none"
    click.echo(off if samples is None else f"{len(samples)} draws by MCMC")
    _warn_of(samples)
    return 0


def _warn_of(baseline: Samples | None) -> None:
    """Say it where a chain is not to be trusted."""
    if baseline is not None and not baseline.info["converged"]:
        click.echo(f"MCMC: {baseline.info['message']}")


@_command
def _validate(run: Run) -> int:
    """Push the draws through the model and compare with the observations."""
    validation = run.validate()
    click.echo(str(validation))
    return exit_code(validation)


@_command
def _report(run: Run) -> int:
    """Write the report of a run."""
    click.echo(f"report: {run.report()}")
    return 0


main.add_command(sweep)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def init(directory: Path, debug: bool) -> None:
    """Write a commented configuration and a model to start from."""
    with answering(debug):
        starter = resources.files("invgan") / "starter"
        names = ("config.yml", "model.py")
        for name in names:
            if (directory / name).exists():
                raise InputError(f"{directory / name} is there already; name an empty directory")
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            text = (starter / name).read_text(encoding="utf-8")
            (directory / name).write_text(text, encoding="utf-8")
            click.echo(f"wrote {directory / name}")
        click.echo(f"next: invgan solve {directory / names[0]} --out {directory / 'runs/first'}")


@main.command("gallery")
def list_gallery() -> None:
    """List the ready problems, for `problem: {model: gallery:NAME}`."""
    from invgan.gallery import PROBLEMS, get  # noqa: PLC0415

    width = max(map(len, PROBLEMS))
    for name in PROBLEMS:
        click.echo(f"gallery:{name:<{width}}  {get(name).title}")


def _rehearse(
    stage: str, problem: Problem, config: Config, options: _Options, given: Simulations | None
) -> int:
    """Run the model a few times and say what a stage would do."""
    from invgan.answers import runs_for  # noqa: PLC0415
    from invgan.gan import check_enough, choose_device  # noqa: PLC0415
    from invgan.mcmc import suitable_walkers  # noqa: PLC0415
    from invgan.simulation import check_repeatable, simulate  # noqa: PLC0415
    from invgan.stages import Work  # noqa: PLC0415

    Work(problem, config, config.device, None)
    if options.out.is_file():
        raise InputError(f"{options.out} is a file; name a folder (--out) for the run")
    if stage != "simulate":
        choose_device(config.device)
        check_enough(config.simulate.n if given is None else len(given))
    few = simulate(problem, 20, seed=config.seed, max_failures=1.0)
    check_repeatable(problem, seed=config.seed)
    seconds = few.info["seconds"]
    click.echo(f"question    {problem.question}")
    names = problem.prior.names
    more = f", ... ({len(names)})" if len(names) > _MOST_NAMES else ""
    click.echo(f"parameters  {', '.join(names[:_MOST_NAMES])}{more}")
    for name, column in zip(problem.outputs, few.y.T, strict=False):
        click.echo(
            f"output      {name}: {column.min():.4g} to {column.max():.4g} in {len(few)} runs"
        )
    if len(few.failed):
        click.echo(f"failures    {len(few.failed)} of 20 runs gave no finite output")
    runs, chain = config.simulate.n, config.mcmc
    lasting = f"{runs} runs of the model, about {duration(seconds / 20 * runs)}"
    made = f"none, {given and len(given)} rows of {config.problem.table} are there"
    click.echo(f"simulate    {lasting if given is None else made}")
    click.echo(f"train       head {config.train.head}, {config.train.steps} steps of the game")
    due = config.sample.correct and problem.question == "population" and not problem.random
    cost = ": {} runs of the model, {} at most".format(*runs_for(config.sample.n))
    click.echo(
        f"sample      {config.sample.n} draws, {f'corrected{cost}' if due else 'not corrected'}"
    )
    walk = "no"
    if chain.enabled and problem.has_density:
        walk = f"{suitable_walkers(problem, chain.walkers)} walkers, {chain.steps} steps"
    click.echo(f"mcmc        {walk}")
    there = f" (there already: {kept(options.out)})" if kept(options.out) else ""
    click.echo(f"`{stage}` would write to {options.out}{there}; nothing was written")
    return 0
