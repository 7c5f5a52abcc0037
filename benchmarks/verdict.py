"""Whether the verdict is right: exact answers and planted lies over problems with closed forms.

    python benchmarks/verdict.py --out verdict.jsonl
    python benchmarks/verdict.py --table verdict.jsonl

Nothing is trained: a sampler of the exact conditional p(x given y), or one with a known fault,
stands in the place of the inverse, and the answer is what it draws. Everything else is as in a run
with default settings: 100,000 simulations, of which 5 % are held out, and 20,000 draws. Each seed
makes new simulations, a new observation and new draws. An exact answer that is not called
consistent is a false alarm; a lie that is called consistent is missed. The problems and the lies,
with their sizes, are in planted.py; seconds are of processor time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from planted import (
    CONDITIONALS,
    OUTPUTS,
    POSTERIOR,
    Case,
    Fault,
    Returner,
    Stand,
    linear,
    looked_up,
)
from scipy import stats

from invgan import gallery
from invgan.checks import validate
from invgan.observations import Law
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate, simulate

Array = NDArray[np.float64]

_SIMULATIONS, _DRAWS = 100_000, 20_000
POPULATION = ("rosenbrock", "root-ratio", "linear-gaussian")


def posterior_trial(name: str, kind: str, seed: int) -> dict[str, Any]:
    """Judge one posterior, exact or with a lie."""
    case, rng = POSTERIOR[name](), np.random.default_rng([seed, 1])
    make = partial(Problem, case.model, case.prior, stochastic=case.stochastic)
    if kind == "other model":
        observed = case.other(rng)
    else:
        one = make(np.zeros((1, _width(case))), question="posterior")
        x = case.prior.sample(1, rng)
        observed = evaluate(one, np.repeat(x, case.repeats, axis=0), seed=seed).ravel()
    rows = observed.reshape(case.repeats, -1)
    problem = make(rows, question="posterior")
    simulations = simulate(problem, _SIMULATIONS, seed=seed)
    fault = case.lies.get(kind, Fault())
    if kind.startswith("local"):
        fault = replace(fault, near=float(rows.mean()))
    inverse = Returner(problem) if kind == "prior" else Stand(case.law, fault, case.error)
    at = np.sort(rows, axis=0).reshape(1, -1)
    x = inverse.draw(np.repeat(at, _DRAWS, axis=0), seed=seed + 1)
    return judged(problem, x, simulations, inverse, seed)


def _width(case: Case) -> int:
    """How many outputs one measurement has."""
    x = case.prior.sample(2, np.random.default_rng(0))
    noise = (np.random.default_rng(0),) if case.stochastic else ()
    return int(case.model(x, *noise).shape[1])


def population_trial(name: str, kind: str, seed: int) -> dict[str, Any]:
    """Judge one population answer; with ", no inverse" or ", right inverse" that is given."""
    kind, _, given = kind.partition(", ")
    problem, rng = gallery.get(name).problem, np.random.default_rng([seed, 2])
    if kind == "other model":
        problem = Problem(problem.model, problem.prior, _elsewhere(problem))
    simulations = simulate(problem, _SIMULATIONS, seed=seed)
    exact = Stand(linear) if name == "linear-gaussian" else Stand(looked_up(name))
    inverse: Any = CONDITIONALS[name].get(kind, lambda: exact)()
    if kind == "prior":
        inverse = Returner(problem)
    y = problem.observations.sample(_DRAWS, rng)
    if kind in OUTPUTS:
        y = OUTPUTS[kind](y, y.mean(axis=0))
    x = inverse.draw(y, seed=seed)
    if kind == "exact":
        x = gallery.get(name).exact(_DRAWS, seed + 1000)
    shown = {"no inverse": None, "right inverse": exact}.get(given, inverse)
    return judged(problem, x, simulations, shown, seed)


def _elsewhere(problem: Problem) -> Law:
    """A law of outputs that no parameter gives."""
    if len(problem.outputs) > 1:
        return Law((), stats.multivariate_normal(10 * np.ones(5), np.eye(5)), 5)
    return Law((stats.norm(-1, 0.1),), None, 1)


def judged(
    problem: Problem, x: Array, simulations: Simulations, inverse: Any, seed: int
) -> dict[str, Any]:
    """The verdict on draws x, and what carried it."""
    names, started = problem.prior.names, time.process_time()
    samples = Samples(x, None, np.ones(len(x)), names, problem.outputs)
    rests = getattr(inverse, "error", None) is not None
    found = validate(
        problem, samples, simulations=simulations, inverse=inverse, seed=seed,
        residuals=inverse.residuals if rests else None,
    )  # fmt: skip
    return {
        "verdict": found.verdict,
        "failed": sorted({m.name for m in found.measures if not m.passed}),
        "values": {f"{m.name}/{m.output}": [m.value, m.limit] for m in found.measures},
        "reasons": found.reasons,
        "seconds": time.process_time() - started,
    }


def trials() -> Iterator[tuple[str, str, Callable[[int], dict[str, Any]]]]:
    """Every problem with every kind of answer."""
    for name, build in POSTERIOR.items():
        for kind in ("exact", *build().lies, "prior", "other model"):
            yield name, kind, partial(posterior_trial, name, kind)
    for name in POPULATION:
        kinds = ["exact", *CONDITIONALS[name], *OUTPUTS, "prior", "other model"]
        kinds += [f"{kind}, right inverse" for kind in CONDITIONALS[name]]
        if name != "linear-gaussian":
            kinds += [f"{kind}, no inverse" for kind in CONDITIONALS[name]]
        for kind in kinds:
            yield name, kind, partial(population_trial, name, kind)


def table(path: Path) -> str:
    """Counts of verdicts by kind, in markdown, and the sums."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = ["| problem | answer | trials | consistent | not consistent | not answerable | wrong |"]
    lines.append("|---|---|---|---|---|---|---|")
    words = ("consistent", "not consistent", "not answerable")
    for key in dict.fromkeys((r["problem"], r["kind"]) for r in rows):
        mine = [r["verdict"] for r in rows if (r["problem"], r["kind"]) == key]
        wrong = sum((v == "consistent") != (key[1] == "exact") for v in mine)
        cells = [*key, len(mine), *(mine.count(w) for w in words), wrong]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    exact = [r for r in rows if r["kind"] == "exact"]
    lies = [r for r in rows if r["kind"] != "exact"]
    alarms = sum(r["verdict"] != "consistent" for r in exact)
    missed = sum(r["verdict"] == "consistent" for r in lies)
    lines.append(f"\n{alarms} false alarms in {len(exact)} exact answers; ")
    return "\n".join(lines) + f"{missed} of {len(lies)} lies called consistent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exact-seeds", type=int, default=10, help="seeds of the exact answers")
    parser.add_argument("--lie-seeds", type=int, default=2, help="seeds of every lie")
    parser.add_argument("--first", type=int, default=100, help="first seed")
    parser.add_argument("--problem", action="append", choices=[*POSTERIOR, *POPULATION])
    parser.add_argument("--kind", action="append", help="only these kinds of answer")
    parser.add_argument("--out", type=Path, default=Path("verdict.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for name, kind, trial in trials():
        if name not in (args.problem or [name]) or kind not in (args.kind or [kind]):
            continue
        seeds = args.exact_seeds if kind == "exact" else args.lie_seeds
        for seed in range(args.first, args.first + seeds):
            row = {"problem": name, "kind": kind, "seed": seed, **trial(seed)}
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, "|", kind, "|", seed, "|", row["verdict"], row["failed"],
                  f"{row['seconds']:.1f} s", flush=True)  # fmt: skip
    print(table(args.out))


if __name__ == "__main__":
    main()
