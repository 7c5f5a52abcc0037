r"""The baseline: Markov chain Monte Carlo with emcee on the population question.

For a deterministic model M the answer has a density that can be written down (Butler, Jakeman and
Wildey 2018, SIAM J. Sci. Comput. 40, A984):

    log P_X(x) = log q(x) + log P_Y(M(x)) - log q_Y(M(x)),

with the prior q, the law P_Y of the observations and the prior's push-forward q_Y, which is fitted
to simulations. An ensemble of walkers samples it (Goodman and Weare 2010, Comm. App. Math. Comp.
Sci. 5, 65; Foreman-Mackey et al. 2013, PASP 125, 306). Half of the moves are differential
evolution, half are draws from a kernel density of the other walkers, which jump between separate
parts of the answer. emcee's snooker move is not used: in release 3.1.6 it does not leave its
target invariant.

Whether the chain can be trusted is judged by its length in autocorrelation times and by the
split, rank-normalised R-hat of Vehtari et al. (2021, Bayesian Analysis 16, 667), walker by walker,
so that walkers caught in separate parts of the answer are seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import emcee
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from invgan.density import Density, fit_density, observed_log_prob
from invgan.errors import InputError
from invgan.priors import Simplex
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate

__all__ = ["run_mcmc"]

Array = NDArray[np.float64]

_TIMES_NEEDED = 50
_LARGEST_RHAT = 1.05
_TEMPER = 0.5


def run_mcmc(
    problem: Problem,
    simulations: Simulations,
    n: int = 20_000,
    *,
    walkers: int = 64,
    steps: int = 5000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Draw from the exact answer of the population question.

    Args:
        problem: deterministic model, prior and observations.
        simulations: prior simulations of the same model; q_Y is fitted to them and the walkers
            start among them.
        n: how many draws are wanted.

    Other Args:
        walkers: an even number above twice the number of free parameters.
        steps: steps of each walker, 10 or more; each costs up to `walkers` model runs.
        seed: of everything random.
        progress: called with (steps done, steps in all).

    Returns:
        Draws with their outputs, all of weight one, in random order; fewer than n where the chain
        is shorter. `Samples.info` says whether the chain can be trusted (`converged`, `message`).

    Raises:
        InputError: the question is not ``"population"``, the walkers do not suit the problem, or
            too few simulations are explained by the observations.
        ModelError: the model raised.
    """
    started = time.perf_counter()
    _check(problem, simulations, n, walkers, steps)
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(4)]
    q_y = fit_density(simulations.y, seed=seeds[0])
    target = _Target(problem, observed_log_prob(problem.observations, seed=seeds[1]), q_y)
    start = _start(target, simulations, walkers, np.random.default_rng(seeds[2]))
    sampler = _run(target, start, steps, progress)
    x, y = _outcome(sampler, target)
    burn_in, diagnosis = _diagnose(x, problem.prior.names, n)
    rows = _choose(x[burn_in:], n, np.random.default_rng(seeds[3]))
    x, y = _flat(x[burn_in:])[rows], _flat(y[burn_in:])[rows]
    info = {
        "method": "mcmc",
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "model_evaluations": target.evaluations,
        "walkers": walkers,
        "steps": steps,
        "burn_in": burn_in,
        "acceptance": float(sampler.acceptance_fraction.mean()),
        "density_heldout": q_y.heldout,
        "density_gap": q_y.gap,
        **diagnosis,
    }
    return Samples(x, y, np.ones(len(x)), problem.prior.names, problem.outputs, info)


@dataclass
class _Target:
    """The log-density of the answer over the free parameters (all but the last, on a simplex).

    Attributes:
        evaluations: how many rows were given to the model so far.
    """

    problem: Problem
    log_p_y: Callable[[Array], Array]
    q_y: Density
    evaluations: int = 0

    def parameters(self, free: Array) -> Array:
        """Parameters (..., D) from the free ones (..., E)."""
        if not isinstance(self.problem.prior.support, Simplex):
            return free
        return np.concatenate([free, 1 - free.sum(axis=-1, keepdims=True)], axis=-1)

    def log_ratio(self, y: Array) -> Array:
        """The logarithm of P_Y / q_Y at outputs y (n, L), shape (n,)."""
        return np.asarray(self.log_p_y(y) - self.q_y.log_prob(y))

    def __call__(self, free: Array) -> Array:
        """The log-density and the outputs that it stands on, side by side, shape (n, 1 + L)."""
        x = self.parameters(free)
        log_q = self.problem.prior.log_prob(x)
        inside = np.isfinite(log_q)
        y = np.full((len(x), len(self.problem.outputs)), np.nan)
        if inside.any():
            y[inside] = evaluate(self.problem, x[inside])
            self.evaluations += int(inside.sum())
        good = np.isfinite(y).all(axis=1)
        out = np.full(len(x), -np.inf)
        if good.any():
            out[good] = log_q[good] + self.log_ratio(y[good])
        out[~np.isfinite(out)] = -np.inf
        return np.concatenate([out[:, None], y], axis=1)


class _KernelMove(emcee.moves.KDEMove):  # type: ignore[misc]
    """Draws from a kernel density of the other walkers; no move where these lie in a plane."""

    def get_proposal(self, s: Array, c: list[Array], random: Any) -> tuple[Array, Array]:
        try:
            q, factors = super().get_proposal(s, c, random)
        except np.linalg.LinAlgError:
            return s, np.zeros(len(s))
        return q, factors


