"""A neuron's 13 parameters from one record of its membrane potential, in Python.

    python examples/hodgkin_huxley/solve.py --out runs/hodgkin-huxley-summary
    python examples/hodgkin_huxley/solve.py --view trace --out runs/hodgkin-huxley-trace

The record is simulated, so the truth is known and stands beside the answer. Some parameters stay
as wide as the prior: the record does not tell of them. The trace, a hundred points of potential,
tells more than its nine summaries, and asks more of the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import invgan as ig
from invgan.gallery import get

VIEWS = {"summary": "hodgkin-huxley", "trace": "hodgkin-huxley-trace"}
SIZES = {
    "n": 100_000,  # simulations
    "head-steps": 4000,
    "steps": 6000,  # of the game
    "evaluations": 12,
    "draws": 10_000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/hodgkin-huxley-script"))
    parser.add_argument("--view", choices=list(VIEWS), default="summary")
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()

    ready = get(VIEWS[args.view])
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=args.n),
        train=ig.TrainConfig(
            head_steps=args.head_steps, steps=args.steps, evaluations=args.evaluations
        ),
        sample=ig.SampleConfig(n=args.draws),
        mcmc=ig.McmcConfig(enabled=False),
    )
    solution = ig.solve(ready.problem, args.out, settings=settings, seed=0)

    print(f"verdict: {solution.validation.verdict}", *solution.validation.reasons, sep="\n  ")
    print(f"report:  {solution.report}")
    print("truth, and 5, 50 and 95 % quantiles of prior and answer:")
    clouds = solution.simulations.x, solution.samples.x
    for j, name in enumerate(solution.problem.prior.names):
        quantiles = [q for x in clouds for q in np.quantile(x[:, j], [0.05, 0.5, 0.95])]
        numbers = " ".join(f"{q:9.3f}" for q in quantiles)
        print(f"  {name:<8} {ready.truth[j]:9.3f}  {numbers}")


if __name__ == "__main__":
    main()
