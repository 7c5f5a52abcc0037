"""The validator against known truths and known lies, each caught in the figure that shows it."""

import dataclasses
import math

import numpy as np
import pytest
from conftest import add, exact_sum
from scipy import stats

from invgan.checks import compare, validate
from invgan.errors import InputError, OutsideError
from invgan.predictability import check_predictability, explained
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import simulate


def draws(x: np.ndarray, **info: object) -> Samples:
    return Samples(x, None, np.ones(len(x)), ("x1", "x2"), ("y",), dict(info))


def failed(problem: Problem, x: np.ndarray, **more: object) -> set[str]:
    found = validate(problem, draws(x), seed=1, **more)
    assert (found.verdict == "consistent") == all(m.passed for m in found.measures)
    return {m.name for m in found.measures if not m.passed}


class Exact:
    """An inverse of the sum problem with a known fault, or none."""

    def __init__(self, shift: float = 0.0, width: float = 1.0) -> None:
        self.shift, self.width = shift, width

    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        half = np.random.default_rng(seed).normal(0, math.sqrt(0.5), len(y)) * self.width
        x1 = y[:, 0] / 2 + half + self.shift
        return np.stack([x1, y[:, 0] - x1], axis=1)

    def knows(self, y: np.ndarray) -> np.ndarray:
        return np.full(len(y), True)


@pytest.mark.parametrize("seed", range(5))
def test_exact_draws_pass(seed: int, sum_problem: Problem, sum_simulations: Simulations) -> None:
    found = validate(
        sum_problem, draws(exact_sum(6000, seed)), simulations=sum_simulations,
        inverse=Exact(), seed=seed,
    )  # fmt: skip
    assert found.verdict == "consistent", found.reasons
    assert "reproduce the observations" in found.reasons[0]
    assert {"KS", "Wasserstein-1 / sd", "energy distance", "C2ST"} <= {
        m.name for m in found.measures
    }


def test_a_shift_is_caught(sum_problem: Problem) -> None:
    assert {"KS", "Wasserstein-1 / sd"} <= failed(sum_problem, exact_sum(6000, 1) + 0.1)


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_wrong_width_is_caught(factor: float, sum_problem: Problem) -> None:
    x = 0.5 + factor * (exact_sum(6000, 1) - 0.5)
    assert {"KS", "Wasserstein-1 / sd", "energy distance", "C2ST"} <= failed(sum_problem, x)


def test_a_missing_mode_of_the_outputs_is_caught(sum_problem: Problem) -> None:
    modes = np.random.default_rng(1).normal([[-1.0], [1.0]], 0.2, (2, 3000)).reshape(-1, 1)
    problem = Problem(sum_problem.model, sum_problem.prior, modes)
    one = np.stack([modes[3000:, 0] / 2 + 0.1, modes[3000:, 0] / 2 - 0.1], axis=1)
    assert {"KS", "C2ST"} <= failed(problem, one)


def test_wrong_dependence_between_outputs_is_caught_jointly() -> None:
    """Right marginals, wrong correlation: only the joint measures can tell."""
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    table = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 5000)
    problem = Problem(lambda x: x, prior, table)
    x = np.random.default_rng(2).normal(size=(5000, 2))
    samples = Samples(x, None, np.ones(5000), ("x1", "x2"), ("y1", "y2"))
    found = validate(problem, samples, seed=1)
    names = {m.name for m in found.measures if not m.passed}
    assert "C2ST" in names
    assert "energy distance" in names
    assert "KS" not in names


