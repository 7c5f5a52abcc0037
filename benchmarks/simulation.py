"""What running, keeping and reading simulations costs, beside calling the model in a loop.

    python benchmarks/simulation.py overhead --out simulation.jsonl
    python benchmarks/simulation.py workers --out simulation.jsonl
    python benchmarks/simulation.py stream --gigabytes 2 --out simulation.jsonl
    python benchmarks/simulation.py stream --gigabytes 20 --road train --out simulation.jsonl

``overhead``: seconds of a million simulations, in memory and into a store, against drawing from
the prior and calling the model on chunks of 8192 rows; for a trivial model (three outputs of a
damped oscillation in closed form, 0.05 microseconds a row) and a cheap one (three summaries of a
hundred times of it, 1 to 2). The roads take turns, and the best of each counts. ``workers``: a
model of 10 ms, 2,000 rows, in one process and in two; their start is counted apart. ``stream``: a
store of wide rows read in batches, mapped and read at random, and trained on, drawn from and
validated, each in a process of its own whose data may not exceed two gigabytes (RLIMIT_DATA: all
memory but pages of files); the most memory it held at any time, with pages of files and without.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import numpy as np
from scipy import stats

from invgan.execution import Execution
from invgan.mapped import taken
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.settings import TrainConfig
from invgan.simulation import evaluate, fill_store, simulate
from invgan.store import Stored

PRIOR = Prior(decay=stats.uniform(0.1, 1), frequency=stats.uniform(1, 5))
_CHUNK = 8192
_WIDE = 1000
_BATCHES = 2000
_LIMIT = 2_000_000_000


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
    return x[:, :1] + x[:, 1:] * np.linspace(0, 1, _WIDE)


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


def stream(gigabytes: float, roads: Iterable[str]) -> list[dict[str, object]]:
    n = int(gigabytes * 1e9 / (8 * (_WIDE + 2)))
    problem = Problem(wide, PRIOR, np.ones((3, _WIDE)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        write = _timed(lambda: fill_store(problem, path, n, chunk=1024))
        writing = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        size = sum(file.stat().st_size for file in path.rglob("c.*")) / 1e9
        rows = []
        for road in roads:
            script = [sys.executable, __file__, "read", "--store", str(path), "--road", road]
            run = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"what": "stream", "gigabytes": size, "road": road, "write": write,
                         "writing_mb": writing, **json.loads(run.stdout)})  # fmt: skip
    return rows


def read(path: Path, road: str) -> dict[str, object]:
    """Take one road through a store, and say what that took."""
    resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT, _LIMIT))
    with _Watched() as watched:
        found = ROADS[road](path)
    return {**found, "seconds": watched.seconds, "anonymous_mb": watched.most,
            "resident_mb": _status("VmHWM")}  # fmt: skip


def in_batches(path: Path) -> dict[str, object]:
    return {"sum": sum(float(y.sum()) for _, y in Stored(path).batches(1024))}


def at_random(path: Path) -> dict[str, object]:
    mapped = Stored(path).mapped(path.parent / "mapped")
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(_BATCHES):
        total += float(taken(mapped.y, rng.integers(len(mapped), size=512)).sum())
    return {"sum": total}


def learnt(path: Path) -> dict[str, object]:
    """Map, check, train for some hundred steps, draw and validate."""
    from invgan.checks import validate  # noqa: PLC0415
    from invgan.correction import push_forward  # noqa: PLC0415
    from invgan.gan import sample, train  # noqa: PLC0415
    from invgan.predictability import check_predictability  # noqa: PLC0415

    problem = Problem(wide, PRIOR, wide(np.array([[0.5, 3.0]])), question="posterior")
    mapped = Stored(path).mapped(path.parent / "mapped")
    check_predictability(problem, mapped)
    config = TrainConfig(head="linear", head_steps=400, steps=400, evaluations=2, members=1)
    started = time.perf_counter()
    inverse = train(problem, mapped, config, device="cpu")
    training = time.perf_counter() - started
    drawn = push_forward(problem, sample(inverse, problem.observations, 2000))
    verdict = validate(problem, drawn, simulations=mapped, inverse=inverse).verdict
    return {"pairs": inverse.info["pairs"], "training": training, "verdict": verdict,
            "mean": drawn.x.mean(axis=0).tolist(), "sd": drawn.x.std(axis=0).tolist()}  # fmt: skip


ROADS = {"batches": in_batches, "mapped": at_random, "train": learnt}


class _Watched:
    """The most megabytes that a process held while it did something, but pages of files.

    The system takes those back at need.
    """

    def __enter__(self) -> Self:
        self.most, self._over = 0.0, threading.Event()
        self._started = time.perf_counter()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._started

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, _status("RssAnon"))


def _status(name: str) -> float:
    """Megabytes by which the system knows this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


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
    parser.add_argument("--road", choices=list(ROADS), help="the one road of stream; else all")
    parser.add_argument("--out", type=Path, default=Path("simulation.jsonl"))
    args = parser.parse_args()
    if args.what == "read":
        print(json.dumps(read(args.store, args.road)))
        return
    measured = {
        "overhead": lambda: overhead(args.n, args.rounds),
        "workers": lambda: workers(args.rows),
        "stream": lambda: stream(args.gigabytes, [args.road] if args.road else ROADS),
    }
    for row in measured[args.what]():
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row))


if __name__ == "__main__":
    main()
