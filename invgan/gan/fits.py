"""Estimators fitted one after the other, or side by side in processes, to the same result.

A step of a network of a hundred units is made of operations too short to share among threads; the
members of an ensemble, the heads that are tried and the likelihoods are fits that know nothing of
each other.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invgan.errors import InputError
from invgan.execution.processes import processes
from invgan.gan.device import generator_on
from invgan.gan.member import Estimator
from invgan.gan.stage import Column, Pairs, Plan, Rows, Source
from invgan.settings import TrainConfig

__all__ = ["Fit", "Fitter", "fitting", "one_by_one"]

Fitted = tuple[dict[str, np.ndarray[Any, Any]], Rows]

_LOOK_EVERY = 0.2


@dataclass(frozen=True)
class Fit:
    """An estimator, what it is fitted to and how.

    Attributes:
        estimator: the one whose weights change.
        pairs: to fit it to.
        heldout: which choose among its states.
        config: settings.
        seed: of batches and noise.
        plan: how long, where its checkpoint goes, and who is told.
        pace: in learning rates of the settings.
    """

    estimator: Estimator
    pairs: Source[Column]
    heldout: Pairs
    config: TrainConfig
    seed: int
    plan: Plan
    pace: float = 1.0

    def run(self) -> Rows:
        """Fit it; the history."""
        rng = generator_on(self.pairs.u.device, self.seed)
        rate = self.pace * self.config.learning_rate
        config = self.config.model_copy(update={"learning_rate": rate})
        return self.estimator.fit(self.pairs, self.heldout, config, rng, self.plan)


Fitter = Callable[[Iterable[Fit]], list[Rows]]
"""Fits estimators that know nothing of each other; their histories. One by one, each is asked for
when its turn has come, so that what it is fitted to need not lie beside that of the others."""


def one_by_one(fits: Iterable[Fit]) -> list[Rows]:
    """Each after the one before it."""
    return [fit.run() for fit in fits]


@contextmanager
def fitting(workers: int) -> Iterator[Fitter]:
    """What fits estimators, in so many processes, which end with the block.

    Args:
        workers: processes; for one the fits are run here.
    """
    if workers == 1:
        yield one_by_one
        return
    with processes(workers) as executor:
        yield partial(_side_by_side, executor)


def _side_by_side(executor: Executor, asked: Iterable[Fit]) -> list[Rows]:
    """All at once; those whose pairs do not lie in this machine's memory one by one."""
    fits = list(asked)
    if len(fits) < 2 or not all(_travels(fit) for fit in fits):
        return one_by_one(fits)
    with tempfile.TemporaryDirectory(prefix="invgan-") as folder:
        board = Path(folder) / "steps"
        np.zeros(len(fits), np.int64).tofile(board)
        futures = [
            executor.submit(_fitted, _packed(fit), str(board), place)
            for place, fit in enumerate(fits)
        ]
        try:
            _follow(futures, fits, board)
            return [_taken(fit, future) for fit, future in zip(fits, futures, strict=True)]
        finally:
            for future in futures:
                future.cancel()


def _travels(fit: Fit) -> bool:
    return isinstance(fit.pairs, Pairs) and fit.pairs.u.device.type == "cpu"


def _packed(fit: Fit) -> bytes:
    """The fit without those who are told. As bytes its tensors need no shared memory."""
    return pickle.dumps(replace(fit, plan=replace(fit.plan, progress=None, watch=None)))


def _fitted(packed: bytes, board: str, place: int) -> Fitted:
    """In a worker: the weights after the fit, and the history."""
    torch.set_num_threads(1)
    fit: Fit = pickle.loads(packed)
    steps = np.memmap(board, np.int64, "r+")

    def told(done: int, _: int) -> None:
        steps[place] = done

    history = replace(fit, plan=replace(fit.plan, progress=told)).run()
    weights = {name: value.numpy() for name, value in fit.estimator.state_dict().items()}
    return weights, history


def _follow(futures: Sequence[Future[Fitted]], fits: Sequence[Fit], board: Path) -> None:
    """Wait for all of them, and tell how many of their steps are done, as if in order."""
    waiting, last = set(futures), fits[-1].plan
    while waiting:
        done, waiting = wait(waiting, timeout=_LOOK_EVERY)
        for future in done:
            _result(future)
        if last.progress is not None:
            ahead = int(np.fromfile(board, np.int64).sum()) - sum(f.plan.steps for f in fits[:-1])
            last.progress(ahead, last.steps)


def _result(future: Future[Fitted]) -> Fitted:
    """What a fit came to, or what it raised."""
    try:
        return future.result()
    except BrokenExecutor as error:
        raise InputError(
            f"a process that fitted a network ended before it was done ({error}): a script that "
            "trains in processes needs `if __name__ == '__main__':` around what it does; or memory "
            "was short: take the run up again with fewer train.workers"
        ) from error


def _taken(fit: Fit, future: Future[Fitted]) -> Rows:
    """The weights of a finished fit are its estimator's; the history."""
    weights, history = _result(future)
    fit.estimator.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
    if fit.plan.watch is not None and history:
        fit.plan.watch(history)
    return history
