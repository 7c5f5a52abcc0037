"""The validator against known truths and known lies, each caught in the figure that shows it."""

import dataclasses
import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from conftest import add, exact_sum
from scipy import stats
from scipy.special import ndtr, ndtri

from invgan.checks import beside, compare, validate
from invgan.checks.consistency import nearby
from invgan.checks.population import _noise, against_simulations, distance_to_prior
from invgan.checks.posterior import _depths, predictive
from invgan.correction import correct, push_forward
from invgan.errors import InputError, OutsideError
from invgan.health import FAILURES, Health
from invgan.mcmc import run_mcmc
from invgan.metrics import wasserstein
from invgan.observations import Table
from invgan.predictability import check_predictability, explained
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples, Simulations
from invgan.simulation import simulate
from invgan.validation import Validation, Verdict


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


@pytest.mark.parametrize("seed", range(2))
def test_exact_draws_pass(seed: int, sum_problem: Problem, sum_simulations: Simulations) -> None:
    found = validate(
        sum_problem, draws(exact_sum(2000, seed)), simulations=sum_simulations,
        inverse=Exact(), seed=seed,
    )  # fmt: skip
    assert found.verdict == "consistent", found.reasons
    assert "reproduce the observations" in found.reasons[0]
    assert {
        "KS", "Wasserstein-1 / sd", "energy distance", "C2ST", "KL gap", "self-consistency KS",
        "answer against inverse KS", "answer against simulations KS",
    } <= {m.name for m in found.measures}  # fmt: skip


COLLAPSED = Health("mode collapse", {"narrowest": 0.2}, FAILURES["mode collapse"], False)
SWUNG = Health("oscillation", {"swing": 0.4}, FAILURES["oscillation"], False)


def test_a_failed_game_is_a_reservation_and_no_verdict(sum_problem: Problem) -> None:
    """What the figures cannot see is said; what they see is a failure whatever the game did."""
    exact, shifted = draws(exact_sum(2000, 1)), draws(exact_sum(2000, 1) + 0.1)
    plain, doubted = (
        validate(sum_problem, exact, seed=1, doubts=doubts) for doubts in ((), (COLLAPSED,))
    )
    assert plain.verdict == doubted.verdict == "consistent"
    assert doubted.measures == plain.measures
    assert doubted.reasons[:-1] == plain.reasons
    assert doubted.reasons[-1].startswith("with a reservation: the history of the game")
    assert "mode collapse: draws spread 20% as far as real parameters" in doubted.reasons[-1]
    assert "train.packing" in doubted.reasons[-1]
    wrong = validate(sum_problem, shifted, seed=1, doubts=(COLLAPSED, SWUNG))
    assert wrong.verdict == "not consistent"
    assert wrong.reasons[-1].startswith("the history of the game")
    assert wrong.reasons[-1].endswith("those of other members say: oscillation")


def test_a_shift_is_caught(sum_problem: Problem) -> None:
    assert {"KS", "Wasserstein-1 / sd"} <= failed(sum_problem, exact_sum(2000, 1) + 0.1)


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_wrong_width_is_caught(factor: float, sum_problem: Problem) -> None:
    x = 0.5 + factor * (exact_sum(2000, 1) - 0.5)
    assert {"KS", "Wasserstein-1 / sd", "energy distance", "C2ST"} <= failed(sum_problem, x)


def test_a_missing_mode_of_the_outputs_is_caught(sum_problem: Problem) -> None:
    modes = np.random.default_rng(1).normal([[-1.0], [1.0]], 0.2, (2, 2000)).reshape(-1, 1)
    problem = Problem(sum_problem.model, sum_problem.prior, modes)
    one = np.stack([modes[2000:, 0] / 2 + 0.1, modes[2000:, 0] / 2 - 0.1], axis=1)
    assert {"KS", "C2ST"} <= failed(problem, one)


def test_wrong_dependence_between_outputs_is_caught_jointly() -> None:
    """Right marginals, wrong correlation: only the joint measures can tell."""
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    table = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 2500)
    problem = Problem(lambda x: x, prior, table)
    x = np.random.default_rng(2).normal(size=(2500, 2))
    samples = Samples(x, None, np.ones(2500), ("x1", "x2"), ("y1", "y2"))
    found = validate(problem, samples, seed=1)
    names = {m.name for m in found.measures if not m.passed}
    assert "C2ST" in names
    assert "energy distance" in names
    assert "KS" not in names


