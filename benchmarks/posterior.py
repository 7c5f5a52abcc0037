"""Accuracy of the default settings on the public posterior benchmark, amortised.

    pip install --no-deps sbibm==1.1.0
    python benchmarks/posterior.py --task two_moons slcp --n 10000 --seeds 1 --out posterior.jsonl
    python benchmarks/posterior.py --task two_moons --n 10000 --peer --out posterior.jsonl
    python benchmarks/posterior.py --task two_moons --keep draws --quick   # then without --quick
    python benchmarks/posterior.py --table posterior.jsonl

One training for each task, budget and seed answers all ten observations. C2ST is the published
metric: scikit-learn's perceptron of two layers of 10 D units to convergence, five folds, 10,000
draws against the 10,000 reference draws, all standardised by the reference. Coverage is that of the
densest draws on 4,000 fresh simulations, whose own noise is 0.8 % at 50 %: dense by the distance to
their neighbours and, as `coverage_by_density`, by the density of the heads, as in the verdict.
`--peer` trains NPE of the package sbi, with its defaults (a masked autoregressive flow) or
`--density nsf`, on the same simulations with as many threads.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sbibm_tasks
import torch
from numpy.typing import NDArray

import invgan as ig
from invgan.calibration import calibrate
from invgan.checks.consistency import against_likelihood
from invgan.metrics import c2st
from invgan.simulation import evaluate

Array = NDArray[np.float64]
Draw = Callable[[Array, int], Array]

PUBLISHED = {
    "two_moons": (0.725, 0.606, 0.542),
    "gaussian_linear": (0.694, 0.552, 0.506),
    "gaussian_linear_uniform": (0.696, 0.553, 0.509),
    "gaussian_mixture": (0.716, 0.615, 0.548),
    "slcp": (0.975, 0.901, 0.831),
    "bernoulli_glm": (0.863, 0.678, 0.559),
    "sir": (0.815, 0.680, 0.585),
    "lotka_volterra": (0.999, 0.997, 0.981),
}
"""NPE's mean C2ST over the ten observations at 1k, 10k and 100k simulations."""

_BUDGETS = (1_000, 10_000, 100_000)
_DRAWS, _FRESH, _JUDGED = 10_000, 6_000, 4_000
_LEVELS = (0.5, 0.8, 0.95)


