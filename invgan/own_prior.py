"""A prior as it was given: a ready one, laws by name, or an object of the user's own, tried out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.balance import check_density
from invgan.errors import InputError
from invgan.fields import GaussianField
from invgan.priors import Box, CutPrior, Dirichlet, MultivariateNormal, Prior, PriorLike, Simplex

__all__ = ["as_prior", "prior_known_by"]

Array = NDArray[np.float64]

_READY = (Prior, MultivariateNormal, Dirichlet, GaussianField)
_TRIED = 64


def as_prior(prior: Any) -> PriorLike:
    """The prior; of one that is not ready made some draws are looked at, as nothing else would.

    Raises:
        InputError: a member is missing, raises or returns another shape, draws lie outside the
            support, or the density is not theirs.
    """
    if isinstance(prior, Mapping):
        return Prior(prior)
    if not isinstance(prior, PriorLike):
        missing = [m for m in ("names", "support", "sample", "log_prob") if not hasattr(prior, m)]
        raise InputError(
            f"the prior ({type(prior).__name__}) lacks {', '.join(missing)}: use "
            "invgan.Prior(...), or an object with names, support, sample(n, rng) and log_prob(x)"
        )
    if not isinstance(prior, _READY):
        _check(prior)
    return prior


def prior_known_by(prior: PriorLike) -> list[Array]:
    """What tells a prior from others: a few draws and, of a user's own, their densities."""
    x = prior.sample(_TRIED, np.random.default_rng(0))
    return [x] if isinstance(prior, _READY) else [x, prior.log_prob(x)]


def _check(prior: PriorLike) -> None:
    """Its draws, their densities and its support must fit each other."""
    names, kind = prior.names, f"the prior ({type(prior).__name__})"
    texts = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    if not texts or not names or len(set(names)) != len(names):
        raise InputError(f"{kind}: names must be a tuple of different texts; got {names!r}")
    width = len(names)
    x = _tried(kind, "sample(n, rng)", lambda: prior.sample(_TRIED, np.random.default_rng(0)))
    if x.shape != (_TRIED, width) or not np.isfinite(x).all():
        raise InputError(
            f"{kind}: sample({_TRIED}, rng) must return finite draws of shape ({_TRIED}, {width}), "
            f"a column for each of its names; got shape {x.shape}"
        )
    again = _tried(kind, "sample(n, rng)", lambda: prior.sample(_TRIED, np.random.default_rng(0)))
    if not np.array_equal(again, x):
        raise InputError(
            f"{kind}: sample(n, rng) gives other draws for the same rng: draw everything random "
            "from it, as in rng.normal()"
        )
    density = _tried(kind, "log_prob(x)", lambda: prior.log_prob(x))
    if density.shape != (_TRIED,) or not np.isfinite(density).all():
        raise InputError(
            f"{kind}: log_prob(x) must return a finite number for each of its {_TRIED} draws x, "
            f"shape ({_TRIED},); got shape {density.shape}, {np.isfinite(density).sum()} finite"
        )
    support = prior.support
    if not isinstance(support, Box | Simplex):
        raise InputError(
            f"{kind}: support must be invgan.Box(low, high), bounds of each parameter that may be "
            f"infinite, or invgan.Simplex(D); got {type(support).__name__}"
        )
    dimension = len(support.low) if isinstance(support, Box) else support.dimension
    if dimension != width:
        raise InputError(f"{kind}: its support has {dimension} parameters and its names {width}")
    beyond = int((~support.contains(x)).sum())
    if beyond:
        raise InputError(
            f"{kind}: {beyond} of {_TRIED} draws lie outside its support: widen the support, or "
            "draw inside it"
        )
    if not isinstance(prior, CutPrior):
        check_density(kind, names, prior.sample, partial(_inside, prior, kind))


def _inside(prior: PriorLike, kind: str, x: Array) -> Array:
    """The density of each row of x, none beyond the support."""
    density, inside = np.full(len(x), -np.inf), prior.support.contains(x)
    density[inside] = _tried(kind, "log_prob(x)", lambda: prior.log_prob(x[inside]))
    return density


def _tried(kind: str, member: str, call: Any) -> Array:
    """What a member returns, as numbers."""
    try:
        return np.asarray(call(), float)
    except Exception as error:
        raise InputError(f"{kind}: {member} raised {type(error).__name__}: {error}") from error
