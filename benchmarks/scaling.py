"""Accuracy against the number of simulations and of parameters, on a known curved posterior.

    python benchmarks/scaling.py --dimension 2 5 10 20 50 --n 10000 --out scaling.jsonl
    python benchmarks/scaling.py --dimension 10 --n 1000 100000 --out scaling.jsonl
    python benchmarks/scaling.py --dimension 10 --n 1000 --peer --out scaling.jsonl
    python benchmarks/scaling.py --table scaling.jsonl --figure scaling.png

Standard normal w are bent into a chain, ``x_1 = w_1, x_j = w_j + (w_{j-1}^2 - 1) / 2``, and seen as
``y = R w + e``, where R is a rotation and e is normal of standard deviation 1/2. Given y, w is
normal in closed form; so exact draws of x are its draws, bent. C2ST is the quick one, five folds,
the mean over the first three observations. `--peer` is NPE of the package sbi, as in posterior.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import posterior
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

import invgan as ig
from invgan.plots import style
from invgan.priors import Box

Array = NDArray[np.float64]

_NOISE = 0.5
_DRAWS = 10_000


@dataclass(frozen=True)
class Chain:
    """The prior: a standard normal vector, bent; its map keeps volumes."""

    dimension: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(f"x{j + 1}" for j in range(self.dimension))

    @property
    def support(self) -> Box:
        """All real numbers."""
        return Box(np.full(self.dimension, -np.inf), np.full(self.dimension, np.inf))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n vectors, shape (n, D)."""
        return bent(rng.normal(size=(n, self.dimension)))

    def log_prob(self, x: Array) -> Array:
        """Log-density of each row of x (n, D), shape (n,)."""
        return np.asarray(stats.norm.logpdf(straight(x)).sum(axis=1))


def bent(w: Array) -> Array:
    """Parameters x from w, both of shape (n, D)."""
    x = w.copy()
    x[:, 1:] += (w[:, :-1] ** 2 - 1) / 2
    return x


def straight(x: Array) -> Array:
    """The inverse of `bent`."""
    w = x.copy()
    for j in range(1, x.shape[1]):
        w[:, j] -= (w[:, j - 1] ** 2 - 1) / 2
    return w


@dataclass(frozen=True)
class Bent:
    """A task for posterior.py with so many parameters."""

    dimension: int

    @property
    def name(self) -> str:
        """As the rows of the file call it."""
        return f"chain of {self.dimension}"

    @cached_property
    def rotation(self) -> Array:
        """R, shape (D, D)."""
        return np.asarray(stats.special_ortho_group(self.dimension, seed=1).rvs())

    def problem(self, number: int) -> ig.Problem:
        """The posterior question for observation number 1, 2, ..."""

        def model(x: Array, rng: np.random.Generator) -> Array:
            return straight(x) @ self.rotation.T + _NOISE * rng.normal(size=x.shape)

        return ig.Problem(
            model, Chain(self.dimension), self.observation(number),
            stochastic=True, question="posterior",
        )  # fmt: skip

    def observation(self, number: int) -> Array:
        """The observed row, shape (1, D)."""
        rng = np.random.default_rng([number, self.dimension])
        w, e = rng.normal(size=(2, 1, self.dimension))
        return np.asarray(w @ self.rotation.T + _NOISE * e)

    def reference(self, number: int) -> Array:
        """10,000 draws of the exact posterior, shape (10000, D)."""
        shrunk = 1 / (1 + _NOISE**2)
        rng = np.random.default_rng([number, self.dimension, 1])
        spread = np.sqrt(1 - shrunk) * rng.normal(size=(_DRAWS, self.dimension))
        return bent(shrunk * self.observation(number) @ self.rotation + spread)


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Mean C2ST of the seeds, a row for each number of parameters, simulations and method."""
    yield "| parameters | simulations | method | C2ST | seconds | seeds |"
    yield "|---|---|---|---|---|---|"
    for dimension, n, method in sorted({(r["dimension"], r["n"], r["method"]) for r in rows}):
        mine = [r for r in rows if (r["dimension"], r["n"], r["method"]) == (dimension, n, method)]
        score, seconds = (np.mean([r[key] for r in mine]) for key in ("c2st", "seconds"))
        yield f"| {dimension} | {n:,} | {method} | {score:.3f} | {seconds:.0f} | {len(mine)} |"


def curves(rows: list[dict[str, Any]], path: Path) -> None:
    """C2ST against parameters at 10,000 simulations, and against simulations at 10 parameters."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = style.panels(figure, 2)
    drawn = (
        (left, "dimension", "n", 10_000, "parameters (10,000 simulations)"),
        (right, "n", "dimension", 10, "simulations (10 parameters)"),
    )
    methods = sorted({row["method"] for row in rows})
    for axes, along, fixed, value, label in drawn:
        measured = sorted({row[along] for row in rows if row[fixed] == value})
        for colour, method in zip((style.ANSWER, style.BASELINE), methods, strict=False):
            found: dict[int, list[float]] = {}
            for row in rows:
                if row["method"] == method and row[fixed] == value:
                    found.setdefault(row[along], []).append(row["c2st"])
            at = sorted(found)
            axes.plot(at, [np.mean(found[k]) for k in at], "o-", color=colour, label=method)
        axes.set(xscale="log", xlabel=label, ylabel="C2ST (0.5 is exact)", ylim=(0.48, 1.0))
        axes.set_xticks(measured, [f"{tick:,}" for tick in measured])
        axes.minorticks_off()
    left.legend(frameon=False)
    style.save_png(figure, path)


def main() -> None:
    """Run, or print the table and draw the curves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dimension", nargs="+", type=int, default=[2, 5, 10, 20, 50])
    parser.add_argument("--n", nargs="+", type=int, default=[10_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="sbi's NPE in place of invgan")
    parser.add_argument("--density", default="maf", help="of the peer")
    parser.add_argument("--out", type=Path, default=Path("scaling.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    parser.add_argument("--figure", type=Path, help="draw the curves of the table")
    options = parser.parse_args()
    if options.table:
        rows = [json.loads(line) for line in options.table.read_text().splitlines()]
        print("\n".join(table(rows)))
        if options.figure:
            curves(rows, options.figure)
        return
    torch.set_num_threads(1)
    options.observations, options.members, options.quick = [1, 2, 3], None, True
    for n in options.n:
        for dimension in options.dimension:
            row = posterior.run(Bent(dimension), n, options.seed, options)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"dimension": dimension, **row}) + "\n")
            print(f"{dimension} parameters, {n}: C2ST {row['c2st']:.3f}", flush=True)


if __name__ == "__main__":
    main()
