"""The population behind noise: closed forms are found, the averaged posterior is not taken for it,
and a likelihood that lies is found out by the model."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from invgan.errors import CorrectionError, InputError
from invgan.metrics import energy_distance
from invgan.mixing import iterate
from invgan.mixing.between import columns_between
from invgan.mixing.evidence import PARTS, choose_rows, normalise, weigh
from invgan.mixing.steps import averaged, maximise
from invgan.priors import Prior
from invgan.problem import Problem

MEAN, SD, NOISE = 1.0, 0.3, 0.5
SEEN = stats.norm(MEAN, math.hypot(SD, NOISE))
QUICK = {"n": 3000, "pairs": 400_000}


def noisy(x, rng):
    return x + rng.normal(0, NOISE, x.shape)


def deconvolution(observations=SEEN, **settings):
    """x ~ N(0, 1), y = x + N(0, 0.5^2); the population is N(1, 0.3^2)."""
    prior = Prior(x=stats.norm())
    return Problem(noisy, prior, observations, **{"stochastic": True, **settings})


class Exact:
    """The exact inverse of the deconvolution, or one whose likelihood lies.

    The lies: outputs off by a bias, noise of another size, or none at all of the dependence.
    """

    def __init__(self, bias=0.0, size=1.0, blind=False):
        self.bias, self.noise, self.blind = bias, NOISE * size, blind

    def draw(self, y, *, seed=0):
        keep = 1 / (1 + self.noise**2)
        z = np.random.default_rng(seed).normal(size=y.shape)
        return keep * (y - self.bias) + math.sqrt(keep) * self.noise * z

    def log_ratio(self, x, y):
        if self.blind:
            return np.zeros(len(x))
        log_q = stats.norm.logpdf(y, self.bias, math.hypot(1, self.noise))
        return (stats.norm.logpdf(y, x + self.bias, self.noise) - log_q)[:, 0]


class Plate:
    """The plate whose coefficients carry noise, its exact inverse on a grid of parameters."""

    def __init__(self, cells=40):
        side = (np.arange(cells) + 0.5) * 2 / cells
        self.grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
        self.half = 1 / cells

    @staticmethod
    def model(x, rng):
        e = rng.normal(0, 0.075, x.shape)
        first = 3 + (0.6 + e[:, 0]) * x[:, 0] + 0.6 * x[:, 1]
        second = 3 + 0.8 * x[:, 0] + (0.6 + e[:, 1]) * x[:, 1]
        return np.stack([first, second], axis=1)

    @staticmethod
    def box(n, seed):
        return np.random.default_rng(seed).uniform([0.85, 1.6], [1.45, 1.8], (n, 2))

    @staticmethod
    def log_ratio(x, y):
        """Up to a function of y, which cancels."""
        sd = 0.075 * x
        mean = np.stack([0.6 * x[:, 0] + 0.6 * x[:, 1], 0.8 * x[:, 0] + 0.6 * x[:, 1]], axis=1) + 3
        return -0.5 * np.square((y - mean) / sd).sum(axis=1) - np.log(sd).sum(axis=1)

    def draw(self, y, *, seed=0):
        rng = np.random.default_rng(seed)
        return np.concatenate([self._draw(y[i : i + 200], rng) for i in range(0, len(y), 200)])

    def _draw(self, y, rng):
        sd, g = 0.075 * self.grid, self.grid
        mean = np.stack([0.6 * g[:, 0] + 0.6 * g[:, 1], 0.8 * g[:, 0] + 0.6 * g[:, 1]], axis=1) + 3
        gap = sum(np.square((y[:, [j]] - mean[:, j]) / sd[:, j]) for j in (0, 1))
        ends = np.cumsum(np.exp(-0.5 * gap) / sd.prod(axis=1), axis=1)
        cell = (ends < rng.random((len(y), 1)) * ends[:, -1:]).sum(axis=1)
        return g[np.minimum(cell, len(g) - 1)] + rng.uniform(-self.half, self.half, (len(y), 2))


@pytest.fixture(scope="module")
def answer():
    return iterate(deconvolution(), Exact(), **QUICK, seed=1)


def test_the_population_is_found_and_the_averaged_posterior_is_not(answer):
    rounds = answer.info["rounds"]
    assert answer.info["converged"] is True
    assert stats.kstest(answer.y[:, 0], SEEN.cdf).statistic < 0.04
    assert answer.x.mean() == pytest.approx(MEAN, abs=0.05)
    assert answer.x.std() == pytest.approx(SD, abs=0.05)
    assert rounds[0]["steps"] == 1 < rounds[-1]["steps"]
    assert rounds[0]["ks"]["y"] > 0.12
    assert rounds[0]["c2st"] > 0.56
    assert rounds[-1]["c2st"] < 0.53
    assert [r["kept"] for r in rounds] == [False] * (len(rounds) - 1) + [True]


def test_the_first_step_is_the_averaged_posterior_of_the_closed_form():
    rng = np.random.default_rng(0)
    x = Exact().draw(SEEN.rvs((20_000, 1), random_state=rng), seed=1)
    keep = 1 / (1 + NOISE**2)
    wide = math.sqrt(keep**2 * (SD**2 + NOISE**2) + keep * NOISE**2)
    assert x.std() == pytest.approx(wide, rel=0.02)
    assert wide > 2 * SD


def evidence(n=1500, m=500, seed=0, rows=None):
    rng = np.random.default_rng(seed)
    seen = deconvolution(SEEN.rvs((m, 1), random_state=rng) if rows is None else rows)
    nodes = choose_rows(seen, m, rng)
    x = Exact().draw(seen.observations.representative(n, rng), seed=seed)
    return weigh(Exact(), x, nodes, lambda done: None)[0]


@pytest.mark.slow
def test_steps_follow_the_closed_form_of_gaussians():
    """One step from N(m, v) to observations N(a, c): the posterior mean and variance, averaged."""
    found = evidence(6000, 1000, rows=SEEN.ppf((np.arange(5000) + 0.5)[:, None] / 5000))
    w, x, mean, variance = np.ones(6000), found.x[:, 0], 0.0, 1.0
    for _ in range(3):
        keep = variance / (variance + NOISE**2)
        mean = mean + keep * (MEAN - mean)
        variance = keep**2 * (SD**2 + NOISE**2) + keep * NOISE**2
        assert np.average(x, weights=w) == pytest.approx(mean, abs=0.03)
        assert np.average((x - mean) ** 2, weights=w) == pytest.approx(variance, rel=0.06)
        w = w * (found.ratios @ (1 / (found.ratios.T @ w))) * 6000 / found.ratios.shape[1]


def test_steps_stop_before_the_answer_shrinks_to_atoms():
    found = evidence()
    mixture = maximise(found)
    assert 5 < mixture.steps < 100
    assert mixture.gain > 0.05
    x, w = found.x[:, 0], mixture.weights
    sd = math.sqrt(np.average((x - np.average(x, weights=w)) ** 2, weights=w))
    assert sd == pytest.approx(SD, abs=0.08)
    assert np.allclose(averaged(found).weights, 1)


def test_few_rows_carry_few_steps():
    assert maximise(evidence(m=20, seed=3)).steps < 40


def test_a_factor_of_the_outputs_alone_changes_nothing():
    class Scaled(Exact):
        def log_ratio(self, x, y):
            return super().log_ratio(x, y) + 3 * np.sin(5 * y[:, 0]) - 40

    rng = np.random.default_rng(0)
    seen = deconvolution(SEEN.rvs((200, 1), random_state=rng))
    rows = choose_rows(seen, 200, rng)
    x = Exact().draw(seen.observations.representative(800, rng), seed=1)
    one, two = (weigh(kind(), x, rows, lambda done: None)[0] for kind in (Exact, Scaled))
    assert np.allclose(one.ratios, two.ratios, atol=1e-4)
    assert two.log_top.mean() < one.log_top.mean() - 30


@pytest.mark.slow
def test_a_factor_of_the_parameters_alone_is_found_and_taken_out():
    """What a learnt inverse adds to the likelihood of some parameters, whatever the outputs."""

    class Tilted(Exact):
        def log_ratio(self, x, y):
            return super().log_ratio(x, y) + 0.8 * np.sin(6 * x[:, 0])

    rng = np.random.default_rng(0)
    seen = deconvolution()
    rows = choose_rows(seen, 300, rng)
    x = Exact().draw(seen.observations.representative(1000, rng), seed=1)
    y = noisy(np.tile(x, (8, 1)), rng)
    found = []
    for kind in (Exact, Tilted):
        raw, _ = weigh(kind(), x, rows, lambda done: None)
        even = normalise(
            kind(), raw, np.ones(len(raw.x)), y, 300, np.random.default_rng(3), lambda done: None
        )
        for some in (raw, even):
            w = maximise(some).weights
            mean = np.average(x[:, 0], weights=w)
            found.append((mean, math.sqrt(np.average((x[:, 0] - mean) ** 2, weights=w))))
    exact, even, tilted, mended = found
    assert even == pytest.approx(exact, abs=0.03)
    assert mended == pytest.approx(exact, abs=0.03)
    assert tilted[1] > exact[1] + 0.1


def between(log_ratio, rows=120, outputs=2, seed=0):
    """Columns of 100 candidates at 400 rows, those of the first few known; and the true ones."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(100, outputs)), rng.normal(size=(400, outputs))
    logs = log_ratio(x[:, None], y[None]).astype(np.float32)
    return columns_between(logs[:, :rows], y[:rows], y), logs


