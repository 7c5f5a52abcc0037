"""Which failure a history shows: one rule for each, asked in turn, the gravest first.

The rules read the end of the game, the median of the last third of its evaluations, and what has
changed since its middle. With the figures of `Evidence`:

- *blown up*: a figure is not finite, or gradients or draws have left every scale.
- *over-fitting of the critic*: it wins more often on training pairs than on held-out ones.
- *generator wins*: the critic puts generated pairs above real ones; or it is content while a
  classifier outside the game tells the two apart.
- *mode collapse*: draws are narrower than real parameters, or lie on a part of them only.
- *both vanish*: both gradients have gone, and the draws are still wrong.
- *critic wins*: it tells nearly all pairs apart, and the generator no longer gains.
- *oscillation*: the draws, or their held-out divergence, go to and fro.
- *not yet trained*: draws are still wrong, or they were still getting better.

All but the first two ask whether the draws are wrong at all, which a game that has been evaluated
fewer than four times is not blamed for: one that has found the answer by a winding road is
healthy. Where no evidence was recorded, the loss curves must do: the loss of the
side that wins falls towards zero while the other's does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invgan.health.names import FAILURES, Health, Name
from invgan.health.trace import Evidence, Trace, best_wins, read

__all__ = ["diagnose"]

_PROBES, _SPREADS = ("probe_1", "probe_2", "probe_3"), ("reach", "narrowest")

Numbers = dict[str, float]
Rule = Callable[[Trace], Numbers | None]

_GROWN, _OUT = 1e6, 1e3
_GAP, _ERRORS = 0.03, 1.5
_BEATEN, _BLIND = 0.25, 0.035
_WEAK, _ASTRAY = 0.12, 1.2
_NARROW, _LESS_NARROW, _NARROWED = 0.5, 1.3, 0.8
_COVERED, _PRECISE, _LESS, _FAR_LESS = 0.6, 0.5, 1.3, 2.0
_TOUCHING, _GAINED, _SHRUNK = 0.15, 0.1, 0.75
_FEWEST = 4
_GONE = 1e-2
_STRONG, _NEARLY = 0.75, 0.03
_LEARNT, _ALL = 0.1, 0.95
_SWING, _UPS, _HALVED = 0.15, 0.2, 0.5
_TINY = 1e-6
_RIGHT, _DOUBTFUL, _WRONG = 0.03, 0.05, 0.1
_GAIN, _STILL = 0.2, 0.15
_FELL = 0.1


def diagnose(history: Sequence[Mapping[str, Any]], held_out: Evidence | None = None) -> Health:
    """Name the failure that a history shows, or say that it is healthy.

    Args:
        history: rows of training so far, as `invgan.gan` records them.
        held_out: figures of the last evaluation, where its row lacks them.

    Raises:
        InputError: the history is not made of rows.
    """
    trace = read(history, held_out)
    for name, rule in _RULES:
        found = rule(trace)
        if found is not None:
            return Health(name, found, FAILURES[name], healthy=False)
    return Health("healthy", _shown(trace, "heldout", "wins_heldout"), "nothing to mend", True)


def _blown_up(trace: Trace) -> Numbers | None:
    if trace.broken:
        return dict(trace.broken)
    growth = max((_growth(norms) for norms in trace.norms.values()), default=0.0)
    reach = float(np.nanmax(trace.figures["reach"], initial=0.0))
    grown, out = growth > _GROWN, reach > _OUT
    return {"growth": growth, "reach": reach} if grown or out else None


def _growth(norms: NDArray[np.float64]) -> float:
    """The largest value in units of the first one that is not zero."""
    positive = norms[norms > 0]
    return float(positive.max() / positive[0]) if len(positive) else 0.0


def _over_fitted(trace: Trace) -> Numbers | None:
    wins = [trace.level(name) for name in ("wins_training", "wins_heldout")]
    counts = [trace.level(name) for name in ("compared_training", "compared")]
    rows = [count if count >= 1 else math.inf for count in counts]
    error = math.sqrt(sum(p * (1 - p) / n for p, n in zip(wins, rows, strict=True)))
    chance = math.sqrt(sum(1 / n for n in rows) / 12)
    more = wins[0] - wins[1] > _GAP + _ERRORS * error
    known = trace.level("by_heart") - 0.5 > _GAP + _ERRORS * chance
    if not more and not known:
        return None
    return _shown(trace, "wins_training", "wins_heldout", "by_heart")


def _beaten(trace: Trace, wins: float) -> Numbers | None:
    """The critic never wins more than this share."""
    late = trace.late("wins_heldout")
    if not len(late) or late.max() > wins or not _wrong(trace):
        return None
    return _shown(trace, "wins_heldout", "heldout", "reach")


def _narrowed(trace: Trace, precise: float) -> Numbers | None:
    """Draws have crowded together, and so large a share of them at least lies near real ones.

    Draws that a blind critic has led astray may be narrow too, but lie nowhere near.
    """
    late = trace.late("narrowest")
    if not len(late) or not _wrong(trace) or trace.level("precision") < precise:
        return None
    if max(late.max() / _LESS_NARROW, np.median(late)) > _NARROW:
        return None
    if np.median(late) > _NARROWED * trace.first("narrowest"):
        return None
    swings = trace.level("coverage") > _COVERED and _swinging(trace)
    return None if swings else _shown(trace, "narrowest", "coverage", "precision")


def _part(trace: Trace, times: float) -> Numbers | None:
    """Draws have become precise, and cover so many times less."""
    covered, near = trace.level("coverage"), trace.level("precision")
    precise = near > max(_PRECISE, times * covered, trace.first("precision") + _GAINED)
    if _wrong(trace) and covered < _COVERED and precise:
        return _shown(trace, "coverage", "precision")
    return None


def _shrunk(trace: Trace) -> Numbers | None:
    """Draws cover less than the untrained generator's did, and are as precise."""
    covered, near = (trace.level(name) for name in ("coverage", "precision"))
    less = covered < min(_COVERED, _SHRUNK * trace.first("coverage"))
    if _wrong(trace) and less and near > _NARROWED * trace.first("precision"):
        return _shown(trace, "coverage", "precision")
    return None


