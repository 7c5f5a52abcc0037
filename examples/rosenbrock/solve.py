"""The Rosenbrock example stage by stage, in Python, with the picture of its answer.

    python examples/rosenbrock/solve.py --out runs/rosenbrock-stages

`invgan solve` does the same from config.yml, writes a report, and takes up a run that was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from model import rosenbrock
from scipy import stats

import invgan as ig
from invgan import plots

SIZES = {
    "n": 100_000,  # simulations
    "head-steps": 4000,
    "steps": 6000,  # of the game
    "evaluations": 12,
    "draws": 20_000,
    "mcmc-steps": 5000,
}


def surface(problem: ig.Problem) -> plots.Surface:
    """The model over the whole prior, with the contours of P_Y's 5, 50 and 95 % quantiles."""
    side = np.linspace(-2, 2, 200)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    seen = problem.observations.sample(20_000, np.random.default_rng(0))
    marks = tuple(float(v) for v in np.quantile(seen, [0.05, 0.5, 0.95]))
    return plots.Surface(side, side, rosenbrock(grid).reshape(200, 200), "y", marks)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/rosenbrock-stages"))
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()

    prior = ig.Prior(x1=stats.uniform(-2, 4), x2=stats.uniform(-2, 4))
    target = stats.truncnorm(-3, 3, loc=350, scale=50)  # bounds in sd: 200 and 500
    problem = ig.Problem(rosenbrock, prior, target)

    simulations = ig.simulate(problem, args.n, seed=1)
    settings = ig.TrainConfig(
        head_steps=args.head_steps, steps=args.steps, evaluations=args.evaluations
    )
    inverse = ig.train(problem, simulations, settings, seed=2)
    raw = ig.sample(inverse, problem.observations, 3 * args.draws // 2, seed=3)
    answer = ig.correct(problem, raw, args.draws, simulations=simulations, seed=4)
    baseline = ig.run_mcmc(problem, simulations, args.draws, steps=args.mcmc_steps, seed=5)

    validation = ig.validate(problem, answer, simulations=simulations, inverse=inverse, seed=6)
    print(f"verdict: {validation.verdict}", *validation.reasons, sep="\n  ")
    print(json.dumps(ig.compare(answer, baseline, seed=7), indent=2))

    answer.save(args.out / "samples.npz")
    figure = plots.plot_figure6(
        answer.x,
        answer.y,
        problem.observations.sample(len(answer), np.random.default_rng(8)),
        problem.prior.names,
        problem.outputs,
        surface=surface(problem),
        prior_x=simulations.x,
        baseline_y=baseline.y,
    )
    plots.save_png(figure, args.out / "figure6.png")
    print(f"figure: {args.out / 'figure6.png'}")


if __name__ == "__main__":
    main()
