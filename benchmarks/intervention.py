"""The intervention problem with a known truth: a drug by mouth, with and without an inhibitor.

    python benchmarks/intervention.py --seeds 3 --out intervention.jsonl
    python benchmarks/intervention.py --table intervention.jsonl

One compartment with absorption ka, elimination ke and volume V; concentrations at 1, 4 and 10
hours of two groups of different subjects. In the treated, elimination is slowed by a share c that
varies from one to another. Populations that were observed apart identify the law of (ka, ke, V),
that of (ka, ke (1 - c), V), and the mean of log(1 - c), but not the spread of c. The floor stands
beside each figure: the same for as many rows as were observed, against the truth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from invgan.gan.rgan import RganConfig
from invgan.intervention import Intervention, solve_intervention
from invgan.metrics import c2st, kolmogorov_smirnov
from invgan.priors import Prior
from invgan.samples import Samples
from invgan.settings import TrainConfig
from invgan.simulation import simulate

_TIMES = np.array([1.0, 4.0, 10.0])
_DOSE = 100.0
_EXACT = 10_000
_ROADS = ("simulations", "projection", "rgan")


def concentration(x: np.ndarray) -> np.ndarray:
    """Solution of ``A' = -ka A, C' = ka A / V - ke C`` at the three times, shape (n, 3)."""
    ka, ke, volume = (x[:, j : j + 1] for j in range(3))
    gap = (ka - ke) * _TIMES
    safe = np.where(np.abs(gap) > 1e-6, gap, 1)
    taken = np.where(np.abs(gap) > 1e-6, -np.expm1(-safe) / safe, 1)
    return _DOSE * ka / volume * _TIMES * np.exp(-ke * _TIMES) * taken


def inhibited(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.stack([x[:, 0], x[:, 1] * (1 - c[:, 0]), x[:, 2]], axis=1)


def truth(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of n subjects before the inhibitor (n, 3), and its effect on each (n, 1)."""
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(np.log([1.2, 0.3, 9.0]), [0.25, 0.25, 0.2], (n, 3)))
    return x, 1 / (1 + np.exp(-rng.normal(0, 0.4, (n, 1))))


def problem(rows: int, seed: int) -> Intervention:
    """Two groups of this many subjects."""
    one, (x, c) = truth(rows, 1000 + seed)[0], truth(rows, 2000 + seed)
    prior = Prior(
        ka=stats.lognorm(0.5, scale=1.5),
        ke=stats.lognorm(0.5, scale=0.25),
        V=stats.lognorm(0.4, scale=10),
    )
    return Intervention(
        concentration,
        prior,
        inhibited,
        control=concentration(one),
        treated=concentration(inhibited(x, c)),
        extra=Prior(c=stats.uniform(0, 1)),
        shared=["ka", "V"],
        outputs=["C(1)", "C(4)", "C(10)"],
    )


def figures(intervention: Intervention, samples: Samples) -> dict[str, Any]:
    """Distances of an answer from the truth and from the observed rows."""
    x, c = truth(_EXACT, 99)
    exact = {"control": x, "treated": inhibited(x, c)}
    out: dict[str, Any] = {}
    for name, parameters in exact.items():
        found, y = intervention.part(samples, name)
        rows = intervention.population(name).observations.rows
        observed = concentration(parameters)
        out[name] = {
            "c2st_x": c2st(found, parameters, folds=5),
            "ks_x": kolmogorov_smirnov(found, parameters).tolist(),
            "c2st_y": c2st(y, rows, folds=5),
            "c2st_y_truth": c2st(y, observed, folds=5),
            "ks_y_truth": float(kolmogorov_smirnov(y, observed).max()),
            "floor_ks_y_truth": float(kolmogorov_smirnov(rows, observed).max()),
            "floor_c2st_y_truth": c2st(rows, observed, folds=5),
        }
    out["log_kept"] = float(np.log1p(-samples.x[:, 3]).mean())
    out["log_kept_truth"] = float(np.log1p(-c).mean())
    return out


def measure(seed: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Both roads on the same simulations; the projection's own simulations too."""
    intervention = problem(args.rows, seed)
    simulations = simulate(intervention.problem(), args.budget, seed=seed)
    for road in args.road or ("projection", "rgan"):
        started = time.perf_counter()
        solution = solve_intervention(
            intervention, simulations, 10_000, road=road, seed=seed, device="cpu",
            train_config=TrainConfig(steps=args.steps, head_steps=args.head_steps),
            rgan_config=RganConfig(steps=args.steps, surrogate_steps=args.head_steps),
        )  # fmt: skip
        common = {"seed": seed, "rows": args.rows, "budget": args.budget}
        row = {"road": road, **common, "seconds": time.perf_counter() - started}
        row["verdicts"] = {k: v.verdict for k, v in solution.validations.items()}
        row["effective_share"] = solution.samples.info.get("effective_share")
        yield {**row, **figures(intervention, solution.samples)}
        if solution.coupling is not None:
            coupling = solution.coupling
            yield {"road": "simulations", **common, "seconds": coupling.info["seconds"],
                        "effective": coupling.projection.effective,
                        "rounds": coupling.projection.rounds,
                   **figures(intervention, coupling.samples)}  # fmt: skip


def table(path: Path) -> str:
    """The rows as a markdown table: means over seeds, the worst in brackets."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        "| road | population | seeds | C2ST x | KS x | C2ST y, rows | C2ST y, truth (floor) |"
        " mean log(1 - c) (truth) | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for road in _ROADS:
        mine = [row for row in rows if row["road"] == road]
        for name in ("control", "treated") if mine else ():
            found = [row[name] for row in mine]
            cells = [_cell([f["c2st_x"] for f in found]), _cell([max(f["ks_x"]) for f in found])]
            cells += [_cell([f["c2st_y"] for f in found])]
            floor = np.mean([f["floor_c2st_y_truth"] for f in found])
            cells += [f"{_cell([f['c2st_y_truth'] for f in found])} ({floor:.3f})"]
            kept, true = (np.mean([r[k] for r in mine]) for k in ("log_kept", "log_kept_truth"))
            cells += [f"{kept:.3f} ({true:.3f})", f"{np.mean([r['seconds'] for r in mine]):.0f}"]
            lines.append("| " + " | ".join([road, name, str(len(mine)), *cells]) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--road", action="append", choices=["projection", "rgan"])
    parser.add_argument("--rows", type=int, default=1500, help="observed subjects in each group")
    parser.add_argument("--budget", type=int, default=100_000, help="prior simulations")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--head-steps", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("intervention.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for seed in range(args.first, args.first + args.seeds):
        for row in measure(seed, args):
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row["road"], seed, row["control"], row["treated"], f"{row['seconds']:.0f} s")


if __name__ == "__main__":
    main()
