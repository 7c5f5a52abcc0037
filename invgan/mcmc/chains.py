"""Whether an ensemble's chain can be trusted.

It is judged by its length in autocorrelation times and by the split, rank-normalised R-hat of
Vehtari et al. (2021, Bayesian Analysis 16, 667), walker by walker, so that walkers caught in
separate parts of the answer are seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from emcee.autocorr import integrated_time
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

__all__ = ["diagnose", "split_rhat"]

Array = NDArray[np.float64]

_TIMES_NEEDED = 50
_LARGEST_RHAT = 1.05


def diagnose(x: Array, names: tuple[str, ...], n: int) -> tuple[int, dict[str, Any]]:
    """Where a chain starts to count, and what is known of the rest of it.

    Args:
        x: the parameters of every walker at every step, shape (T, W, D).
        names: the D parameter names.
        n: how many draws are wanted.

    Returns:
        The steps of the burn-in, a fifth to a half of all; and as plain values
        autocorrelation_time and split_rhat by parameter, effective_samples, converged, message.
    """
    steps, walkers, _ = x.shape
    longest = float(_autocorrelation_time(x[steps // 5 :]).max())
    burn_in = int(min(max(np.ceil(2 * longest), steps // 5), steps // 2))
    kept = x[burn_in:]
    tau, rhat = _autocorrelation_time(kept), split_rhat(kept)
    trouble = _trouble(kept, tau, rhat, names)
    message = trouble or (
        f"the chain is {len(kept) / tau.max():.0f} autocorrelation times long "
        f"({_TIMES_NEEDED} are needed to trust it) and its walkers agree "
        f"(largest split R-hat {rhat.max():.3f})"
    )
    if len(kept) * walkers < n:
        message += f"; it holds {len(kept) * walkers} of the {n} draws wanted"
    return burn_in, {
        "autocorrelation_time": dict(zip(names, tau.tolist(), strict=True)),
        "effective_samples": float(len(kept) * walkers / tau.max()),
        "split_rhat": dict(zip(names, rhat.tolist(), strict=True)),
        "converged": not trouble,
        "message": message,
    }


def _trouble(kept: Array, tau: Array, rhat: Array, names: tuple[str, ...]) -> str:
    """Why the chain is not to be trusted and what to do, or nothing."""
    stuck = int((~_moving(kept)).sum())
    if len(kept) < _TIMES_NEEDED * tau.max():
        return (
            f"the chain is {len(kept) / tau.max():.0f} autocorrelation times long and "
            f"{_TIMES_NEEDED} are needed to trust it: run at least "
            f"{_rounded_up(1.25 * _TIMES_NEEDED * float(tau.max()))} steps (mcmc.steps)"
        )
    if stuck:
        return (
            f"{stuck} of {kept.shape[1]} walkers never moved in {len(kept)} steps: run more steps "
            "(mcmc.steps), or more simulations for the walkers to start from (simulate.n)"
        )
    if rhat.max() > _LARGEST_RHAT:
        return (
            f"the walkers disagree (split R-hat {rhat.max():.2f} for {names[rhat.argmax()]!r}; "
            f"{_LARGEST_RHAT} is the most to trust): they are caught in separate parts of the "
            "answer; run more steps (mcmc.steps)"
        )
    return ""


def _moving(x: Array) -> NDArray[np.bool_]:
    """Which walkers of x (T, W, D) moved at all, shape (W,)."""
    return np.asarray((np.ptp(x, axis=0) > 0).all(axis=1))


def _autocorrelation_time(x: Array) -> Array:
    """Steps between independent states of x (T, W, D), at least 1 for each parameter, (D,)."""
    moving = _moving(x)
    if not moving.any():
        return np.full(x.shape[2], float(len(x)))
    return np.asarray(np.maximum(integrated_time(x[:, moving], tol=0), 1.0))


def split_rhat(x: Array) -> Array:
    """R-hat of each parameter of x (T, W, D), every walker split into two chains, shape (D,).

    The larger one of the rank-normalised figure, which sees different places, and the folded
    one, which sees different spreads.
    """
    half = len(x) // 2
    chains = np.concatenate([x[:half], x[-half:]], axis=1)
    folded = np.abs(chains - np.median(chains, axis=(0, 1)))
    return np.maximum(_rhat(_ranked(chains)), _rhat(_ranked(folded)))


def _ranked(x: Array) -> Array:
    """Normal scores of the ranks of each parameter over all chains, in the shape of x."""
    ranks = rankdata(_flat(x), axis=0).reshape(x.shape)
    return np.asarray(ndtri((ranks - 0.375) / (len(_flat(x)) + 0.25)))


def _rhat(x: Array) -> Array:
    within = x.var(axis=0, ddof=1).mean(axis=0)
    between = x.mean(axis=0).var(axis=0, ddof=1)
    return np.asarray(np.sqrt(1 - 1 / len(x) + between / np.maximum(within, 1e-12)))


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _rounded_up(steps: float) -> int:
    """To two digits, so that the advice reads as the estimate that it is."""
    unit = int(10 ** max(np.floor(np.log10(steps)) - 1, 0))
    return int(np.ceil(steps / unit)) * unit
