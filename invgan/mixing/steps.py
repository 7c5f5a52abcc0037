"""Steps of expectation-maximisation for the mixing distribution.

A model with noise turns a population of parameters P into outputs with the mixture density
``p(y) = integral of P(x) p(y | x) dx``. The likelihood of observed rows grows with every step

    P_{k+1}(x) = P_k(x) f_k(x),      f_k(x) = E_{y ~ P_Y} [ p(y | x) / p_k(y) ],

from P_0 = q (Kiefer and Wolfowitz 1956; Laird 1978). The first step is the averaged posterior,
which is too wide by the noise; each later one takes the last answer for its prior. With N
candidates x_i from P_1, weights w_i and likelihood ratios A(x_i, y_j) a step is two products of a
matrix with a vector:

    p_j = mean over i of w_i A(x_i, y_j),      w_i <- w_i * mean over j of A(x_i, y_j) / p_j,

where a factor of y alone in A cancels.

**When to stop.** The steps never cease to improve the likelihood of the rows that they see: in the
end the answer shrinks to a few atoms that suit these rows. So the rows are dealt into five parts;
for each, the steps go on with the other four, and the mean ``log p_k(y)`` of the part that they do
not see is recorded. With all rows as many steps are taken as bring its mean over all parts to its
largest value, or so near that it does not matter (0.0002 nats, or a four-hundredth of what all
steps have won). Fewer leave the answer wider than the data show, more fit their noise and that of
the candidates, which the parts share; and none is taken that leaves the candidates worth less than
5 % of their number. The first steps move what the data say most about, later ones what they hardly
see (a deconvolution): stopping holds near the prior what the data do not determine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invgan.mixing.evidence import PARTS, Evidence
from invgan.resampling import effective_share

__all__ = ["Mixture", "averaged", "maximise"]

Array = NDArray[np.float64]

_MOST_STEPS, _SPARE_STEPS, _PATIENCE = 400, 10, 1.5
_NO_MATTER, _SMALL_PART, _SMALLEST_SHARE = 2e-4, 1 / 400, 0.05
_LEAST = 1e-30


@dataclass(frozen=True)
class Mixture:
    """Candidates weighed as an estimate of the population.

    Attributes:
        weights: of the candidates, shape (N,), with mean one.
        steps: how many steps were taken from the prior.
        gain: nats by which the steps after the first improve on it, a row that they did not see.
    """

    weights: Array
    steps: int
    gain: float


def averaged(evidence: Evidence) -> Mixture:
    """The averaged posterior: one step from the prior, which the candidates were drawn from."""
    return Mixture(np.ones(len(evidence.x)), 1, 0.0)


def maximise(evidence: Evidence) -> Mixture:
    """As many steps as rows that were not seen ask for.

    Args:
        evidence: likelihood ratios of N candidates and M rows.
    """
    if len(np.unique(evidence.part)) < 2:
        return averaged(evidence)
    unseen = np.eye(PARTS + 1)[evidence.part]
    share = _normalised(1 - unseen)
    weights = _first(evidence, share)
    path: list[Array] = []
    heldout: list[float] = []
    for step in range(_MOST_STEPS):
        p = _mixture(evidence, weights)
        heldout.append(float(np.log((p * unseen).sum(axis=1)).mean()))
        path.append(weights[:, -1])
        weights = _normalised(weights * (evidence.ratios @ (share / p).astype(np.float32)))
        late = step > _PATIENCE * int(np.argmax(heldout)) + _SPARE_STEPS
        if late or effective_share(weights[:, -1]) < _SMALLEST_SHARE:
            break
    spare = max(_NO_MATTER, _SMALL_PART * (max(heldout) - heldout[0]))
    best = int(np.argmax(np.array(heldout) >= max(heldout) - spare))
    return Mixture(path[best], best + 1, heldout[best] - heldout[0])


def _first(evidence: Evidence, share: Array) -> Array:
    """Weights (N, F) of F averaged posteriors, each of its own share of the rows (M, F).

    The candidates come from that of all rows, so that ``sum_j share_j A_ij / sum_j A_ij`` is left.
    """
    scale = np.exp(evidence.log_top - evidence.log_top.max())[:, None]
    own = evidence.ratios @ (share * scale).astype(np.float32)
    return _normalised(own / np.maximum(evidence.ratios @ scale.astype(np.float32), _LEAST))


def _mixture(evidence: Evidence, weights: Array) -> Array:
    """Mixture densities of every row under F weightings, up to a factor a row; shape (M, F)."""
    p = evidence.ratios.T @ weights.astype(np.float32) / len(weights)
    return np.asarray(np.maximum(p.astype(float), _LEAST))


def _normalised(columns: Array) -> Array:
    return np.asarray(columns / columns.mean(axis=0), float)
