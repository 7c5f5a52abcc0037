"""What running, keeping and reading simulations costs, beside calling the model in a loop.

    python benchmarks/simulation.py overhead --out simulation.jsonl
    python benchmarks/simulation.py workers --out simulation.jsonl
    python benchmarks/simulation.py stream --gigabytes 2 --out simulation.jsonl

``overhead``: seconds of a million simulations, in memory and into a store, against drawing from
the prior and calling the model on chunks of 8192 rows; for a trivial model (three outputs of a
damped oscillation in closed form, 0.05 microseconds a row) and a cheap one (three summaries of a
hundred times of it, 1 to 2). The roads take turns, and the best of each counts. ``workers``: a
model of 10 ms, 2,000 rows, in one process and in two; their start is counted apart. ``stream``: a
store of wide rows read in batches and by mapped arrays in a process of its own; the most memory it
held at any time.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from invgan.execution import Execution
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.simulation import evaluate, fill_store, simulate

PRIOR = Prior(decay=stats.uniform(0.1, 1), frequency=stats.uniform(1, 5))
_CHUNK = 8192
_WIDE = 1000


def trivial(x: np.ndarray) -> np.ndarray:
    t = np.array([0.2, 0.5, 0.9])
    return np.exp(-x[:, :1] * t) * np.cos(x[:, 1:] * t)


def cheap(x: np.ndarray) -> np.ndarray:
    t = np.linspace(0, 2, 100)
    signal = np.exp(-x[:, :1] * t) * np.cos(x[:, 1:] * t)
    return np.stack([signal.mean(axis=1), signal.std(axis=1), signal.min(axis=1)], axis=1)


def slow(x: np.ndarray) -> float:
    time.sleep(0.01)
    return float(x.sum())


def wide(x: np.ndarray) -> np.ndarray:
    return np.repeat(x.sum(axis=1, keepdims=True), _WIDE, axis=1)


def overhead(n: int, rounds: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for model in (trivial, cheap):
        problem = Problem(model, PRIOR, np.ones((3, 3)))
        roads: dict[str, Callable[[Path], object]] = {
            "direct": lambda _, model=model: _direct(model, n),
            "memory": lambda _, problem=problem: simulate(problem, n),
            "store": lambda path, problem=problem: fill_store(problem, path / "store", n),
        }
        seconds: dict[str, list[float]] = {road: [] for road in roads}
        for _ in range(rounds):
            for road, run in roads.items():
                with tempfile.TemporaryDirectory() as folder:
                    seconds[road].append(_timed(lambda: run(Path(folder))))  # noqa: B023
        best = {road: min(found) for road, found in seconds.items()}
        shares = {road: best[road] / best["direct"] - 1 for road in ("memory", "store")}
        rows.append({"what": "overhead", "model": model.__name__, "n": n, **best,
                     "over": shares})  # fmt: skip
    return rows


def _direct(model: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    x = PRIOR.sample(n, np.random.default_rng(0))
    return np.concatenate([model(x[i : i + _CHUNK]) for i in range(0, n, _CHUNK)])


def workers(n: int) -> list[dict[str, object]]:
    problem = Problem(slow, PRIOR, stats.norm(), vectorized=False)
    x = PRIOR.sample(n, np.random.default_rng(0))
    there = problem.on(Execution("process:2"))
    start = _timed(lambda: evaluate(there, x[:2]))
    serial, two = (_timed(lambda: evaluate(p, x)) for p in (problem, there))  # noqa: B023
    return [{"what": "workers", "n": n, "serial": serial, "two": two, "start": start,
             "times": serial / two}]  # fmt: skip


def stream(gigabytes: float) -> list[dict[str, object]]:
    n = int(gigabytes * 1e9 / (8 * (_WIDE + 2)))
    problem = Problem(wide, PRIOR, np.ones((3, _WIDE)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        write = _timed(lambda: fill_store(problem, path, n, chunk=1024))
        writing = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        size = sum(file.stat().st_size for file in path.rglob("c.*")) / 1e9
        rows = []
        for road in ("batches", "mapped"):
            script = [sys.executable, __file__, "read", "--store", str(path), "--road", road]
            run = subprocess.run(script, check=True, capture_output=True, text=True)
            rows.append({"what": "stream", "gigabytes": size, "road": road, "write": write,
                         "writing_mb": writing, **json.loads(run.stdout)})  # fmt: skip
            shutil.rmtree(path.parent / "mapped", ignore_errors=True)
    return rows


def read(path: Path, road: str) -> dict[str, float]:
    """Go once through a store, at random through mapped arrays, and say what that took."""
    from invgan.store import Stored  # noqa: PLC0415

    before = _anonymous()
    started, total, most = time.perf_counter(), 0.0, 0.0
    stored = Stored(path)
    if road == "batches":
        for _, y in stored.batches(1024):
            total, most = total + float(y.sum()), max(most, _anonymous())
    else:
        mapped = stored.mapped(path.parent / "mapped")
        rng = np.random.default_rng(0)
        for _ in range(len(stored) // 512):
            rows = rng.integers(len(stored), size=512)
            total, most = total + float(mapped.y[rows].sum()), max(most, _anonymous())
    return {"read": time.perf_counter() - started, "memory_mb": most - before, "sum": total}


def _anonymous() -> float:
    """Megabytes of memory that are not pages of files, which the system takes back at need."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["overhead", "workers", "stream", "read"])
    parser.add_argument("--n", type=int, default=1_000_000, help="simulations of overhead")
    parser.add_argument("--rounds", type=int, default=5, help="of overhead")
    parser.add_argument("--rows", type=int, default=2000, help="of workers")
    parser.add_argument("--gigabytes", type=float, default=20, help="of stream")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--road", choices=["batches", "mapped"])
    parser.add_argument("--out", type=Path, default=Path("simulation.jsonl"))
    args = parser.parse_args()
    if args.what == "read":
        print(json.dumps(read(args.store, args.road)))
        return
    measured = {
        "overhead": lambda: overhead(args.n, args.rounds),
        "workers": lambda: workers(args.rows),
        "stream": lambda: stream(args.gigabytes),
    }
    for row in measured[args.what]():
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row))


if __name__ == "__main__":
    main()
