"""The course of training of the members: heads, the game, the judge, each with its checkpoint.

The first member climbs all heads, plays the game and hears the judge; what held-out pairs threw out
there is not tried again by the members after it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invgan.gan.content import Outputs, outputs_of
from invgan.gan.device import generator_on
from invgan.gan.game import GameStage
from invgan.gan.heads import MANY
from invgan.gan.judge import divergence, train_judge
from invgan.gan.known import Known
from invgan.gan.member import Estimator, Member, build_estimator
from invgan.gan.networks import Generator, initialise, plain_generator
from invgan.gan.recovery import Recovered, play_with_recovery
from invgan.gan.stage import Column, Pairs, Plan, Source, Watch, run_stage
from invgan.gan.streaming import OnDisk, in_latent_space
from invgan.gan.temper import temper_together
from invgan.gan.weigher import Weigher
from invgan.gan.weighing import Scales, Weighing
from invgan.health import diagnose_kept, summary
from invgan.settings import TrainConfig

__all__ = ["Course"]

Progress = Callable[[int, int], None]
Rows = list[dict[str, Any]]
Trained = tuple[Member, Rows, dict[str, Any]]

_LEAD = 0.5
_WORSE, _MISPLACED = 1.1, 0.001
_ENOUGH = 8192


@dataclass(frozen=True)
class _Trial:
    """What a member tries: heads of these kinds, a game of so many steps, a judge."""

    kinds: tuple[str, ...]
    steps: int
    judged: bool


@dataclass(frozen=True)
class Course:
    """What the members are trained on, and where their checkpoints go.

    Attributes:
        config: settings.
        pairs: training pairs, network parameters e (n, E) and output scores y (n, L).
        selection: pairs that decide what is kept.
        members: how many.
        judged: whether a judge may correct the draws.
        checkpoint: stem of the checkpoint files, or None.
        fingerprint: what is trained, so that no other training's checkpoint is taken up.
        progress: called with (steps done, steps).
        watch: called after each evaluation with the history of the head or game under way.
        known: the model itself, where draws are compared by their outputs, or None.
        scales: of parameters and outputs, where a likelihood may weigh the draws, or None.
    """

    config: TrainConfig
    pairs: Source[Column]
    selection: Pairs
    members: int
    judged: bool
    checkpoint: str | Path | None
    fingerprint: str
    progress: Progress | None
    watch: Watch | None = None
    known: Known | None = None
    scales: Scales | None = None

    def run(self, seed: int) -> list[Trained]:
        """Train the members; each with its history and its figures for the report."""
        trial = _Trial(self._kinds, self.config.steps, self.judged)
        trained = [self._member(0, seed, trial)]
        info = trained[0][2]
        played, judged = info["kept_step"] > 0, info["judge"]["used"]
        steps = self.config.steps if played or info["head"] == "none" else 0
        trial = _Trial((info["head"],), steps, judged)
        trained += [self._member(number, seed, trial) for number in range(1, self.members)]
        # A generator has learnt the latent space as it is.
        if self.members > 1 and info["head"] != "none" and not played:
            estimators = [member.estimator for member, *_ in trained]
            info["temper"] = temper_together(estimators, self.selection)
        return trained

    def weigher(self, trained: list[Trained], seed: int) -> tuple[Weigher | None, dict[str, Any]]:
        """What weighs the draws of the members, where these are heads alone, and its figures."""
        members, _, infos = zip(*trained, strict=True)
        heads = all(member.has_density for member in members) and not any(
            info["kept_step"] or info["judge"]["used"] for info in infos
        )
        if self.scales is None or not isinstance(self.pairs, Pairs) or not heads:
            if self.progress is not None:
                self.progress(self._total, self._total)
            return None, {"used": False}
        before = self._before(self.members, 0)

        def plan(name: str, steps: int, done: int) -> Plan:
            return self._plan(f"likelihood-{name}", steps, before + done, self.config.patience)

        weighing = Weighing(self.config, self.scales, self.pairs, self.selection, plan)
        weigher, found = weighing.run(members, seed)
        return weigher, {**found, "used": weigher is not None}

    def _member(self, number: int, seed: int, trial: _Trial) -> Trained:
        states = np.random.SeedSequence([seed, number]).generate_state(4)
        head_seed, fit_seed, game_seed, judge_seed = (int(state) for state in states)
        kind, estimator, history, rungs = self._climb(number, head_seed, fit_seed, trial.kinds)
        estimator.settle(self.pairs.y[:_ENOUGH])
        pairs, selection = self._mapped(estimator), _mapped(estimator, self.selection)
        push = outputs_of(estimator, self.known)
        lead = 0.0 if kind == "none" else _LEAD
        game = self._play(number, pairs, selection, push, game_seed, trial, lead)
        if kind != "none" and not game.kept.starts_at_zero:
            game = self._or_head(game, pairs, selection)
        placed = self._placed(kind, estimator, game)
        if placed and placed["game"] > _WORSE * placed["head"] + _MISPLACED:
            game = _put_aside(game)
        judge, judged = (
            train_judge(game.kept, pairs, selection, self.config, judge_seed)
            if trial.judged
            else (None, {})
        )
        info = {
            "head": kind,
            "heads": rungs,
            "steps": game.history[-1]["step"],
            "kept_step": game.kept_step,
            "divergence": game.figure,
            "divergence_of_head": game.untrained,
            "by_parameters": placed,
            "judge": {**judged, "used": judge is not None},
            "health": game.health.to_dict() | {"said": summary(game.health)},
            "restarts": list(game.restarts),
            "doubt": None if lead and not game.kept_step else _doubt(history + game.history),
        }
        return Member(kind, estimator, game.kept, judge), history + game.history, info

    def _climb(
        self, number: int, seed: int, fit_seed: int, kinds: tuple[str, ...]
    ) -> tuple[str, Estimator, Rows, dict[str, float]]:
        """Fit heads of these kinds; the best of them, and the figures of all."""
        fitted = []
        for place, kind in enumerate(kinds):
            estimator = build_estimator(self.config, kind, *self._sizes, seed)
            estimator.to(self.pairs.u.device)
            rng = generator_on(self.pairs.u.device, fit_seed)
            history = self._fit(estimator, f"{number}-{kind}", self._before(number, place), rng)
            kept = [row["heldout"] for row in history if row.get("kept")]
            figure = kept[-1] - estimator.temper(self.selection) if kept else 0.0
            fitted.append((figure, kind, estimator, history))
        _, kind, estimator, history = min(fitted, key=lambda entry: entry[0])
        return kind, estimator, history, {name: figure for figure, name, *_ in fitted}

    def _fit(self, estimator: Estimator, name: str, before: int, rng: torch.Generator) -> Rows:
        """Fit one head, by likelihood where it has more to learn than a regression; its history."""
        plan = self._plan(name, self.config.steps_of_head, before, self.config.patience)
        return estimator.fit(self.pairs, self.selection, self.config, rng, plan)

    def _play(
        self, number: int, pairs: Source[Column], selection: Pairs, push: Outputs | None, seed: int,
        trial: _Trial, lead: float,
    ) -> Recovered[Generator]:  # fmt: skip
        """Play the game to the end of its schedule: it settles as the learning rate falls.

        A head is not given up for a game that is hardly better; no head has nothing to defend.
        """
        before = self._before(number, len(trial.kinds))

        def play(
            config: TrainConfig, start: Generator | None, attempt: int
        ) -> tuple[Generator, Rows]:
            rng = generator_on(pairs.u.device, seed + attempt)
            game = GameStage(pairs, selection, config, rng, push)
            if start is not None:
                game.begin_from(start)
            name = f"{number}-gan-{attempt}" if attempt else f"{number}-gan"
            plan = self._plan(name, trial.steps, before)
            return game.kept, run_stage(game, plan, lead=lead if start is None else 0.0)

        return play_with_recovery(
            play, self.config, restarts=self.config.restarts if trial.steps else 0
        )

    def _or_head(
        self, game: Recovered[Generator], pairs: Source[Column], selection: Pairs
    ) -> Recovered[Generator]:
        """A game that did not begin from the head, or the head where it is hardly better."""
        plain = plain_generator(pairs.y.shape[1], pairs.u.shape[1]).to(pairs.u.device)
        alone = divergence(plain, pairs, selection, self.config.hidden)
        game = replace(game, untrained=alone)
        if game.kept_step and game.figure < (1 - _LEAD) * alone:
            return game
        return replace(_put_aside(game), kept=plain)

    def _placed(
        self, kind: str, estimator: Estimator, game: Recovered[Generator]
    ) -> dict[str, float]:
        """What the judge can tell of the parameters themselves, nats: of the game, of the head.

        In the latent space the thickness of a thin sheet outshines how much mass lies where on it.
        Nothing where no game was kept that refines the draws of a head.
        """
        if kind == "none" or not (game.kept_step and game.kept.starts_at_zero):
            return {}

        def told(generator: Generator) -> float:
            member = Member(kind, estimator, generator, None)
            hidden = self.config.hidden
            return divergence(member, self.pairs, self.selection, hidden, estimator.summary)

        return {"head": told(_untrained(game.kept)), "game": told(game.kept)}

    def _mapped(self, estimator: Estimator) -> Source[Column]:
        """The training pairs in the head's latent space, on the disk where they lie there."""
        if isinstance(self.pairs, OnDisk):
            return in_latent_space(estimator, self.pairs)
        return _mapped(estimator, self.pairs)

    @property
    def _kinds(self) -> tuple[str, ...]:
        """The heads to fit. A regression on outputs needs all of them and no embedding."""
        if self.config.head != "auto":
            return (self.config.head,)
        if self.config.embedding.kind != "none":
            return ("small", "flow")
        many = ("affine",) if self._sizes[0] > MANY else ()
        return ("linear", *many, "small", "flow")

    @property
    def _sizes(self) -> tuple[int, int]:
        return self.pairs.u.shape[1], self.pairs.y.shape[1]

    def _before(self, number: int, place: int) -> int:
        """Steps of the members before, and of this member's heads before, at most."""
        head = 0 if self.config.head == "none" else self.config.steps_of_head
        first, other = (head * k + self.config.steps for k in (len(self._kinds), 1))
        return (number > 0) * first + max(number - 1, 0) * other + place * head

    @property
    def _total(self) -> int:
        """Steps of all stages, at most."""
        before = self._before(self.members, 0)
        if self.scales is None:
            return before
        prior = self.scales.learns_prior
        return before + Weighing.steps(self.config, self.members, prior=prior)

    def _plan(self, name: str, steps: int, before: int, patience: int | None = None) -> Plan:
        path = None if self.checkpoint is None else Path(f"{self.checkpoint}-{name}.safetensors")

        def shifted(done: int, _: int) -> None:
            if self.progress is not None:
                self.progress(before + done, self._total)

        chosen = self.config.evaluations, patience, path, self.fingerprint
        return Plan(steps, *chosen, shifted, self.watch)


def _untrained(generator: Generator) -> Generator:
    """One that draws as the head does."""
    fresh = copy.deepcopy(generator)
    initialise(fresh, torch.Generator())
    return fresh


def _put_aside(game: Recovered[Generator]) -> Recovered[Generator]:
    """The game, of which nothing is kept."""
    rows = [{**row, "kept": False} for row in game.history]
    return replace(game, kept=_untrained(game.kept), history=rows)


def _doubt(history: Rows) -> dict[str, Any] | None:
    """What had gone wrong by the time that the kept generator was kept, or None."""
    health = diagnose_kept(history)
    return None if health is None or health.healthy else health.to_dict()


@torch.no_grad()
def _mapped(estimator: Estimator, pairs: Source[Column]) -> Pairs:
    """The pairs in the head's latent space, with the summaries of their outputs."""
    parts = [(estimator(e, y)[0], estimator.summary(y)) for e, y in pairs.chunks()]
    u, s = zip(*parts, strict=True)
    return Pairs(torch.cat(u), torch.cat(s))
