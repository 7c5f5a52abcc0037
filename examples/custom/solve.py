"""The answer to the observed concentrations, in Python, set beside the truth.

    python examples/custom/solve.py --out runs/custom-script

Nobody knows the parameters of real people. These are invented (make_observations.py), so the
last lines show what 400 rows of three concentrations can tell of four parameters and what they
cannot: volume, for instance, only as far as the prior knows the bioavailability.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from make_observations import people
from model import concentrations
from scipy import stats

import invgan as ig

HERE = Path(__file__).parent
SIZES = {
    "n": 50_000,  # simulations
    "head-steps": 3000,
    "steps": 4000,  # of the game
    "evaluations": 12,
    "draws": 10_000,
    "mcmc-steps": 3000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/custom-script"))
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()

    prior = ig.Prior(
        absorption=stats.lognorm(0.5),
        volume=stats.lognorm(0.3, scale=np.exp(3.7)),
        vmax=stats.uniform(5, 45),
        bioavailability=stats.beta(6, 2),
    )
    problem = ig.Problem(concentrations, prior, HERE / "observations.csv")
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=args.n),
        train=ig.TrainConfig(
            head_steps=args.head_steps, steps=args.steps, evaluations=args.evaluations
        ),
        sample=ig.SampleConfig(n=args.draws),
        mcmc=ig.McmcConfig(walkers=32, steps=args.mcmc_steps),
    )
    solution = ig.solve(problem, args.out, settings=settings, seed=0)

    print(f"verdict: {solution.validation.verdict}", *solution.validation.reasons, sep="\n  ")
    print(f"report:  {solution.report}")
    print("5, 50 and 95 % quantiles:")
    clouds = {"prior": solution.simulations.x, "answer": solution.samples.x, "truth": people()}
    for j, name in enumerate(prior.names):
        for label, x in clouds.items():
            low, middle, high = np.quantile(x[:, j], [0.05, 0.5, 0.95])
            print(f"  {name:<16} {label:<7} {low:8.3f} {middle:8.3f} {high:8.3f}")


if __name__ == "__main__":
    main()
