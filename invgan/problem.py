"""The problem: a model, a prior over its parameters, observations of its outputs, and a question.

Two questions can be asked (docs/method.md has the mathematics):

- ``population``: the observations are a distribution P_Y of outputs over many members; wanted is
  the distribution P_X of parameters whose push-forward through the model is P_Y and which stays
  closest to the prior (data-consistent inversion: Butler, Jakeman and Wildey 2018).
- ``posterior``: the observations are one experiment; wanted is p(x given y).

What is observed may be the model's outputs with noise upon them: the model's own, or that of the
measurement, whose law is then a part of the problem. And it may have gaps: series of different
lengths, images with masked pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from invgan.errors import InputError
from invgan.execution import Execution
from invgan.fields import field_shape, quantities, quantity_names
from invgan.models import Command, OdeModel, Summarised
from invgan.noise import Noise, as_noise
from invgan.observations import Law, Observations, Table, as_observations
from invgan.own_prior import as_prior
from invgan.priors import PriorLike
from invgan.settings import SettingError

__all__ = ["Problem", "Question", "default_names", "in_order", "unnamed"]

Question = Literal["population", "posterior"]
Array = NDArray[np.float64]


@dataclass(frozen=True, init=False)
class Problem:
    """A stochastic inverse problem.

    Args:
        model: the mechanistic model. By default a function of a batch x (n, D) that returns the
            outputs (n, L), or (n,) for one output, or a mapping from output names to columns (n,).
            Where the prior has a ``field`` (C, H, W) it gets fields (n, C, H, W); outputs may be
            fields (n, h, w) or (n, c, h, w), or a mapping from names to arrays (n, ...).
        prior: a `Prior`, a mapping from names to `scipy.stats` laws, or any `PriorLike`.
        observations: a table (N, L) or (N,), fields (N, h, w) or (N, c, h, w), a mapping from names
            to such arrays, a path to a .csv or .npy, a frozen law of `scipy.stats` (one for each
            output), or a joint law.

    Other Args:
        outputs: names of the L outputs. By default those of the observations, else those that an
            `ode_model` knows, else y1, y2, ...
        vectorized: False for a model of one parameter vector x (D,) that returns L numbers, one
            number, or a mapping from names to numbers.
        stochastic: True for a model with noise; it is then called as ``model(x, rng)``.
        question: ``"population"`` or ``"posterior"``. Several rows under ``"posterior"`` are
            repeated measurements of one experiment.
        noise: the law of the measurement noise upon the model's outputs: a `Noise`, or a mapping
            such as ``{"normal": 0.1}``. The model itself is called as without noise.
        log_likelihood: for a posterior, the log-likelihood of a model with noise where it is
            known: a function of parameters (n, D) and the observed rows (R, L), all repeats of one
            experiment, that returns (n,). MCMC alone uses it.
        execution: how the rows of the model are run; in this process by default (see `on`).
        missing: True where an output that is NaN, the model's or an observed one, was not observed:
            a series ended before it, a pixel is masked. For the posterior question, with an
            embedding. The model must leave out what an observation can leave out.

    Raises:
        InputError: something is missing or contradicts the rest; the message says what to do.

    Example:
        >>> from scipy import stats
        >>> from invgan import Prior
        >>> prior = Prior(x1=stats.uniform(-2, 4), x2=stats.uniform(-2, 4))
        >>> problem = Problem(lambda x: x[:, :1] * x[:, 1:], prior, stats.norm(1, 0.1))
        >>> problem.outputs
        ('y',)
    """

    model: Callable[..., Any]
    prior: PriorLike
    observations: Observations
    outputs: tuple[str, ...]
    vectorized: bool
    stochastic: bool
    question: Question
    noise: Noise | None
    log_likelihood: Callable[..., Any] | None
    missing: bool
    execution: Execution | None

    def __init__(
        self,
        model: Callable[..., Any],
        prior: PriorLike | Mapping[str, Any],
        observations: Any,
        *,
        outputs: Sequence[str] | None = None,
        vectorized: bool = True,
        stochastic: bool = False,
        question: Question = "population",
        noise: Noise | Mapping[str, Any] | None = None,
        log_likelihood: Callable[..., Any] | None = None,
        missing: bool = False,
        execution: Execution | None = None,
    ) -> None:
        if not callable(model):
            raise InputError(f"the model must be a function; got {type(model).__name__}")
        seen = as_observations(observations, missing=bool(missing))
        if outputs is None and isinstance(model, OdeModel):
            outputs = _where_unnamed(model.outputs, seen)
        names = _output_names(outputs, seen)
        put = object.__setattr__
        put(self, "model", model)
        put(self, "prior", as_prior(prior))
        put(self, "observations", in_order(seen, names))
        put(self, "outputs", names)
        put(self, "vectorized", bool(vectorized))
        put(self, "stochastic", bool(stochastic))
        put(self, "question", question)
        put(self, "noise", None if noise is None else _noise_over(noise, names))
        put(self, "log_likelihood", log_likelihood)
        put(self, "missing", bool(missing))
        put(self, "execution", execution)
        field_shape(self.prior)
        self._check_command()
        self._check_question()
        self._check_missing()
        self._check_likelihood()

    def _check_command(self) -> None:
        """A program knows its parameters by name, and gets them in the order of the prior."""
        inner = self.model.model if isinstance(self.model, Summarised) else self.model
        if isinstance(inner, Command) and inner.names != self.prior.names:
            raise InputError(
                f"the command takes parameters {list(inner.names)} and the prior has "
                f"{list(self.prior.names)}: name them alike, in the same order"
            )

    def check_names(self, what: str, names: Sequence[str], outputs: Sequence[str]) -> None:
        """Refuse what was made for other parameters or outputs, or for these in another order.

        Raises:
            InputError: the names differ.
        """
        if tuple(names) != self.prior.names or tuple(outputs) != self.outputs:
            raise InputError(
                f"the {what} hold parameters {list(names)} and outputs {list(outputs)}; the "
                f"problem has {list(self.prior.names)} and {list(self.outputs)}"
            )

    def on(self, execution: Execution | None) -> Self:
        """The same problem, its model run in this way by every stage."""
        return replace(self, execution=execution)

    @property
    def field(self) -> tuple[int, int, int] | None:
        """The shape (C, H, W) of the parameters where they are a field, else None."""
        return field_shape(self.prior)

    @property
    def output_shape(self) -> tuple[int, int, int] | None:
        """The shape (c, h, w) of the outputs that come first where they are a field, else None."""
        return self.observations.field if isinstance(self.observations, Table) else None

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what parameters are looked at by: their own, or of a field's quantities."""
        return self.prior.names if self.field is None else quantity_names(self.field)

    def quantified(self, x: Array) -> Array:
        """What parameters x (n, D) are looked at by one at a time, shape (n, Q)."""
        return x if self.field is None else quantities(x, self.field)

    @property
    def repeats(self) -> int:
        """How many times one experiment was measured: 1, but for repeated posterior rows."""
        if self.question == "posterior" and isinstance(self.observations, Table):
            return len(self.observations.rows)
        return 1

    @property
    def random(self) -> bool:
        """Whether equal parameters may give different outputs: a stochastic model, or noise."""
        return self.stochastic or self.noise is not None

    @property
    def runs_per_row(self) -> int:
        """Model runs behind one row of outputs; noise alone is drawn anew for each repeat."""
        return self.repeats if self.stochastic else 1

    @property
    def has_density(self) -> bool:
        """Whether the density of the answer can be stated and walked, as MCMC needs it.

        The ensemble's moves are lost in the hundreds of dimensions of a field.
        """
        if self.field is not None:
            return False
        if self.question == "population":
            return not self.random
        measured = self.noise is not None and not self.stochastic and not self.missing
        return measured or self.log_likelihood is not None

    def usable(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of outputs (n, L) count, shape (n,).

        The finite ones; with `missing` also those with some NaN, unless they are NaN throughout.
        """
        if not self.missing:
            return np.asarray(np.isfinite(y).all(axis=1))
        return np.asarray(~np.isinf(y).any(axis=1) & ~np.isnan(y).all(axis=1))

    def _check_question(self) -> None:
        is_table = isinstance(self.observations, Table)
        rows = len(self.observations.rows) if isinstance(self.observations, Table) else 0
        if self.question not in ("population", "posterior"):
            raise InputError(f"question must be 'population' or 'posterior'; got {self.question!r}")
        if self.question == "population" and is_table and rows == 1:
            raise InputError(
                "one observed row is no population: ask question='posterior' for the parameters "
                "that explain this row, or give the rows of many members"
            )
        if self.question == "posterior" and not is_table:
            raise InputError(
                "question='posterior' takes observed rows, not a law: give one row of outputs, "
                "or ask question='population'"
            )
        if self.question == "posterior" and rows > 1 and not self.random:
            raise InputError(
                f"{rows} rows of a deterministic model cannot be repeats of one experiment (each "
                "would be the same): give the noise of the measurement, as in noise={'normal': "
                "0.1}, or set stochastic=True, or ask question='population'"
            )

    def _check_missing(self) -> None:
        if self.missing and self.question == "population":
            raise InputError(
                "missing=True is for question='posterior': the population question compares the "
                "law of whole rows, which rows with missing values are not; leave incomplete rows "
                "out, or ask question='posterior'"
            )
        seen = self.observations
        if not self.missing and isinstance(seen, Table) and np.isnan(seen.rows).any():
            raise InputError(
                "the observations hold NaN: leave such rows out, or say missing=True where NaN "
                "means not observed"
            )

    def _check_likelihood(self) -> None:
        given = self.log_likelihood
        if given is None:
            return
        if not callable(given):
            raise InputError(
                "log_likelihood must be a function of parameters (n, D) and observed rows (R, L); "
                f"got {type(given).__name__}"
            )
        if self.question == "population":
            raise InputError(
                "log_likelihood is for question='posterior'; the population question has no use "
                "for it: leave it out"
            )
        if not self.random:
            raise InputError(
                "log_likelihood tells of noise, which a deterministic model does not have: give "
                "the noise too, as in noise={'normal': 0.1}, or let the model draw it "
                "(stochastic=True)"
            )


def default_names(width: int) -> tuple[str, ...]:
    """Names for outputs that nobody named."""
    return ("y",) if width == 1 else tuple(f"y{j + 1}" for j in range(width))


def unnamed(outputs: tuple[str, ...]) -> bool:
    """Whether nobody named these outputs, so that they have only their order to go by."""
    return outputs == default_names(len(outputs))


def _where_unnamed(outputs: tuple[str, ...] | None, seen: Observations) -> tuple[str, ...] | None:
    """The model's own names, where there are as many observed columns and nobody named them."""
    fitting = outputs is not None and seen.names is None and seen.width == len(outputs)
    return outputs if fitting else None


def _output_names(outputs: Sequence[str] | None, seen: Observations) -> tuple[str, ...]:
    if outputs is None:
        if seen.names is not None:
            return seen.names
        return default_names(seen.width)
    names = (outputs,) if isinstance(outputs, str) else tuple(map(str, outputs))
    if not names or len(set(names)) != len(names):
        raise InputError(f"outputs must name each observed output once; got {list(names)}")
    if len(names) != seen.width and seen.names is None:
        raise InputError(
            f"outputs names {len(names)} outputs {list(names)} but the observations have "
            f"{seen.width} columns"
        )
    return names


def _noise_over(noise: Any, names: tuple[str, ...]) -> Noise:
    try:
        return as_noise(noise).over(names)
    except SettingError as error:
        raise error.under("noise") from None


def in_order(seen: Observations, names: tuple[str, ...]) -> Observations:
    """The observations with their columns chosen and ordered by output name."""
    if seen.names is None or seen.names == names:
        return seen
    missing = [name for name in names if name not in seen.names]
    if missing:
        raise InputError(
            f"the observations have no column {missing[0]!r}; they have {list(seen.names)}"
        )
    index = [seen.names.index(name) for name in names]
    if isinstance(seen, Table):
        in_order = index == list(range(len(names)))
        return Table(seen.rows[:, index], names, seen.field if in_order else None)
    if seen.joint is not None:
        raise InputError("a joint law's outputs cannot be re-ordered; name them in its own order")
    return Law(tuple(seen.columns[j] for j in index), None, len(index), names)
