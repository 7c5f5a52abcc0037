r"""Simulations that failed: how, how often, and where in the prior.

Leaving out the failed rows changes the prior. With q(x) and the chance s(x) that a simulation
succeeds, what is left are draws of

    q(x) s(x) / \int q s,

and every stage after this one works with that. Where s is the same everywhere nothing changes;
where it is not, parameters that often fail count less than the prior says, and those that always
fail are excluded. So the share of failures is looked at along each parameter: the prior draws are
cut into bins of equal count, and the counts of failures compared by a chi-square test of
homogeneity (Pearson 1900), with Bonferroni's correction for the number of parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from invgan.errors import InputError, ModelError
from invgan.execution.attempt import Failure, Outcome
from invgan.execution.calls import called_with
from invgan.problem import Problem
from invgan.samples import Records, Simulations, failure_records

__all__ = [
    "FailureTable",
    "Kind",
    "Region",
    "check_failures",
    "failed_among",
    "failed_rows",
    "failure_table",
    "kinds_of",
    "sorted_out",
]

Array = NDArray[np.float64]

_LEVEL = 0.01
_VERBS = {
    "raised": "raised",
    "timed out": "timed out",
    "not finite": "not finite",
    "worker died": "ended their process",
    "wrong outputs": "lacked their outputs",
}


@dataclass(frozen=True)
class Kind:
    """Failures of one kind: how many, and the commonest message among them."""

    kind: str
    count: int
    message: str


@dataclass(frozen=True)
class Region:
    """A part of the prior: the parameter's range, simulations in it, and how many failed."""

    low: float
    high: float
    runs: int
    failed: int

    @property
    def share(self) -> float:
        """The share that failed."""
        return self.failed / self.runs if self.runs else 0.0


@dataclass(frozen=True)
class FailureTable:
    """What the report says of failed simulations.

    Attributes:
        runs: simulations in all.
        kinds: by kind, the commonest first.
        regions: by parameter, bins of equal count along it, the share of failures in each.
        telling: the parameter along which the share varies most, or None where along none it
            varies by more than chance.
        p: the chance of so much variation along it if failures had nothing to do with it.
        sentence: what this means for the answer.
    """

    runs: int
    kinds: tuple[Kind, ...]
    regions: dict[str, tuple[Region, ...]]
    telling: str | None
    p: float
    sentence: str


def failure_table(simulations: Simulations, *, bins: int = 5) -> FailureTable | None:
    """Failures by kind and by region of the prior; None where nothing failed.

    Args:
        simulations: with their failed rows.

    Other Args:
        bins: regions along each parameter.
    """
    failed = simulations.failed
    if not len(failed):
        return None
    x = np.concatenate([simulations.x, failed])
    is_failed = np.arange(len(x)) >= len(simulations)
    regions = {name: _regions(x[:, j], is_failed, bins) for j, name in enumerate(simulations.names)}
    chances = {name: min(1.0, _chance(found) * len(x[0])) for name, found in regions.items()}
    name = min(chances, key=lambda name: chances[name])
    telling = name if chances[name] < _LEVEL else None
    kinds = tuple(
        Kind(kind, count, _commonest(simulations.failures, kind))
        for kind, count in kinds_of(simulations.failures)
    )
    sentence = _sentence(len(x), kinds, telling, regions[name])
    return FailureTable(len(x), kinds, regions, telling, chances[name], sentence)


def check_failures(
    problem: Problem, failed: Array, records: Records, done: int, n: int, limit: float
) -> None:
    """Stop where more simulations failed than may.

    Args:
        problem: for the names.
        failed: parameters of the failed rows, shape (n_failed, D).
        records: how they failed.
        done: how many simulations were run.
        n: how many are wanted in all.
        limit: the share of n that may fail.

    Raises:
        ModelError: they are too many, or all.
    """
    if not len(failed) or (len(failed) <= limit * n and len(failed) < n):
        return
    first = f"x = {{{called_with(problem.prior.names, failed[0])}}}"
    if records[0]["message"]:
        first += f": {records[0]['message']}"
    if len(failed) == n:
        wrong = "was finite" if set(records["kind"]) == {"not finite"} else "came to an end"
        raise ModelError(f"none of the {n} simulations {wrong} (first: {first})")
    longer = "give them longer (timeout), " if (records["kind"] == "timed out").any() else ""
    raise ModelError(
        f"{len(failed)} of {done} simulations {_failed(records)} (first: {first}); {longer}allow "
        f"more with max_failures={min(1.0, len(failed) / done * 1.2):.2g}, or narrow the prior"
    )


