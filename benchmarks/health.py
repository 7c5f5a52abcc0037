"""Whether the health monitor names failures: games made to fail in each way, and healthy ones.

    python benchmarks/health.py --out health.jsonl
    python benchmarks/health.py --table health.jsonl

Small networks (two layers of 32 units) play short games (a few hundred steps) for pairs drawn from
mixtures, sheets and Gaussians, and for gallery problems. A failure is made by the settings that are
known to make it: a rate a thousand times too high, a critic or a generator that hardly learns,
64 training pairs, a penalty left out. Whether modes were lost or the draws swung is not left to the
settings: it is looked up in the draws, whose law is known here, and a game that did not fail is not
counted. The classifier outside the game takes 120 steps in place of 400. Thresholds were chosen on
seeds below 200, which the table does not hold. Seconds are of processor time.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from invgan import gallery
from invgan.gan import judge
from invgan.gan.device import few_threads, to_tensor
from invgan.gan.evidence import evidence
from invgan.gan.game import GameStage
from invgan.gan.heads import build_head
from invgan.gan.networks import Generator
from invgan.gan.recovery import Recovered, play_with_recovery
from invgan.gan.stage import Pairs, Plan, run_stage
from invgan.health import diagnose, diagnose_kept, summary
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig
from invgan.simulation import simulate

__all__ = [
    "KINDS", "LAWS", "SMALL", "STRIDE", "Game", "Watched", "apart", "games", "pairs_of", "play",
    "recovered", "watched",
]  # fmt: skip

Law = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
LOSSES = ("relativistic", "nonsaturating", "hinge", "least_squares", "wasserstein", "minimax")
KINDS = (
    "healthy", "blown up", "over-fitting of the critic", "generator wins", "mode collapse",
    "both vanish", "critic wins", "oscillation", "not yet trained",
)  # fmt: skip

_HELDOUT, _JUDGE_STEPS = 1500, 120
_UNSEEN, _AGAIN = 100_000, 10_000
STRIDE = 7
SMALL: dict[str, Any] = {
    "head": "none", "steps": 300, "hidden": 32, "layers": 2, "evaluations": 8, "batch_size": 128,
}  # fmt: skip


def _mixture(centres: Sequence[Sequence[float]], sd: float) -> Law:
    """Equal modes, whatever y says."""

    def law(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        which = torch.randint(len(centres), (n,), generator=rng)
        u = torch.tensor(centres)[which]
        return u + sd * torch.randn(u.shape, generator=rng), torch.randn(n, 1, generator=rng)

    return law


def _linear(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three parameters, Gaussian given two outputs."""
    y = torch.randn(n, 2, generator=rng)
    noise = torch.randn(n, 3, generator=rng)
    return 0.5 * torch.cat([y, y.sum(dim=1, keepdim=True)], dim=1) + 0.7 * noise, y


