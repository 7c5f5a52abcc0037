"""Ready problems: their known answers are the answers, checked by roads of their own."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from invgan.errors import InputError
from invgan.gallery import (
    PROBLEMS,
    _oscillator,
    _pushforward_density,
    _rosenbrock,
    get,
    oscillator,
    root_ratio,
    rosenbrock,
)
from invgan.metrics import c2st, kl_divergence
from invgan.observations import Law, Table
from invgan.simulation import evaluate

SCALAR = ["rosenbrock", "root-ratio"]


@pytest.fixture(scope="module")
def gallery():
    return {name: get(name) for name in PROBLEMS}


def observed(problem, n, seed):
    seen = problem.observations
    return seen.rows if isinstance(seen, Table) else seen.sample(n, np.random.default_rng(seed))


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_draws_push_forward_to_the_observations(gallery, name):
    ready = gallery[name]
    x = ready.exact(5000, 1)
    assert x.shape == (5000, len(ready.problem.prior.names))
    assert np.all(ready.problem.prior.support.contains(x))
    y = evaluate(ready.problem, x)
    assert c2st(y, observed(ready.problem, 5000, 2), most=2500) < 0.53


def chances_of_agreement(a, b):
    """p-values of the two-sample KS test, one for each column."""
    return [stats.ks_2samp(u, v).pvalue for u, v in zip(a.T, b.T, strict=True)]


@pytest.mark.parametrize("name", PROBLEMS)
def test_over_many_seeds_their_push_forward_is_the_observed_law(gallery, name):
    """A law is drawn anew with every seed; a table is compared once with many exact draws."""
    problem, exact = gallery[name].problem, gallery[name].exact
    if isinstance(problem.observations, Table):
        y = problem.model(exact(50_000, 1))
        assert min(chances_of_agreement(y, problem.observations.rows)) > 0.001
    else:
        pairs = [
            (problem.model(exact(500, s)), observed(problem, 500, 1000 + s)) for s in range(40)
        ]
        chances = np.array([chances_of_agreement(*pair) for pair in pairs])
        assert min(stats.kstest(c, stats.uniform.cdf).pvalue for c in chances.T) > 0.001


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_draws_belong_to_the_seed(gallery, name):
    exact = gallery[name].exact
    assert np.array_equal(exact(50, 1), exact(50, 1))
    assert not np.any(exact(50, 1) == exact(50, 2))


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_prior_reaches_the_observations_but_is_not_the_answer(gallery, name):
    problem = gallery[name].problem
    y = evaluate(problem, problem.prior.sample(20_000, np.random.default_rng(3)))
    target = observed(problem, 5000, 4)
    low, high = y.min(axis=0), y.max(axis=0)
    assert np.all((target > low) & (target < high))
    assert max(stats.ks_2samp(u, v).statistic for u, v in zip(y.T, target.T, strict=True)) > 0.2


def recorded_roots(monkeypatch, name):
    """The roots that a problem's exact sampler was built from, with its range of outputs."""
    seen = []
    monkeypatch.setattr("invgan.gallery._rejection", lambda *a: seen.append(a))
    PROBLEMS[name]()
    return seen[0]


@pytest.mark.parametrize("name", SCALAR)
def test_the_quadrature_of_the_push_forward_against_simulations(monkeypatch, name):
    problem, roots, low, high = recorded_roots(monkeypatch, name)
    edges = np.linspace(low, high, 13)
    y = problem.model(problem.prior.sample(1_000_000, np.random.default_rng(5)))[:, 0]
    counts = np.histogram(y, edges)[0]
    grid = np.linspace(low, high, 121)
    density = _pushforward_density(problem, roots, grid)
    for i, count in enumerate(counts):
        cell = slice(10 * i, 10 * i + 11)
        expected = trapezoid(density[cell], grid[cell]) * len(y)
        assert count == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.002 * expected)


@pytest.mark.parametrize("name", SCALAR)
def test_the_roots_are_roots_and_the_slopes_are_slopes(monkeypatch, name):
    problem, roots, low, high = recorded_roots(monkeypatch, name)
    x1 = np.linspace(problem.prior.support.low[0], problem.prior.support.high[0], 50)[1:-1]
    level = (low + 2 * high) / 3
    for x2, slope in roots(x1, level):
        assert problem.model(np.stack([x1, x2], axis=1))[:, 0] == pytest.approx(level)
        step = 1e-6 * (1 + np.abs(x2))
        sides = [problem.model(np.stack([x1, x2 + s * step], axis=1))[:, 0] for s in (-1, 1)]
        assert np.abs(sides[1] - sides[0]) / (2 * step) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("name", SCALAR)
def test_along_a_level_the_answer_keeps_the_prior(gallery, name):
    """Given its output, an exact draw is a draw of the prior: both have the same x1 in a slice."""
    ready = gallery[name]
    law = ready.problem.observations
    low, high = (law.columns[0].ppf(p) for p in (0.45, 0.55))

    def sliced(x):
        y = ready.problem.model(x)[:, 0]
        return x[(y > low) & (y < high)]

    exact = sliced(ready.exact(30_000, 6))
    prior = sliced(ready.problem.prior.sample(400_000, np.random.default_rng(7)))
    assert min(len(exact), len(prior)) > 1000
    for u, v in zip(exact.T, prior.T, strict=True):
        assert stats.ks_2samp(u, v).pvalue > 0.001


