"""Super-resolution: how near the draws of a field come to its exact posterior.

    python benchmarks/fields.py --seeds 3 --out fields.jsonl
    python benchmarks/fields.py --road srgan --out fields.jsonl
    python benchmarks/fields.py --table fields.jsonl

The gallery's field of 16 x 16 cells, seen as means over 4 x 4 blocks with noise, has a Gaussian
posterior. ``regression`` is the default's head alone, ``srgan`` the convolutional game without a
head. For several surveys that the training has not seen: the error of the mean and of the
standard deviation of the draws over the cells, in relative L2, and the largest relative error of
their power spectrum over its shells; each the mean over the surveys.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from invgan import gallery
from invgan.fields import spectrum
from invgan.gallery.fields import super_resolution_posterior
from invgan.gan import train
from invgan.settings import TrainConfig
from invgan.simulation import simulate

ONE = {"members": 1, "judge": False}
ROADS: dict[str, dict[str, Any]] = {
    "regression": {"steps": 0},
    "srgan": {
        "head": "none", "batch_size": 64, "gamma": 0.01, "evaluations": 3,
        "network": {"kind": "srgan", "critic_hidden": 64},
    },
}  # fmt: skip
FIGURES = ("mean", "sd", "spectrum")


def run(road: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    problem = gallery.get("super-resolution").problem
    shape = problem.field or (1, 16, 16)
    simulations = simulate(problem, args.n, seed=seed)
    steps = {} if "steps" in ROADS[road] else {"steps": args.steps}
    config = TrainConfig(**ONE, **ROADS[road], **steps)
    inverse = train(problem, simulations, config, seed=seed + 1, device="cpu")
    surveys = simulate(problem, max(20, args.surveys), seed=seed + 1000).y[: args.surveys]
    found = [errors(inverse, y, shape, args.draws, seed) for y in surveys]
    means = dict(zip(FIGURES, np.mean(found, axis=0).tolist(), strict=True))
    kept = {"kept_step": inverse.info["kept_step"], "seconds": inverse.info["seconds"]}
    return {"road": road, "seed": seed, "n": args.n, **means, **kept}


def errors(
    inverse: Any, y: np.ndarray, shape: tuple[int, int, int], n: int, seed: int
) -> list[float]:
    mean, covariance = super_resolution_posterior(y)
    sd = np.sqrt(np.diag(covariance))
    x = inverse.draw(np.repeat(y[None], n, axis=0), seed=seed)
    exact = np.random.default_rng(seed).multivariate_normal(mean, covariance, n)
    power, right = (spectrum(cloud, shape)[1] for cloud in (x, exact))
    return [
        float(np.linalg.norm(x.mean(axis=0) - mean) / np.linalg.norm(mean)),
        float(np.linalg.norm(x.std(axis=0) - sd) / np.linalg.norm(sd)),
        float(np.abs(power / right - 1).max()),
    ]


def table(path: Path) -> str:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [["road", "seeds", *FIGURES, "seconds"], ["---"] * (len(FIGURES) + 3)]
    for road in dict.fromkeys(row["road"] for row in rows):
        same = [row for row in rows if row["road"] == road]
        cells = [
            f"{np.mean([row[name] for row in same]):.3f} ({max(row[name] for row in same):.3f})"
            for name in FIGURES
        ]
        seconds = f"{np.mean([row['seconds'] for row in same]):.0f}"
        lines.append([road, str(len(same)), *cells, seconds])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--road", action="append", choices=list(ROADS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n", type=int, default=20_000, help="simulations")
    parser.add_argument("--steps", type=int, default=1500, help="of the game of srgan")
    parser.add_argument("--surveys", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=Path("fields.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for road in args.road or list(ROADS):
        for seed in range(args.seeds):
            row = run(road, seed, args)
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


if __name__ == "__main__":
    main()