def _branches(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two branches for every y, and a parameter beside."""
    y = 2 * torch.rand(n, 1, generator=rng) - 1
    sign = torch.randint(2, (n, 1), generator=rng) * 2 - 1
    first = sign * (1.2 + 0.3 * y) + 0.2 * torch.randn(n, 1, generator=rng)
    return torch.cat([first, y + 0.5 * torch.randn(n, 1, generator=rng)], dim=1), y


def _bent(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A parabola, of which y tells the height."""
    x = 0.8 * torch.randn(n, 1, generator=rng)
    u = torch.cat([x, x**2 - 0.6 + 0.3 * torch.randn(n, 1, generator=rng)], dim=1)
    return u, u.sum(dim=1, keepdim=True) + 0.3 * torch.randn(n, 1, generator=rng)


def _shifted(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A Gaussian that the first draws come near."""
    y = torch.randn(n, 1, generator=rng)
    return 2 + 0.5 * y + 0.7 * torch.randn(n, 2, generator=rng), y


def _far(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A law that no first draw comes near."""
    y = torch.randn(n, 1, generator=rng)
    return 8 + 0.3 * y + 0.3 * torch.randn(n, 2, generator=rng), y


_SQUARE = [(a, b) for a in (-1.5, 1.5) for b in (-1.5, 1.5)]
_CIRCLE = [(2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)) for k in range(8)]
_TWO = [(-2.0, 0.0), (2.0, 0.0)]
CENTRES: dict[str, list[Any]] = {"two": _TWO, "square": _SQUARE, "circle": _CIRCLE}
_WIDTHS = {"two": 0.3, "square": 0.3, "circle": 0.2}
LAWS: dict[str, Law] = {
    **{name: _mixture(centres, _WIDTHS[name]) for name, centres in CENTRES.items()},
    "linear": _linear,
    "branches": _branches,
    "bent": _bent,
    "shifted": _shifted,
    "far": _far,
}
"""Laws of pairs u (n, E), y (n, L) that games are played for, by name."""


@dataclass(frozen=True)
class Game:
    """One game to be played.

    Attributes:
        kind: what is made of it, one of `KINDS`.
        law: name of a law, or of a gallery problem.
        settings: of training, beside the small networks.
        training: number of training pairs.
        looked_at: steps after which the history is read; all of them where None.
    """

    kind: str
    law: str
    settings: dict[str, Any] = field(default_factory=dict)
    training: int = 10_000
    looked_at: int | None = None


def games(kind: str) -> list[Game]:
    """The games of one kind."""
    return [Game(kind, *rest) for rest in _MADE[kind]()]


def _everywhere(
    settings: dict[str, Any],
    *rest: Any,
    losses: Sequence[str] = LOSSES,
    laws: Sequence[str] = ("linear", "bent", "branches", "square"),
) -> list[Any]:
    """These settings for several laws and losses."""
    return [(law, {"loss": loss, **settings}, *rest) for law in laws for loss in losses]


def _healthy() -> list[Any]:
    easy = ("linear", "bent", "branches")
    toys = [(law, {"steps": 600, "gamma": g}) for law in easy for g in (0.05, 0.3)]
    names = ("root-ratio", "oscillator", "plate", "two-branches", "linear-gaussian-posterior",
             "inverse-kinematics", "rosenbrock")  # fmt: skip
    return [(name, {"head": "linear", "steps": 600}) for name in names] + toys


_NONE = {"penalty": "none"}
_MADE: dict[str, Callable[[], list[Any]]] = {
    "healthy": _healthy,
    "blown up": lambda: _everywhere({"learning_rate": 30.0, "steps": 120}),
    "over-fitting of the critic": lambda: _everywhere(
        {"gamma": 0.005, "lipschitz": 0.1, "batch_size": 64, "critic_steps": 4,
         "network": {"critic_hidden": 128}}, 64,
        losses=LOSSES[:5], laws=("linear", "bent", "branches"),
    ),
    "generator wins": lambda: _everywhere({"critic_rate": 2e-6}),
    "critic wins": lambda: _everywhere(
        {"generator_rate": 2e-6, "critic_steps": 3, "gamma": 0.001, "lipschitz": 0.1},
    ),
    "both vanish": lambda: _everywhere(
        {**_NONE, "generator_rate": 5e-4, "critic_rate": 0.01, "critic_steps": 3},
        losses=("minimax",), laws=("far",),
    ),
    "mode collapse": lambda: _everywhere(
        {**_NONE, "critic_rate": 3e-4, "generator_rate": 0.02, "averaging": 0.5},
        losses=LOSSES, laws=("two", "square", "circle"),
    ),
    "oscillation": lambda: _everywhere(
        {**_NONE, "learning_rate": 0.02, "averaging": 0.0, "steps": 4000,
         "network": {"slope": 0.8}}, 10_000, 300,
        losses=LOSSES[:5], laws=("linear", "bent", "shifted"),
    ),
    "not yet trained": lambda: _everywhere(
        {"steps": 40, "learning_rate": 5e-4}, laws=("linear", "bent", "branches", "two"),
    ),
}  # fmt: skip


class Watched(GameStage):
    """A game that is looked at whenever it is judged.

    Attributes:
        seen: the evidence of every evaluation.
        clouds: draws of the playing generator at every evaluation.
        kept_cloud: draws of the average at the last one.
    """

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.seen: list[dict[str, float]] = []
        self.clouds: list[Tensor] = []
        self.kept_cloud = torch.empty(0)

    @torch.no_grad()
    def measure(self) -> float:
        """The held-out divergence, after a look at everything else."""
        players = self.state.modules
        generator, critic = players["generator"], players["critic"]
        with torch.no_grad():
            found = evidence(generator, self.kept, critic, self._pairs, self._selection)
            rng, y = torch.Generator().manual_seed(1), self._selection.y
            self.clouds.append(generator.draw(y, rng))
            self.kept_cloud = self.kept.draw(y, rng)
        self.seen.append(found)
        with torch.enable_grad():
            return super().measure()


def play(game: Game, seed: int) -> dict[str, Any]:
    """Play one game and have it judged."""
    config = TrainConfig(**{**SMALL, **game.settings})
    pairs, selection = pairs_of(game, seed)
    rng = torch.Generator().manual_seed(seed)
    stage = Watched(pairs, selection, config, rng)
    plan = Plan(game.looked_at or config.steps, config.evaluations, None)
    history = watched(stage, plan)
    judged = [row for row in history if "heldout" in row]
    health, of_kept = diagnose(history), diagnose_kept(history)
    return {
        "kind": game.kind, "law": game.law, "settings": game.settings, "seed": seed,
        "name": health.name, "said": summary(health), "failed": _failed(game, stage, judged),
        "of_kept": None if of_kept is None else of_kept.name, "history": history,
    }  # fmt: skip


def apart(kept: Generator, game: Game, seed: int) -> float:
    """Divergence of a generator's draws from pairs that no game has seen, nats.

    A gallery problem's latent space goes with its pairs, so that those of the game must do.
    """
    unseen = game.law in LAWS
    looked_at = replace(game, training=10_000) if unseen else game
    with few_threads():
        return judge.divergence(
            kept, *pairs_of(looked_at, seed + _UNSEEN * unseen), SMALL["hidden"]
        )


def recovered(game: Game, seed: int, restarts: int, *, mended: bool = True) -> Recovered[Generator]:
    """Play a game, and where it fails again, by the rules or, for comparison, as it was.

    Args:
        game: what is played.
        seed: of pairs and game.
        restarts: most games after the first.
        mended: whether the settings change as the rules say.
    """
    pairs, selection = pairs_of(game, seed)

    def play(config: TrainConfig, start: Generator | None, attempt: int, /) -> Any:
        same = TrainConfig(**{**SMALL, **game.settings})
        rng = torch.Generator().manual_seed(seed + _AGAIN * attempt)
        stage = Watched(pairs, selection, config if mended else same, rng)
        if start is not None:
            stage.begin_from(start)
        plan = Plan(game.looked_at or config.steps, config.evaluations, None)
        return stage.kept, watched(stage, plan, lead=0.5 if start is None else 0.0)

    return play_with_recovery(play, TrainConfig(**{**SMALL, **game.settings}), restarts=restarts)


def watched(stage: Watched, plan: Plan, lead: float = 0.5) -> list[dict[str, Any]]:
    """Play a game to the end of the plan; its history with the evidence."""
    with few_threads(), patch.object(judge, "_QUICK_STEPS", _JUDGE_STEPS):
        history = run_stage(stage, plan, lead=lead)
    judged = [row for row in history if "heldout" in row]
    for row, found in zip(judged, stage.seen, strict=True):
        row.update(found)
    return history


def _failed(game: Game, stage: Watched, judged: list[dict[str, Any]]) -> bool:
    """Whether the failure came about, as far as only the draws can tell."""
    if game.kind == "mode collapse":
        return _collapsed(game.law, stage.kept_cloud)
    if game.kind == "oscillation":
        return _swung(stage, judged)
    if game.kind == "over-fitting of the critic":
        return _remembers(game.law, stage)
    return True


@torch.no_grad()
def _remembers(law: str, stage: Watched) -> bool:
    """Whether the critic scores training pairs above fresh ones: by 0.1 of all comparisons."""
    critic = stage.state.modules["critic"]
    fresh = Pairs(*LAWS[law](20_000, torch.Generator().manual_seed(5)))
    known, other = (critic(part.u, part.y) for part in (stage._pairs, fresh))
    return bool((known > other.T).float().mean() > 0.6)


def _collapsed(law: str, draws: Tensor) -> bool:
    """Whether a sixth of the draws are at modes, and half of the modes or of the spread is lost.

    A mode ends at three standard deviations; it is lost where it gets less than a quarter of its
    due.
    """
    centres = torch.tensor(CENTRES[law])
    near = torch.cdist(draws, centres) < 3 * _WIDTHS[law]
    lost = (near.float().mean(dim=0) < 0.25 / len(centres)).float().mean()
    spread = (centres.var(dim=0, correction=0) + _WIDTHS[law] ** 2).sqrt()
    narrow = (draws.std(dim=0) / spread).min()
    return bool(near.any(dim=1).float().mean() > 1 / 6 and (lost >= 0.5 or narrow < 0.5))


def _swung(stage: Watched, judged: list[dict[str, Any]]) -> bool:
    """Whether mean and spread of the draws went to and fro in the second half, and came to no end.

    By three tenths of the real standard deviation from one evaluation to the next, of which a fifth
    leads nowhere; draws that have run away, crowded together or become twice as good do not count.
    """
    wrong = [row["heldout"] for row in judged[len(judged) // 2 :]]
    if max(wrong[-2:]) < 0.5 * max(wrong[:2]):
        return False
    real = stage._selection.u
    scale, late = real.std(dim=0), stage.clouds[len(stage.clouds) // 2 :]
    spreads = torch.stack([cloud.std(dim=0) / scale for cloud in late])
    path = torch.cat([torch.stack([c.mean(dim=0) / scale for c in late]), spreads], dim=1)
    way, net = path.diff(dim=0).norm(dim=1), (path[-1] - path[0]).norm()
    tame = spreads[-3:].max() < 5 and spreads[-3:].max(dim=0).values.min() > 0.5
    return bool(tame and (way.sum() - net) / len(way) > 0.2 and way.mean() > 0.3)


def pairs_of(game: Game, seed: int) -> tuple[Pairs, Pairs]:
    """Training and held-out pairs."""
    if game.law in LAWS:
        rng = torch.Generator().manual_seed(1000 + seed)
        u, y = LAWS[game.law](game.training + _HELDOUT, rng)
    else:
        u, y = _from_gallery(game, seed)
    n = len(u) - _HELDOUT
    return Pairs(u[:n], y[:n]), Pairs(u[n:], y[n:])


def _from_gallery(game: Game, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs of a gallery problem in the latent space of a head."""
    problem = gallery.get(game.law).problem
    simulations = simulate(problem, game.training + _HELDOUT, seed=seed)
    scaling = ParameterScaling.fit(problem.prior, np.random.default_rng(seed))
    outputs = OutputScaling.fit(simulations.y)
    place = torch.device("cpu")
    e = to_tensor(scaling.to_network(simulations.x), place)
    y = to_tensor(outputs.to_network(simulations.y), place)
    rng = torch.Generator().manual_seed(seed)
    head = build_head("linear", e.shape[1], y.shape[1], hidden=32, transforms=1, rng=rng)
    with torch.no_grad():
        head.fit(e, y)
        return head(e, y)[0], y


def table(path: Path) -> str:
    """The confusion table in markdown, and what it comes to."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["failed"]]
    lines = ["| made | games | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 2) + "|"]
    right = wrong = 0
    for kind in KINDS:
        found = Counter(row["name"] for row in rows if row["kind"] == kind)
        cells = [kind, found.total(), *(found[name] or "" for name in KINDS)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        if kind != "healthy":
            right, wrong = right + found[kind], wrong + found.total() - found[kind]
        else:
            accused, healthy = found.total() - found[kind], found.total()
    lines.append(f"\n{right} of {right + wrong} failures named; {accused} of {healthy} accused")
    doubted = Counter(row["kind"] != "healthy" for row in rows if row["of_kept"] != "healthy")
    lines.append(f"kept with a reservation: {doubted[True]} and {doubted[False]}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="games of each kind that came about")
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("health.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for kind in args.kind or KINDS:
        made, came, seed = games(kind), 0, args.first
        while came < args.runs and seed < args.first + 5 * args.runs:
            started = time.process_time()
            row = play(made[STRIDE * (seed - args.first) % len(made)], seed)
            row["seconds"] = time.process_time() - started
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(kind, "|", row["law"], "|", row["settings"], "|", seed, "|", row["failed"], "|",
                  row["said"], f"| {row['seconds']:.1f} s", flush=True)  # fmt: skip
            came, seed = came + row["failed"], seed + 1
    print(table(args.out))


if __name__ == "__main__":
    main()
