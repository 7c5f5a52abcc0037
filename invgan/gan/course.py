"""The course of training of the members: heads, the game, the judge, each with its checkpoint.

The first member climbs all heads, plays the game and hears the judge; what held-out pairs threw out
there is not tried again by the members after it. Where a likelihood can weigh the draws of heads
alone, the game must also be nearer to the truth than these.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from invgan.gan.content import Outputs, outputs_of
from invgan.gan.device import generator_on
from invgan.gan.evidence import Draws
from invgan.gan.fits import Fitter, one_by_one
from invgan.gan.game import GameStage
from invgan.gan.heads import MANY
from invgan.gan.judge import View, divergence, train_judge
from invgan.gan.known import Known
from invgan.gan.ladder import Ladder
from invgan.gan.member import Estimator, Member
from invgan.gan.networks import Generator, plain_generator
from invgan.gan.recovery import Recovered, play_with_recovery
from invgan.gan.schedule import Schedule
from invgan.gan.stage import Column, Pairs, Plan, Rows, Source, Watch, run_stage
from invgan.gan.streaming import OnDisk, in_latent_space
from invgan.gan.temper import temper_together
from invgan.gan.trained import (
    Finished,
    Headed,
    Inside,
    Rung,
    Trained,
    Weighed,
    doubt,
    put_aside,
    untrained,
    without_game,
)
from invgan.gan.weighing import Scales, Weighing
from invgan.health import summary
from invgan.settings import TrainConfig

__all__ = ["Course"]

Progress = Callable[[int, int], None]

_LEAD, _FASTER = 0.5, 2.0
_WORSE, _MISPLACED = 1.1, 0.001


@dataclass(frozen=True)
class Course:
    """What the members are trained on, and where their checkpoints go.

    Attributes:
        config: settings.
        pairs: training pairs, network parameters e (n, E) and output scores y (n, L).
        selection: pairs that decide what is kept.
        members: how many.
        paced: whether the flow is tried faster too, as where its density may be the answer.
        judged: whether a judge may correct the draws.
        checkpoint: stem of the checkpoint files, or None.
        fingerprint: what is trained, so that no other training's checkpoint is taken up.
        progress: called with (steps done, steps).
        watch: called after each evaluation with the history of the head or game under way.
        known: the model itself, where draws are compared by their outputs, or None.
        scales: of parameters and outputs, where a likelihood may weigh the draws, or None.
        fitter: fits what knows nothing of each other.
    """

    config: TrainConfig
    pairs: Source[Column]
    selection: Pairs
    members: int
    paced: bool
    judged: bool
    checkpoint: str | Path | None
    fingerprint: str
    progress: Progress | None
    watch: Watch | None = None
    known: Known | None = None
    scales: Scales | None = None
    fitter: Fitter = one_by_one

    def run(self, seed: int, weigh_seed: int) -> Finished:
        """Train the members, and what weighs their draws where that does better than the game.

        Args:
            seed: of the members.
            weigh_seed: of the likelihood.
        """
        heads = self._ladder.climbed([0], seed, self._rungs)
        first = self._member(heads[0], self.config.steps, self.judged)
        kind, played = heads[0].rung.kind, first.info["kept_step"] > 0
        heads += self._ladder.climbed(range(1, self.members), seed, [heads[0].rung])
        finished = Finished([first], None, {"used": False})
        if kind != "none" and not first.info["judge"]["used"] and (self._learnable or not played):
            finished = self._alone(first, heads, weigh_seed)
            played = played and not self._nearer(first, finished)
        if played or kind == "none":
            games = [self._member(head, self.config.steps, False) for head in heads[1:]]
            finished = Finished([first, *games], None, {**finished.weighed, "used": False})
        if self.progress is not None:
            self.progress(self._schedule.total, self._schedule.total)
        return finished

    def _alone(self, first: Trained, heads: list[Headed], seed: int) -> Finished:
        """All members as heads alone, and what weighs their draws where held-out pairs gain."""
        copies = [replace(head, estimator=copy.deepcopy(head.estimator)) for head in heads[1:]]
        others = [self._member(head, 0, judged=False) for head in copies]
        alone = [without_game(trained) for trained in (first, *others)]
        members = [trained.member for trained in alone]
        if len(members) > 1:
            # As sure of themselves together as held-out pairs allow.
            found = temper_together([member.estimator for member in members], self.selection)
            alone[0].info["temper"] = found
        if self._learnable is None:
            return Finished(alone, None, {"used": False})
        scales, pairs = self._learnable

        def plan(name: str, steps: int, done: int) -> Plan:
            before = self._schedule.before_likelihood + done
            return self._plan(f"likelihood-{name}", steps, before, self.config.patience)

        weighing = Weighing(self.config, scales, pairs, self.selection, plan, self.fitter)
        weigher, weighed = weighing.run(members, seed)
        return Finished(alone, weigher, {**weighed, "used": weigher is not None})

    @property
    def _learnable(self) -> tuple[Scales, Pairs] | None:
        """What a likelihood that weighs the draws of heads is learnt from, where it has a place."""
        if self.scales is None or not isinstance(self.pairs, Pairs):
            return None
        return self.scales, self.pairs

    def _nearer(self, first: Trained, alone: Finished) -> bool:
        """Whether weighed draws of the first head are as near to the truth as those of its game."""
        if alone.weigher is None or self._learnable is None:
            return False
        scales, pairs = self._learnable
        here = replace(self, pairs=scales.asked(pairs), selection=scales.asked(self.selection))
        member = alone.trained[0].member
        draws: dict[str, Draws] = {
            "game": first.member,
            "weighed": Weighed(alone.weigher.only(0), (member,)),
        }
        told = {
            name: here._told(Inside(each, scales.within), member.estimator.summary)
            for name, each in draws.items()
        }
        first.info["by_parameters"].update(told)
        return told["weighed"] <= told["game"] + _MISPLACED

    def _member(self, head: Headed, steps: int, judged: bool) -> Trained:
        """A member after a game of so many steps from its head."""
        kind, estimator, history = head.rung.kind, head.estimator, head.history
        game_seed, judge_seed = head.seeds
        pairs, selection = self._mapped(estimator), _mapped(estimator, self.selection)
        push = outputs_of(estimator, self.known)
        lead = 0.0 if kind == "none" else _LEAD
        game = self._play(head.number, pairs, selection, push, game_seed, steps, lead)
        if kind != "none" and not game.kept.starts_at_zero:
            game = self._or_head(game, pairs, selection)
        placed = self._placed(kind, estimator, game)
        if placed and placed["game"] > _WORSE * placed["head"] + _MISPLACED:
            game = put_aside(game)
        judge, figures = (
            train_judge(game.kept, pairs, selection, self.config, judge_seed)
            if judged
            else (None, {})
        )
        info = {
            "head": str(head.rung),
            "heads": head.rungs,
            "steps": game.history[-1]["step"],
            "kept_step": game.kept_step,
            "divergence": game.figure,
            "divergence_of_head": game.untrained,
            "by_parameters": placed,
            "judge": {**figures, "used": judge is not None},
            "health": game.health.to_dict() | {"said": summary(game.health)},
            "restarts": list(game.restarts),
            "doubt": None if lead and not game.kept_step else doubt(history + game.history),
        }
        member = Member(kind, estimator, game.kept, judge)
        return Trained(member, history + game.history, info)

    def _play(
        self, number: int, pairs: Source[Column], selection: Pairs, push: Outputs | None, seed: int,
        steps: int, lead: float,
    ) -> Recovered[Generator]:  # fmt: skip
        """Play the game to the end of its schedule: it settles as the learning rate falls.

        A head is not given up for a game that is hardly better; no head has nothing to defend.
        """
        before = self._schedule.before_game(number)

        def play(
            config: TrainConfig, start: Generator | None, attempt: int
        ) -> tuple[Generator, Rows]:
            rng = generator_on(pairs.u.device, seed + attempt)
            game = GameStage(pairs, selection, config, rng, push)
            if start is not None:
                game.begin_from(start)
            name = f"{number}-gan-{attempt}" if attempt else f"{number}-gan"
            plan = self._plan(name, steps, before)
            return game.kept, run_stage(game, plan, lead=lead if start is None else 0.0)

        restarts = self.config.restarts if steps else 0
        return play_with_recovery(play, self.config, restarts=restarts)

    def _or_head(
        self, game: Recovered[Generator], pairs: Source[Column], selection: Pairs
    ) -> Recovered[Generator]:
        """A game that did not begin from the head, or the head where it is hardly better."""
        plain = plain_generator(pairs.y.shape[1], pairs.u.shape[1]).to(pairs.u.device)
        alone = divergence(plain, pairs, selection, self.config.hidden)
        game = replace(game, untrained=alone)
        if game.kept_step and game.figure < (1 - _LEAD) * alone:
            return game
        return replace(put_aside(game), kept=plain)

    def _placed(
        self, kind: str, estimator: Estimator, game: Recovered[Generator]
    ) -> dict[str, float]:
        """What the judge can tell of the parameters themselves, nats: of the game, of the head.

        In the latent space the thickness of a thin sheet outshines how much mass lies where on it.
        Nothing where no game was kept that refines the draws of a head.
        """
        if kind == "none" or not (game.kept_step and game.kept.starts_at_zero):
            return {}

        pair = {"head": untrained(game.kept), "game": game.kept}
        return {
            name: self._told(Member(kind, estimator, generator, None), estimator.summary)
            for name, generator in pair.items()
        }

    def _told(self, draws: Draws, seen: View) -> float:
        """What a classifier that sees parameters tells of draws, nats a pair."""
        return divergence(draws, self.pairs, self.selection, self.config.hidden, seen)

    def _mapped(self, estimator: Estimator) -> Source[Column]:
        """The training pairs in the head's latent space, on the disk where they lie there."""
        if isinstance(self.pairs, OnDisk):
            return in_latent_space(estimator, self.pairs)
        return _mapped(estimator, self.pairs)

    @property
    def _ladder(self) -> Ladder:
        def plan(name: str, number: int, place: int) -> Plan:
            before = self._schedule.before_head(number, place)
            return self._plan(name, self.config.steps_of_head, before, self.config.patience)

        return Ladder(self.config, self.pairs, self.selection, plan, self.fitter)

    @property
    def _rungs(self) -> list[Rung]:
        """The heads to fit; the flow also faster, where its density is the answer."""
        faster = [Rung("flow", _FASTER)] if self.paced and "flow" in self._kinds else []
        return [*map(Rung, self._kinds), *faster]

    @property
    def _kinds(self) -> tuple[str, ...]:
        """The kinds of head. A regression on outputs needs all of them and no embedding."""
        if self.config.head != "auto":
            return (self.config.head,)
        if self.config.embedding.kind != "none":
            return ("small", "flow")
        many = ("affine",) if self._sizes[0] > MANY else ()
        return ("linear", *many, "small", "flow")

    @property
    def _sizes(self) -> tuple[int, int]:
        return self.pairs.u.shape[1], self.pairs.y.shape[1]

    @property
    def _schedule(self) -> Schedule:
        likelihood = 0
        if self.scales is not None:
            prior = self.scales.learns_prior
            likelihood = Weighing.steps(self.config, self.members, prior=prior)
        return Schedule(self.config, len(self._rungs), self.members, likelihood)

    def _plan(self, name: str, steps: int, before: int, patience: int | None = None) -> Plan:
        path = Path(f"{self.checkpoint}-{name}.safetensors") if self.checkpoint and steps else None

        total = self._schedule.total

        def shifted(done: int, _: int) -> None:
            if self.progress is not None:
                self.progress(before + done, total)

        chosen = self.config.evaluations, patience, path, self.fingerprint
        return Plan(steps, *chosen, shifted if steps else None, self.watch)


@torch.no_grad()
def _mapped(estimator: Estimator, pairs: Source[Column]) -> Pairs:
    """The pairs in the head's latent space, with the summaries of their outputs."""
    parts = [(estimator(e, y)[0], estimator.summary(y)) for e, y in pairs.chunks()]
    u, s = zip(*parts, strict=True)
    return Pairs(torch.cat(u), torch.cat(s))
