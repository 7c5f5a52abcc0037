"""What a sweep found: all rows, how each setting did, and the best one."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np

from invgan.config import Settings
from invgan.study.changes import Choice, changed
from invgan.study.plan import Score, SweepPlan
from invgan.study.row import FIGURES, Row

__all__ = ["Study", "Tried"]


@dataclass(frozen=True)
class Tried:
    """How one setting did over its seeds.

    Attributes:
        number: in the order in which settings were chosen.
        settings: the values that vary.
        score: mean over the seeds that have one, or None.
        spread: their standard deviation, 0 for a single one.
        failed: how many of its runs have no score.
        seconds: mean seconds of training.
        health: how many runs looked how.
    """

    number: int
    settings: Choice
    score: float | None
    spread: float
    failed: int
    seconds: float
    health: Mapping[str, int]


@dataclass(frozen=True)
class Study:
    """A finished sweep.

    Attributes:
        plan: what varied.
        settings: of all stages, before anything varied.
        rows: one for each run, ordered by number and seed.
    """

    plan: SweepPlan
    settings: Settings
    rows: tuple[Row, ...]

    @cached_property
    def tried(self) -> tuple[Tried, ...]:
        """How each setting did: the best first, those that failed for some seed after the others.

        A setting that fails for one seed of three may look best by the luck of the other two.
        """
        numbers = dict.fromkeys(row.number for row in self.rows)
        found = [_tried([row for row in self.rows if row.number == n], self.plan.score)
                 for n in numbers]  # fmt: skip
        return tuple(sorted(found, key=_rank))

    @property
    def best(self) -> Tried | None:
        """The setting with the smallest mean score; None where no run has one."""
        first = self.tried[0] if self.tried else None
        return None if first is None or first.score is None else first

    @property
    def best_settings(self) -> Settings | None:
        """The settings of all stages with the best ones in place."""
        return None if self.best is None else changed(self.settings, self.best.settings)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that have no figures, each with its reason."""
        return tuple(row for row in self.rows if row.failure)

    @property
    def scores(self) -> tuple[str, ...]:
        """The figures by which a plan may choose that some run has."""
        return tuple(
            name
            for name in get_args(Score)
            if any(row.score(name) is not None for row in self.rows)
        )

    def column(self, name: str) -> list[Any]:
        """A setting that varies, by its dotted name, or a figure, one value for each row."""
        if name in self.plan.vary:
            return [row.settings[name] for row in self.rows]
        return [row.score(name) for row in self.rows]

    def to_csv(self) -> str:
        """One line for each run: its settings, figures, seconds, health and failure."""
        text = io.StringIO()
        names = ["number", "seed", *self.plan.vary, *FIGURES, "seconds", "health", "failure"]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            plain = {key: value for key, value in row.to_dict().items() if key in names}
            writer.writerow(plain | dict(row.settings) | dict(row.figures))
        return text.getvalue()


def _tried(rows: list[Row], score: str) -> Tried:
    scores = [value for row in rows if (value := row.score(score)) is not None]
    return Tried(
        number=rows[0].number,
        settings=rows[0].settings,
        score=float(np.mean(scores)) if scores else None,
        spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
        failed=len(rows) - len(scores),
        seconds=float(np.mean([row.seconds for row in rows])),
        health=Counter(row.health for row in rows if row.health),
    )


def _rank(tried: Tried) -> tuple[bool, int, float]:
    score = tried.score
    return score is None, tried.failed, np.inf if score is None else score