def test_the_divergence_of_the_root_ratio(gallery, monkeypatch):
    """KL(P_X || q) = KL(P_Y || q_Y): by quadrature over outputs, and from draws of x."""
    ready = gallery["root-ratio"]
    problem, roots, low, high = recorded_roots(monkeypatch, "root-ratio")
    grid = np.linspace(low, high, 1201)
    log_p = problem.observations.log_prob(grid[:, None])
    gap = log_p - np.log(_pushforward_density(problem, roots, grid))
    assert trapezoid(np.exp(log_p) * gap, grid) == pytest.approx(ready.divergence, abs=0.001)
    unit = ready.problem.prior.support.high - ready.problem.prior.support.low
    prior = ready.problem.prior.sample(20_000, np.random.default_rng(8))
    estimate = kl_divergence(ready.exact(20_000, 9) / unit, prior / unit)
    assert estimate == pytest.approx(ready.divergence, abs=0.08)


def linear_map(problem):
    """The matrix (L, D) of a linear model."""
    return problem.model(np.eye(len(problem.prior.names))).T


def test_the_linear_gaussian_answer_in_closed_form(gallery):
    """X = A^+ Y + (I - A^+ A) Z, so that cov X = A^+ C A^+' + I - A^+ A."""
    ready = gallery["linear-gaussian"]
    A = linear_map(ready.problem)
    law = ready.problem.observations.joint
    lift = np.linalg.pinv(A)
    mean = lift @ law.mean
    cov = lift @ law.cov @ lift.T + np.eye(10) - lift @ A
    x = ready.exact(100_000, 10)
    assert x.mean(axis=0) == pytest.approx(mean, abs=0.015)
    assert np.abs(np.cov(x.T) - cov).max() < 0.025
    divergence = 0.5 * (np.trace(cov) + mean @ mean - 10 - np.linalg.slogdet(cov)[1])
    assert ready.divergence == pytest.approx(divergence, rel=1e-9)


def test_the_oscillator_against_its_closed_form():
    """u(t) = u0 e^(-c t) (cos W t + c / W sin W t) with W^2 = w^2 - c^2."""
    x = get("oscillator").problem.prior.sample(500, np.random.default_rng(11))
    w, c, start = (column[:, None] for column in x.T)
    W, t = np.sqrt(w**2 - c**2), np.array([1.0, 2.0, 3.0])
    exact = start * np.exp(-c * t) * (np.cos(W * t) + c / W * np.sin(W * t))
    assert oscillator(x) == pytest.approx(exact, abs=1e-7)


def test_the_oscillator_is_one_to_one():
    """Its Jacobian keeps its sign, and no two far draws of the prior have the same outputs."""
    problem = _oscillator().problem
    x = problem.prior.sample(4000, np.random.default_rng(12))
    step = 1e-5 * np.eye(3)
    columns = [(oscillator(x + s) - oscillator(x - s)) / 2e-5 for s in step]
    sizes = np.linalg.det(np.stack(columns, axis=2)) / x[:, 2]
    assert sizes.max() < -0.02
    x = x / x.std(axis=0)
    y = oscillator(x * problem.prior.sample(4000, np.random.default_rng(12)).std(axis=0))
    i, j = np.random.default_rng(13).integers(4000, size=(2, 1_000_000))
    far = np.linalg.norm(x[i] - x[j], axis=1) > 1
    assert np.linalg.norm(y[i] - y[j], axis=1)[far].min() > 0.01


def test_models_at_known_points():
    assert rosenbrock(np.array([[1.0, 1.0], [0.0, 0.0], [-1.0, 2.0]])).tolist() == [[0], [1], [104]]
    assert root_ratio(np.array([[0.75, 0.0], [0.0, 5.0]])).tolist() == [[0.5], [1]]


def test_the_observed_laws_have_no_mass_beyond_the_exact_sampler_s_range(monkeypatch):
    for name in SCALAR:
        problem, _, low, high = recorded_roots(monkeypatch, name)
        assert isinstance(problem.observations, Law)
        (law,) = problem.observations.columns
        assert law.cdf(low) + law.sf(high) < 1e-8


def test_an_unknown_name_lists_the_known():
    with pytest.raises(InputError, match=r"no problem 'rosenbork'; it has rosenbrock, root-ratio"):
        get("rosenbork")


def test_exact_draws_of_another_law_would_not_pass():
    """The same check finds draws whose observed law is off by a fifth of its width."""
    ready = _rosenbrock()
    x = ready.exact(20_000, 1)
    y = rosenbrock(x)[:, 0]
    tilt = np.exp(0.2 * (y - 350) / 50)
    kept = x[np.random.default_rng(14).random(len(x)) < tilt / tilt.max()][:5000]
    target = observed(ready.problem, 5000, 2)[:, 0]
    assert stats.ks_2samp(rosenbrock(kept)[:, 0], target).pvalue < 0.001
