"""The population behind a model with noise, in rounds that the model itself judges.

For a model with noise the posterior averaged over the observations is wider than the population by
the noise. The steps of `invgan.mixing.steps` take it further with the likelihood that the trained
inverse holds, as many as rows that they did not see ask for. That likelihood is learnt, so what
comes out is only a proposal: parameters are drawn from it, the model is run on them with fresh
noise, and its outputs are held against all observed rows. A run is over when

- the number of steps is the best one for unseen rows, so that it is neither too small (an answer
  that is too wide) nor too large (one that has shrunk to atoms), and
- the model's outputs cannot be told from the observations by more than what two samples of one law
  differ by, or than is too small to matter (`invgan.mixing.agreement`).

Where they can be told apart the likelihood is at fault, and the outputs mend it: what candidate i
does to the mixture density p, ``phi_i(y) = A(x_i, y) / p(y)``, gets the factor that brings its mean
over the model's own outputs to one (`invgan.mixing.evidence`). The steps in turn rest where its
mean over the observed rows is one. Where both hold, the outputs and the observations agree in the
mean of every phi_i, whether the likelihood is right or not. One round's outputs alone would let the
answer swing about that point, so those of the later half of the rounds are taken together.

The first round shows the averaged posterior for what it is. If no round is good enough, the best
one is returned and says so.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.arguments import whole
from invgan.errors import CorrectionError, InputError
from invgan.mixing.agreement import Agreement, agreement
from invgan.mixing.between import MOST_OUTPUTS
from invgan.mixing.draws import draw
from invgan.mixing.evidence import (
    Evidence,
    Likelihood,
    Rows,
    choose_rows,
    draw_candidates,
    normalise,
    weigh,
)
from invgan.mixing.steps import Mixture, averaged, maximise
from invgan.models.identity import while_working
from invgan.problem import Problem
from invgan.resampling import effective_share
from invgan.samples import Samples
from invgan.simulation import Progress, evaluate

__all__ = ["iterate"]

Array = NDArray[np.float64]

_CANDIDATES_A_ROW, _WHERE_ROWS_LIE_BETWEEN, _MOST_CANDIDATES = 8, 32, 4
_FEWEST_DRAWS, _FEWEST_PAIRS = 20, 10_000


@dataclass(frozen=True)
class _Round:
    """One proposal, and what the model said of it.

    Attributes:
        mixture: candidates weighed.
        x: draws with finite outputs, shape (m, D).
        y: those outputs, shape (m, L).
        distinct: the share of draws that are no repeats.
        found: how far the outputs are from the observed rows.
    """

    mixture: Mixture
    x: Array
    y: Array
    distinct: float
    found: Agreement

    @property
    def passed(self) -> bool:
        """Whether the outputs cannot be told from the observed rows."""
        return self.found.excess <= 1

    def described(self, k: int, problem: Problem, kept: bool) -> dict[str, Any]:
        """Figures for the report."""
        return {
            "round": k,
            "steps": self.mixture.steps,
            "gain": self.mixture.gain,
            "ks": dict(zip(problem.outputs, self.found.ks, strict=True)),
            "c2st": self.found.c2st,
            "energy": self.found.energy,
            "excess": self.found.excess,
            "effective_share": effective_share(self.mixture.weights),
            "distinct": self.distinct,
            "kept": kept,
        }


@dataclass(frozen=True)
class _Bench:
    """Where proposals are tried.

    Attributes:
        problem: whose model judges.
        inverse: of fresh draws.
        n: draws and model runs a round.
        rounds: most rounds after the first.
        candidates: how many there are.
        progress: of the caller.
        scratch: where outputs are kept as they come.
    """

    problem: Problem
    inverse: Likelihood
    n: int
    rounds: int
    candidates: int
    progress: Progress | None
    scratch: Path | None = None

    @property
    def total(self) -> int:
        """Candidates and model runs, at most."""
        return (self.rounds + 1) * (self.candidates + self.n)

    def advance(self, k: int, done: int) -> None:
        """Tell the caller how many candidates and model runs of round k are done."""
        if self.progress is not None:
            self.progress(k * (self.candidates + self.n) + done, self.total)

    def mend(
        self, k: int, evidence: Evidence, tried: list[_Round], rows: Rows, rng: np.random.Generator
    ) -> Evidence:
        """The evidence with likelihoods that the outputs of these rounds together agree with."""
        return normalise(
            self.inverse,
            evidence,
            np.mean([r.mixture.weights for r in tried], axis=0),
            np.concatenate([r.y for r in tried]),
            len(rows.asked),
            rng,
            lambda done: self.advance(k, done),
        )

    def judge(
        self, k: int, x: Array, mixture: Mixture, rows: Rows, rng: np.random.Generator
    ) -> _Round:
        """Draw from candidates x (N, D) as they are weighed, run the model, and compare."""
        x, distinct = draw(self.problem, self.inverse, x, mixture.weights, self.n, rng)
        noise = int(rng.integers(2**31))
        y = evaluate(
            self.problem,
            x,
            seed=noise,
            scratch=self.scratch,
            progress=lambda done, _: self.advance(k, self.candidates + done),
        )
        good = np.isfinite(y).all(axis=1)
        if good.sum() < _FEWEST_DRAWS:
            raise CorrectionError(
                f"the model gives finite outputs for {good.sum()} of {len(y)} draws, and "
                f"{_FEWEST_DRAWS} are needed to compare them with the observations"
            )
        found = agreement(y[good], rows.all, seed=int(rng.integers(2**31)))
        return _Round(mixture, x[good], y[good], distinct, found)


@while_working
def iterate(
    problem: Problem,
    inverse: Likelihood,
    n: int = 20_000,
    *,
    seed: int = 0,
    rounds: int = 5,
    pairs: int = 8_000_000,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Draw n parameter vectors of the population behind a model with noise.

    Args:
        problem: model, prior and observations: a table of any size, or a law.
        inverse: draws of x given y, and their likelihood ratios.
        n: how many draws, 20 or more; each round runs the model on so many.

    Other Args:
        seed: of everything random.
        rounds: most proposals after the averaged posterior.
        pairs: most evaluations of the likelihood ratio for the first proposal, and half as many for
            each further one: by default of 350 observed rows and 350 outputs, evenly chosen, with
            11300 candidates; of more than six outputs 700 and 5700. Four bytes of memory each, and
            sixteen times as much where rows between those are used.
        scratch: a folder where outputs are kept as they come, so that the same call does not run
            the model again for them.
        progress: called with (done, total), candidates and model runs together.

    Returns:
        Draws that count equally, with outputs of the model that had no say in their choice.
        ``info`` holds rounds (a dict each: round, steps, ks by output, c2st, energy,
        effective_share, distinct, kept), steps, converged, message (where it did not converge),
        model_evaluations, not_finite (of all rounds), lost (the share of draws without finite
        outputs in the round that was kept) and seconds.

    Raises:
        InputError: the question is the posterior, or the model is deterministic.
        CorrectionError: no candidate lies inside the prior, explains the rows or can be simulated.
    """
    _check(problem, n, rounds, pairs)
    started, rng = time.perf_counter(), np.random.default_rng(whole("seed", seed, least=0))
    between = len(problem.outputs) <= MOST_OUTPUTS
    each = _WHERE_ROWS_LIE_BETWEEN if between else _CANDIDATES_A_ROW
    rows = choose_rows(problem, int(math.sqrt(pairs / 2 / each)), rng)
    wanted = min(pairs // 2 // len(rows.asked), _MOST_CANDIDATES * n)
    x = draw_candidates(problem, inverse, wanted, rng)
    bench = _Bench(problem, inverse, n, rounds, len(x), progress, scratch)
    evidence, rows = weigh(inverse, x, rows, lambda done: bench.advance(0, done))
    tried = _rounds(bench, evidence, rows, rng)
    bench.advance(rounds, bench.candidates + n)
    best = tried[-1] if tried[-1].passed else min(tried, key=lambda r: r.found.excess)
    info = {
        "method": "cgan-iterated",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_evaluations": len(tried) * n,
        "not_finite": sum(n - len(r.x) for r in tried),
        "lost": 1 - len(best.x) / n,
        "effective_share": effective_share(best.mixture.weights),
        "distinct": best.distinct,
        "steps": best.mixture.steps,
        "rounds": [r.described(k, problem, r is best) for k, r in enumerate(tried)],
        **_outcome(best, len(tried) - 1),
    }
    weights = np.ones(len(best.x))
    return Samples(best.x, best.y, weights, problem.prior.names, problem.outputs, info)


def _rounds(
    bench: _Bench, evidence: Evidence, rows: Rows, rng: np.random.Generator
) -> list[_Round]:
    """The averaged posterior and the proposals after it, until one is good enough."""
    tried = [bench.judge(0, evidence.x, averaged(evidence), rows, rng)]
    for k in range(1, bench.rounds + 1):
        mixture = maximise(bench.mend(k, evidence, tried[(k - 1) // 2 :], rows, rng))
        # One step is what the first round has tried already.
        if k == 1 and mixture.steps == 1 and tried[0].passed:
            break
        tried.append(bench.judge(k, evidence.x, mixture, rows, rng))
        if tried[-1].passed:
            break
    return tried


def _outcome(best: _Round, rounds: int) -> dict[str, Any]:
    if best.passed:
        return {"converged": True}
    return {
        "converged": False,
        "message": (
            f"after {rounds} rounds the model's outputs can still be told from the observations: "
            f"{best.found}. The inverse's likelihood is too far from the model's: use more "
            "simulations (simulate.n) or more rounds, or check that the prior reaches the "
            "observations"
        ),
    }


def _check(problem: Problem, n: int, rounds: int, pairs: int) -> None:
    if problem.question == "posterior":
        raise InputError("iterate is for question='population'; draw a posterior with sample")
    if not problem.random:
        raise InputError(
            "iterate is for models with noise; this one is deterministic, so that the averaged "
            "posterior is the population already: use correct(problem, samples)"
        )
    for name, value, least in (
        ("n", n, _FEWEST_DRAWS),
        ("rounds", rounds, 1),
        ("pairs", pairs, _FEWEST_PAIRS),
    ):
        if value < least:
            raise InputError(f"iterate needs {name} of {least} or more; got {value}")