def _free(problem: Problem) -> int:
    return len(problem.prior.names) - isinstance(problem.prior.support, Simplex)


def _check(problem: Problem, simulations: Simulations, n: int, walkers: int, steps: int) -> None:
    if problem.question != "population":
        raise InputError(
            "the MCMC baseline needs a likelihood, which a simulator does not give: it is not "
            f"available for question={problem.question!r}; leave it out (mcmc.enabled: false)"
        )
    expected = (problem.prior.names, problem.outputs)
    if (simulations.names, simulations.outputs) != expected:
        raise InputError(
            f"the simulations have parameters {list(simulations.names)} and outputs "
            f"{list(simulations.outputs)}; the problem has {list(expected[0])} and "
            f"{list(expected[1])}: simulate this problem first"
        )
    least = 2 * _free(problem) + 2
    if walkers < least or walkers % 2:
        raise InputError(
            f"{_free(problem)} free parameters need an even number of walkers, {least} or more; "
            f"got {walkers}: set walkers={max(least, walkers + walkers % 2)} (mcmc.walkers)"
        )
    if n < 1 or steps < 10:
        raise InputError(f"run_mcmc needs n >= 1 and steps >= 10; got n={n} and steps={steps}")


def _start(
    target: _Target, simulations: Simulations, walkers: int, rng: np.random.Generator
) -> emcee.State:
    """Simulations drawn without replacement by the root of P_Y / q_Y: wider than the answer.

    The largest of log-weights plus Gumbel noise are such a draw (Yellott 1977).
    """
    log_ratio = target.log_ratio(simulations.y)
    log_target = target.problem.prior.log_prob(simulations.x) + log_ratio
    feasible = np.flatnonzero(np.isfinite(log_target))
    if len(feasible) < walkers:
        raise InputError(
            f"{len(feasible)} of {len(simulations)} simulations have outputs that the "
            f"observations allow, and {walkers} walkers need one each to start from: run more "
            "simulations (simulate.n), use fewer walkers, or see whether the prior reaches the "
            "observations"
        )
    keys = _TEMPER * log_ratio[feasible] + rng.gumbel(size=len(feasible))
    rows = feasible[np.argsort(keys)[-walkers:]]
    y = simulations.y[rows]
    return emcee.State(
        simulations.x[rows, : _free(target.problem)],
        log_prob=log_target[rows],
        blobs=y[:, 0] if y.shape[1] == 1 else y,
        random_state=np.random.MT19937(int(rng.integers(2**32))).state,
    )


def _run(
    target: _Target,
    start: emcee.State,
    steps: int,
    progress: Callable[[int, int], None] | None,
) -> emcee.EnsembleSampler:
    # A backend with a random state of its own keeps emcee from reading numpy's global one.
    backend = emcee.backends.Backend()
    backend.reset(*start.coords.shape)
    backend.random_state = start.random_state
    moves = [(emcee.moves.DEMove(), 0.5), (_KernelMove(), 0.5)]
    sampler = emcee.EnsembleSampler(
        *start.coords.shape, target, moves=moves, backend=backend, vectorize=True
    )
    # Without emcee's wrapper, which prints its own account of a model that raises.
    sampler.log_prob_fn = target
    chain = sampler.sample(start, iterations=steps, skip_initial_state_check=True)
    for done, _ in enumerate(chain, start=1):
        if progress is not None:
            progress(done, steps)
    return sampler


def _outcome(sampler: emcee.EnsembleSampler, target: _Target) -> tuple[Array, Array]:
    """All states of the chain: parameters (T, W, D) and outputs (T, W, L)."""
    x = target.parameters(sampler.get_chain())
    return x, np.asarray(sampler.get_blobs()).reshape(*x.shape[:2], -1)


def _diagnose(x: Array, names: tuple[str, ...], n: int) -> tuple[int, dict[str, Any]]:
    """The burn-in of a chain (T, W, D), and what is known of the rest of it."""
    steps, walkers, _ = x.shape
    longest = float(_autocorrelation_time(x[steps // 5 :]).max())
    burn_in = int(min(max(np.ceil(2 * longest), steps // 5), steps // 2))
    kept = x[burn_in:]
    tau, rhat = _autocorrelation_time(kept), _split_rhat(kept)
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
    return np.asarray(np.maximum(emcee.autocorr.integrated_time(x[:, moving], tol=0), 1.0))


def _split_rhat(x: Array) -> Array:
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


def _choose(kept: Array, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which flattened states of kept (T, W, D) to return: evenly along each walker, in any order.

    At most n, each at most once, so that as few as possible are a walker's stay at one point.
    """
    steps, walkers, _ = kept.shape
    stride = max(steps * walkers / n, 1.0)
    place = (np.arange(min(n, steps * walkers)) * stride + rng.uniform(0, stride - 1)).astype(int)
    walker, step = np.divmod(place, steps)
    return np.asarray(rng.permutation(step * walkers + walker))


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _rounded_up(steps: float) -> int:
    """To two digits, so that the advice reads as the estimate that it is."""
    unit = int(10 ** max(np.floor(np.log10(steps)) - 1, 0))
    return int(np.ceil(steps / unit)) * unit
