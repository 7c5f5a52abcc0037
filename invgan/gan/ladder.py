"""The ladder of heads: those that are tried for each member, and the one that it goes on with.

A rung is a kind of head and the pace at which it is fitted. A flow that starts from nothing may
have further to go than the learning rate takes it; one that is soon over-fitted ends nearer by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from invgan.gan.fits import Fit, Fitter
from invgan.gan.member import build_estimator
from invgan.gan.stage import Column, Pairs, Plan, Rows, Source
from invgan.gan.trained import Headed, Rung
from invgan.settings import TrainConfig

__all__ = ["Ladder"]

_ENOUGH = 8192


@dataclass(frozen=True)
class Ladder:
    """What heads are fitted to, and how.

    Attributes:
        config: settings.
        pairs: training pairs, network parameters e (n, E) and output scores y (n, L).
        selection: pairs that decide which head is kept.
        plan: of the fit of this name, of this member, in this place on its ladder.
        fitter: fits what knows nothing of each other.
    """

    config: TrainConfig
    pairs: Source[Column]
    selection: Pairs
    plan: Callable[[str, int, int], Plan]
    fitter: Fitter

    def climbed(self, numbers: Sequence[int], seed: int, rungs: Sequence[Rung]) -> list[Headed]:
        """The heads of members, each the best of these rungs.

        Args:
            numbers: of the members.
            seed: of the training.
            rungs: to try.
        """
        seeds = {
            number: np.random.SeedSequence([seed, number]).generate_state(4).tolist()
            for number in numbers
        }
        fits = [
            self._fit(number, place, rung, *seeds[number][:2])
            for number in numbers
            for place, rung in enumerate(rungs)
        ]
        histories, found = self.fitter(fits), []
        for at, number in enumerate(numbers):
            mine = slice(at * len(rungs), (at + 1) * len(rungs))
            after = seeds[number][2], seeds[number][3]
            found.append(self._best(number, rungs, fits[mine], histories[mine], after))
        return found

    def _fit(self, number: int, place: int, rung: Rung, seed: int, fit_seed: int) -> Fit:
        """How a member's head is fitted: by likelihood, most of them."""
        sizes = self.pairs.u.shape[1], self.pairs.y.shape[1]
        estimator = build_estimator(self.config, rung.kind, *sizes, seed).to(self.pairs.u.device)
        plan = self.plan(f"{number}-{rung.kind}-{rung.pace:g}", number, place)
        return Fit(
            estimator, self.pairs, self.selection, self.config, fit_seed, plan, rung.pace
        )  # fmt: skip

    def _best(
        self, number: int, rungs: Sequence[Rung], fits: Sequence[Fit], histories: Sequence[Rows],
        after: tuple[int, int],
    ) -> Headed:  # fmt: skip
        """The head that held-out pairs like best; after are the seeds of what comes next."""
        figures = []
        for fit, history in zip(fits, histories, strict=True):
            kept = [row["heldout"] for row in history if row.get("kept")]
            figures.append(kept[-1] - fit.estimator.temper(self.selection) if kept else 0.0)
        best = int(np.argmin(figures))
        estimator = fits[best].estimator
        estimator.settle(self.pairs.y[:_ENOUGH])
        return Headed(
            number, rungs[best], estimator, histories[best],
            {str(rung): figure for rung, figure in zip(rungs, figures, strict=True)}, after,
        )  # fmt: skip
