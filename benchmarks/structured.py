"""Accuracy on structured observations whose exact posteriors are known: a time series, and sets.

    python benchmarks/structured.py --case oscillator --kind conv1d --seeds 3 --out structured.jsonl
    python benchmarks/structured.py --case known --kind conv1d --seeds 3 --out structured.jsonl
    python benchmarks/structured.py --case sets --kind set --seeds 3 --out structured.jsonl

**oscillator**: 200 noisy points of ``e^(-g t) (a cos w t + b sin w t)``. Given w and g the model is
linear in a and b, whose prior is normal; so they can be integrated out in closed form, and what is
left is a density of two variables, drawn from on a grid that zooms in on it. In the case **known**
the law of the noise is stated, and the model is its deterministic part: the same posteriors.

**sets**: 1 to 20 draws of N(m, v) under a normal-inverse-gamma prior, which is conjugate. One
training answers for every size.

C2ST is the quick one of `invgan.metrics`, five folds; 0.5 is exact.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import invgan as ig
from invgan.metrics import c2st
from invgan.priors import Box
from invgan.settings import EmbeddingConfig, TrainConfig
from invgan.structure import pad_row

Array = NDArray[np.float64]

TIMES = np.linspace(0, 10, 200)
NOISE = 0.3
REPEATS = 20
SIZES = (1, 2, 5, 10, 20)

_DRAWS = 5_000
_CELLS = 200
_ZOOMS = 3
_NEGLIGIBLE = 20.0


@dataclass(frozen=True)
class Observed:
    """One observation: its row (1, L), its size, and exact posterior draws (n, D)."""

    row: Array
    size: int
    exact: Array


OSCILLATOR = ig.Prior(
    frequency=stats.uniform(1, 4),
    damping=stats.uniform(0.05, 0.45),
    cosine=stats.norm(),
    sine=stats.norm(),
)


def oscillator(x: Array, rng: np.random.Generator) -> Array:
    """Traces (n, 200) of x (n, 4): frequency, damping, cosine and sine amplitude."""
    return trace(x) + NOISE * rng.normal(size=(len(x), len(TIMES)))


def trace(x: Array) -> Array:
    """The same without noise."""
    return np.asarray(np.einsum("ntk,nk->nt", _waves(x[:, 0], x[:, 1]), x[:, 2:]))


def oscillator_posterior(y: Array, n: int, rng: np.random.Generator) -> Array:
    """Exact draws (n, 4) given one trace y (200,)."""
    low, high = OSCILLATOR.support.low[:2], OSCILLATOR.support.high[:2]
    for _ in range(_ZOOMS):
        width = (high - low) / _CELLS
        centres = low + width * (np.arange(_CELLS) + 0.5)[:, None]
        log_mass = _log_evidence(y, centres)
        mattering = np.argwhere(log_mass > log_mass.max() - _NEGLIGIBLE)
        grid = low, width, log_mass
        low, high = low + width * mattering.min(axis=0), low + width * (mattering.max(axis=0) + 1)
    corner, width, log_mass = grid
    mass = np.exp(log_mass - log_mass.max()).ravel()
    cells = np.unravel_index(rng.choice(mass.size, n, p=mass / mass.sum()), log_mass.shape)
    shape = corner + width * (np.stack(cells, axis=1) + rng.random((n, 2)))
    precision, linear = _normal_equations(y, _waves(shape[:, 0], shape[:, 1]))
    factor = np.linalg.cholesky(np.linalg.inv(precision))
    mean = np.linalg.solve(precision, linear[:, :, None])[:, :, 0]
    amplitudes = mean + np.einsum("nij,nj->ni", factor, rng.normal(size=(n, 2)))
    return np.concatenate([shape, amplitudes], axis=1)


def _waves(frequency: Array, damping: Array) -> Array:
    """The two damped waves (n, 200, 2) that a trace is made of."""
    angle, envelope = frequency[:, None] * TIMES, np.exp(-damping[:, None] * TIMES)
    return np.stack([envelope * np.cos(angle), envelope * np.sin(angle)], axis=2)


def _normal_equations(y: Array, waves: Array) -> tuple[Array, Array]:
    """Precision (n, 2, 2) of the amplitudes given y, and precision times mean (n, 2)."""
    precision = np.eye(2) + np.einsum("nti,ntj->nij", waves, waves) / NOISE**2
    return precision, np.einsum("nti,t->ni", waves, y) / NOISE**2


def _log_evidence(y: Array, centres: Array) -> Array:
    """Log p(y given frequency, damping) on the grid of centres (m, 2), shape (m, m).

    Sums over times of a function of frequency and one of damping are matrix products.
    """
    angle, fall = centres[:, :1] * TIMES, np.exp(-centres[:, 1:] * TIMES).T
    c, s = np.cos(angle), np.sin(angle)
    first, second = (c * y) @ fall / NOISE**2, (s * y) @ fall / NOISE**2
    p, q, r = ((u @ fall**2) / NOISE**2 for u in (c * c, c * s, s * s))
    determinant = (1 + p) * (1 + r) - q**2
    square = (1 + r) * first**2 - 2 * q * first * second + (1 + p) * second**2
    return 0.5 * square / determinant - 0.5 * np.log(determinant)


class NormalInverseGamma:
    """``v ~ InverseGamma(a, b)``, ``m given v ~ N(0, v / k)``."""

    names = ("mean", "variance")
    support = Box(np.array([-np.inf, 0.0]), np.array([np.inf, np.inf]))
    a, b, k = 3.0, 2.0, 0.5

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draws (n, 2)."""
        variance = self.b / rng.gamma(self.a, size=n)
        return np.stack([np.sqrt(variance / self.k) * rng.normal(size=n), variance], axis=1)

    def log_prob(self, x: Array) -> Array:
        """Log-density (n,)."""
        law = stats.norm(scale=np.sqrt(np.maximum(x[:, 1], 1e-300) / self.k))
        density = stats.invgamma.logpdf(x[:, 1], self.a, scale=self.b) + law.logpdf(x[:, 0])
        return np.where(x[:, 1] > 0, density, -np.inf)

    def posterior(self, y: Array, n: int, rng: np.random.Generator) -> Array:
        """Exact draws (n, 2) given the set y (R,)."""
        k = self.k + len(y)
        spread = y.var() * len(y) + self.k * len(y) / k * y.mean() ** 2
        variance = (self.b + spread / 2) / rng.gamma(self.a + len(y) / 2, size=n)
        return np.stack([y.sum() / k + np.sqrt(variance / k) * rng.normal(size=n), variance], 1)


