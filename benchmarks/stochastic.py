"""The population question for models with noise: the averaged posterior beside the iterated one.

    python benchmarks/stochastic.py --problem plate --seeds 3 --out stochastic.jsonl
    python benchmarks/stochastic.py --table stochastic.jsonl

Each problem is solved end to end: simulate, train, then one step (`sample`, which averages the
posterior over the observations) and `iterate` from the same inverse. Figures as in population.py:
C2ST in x against exact draws and in y against the observed law, KS, W1 in observed standard
deviations. C2ST in y is what a model with noise can be held to; that in x falls slowly, since noise
hides the edges of a population.

- deconvolution: x ~ N(0, 1), y = x + N(0, 0.5^2), P_X = N(1, 0.3^2);
- deconvolution-4: the same in four parameters, which the population correlates;
- plate: the wobbly plate with noise on two coefficients (Rumbell et al. 2023), P_X uniform on
  [0.85, 1.45] x [1.6, 1.8], 10,000 observed rows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.gan import sample, train
from invgan.metrics import c2st, kolmogorov_smirnov, wasserstein
from invgan.mixing import iterate
from invgan.observations import Table
from invgan.priors import MultivariateNormal, Prior
from invgan.problem import Problem
from invgan.settings import TrainConfig
from invgan.simulation import evaluate, simulate

Array = NDArray[np.float64]

_ROWS = 10_000


@dataclass(frozen=True)
class Case:
    """A problem and draws (n, D) of its population from (n, seed)."""

    problem: Problem
    exact: Callable[[int, int], Array]


def deconvolution(width: int = 1) -> Case:
    noise, mean = 0.5, np.linspace(1, -0.5, width)
    cov = 0.09 * (0.5 * np.eye(width) + 0.5)

    def model(x: Array, rng: np.random.Generator) -> Array:
        return x + rng.normal(0, noise, x.shape)

    def exact(n: int, seed: int) -> Array:
        return np.random.default_rng(seed).multivariate_normal(mean, cov, n)

    seen: Any = stats.multivariate_normal(mean, cov + noise**2 * np.eye(width))
    if width == 1:
        seen = stats.norm(mean[0], np.sqrt(cov[0, 0] + noise**2))
    prior = MultivariateNormal(np.zeros(width), np.eye(width))
    return Case(Problem(model, prior, seen, stochastic=True), exact)


def plate() -> Case:
    def model(x: Array, rng: np.random.Generator) -> Array:
        e = rng.normal(0, 0.075, x.shape)
        first = 3 + (0.6 + e[:, 0]) * x[:, 0] + 0.6 * x[:, 1]
        second = 3 + 0.8 * x[:, 0] + (0.6 + e[:, 1]) * x[:, 1]
        return np.stack([first, second], axis=1)

    def exact(n: int, seed: int) -> Array:
        return np.random.default_rng(seed).uniform([0.85, 1.6], [1.45, 1.8], (n, 2))

    rows = model(exact(_ROWS, 7), np.random.default_rng(8))
    prior = Prior(x1=stats.uniform(0, 2), x2=stats.uniform(0, 2))
    return Case(Problem(model, prior, rows, stochastic=True), exact)


CASES: dict[str, Callable[[], Case]] = {
    "deconvolution": deconvolution,
    "deconvolution-4": lambda: deconvolution(4),
    "plate": plate,
}


def figures(case: Case, x: Array, y: Array) -> dict[str, float]:
    """Distances of draws (n, D) and their outputs (n, L) from the exact ones."""
    seen = case.problem.observations
    reference = (
        seen.rows if isinstance(seen, Table) else seen.sample(50_000, np.random.default_rng(9))
    )
    return {
        "c2st_x": c2st(x, case.exact(_ROWS, 12_345), folds=5),
        "c2st_y": c2st(y, reference, folds=5),
        "ks": float(kolmogorov_smirnov(y, reference).max()),
        "w1": float((wasserstein(y, reference) / reference.std(axis=0)).max()),
    }


def measure(name: str, seed: int, budget: int, n: int, device: str) -> dict[str, Any]:
    """Both answers to one problem with one seed."""
    case = CASES[name]()
    problem, started = case.problem, time.perf_counter()
    simulations = simulate(problem, budget, seed=seed)
    inverse = train(problem, simulations, TrainConfig(), seed=seed, device=device)
    trained = time.perf_counter() - started
    one = sample(inverse, problem.observations, n, seed=seed)
    iterated = iterate(problem, inverse, n, seed=seed)
    return {
        "problem": name,
        "seed": seed,
        "budget": budget,
        "seconds_to_train": trained,
        "seconds_to_iterate": iterated.info["seconds"],
        "one_step": figures(case, one.x, evaluate(problem, one.x, seed=seed)),
        "iterated": figures(case, iterated.x, iterated.y),
        **{key: iterated.info[key] for key in ("converged", "steps", "distinct", "rounds")},
        "effective_share": iterated.info["effective_share"],
        "model_evaluations": iterated.info["model_evaluations"],
    }


def table(path: Path) -> str:
    """The rows as a markdown table, worst seed in brackets."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        "| problem | answer | seeds | C2ST x | C2ST y | KS | W1 / sd | steps | rounds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(r["problem"] for r in rows):
        mine = [r for r in rows if r["problem"] == name]
        for answer in ("one_step", "iterated"):
            found = [r[answer] for r in mine]
            cells = [
                f"{np.mean([f[k] for f in found]):.4f} ({max(f[k] for f in found):.4f})"
                for k in ("c2st_x", "c2st_y", "ks", "w1")
            ]
            steps, rounds = "1", ""
            if answer == "iterated":
                steps = ", ".join(str(r["steps"]) for r in mine)
                rounds = ", ".join(str(len(r["rounds"]) - 1) for r in mine)
            row = [name, answer.replace("_", " "), str(len(mine)), *cells, steps, rounds]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", action="append", choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--budget", type=int, default=100_000, help="prior simulations")
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("stochastic.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for seed in range(args.first, args.first + args.seeds):
        for name in args.problem or list(CASES):
            row = measure(name, seed, args.budget, args.draws, args.device)
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, seed, row["one_step"], row["iterated"], row["converged"], flush=True)


if __name__ == "__main__":
    main()
