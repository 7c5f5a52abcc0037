"""A program as a model, in Python, and the answer beside the truth.

    python examples/external/solve.py --out runs/external-script

Nobody knows the parameters of real days. These are invented (make_observations.py), so the last
lines show what two numbers a day can tell of three parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from make_observations import days
from scipy import stats

import invgan as ig
from invgan.models import Command

HERE = Path(__file__).parent
SIZES = {
    "n": 10_000,  # simulations
    "head-steps": 2000,
    "steps": 2000,  # of the game
    "evaluations": 12,
    "draws": 2000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/external-script"))
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()

    prior = ig.Prior(
        deoxygenation=stats.lognorm(0.4, scale=np.exp(-1.2)),
        reaeration=stats.lognorm(0.4, scale=np.exp(-0.4)),
        load=stats.lognorm(0.4, scale=np.exp(2.3)),
    )
    program = Command(
        ["awk", "-f", "{here}/sag.awk", "input.txt"],
        prior.names,
        {"stdout": "names"},
        template={"input.txt": "input.txt.j2"},
        timeout=10,
        keep=args.out / "failed-runs",
        here=HERE,
    )
    print(f"one run: {program(np.array([0.3, 0.7, 10.0]))}")
    problem = ig.Problem(program, prior, HERE / "observations.csv", vectorized=False)
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=args.n),
        train=ig.TrainConfig(
            head_steps=args.head_steps, steps=args.steps, evaluations=args.evaluations
        ),
        sample=ig.SampleConfig(n=args.draws),
        mcmc=ig.McmcConfig(enabled=False),
    )
    solution = ig.solve(problem, args.out, settings=settings, seed=0)

    print(f"verdict: {solution.validation.verdict}", *solution.validation.reasons, sep="\n  ")
    print(f"report:  {solution.report}")
    print("5, 50 and 95 % quantiles:")
    clouds = {"prior": solution.simulations.x, "answer": solution.samples.x, "truth": days()}
    for j, name in enumerate(prior.names):
        for label, x in clouds.items():
            low, middle, high = np.quantile(x[:, j], [0.05, 0.5, 0.95])
            print(f"  {name:<16} {label:<7} {low:8.3f} {middle:8.3f} {high:8.3f}")


if __name__ == "__main__":
    main()
