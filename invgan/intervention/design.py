"""The intervention problem: one model, two observed populations, and what was done in between.

Members of a population have parameters x ~ P_X. Some of them were observed as they are (control),
others after something was done to them (treated), which moves their parameters by a map that is
known, or known but for further parameters c:

    y_control = M(x),        y_treated = M(change(x, c)).

Nobody was observed twice, so P_Y is known by its two marginals alone. Put together, the unknown of
one member is xi = (x, c) and the model is xi -> (y_control, y_treated): an ordinary population
problem, but for the coupling of the two outputs, which `couple` supplies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.noise import Noise
from invgan.observations import Law, Observations, Table
from invgan.own_prior import as_prior
from invgan.priors import Box, Prior, PriorLike
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate

__all__ = ["POPULATIONS", "Intervention"]

Array = NDArray[np.float64]

POPULATIONS = ("control", "treated")
_PROBES, _LAW_ROWS = 64, 20_000


@dataclass(frozen=True, init=False)
class Intervention:
    """An intervention problem.

    Args:
        model: as in `Problem`.
        prior: of the parameters x of a member before the intervention.
        change: the map to its parameters afterwards: ``change(x)``, or ``change(x, c)`` where
            there are extra parameters; rows (n, D) and (n, C) to rows (n, D).

    Other Args:
        control: observations of members as they are: rows (N, L) or a law, as in `Problem`.
        treated: observations of other members after the intervention, of the same outputs.
        extra: prior of the extra parameters c; None where the change is known.
        shared: names of parameters that the change must leave alone; it is tried on prior draws.
        outputs: names of the L outputs.
        vectorized: as in `Problem`.
        stochastic: as in `Problem`; the two runs of one member have noise of their own.
        noise: of the measurement, as in `Problem`.

    Raises:
        InputError: something is missing or contradicts the rest; the message says what to do.

    Example:
        >>> from scipy import stats
        >>> intervention = Intervention(
        ...     lambda x: x, Prior(rate=stats.norm()), lambda x, c: x + c,
        ...     control=stats.norm(0.5, 0.5), treated=stats.norm(1.5, 0.6),
        ...     extra=Prior(shift=stats.norm()),
        ... )
        >>> intervention.problem().outputs
        ('y (control)', 'y (treated)')
    """

    model: Callable[..., Any]
    prior: PriorLike
    change: Callable[..., Any]
    control: Observations
    treated: Observations
    extra: PriorLike | None
    outputs: tuple[str, ...]
    vectorized: bool
    stochastic: bool
    noise: Noise | None
    joint_prior: PriorLike

    def __init__(
        self,
        model: Callable[..., Any],
        prior: PriorLike | Mapping[str, Any],
        change: Callable[..., Any],
        *,
        control: Any,
        treated: Any,
        extra: PriorLike | Mapping[str, Any] | None = None,
        shared: Sequence[str] = (),
        outputs: Sequence[str] | None = None,
        vectorized: bool = True,
        stochastic: bool = False,
        noise: Noise | Mapping[str, Any] | None = None,
    ) -> None:
        # One population's own problem says no to whatever is wrong with model, prior or rows.
        kinds: dict[str, Any] = {"outputs": outputs, "vectorized": vectorized, "noise": noise}
        one = Problem(model, prior, control, **kinds)
        other = Problem(model, prior, treated, **kinds)
        if one.outputs != other.outputs:
            raise InputError(
                f"control has the outputs {list(one.outputs)} and treated has "
                f"{list(other.outputs)}; both must be observed alike"
            )
        if one.field is not None:
            raise InputError(
                "an intervention moves parameters by name, and those of a field have none: give "
                "a prior of named parameters"
            )
        if not callable(change):
            raise InputError(f"change must be a function; got {type(change).__name__}")
        also = None if extra is None else as_prior(extra)
        put = object.__setattr__
        put(self, "model", model)
        put(self, "prior", one.prior)
        put(self, "change", change)
        put(self, "control", one.observations)
        put(self, "treated", other.observations)
        put(self, "extra", also)
        put(self, "outputs", one.outputs)
        put(self, "vectorized", bool(vectorized))
        put(self, "stochastic", bool(stochastic))
        put(self, "noise", one.noise)
        put(self, "joint_prior", _together(one.prior, also))
        self._try_change((shared,) if isinstance(shared, str) else tuple(shared))

    @property
    def random(self) -> bool:
        """Whether equal parameters may give different outputs: a stochastic model, or noise."""
        return self.stochastic or self.noise is not None

    def problem(self, observations: Any = None) -> Problem:
        """The joint problem xi -> (y_control, y_treated).

        Args:
            observations: coupled rows (n, 2 L), such as those of `couple`; by default rows of the
                two populations in random pairs, which have the right marginals and are good for
                simulations, but are no coupling to solve for.
        """
        names = [f"{name} ({p})" for p in POPULATIONS for name in self.outputs]
        seen = self._in_random_pairs() if observations is None else observations
        return Problem(self._both, self.joint_prior, seen, outputs=names, stochastic=self.random)

    def population(self, name: str) -> Problem:
        """The problem of one population alone: xi to its outputs, with its own observations.

        Args:
            name: ``"control"`` or ``"treated"``.
        """
        self.columns(name)
        model = self._untreated if name == "control" else self._treated
        seen = self.control if name == "control" else self.treated
        return Problem(model, self.joint_prior, seen, outputs=self.outputs, stochastic=self.random)

    def columns(self, name: str) -> slice:
        """Where the outputs of a population stand among the joint ones."""
        if name not in POPULATIONS:
            raise InputError(f"the populations are 'control' and 'treated'; got {name!r}")
        start = POPULATIONS.index(name) * len(self.outputs)
        return slice(start, start + len(self.outputs))

    def part(self, rows: Samples | Simulations, name: str) -> tuple[Array, Array]:
        """A population's own view of joint rows: its parameters (n, D) and outputs (n, L).

        The parameters of the treated are those after the change.
        """
        if rows.y is None:
            raise InputError("the samples have no outputs; push them through the model first")
        x, c = self._split(rows.x)
        y = rows.y[:, self.columns(name)]
        return (x if name == "control" else self.moved(x, c)), y

    def moved(self, x: Array, c: Array) -> Array:
        """The parameters (n, D) after the intervention, of x (n, D) and c (n, C).

        Raises:
            InputError: the change returns another shape.
        """
        result = self.change(x.copy()) if self.extra is None else self.change(x.copy(), c.copy())
        after = np.asarray(result, float)
        if after.shape != x.shape:
            raise InputError(
                f"the change turned parameters of shape {x.shape} into {after.shape}; expected "
                "as many rows and columns, every parameter in its place"
            )
        return after

    def _split(self, xi: Array) -> tuple[Array, Array]:
        width = len(self.prior.names)
        return xi[:, :width], xi[:, width:]

    def _both(self, xi: Array, *noise: np.random.Generator) -> Array:
        return np.hstack([self._untreated(xi, *noise), self._treated(xi, *noise)])

    def _untreated(self, xi: Array, *noise: np.random.Generator) -> Array:
        return self._run(self._split(xi)[0], *noise)

    def _treated(self, xi: Array, *noise: np.random.Generator) -> Array:
        return self._run(self.moved(*self._split(xi)), *noise)

    def _run(self, x: Array, *noise: np.random.Generator) -> Array:
        """The user's model, in whichever of its forms, as a table (n, L)."""
        plain = Problem(
            self.model, self.prior, self.control, outputs=self.outputs,
            vectorized=self.vectorized, stochastic=self.stochastic, noise=self.noise,
        )  # fmt: skip
        return evaluate(plain, x, seed=int(noise[0].integers(2**32)) if noise else 0)

    def _in_random_pairs(self) -> Table:
        rng = np.random.default_rng(0)
        rows = [_LAW_ROWS if isinstance(seen, Law) else len(seen.rows)
                for seen in (self.control, self.treated)]  # fmt: skip
        parts = [seen.representative(max(rows), rng) for seen in (self.control, self.treated)]
        return Table(np.hstack(parts))

    def _try_change(self, shared: tuple[str, ...]) -> None:
        """Let the change say what it does to a few prior draws."""
        names = self.prior.names
        unknown = [name for name in shared if name not in names]
        if unknown:
            raise InputError(f"shared names {unknown[0]!r}; the parameters are {list(names)}")
        x, c = self._split(self.joint_prior.sample(_PROBES, np.random.default_rng(0)))
        try:
            after = self.moved(x, c)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"change raised {type(error).__name__}: {error}; it takes parameters (n, D)"
                f"{'' if self.extra is None else ' and the extra ones (n, E)'} and returns (n, D)"
            ) from error
        if not np.isfinite(after).all():
            raise InputError("the change makes parameters that are not finite; mend it, or extra")
        for name in shared:
            j = names.index(name)
            if not np.allclose(after[:, j], x[:, j], rtol=1e-9, atol=0):
                raise InputError(
                    f"{name!r} is said to be shared, but the change moves it (first from "
                    f"{x[0, j]:.4g} to {after[0, j]:.4g}); leave it out of shared, or alone"
                )