SETS = NormalInverseGamma()


def single_draw(x: Array, rng: np.random.Generator) -> Array:
    """One draw (n, 1) of N(x[0], x[1]); twenty of them are one experiment."""
    return x[:, :1] + np.sqrt(x[:, 1:]) * rng.normal(size=(len(x), 1))


def oscillator_case(
    kind: str, n: int, seed: int, *, known: bool = False
) -> tuple[ig.Problem, ig.Simulations, EmbeddingConfig, Iterator[Observed]]:
    """Ten traces of prior parameters, the same for every seed."""
    rng = np.random.default_rng(2026)
    rows = oscillator(OSCILLATOR.sample(10, rng), rng)
    problem = ig.Problem(
        trace if known else oscillator, OSCILLATOR, rows[:1], stochastic=not known,
        noise={"normal": NOISE} if known else None, question="posterior",
    )  # fmt: skip
    seen = (Observed(y[None], len(y), oscillator_posterior(y, _DRAWS, rng)) for y in rows)
    return problem, ig.simulate(problem, n, seed=seed), EmbeddingConfig(kind=kind), seen


def sets_case(
    kind: str, n: int, seed: int
) -> tuple[ig.Problem, ig.Simulations, EmbeddingConfig, Iterator[Observed]]:
    """Two sets of each of five sizes, the same for every seed; without `set`, all of size 20."""
    rng = np.random.default_rng(2026)
    sizes = 2 * (SIZES if kind == "set" else (REPEATS,) * len(SIZES))
    rows = [single_draw(np.repeat(x[None], k, axis=0), rng) for x, k in _sets(sizes, rng)]
    full = single_draw(np.repeat(SETS.sample(1, rng), REPEATS, axis=0), rng)
    problem = ig.Problem(single_draw, SETS, full, stochastic=True, question="posterior")
    shape = (REPEATS, 1)
    seen = (
        Observed(pad_row(np.sort(y, axis=0), shape), len(y), SETS.posterior(y[:, 0], _DRAWS, rng))
        for y in rows
    )
    embedding = EmbeddingConfig(kind=kind, shape=shape if kind == "set" else None)
    return problem, ig.simulate(problem, n, seed=seed), embedding, seen


def _sets(sizes: tuple[int, ...], rng: np.random.Generator) -> Iterator[tuple[Array, int]]:
    return zip(SETS.sample(len(sizes), rng), sizes, strict=True)


CASES = {
    "oscillator": oscillator_case,
    "known": partial(oscillator_case, known=True),
    "sets": sets_case,
}


def measure(case: str, kind: str, n: int, seed: int, **settings: Any) -> dict[str, Any]:
    """Train once, answer all observations of the case, and compare with their exact answers."""
    started = time.perf_counter()
    problem, simulations, embedding, seen = CASES[case](kind, n, seed)
    config = TrainConfig(embedding=embedding, **settings)
    inverse = ig.train(problem, simulations, config, seed=seed)
    trained = time.perf_counter() - started
    answers = []
    for number, observed in enumerate(seen):
        x = inverse.draw(np.repeat(observed.row, _DRAWS, axis=0), seed=number)
        answers.append({"size": observed.size, "c2st": c2st(x, observed.exact, folds=5)})
    return {
        "case": case,
        "kind": kind,
        "n": n,
        "seed": seed,
        "seconds": trained,
        "c2st": float(np.mean([a["c2st"] for a in answers])),
        "answers": answers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=list(CASES), required=True)
    parser.add_argument("--kind", default="none", help="kind of embedding")
    parser.add_argument("--n", type=int, default=20_000, help="simulations")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("structured.jsonl"))
    args = parser.parse_args()
    for seed in range(args.seeds):
        row = measure(args.case, args.kind, args.n, seed)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            args.case, args.kind, seed, f"{row['c2st']:.3f}", f"{row['seconds']:.0f} s", flush=True
        )


if __name__ == "__main__":
    main()
