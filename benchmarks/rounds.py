"""One round of simulations against several, at the same budget, on tasks of the public benchmark.

    python benchmarks/rounds.py --task two_moons --task slcp --budget 1000 --budget 10000
    python benchmarks/rounds.py --table rounds.jsonl

One observation a run, since rounds answer for one. Every row of the file holds the published C2ST
against the reference posterior (0.5 is exact), the share of the reference that lies in the last
region, the regions' shares of the prior, and the seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import sbibm_tasks

from invgan.metrics import c2st
from invgan.rounds import sample_inside, solve_rounds
from invgan.settings import SimulateConfig, TrainConfig
from invgan.truncation import within

_DRAWS = 10_000


def measure(
    name: str,
    number: int,
    budget: int,
    rounds: int,
    seed: int,
    train: TrainConfig,
    *,
    miss: float,
    published: bool,
) -> dict[str, Any]:
    """Answer for one observation, and compare with its reference posterior."""
    task = sbibm_tasks.get(name)
    started = time.perf_counter()
    here, simulations, inverse = solve_rounds(
        task.problem(number), SimulateConfig(n=budget, rounds=rounds, miss=miss), train,
        seed=seed, device="cpu",
    )  # fmt: skip
    samples = sample_inside(here, inverse, _DRAWS, seed=seed + 1000)
    seconds = time.perf_counter() - started
    exact, cut = task.reference(number), here.prior
    return {
        "task": name,
        "observation": number,
        "budget": budget,
        "rounds": rounds,
        "miss": miss,
        "seed": seed,
        "c2st": c2st(samples.x, exact, folds=5, published=published),
        "covered": float(within(cut, exact).mean()),
        "trained_on": len(simulations),
        "leaked": samples.info["leaked"],
        "outside": samples.info["outside"],
        "seconds": seconds,
        "each": simulations.info.get("rounds", []),
    }


def table(path: Path) -> str:
    """The rows as a markdown table: means over observations and seeds."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    head = (
        "| task | budget | rounds | runs | C2ST | worst | covered | share of the prior | seconds |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for key in dict.fromkeys((r["task"], r["budget"], r["rounds"]) for r in rows):
        mine = [r for r in rows if (r["task"], r["budget"], r["rounds"]) == key]
        scores = [r["c2st"] for r in mine]
        mass = np.mean([r["each"][-1]["prior_mass"] if r["each"] else 1.0 for r in mine])
        cells = [
            str(len(mine)),
            f"{np.mean(scores):.3f}",
            f"{max(scores):.3f}",
            f"{min(r['covered'] for r in mine):.4f}",
            f"{mass:.4f}",
            f"{np.mean([r['seconds'] for r in mine]):.0f}",
        ]
        lines.append("| " + " | ".join([*map(str, key), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append", choices=list(sbibm_tasks.TASKS))
    parser.add_argument("--budget", action="append", type=int)
    parser.add_argument("--rounds", action="append", type=int, help="1 and 3 by default")
    parser.add_argument("--observations", type=int, default=10, help="the first so many")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--head-steps", type=int, default=TrainConfig().head_steps)
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--members", type=int, default=TrainConfig().members)
    parser.add_argument("--no-judge", action="store_true")
    parser.add_argument("--miss", type=float, default=SimulateConfig().miss)
    parser.add_argument("--quick", action="store_true", help="the quick C2ST")
    parser.add_argument("--out", type=Path, default=Path("rounds.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    train = TrainConfig(
        head_steps=args.head_steps, steps=args.steps, members=args.members, judge=not args.no_judge
    )
    runs = [
        (name, number, budget, rounds, seed)
        for seed in range(args.seeds)
        for budget in args.budget or [1_000, 10_000]
        for number in range(1, args.observations + 1)
        for name in args.task or ["two_moons", "slcp"]
        for rounds in args.rounds or [1, 3]
    ]
    for run in runs:
        row = measure(*run, train, miss=args.miss, published=not args.quick)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            *run,
            f"{row['c2st']:.3f}",
            f"{row['covered']:.4f}",
            f"{row['seconds']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
