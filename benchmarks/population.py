"""Accuracy of the default settings on the gallery's population problems, against exact answers.

    python benchmarks/population.py --problem rosenbrock --seeds 5 --out population.jsonl
    python benchmarks/population.py --budget 2000 10000 --seeds 5 --out budget.jsonl
    python benchmarks/population.py --table population.jsonl

C2ST in x is the public benchmark's (scikit-learn perceptron of two layers of 10 D units, five
folds, 10,000 draws against 10,000 exact ones); with more than three parameters, where it takes
minutes, the quick one stands in. KS is against the law itself where there is one, else against the
observed rows; W1 is in units of the observed standard deviation.

With a budget the two roads get equally many model runs, on Rosenbrock where no problem is named.
The conditional GAN spends them all on prior simulations and is not corrected, since a correction
runs the model on the draws; its outputs are computed for the figures alone. MCMC spends half on
prior simulations, which q_Y is fitted to and the walkers start among, and half on 16 walkers. Its
answer is the chain it has: where that is shorter than 10,000 states, fewer exact draws stand
against it, which makes its C2ST smaller, never larger.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from invgan import gallery
from invgan.config import Settings
from invgan.mcmc import run_mcmc
from invgan.metrics import c2st, kolmogorov_smirnov, wasserstein
from invgan.observations import Table
from invgan.pipeline import Run
from invgan.samples import Samples
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig, TrainConfig
from invgan.simulation import simulate

_ROWS = 10_000
_FEW = 3
_BUDGET_WALKERS = 16
_OF_TRAINING = ("divergence", "divergence_of_head", "by_parameters", "judge", "kept_step")


def figures(
    ready: gallery.GalleryProblem, samples: Samples, *, published: bool
) -> dict[str, float]:
    """Distances of an answer from the exact one, in x and in y."""
    seen, rng = ready.problem.observations, np.random.default_rng(99)
    reference = seen.rows if isinstance(seen, Table) else seen.sample(100_000, rng)
    law = getattr(seen, "columns", ())
    if law:
        ks = max(stats.kstest(samples.y[:, j], c.cdf).statistic for j, c in enumerate(law))
    else:
        ks = float(kolmogorov_smirnov(samples.y, reference).max())
    exact = ready.exact(_ROWS, 12_345)
    return {
        "c2st_x": c2st(samples.x, exact, folds=5, published=published),
        "c2st_y": c2st(samples.y, reference, folds=5),
        "ks": float(ks),
        "w1": float((wasserstein(samples.y, reference) / reference.std(axis=0)).max()),
    }


def measure(
    name: str, seed: int, train: TrainConfig, *, mcmc: bool, published: bool
) -> dict[str, Any]:
    """Solve one problem with one seed."""
    ready = gallery.get(name)
    started = time.perf_counter()
    settings = Settings(train=train, mcmc=McmcConfig(enabled=mcmc))
    solution = Run(ready.problem, settings, None, seed=seed, device="cpu").solve()
    info, few = solution.samples.info, len(ready.problem.prior.names) <= _FEW
    row: dict[str, Any] = {
        "problem": name,
        "seed": seed,
        "head": train.head if train.method == "cgan" else train.method,
        "seconds": time.perf_counter() - started,
        "verdict": solution.validation.verdict,
        "cgan": figures(ready, solution.samples, published=published and few),
        "raw": figures(ready, solution.raw, published=published and few),
        "effective_share": info.get("effective_share", 1.0),
        "distinct": info.get("distinct", 1.0),
        "ratio": info.get("ratio", "none"),
        "ratio_given_y": info.get("ratio_given_y", "none"),
        **{key: solution.inverse.info.get(key) for key in _OF_TRAINING},
        "measures": {f"{m.name}/{m.output}": m.value for m in solution.validation.measures},
        "reasons": solution.validation.reasons,
    }
    if solution.baseline is not None:
        row["mcmc"] = figures(ready, solution.baseline, published=published and few)
        row["mcmc_converged"] = solution.baseline.info["converged"]
        row["mcmc_evaluations"] = solution.baseline.info["model_evaluations"]
    return row


def at_budget(
    name: str, seed: int, budget: int, train: TrainConfig, *, published: bool
) -> dict[str, Any]:
    """Both roads to the answer of one problem, from equally many model runs."""
    ready, started = gallery.get(name), time.perf_counter()
    settings = Settings(
        simulate=SimulateConfig(n=budget), train=train, sample=SampleConfig(correct=False)
    )
    run = Run(ready.problem, settings, None, seed=seed, device="cpu")
    run.simulate()
    run.train()
    samples, trained = run.sample(), time.perf_counter()
    half = budget // 2
    walkers = max(_BUDGET_WALKERS, 2 * len(ready.problem.prior.names) + 2)
    chain = run_mcmc(
        ready.problem, simulate(ready.problem, half, seed=seed), _ROWS,
        walkers=walkers, steps=half // walkers, seed=seed,
    )  # fmt: skip
    return {
        "problem": f"{name}, {budget} runs",
        "seed": seed,
        "head": train.head,
        "budget": budget,
        "seconds": trained - started,
        "cgan": figures(ready, samples, published=published),
        "mcmc": figures(ready, chain, published=published),
        "mcmc_evaluations": chain.info["model_evaluations"],
        "mcmc_draws": len(chain),
        "mcmc_converged": chain.info["converged"],
    }


def table(path: Path) -> str:
    """The rows as a markdown table, worst seed in brackets."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    head = "| problem | head | answer | seeds | C2ST x | C2ST y | KS | W1 / sd | share | distinct |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for key in dict.fromkeys((r["problem"], r["head"]) for r in rows):
        mine = [r for r in rows if (r["problem"], r["head"]) == key]
        for road in ("cgan", "raw", "mcmc"):
            found = [r[road] for r in mine if road in r]
            if not found:
                continue
            cells = [
                f"{np.mean([f[k] for f in found]):.4f} ({max(f[k] for f in found):.4f})"
                for k in ("c2st_x", "c2st_y", "ks", "w1")
            ]
            extra = ["", ""]
            if road == "cgan" and "effective_share" in mine[0]:
                extra = [f"{min(r[k] for r in mine):.3f}" for k in ("effective_share", "distinct")]
            lines.append("| " + " | ".join([*key, road, str(len(found)), *cells, *extra]) + " |")
    return "\n".join(lines)


