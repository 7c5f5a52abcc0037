"""A slow model on the workers of a cluster, in Python, and the answer beside the truth.

    python examples/cluster/solve.py --out runs/cluster-script
    python examples/cluster/solve.py --workers dask:tcp://host:8786 --out runs/cluster-script

Workers get the model by the name of its module, so they must be able to import it: on another
machine this folder must be there too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from make_observations import TRUTH
from model import counts
from scipy import stats

import invgan as ig

HERE = Path(__file__).parent
SIZES = {
    "n": 20_000,  # simulations
    "head-steps": 2000,
    "steps": 2000,  # of the game
    "evaluations": 12,
    "draws": 2000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/cluster-script"))
    parser.add_argument("--workers", default="dask:local", help="or dask:tcp://host:port")
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()

    prior = ig.Prior(
        production=stats.lognorm(0.6, scale=np.exp(1.2)),
        decay=stats.lognorm(0.6, scale=np.exp(-2.3)),
    )
    problem = ig.Problem(
        counts,
        prior,
        HERE / "observations.csv",
        vectorized=False,
        stochastic=True,
        question="posterior",
    )
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=args.n, workers=args.workers, timeout=30),
        train=ig.TrainConfig(
            head_steps=args.head_steps,
            steps=args.steps,
            evaluations=args.evaluations,
            members=1,
        ),
        sample=ig.SampleConfig(n=args.draws),
        mcmc=ig.McmcConfig(enabled=False),
    )
    solution = ig.solve(problem, args.out, settings=settings, seed=0)

    print(f"verdict: {solution.validation.verdict}", *solution.validation.reasons, sep="\n  ")
    print(f"report:  {solution.report}")
    print("truth, and 5, 50 and 95 % quantiles:")
    for j, name in enumerate(prior.names):
        for label, x in {"prior": solution.simulations.x, "answer": solution.samples.x}.items():
            low, middle, high = np.quantile(x[:, j], [0.05, 0.5, 0.95])
            print(f"  {name:<11} {TRUTH[j]:6.2f}  {label:<7} {low:8.3f} {middle:8.3f} {high:8.3f}")


# Workers import this file anew, and must not start a run of their own.
if __name__ == "__main__":
    main()