def _content(trace: Trace) -> Numbers | None:
    """The critic is content where an outside one would not be, and the draws have got worse."""
    heldout, could = trace.level("heldout"), best_wins(trace.level("heldout"))
    astray = _wrong(trace) and heldout > _ASTRAY * trace.first("heldout")
    if not astray or not trace.level("wins_heldout") < could - _WEAK:
        return None
    return {**_shown(trace, "wins_heldout"), "could_win": could, "heldout": heldout}


def _both_vanish(trace: Trace) -> Numbers | None:
    left = {name: _left(norms) for name, norms in trace.norms.items()}
    gone = all(share < _GONE for share in left.values())
    return {**left, **_shown(trace, "heldout")} if gone and _wrong(trace) else None


def _left(norms: NDArray[np.float64]) -> float:
    """The median of the last third in units of the first one that is not zero, or one."""
    positive = norms[norms > 0]
    if len(norms) < 3 or not len(positive):
        return 1.0
    return float(np.median(norms[-(len(norms) // 3) :]) / positive[0])


def _critic_wins(trace: Trace) -> Numbers | None:
    """The critic has learnt to win as often as it could, and draws that are wrong stay so."""
    wins, could = trace.level("wins_heldout"), best_wins(trace.level("heldout"))
    learnt = wins > min(trace.first("wins_heldout") + _LEARNT, _ALL)
    if not learnt or wins < max(_STRONG, could - _NEARLY):
        return None
    lost = _wrong(trace) and _far(trace) and not _gains(trace)
    return _shown(trace, "wins_heldout", "heldout") if lost else None


def _curves(critic: bool, generator: bool, trace: Trace) -> Numbers | None:
    """Which losses have fallen to nothing, where there is nothing else to go by."""
    if len(trace.late("wins_heldout")) or trace.level("heldout") <= _RIGHT:
        return None
    left = {name: _fallen(losses) for name, losses in trace.losses.items()}
    if tuple(share < _FELL for share in left.values()) != (critic, generator):
        return None
    return left


def _fallen(losses: NDArray[np.float64]) -> float:
    """The size of the last third in units of that of the first tenth, or one."""
    if len(losses) < 3:
        return 1.0
    first = float(np.median(np.abs(losses[: -(-len(losses) // 10)])))
    last = float(np.median(np.abs(losses[-(len(losses) // 3) :])))
    return last / first if first > 0 else 1.0


def _oscillates(trace: Trace) -> Numbers | None:
    if not _swinging(trace):
        return None
    return {"swing": _swing(trace), "ups": _ups(trace), **_shown(trace, "heldout")}


def _swinging(trace: Trace) -> bool:
    """Whether draws were wrong time and again in the second half, for all that they went about.

    What has halved by the last two evaluations was on its way.
    """
    worst = trace.second_half("heldout")
    if np.max(worst, initial=0.0) < _DOUBTFUL or worst[-2:].max() < _HALVED * worst[:2].max():
        return False
    return _swing(trace) > _SWING or _ups(trace) > _UPS


def _swing(trace: Trace) -> float:
    """To and fro of the draws' mean errors and spread, of what swings most, in the second half."""
    means = [trace.second_half(name) for name in _PROBES]
    spreads = [np.log(np.maximum(trace.second_half(name), _TINY)) for name in _SPREADS]
    return max(_to_and_fro(line) for line in (*means, *spreads))


def _ups(trace: Trace) -> float:
    """Mean rise of the logarithm of the held-out divergence, in the second half."""
    steps = np.diff(np.log(np.maximum(trace.second_half("heldout"), _RIGHT)))
    return float(np.maximum(steps, 0).sum() / len(steps)) if len(steps) >= 3 else 0.0


def _to_and_fro(values: NDArray[np.float64]) -> float:
    """The mean step of a line of figures, less what got it anywhere."""
    steps = np.diff(values)
    if len(steps) < 3:
        return 0.0
    return float((np.abs(steps).sum() - abs(values[-1] - values[0])) / len(steps))


def _not_trained(trace: Trace) -> Numbers | None:
    late = trace.late("heldout")
    gain = float(1 - late[-1] / late[0]) if len(late) > 1 and late[0] > 0 else 0.0
    improving = gain > _STILL and trace.level("heldout") > _DOUBTFUL
    if improving:
        return {**_shown(trace, "heldout"), "gain": gain, **_shown(trace, "coverage")}
    return _shown(trace, "heldout", "coverage") if len(trace) and _far(trace) else None


def _wrong(trace: Trace) -> bool:
    """Whether held-out pairs tell the draws from real parameters, after long enough to blame."""
    if len(trace) < _FEWEST:
        return False
    return trace.level("coverage") < _COVERED or trace.level("heldout") > _RIGHT


def _far(trace: Trace) -> bool:
    """Whether they tell them from real ones at a glance."""
    return trace.level("coverage") < _COVERED or trace.level("heldout") > _WRONG


def _gains(trace: Trace) -> bool:
    return _gain(trace) > _GAIN or trace.change("coverage") > 0.05


def _gain(trace: Trace) -> float:
    """By which share the held-out divergence has fallen since the middle of the game."""
    change, level = trace.change("heldout"), trace.level("heldout")
    return -change / (level - change) if level - change > 0 else 0.0


def _shown(trace: Trace, *names: str) -> Numbers:
    """Figures at the end of the game, those that are known."""
    levels = {name: trace.level(name) for name in names}
    return {name: level for name, level in levels.items() if not math.isnan(level)}


_RULES: tuple[tuple[Name, Rule], ...] = (
    ("blown up", _blown_up),
    ("over-fitting of the critic", _over_fitted),
    ("generator wins", partial(_beaten, wins=_BLIND)),
    ("mode collapse", partial(_narrowed, precise=_TOUCHING)),
    ("generator wins", partial(_beaten, wins=_BEATEN)),
    ("mode collapse", partial(_narrowed, precise=0.0)),
    ("mode collapse", partial(_part, times=_FAR_LESS)),
    ("mode collapse", _shrunk),
    ("both vanish", _both_vanish),
    ("oscillation", _oscillates),
    ("mode collapse", partial(_part, times=_LESS)),
    ("generator wins", _content),
    ("critic wins", _critic_wins),
    ("both vanish", partial(_curves, True, True)),
    ("critic wins", partial(_curves, True, False)),
    ("generator wins", partial(_curves, False, True)),
    ("not yet trained", _not_trained),
)