def run(task: sbibm_tasks.Task, n: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One training and its figures, or those of draws that were kept."""
    method = f"sbi NPE {options.density}" if options.peer else "invgan"
    kept = options.keep and options.keep / f"{method}-{task.name}-{n}-{seed}.npz"
    if kept and kept.is_file():
        with np.load(kept) as stored:
            answers, about = {number: stored[str(number)] for number in options.observations}, {}
    else:
        answers, about = _trained(task, n, seed, options)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(kept, **{str(number): x for number, x in answers.items()})
    scores = [
        c2st(
            x[:_DRAWS], task.reference(number), seed=1, folds=5, published=not options.quick,
        )
        for number, x in answers.items()
    ]  # fmt: skip
    return {
        "task": task.name,
        "n": n,
        "seed": seed,
        "method": method,
        "c2st": float(np.mean(scores)),
        "each": [round(float(score), 4) for score in scores],
        "quick": options.quick,
        **about,
    }


def _trained(
    task: sbibm_tasks.Task, n: int, seed: int, options: argparse.Namespace
) -> tuple[dict[int, Array], dict[str, Any]]:
    """Draws for each observation by one training, and what there is to say of it."""
    problem = task.problem(1)
    simulations = ig.simulate(problem, n, seed=10_000 + seed)
    started = time.perf_counter()
    inverse: ig.Inverse | None = None
    if options.peer:
        draw = _peer(problem, simulations, seed, options.density)
    else:
        inverse = ig.train(problem, simulations, ig.TrainConfig(members=options.members), seed=seed)
        draw = partial(_draw, inverse)
    about: dict[str, Any] = {"seconds": time.perf_counter() - started}
    answers = {number: draw(task.observation(number), seed) for number in options.observations}
    if inverse is not None:
        about |= _about(problem, inverse) | _expected(task, inverse, answers, seed)
    return answers, about


def _expected(
    task: sbibm_tasks.Task, inverse: ig.Inverse, answers: dict[int, Array], seed: int
) -> dict[str, list[float]]:
    """The verdict's likelihood C2ST at each observation, where the draws rest on a likelihood."""
    if not inverse.rests_on_likelihood:
        return {}
    found = []
    for number, x in answers.items():
        y = evaluate(task.problem(number), x, seed=seed)
        (figure,) = against_likelihood(inverse.residuals, x, y, seed)
        found.append(round(figure.value, 4))
    return {"likelihood_c2st": found}


def _draw(inverse: ig.Inverse, row: Array, seed: int) -> Array:
    return ig.sample(inverse, row, _DRAWS, seed=seed).x


def _about(problem: ig.Problem, inverse: ig.Inverse) -> dict[str, Any]:
    """What was kept, and the coverage over fresh simulations."""
    fresh = ig.simulate(problem, _FRESH, seed=77)
    kept = {key: inverse.info[key] for key in ("head", "heads", "kept_step", "judge", "likelihood")}
    rules = {"coverage": None, "coverage_by_density": inverse.log_prob_of_heads}
    once = _Remembered(inverse)
    for name, log_density in rules.items():
        found = calibrate(once, fresh.x, fresh.y, log_density=log_density, pairs=_JUDGED)
        kept[name] = {level: found.coverage(level) for level in _LEVELS}
    return kept


@dataclass(frozen=True)
class _Remembered:
    """An inverse whose draws for the same rows, which the seed tells here, are made once."""

    inverse: ig.Inverse
    known: dict[int, Array] = field(default_factory=dict)

    def draw(self, y: Array, *, seed: int = 0) -> Array:
        """One parameter vector for each row of outputs y (n, L)."""
        if seed not in self.known:
            self.known[seed] = self.inverse.draw(y, seed=seed)
        return self.known[seed]


def _peer(problem: ig.Problem, simulations: ig.Simulations, seed: int, density: str) -> Draw:
    """NPE with sbi's defaults on the same simulations; draws outside the prior are rejected."""
    from sbi.inference import NPE  # noqa: PLC0415  (only the comparison needs it)

    torch.manual_seed(seed)
    trainer = NPE(density_estimator=density, show_progress_bars=False)
    theta, y = (torch.tensor(a, dtype=torch.float32) for a in (simulations.x, simulations.y))
    trainer.append_simulations(theta, y)
    estimator = trainer.train()

    def draw(row: Array, draw_seed: int) -> Array:
        torch.manual_seed(draw_seed)
        kept: list[Array] = []
        while sum(map(len, kept)) < _DRAWS:
            condition = torch.tensor(row, dtype=torch.float32)
            x = estimator.sample((2 * _DRAWS,), condition=condition).detach().numpy()[:, 0]
            kept.append(x[np.isfinite(problem.prior.log_prob(x.astype(float)))])
        return np.concatenate(kept).astype(float)

    return draw


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Mean (and worst) of the seeds of every task, budget and method, and the published figure."""
    yield "| task | simulations | method | C2ST | NPE published | coverage, % | seconds | seeds |"
    yield "|---|---|---|---|---|---|---|---|"
    keys = sorted({(r["task"], r["n"], r["method"]) for r in rows})
    for task, n, method in keys:
        mine = [r for r in rows if (r["task"], r["n"], r["method"]) == (task, n, method)]
        scores = [r["c2st"] for r in mine]
        seconds = [r["seconds"] for r in mine if "seconds" in r] or [np.nan]
        bar = PUBLISHED[task][_BUDGETS.index(n)] if n in _BUDGETS else float("nan")
        yield (
            f"| {task} | {n} | {method} | {np.mean(scores):.3f} ({max(scores):.3f}) | {bar:.3f} | "
            f"{_coverage(mine)} | {np.mean(seconds):.0f} | {len(mine)} |"
        )


def _coverage(rows: list[dict[str, Any]]) -> str:
    """Mean over seeds at each level, in percent; nothing of a peer."""
    found = [list(row["coverage"].values()) for row in rows if "coverage" in row]
    return ", ".join(f"{100 * c:.1f}" for c in np.mean(found, axis=0)) if found else ""


def main() -> None:
    """Run, or print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", nargs="+", default=list(sbibm_tasks.TASKS))
    parser.add_argument("--n", nargs="+", type=int, default=[10_000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--observations", nargs="+", type=int, default=list(range(1, 11)))
    parser.add_argument("--members", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help="the quick C2ST")
    parser.add_argument(
        "--keep", type=Path, help="a folder for draws; those that lie there are scored anew"
    )
    parser.add_argument("--peer", action="store_true", help="sbi's NPE in place of invgan")
    parser.add_argument("--density", default="maf")
    parser.add_argument("--out", type=Path, default=Path("posterior.jsonl"))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        rows = [json.loads(line) for line in options.table.read_text().splitlines()]
        print("\n".join(table(rows)))
        return
    torch.set_num_threads(1)
    for n in options.n:
        for name in options.task:
            for seed in range(options.first, options.first + options.seeds):
                row = run(sbibm_tasks.get(name), n, seed, options)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name} {n} seed {seed}: C2ST {row['c2st']:.3f}", flush=True)


if __name__ == "__main__":
    main()