def test_an_answer_far_from_the_prior_is_caught_by_the_divergences(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """Right push-forward, but x1 = x2: the draws collapse onto a line of the solutions."""
    y = np.random.default_rng(1).normal(1, 0.5, 6000)
    spread = np.random.default_rng(2).normal(0, 0.02, 6000)
    x = np.stack([y / 2 + spread, y / 2 - spread], axis=1)
    names = failed(sum_problem, x, simulations=sum_simulations)
    assert names == {"KL gap"}


def test_the_divergences_agree_with_the_closed_form(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """KL(N(1, 1/4) || N(0, 2)) among the outputs, and the same among the parameters."""
    exact = 0.5 * (0.25 / 2 + 1 / 2 - 1 + math.log(2 / 0.25))
    found = validate(sum_problem, draws(exact_sum(6000, 3)), simulations=sum_simulations, seed=1)
    assert found["KL(P_Y || q_Y)"] == pytest.approx(exact, abs=0.06)
    assert found["KL(P_X || q)"] == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize(("shift", "width"), [(0.4, 1.0), (0.0, 0.5), (0.0, 1.8)])
def test_an_inverse_that_lies_is_caught_without_a_reference(
    shift: float, width: float, sum_problem: Problem
) -> None:
    """Its push-forward is right whatever the lie: only held-out pairs can tell."""
    simulations = simulate(sum_problem, 30_000, seed=4)
    names = failed(
        sum_problem, exact_sum(6000, 1), simulations=simulations, inverse=Exact(shift, width)
    )
    assert names & {"self-consistency KS", "self-consistency C2ST"}
    assert not names - {"self-consistency KS", "self-consistency C2ST"}


def test_lost_draws_are_caught() -> None:
    problem = Problem(
        lambda x: np.where(x[:, :1] > 0.8, np.nan, add(x)),
        Prior(x1=stats.norm(), x2=stats.norm()),
        stats.norm(1, 0.5),
    )
    assert "lost draws" in failed(problem, exact_sum(3000, 1))


def test_a_doubt_of_the_road_itself_is_a_reason(sum_problem: Problem) -> None:
    samples = draws(exact_sum(3000, 1), converged=False, message="the chain is too short")
    found = validate(sum_problem, samples, seed=1)
    assert found.verdict == "not consistent"
    assert "the chain is too short" in found.reasons


def test_observations_out_of_range_are_refused_by_column() -> None:
    prior = Prior(x1=stats.uniform(0, 1), x2=stats.uniform(0, 1))
    rows = np.random.default_rng(1).uniform(0.2, 0.8, (200, 2))
    rows[:80, 1] += 5
    problem = Problem(lambda x: x, prior, rows, outputs=["left", "peak"])
    simulations = simulate(problem, 2000, seed=1)
    with pytest.raises(OutsideError, match=r"40% of the observations lie outside.*'peak'"):
        check_predictability(problem, simulations)
    samples = Samples(rows[80:], None, np.ones(120), ("x1", "x2"), ("left", "peak"))
    assert validate(problem, samples, simulations=simulations).verdict == "not answerable"


def test_a_combination_that_no_parameter_gives_is_refused() -> None:
    prior = Prior(x=stats.uniform(0, 1))
    model = lambda x: np.hstack([x, 1 - x])  # noqa: E731
    u = np.random.default_rng(1).uniform(0.1, 0.9, (200, 1))
    fine, wrong = (Problem(model, prior, np.hstack([u, v])) for v in (1 - u, u))
    simulations = simulate(fine, 4000, seed=1)
    check_predictability(fine, simulations)
    with pytest.raises(OutsideError, match="taken together"):
        check_predictability(wrong, simulations)


def test_mass_between_the_simulations_is_missed_and_measured() -> None:
    """All observed values are in range, but a third of the law lies where no output can be."""
    prior = Prior(x=stats.uniform(-1, 2))
    model = lambda x: np.sign(x) * (1 + np.abs(x))  # noqa: E731
    rows = np.concatenate([np.random.default_rng(1).uniform(a, b, 1000)
                           for a, b in ((-2, -1), (-0.5, 0.5), (1, 2))])[:, None]  # fmt: skip
    problem = Problem(model, prior, rows)
    found = explained(problem, simulate(problem, 10_000, seed=1))
    mass = next(m for m in found if m.name == "explained mass")
    assert mass.value == pytest.approx(1 / 3, abs=0.08)
    assert not mass.passed


def test_the_posterior_of_a_deterministic_model_is_judged_by_its_residual() -> None:
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    problem = Problem(add, prior, [1.0], question="posterior")
    simulations = simulate(problem, 2000, seed=1)
    half = np.random.default_rng(1).normal(0, math.sqrt(0.5), 2000)
    exact = np.stack([0.5 + half, 0.5 - half], axis=1)
    assert validate(problem, draws(exact), simulations=simulations).verdict == "consistent"
    wrong = validate(problem, draws(exact + 0.5), simulations=simulations)
    assert wrong.verdict == "not consistent"
    assert wrong["residual"] == pytest.approx(1 / math.sqrt(2), rel=0.1)


def test_the_posterior_of_a_stochastic_model_must_predict_the_observation() -> None:
    def noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + rng.normal(size=x.shape)

    problem = Problem(noisy, Prior(x=stats.norm()), [1.0], stochastic=True, question="posterior")
    right = np.random.default_rng(1).normal(0.5, math.sqrt(0.5), (4000, 1))
    one = dataclasses.replace(draws(right), names=("x",))
    assert validate(problem, one).verdict == "consistent"
    far = dataclasses.replace(draws(right - 8), names=("x",))
    assert validate(problem, far).verdict == "not consistent"


def test_two_answers_are_compared_with_their_costs() -> None:
    a = draws(exact_sum(3000, 1), method="cgan", seconds=2.0, model_evaluations=10)
    b = draws(exact_sum(3000, 2), method="mcmc", seconds=4.0, effective_samples=100.0)
    found = compare(a, b)
    assert found["C2ST in x"] < 0.53
    assert found["model_evaluations (cgan)"] == 10
    assert found["effective draws a second (mcmc)"] == 25
    far = compare(draws(exact_sum(3000, 1) + 1), b)
    assert far["C2ST in x"] > 0.7
    assert far["largest Wasserstein-1 in x / sd"] > 1


def test_too_few_draws_are_refused(sum_problem: Problem) -> None:
    with pytest.raises(InputError, match="20 samples"):
        validate(sum_problem, draws(exact_sum(10, 1)))
