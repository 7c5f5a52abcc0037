"""What the page says of training: what held-out pairs decided, from its plain figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from invgan.report.findings import Findings

__all__ = ["critic", "training"]


def training(found: Mapping[str, Any]) -> list[str]:
    """What held-out pairs decided in training, from its plain figures, a sentence each."""
    if "head" not in found:
        return []
    times = found.get("copies", 1)
    again = [f"Each simulation was learnt from {times} times, under noise of its own."]
    again = again if times > 1 else []
    if len(found.get("members", ())) > 1:
        return [
            *again,
            f"{len(found['members'])} samplers were trained from different seeds, and are drawn "
            "from equally.",
            *_likelihood(found),
            *_health(found),
        ]
    judged = _judge(found.get("judge", {})) + _likelihood(found)
    return [*again, _head(found), _game(found), *judged, *_health(found)]


def _head(found: Mapping[str, Any]) -> str:
    kind, others = found["head"], [k for k in found.get("heads", ()) if k != found["head"]]
    if kind == "none":
        return "There was no head start: the game alone was played."
    if not others:
        return f"The head start is the {kind} head."
    return (
        f"The head start is the {kind} head, which held-out pairs like better than "
        f"{', '.join(others[:-1])}{' and ' * (len(others) > 1)}{others[-1]}."
    )


def _game(found: Mapping[str, Any]) -> str:
    if not found.get("kept_step"):
        placed = found.get("by_parameters")
        if not placed:
            return "The game bettered nothing on held-out pairs, so that the head alone is kept."
        if "weighed" in placed:
            return "The game gave way to the head alone, whose draws are weighed."
        return (
            "The game was put aside, so that the head alone is kept: by the parameters themselves "
            f"its draws are told from held-out ones by {_nats(placed['game'])}, those of the head "
            f"by {_nats(placed['head'])}."
        )
    before, after = found.get("divergence_of_head"), found.get("divergence")
    return (
        "The game changed the divergence from held-out pairs from "
        f"{_nats(before)} to {_nats(after)}, and is kept as it was at step {found['kept_step']:,}."
    )


def critic(f: Findings) -> list[str]:
    """What the critic of a game for the value function has found at its end, in nats."""
    found = f.critic_divergence
    if found is None:
        return []
    return [
        "By its loss at the end the critic finds a Jensen-Shannon divergence of "
        f"{found:.2g} nats between generated and real pairs, and there may be more."
    ]


def _health(found: Mapping[str, Any]) -> list[str]:
    """What the history says of the game, and how often it was played again."""
    said, again = found.get("health", {}).get("said"), found.get("restarts", ())
    told = [f"Of the game its history says: {said}."] if said else []
    tried = ", ".join(restart["failure"] for restart in again)
    return [*told, f"It was played again after: {tried}."] if again else told


def _judge(found: Mapping[str, Any]) -> list[str]:
    """A classifier's correction of the draws, where it was tried."""
    gain, error = found.get("gain"), found.get("error")
    if gain is None or error is None:
        return []
    outcome = "so it is used" if found.get("used") else "which is not beyond doubt: it is not used"
    return [
        "Correcting the draws by a classifier changes the log-likelihood of held-out pairs by "
        f"{gain:.3g} ± {error:.2g} nats a pair, {outcome}."
    ]


def _likelihood(found: Mapping[str, Any]) -> list[str]:
    """The weighing of the draws by a learnt law of the outputs, where it was tried."""
    tried, placed = found.get("likelihood", {}), found.get("by_parameters", {})
    gain, error, used = tried.get("gain"), tried.get("error"), tried.get("used")
    if gain is None or error is None:
        return []
    if used:
        outcome = f"so they are; {100 * tried['effective_share']:.0f} % of the draws count then"
    elif "weighed" in placed:
        outcome = "yet they are not: the game is nearer"
    else:
        outcome = "which is not beyond doubt: they are not weighed"
    said = [
        "Weighing the draws by a learnt likelihood changes the log-likelihood of held-out pairs by "
        f"{gain:.3g} ± {error:.2g} nats a pair, {outcome}."
    ]
    if "weighed" in placed:
        said.append(
            "By the parameters themselves weighed draws are told from held-out ones by "
            f"{_nats(placed['weighed'])}, those of the game by {_nats(placed['game'])}; to be "
            "kept, the game must be nearer by 0.001 nats."
        )
    return said


def _nats(value: float | None) -> str:
    return "an unknown value" if value is None else f"{value:.2g} nats"
