"""What the page says in words, where the words depend on what was found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from invgan import plots
from invgan.observations import Table
from invgan.problem import Problem
from invgan.report.findings import Findings

__all__ = [
    "calibration",
    "captions",
    "correction",
    "iterated",
    "no_baseline",
    "observed",
]

_HISTORY = (
    "Training by step: faint lines are single steps, strong ones their running mean; circles are "
    "evaluations on held-out pairs, and the filled one is what was kept. A held-out divergence "
    f"below {plots.LEAST_DIVERGENCE:g}, which cannot be told from none, is drawn there."
)
_HEAD = (
    " The head's training figure counts the noise that is added to its training pairs "
    "(train.smoothing), the held-out one does not."
)
_CALIBRATION = (
    "B1: the share of held-out true parameters that lies in the region with each share of the "
    "draws, for the densest regions and for those around random points (TARP). An exact inverse "
    "lies on the diagonal, and 95 of 100 exact ones stay within the grey band from end to end; "
    "below it the draws are too narrow. B2: how far the ranks of the true values among the draws "
    "are from even. Below zero the draws are too low, above it too high; above at the left and "
    "below at the right they are too narrow, the other way round too wide"
)
_MOST_SENTENCES = 6
_NO_DENSITY = {
    "field": (
        "No MCMC baseline: the moves of its ensemble are lost in the many dimensions of a field."
    ),
    "posterior": (
        "No MCMC baseline: it needs the likelihood, which the noise of the measurement gives for a "
        "deterministic model (problem.noise), or the user for any (problem.log_likelihood)."
    ),
    "missing": (
        "No MCMC baseline: of outputs with missing values only the user can give the likelihood "
        "(problem.log_likelihood)."
    ),
    "population": (
        "No MCMC baseline: the population density of a model with noise cannot be stated."
    ),
}
_CLASSIFIERS = {
    "splines": "a logistic regression on splines of each output",
    "perceptron": "a small perceptron",
}


def observed(problem: Problem) -> str:
    """What the observations are."""
    seen = problem.observations
    if not isinstance(seen, Table):
        return "a law"
    if problem.question == "posterior":
        count = len(seen.rows)
        told = "one experiment" if count == 1 else f"one experiment, repeated {count} times"
        there = np.count_nonzero(~np.isnan(seen.rows))
        gaps = f", {there} of {seen.rows.size} values" if there < seen.rows.size else ""
        return f"{told}{gaps}"
    return f"{len(seen.rows):,} rows"


def no_baseline(f: Findings) -> str | None:
    """Why MCMC has no part in these findings, or None where it has."""
    if f.baseline is not None:
        return None
    if not f.problem.has_density:
        why = "missing" if f.problem.missing else f.problem.question
        return _NO_DENSITY["field" if f.problem.field else why]
    if _setting(f, "mcmc", "enabled") is False:
        return "Switched off (mcmc.enabled: false)."
    return "MCMC was not run."


def correction(f: Findings) -> str | None:
    """What the push-forward correction did, or why there was none; None where none is due."""
    if f.problem.question == "posterior" or f.iterated:
        return None
    info = f.samples.info
    if "ratio" not in info:
        return _not_corrected(f)
    if info["ratio"] != "none":
        classifier = _CLASSIFIERS.get(info["ratio"], info["ratio"])
        return (
            f"The draws were corrected: {classifier} could tell the model's outputs at the "
            "generator's draws from the observations, so the draws were weighed by its odds and "
            "drawn anew."
        )
    excluded = 1 - info.get("mean_weight", 1.0)
    lost = f"; {100 * excluded:.2g} % of them, which the observed law excludes, were left out"
    return (
        "No correction was needed: no classifier could tell the model's outputs at the "
        "generator's draws from the observations. All draws count alike"
        f"{lost if excluded > 0 else ''}."
    )


def iterated(f: Findings) -> str | None:
    """How the population behind a model with noise was found; None for any other answer."""
    if not f.iterated:
        return None
    told = (
        "The model has noise: the posterior averaged over the observations (round 0) is wider than "
        "the population by that noise, and is not the answer. The rounds after it take steps of "
        "expectation and maximisation with the likelihood that the inverse has learnt; in each the "
        "model is run on the draws, and its outputs are held against the observations. "
    )
    kept = next((r["round"] for r in f.rounds["answer"] if r["kept"]), None)
    if f.samples.info.get("converged") is False:
        return told + f"None of them passed; round {kept} comes nearest and was kept."
    if kept == 0:
        return told + "Here the noise is too small to matter: round 0 passed, and was kept."
    return told + f"The outputs of round {kept} cannot be told from the observations: it was kept."


def calibration(f: Findings) -> list[str]:
    """The findings of the calibration; of many, the first ones and the count of the others."""
    told = list(f.calibration.get("sentences", ()))
    more = len(told) - _MOST_SENTENCES
    if more <= 1:
        return told
    return [*told[:_MOST_SENTENCES], f"and so on, by the ranks of {more} others (results.json)"]


def _not_corrected(f: Findings) -> str:
    message = f.samples.info.get("message")
    if message:
        return f"Refused, so these are the generator's own draws: {message}."
    if _setting(f, "sample", "correct") is False:
        return "Switched off (sample.correct: false): these are the generator's own draws."
    return "These are the generator's own draws, uncorrected."


def _setting(f: Findings, section: str, name: str) -> object:
    """A setting of the run, or None where it was not recorded."""
    chosen = f.settings.get(section)
    return chosen.get(name) if isinstance(chosen, Mapping) else None


def captions(f: Findings) -> dict[str, str]:
    """What stands below each figure, by its name."""
    what = "parameters" if f.problem.field is None else "quantities of the fields"
    corner = f"Regions that hold 50 % and 90 % of the draws, for every pair of {what}"
    count = len(f.problem.quantities)
    if count > plots.MAX_CORNER:
        corner += f"; the {plots.MAX_CORNER} of {count} that the observations moved most"
    answer = f"{_parameters(f)}. {_pushforward(f)}."
    head = any(row.get("phase") == "head" for row in f.history)
    history = _HISTORY + _HEAD * head
    return {
        "figure6": answer,
        "calibration": _ranks(f),
        "corner": f"{corner}.",
        "chain": _walkers(len(f.problem.prior.names)),
        "history": history,
    }


def _walkers(count: int) -> str:
    which = f" of the {plots.MAX_TRACES} parameters that moved most" * (count > plots.MAX_TRACES)
    return (
        f"Every walker of MCMC after the burn-in{which}, and in dark grey their mean. "
        "Walkers that can be trusted look alike, and the same from end to end."
    )


def _ranks(f: Findings) -> str:
    count = len(f.calibration.get("names", ()))
    chosen = (
        f"; the {plots.MAX_RANKS} of {count} that stray most" if count > plots.MAX_RANKS else ""
    )
    return f"{_CALIBRATION}{chosen}."


def _parameters(f: Findings) -> str:
    names, count = f.problem.prior.names, len(f.problem.prior.names)
    posterior = f.problem.question == "posterior"
    draws = "p(x given y)" if posterior else "P_X, the distribution of the parameters"
    if f.problem.field is not None:
        observed = "what was observed, " if f.problem.output_shape and posterior else ""
        return f"A1: {observed}mean, some, and standard deviation of draws of {draws}"
    if count == 2 and len(f.problem.outputs) == 1 and not f.problem.random:
        seen = "the observed value" if posterior else "5, 50 and 95 % quantiles of the observations"
        return (
            f"A1: draws of {draws}, over contours of {f.problem.outputs[0]} interpolated from the "
            f"simulations; the dark lines are its contours at the {seen}"
        )
    if count <= 2:
        cut = (
            "; the prior is drawn as it was cut for the last round" if count == 1 and f.cut else ""
        )
        return f"A1: draws of {draws}{cut}"
    pair = plots.strongest(f.samples.x, f.simulations.x, 2) if len(f.samples) else [0, 1]
    moved = " and ".join(names[j] for j in pair)
    return (
        f"A1: draws of {draws}, in the two of {count} parameters that the observations moved most "
        f"({moved})"
    )


def _pushforward(f: Findings) -> str:
    if f.problem.question == "posterior" and len(f.problem.outputs) > plots.MAX_OUTPUTS:
        return (
            "A2: where 50 % and 90 % of the model's outputs at these draws are, one output after "
            "the other; what was observed is the dots"
        )
    if f.problem.question == "posterior":
        return "A2: the model at these draws; what was observed is the vertical lines"
    return "A2: the model at these draws against the observed distribution P_Y"
