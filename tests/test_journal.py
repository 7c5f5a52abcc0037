"""A chain that was stopped goes on where it was, and ends as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from invgan.mcmc import journal, run_mcmc
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples
from invgan.simulation import simulate

STEPS, STOP = 120, 70


class Counted:
    """A model of one or two outputs that counts its rows."""

    def __init__(self, outputs: int) -> None:
        self.rows, self.outputs = 0, outputs

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.rows += len(x)
        return np.stack([x.sum(axis=1), x[:, 0]], axis=1)[:, : self.outputs]


@pytest.fixture(params=[1, 2])
def problem(request: pytest.FixtureRequest) -> Problem:
    prior = Prior(a=stats.norm(), b=stats.norm())
    observed = [stats.norm(1, 0.3), stats.norm(0.5, 0.4)][: request.param]
    return Problem(Counted(request.param), prior, observed)


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(journal, "_SHARE", 0.0)


def walk(problem: Problem, stem: Path | None, *, seed: int = 3, stop: int = 0) -> Samples:
    def stopping(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    simulations = simulate(problem, 4000, seed=1)
    return run_mcmc(
        problem, simulations, 1000, walkers=16, steps=STEPS, seed=seed, checkpoint=stem,
        progress=stopping,
    )  # fmt: skip


def test_a_stopped_chain_ends_as_if_it_had_not_been(problem: Problem, tmp_path: Path) -> None:
    whole = walk(problem, None)
    with pytest.raises(KeyboardInterrupt):
        walk(problem, tmp_path / "chain", stop=STOP)
    before = problem.model.rows
    resumed = walk(problem, tmp_path / "chain")
    assert np.array_equal(resumed.x, whole.x)
    assert np.array_equal(resumed.y, whole.y)
    assert resumed.info["acceptance"] == whole.info["acceptance"]
    assert resumed.info["model_evaluations"] == whole.info["model_evaluations"]
    # 4000 simulations, one start, and the steps that were left.
    assert problem.model.rows - before == 4000 + 16 * (1 + STEPS - STOP + 1)


def test_a_damaged_stretch_and_all_after_it_are_walked_again(
    problem: Problem, tmp_path: Path
) -> None:
    whole = walk(problem, tmp_path / "chain")
    (tmp_path / "chain-40.npz").write_bytes(b"PK\3\4 torn")
    before = problem.model.rows
    again = walk(problem, tmp_path / "chain")
    assert np.array_equal(again.x, whole.x)
    assert problem.model.rows - before == 4000 + 16 * (1 + STEPS - 39)


def test_another_chain_is_not_taken_up(problem: Problem, tmp_path: Path) -> None:
    walk(problem, tmp_path / "chain")
    other = walk(problem, tmp_path / "chain", seed=4)
    assert np.array_equal(other.x, walk(problem, None, seed=4).x)


def test_a_finished_chain_goes_on_where_more_steps_are_asked(tmp_path: Path) -> None:
    """The files say nothing of the number of steps: a longer chain starts as the shorter one."""
    prior = Prior(a=stats.norm(), b=stats.norm())
    problem = Problem(Counted(1), prior, stats.norm(1, 0.3))
    walk(problem, tmp_path / "chain")
    simulations, before = simulate(problem, 4000, seed=1), problem.model.rows
    longer = {"walkers": 16, "steps": STEPS + 30, "seed": 3}
    resumed = run_mcmc(problem, simulations, 1000, checkpoint=tmp_path / "chain", **longer)
    assert problem.model.rows - before == 16 * (1 + 30)
    assert np.array_equal(resumed.x, run_mcmc(problem, simulations, 1000, **longer).x)
