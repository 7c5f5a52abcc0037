"""What the page says in words, where the words depend on what was found."""

from __future__ import annotations

from collections.abc import Mapping

from invgan import plots
from invgan.observations import Table
from invgan.problem import Problem
from invgan.report.findings import Findings

__all__ = ["captions", "correction", "no_baseline", "observed"]

_HISTORY = (
    "Training by step: faint lines are single steps, strong ones their running mean; circles are "
    "evaluations on held-out pairs, and the filled one is what was kept. A held-out divergence "
    f"below {plots.LEAST_DIVERGENCE:g}, which cannot be told from none, is drawn there."
)
_HEAD = (
    " The head's training figure counts the noise that is added to its training pairs "
    "(train.smoothing), the held-out one does not."
)
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
        return "one experiment" if count == 1 else f"one experiment, repeated {count} times"
    return f"{len(seen.rows):,} rows"


def no_baseline(f: Findings) -> str | None:
    """Why MCMC has no part in these findings, or None where it has."""
    if f.baseline is not None:
        return None
    if f.problem.question == "posterior":
        return (
            "The posterior question has no MCMC baseline yet: MCMC needs a likelihood, which a "
            "simulator does not give."
        )
    if _setting(f, "mcmc", "enabled") is False:
        return "Switched off (mcmc.enabled: false)."
    return "MCMC was not run."


def correction(f: Findings) -> str | None:
    """What the push-forward correction did, or why there was none; None for a posterior."""
    if f.problem.question == "posterior":
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
    corner = "Regions that hold 50 % and 90 % of the draws, for every pair of parameters"
    if len(f.problem.prior.names) > plots.MAX_CORNER:
        count = len(f.problem.prior.names)
        corner += f"; the {plots.MAX_CORNER} of {count} that the observations moved most"
    answer = f"{_parameters(f)}. {_pushforward(f)}."
    head = any(row.get("phase") == "head" for row in f.history)
    history = _HISTORY + _HEAD * head
    return {"figure6": answer, "corner": f"{corner}.", "history": history}


def _parameters(f: Findings) -> str:
    names, count = f.problem.prior.names, len(f.problem.prior.names)
    posterior = f.problem.question == "posterior"
    draws = "p(x given y)" if posterior else "P_X, the distribution of the parameters"
    if count == 2 and len(f.problem.outputs) == 1 and not f.problem.stochastic:
        seen = "the observed value" if posterior else "5, 50 and 95 % quantiles of the observations"
        return (
            f"A1: draws of {draws}, over contours of {f.problem.outputs[0]} interpolated from the "
            f"simulations; the dark lines are its contours at the {seen}"
        )
    if count <= 2:
        return f"A1: draws of {draws}"
    pair = plots.strongest(f.samples.x, f.simulations.x, 2) if len(f.samples) else [0, 1]
    moved = " and ".join(names[j] for j in pair)
    return (
        f"A1: draws of {draws}, in the two of {count} parameters that the observations moved most "
        f"({moved})"
    )


def _pushforward(f: Findings) -> str:
    if f.problem.question == "posterior":
        return "A2: the model at these draws; what was observed is the vertical lines"
    return "A2: the model at these draws against the observed distribution P_Y"
