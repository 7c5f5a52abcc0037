"""Runs that are killed, and runs of which a fifth of the simulations fail, from end to end.

    python benchmarks/reliability.py kills --trials 30 --out reliability.jsonl
    python benchmarks/reliability.py dirty --rows 2000 --out reliability.jsonl

``kills``: whole runs (`invgan.solve`) of a small problem with noise, each killed (signal 9) at a
random moment while it simulates, again while it trains and again while it walks its chain, then
left to end. Simulations, weights, draws and chain are compared with those of a run that nobody
killed, byte for byte. What was finished at a kill must not be made again: of simulations and steps
of the chain the calls of the model and of the likelihood are counted, of training the steps, of
finished files the time of writing must stay.

``dirty``: of the simulations a tenth raise, a twentieth hang and a twentieth are NaN, wherever they
lie. The answer is compared with that from a table of the rows that survive, made by a model that
never fails: with the failing model in the later stages, and without it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy import stats

import invgan as ig
from invgan.execution import Execution
from invgan.simulation import failure_table
from invgan.store import Stored

Array = NDArray[np.float64]

PRIOR = ig.Prior(a=stats.norm(), b=stats.norm())
TRAIN = ig.TrainConfig(
    head="linear", head_steps=600, steps=200, hidden=32, layers=2, evaluations=8, batch_size=256,
    members=1,
)  # fmt: skip

# Kills -------------------------------------------------------------------------------------------

STAGES = ("simulate", "train", "mcmc")
N, DRAWS, WALKERS, STEPS = 1500, 500, 16, 1500
FINISHED = (
    "inverse.json", "inverse.safetensors", "samples.npz", "samples-raw.npz", "samples-mcmc.npz",
    "validation.json",
)  # fmt: skip
_ALL_STEPS = TRAIN.head_steps + TRAIN.steps
_SD = 0.5
_tally = -1


def counted(x: Array, rng: np.random.Generator) -> Array:
    """Two measurements of one vector, of a millisecond."""
    os.write(_tally, b"m")
    time.sleep(0.001)
    return x + rng.normal(0, _SD, 2)


def likelihood(x: Array, rows: Array) -> Array:
    os.write(_tally, b"l" * len(x))
    return np.asarray(-0.5 * ((rows - x) ** 2).sum(axis=1) / _SD**2)


def run(out: Path, tally: Path) -> None:
    """One run, or what is left of it; says which stage it is at."""
    from invgan.mcmc import journal  # noqa: PLC0415
    from invgan.simulation import filling  # noqa: PLC0415

    # A run of seconds is to be cut as a long one would be: many batches, many stretches.
    filling._SECONDS, journal._LEAST_SECONDS = 0.05, 0.1
    globals()["_tally"] = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    problem = ig.Problem(
        counted, PRIOR, np.array([[1.0, -0.5]]), vectorized=False, stochastic=True,
        question="posterior", log_likelihood=likelihood,
    )  # fmt: skip
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=N),
        train=TRAIN,
        sample=ig.SampleConfig(n=DRAWS),
        mcmc=ig.McmcConfig(walkers=WALKERS, steps=STEPS),
    )
    ig.solve(problem, out, settings=settings, seed=1, device="cpu", progress=_said)
    print("end", flush=True)


@contextmanager
def _said(stage: str) -> Iterator[Any]:
    print(stage, flush=True)
    yield lambda done, total: print(stage, done, flush=True) if stage == "train" else None


@dataclass(frozen=True)
class Ran:
    """What is known of a process: the stage it ended in, what it called, what it trained.

    Attributes:
        stage: the last that it began; ``end`` where it was not killed.
        calls: of the model (m) and the likelihood (l), by row.
        trained: the first step of training that it told of, 0 where it told of none.
        seconds: of each stage that it began.
    """

    stage: str
    calls: Counter[str]
    trained: int
    seconds: dict[str, float]


def started(out: Path, aimed: str = "", delay: float = 0.0) -> Ran:
    """Let a process run; kill it so many seconds after the aimed stage began."""
    tally = out.with_suffix(".tally")
    tally.unlink(missing_ok=True)
    command = [sys.executable, __file__, "run", "--out", str(out), "--tally", str(tally)]
    lines, times = list[str](), dict[str, float]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            lines.append(line)
            times.setdefault(line.split()[0], time.monotonic())
            if aimed and line.split()[0] == aimed:
                time.sleep(delay)
                process.kill()
                break
        lines += list(process.stdout or ())
        code = process.wait()
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the run ended by itself with code {code}")
    told = [int(line.split()[1]) for line in lines if line.startswith("train ")]
    # A head that was finished before says so by its last step alone.
    trained = [step for step in told if step not in (TRAIN.head_steps, _ALL_STEPS)]
    began = [*times.values(), time.monotonic()]
    calls = Counter(tally.read_text()) if tally.exists() else Counter()
    last = lines[-1].split()[0] if lines else ""
    seconds = {name: after - at for name, at, after in zip(times, began, began[1:], strict=False)}
    return Ran(last, calls, trained[0] if trained else 0, seconds)


@dataclass(frozen=True)
class Held:
    """What a folder holds that is finished.

    Attributes:
        rows: simulations.
        steps: of training, in checkpoints.
        walked: steps of the chain.
        files: finished ones, with the times of their writing.
    """

    rows: int
    steps: int
    walked: int
    files: dict[str, int]


def held(out: Path) -> Held:
    store = out / "simulations"
    there = (store / "zarr.json").exists()
    rows = int((Stored(store).status[:N] != 0).sum()) if there else 0
    chain = sorted(out.glob("chain-*.npz"))
    walked = sum(len(np.load(file)["coords"]) for file in chain)
    files = {name: (out / name).stat().st_mtime_ns for name in FINISHED if (out / name).exists()}
    return Held(rows, sum(map(_steps, out.glob("checkpoint-*.safetensors"))), walked, files)


def _steps(checkpoint: Path) -> int:
    with safe_open(str(checkpoint), framework="np") as file:
        return int(json.loads(file.metadata()["memory"])["step"])


def again(before: Held, ran: Ran, after: Held, whole: Counter[str]) -> dict[str, int]:
    """What a process made although it was finished; only what it made in vain where killed.

    Args:
        before: what the folder held when the process began.
        ran: the process.
        after: what the folder held in the end.
        whole: calls of a run that nobody killed.
    """
    rewritten = sum(after.files.get(name) != at for name, at in before.files.items())
    ended = ran.stage == "end"
    due = {"m": whole["m"] - before.rows, "l": whole["l"] - WALKERS * before.walked}
    if "samples.npz" in before.files:
        due["m"] -= DRAWS
    if "samples-mcmc.npz" in before.files:
        due["m"] -= whole["observed"]
        due["l"] = 0
    extra = {name: ran.calls[name] - count for name, count in due.items()}
    found = extra if ended else {name: max(0, count) for name, count in extra.items()}
    return {
        "simulations": found["m"],
        "chain": found["l"],
        "training": int(0 < ran.trained <= before.steps),
        "files": rewritten,
    }


def contents(out: Path) -> dict[str, bytes]:
    """What a finished run left, as bytes; without the seconds that it took."""
    made = Stored(out / "simulations", n=N).load()
    found = {"simulations": made.x.tobytes() + made.y.tobytes()}
    for name in ("samples", "samples-raw", "samples-mcmc"):
        drawn = ig.Samples.load(out / f"{name}.npz")
        y = b"" if drawn.y is None else drawn.y.tobytes()
        found[name] = drawn.x.tobytes() + y + drawn.weights.tobytes()
    with safe_open(str(out / "inverse.safetensors"), framework="np") as file:
        tensors = {key: file.get_tensor(key) for key in sorted(file.keys())}
    found["inverse"] = b"".join(key.encode() + value.tobytes() for key, value in tensors.items())
    found["verdict"] = json.loads((out / "results.json").read_text())["verdict"].encode()
    return found


def kills(trials: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each trial."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        reference = Path(name) / "whole"
        whole = started(reference)
        counts = whole.calls + Counter(observed=_observed(reference))
        wanted = contents(reference)
        for trial in range(trials):
            delays = {stage: rng.uniform(0, whole.seconds[stage]) for stage in STAGES}
            yield {"what": "kills", "trial": trial, **_trial(Path(name), delays, counts, wanted)}


def _observed(out: Path) -> int:
    """Model runs of the draws that a chain ends in."""
    return len(ig.Samples.load(out / "samples-mcmc.npz"))


def _trial(
    folder: Path, delays: dict[str, float], whole: Counter[str], wanted: dict[str, bytes]
) -> dict[str, Any]:
    """One run, killed once in each stage, then left to end."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out = Path(name) / "run"
        states, processes = [Held(0, 0, 0, {})], list[Ran]()
        for stage, delay in [*delays.items(), ("", 0.0)]:
            processes.append(started(out, stage, delay))
            states.append(held(out))
        found = contents(out)
        made = [again(held, ran, states[-1], whole)
                for held, ran in zip(states, processes, strict=False)]  # fmt: skip
    return {
        "killed": [ran.stage for ran in processes[:-1]],
        "kept": [[state.rows, state.steps, state.walked] for state in states[1:-1]],
        "same": {name: found[name] == content for name, content in wanted.items()},
        "again": dict(sum(map(Counter, made), Counter())),
    }


