"""The page for readers: `report.html`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from invgan.report import decisions, words
from invgan.report.findings import Findings
from invgan.simulation import failure_table

__all__ = ["page"]

_MOST_ROWS = 16
_ROADS = {"cgan": "cGAN", "raw": "generator, uncorrected", "mcmc": "MCMC"}


def page(findings: Findings, found: dict[str, Any], images: dict[str, Any]) -> str:
    """The whole page.

    Args:
        findings: what the run found.
        found: the same as plain values, from `results`.
        images: the figures, from `save_figures`.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    template = resources.files("invgan.report").joinpath("page.html.j2")
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        found,
        roads=_ROADS,
        rows=_measure_rows(found["measures"]),
        meanings=_meanings(found["measures"]),
        distances=_distances(found["comparison"]),
        correction=words.correction(findings),
        iterated=words.iterated(findings),
        calibration_told=words.calibration(findings),
        cut=findings.cut,
        training_told=decisions.training(found["training"]) + decisions.critic(findings),
        members=_members(found["training"]),
        failures=failure_table(findings.simulations),
        captions=words.captions(findings),
        images=images,
        listing="\n".join(_listing(found["settings"])),
    )


def _measure_rows(measures: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each measure of each output, with a cell for each road that has it."""
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for road, entries in measures.items():
        for entry in entries:
            key = entry["name"], entry["output"]
            blank = {"name": key[0], "output": key[1], "cells": {}}
            rows.setdefault(key, blank)["cells"][road] = entry
    return _fewer(list(rows.values()))


def _fewer(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a measure with very many outputs the worst ones, and the count of the others."""
    kept: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["name"] for row in rows):
        same = [row for row in rows if row["name"] == name]
        if len(same) > _MOST_ROWS:
            worst = sorted(same, key=_badness, reverse=True)[: _MOST_ROWS - 1]
            others = f"and {len(same) - len(worst)} others (results.json)"
            same = [*worst, {"name": name, "output": others, "cells": {}}]
        kept += same
    return kept


def _badness(row: dict[str, Any]) -> tuple[bool, float]:
    """Not passed first, then by the value."""
    cells = row["cells"].values()
    return any(not c["passed"] for c in cells), max((c["value"] or 0.0) for c in cells)


def _members(training: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each trained sampler; a head that is none has no figure."""
    members = training.get("members") or ([training] if "head" in training else [])
    return [
        {
            **dict.fromkeys(("head", "divergence_of_head", "divergence", "kept_step")),
            **member,
            "heads": {k: v for k, v in member.get("heads", {}).items() if k != "none"},
            "judge": member.get("judge", {}),
        }
        for member in members
    ]


def _meanings(measures: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """What each measure means, once for all of its rows; of one output and of all it may differ."""
    found: dict[str, dict[str, None]] = {}
    for entry in (entry for road in measures.values() for entry in road if entry["meaning"]):
        found.setdefault(entry["name"], {})[entry["meaning"]] = None
    return {name: "; ".join(meanings) for name, meanings in found.items()}


def _distances(comparison: dict[str, Any]) -> dict[str, Any]:
    """How far apart the answers are; costs, named with their road, have a table of their own."""
    return {k: v for k, v in comparison.items() if not (" (" in k and k.endswith(")"))}


def _listing(settings: Mapping[str, Any], indent: str = "") -> list[str]:
    """Nested settings, a line each."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", *_listing(value, indent + "  ")]
        else:
            lines.append(
                f"{indent}{name}: {value if isinstance(value, str) else json.dumps(value)}"
            )
    return lines


def _number(value: Any) -> str:
    """A figure for a reader: four digits, thousands apart, a dash for what is not known."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if value == int(value) or 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}" if abs(value) < 1e7 or isinstance(value, int) else f"{value:.4g}"
    return f"{value:.4g}"
