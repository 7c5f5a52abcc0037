"""A neuron's 13 parameters from nine summaries of its record, or from a hundred points of it.

    python benchmarks/neuron.py --view summary --out neuron.jsonl
    python benchmarks/neuron.py --view trace --kind conv1d --out neuron.jsonl
    python benchmarks/neuron.py --table neuron.jsonl

No exact posterior is known, so the answer is judged by what must be true of it: fresh simulations
tell whether its regions hold what they claim (`coverage`) and the ranks of each parameter, and the
verdict is that of the gallery's own record, whose truth is known (`truth` is where it lies among
the draws, from 0 to 1). `told` is what was learnt of each parameter: one minus the mean posterior
variance over the prior's. A view that holds more of the record tells more.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import invgan as ig
from invgan.calibration import calibrate
from invgan.gallery import get
from invgan.settings import EmbeddingConfig

Array = NDArray[np.float64]

VIEWS = {"summary": "hodgkin-huxley", "trace": "hodgkin-huxley-trace"}

_FRESH, _JUDGED = 6_000, 4_000
_CONDITIONS, _DRAWS = 500, 200
_LEVELS = (0.5, 0.8, 0.95)


def measure(view: str, kind: str, n: int, seed: int) -> dict[str, Any]:
    """One run with the default settings, and its figures."""
    ready = get(VIEWS[view])
    names = ready.problem.prior.names
    started = time.perf_counter()
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=n),
        train=ig.TrainConfig(embedding=EmbeddingConfig(kind=kind)),
        mcmc=ig.McmcConfig(enabled=False),
    )
    solution = ig.solve(ready.problem, settings=settings, seed=seed)
    seconds = time.perf_counter() - started
    inverse, checked = solution.inverse, solution.validation
    fresh = ig.simulate(ready.problem, _FRESH, seed=77)
    found = calibrate(inverse, fresh.x, fresh.y, names=names, pairs=_JUDGED)
    gaps = found.to_dict()["largest_gaps"][: len(names)]
    below = (solution.samples.x < ready.truth).mean(axis=0)
    return {
        "view": view,
        "kind": kind,
        "n": n,
        "seed": seed,
        "seconds": seconds,
        **{key: inverse.info[key] for key in ("head", "heads", "kept_step")},
        "coverage": [found.coverage(level) for level in _LEVELS],
        "ranks": dict(zip(names, gaps, strict=True)),
        "told": dict(zip(names, told(inverse, fresh, seed).tolist(), strict=True)),
        "truth": dict(zip(names, below.tolist(), strict=True)),
        "verdict": checked.verdict,
        "reasons": list(checked.reasons),
    }


def told(inverse: ig.Inverse, fresh: ig.Simulations, seed: int) -> Array:
    """One minus the mean posterior variance over the prior's, for each parameter; shape (D,)."""
    x = inverse.draw(np.repeat(fresh.y[:_CONDITIONS], _DRAWS, axis=0), seed=seed)
    inside = x.reshape(_CONDITIONS, _DRAWS, -1).var(axis=1, ddof=1).mean(axis=0)
    return np.asarray(1 - inside / fresh.x.var(axis=0))


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each run; of the parameters the three that the view tells most of."""
    yield (
        "| view | embedding | simulations | seed | coverage, % | largest gap of ranks "
        "| told of all, and most of | truth | verdict | seconds |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        shares = row["told"]
        most = sorted(shares, key=shares.get, reverse=True)[:3]
        ends = min(row["truth"].values()), max(row["truth"].values())
        cells = [
            row["view"],
            row["kind"],
            str(row["n"]),
            str(row["seed"]),
            ", ".join(f"{100 * c:.1f}" for c in row["coverage"]),
            f"{max(row['ranks'].values()):.3f}",
            f"{np.mean(list(shares.values())):.3f}; "
            + ", ".join(f"{name} {shares[name]:.2f}" for name in most),
            f"{ends[0]:.2f} to {ends[1]:.2f}",
            row["verdict"],
            f"{row['seconds']:.0f}",
        ]
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--view", choices=list(VIEWS), default="summary")
    parser.add_argument("--kind", default="none", help="kind of embedding")
    parser.add_argument("--n", type=int, default=20_000, help="simulations")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("neuron.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(*table([json.loads(s) for s in args.table.read_text().splitlines()]), sep="\n")
        return
    for seed in range(args.seeds):
        row = measure(args.view, args.kind, args.n, seed)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(args.view, args.kind, seed, row["coverage"], row["verdict"], flush=True)


if __name__ == "__main__":
    main()