# Dirty rows --------------------------------------------------------------------------------------

FATES = {"raised": 10, "timed out": 5, "not finite": 5}
"""How many rows in a hundred fail in each way."""


def fate(x: Array) -> NDArray[np.str_]:
    """What becomes of rows (..., 2): how they fail, or fine; by digits that mean nothing else."""
    lot = np.floor(np.abs(x[..., 0]) * 2**30) % 100
    edges = np.cumsum(list(FATES.values()))
    return np.array([*FATES, "fine"])[np.searchsorted(edges, lot, side="right")]


def clean(x: Array) -> Array:
    return np.asarray(x.sum(axis=-1))


def dirty(x: Array) -> Array:
    """The same of one vector, where it does not fail."""
    how = fate(x)
    if how == "raised":
        raise ArithmeticError("did not converge")
    if how == "timed out":
        time.sleep(3600)
    return clean(x) if how == "fine" else np.array(np.nan)


def fouled(n: int, draws: int, timeout: float) -> dict[str, Any]:
    """Answers from simulations of which a fifth fail, and from a table of the others."""
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=n, max_failures=0.3),
        train=TRAIN,
        sample=ig.SampleConfig(n=draws),
        mcmc=ig.McmcConfig(enabled=False),
    )
    observed = stats.norm(1, 0.5)
    failing = ig.Problem(dirty, PRIOR, observed, vectorized=False)
    failing = failing.on(Execution("process:2", timeout=timeout))
    sound = ig.Problem(clean, PRIOR, observed)
    given = {"settings": settings, "seed": 1, "device": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        one = ig.solve(failing, Path(folder) / "one", **given)
    table = survivors(sound, n, int(one.simulations.info["seed"]))
    two, three = (ig.solve(p, simulations=table, **given) for p in (failing, sound))
    left = fate(three.raw.x) == "fine"
    return {
        "what": "dirty", "n": n, "draws": draws,
        "failed": dict(Counter(one.simulations.failures["kind"].tolist())),
        "recorded": recorded(one.simulations),
        "same simulations": equal(one.simulations, table),
        "same answer": equal(one.samples, two.samples) and equal(one.raw, two.raw),
        "verdicts": [found.validation.verdict for found in (one, two, three)],
        "later runs failed": int((~left).sum()),
        "same draws without the failing": equal(
            one.raw, ig.Samples(three.raw.x[left], np.asarray(three.raw.y)[left],
                                three.raw.weights[left], three.raw.names, three.raw.outputs)),
        "means apart, in sd": apart(one.samples, three.samples),
    }  # fmt: skip


def survivors(problem: ig.Problem, n: int, seed: int) -> ig.Simulations:
    """A table of the rows that do not fail, by a model that never does."""
    made = ig.simulate(problem, n, seed=seed)
    fine = fate(made.x) == "fine"
    return ig.Simulations(made.x[fine], made.y[fine], made.names, made.outputs, made.failed)


def recorded(simulations: ig.Simulations) -> bool:
    """Whether every failure, and nothing else, is in the records and in the report's table."""
    kinds = simulations.failures["kind"].tolist()
    table = failure_table(simulations)
    counts = {} if table is None else {kind.kind: kind.count for kind in table.kinds}
    return kinds == fate(simulations.failed).tolist() and counts == dict(Counter(kinds))


def equal(a: ig.Simulations | ig.Samples, b: ig.Simulations | ig.Samples) -> bool:
    """Whether rows are the same, byte for byte."""
    ys = [np.asarray(s.y).tobytes() for s in (a, b)]
    return a.x.tobytes() == b.x.tobytes() and ys[0] == ys[1]


def apart(a: ig.Samples, b: ig.Samples) -> float:
    return float((np.abs(a.x.mean(axis=0) - b.x.mean(axis=0)) / b.x.std(axis=0)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["kills", "dirty", "run"])
    parser.add_argument("--trials", type=int, default=30, help="of kills, three kills in each")
    parser.add_argument("--rows", type=int, default=2000, help="of dirty")
    parser.add_argument("--draws", type=int, default=400, help="of dirty")
    parser.add_argument("--timeout", type=float, default=1.0, help="of dirty, seconds")
    parser.add_argument("--tally", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reliability.jsonl"))
    args = parser.parse_args()
    if args.what == "run":
        run(args.out, args.tally)
        return
    rows = (
        kills(args.trials)
        if args.what == "kills"
        else [fouled(args.rows, args.draws, args.timeout)]
    )
    for row in rows:
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
