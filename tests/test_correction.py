"""The correction: known blurs are undone, exact draws are left alone, lost causes are refused."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_sum
from scipy import stats

from invgan import gallery
from invgan.correction import correct, push_forward
from invgan.errors import CorrectionError, InputError
from invgan.matching import matched
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import evaluate, simulate

pytestmark = pytest.mark.usefixtures("whole_classifier")


def draws(x: np.ndarray) -> Samples:
    return Samples(x, None, np.ones(len(x)), ("x1", "x2"), ("y",))


def shifted(n: int, shift: float, seed: int = 0) -> np.ndarray:
    """Draws of the sum problem's answer to observations moved by a shift: right given y."""
    return exact_sum(n, seed) + shift / 2


def gap(y: np.ndarray) -> float:
    return float(stats.kstest(y[:, 0], stats.norm(1, 0.5).cdf).statistic)


@pytest.mark.parametrize("kind", ["law", pytest.param("table", marks=pytest.mark.slow)])
def test_a_shifted_push_forward_is_moved_back(kind: str, sum_problem: Problem) -> None:
    table = sum_problem.observations.sample(8000, np.random.default_rng(3))
    seen = sum_problem if kind == "law" else Problem(sum_problem.model, sum_problem.prior, table)
    samples = draws(shifted(12_000, 0.25))
    answer = correct(seen, samples, 6000, seed=1)
    assert gap(samples.x.sum(axis=1, keepdims=True)) > 0.15
    assert gap(answer.y) < 0.03
    assert answer.info["ratio"] != "none"
    assert answer.info["mean_weight"] == pytest.approx(1, abs=0.1)
    # exact: w = N(y; 1, .5) / N(y; 1.25, .5), so that 1 / E w^2 = exp(-(0.25 / 0.5)^2)
    assert answer.info["effective_share"] == pytest.approx(np.exp(-0.25), abs=0.06)
    # and the law of x given y is left alone
    assert stats.kstest(apart(answer.x), stats.norm(0, np.sqrt(2)).cdf).pvalue > 0.001


def test_exact_draws_are_left_as_they_are(sum_problem: Problem) -> None:
    answer = correct(sum_problem, draws(exact_sum(9000, 1)), 6000, seed=1)
    assert answer.info["ratio"] == "none"
    assert answer.info["effective_share"] == pytest.approx(1)
    assert answer.info["distinct"] == 1
    assert np.all(answer.weights == 1)


def test_draws_that_the_law_excludes_are_dropped() -> None:
    prior = Prior(x1=stats.uniform(0, 1), x2=stats.uniform(0, 1))
    problem = Problem(lambda x: x.sum(axis=1, keepdims=True), prior, stats.uniform(0.5, 1))
    x = prior.sample(9000, np.random.default_rng(1))
    answer = correct(problem, draws(x), 3000, seed=2)
    assert answer.y.min() >= 0.5
    assert answer.y.max() <= 1.5
    assert stats.kstest(answer.y[:, 0], stats.uniform(0.5, 1).cdf).statistic < 0.03


def test_a_lost_cause_is_refused_with_what_to_do(sum_problem: Problem) -> None:
    with pytest.raises(CorrectionError, match=r"10 % are needed.*simulate\.n"):
        correct(sum_problem, draws(shifted(4000, 2.5)), 1000, seed=1)


def test_by_default_as_many_as_stay_distinct_come_back(sum_problem: Problem) -> None:
    answer = correct(sum_problem, draws(shifted(8000, 0.25)), seed=1)
    assert answer.info["distinct"] > 0.93
    assert 1000 < len(answer) < 8000


def test_many_outputs_do_not_accuse_exact_draws() -> None:
    """Axes that were fitted to the observed rows alone told them from any others of their law."""
    prior = Prior({f"a{j}": stats.norm(0, 2) for j in range(60)})
    rows = np.random.default_rng(1).normal(size=(400, 60))
    x = np.random.default_rng(2).normal(size=(3000, 60))
    problem = Problem(lambda x: x, prior, rows)
    found = correct(problem, Samples(x, None, np.ones(3000), prior.names, problem.outputs), 1500)
    assert found.info["effective_share"] > 0.95
    assert found.info["effective_samples"] == 1500


def test_a_posterior_has_nothing_to_correct(sum_problem: Problem) -> None:
    problem = Problem(sum_problem.model, sum_problem.prior, [1.0], question="posterior")
    with pytest.raises(InputError, match="no push-forward"):
        correct(problem, draws(exact_sum(100, 1)))