def jobs(args: argparse.Namespace) -> Iterator[Callable[[], dict[str, Any]]]:
    """What was asked for, one measurement at a time, all problems of one seed first."""
    train = TrainConfig(
        method=args.method, head=args.head, head_steps=args.head_steps, steps=args.steps
    )
    published = not args.quick
    for seed in range(args.first, args.first + args.seeds):
        for name in args.problem or (["rosenbrock"] if args.budget else gallery.POPULATION):
            for budget in args.budget or []:
                yield partial(at_budget, name, seed, budget, train, published=published)
            if not args.budget:
                yield partial(
                    measure, name, seed, train, mcmc=not args.no_mcmc, published=published
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", action="append", choices=list(gallery.POPULATION))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--method", default="cgan", choices=["cgan", "rgan"])
    parser.add_argument("--head", default="auto", choices=["auto", "flow", "gaussian", "none"])
    parser.add_argument("--head-steps", type=int, default=TrainConfig().head_steps)
    parser.add_argument("--steps", type=int, default=TrainConfig().steps, help="of the game")
    parser.add_argument("--no-mcmc", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the quick C2ST in x")
    parser.add_argument("--budget", type=int, nargs="+", help="model runs, equal for both roads")
    parser.add_argument("--out", type=Path, default=Path("population.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for job in jobs(args):
        row = job()
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        shown = row.get("verdict", ""), row["cgan"], row.get("mcmc", "") if args.budget else ""
        print(row["problem"], row["seed"], *shown, f"{row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
