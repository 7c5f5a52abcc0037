"""The noun that validation hands to the report: measures with their floors, and a verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Measure", "Validation", "Verdict"]

Verdict = Literal["consistent", "not consistent", "not answerable"]


@dataclass(frozen=True)
class Measure:
    """One figure and what it would be for an exact answer.

    Attributes:
        name: the measure, as in ``"KS"`` or ``"C2ST"``.
        output: the output or the parameter that it speaks of, or None for all of them together.
        value: the figure; smaller is better unless the name says otherwise.
        floor: what an exact answer of this size stays below in about 998 of 1000 cases, all
            values of this name together, so that all figures fail it twice in a hundred times.
        passed: whether the value is as small as it has to be.
        meaning: one sentence for the reader of the report.
        limit: what the value must not exceed to pass: the floor, or what is too small to matter.
        note: what the value says in this case, where it did not pass.
    """

    name: str
    output: str | None
    value: float
    floor: float
    passed: bool
    meaning: str = ""
    limit: float | None = None
    note: str = ""

    @property
    def judged(self) -> str:
        """The limit and whether it was kept, in words; nothing for a figure only shown."""
        limit = self.floor if self.limit is None else self.limit
        if math.isnan(limit):
            return ""
        return f"({'passed' if self.passed else 'not passed'}, limit {limit:.4g})"


@dataclass(frozen=True, repr=False)
class Validation:
    """What the model says of an answer.

    Attributes:
        verdict: ``"consistent"``, ``"not consistent"`` or ``"not answerable"``.
        reasons: sentences that carry the verdict, the gravest first.
        measures: every figure with its floor.
        info: other figures for the report: seconds, model_evaluations.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    measures: tuple[Measure, ...]
    info: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """The verdict, what carries it, and for each measure the column that does worst."""
        lines = [f"verdict: {self.verdict}", *(f"  {reason}" for reason in self.reasons)]
        worst: dict[str, Measure] = {}
        for measure in self.measures:
            known = worst.setdefault(measure.name, measure)
            if (not measure.passed, measure.value) > (not known.passed, known.value):
                worst[measure.name] = measure
        for name, measure in worst.items():
            where = f" in {measure.output}" if measure.output else ""
            lines.append(f"  {name:<22} {measure.value:.4g} {measure.judged}{where}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Validation({self.verdict!r}, {len(self.measures)} measures)"

    def __getitem__(self, name: str) -> float:
        """The value of the measure of this name (the largest, where outputs have one each)."""
        values = [m.value for m in self.measures if m.name == name]
        if not values:
            raise KeyError(f"{name!r}; known are {sorted({m.name for m in self.measures})}")
        return max(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
