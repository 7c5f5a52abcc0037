"""Accuracy of the default settings on the gallery's population problems, against exact answers.

    python benchmarks/population.py --problem rosenbrock --seeds 5 --out population.jsonl
    python benchmarks/population.py --table population.jsonl

C2ST in x is the public benchmark's (scikit-learn perceptron of two layers of 10 D units, five
folds, 10,000 draws against 10,000 exact ones); with more than three parameters, where it takes
minutes, the quick one stands in. KS is against the law itself where there is one, else against the
observed rows; W1 is in units of the observed standard deviation.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from invgan import gallery
from invgan.config import Settings
from invgan.metrics import c2st, kolmogorov_smirnov, wasserstein
from invgan.observations import Table
from invgan.pipeline import Run
from invgan.samples import Samples
from invgan.settings import McmcConfig, TrainConfig

_ROWS = 10_000
_FEW = 3


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
        "head": train.head,
        "seconds": time.perf_counter() - started,
        "verdict": solution.validation.verdict,
        "cgan": figures(ready, solution.samples, published=published and few),
        "raw": figures(ready, solution.raw, published=published and few),
        "effective_share": info["effective_share"],
        "distinct": info["distinct"],
        "ratio": info["ratio"],
        "divergence": solution.inverse.info["divergence"],
        "divergence_of_head": solution.inverse.info["divergence_of_head"],
        "kept_step": solution.inverse.info["kept_step"],
        "measures": {f"{m.name}/{m.output}": m.value for m in solution.validation.measures},
        "reasons": solution.validation.reasons,
    }
    if solution.baseline is not None:
        row["mcmc"] = figures(ready, solution.baseline, published=published and few)
        row["mcmc_converged"] = solution.baseline.info["converged"]
        row["mcmc_evaluations"] = solution.baseline.info["model_evaluations"]
    return row


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
            if road == "cgan":
                extra = [f"{min(r[k] for r in mine):.3f}" for k in ("effective_share", "distinct")]
            lines.append("| " + " | ".join([*key, road, str(len(found)), *cells, *extra]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", action="append", choices=list(gallery.PROBLEMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--head", default="flow", choices=["flow", "gaussian", "none"])
    parser.add_argument("--no-mcmc", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the quick C2ST in x")
    parser.add_argument("--out", type=Path, default=Path("population.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for seed in range(args.first, args.first + args.seeds):
        for name in args.problem or list(gallery.PROBLEMS):
            row = measure(
                name, seed, TrainConfig(head=args.head),
                mcmc=not args.no_mcmc, published=not args.quick,
            )  # fmt: skip
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, seed, row["verdict"], row["cgan"], f"{row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
