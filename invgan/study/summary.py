"""What a sweep leaves for readers: table.csv, summary.md, figures, and the best setting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invgan.config import plain, to_yaml
from invgan.files import write_text
from invgan.plots import save_png
from invgan.plots.sweep import Dimension, plot_main_effects, plot_parallel
from invgan.study.outcome import Study, Tried
from invgan.study.row import FIGURES
from invgan.study.spaces import Range

__all__ = ["best_config", "dimensions", "summary", "write_summary"]

_MOST_SETTINGS = 30
_MOST_FAILURES = 10
_NONE = "\N{EN DASH}"
_EFFECTS, _PARALLEL = "main-effects.png", "parallel-coordinates.png"


def write_summary(study: Study, folder: Path, resolved: Mapping[str, Any]) -> None:
    """Write table.csv, summary.md, figures/*.png and, where there is a best setting, best.yml.

    Args:
        study: what the sweep found.
        folder: of the sweep.
        resolved: the whole configuration as plain data.
    """
    write_text(folder / "table.csv", study.to_csv())
    best, drawn = best_config(study, resolved), False
    if best is not None:
        write_text(folder / "best.yml", best)
        shown, scores = dimensions(study)
        label = f"{study.plan.score} (smaller is better)"
        save_png(plot_main_effects(shown, scores, label), folder / "figures" / _EFFECTS)
        save_png(plot_parallel(shown, scores, label), folder / "figures" / _PARALLEL)
        drawn = True
    write_text(folder / "summary.md", summary(study, figures=drawn))


def best_config(study: Study, resolved: Mapping[str, Any]) -> str | None:
    """A configuration with the best setting, as text; None where there is none.

    Its seed is that of the simulations. Where that is among the seeds of the sweep, solving it
    repeats the run of this seed.
    """
    settings = study.best_settings
    if settings is None:
        return None
    chosen = plain(settings)
    return to_yaml({**resolved, "train": chosen["train"], "sample": chosen["sample"]})


def dimensions(study: Study) -> tuple[list[Dimension], np.ndarray[Any, np.dtype[np.float64]]]:
    """The settings that vary, and the scores (n,), over the runs that have one."""
    scores = study.column(study.plan.score)
    rows = [i for i, score in enumerate(scores) if score is not None]
    found = []
    for name, space in study.plan.spaces.items():
        column = study.column(name)
        log = isinstance(space, Range) and space.log
        found.append(Dimension.of(name, [column[i] for i in rows], log=log))
    return found, np.array([scores[i] for i in rows], float)


def summary(study: Study, *, figures: bool = False) -> str:
    """The sweep in markdown: the best setting, the effects of each, all settings, the failures.

    Args:
        study: what the sweep found.

    Other Args:
        figures: whether the two figures are there to be shown.
    """
    parts = [_opening(study)]
    if study.best is not None:
        parts.append(_effects(study))
    if figures:
        parts.append(f"![main effects](figures/{_EFFECTS})")
        parts.append(f"![parallel coordinates](figures/{_PARALLEL})")
    parts += [_settings(study), _failures(study), _glossary(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(study: Study) -> str:
    score, best = study.plan.score, study.best
    title = f"# A sweep over {', '.join(study.plan.vary)}"
    count = f"{len(study.rows)} runs of {len(study.tried)} settings"
    failed = f", {len(study.failed)} of which failed" if study.failed else ""
    if best is None:
        return f"{title}\n\n{count}{failed}. No run has the figure {score}, so none is the best."
    told = f"**Best by {score}**: {said(best.settings)}, with {_score(best)}."
    return f"{title}\n\n{count}{failed}. {told} `best.yml` is the configuration with it."


def said(settings: Mapping[str, Any]) -> str:
    """Settings in words."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in settings.items())


def _score(tried: Tried) -> str:
    runs = f" ± {tried.spread:.2g} over the seeds" if tried.spread else ""
    return f"{tried.score:.4g}{runs}"


def _effects(study: Study) -> str:
    """The mean score at each value of each setting, and how much of all variation it carries."""
    shown, scores = dimensions(study)
    lines = []
    for dimension in shown:
        means = zip(dimension.labels, dimension.means(scores), strict=True)
        told = ", ".join(f"{label}: {mean:.4g}" for label, mean in means)
        lines.append([f"`{dimension.name}`", told, f"{dimension.share(scores):.0%}"])
    head = ["setting", f"mean {study.plan.score} at each value", "share of the variance"]
    return "## What each setting does\n\n" + _table(head, lines)


def _settings(study: Study) -> str:
    tried = study.tried[:_MOST_SETTINGS]
    head = [*(f"`{name}`" for name in study.plan.vary), study.plan.score, "without score",
            "seconds", "health"]  # fmt: skip
    lines = [
        [
            *(_shown(value) for value in t.settings.values()),
            _NONE if t.score is None else _score(t).removesuffix(" over the seeds"),
            str(t.failed),
            f"{t.seconds:.3g}",
            ", ".join(f"{name} {count}" for name, count in t.health.items()) or _NONE,
        ]
        for t in tried
    ]
    left = len(study.tried) - len(tried)
    more = f"\n\n{left} more settings are in `table.csv`." if left else ""
    return "## All settings, the best first\n\n" + _table(head, lines) + more


def _failures(study: Study) -> str:
    if not study.failed:
        return ""
    lines = [
        [str(row.number), str(row.seed), said(row.settings), str(row.failure).replace("|", "\\|")]
        for row in study.failed[:_MOST_FAILURES]
    ]
    left = len(study.failed) - len(lines)
    more = f"\n\n{left} more are in `table.csv`." if left else ""
    return "## What failed\n\n" + _table(["run", "seed", "settings", "reason"], lines) + more


def _glossary(study: Study) -> str:
    have = [n for n in FIGURES if any(row.figures.get(n) is not None for row in study.rows)]
    lines = [f"- `{name}`: {FIGURES[name]}" for name in have]
    return "## The figures of table.csv\n\n" + "\n".join(lines) if lines else ""


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: Any) -> str:
    """A value as the YAML file has it, in few digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