def test_draws_without_finite_outputs_are_dropped_and_counted() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, :1] > 1, np.nan, x.sum(axis=1, keepdims=True))

    problem = Problem(broken, Prior(x1=stats.norm(), x2=stats.norm()), stats.norm(1, 0.5))
    x = exact_sum(1000, 1)
    pushed = push_forward(problem, draws(x))
    assert pushed.info["not_finite"] == int((x[:, 0] > 1).sum())
    assert pushed.info["model_evaluations"] == 1000
    assert np.isfinite(pushed.y).all()
    with pytest.raises(CorrectionError, match="none of the draws"):
        push_forward(problem, draws(x + 100))


def test_the_same_seed_gives_the_same_draws(sum_problem: Problem) -> None:
    samples = draws(shifted(3000, 0.2))
    a, b = (correct(sum_problem, samples, 1000, seed=4) for _ in range(2))
    assert np.array_equal(a.x, b.x)


def wrong_given_y(n: int, seed: int, **law: float) -> np.ndarray:
    """Draws with the right outputs whose x1 - x2 is not N(0, 2) but the normal law given here."""
    rng = np.random.default_rng(seed)
    y, apart = rng.normal(1, 0.5, n), rng.normal(size=n) * law.get("sd", 2**0.5)
    apart += law.get("shift", 0) * y
    return np.stack([(y + apart) / 2, (y - apart) / 2], axis=1)


def apart(x: np.ndarray) -> np.ndarray:
    return x[:, 0] - x[:, 1]


@pytest.mark.parametrize(
    "law",
    [
        {"sd": 1.8},
        *(pytest.param(o, marks=pytest.mark.slow) for o in ({"sd": 1.2}, {"shift": 0.4})),
    ],
    ids=str,
)
def test_with_simulations_a_wrong_law_of_x_given_y_is_set_right(
    law: dict[str, float], sum_problem: Problem, sum_simulations: Simulations
) -> None:
    samples = draws(wrong_given_y(6000, 5, **law))
    answer = correct(sum_problem, samples, 4000, simulations=sum_simulations, seed=1)
    exact = stats.norm(0, np.sqrt(2)).cdf
    before, after = (stats.kstest(apart(x), exact).statistic for x in (samples.x, answer.x))
    assert before > 0.03
    assert after < 0.7 * before
    assert answer.info["ratio_given_y"] != "none"
    assert answer.info["gain_given_y"] > 0
    assert gap(answer.y) < 0.03, "and the push-forward stays right"


@pytest.mark.slow
def test_both_errors_are_mended_at_once(sum_problem: Problem, sum_simulations: Simulations) -> None:
    x = wrong_given_y(8000, 5, sd=1.8) + 0.1
    answer = correct(sum_problem, draws(x), 4000, simulations=sum_simulations, seed=1)
    assert gap(x.sum(axis=1, keepdims=True)) > 0.1
    assert gap(answer.y) < 0.03
    assert apart(answer.x).std() == pytest.approx(np.sqrt(2), abs=0.1)


def test_exact_draws_and_simulations_call_for_no_correction(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    samples = draws(exact_sum(3000, 1))
    found = correct(sum_problem, samples, simulations=sum_simulations, seed=1).info
    assert (found["ratio_given_y"], found["gain_given_y"]) == ("none", 0)
    assert found["effective_share"] > 0.97


def test_sparse_simulations_leave_the_law_of_x_given_y_alone(sum_problem: Problem) -> None:
    simulations = simulate(sum_problem, 200, seed=7)
    samples = draws(wrong_given_y(3000, 5, sd=1.8))
    alone = correct(sum_problem, samples, 1000, seed=1)
    beside = correct(sum_problem, samples, 1000, simulations=simulations, seed=1)
    assert beside.info["ratio_given_y"] == "none"
    assert np.array_equal(alone.x, beside.x)


def test_outputs_that_determine_the_parameters_leave_nothing_to_correct():
    """Exact draws with sharp edges, beyond which the nearest simulations lie."""
    plate = gallery.get("plate")
    x, simulations = plate.exact(4000, 3), simulate(plate.problem, 60_000, seed=1)
    y = evaluate(plate.problem, x)
    samples = Samples(x, y, np.ones(4000), simulations.names, simulations.outputs)
    assert matched(y, simulations.training, 4) is not None
    found = correct(plate.problem, samples, simulations=simulations, seed=1)
    assert found.info["ratio_given_y"] == "none"


@pytest.mark.slow
def test_the_correction_belongs_to_its_seed_and_leaves_the_simulations_of_its_judge_alone(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """The same draws again, where the rows that the checks hold against them are spoilt."""
    x, judges = sum_simulations.x.copy(), len(sum_simulations.unlearnt)
    x[-judges:] = 1e6
    samples = draws(wrong_given_y(3000, 5, sd=1.8))
    a, b = (
        correct(sum_problem, samples, 1000, simulations=simulations, seed=4)
        for simulations in (sum_simulations, replace(sum_simulations, x=x))
    )
    assert a.info["ratio_given_y"] != "none"
    assert np.array_equal(a.x, b.x)
