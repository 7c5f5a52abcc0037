"""The noun that validation hands to the report: measures with their floors, and a verdict."""

from __future__ import annotations

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


@dataclass(frozen=True)
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

    def __getitem__(self, name: str) -> float:
        """The value of the measure of this name (the largest, where outputs have one each)."""
        values = [m.value for m in self.measures if m.name == name]
        if not values:
            raise KeyError(f"{name!r}; known are {sorted({m.name for m in self.measures})}")
        return max(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
