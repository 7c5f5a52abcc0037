"""The health of a game in one line, for the report, and in a few words for the progress bar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from invgan.health.diagnosis import diagnose
from invgan.health.names import Health

__all__ = ["standing", "summary"]

_MEANINGS = {
    "heldout": "held-out divergence {:.3g} nats",
    "best": "lowest held-out divergence {:.3g} nats",
    "gain": "which fell by {:.0%} over the last third",
    "wins_heldout": "the critic wins {:.0%} of held-out pairs",
    "wins_training": "the critic wins {:.0%} of training pairs",
    "could_win": "a critic outside the game would win {:.0%}",
    "by_heart": "it puts a training pair above a held-out one in {:.0%} of cases",
    "swing": "from one evaluation to the next draws go to and fro by {:.2g} of their spread",
    "ups": "the held-out divergence rises by a factor e to the {:.2g}",
    "reach": "draws lie {:.3g} standard deviations out",
    "narrowest": "draws spread {:.0%} as far as real parameters",
    "coverage": "{:.0%} of real pairs have a generated one near (97% would)",
    "precision": "{:.0%} of generated pairs have a real one near",
    "growth": "gradients grew {:.3g}-fold",
    "critic_grad_norm": "the critic's gradient fell to {:.2g} of its first",
    "generator_grad_norm": "the generator's gradient fell to {:.2g} of its first",
    "critic_loss": "the critic's loss fell to {:.2g} of its first",
    "generator_loss": "the generator's loss fell to {:.2g} of its first",
}
_FAMILY = ("critic wins", "generator wins", "both vanish")


def summary(health: Health) -> str:
    """One line: the name, the figures that carry it, and what to do."""
    name = f"convergence failure, {health.name}" if health.name in _FAMILY else health.name
    said = "; ".join(_said(key, value) for key, value in health.evidence.items())
    line = f"{name}: {said}" if said else name
    return line if health.healthy else f"{line}. To mend it, {health.remedy}"


def standing(history: Sequence[Mapping[str, Any]]) -> str:
    """How training stands at its last evaluation, in a few words for a progress bar.

    Step, losses and health of a game; of a head the held-out figure that its fit makes small.
    """
    last = next((row for row in reversed(history) if "heldout" in row), None)
    if last is None:
        return ""
    if last.get("phase", "gan") != "gan":
        return f"{last['phase']} {last['step']}: held-out {last['heldout']:.3g}"
    losses = [
        f"{side} {last[name]:.3g}"
        for side, name in (("critic", "critic_loss"), ("generator", "generator_loss"))
        if name in last
    ]
    return f"game {last['step']}: {', '.join([*losses, diagnose(history).name])}"


def _said(name: str, value: float) -> str:
    """A figure in words; one of an unknown name by that name."""
    if not math.isfinite(value):
        return f"{name} is not finite"
    return _MEANINGS.get(name, name + " {:.3g}").format(value)