@dataclass(frozen=True)
class _Product:
    """Two independent priors side by side."""

    first: PriorLike
    second: PriorLike

    @property
    def names(self) -> tuple[str, ...]:
        return self.first.names + self.second.names

    @property
    def support(self) -> Box:
        boxes = [p.support for p in (self.first, self.second)]
        if not all(isinstance(box, Box) for box in boxes):
            raise InputError(
                "extra parameters beside proportions are not supported; give proportions as "
                "logits, with a normal prior"
            )
        low, high = (
            np.concatenate([getattr(box, end) for box in boxes]) for end in ("low", "high")
        )
        return Box(low, high)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return np.hstack([self.first.sample(n, rng), self.second.sample(n, rng)])

    def log_prob(self, x: Array) -> Array:
        width = len(self.first.names)
        return self.first.log_prob(x[:, :width]) + self.second.log_prob(x[:, width:])


def _together(prior: PriorLike, extra: PriorLike | None) -> PriorLike:
    """The joint prior of x and c."""
    if extra is None:
        return prior
    twice = set(prior.names) & set(extra.names)
    if twice:
        raise InputError(f"prior and extra both have {sorted(twice)}; give each a name of its own")
    if isinstance(prior, Prior) and isinstance(extra, Prior):
        return Prior({**prior.laws, **extra.laws})
    product = _Product(prior, extra)
    product.support  # noqa: B018
    return product
