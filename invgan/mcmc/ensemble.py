"""The ensemble of walkers: where it starts and how it moves.

An ensemble samples the target (Goodman and Weare 2010, Comm. App. Math. Comp. Sci. 5, 65;
Foreman-Mackey et al. 2013, PASP 125, 306). Half of the moves are differential evolution, half are
draws from a kernel density of the other walkers, which jump between separate parts of the answer.
emcee's snooker move is not used: in release 3.1.6 it does not leave its target invariant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import emcee
import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.mcmc.journal import Journal, Stretch, joined
from invgan.mcmc.target import Target, free_parameters
from invgan.samples import Simulations
from invgan.simulation import evaluate

__all__ = ["Chain", "KernelMove", "run_ensemble", "start_among"]

Array = NDArray[np.float64]

_TEMPER = 0.5
_FLAT = 1e-10


@dataclass(frozen=True)
class Chain:
    """Every state of every walker.

    Attributes:
        x: parameters, shape (T, W, D): steps, walkers, parameters.
        y: the model's own outputs for them, shape (T, W, L), L zero where it was not run.
        log_prob: the log-density of the answer, up to a constant, shape (T, W).
        acceptance: the share of proposals that were taken.
    """

    x: Array
    y: Array
    log_prob: Array
    acceptance: float


def start_among(
    target: Target, simulations: Simulations, walkers: int, rng: np.random.Generator
) -> emcee.State:
    """Simulations drawn without replacement by the root of their weight: wider than the answer.

    The weight is judged at what was simulated, in the middle of the repeats of one experiment:
    where there is noise, near enough to start. The largest of log-weights plus Gumbel noise are
    such a draw (Yellott 1977).

    Args:
        target: whose prior and weight decide.
        simulations: prior simulations of its model.
        walkers: how many are wanted.
        rng: of the drawing and of the chain that starts here.

    Raises:
        InputError: fewer simulations than walkers have outputs that the observations allow.
        ModelError: the model raised.
    """
    x, repeats = simulations.x, target.problem.repeats
    middle = np.median(simulations.y.reshape(len(x), repeats, -1), axis=1)
    log_weight = target.log_weight(x, middle)
    feasible = np.flatnonzero(np.isfinite(target.problem.prior.log_prob(x) + log_weight))
    if np.isnan(log_weight).all():
        raise InputError(
            "the log-likelihood is NaN for every simulation: see what log_likelihood returns"
        )
    if not len(feasible):
        raise InputError(
            f"none of {len(simulations)} simulations gives the observations a likelihood above 0: "
            "see whether the noise can give such values (lognormal noise never gives 0, and keeps "
            "the sign of its output), and whether the prior reaches the observations"
        )
    if len(feasible) < walkers:
        raise InputError(
            f"{len(feasible)} of {len(simulations)} simulations have outputs that the "
            f"observations allow, and {walkers} walkers need one each to start from: run more "
            "simulations (simulate.n), use fewer walkers, or see whether the prior reaches the "
            "observations"
        )
    keys = _TEMPER * log_weight[feasible] + rng.gumbel(size=len(feasible))
    x = x[feasible[np.argsort(keys)[-walkers:]]]
    log_prob, y = target.at(x)
    if target.runs_model and not np.isfinite(log_prob).any():
        # Nothing comes back where simulations did: the model's own error says why.
        evaluate(target.problem, x)
    return emcee.State(
        x[:, : free_parameters(target.problem)],
        log_prob=log_prob[:, 0],
        blobs=(y[:, 0] if y.shape[1] == 1 else y) if y.shape[1] else None,
        random_state=np.random.MT19937(int(rng.integers(2**32))).state,
    )


def run_ensemble(
    target: Target,
    start: emcee.State,
    steps: int,
    progress: Callable[[int, int], None] | None,
    journal: Journal | None = None,
) -> Chain:
    """Walk: every walker moves once a step.

    Args:
        target: the log-density, which carries the outputs along.
        start: where the walkers stand, from `start_among`.
        steps: how many steps.
        progress: called with (steps done, steps in all), or None.
        journal: keeps what is walked; what it holds already is not walked again.

    Raises:
        ModelError: the model raised.
    """
    journal = journal or Journal(None, "")
    walked, done = journal.read(), 0
    while (done := sum(len(stretch.log_prob) for stretch in walked)) < steps:
        here = walked[-1].state() if walked else start

        def advance(count: int, before: int = done) -> None:
            if progress is not None:
                progress(before + count, steps)

        walked.append(_stretch(target, here, steps - done, advance, journal))
        journal.write(walked[-1])
    whole = joined(walked)
    target.evaluations += whole.evaluations
    x = target.parameters(whole.coords[:steps])
    acceptance = float((whole.accepted / done).mean())
    return Chain(x, whole.blobs[:steps], whole.log_prob[:steps], acceptance)


def _stretch(
    target: Target,
    start: emcee.State,
    steps: int,
    advance: Callable[[int], None],
    journal: Journal,
) -> Stretch:
    """Walk for so many steps, or until the journal is due."""
    # A backend with a random state of its own keeps emcee from reading numpy's global one.
    backend = emcee.backends.Backend()
    backend.reset(*start.coords.shape)
    backend.random_state = start.random_state
    moves = [(emcee.moves.DEMove(), 0.5), (KernelMove(), 0.5)]
    sampler = emcee.EnsembleSampler(
        *start.coords.shape, target, moves=moves, backend=backend, vectorize=True
    )
    # Without emcee's wrapper, which prints its own account of a model that raises.
    sampler.log_prob_fn = target
    before = target.evaluations
    states = sampler.sample(start, iterations=steps, skip_initial_state_check=True)
    for done, _ in enumerate(states, start=1):
        advance(done)
        if journal.due:
            break
    runs, target.evaluations = target.evaluations - before, before
    coords, log_prob = sampler.get_chain(), sampler.get_log_prob()
    blobs = sampler.get_blobs() if target.runs_model else np.empty((*log_prob.shape, 0))
    return Stretch(
        coords, log_prob, np.asarray(blobs, float).reshape(*log_prob.shape, -1),
        backend.accepted, runs, sampler.random_state,
    )  # fmt: skip


class KernelMove(emcee.moves.KDEMove):  # type: ignore[misc]
    """Draws from a kernel density of the other walkers; no move where these lie in a plane.

    Walkers are seen in standard deviations of the others: the covariance of parameters in units
    that are twenty orders of magnitude apart cannot be factorised.
    """

    def get_proposal(self, s: Array, c: list[Array], random: Any) -> tuple[Array, Array]:
        """Proposed places for walkers at s, and the logarithms of the proposals' ratio."""
        others = np.concatenate(c)
        centre, scale = others.mean(axis=0), others.std(axis=0)
        scale = np.where(scale > 0, scale, 1)
        others, own = (others - centre) / scale, (s - centre) / scale
        if np.linalg.eigvalsh(np.atleast_2d(np.cov(others.T)))[0] < _FLAT:
            return s, np.zeros(len(s))
        q, factors = super().get_proposal(own, [others], random)
        return centre + scale * q, factors
