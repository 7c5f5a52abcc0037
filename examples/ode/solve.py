"""An epidemic's parameters from the pupils who were ill, in Python, beside the truth and MCMC.

    python examples/ode/solve.py --out runs/ode-script

The counts are invented (make_observations.py), so the truth is known. beta and gamma are known much
worse than their quotient, the number of pupils whom the first one infects.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from make_observations import DAYS, SIGMA, TRUTH
from model import begin, rates
from scipy import stats

import invgan as ig
from invgan.models import ode_model

HERE = Path(__file__).parent
SIZES = {
    "n": 20_000,  # simulations
    "head-steps": 4000,
    "steps": 6000,  # of the game
    "evaluations": 12,
    "draws": 5000,
    "mcmc-steps": 2000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/ode-script"))
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()

    prior = ig.Prior(
        beta=stats.lognorm(0.5, scale=np.exp(0.3)),
        gamma=stats.lognorm(0.4, scale=np.exp(-0.9)),
        infected=stats.lognorm(0.6, scale=np.exp(0.7)),
    )
    problem = ig.Problem(
        ode_model(rates, begin, DAYS, states=["S", "I", "R"], observe=["I"]),
        prior,
        HERE / "observations.csv",
        question="posterior",
        noise={"lognormal": SIGMA},
    )
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
    print("truth, and 5, 50 and 95 % quantiles:")
    clouds = {"prior": solution.simulations.x, "answer": solution.samples.x}
    if solution.baseline is not None:
        clouds["MCMC"] = solution.baseline.x
    for name, of in {
        **{name: lambda x, j=j: x[:, j] for j, name in enumerate(prior.names)},
        "beta/gamma": lambda x: x[:, 0] / x[:, 1],
    }.items():
        for label, x in clouds.items():
            low, middle, high = np.quantile(of(x), [0.05, 0.5, 0.95])
            truth = of(TRUTH[None])[0]
            print(f"  {name:<11} {truth:6.2f}  {label:<7} {low:8.3f} {middle:8.3f} {high:8.3f}")


if __name__ == "__main__":
    main()
