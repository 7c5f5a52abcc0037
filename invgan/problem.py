"""The problem: a model, a prior over its parameters, observations of its outputs, and a question.

Two questions can be asked (docs/method.md has the mathematics):

- ``population``: the observations are a distribution P_Y of outputs over many members; wanted is
  the distribution P_X of parameters whose push-forward through the model is P_Y and which stays
  closest to the prior (data-consistent inversion: Butler, Jakeman and Wildey 2018).
- ``posterior``: the observations are one experiment; wanted is p(x given y).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from invgan.errors import InputError
from invgan.observations import Law, Observations, Table, as_observations
from invgan.priors import Prior, PriorLike

__all__ = ["Problem", "Question", "default_names"]

Question = Literal["population", "posterior"]


@dataclass(frozen=True, init=False)
class Problem:
    """A stochastic inverse problem.

    Args:
        model: the mechanistic model. By default a function of a batch x (n, D) that returns the
            outputs (n, L), or (n,) for one output, or a mapping from output names to columns (n,).
        prior: a `Prior`, a mapping from names to `scipy.stats` laws, or any `PriorLike`.
        observations: a table (N, L) or (N,), a path to a .csv or .npy, a frozen law of
            `scipy.stats` (one for each output), or a joint law.

    Other Args:
        outputs: names of the L outputs. By default those of the observations, else y1, y2, ...
        vectorized: False for a model of one parameter vector x (D,) that returns L numbers, one
            number, or a mapping from names to numbers.
        stochastic: True for a model with noise; it is then called as ``model(x, rng)``.
        question: ``"population"`` or ``"posterior"``. Several rows under ``"posterior"`` are
            repeated measurements of one experiment.

    Raises:
        InputError: something is missing or contradicts the rest; the message says what to do.

    Example:
        >>> from scipy import stats
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
    ) -> None:
        if not callable(model):
            raise InputError(f"the model must be a function; got {type(model).__name__}")
        seen = as_observations(observations)
        names = _output_names(outputs, seen)
        put = object.__setattr__
        put(self, "model", model)
        put(self, "prior", _as_prior(prior))
        put(self, "observations", _in_order(seen, names))
        put(self, "outputs", names)
        put(self, "vectorized", bool(vectorized))
        put(self, "stochastic", bool(stochastic))
        put(self, "question", question)
        self._check_question()

    @property
    def repeats(self) -> int:
        """How many times one experiment was measured: 1, but for repeated posterior rows."""
        if self.question == "posterior" and isinstance(self.observations, Table):
            return len(self.observations.rows)
        return 1

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
        if self.question == "population" and self.stochastic:
            raise InputError(
                "the population question needs a deterministic model: averaging the posteriors "
                "of a stochastic one does not give the population. Make the noise a parameter "
                "with a prior of its own, or ask question='posterior'"
            )
        if self.question == "posterior" and not is_table:
            raise InputError(
                "question='posterior' takes observed rows, not a law: give one row of outputs, "
                "or ask question='population'"
            )
        if self.question == "posterior" and rows > 1 and not self.stochastic:
            raise InputError(
                f"{rows} rows of a deterministic model cannot be repeats of one experiment (each "
                "would be the same): set stochastic=True, or ask question='population'"
            )


def default_names(width: int) -> tuple[str, ...]:
    """Names for outputs that nobody named."""
    return ("y",) if width == 1 else tuple(f"y{j + 1}" for j in range(width))


def _as_prior(prior: Any) -> PriorLike:
    if isinstance(prior, Mapping):
        return Prior(prior)
    if isinstance(prior, PriorLike):
        return prior
    missing = [m for m in ("names", "support", "sample", "log_prob") if not hasattr(prior, m)]
    raise InputError(
        f"the prior ({type(prior).__name__}) lacks {', '.join(missing)}: use invgan.Prior(...), "
        "or an object with names, support, sample(n, rng) and log_prob(x)"
    )


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


def _in_order(seen: Observations, names: tuple[str, ...]) -> Observations:
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
        return Table(seen.rows[:, index], names)
    if seen.joint is not None:
        raise InputError("a joint law's outputs cannot be re-ordered; name them in its own order")
    return Law(tuple(seen.columns[j] for j in index), None, len(index), names)