def failed_rows(problem: Problem, outcome: Outcome) -> int:
    """How many rows failed, those that are not finite included."""
    return int((~_usable(problem, outcome)).sum())


def failed_among(problem: Problem, outcomes: Sequence[Outcome]) -> tuple[Array, Records]:
    """Parameters and records of the rows that failed, in the order of the rows."""
    found = sorted(outcomes, key=lambda outcome: outcome.start)
    x, records = [], []
    for outcome in found:
        good, told = sorted_out(problem, outcome.y.reshape(len(outcome), -1), outcome.failures,
                                start=outcome.start)  # fmt: skip
        x.append(outcome.x[~good])
        records += told.tolist()
    return np.concatenate(x), failure_records(records)


def sorted_out(
    problem: Problem, y: Array, failures: Iterable[Failure], *, start: int = 0
) -> tuple[NDArray[np.bool_], Records]:
    """Which rows of outputs y (n, W) count, shape (n,), and records of the others.

    Args:
        problem: says which outputs are usable.
        y: outputs.
        failures: of rows that gave none.

    Other Args:
        start: the place of the first row among all.
    """
    known = {f.row - start: f for f in failures}
    good = problem.usable(y)
    good[list(known)] = False
    unknown = Failure(0, "not finite", "", 0.0)
    rows = (known.get(int(row), unknown) for row in np.flatnonzero(~good))
    return good, failure_records((f.kind, f.message, f.seconds) for f in rows)


def kinds_of(records: Records) -> list[tuple[str, int]]:
    """The kinds of failure that there are, each with its count, the commonest first."""
    kinds, counts = np.unique(records["kind"], return_counts=True)
    return sorted(zip(map(str, kinds), map(int, counts), strict=True), key=lambda kc: -kc[1])


def _usable(problem: Problem, outcome: Outcome) -> NDArray[np.bool_]:
    return problem.usable(outcome.y.reshape(len(outcome), -1))


def _failed(records: Records) -> str:
    kinds = kinds_of(records)
    if kinds[0][0] == "not finite" and len(kinds) == 1:
        return "were not finite"
    return f"failed, {', '.join(f'{count} {_VERBS[kind]}' for kind, count in kinds)}"


def _commonest(records: Records, kind: str) -> str:
    messages, counts = np.unique(records["message"][records["kind"] == kind], return_counts=True)
    return str(messages[np.argmax(counts)])


def _regions(x: Array, failed: NDArray[np.bool_], bins: int) -> tuple[Region, ...]:
    """Bins of equal count along one parameter x (n,)."""
    if bins < 2:
        raise InputError(f"regions to compare are two or more; got bins={bins}")
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = []
    for k in range(len(edges) - 1):
        here = place == k
        low, high = float(edges[k]), float(edges[k + 1])
        found.append(Region(low, high, int(here.sum()), int(failed[here].sum())))
    return tuple(found)


def _chance(regions: tuple[Region, ...]) -> float:
    """The p-value of equal shares of failures in all regions."""
    table = np.array([(r.failed, r.runs - r.failed) for r in regions if r.runs]).T
    if table.size == 0 or table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    return float(stats.chi2_contingency(table).pvalue)


def _sentence(
    runs: int, kinds: tuple[Kind, ...], telling: str | None, regions: tuple[Region, ...]
) -> str:
    count = sum(kind.count for kind in kinds)
    parts = ", ".join(f"{kind.count:,} {_VERBS[kind.kind]}" for kind in kinds)
    start = f"{count:,} of {runs:,} simulations failed ({parts})"
    if telling is None:
        return (
            f"{start}, about as often everywhere in the prior as far as can be told, so that "
            "leaving them out changes the prior little."
        )
    worst = max(regions, key=lambda region: region.share)
    others = runs - worst.runs
    rest = (count - worst.failed) / others if others else 0.0
    return (
        f"{start}, most of all for {telling} between {worst.low:.4g} and {worst.high:.4g}: "
        f"{worst.share:.1%} there, {rest:.1%} elsewhere. They are left out, so the prior behind "
        "this answer is the given one times the chance that the model runs: parameters that often "
        "fail count less than they should, and where the model always fails there is no answer."
    )