def test_an_answer_far_from_the_prior_is_caught_by_the_divergences(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """Right push-forward, but x1 = x2: the draws collapse onto a line of the solutions."""
    own = {"answer against simulations KS", "answer against simulations C2ST"}
    y = np.random.default_rng(1).normal(1, 0.5, 2000)
    spread = np.random.default_rng(2).normal(0, 0.02, 2000)
    x = np.stack([y / 2 + spread, y / 2 - spread], axis=1)
    names = failed(sum_problem, x, simulations=sum_simulations)
    assert names == {"KL gap"} | own


def test_an_exact_answer_on_a_thin_sheet_is_no_divergence_from_the_prior() -> None:
    """Its sheet is thinner than the distances between draws, by which neighbours judge it."""
    rng, n, sd = np.random.default_rng(0), 4000, 0.003
    axis = np.ones(3) / np.sqrt(3)
    x, y, z = rng.normal(size=(20_000, 3)), rng.normal(0, sd, n), rng.normal(size=(n, 3))
    z += np.outer(y - z @ axis, axis)
    names = ("x1", "x2", "x3")
    problem = Problem(
        lambda x: x @ axis, Prior(dict.fromkeys(names, stats.norm())), stats.norm(0, sd)
    )
    made = Simulations(x, (x @ axis)[:, None], names, ("y",), x[:0])
    gap = distance_to_prior(problem, z, (z @ axis)[:, None], made, 1)[-1]
    assert gap.name == "KL gap"
    assert gap.value < -0.3
    assert gap.passed


def test_a_branch_that_is_drawn_too_often_is_caught_by_simulations_with_the_same_outputs() -> None:
    """Right push-forward; the divergence from the prior, 0.19 nats more, is nearly too small."""
    problem = Problem(lambda x: x**2, Prior(x=stats.norm()), stats.uniform(0.5, 1))
    simulations = simulate(problem, 20_000, seed=1)
    rng = np.random.default_rng(1)
    size = np.sqrt(rng.uniform(0.5, 1.5, 2000))
    for share in (0.5, 0.8):
        x = np.where(rng.random(2000) < share, size, -size)[:, None]
        samples = Samples(x, None, np.ones(2000), ("x",), ("y",))
        found = validate(problem, samples, simulations=simulations)
        gap = next(m for m in found.measures if m.name == "answer against simulations KS")
        assert gap.passed == (share == 0.5)
        assert gap.value == pytest.approx(share - 0.5, abs=0.04)
        assert (found.verdict == "consistent") == (share == 0.5), found.reasons


def test_simulations_that_are_nearest_to_many_draws_do_not_accuse_an_exact_answer() -> None:
    """Of 3,000 rows about 300 are near the outputs; met again, each would be known by its face."""
    prior = Prior({f"x{j}": stats.norm() for j in range(4)})
    problem = Problem(lambda x: x[:, :1], prior, stats.norm(0.5, 0.1))
    simulations = simulate(problem, 20_000, seed=0)
    x = np.random.default_rng(5).normal(size=(20_000, 4))
    x[:, 0] = 0.5 + 0.1 * x[:, 0]
    found = against_simulations(problem, x, x[:, :1], simulations, 0)
    assert [m.name for m in found if m.passed] == [m.name for m in found]
    assert found[-1].value < 0.53


def test_an_answer_that_is_not_the_inverse_s_is_caught() -> None:
    """Eight parameters: too many for neighbours and divergences, but the inverse is right."""
    prior = Prior({f"x{j}": stats.norm() for j in range(8)})
    problem = Problem(lambda x: x[:, :4], prior, [stats.norm(0.3, 0.5)] * 4)

    class Inverse(Exact):
        def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
            return np.hstack([y, np.random.default_rng(seed).normal(size=y.shape)])

    simulations = simulate(problem, 6000, seed=1)
    y = problem.observations.sample(1500, np.random.default_rng(1))
    x = Inverse().draw(y, seed=1)
    for factor, verdict in ((1, "consistent"), (0.5, "not consistent")):
        narrow = np.hstack([x[:, :4], factor * x[:, 4:]])
        samples = Samples(narrow, None, np.ones(1500), prior.names, problem.outputs)
        found = validate(problem, samples, simulations=simulations, inverse=Inverse())
        failed = {m.name for m in found.measures if not m.passed}
        assert found.verdict == verdict
        assert failed <= {"answer against inverse KS", "answer against inverse C2ST"}


def test_draws_that_depend_on_each_other_count_for_less(sum_problem: Problem) -> None:
    """A chain of 100 independent draws, each 20 times over: KS is large, and must be."""
    x = np.repeat(exact_sum(100, 4), 20, axis=0)
    plain, chain = (validate(sum_problem, draws(x, **info)) for info in (
        {}, {"effective_samples": 100.0}))  # fmt: skip
    assert plain.verdict == "not consistent"
    assert chain.verdict == "consistent", chain.reasons
    assert plain["KS"] == chain["KS"]


def test_the_divergences_agree_with_the_closed_form(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """KL(N(1, 1/4) || N(0, 2)) among the outputs, and the same among the parameters."""
    exact = 0.5 * (0.25 / 2 + 1 / 2 - 1 + math.log(2 / 0.25))
    found = validate(sum_problem, draws(exact_sum(2000, 3)), simulations=sum_simulations, seed=1)
    assert found["KL(P_Y || q_Y)"] == pytest.approx(exact, abs=0.06)
    assert found["KL(P_X || q)"] == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize("times", [1, 8])
def test_several_draws_for_one_member_are_no_clump(times: int) -> None:
    """A model that is one to one; KL(N(0, 1/4) || N(0, 1)) in two dimensions."""
    rng = np.random.default_rng(2)
    seen = rng.normal(0, 0.5, (1500, 2))
    problem = Problem(lambda x: x, Prior(x1=stats.norm(), x2=stats.norm()), seen)
    x = np.repeat(seen, times, axis=0)
    x += rng.normal(0, 0.003, x.shape)
    simulations = simulate(problem, 20_000, seed=1)
    found = {m.name: m for m in distance_to_prior(problem, x, x, simulations, seed=3)}
    exact = 2 * (math.log(2) + (0.25 - 1) / 2)
    for side in ("KL(P_X || q)", "KL(P_Y || q_Y)"):
        assert found[side].value == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize("members", [50, 300])
def test_a_table_of_few_members_is_no_false_alarm(
    members: int, sum_simulations: Simulations
) -> None:
    """Draws that meet the members' outputs to a hundredth of their spread, 20,000 in all."""
    rng = np.random.default_rng(0)
    seen = rng.normal(1, 0.5, (members, 1))
    problem = Problem(add, Prior(x1=stats.norm(), x2=stats.norm()), seen)
    y = np.repeat(seen[:, 0], 20_000 // members)
    y, gap = y + rng.normal(0, 0.005, len(y)), rng.normal(0, math.sqrt(2), len(y))
    x = np.stack([(y + gap) / 2, (y - gap) / 2], axis=1)
    measures = distance_to_prior(problem, x, add(x), sum_simulations, seed=3)
    assert [m.name for m in measures if not m.passed] == []


@pytest.mark.parametrize(("shift", "width"), [(0.4, 1.0), (0.0, 0.5), (0.0, 1.8)])
def test_an_inverse_that_lies_is_caught_without_a_reference(
    shift: float, width: float, sum_problem: Problem
) -> None:
    """Its push-forward is right whatever the lie: only held-out pairs can tell."""
    simulations = simulate(sum_problem, 20_000, seed=4)
    names = failed(
        sum_problem, exact_sum(2000, 1), simulations=simulations, inverse=Exact(shift, width)
    )
    assert names & {"self-consistency KS", "self-consistency C2ST"}
    assert not {n for n in names if not n.startswith(("self-consistency", "answer against inv"))}


def test_lost_draws_are_caught() -> None:
    problem = Problem(
        lambda x: np.where(x[:, :1] > 0.8, np.nan, add(x)),
        Prior(x1=stats.norm(), x2=stats.norm()),
        stats.norm(1, 0.5),
    )
    assert "lost draws" in failed(problem, exact_sum(2000, 1))


def test_draws_outside_the_prior_of_the_last_round_are_none(sum_problem: Problem) -> None:
    for outside, passed in ((0.04, True), (0.06, False)):
        found = validate(sum_problem, draws(exact_sum(2000, 1), outside=outside), seed=1)
        lost = next(m for m in found.measures if m.name == "lost draws")
        assert lost.value == pytest.approx(outside)
        assert lost.passed is passed


@pytest.mark.parametrize("road", [push_forward, correct])
def test_draws_that_were_lost_on_the_way_are_caught(
    road: Callable[..., Samples], sum_problem: Problem
) -> None:
    def fails(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, :1] > 0.8, np.nan, add(x))

    problem = dataclasses.replace(sum_problem, model=fails)
    found = validate(problem, road(problem, draws(exact_sum(4000, 1)), seed=1), seed=1)
    lost = next(m for m in found.measures if m.name == "lost draws")
    assert lost.value == pytest.approx(0.38, abs=0.1)
    assert not lost.passed
    assert found.verdict == "not consistent"


@pytest.mark.parametrize(
    "model",
    [
        lambda x: np.stack([np.exp(-x[:, 0]), np.exp(-2 * x[:, 0])], axis=1),
        lambda x: np.stack([np.ones(len(x)), np.exp(-x[:, 0])], axis=1),
    ],
    ids=["one tells the other", "one never changes"],
)
def test_outputs_on_a_curve_have_the_divergence_of_their_parameter(
    model: Callable[[np.ndarray], np.ndarray],
) -> None:
    rng = np.random.default_rng(1)
    people, prior = rng.normal(0.5, 0.1, (300, 1)), Prior(k=stats.uniform(0, 2))
    problem = Problem(model, prior, model(people), outputs=["a", "b"])
    answer = Samples(people[rng.integers(300, size=4000)], None, np.ones(4000), ("k",), ("a", "b"))
    simulations = simulate(problem, 20_000, seed=1)
    found = validate(problem, answer, simulations=simulations, seed=1)
    assert found.verdict == "consistent", found.reasons


def test_observations_much_narrower_than_the_prior_are_reached_all_the_same() -> None:
    """Of 20,000 simulations 40 lie among them, two of these in the part that r is averaged over."""
    rng = np.random.default_rng(1)
    prior = Prior(x1=stats.uniform(-1, 2), x2=stats.uniform(-1, 2))
    for seed in range(4):
        seen = rng.normal(0.3, 0.01, (300, 2))
        problem = Problem(lambda x: x, prior, seen, outputs=["a", "b"])
        simulations = simulate(problem, 20_000, seed=seed)
        assert [m.name for m in explained(problem, simulations) if not m.passed] == []


def test_discrete_outputs_may_be_rounded() -> None:
    prior = Prior(x1=stats.uniform(0, 1), x2=stats.uniform(0, 1))
    problem = Problem(lambda x: np.floor(10 * x) * 0.1, prior, np.ones((2, 2)), outputs=["a", "b"])
    simulations = simulate(problem, 4000, seed=1)
    written = dataclasses.replace(problem, observations=Table(np.round(simulations.y[:100], 10)))
    check_predictability(written, simulations)


def test_a_doubt_of_the_road_itself_is_a_reason(sum_problem: Problem) -> None:
    samples = draws(exact_sum(2000, 1), converged=False, message="the chain is too short")
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


@pytest.mark.parametrize(
    "law",
    [
        stats.expon(),
        pytest.param(stats.norm(), marks=pytest.mark.slow),
        pytest.param(stats.t(3), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("n", "rows", "question"), [(400, 1, "posterior"), (800, 2, "population")])
def test_a_few_exact_rows_of_many_outputs_are_hardly_ever_refused(
    law: object, n: int, rows: int, question: str
) -> None:
    """Of 20 outputs one lies beyond all 400 simulated values in one of ten exact observations."""
    rng = np.random.default_rng(4)
    prior, width = Prior(x=stats.norm()), 20
    names = tuple(f"y{j + 1}" for j in range(width))
    refused = strict = 0
    for _ in range(100):
        y, seen = law.rvs((n, width), random_state=rng), law.rvs((rows, width), random_state=rng)
        problem = Problem(
            lambda x: np.repeat(x, width, axis=1), prior, seen, outputs=names, question=question
        )
        simulations = Simulations(y[:, :1], y, ("x",), names, y[:0, :1])
        figures = explained(problem, simulations)
        refused += any(m.name == "outside" and not m.passed for m in figures)
        strict += bool(np.any((seen < y.min(axis=0)) | (seen > y.max(axis=0))))
    assert strict > 5
    assert refused <= (6 if law.dist.name == "t" else 3)


def test_few_draws_can_reach_the_depth_that_is_asked_for() -> None:
    """Of a hundred draws one in fifty lies beyond all others, in one of ten columns one in five."""
    refused, names = 0, list("abcdefghij")
    for seed in range(150):
        rows = np.random.default_rng(seed).normal(size=(101, 10))
        refused += not all(m.passed for m in _depths(rows[1:], rows[0], names))
    assert refused <= 2
    assert not any(m.passed for m in _depths(rows[1:], np.full(10, 8.0), names))


def test_wasserstein_of_exact_draws_is_hardly_ever_beyond_its_floor() -> None:
    """Thirty partings and a gamma law's tail refused thirteen times as many as were allotted."""
    refused = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y, rows = rng.normal(size=(30, 5)), rng.normal(size=(150, 5))
        scale = rows.std(axis=0)
        floor, _ = _noise(y, rows, scale, 30, rng)
        refused += bool(np.any(wasserstein(y, rows) / scale > floor))
    assert refused <= 2


def test_one_row_far_beyond_few_simulations_is_refused() -> None:
    y = np.random.default_rng(1).normal(size=(400, 20))
    names = tuple(f"y{j + 1}" for j in range(20))
    simulations = Simulations(y[:, :1], y, ("x",), names, y[:0, :1])
    for far in (-7.0, 7.0):
        seen = np.zeros((1, 20))
        seen[0, 3] = far
        problem = Problem(
            lambda x: np.repeat(x, 20, axis=1), Prior(x=stats.norm()), seen, outputs=names,
            question="posterior",
        )  # fmt: skip
        with pytest.raises(OutsideError, match=r"100% of the observations.*'y4'"):
            check_predictability(problem, simulations)


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


def test_each_repeat_has_a_name_of_its_own_by_the_row_that_was_given() -> None:
    """All had the output's, and a report by name and output showed the last one for all."""
    rows = [[9.0, 1.0], [2.0, 2.0], [5.0, 3.0]]
    problem = Problem(
        lambda x: np.hstack([x, x]), Prior(a=stats.norm()), rows, noise={"normal": 1.0},
        question="posterior", outputs=["u", "v"],
    )  # fmt: skip
    y = simulate(problem, 1200, seed=1).y
    depths = {m.output: m for m in predictive(problem, y, None, 1) if m.output is not None}
    assert list(depths) == [f"{name}, repeat {r}" for r in (2, 3, 1) for name in ("u", "v")]
    assert not depths["u, repeat 1"].passed
    assert depths["v, repeat 1"].passed
    with pytest.raises(OutsideError, match="column 'u, repeat 1'"):
        far = Table(np.array([[90.0, 1.0], [0.2, 2.0], [0.5, 3.0]]), problem.outputs)
        check_predictability(
            dataclasses.replace(problem, observations=far), simulate(problem, 1200)
        )


def test_answers_of_other_parameters_are_not_compared() -> None:
    x = np.random.default_rng(0).normal([0, 10], 1, (400, 2))
    one, other = (
        Samples(x, None, np.ones(400), names, ("y",)) for names in (("a", "b"), ("b", "a"))
    )
    with pytest.raises(InputError, match=r"same parameters .* got \['a', 'b'\] and \['b', 'a'\]"):
        compare(one, other)


def test_the_posterior_of_a_stochastic_model_must_predict_the_observation() -> None:
    def noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + rng.normal(size=x.shape)

    problem = Problem(noisy, Prior(x=stats.norm()), [1.0], stochastic=True, question="posterior")
    right = np.random.default_rng(1).normal(0.5, math.sqrt(0.5), (4000, 1))
    one = dataclasses.replace(draws(right), names=("x",))
    assert validate(problem, one).verdict == "consistent"
    far = dataclasses.replace(draws(right - 8), names=("x",))
    assert validate(problem, far).verdict == "not consistent"


@pytest.mark.parametrize("n", [1000, 1900, 4000])
def test_a_combination_that_no_draw_predicts_is_caught_with_few_draws_too(n: int) -> None:
    """Each output is among its like; that they differ by so much is not."""

    def twins(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + 0.01 * rng.normal(size=(len(x), 2))

    seen, x = np.array([[1.5, -1.5]]), np.random.default_rng(1).normal(size=(n, 1))
    problem = Problem(twins, Prior(x=stats.norm()), seen, stochastic=True, question="posterior")
    found = validate(problem, Samples(x, None, np.ones(n), ("x",), problem.outputs), seed=1)
    caught = [m.output for m in found.measures if not m.passed]
    assert caught == [None]


class Posterior:
    """p(x given y) of x ~ N(0, I) in two dimensions, y = (|x1|, x2) + noise, or a lie about it."""

    sd = np.array([0.3, 0.5])

    def __init__(
        self, width: float = 1.0, bias: float = 0.0, minus: float = 0.5, near: float | None = None
    ) -> None:
        self.width, self.bias, self.minus, self.near = width, bias, minus, near

    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        scale = self.sd / np.sqrt(1 + self.sd**2)
        z = rng.normal(size=y.shape) * self.width + self._off(y)
        low = ndtr(-y[:, 0] / (1 + self.sd[0] ** 2) / scale[0])
        z[:, 0] = self.width * ndtri(low + rng.random(len(y)) * (1 - low)) + self._off(y)[:, 0]
        x = y / (1 + self.sd**2) + scale * z
        x[:, 0] *= np.where(rng.random(len(y)) < self.minus, -1, 1)
        return x

    def _off(self, y: np.ndarray) -> np.ndarray:
        if self.near is None:
            return np.full((len(y), 1), self.bias)
        return np.where(np.abs(y[:, 1:] - self.near) < 0.3, self.bias, 0)

    def knows(self, y: np.ndarray) -> np.ndarray:
        return np.full(len(y), True)

    def log_prob(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        gaps = np.stack([np.abs(x[:, 0]), x[:, 1]], axis=1) - y
        likelihood = -0.5 * np.square(gaps / self.sd).sum(axis=1)
        return np.asarray(likelihood - 0.5 * np.square(x).sum(axis=1))


class Forgetful(Posterior):
    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=y.shape)


SEEN = np.array([[1.0, -0.6]])


@pytest.fixture(scope="module")
def folded() -> tuple[Problem, Simulations]:
    def model(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        clean = np.stack([np.abs(x[:, 0]), x[:, 1]], axis=1)
        return clean + Posterior.sd * rng.normal(size=x.shape)

    prior = Prior(x1=stats.norm(), x2=stats.norm())
    problem = Problem(model, prior, SEEN, stochastic=True, question="posterior")
    return problem, simulate(problem, 20_000, seed=1)


def judged(
    folded: tuple[Problem, Simulations], inverse: Posterior, answer: Posterior | None = None,
    **more: object,
) -> Validation:  # fmt: skip
    x = (answer or inverse).draw(np.repeat(SEEN, 1500, axis=0), seed=11)
    samples = Samples(x, None, np.ones(1500), ("x1", "x2"), ("y1", "y2"))
    problem, simulations = folded
    return validate(problem, samples, simulations=simulations, inverse=inverse, seed=2, **more)


def test_an_exact_posterior_is_consistent_and_says_how_well_it_covers(
    folded: tuple[Problem, Simulations],
) -> None:
    exact = Posterior()
    found = judged(folded, exact, log_prob=exact.log_prob, members=[exact, Posterior()])
    assert found.verdict == "consistent", found.reasons
    assert "of 666 held-out x" in found.reasons[1]
    calibration = json.loads(json.dumps(found.to_dict()))["info"]["calibration"]
    assert calibration["by_density"]
    for level in (0.5, 0.8, 0.95):
        assert calibration["coverage"][f"{level:g}"] == pytest.approx(level, abs=0.06)
    assert found["ensemble disagreement"] < 0.2


@pytest.mark.parametrize(
    ("lie", "figure"),
    [
        (Posterior(width=1.4), "coverage at 50 %"),
        (Posterior(width=0.7), "coverage at 80 %"),
        (Posterior(bias=0.6), "ranks"),
        (Posterior(minus=0.0), "ranks"),
        (Posterior(minus=0.2), "ranks"),
        (Posterior(bias=1.5, near=-0.6), "ranks nearby"),
        (Forgetful(), "self-consistency C2ST"),
    ],
)
def test_every_lie_of_a_posterior_is_caught(
    lie: Posterior, figure: str, folded: tuple[Problem, Simulations]
) -> None:
    found = judged(folded, lie)
    assert found.verdict == "not consistent"
    assert figure in {m.name for m in found.measures if not m.passed}, found.reasons


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_a_fault_about_an_observation_in_the_tail_is_seen_from_near(bias: float) -> None:
    """y = x1 + x2, and one held-out pair in sixty is as the observation and as wrong."""

    class Level:
        def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
            off = np.where(np.abs(y - 3) < 0.3, bias, 0.0)
            z = np.sqrt(0.5) * (off + np.random.default_rng(seed).normal(size=y.shape))
            return np.hstack([y / 2 + z, y / 2 - z])

        def knows(self, y: np.ndarray) -> np.ndarray:
            return np.full(len(y), True)

    x = np.random.default_rng(4).normal(size=(5000, 2))
    heldout = Simulations(x, x.sum(axis=1, keepdims=True), ("x1", "x2"), ("y",), x[:0], {})
    measures = nearby(Level(), heldout, np.array([[3.0]]), 1)
    failed = {m.name for m in measures if not m.passed}
    assert {m.name for m in measures} == {"ranks nearby", "ranks nearest", "local C2ST"}
    assert ("ranks nearest" in failed) == bool(bias)
    assert "ranks nearby" not in failed


def test_the_reason_names_what_is_wrong(folded: tuple[Problem, Simulations]) -> None:
    narrow = " ".join(judged(folded, Posterior(width=0.7)).reasons)
    assert "the draws are too narrow" in narrow
    assert "too wide" not in narrow


def test_draws_that_are_not_the_inverse_s_have_no_evidence(
    folded: tuple[Problem, Simulations],
) -> None:
    found = judged(folded, Posterior(), answer=Posterior(width=1.6))
    failed = {m.name for m in found.measures if not m.passed}
    assert failed <= {"answer against inverse KS", "answer against inverse C2ST"}
    assert found.verdict == "not consistent"


def test_members_that_disagree_are_a_reason(folded: tuple[Problem, Simulations]) -> None:
    found = judged(folded, Posterior(), members=[Posterior(), Posterior(bias=1)])
    assert {m.name for m in found.measures if not m.passed} == {"ensemble disagreement"}


def test_an_observation_from_another_model_is_not_answerable() -> None:
    """Both columns are in the simulated range, and no x gives them together."""

    def model(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.hstack([x, x]) + 0.1 * rng.normal(size=(len(x), 2))

    prior = Prior(x=stats.norm())
    problem = Problem(model, prior, [[1.0, -1.0]], stochastic=True, question="posterior")
    x = np.random.default_rng(1).normal(0, 0.07, (3000, 1))
    samples = Samples(x, None, np.ones(3000), ("x",), ("y1", "y2"))
    found = validate(problem, samples, simulations=simulate(problem, 5000, seed=1))
    assert found.verdict == "not answerable"
    assert found.reasons[0].startswith(("outside jointly", "prior predictive depth"))
    seen = lambda y: y[:, :1]  # noqa: E731
    again = validate(problem, samples, simulations=simulate(problem, 5000, seed=1), embed=seen)
    assert again["prior predictive depth"] < 0.99


@pytest.mark.parametrize(
    ("c2st", "moved", "verdict", "doubted"),
    [
        (0.85, 0.6, "consistent", True),
        (0.85, 0.1, "consistent", False),
        (0.60, 0.6, "consistent", False),
        (0.85, 0.6, "not consistent", False),
    ],
)
def test_a_baseline_that_is_another_answer_is_a_reservation(
    c2st: float, moved: float, verdict: Verdict, doubted: bool
) -> None:
    answer = Validation("consistent", ("the outputs agree",), (), {})
    baseline = Validation(verdict, ("so do these",), (), {})
    found = beside(answer, baseline, {"C2ST in x": c2st, "largest Wasserstein-1 in x / sd": moved})
    assert found.verdict == "consistent"
    assert found.reasons[-1] == "the outputs agree"
    assert (len(found.reasons) == 2) == doubted
    assert not doubted or "another answer (C2ST in x 0.85, up to 0.60 sd" in found.reasons[0]
    refused = Validation("not consistent", ("too wide",), (), {})
    assert beside(refused, baseline, {"C2ST in x": 0.9, "largest Wasserstein-1 in x / sd": 2}) == (
        refused
    )


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (500, "too few simulations were held out to judge"),
        (2000, r"66 held-out simulations are few .* with 2\d to 7\d %; run more"),
        (20_000, None),
    ],
)
def test_a_calibration_that_would_pass_much_says_so(n: int, said: str | None) -> None:
    """y = x1 + x2 + N(0, 1), its posterior exact."""
    problem = Problem(lambda x: x.sum(axis=1), Prior(x1=stats.norm(), x2=stats.norm()), [[0.5]],
                      noise={"normal": 1.0}, question="posterior")  # fmt: skip

    class Posterior(Exact):
        def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
            rng = np.random.default_rng(seed)
            total = 2 * y[:, :1] / 3 + math.sqrt(2 / 3) * rng.normal(size=(len(y), 1))
            return super().draw(total, seed=seed + 1)

    inverse = Posterior()
    answer = draws(inverse.draw(np.full((2000, 1), 0.5), seed=3))
    found = validate(
        problem, answer, simulations=simulate(problem, n, seed=2), inverse=inverse, seed=1
    )
    assert found.verdict == "consistent", found.reasons
    told = [r for r in found.reasons if r.startswith("with a reservation")]
    assert len(told) == (said is not None)
    assert said is None or re.search(said, told[0])


def test_two_answers_are_compared_with_their_costs() -> None:
    a = draws(exact_sum(2000, 1), method="cgan", seconds=2.0, model_evaluations=10)
    b = draws(exact_sum(2000, 2), method="mcmc", seconds=4.0, effective_samples=100.0)
    found = compare(a, b)
    assert found["C2ST in x"] < 0.53
    assert found["model_evaluations (cgan)"] == 10
    assert found["effective draws a second (mcmc)"] == 25
    far = compare(draws(exact_sum(2000, 1) + 1), b)
    assert far["C2ST in x"] > 0.7
    assert far["largest Wasserstein-1 in x / sd"] > 1


def test_weights_count(sum_problem: Problem) -> None:
    """Draws of the prior, weighed by the ratio of the laws of their output, are exact draws."""
    x = np.random.default_rng(1).normal(size=(20_000, 2))
    y = add(x)[:, 0]
    ratio = stats.norm(1, 0.5).pdf(y) / stats.norm(0, math.sqrt(2)).pdf(y)
    blind = draws(x)
    weighed = dataclasses.replace(blind, weights=ratio / ratio.mean())
    assert validate(sum_problem, blind, seed=1).verdict == "not consistent"
    found = validate(sum_problem, weighed, seed=1)
    assert found.verdict == "consistent", found.reasons
    exact = draws(exact_sum(20_000, 3))
    assert compare(weighed, exact)["C2ST in x"] < 0.53 < compare(blind, exact)["C2ST in x"]


@pytest.mark.parametrize("weights", [np.ones(49), -np.ones(50), np.zeros(50), np.full(50, np.nan)])
def test_weights_that_are_none_are_refused(weights: np.ndarray, sum_problem: Problem) -> None:
    wrong = dataclasses.replace(draws(exact_sum(50, 1)), weights=weights)
    with pytest.raises(InputError, match="the 50 samples need as many weights"):
        validate(sum_problem, wrong)


def test_too_few_draws_are_refused(sum_problem: Problem) -> None:
    with pytest.raises(InputError, match="20 samples"):
        validate(sum_problem, draws(exact_sum(10, 1)))


def clipped(x: np.ndarray) -> np.ndarray:
    return np.maximum(x[:, :1] + x[:, 1:], 0)


@pytest.mark.parametrize("model", [clipped, lambda x: (x[:, :1] > 0.6) * 1.0])
def test_exact_draws_of_outputs_that_repeat_values_pass(
    model: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Nearest neighbours and densities can say nothing of them; they once refused every answer."""
    prior, rng = Prior(x1=stats.norm(), x2=stats.norm()), np.random.default_rng(3)
    truth = prior.sample(40_000, rng)
    truth = truth[rng.random(len(truth)) < np.exp(-0.5 * model(truth)[:, 0])]
    problem = Problem(model, prior, model(truth[:1500]))
    simulations = simulate(problem, 8000, seed=1)
    found = validate(problem, draws(truth[2000:4000]), simulations=simulations, seed=1)
    assert found.verdict == "consistent", found.reasons
    assert all(np.isfinite(m.value) or m.passed for m in found.measures)


@pytest.mark.slow
def test_values_that_repeat_far_from_the_observations_take_no_check_away() -> None:
    """A threshold keeps half of the prior's outputs; the others have a density."""

    def model(x: np.ndarray) -> np.ndarray:
        total, difference = x.sum(axis=1), x[:, 0] - x[:, 1]
        return np.stack([np.maximum(total, 0), difference], axis=1)

    prior = Prior(x1=stats.norm(), x2=stats.norm())
    y = stats.norm([2, 0], 0.3).rvs((3500, 2), random_state=np.random.default_rng(3))
    x = np.stack([y[:, 0] + y[:, 1], y[:, 0] - y[:, 1]], axis=1) / 2
    for rows, told in ((y[:1500], True), (np.vstack([y[:1500], [[0, 0]]]), False)):
        problem = Problem(model, prior, rows)
        simulations = simulate(problem, 8000, seed=1)
        answer = dataclasses.replace(draws(x[1500:]), outputs=problem.outputs)
        found = validate(problem, answer, simulations=simulations, seed=1)
        assert found.verdict == "consistent", found.reasons
        mass = [m for m in found.measures if m.name == "explained mass"]
        assert bool(mass) == told
        assert found["KL gap"] < 0.2
        chain = run_mcmc(problem, simulations, walkers=8, steps=40)
        assert ("repeated" in chain.info["message"]) != told


def test_one_observed_value_is_judged_without_a_distance_from_the_prior() -> None:
    problem = Problem(lambda x: x[:, :1] + x[:, 1:], Prior(x1=stats.norm(), x2=stats.norm()),
                      np.full((40, 1), 0.3))  # fmt: skip
    simulations = simulate(problem, 4000, seed=1)
    x = exact_sum(500, 1)
    y = np.full((500, 1), 0.3)
    assert distance_to_prior(problem, x, y, simulations, 1) == []