def test_rows_between_others_get_their_own_likelihood():
    def bent(x, y):
        return -2 * np.square(y - x - 0.3 * np.sin(2 * x)).sum(axis=-1) / (1 + 0.2 * y[..., 0] ** 2)

    found, true = between(bent)
    posteriors = [np.exp(some - some.max(axis=0)) for some in (found, true)]
    found, true = (some / some.sum(axis=0) for some in posteriors)
    assert np.abs(found - true).sum(axis=0).mean() / 2 < 0.02


def test_rows_are_not_interpolated_where_that_would_not_be_faithful():
    def smooth(x, y):
        return -2 * np.square(y - x).sum(axis=-1)

    def cliff(x, y):
        return np.where(np.abs(y - x).max(axis=-1) < 0.4, 0, -40)

    assert between(smooth)[0] is not None
    assert between(cliff)[0] is None
    assert between(smooth, rows=40)[0] is None
    assert between(smooth, outputs=7)[0] is None
    line = np.repeat(np.linspace(-1, 1, 60)[:, None], 2, axis=1)
    assert columns_between(np.zeros((30, 60), np.float32), line, np.ones((90, 2))) is None


def test_rows_are_spread_evenly_and_parts_are_kept_apart():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1500, 2))
    prior = Prior(a=stats.norm(), b=stats.norm())
    rows = choose_rows(Problem(noisy, prior, table, stochastic=True), 200, rng)
    assert len(rows.asked) == len(np.unique(rows.asked)) == 200
    assert np.bincount(rows.part).tolist() == [1500 // PARTS] * PARTS
    assert len(np.unique(rows.nodes)) == 1500
    chance = [energy_distance(table[rng.choice(1500, 200)], table, most=1500) for _ in range(10)]
    assert energy_distance(rows.y, table, most=1500) < np.mean(chance)


@pytest.mark.parametrize("n", [20, 300])
def test_tables_of_any_size_are_answered(n):
    table = SEEN.rvs((n, 1), random_state=np.random.default_rng(2))
    found = iterate(deconvolution(table), Exact(), 1500, seed=3, pairs=150_000)
    assert found.info["converged"] is True
    assert 0.1 < found.x.std() < 0.7
    assert found.info["rounds"][-1]["kept"]


@pytest.mark.slow
def test_the_noisy_plate_is_reproduced_where_one_step_is_not():
    plate = Plate()
    prior = Prior(x1=stats.uniform(0, 2), x2=stats.uniform(0, 2))
    table = plate.model(plate.box(3000, 1), np.random.default_rng(2))
    problem = Problem(plate.model, prior, table, stochastic=True)
    found = iterate(problem, plate, 3000, seed=3, pairs=1_600_000)
    first, last = found.info["rounds"][0], found.info["rounds"][-1]
    assert found.info["converged"] is True
    assert first["c2st"] > 0.55
    assert last["c2st"] < 0.53
    assert np.isfinite(prior.log_prob(found.x)).all()
    assert found.info["distinct"] > 0.8
    exact = plate.box(3000, 5)
    one_step = plate.draw(table, seed=4)
    assert energy_distance(found.x, exact) < 0.6 * energy_distance(one_step, exact)


@pytest.mark.parametrize(
    ("lie", "proposals"),
    [({"bias": 0.3}, 1), pytest.param({"size": 1.3}, 2, marks=pytest.mark.slow)],
)
def test_a_likelihood_that_lies_is_mended_by_the_model(lie, proposals):
    """A shift of a normal law is a factor of x times one of y; another noise is not."""
    found = iterate(deconvolution(), Exact(**lie), **QUICK, seed=1)
    assert found.info["converged"] is True
    assert len(found.info["rounds"]) > proposals
    assert stats.kstest(found.y[:, 0], SEEN.cdf).statistic < 0.05
    assert found.x.mean() == pytest.approx(MEAN, abs=0.1)


def test_a_likelihood_that_knows_nothing_is_found_out():
    found = iterate(deconvolution(), Exact(blind=True), 600, seed=1, rounds=2, pairs=50_000)
    assert found.info["converged"] is False
    assert "can still be told from the observations" in found.info["message"]
    assert "simulate.n" in found.info["message"]
    assert sum(r["kept"] for r in found.info["rounds"]) == 1


def test_outputs_are_the_models_own_and_counted(answer):
    rounds = answer.info["rounds"]
    assert answer.info["method"] == "cgan-iterated"
    assert answer.info["model_evaluations"] == 3000 * len(rounds)
    assert (answer.y - answer.x).std() == pytest.approx(NOISE, rel=0.06)
    assert abs(np.corrcoef((answer.y - answer.x)[:, 0], answer.x[:, 0])[0, 1]) < 0.06
    assert len(answer) == 3000
    assert np.all(answer.weights == 1)
    assert answer.info["distinct"] > 0.9


def test_rounds_that_were_stopped_do_not_run_the_model_again(tmp_path):
    rows = []

    def counted(x, rng):
        rows.append(len(x))
        return noisy(x, rng)

    def stop(done, total):
        if len(rows) == 2:
            raise KeyboardInterrupt

    problem = replace(deconvolution(), model=counted)
    small = {"n": 3000, "pairs": 10_000, "rounds": 1, "seed": 4}
    with pytest.raises(KeyboardInterrupt):
        iterate(problem, Exact(), **small, scratch=tmp_path, progress=stop)
    before = list(rows)
    again = iterate(problem, Exact(), **small, scratch=tmp_path)
    assert before == [1024, 1024]
    assert sum(rows) == again.info["model_evaluations"]
    assert np.array_equal(again.y, iterate(deconvolution(), Exact(), **small).y)


def test_the_same_seed_gives_the_same_draws_and_progress_reaches_its_end():
    seen = []
    small = {"n": 200, "pairs": 10_000, "rounds": 1, "seed": 4}
    a = iterate(deconvolution(), Exact(), **small, progress=lambda *done: seen.append(done))
    b = iterate(deconvolution(), Exact(), **small)
    other = iterate(deconvolution(), Exact(), **{**small, "seed": 5})
    assert np.array_equal(a.x, b.x)
    assert np.array_equal(a.y, b.y)
    assert not np.array_equal(a.x, other.x)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


def test_draws_beyond_the_prior_and_failed_runs_are_left_out():
    def broken(x, rng):
        return np.where(x > 1.8, np.nan, noisy(x, rng))

    prior = Prior(x=stats.uniform(-3, 5))
    found = iterate(
        Problem(broken, prior, SEEN, stochastic=True), Exact(), 1000, pairs=50_000, rounds=1
    )
    assert found.x.max() <= 1.8
    assert np.isfinite(found.y).all()
    assert found.info["not_finite"] > 0
    nowhere = Problem(noisy, Prior(x=stats.uniform(50, 1)), SEEN, stochastic=True)
    with pytest.raises(CorrectionError, match="where the prior does"):
        iterate(nowhere, Exact(), 100, pairs=10_000)


def test_what_is_no_question_for_it_is_refused():
    with pytest.raises(InputError, match=r"deterministic.*use correct"):
        iterate(deconvolution(stochastic=False), Exact())
    with pytest.raises(InputError, match="question='population'"):
        iterate(deconvolution([1.0], question="posterior"), Exact())
    with pytest.raises(InputError, match="rounds of 1 or more; got 0"):
        iterate(deconvolution(), Exact(), rounds=0)
