"""The population's answer: as many draws as the correction needs, and no more."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import add
from scipy import stats

from invgan.answers import corrected_draws
from invgan.correction import correct
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import simulate

N = 200
PRIOR = Prior(x1=stats.norm(), x2=stats.norm())


class Counting:
    """The sum, and how many rows it was run on."""

    identity = "counting"

    def __init__(self) -> None:
        self.rows, self.most = 0, np.inf

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.rows + len(x) > self.most:
            raise KeyboardInterrupt
        self.rows += len(x)
        return add(x)


def problem(model: Any, mean: float, sd: float) -> Problem:
    return Problem(model, PRIOR, stats.norm(mean, sd), outputs=["y"])


def drawn(count: int, seed: int, shift: float = 0.0) -> Samples:
    """A generator that has learnt nothing, or only a shift of both parameters."""
    x = shift + PRIOR.sample(count, np.random.default_rng(seed))
    info = {"method": "cgan", "seconds": 1.0}
    return Samples(x, None, np.ones(count), ("x1", "x2"), ("y",), info)


def by_ratio(asked: Problem, simulations: Simulations) -> Any:
    """The correction of a population's answer."""
    return lambda raw, seed: correct(asked, raw, N, simulations=simulations, seed=seed)


def a_quarter(raw: Samples, seed: int) -> Samples:
    """The draws as they are, of which a quarter is said to count."""
    return replace(raw, info={**raw.info, "effective_share": 0.25})


@pytest.fixture(scope="module")
def simulations() -> Simulations:
    return simulate(problem(add, 0, 1), 400, seed=1)


def test_draws_that_count_are_made_once(simulations: Simulations) -> None:
    model = Counting()
    asked = problem(model, 0, np.sqrt(2))
    answer, raw = corrected_draws(asked, drawn, by_ratio(asked, simulations), N, seeds=(1, 2))
    assert (len(answer), len(raw), model.rows) == (N, 300, 300)
    assert answer.info["effective_share"] * len(raw) >= N


def test_where_few_draws_count_more_are_made(simulations: Simulations) -> None:
    model = Counting()
    asked = problem(model, 1, 0.35)
    answer, raw = corrected_draws(asked, drawn, by_ratio(asked, simulations), N, seeds=(1, 2))
    assert len(raw) == model.rows == raw.info["model_evaluations"]
    assert len(raw) == 5 * N
    assert raw.info["seconds"] == 2.0
    assert len(np.unique(raw.x, axis=0)) == len(raw)
    assert answer.info["distinct"] > 0.8
    assert stats.kstest(answer.y[:, 0], stats.norm(1, 0.35).cdf).statistic < 0.1


def test_what_was_run_before_a_stop_is_not_run_again(tmp_path: Path) -> None:
    model = Counting()
    asked = problem(model, 1, 0.35)
    model.most = 350
    with pytest.raises(KeyboardInterrupt):
        corrected_draws(asked, drawn, a_quarter, N, seeds=(1, 2), scratch=tmp_path)
    done, model.most = model.rows, np.inf
    assert done >= 300
    _, raw = corrected_draws(asked, drawn, a_quarter, N, seeds=(1, 2), scratch=tmp_path)
    assert model.rows == len(raw) == 5 * N


def test_no_more_are_made_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invgan.answers._MOST_NUMBERS", 3 * 400)
    asked = problem(add, 1, 0.35)
    assert len(corrected_draws(asked, drawn, a_quarter, N, seeds=(1, 2))[1]) == 400
    monkeypatch.setattr("invgan.answers._MOST_NUMBERS", 3 * 100)
    assert len(corrected_draws(asked, drawn, a_quarter, N, seeds=(1, 2))[1]) == 300


def test_a_correction_that_cannot_be_believed_asks_for_no_more(simulations: Simulations) -> None:
    model = Counting()
    asked = problem(model, 4.5, 0.1)
    answer, raw = corrected_draws(asked, drawn, by_ratio(asked, simulations), N, seeds=(1, 2))
    assert model.rows == len(raw) == 300
    assert np.array_equal(answer.x, raw.x)
    assert answer.info["converged"] is False
    assert "% of the draws" in answer.info["message"]
