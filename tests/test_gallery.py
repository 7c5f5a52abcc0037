"""Ready problems: their known answers are the answers, checked by roads of their own."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp, trapezoid
from scipy.optimize import brentq

from invgan.config import build_problem, load_config
from invgan.errors import InputError
from invgan.gallery import POPULATION, POSTERIOR, PROBLEMS, get, neuron
from invgan.gallery.algebraic import (
    chain_density,
    pushforward_density,
    root_ratio,
    root_ratio_roots,
    rosenbrock,
    rosenbrock_roots,
)
from invgan.gallery.exact import rejection
from invgan.gallery.mechanics import arm, crescent, noisy_plate, plate
from invgan.gallery.odes import herds, lotka_volterra, oscillator, sir
from invgan.metrics import c2st, kl_divergence
from invgan.observations import Law, Table
from invgan.predictability import check_predictability
from invgan.simulation import evaluate, simulate

SCALAR = {
    "rosenbrock": (rosenbrock_roots, 200, 500),
    "root-ratio": (root_ratio_roots, 0.15, 0.45),
}
QUICK_LAWS = [*SCALAR, "linear-gaussian", "linear-gaussian-50", "plate", "deconvolution"]
PLATE_BOX = np.array([[0.85, 1.6], [1.45, 1.8]])


@pytest.fixture(scope="module")
def gallery():
    return {name: get(name) for name in PROBLEMS}


@pytest.fixture(scope="module")
def answers(gallery):
    """Exact draws of the population problems and their outputs as they would be observed."""
    found = {}
    for name in POPULATION:
        x = gallery[name].exact(2500, 1)
        found[name] = x, evaluate(gallery[name].problem, x, seed=2)
    return found


def observed(problem, n, seed):
    seen = problem.observations
    return seen.rows if isinstance(seen, Table) else seen.sample(n, np.random.default_rng(seed))


def prior_draws(ready, n, seed):
    return ready.problem.prior.sample(n, np.random.default_rng(seed))


def chances_of_agreement(a, b):
    """p-values of the two-sample KS test, one for each column."""
    return [stats.ks_2samp(u, v).pvalue for u, v in zip(a.T, b.T, strict=True)]


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_simulates_and_its_observations_can_be_explained(gallery, name):
    problem = gallery[name].problem
    n = 500 if name.startswith("hodgkin") else 4000
    simulations = simulate(problem, n, seed=3, max_failures=0.001)
    assert simulations.y.shape[1] == len(problem.outputs)
    check_predictability(problem, simulations)
    again = simulate(problem, 100, seed=3)
    assert np.array_equal(again.x, simulations.x[:100])
    # A matrix product may round otherwise in another number of rows.
    assert np.allclose(again.y, simulations.y[:100], rtol=1e-9, atol=1e-12)


def test_each_question_has_its_problems(gallery):
    assert {n for n in PROBLEMS if gallery[n].problem.question == "population"} == set(POPULATION)
    assert set(PROBLEMS) == {*POPULATION, *POSTERIOR}
    for name in POPULATION:
        assert gallery[name].exact is not None
    for name in POSTERIOR:
        assert gallery[name].truth is not None


@pytest.mark.parametrize("name", POPULATION)
def test_exact_draws_push_forward_to_the_observations(gallery, answers, name):
    problem, (x, y) = gallery[name].problem, answers[name]
    assert x.shape == (2500, len(problem.prior.names))
    assert np.all(problem.prior.support.contains(x))
    assert c2st(y, observed(problem, 5000, 2)) < 0.535


@pytest.mark.parametrize("name", QUICK_LAWS)
def test_over_many_seeds_their_push_forward_is_the_observed_law(gallery, name):
    problem, exact = gallery[name].problem, gallery[name].exact
    pairs = [
        (evaluate(problem, exact(500, s), seed=s), observed(problem, 500, 1000 + s))
        for s in range(40)
    ]
    chances = np.array([chances_of_agreement(*pair) for pair in pairs])
    assert min(stats.kstest(c, stats.uniform.cdf).pvalue for c in chances.T) > 0.001


@pytest.mark.parametrize("name", [n for n in POPULATION if n not in QUICK_LAWS])
def test_their_push_forward_is_the_law_or_the_table(gallery, answers, name):
    problem, (_, y) = gallery[name].problem, answers[name]
    if isinstance(problem.observations, Table):
        assert min(chances_of_agreement(y, problem.observations.rows)) > 0.001
    else:
        for values, law in zip(y.T, problem.observations.columns, strict=True):
            assert stats.kstest(values, law.cdf).pvalue > 0.001


@pytest.mark.parametrize("name", [n for n in PROBLEMS if not n.startswith("hodgkin")])
def test_exact_draws_belong_to_the_seed(gallery, name):
    exact = gallery[name].exact
    assert np.array_equal(exact(50, 1), exact(50, 1))
    assert not np.any(exact(50, 1) == exact(50, 2))


@pytest.mark.parametrize("name", POPULATION)
def test_the_prior_is_not_the_answer(gallery, name):
    problem = gallery[name].problem
    y = evaluate(problem, prior_draws(gallery[name], 5000, 3))
    assert min(chances_of_agreement(y, observed(problem, 5000, 4))) < 1e-6


def test_exact_draws_of_another_law_would_not_pass(gallery):
    """The same check finds draws whose observed law is off by a fifth of its width."""
    ready = gallery["rosenbrock"]
    x = ready.exact(20_000, 1)
    y = rosenbrock(x)[:, 0]
    tilt = np.exp(0.2 * (y - 350) / 50)
    kept = x[np.random.default_rng(14).random(len(x)) < tilt / tilt.max()][:5000]
    target = observed(ready.problem, 5000, 2)[:, 0]
    assert stats.ks_2samp(rosenbrock(kept)[:, 0], target).pvalue < 0.001


# Scalar functions of two parameters


@pytest.mark.parametrize("name", SCALAR)
def test_the_quadrature_of_the_push_forward_against_simulations(gallery, name):
    problem, (roots, low, high) = gallery[name].problem, SCALAR[name]
    edges = np.linspace(low, high, 13)
    y = problem.model(prior_draws(gallery[name], 1_000_000, 5))[:, 0]
    counts = np.histogram(y, edges)[0]
    grid = np.linspace(low, high, 121)
    density = pushforward_density(problem, roots, grid)
    for i, count in enumerate(counts):
        cell = slice(10 * i, 10 * i + 11)
        expected = trapezoid(density[cell], grid[cell]) * len(y)
        assert count == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.002 * expected)


@pytest.mark.parametrize("name", SCALAR)
def test_the_roots_are_roots_and_the_slopes_are_slopes(gallery, name):
    problem, (roots, low, high) = gallery[name].problem, SCALAR[name]
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
    prior = sliced(prior_draws(ready, 400_000, 7))
    assert min(len(exact), len(prior)) > 1000
    assert min(chances_of_agreement(exact, prior)) > 0.001


def test_the_divergence_of_the_root_ratio(gallery):
    """KL(P_X || q) = KL(P_Y || q_Y): by quadrature over outputs, and from draws of x."""
    ready, (roots, low, high) = gallery["root-ratio"], SCALAR["root-ratio"]
    grid = np.linspace(low, high, 1201)
    log_p = ready.problem.observations.log_prob(grid[:, None])
    gap = log_p - np.log(pushforward_density(ready.problem, roots, grid))
    assert trapezoid(np.exp(log_p) * gap, grid) == pytest.approx(ready.divergence, abs=0.001)
    unit = ready.problem.prior.support.high - ready.problem.prior.support.low
    prior = prior_draws(ready, 20_000, 8)
    estimate = kl_divergence(ready.exact(20_000, 9) / unit, prior / unit)
    assert estimate == pytest.approx(ready.divergence, abs=0.08)


def test_scalar_models_at_known_points():
    assert rosenbrock(np.array([[1.0, 1.0], [0.0, 0.0], [-1.0, 2.0]])).tolist() == [[0], [1], [104]]
    assert rosenbrock(np.ones((1, 10))) == 0
    chain = np.array([[1.0, 0.0, -1.0]])
    assert rosenbrock(chain) == rosenbrock(chain[:, :2]) + rosenbrock(chain[:, 1:]) == 201
    assert root_ratio(np.array([[0.75, 0.0], [0.0, 5.0]])).tolist() == [[0.5], [1]]


def test_the_observed_laws_have_no_mass_beyond_the_exact_sampler_s_range(gallery):
    ranges = {name: spec[1:] for name, spec in SCALAR.items()} | {"rosenbrock-10": (1050, 1950)}
    for name, (low, high) in ranges.items():
        seen = gallery[name].problem.observations
        assert isinstance(seen, Law)
        assert seen.columns[0].cdf(low) + seen.columns[0].sf(high) < 1e-8


def test_rejection_needs_a_law(gallery):
    with pytest.raises(InputError, match="needs an observed law"):
        rejection(gallery["sir"].problem, np.ones_like, 0, 1)


# The chain of ten parameters


def test_the_density_of_the_chain_against_simulations(gallery):
    y = np.concatenate(
        [rosenbrock(prior_draws(gallery["rosenbrock-10"], 100_000, s))[:, 0] for s in range(5)]
    )
    edges = np.linspace(500, 9500, 19)
    grid = np.linspace(500, 9500, 361)
    density = chain_density(grid, dimension=10)
    for i, count in enumerate(np.histogram(y, edges)[0]):
        cell = slice(20 * i, 20 * i + 21)
        expected = trapezoid(density[cell], grid[cell]) * len(y)
        assert count == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_the_density_of_a_longer_chain_has_the_moments_of_its_sum():
    """With E x^2 = 4/3, E x^4 = 16/5: each term has mean 100 (4/3 + 16/5) + 1 + 4/3."""
    grid = np.linspace(0, 12 * 3609, 1001)
    density = chain_density(grid, dimension=13)
    assert trapezoid(density, grid) == pytest.approx(1, abs=1e-4)
    mean = 12 * (100 * (4 / 3 + 16 / 5) + 1 + 4 / 3)
    assert trapezoid(grid * density, grid) == pytest.approx(mean, rel=1e-4)


def test_the_divergence_of_the_chain(gallery):
    ready = gallery["rosenbrock-10"]
    grid = np.linspace(1050, 1950, 901)
    log_p = ready.problem.observations.log_prob(grid[:, None])
    gap = log_p - np.log(chain_density(grid, dimension=10))
    assert trapezoid(np.exp(log_p) * gap, grid) == pytest.approx(ready.divergence, abs=0.001)


# Gaussian populations


def linear_map(problem):
    """The matrix (L, D) of a linear model."""
    return problem.model(np.eye(len(problem.prior.names))).T


@pytest.mark.parametrize("name", ["linear-gaussian", "linear-gaussian-50"])
def test_the_linear_gaussian_answer_in_closed_form(gallery, name):
    """X = A^+ Y + (I - A^+ A) Z, so that cov X = A^+ C A^+' + I - A^+ A."""
    ready = gallery[name]
    A = linear_map(ready.problem)
    D = A.shape[1]
    law = ready.problem.observations.joint
    lift = np.linalg.pinv(A)
    mean = lift @ law.mean
    cov = lift @ law.cov @ lift.T + np.eye(D) - lift @ A
    x = ready.exact(100_000, 10)
    assert x.mean(axis=0) == pytest.approx(mean, abs=0.015)
    assert np.abs(np.cov(x.T) - cov).max() < 0.025
    divergence = 0.5 * (np.trace(cov) + mean @ mean - D - np.linalg.slogdet(cov)[1])
    assert ready.divergence == pytest.approx(divergence, rel=1e-9)


def test_the_deconvolved_law_and_the_noise_make_the_observed_one(gallery):
    ready = gallery["deconvolution"]
    law, x = ready.problem.observations.joint, ready.exact(100_000, 11)
    cov = law.cov - ready.problem.noise.scale**2 * np.eye(2)
    assert x.mean(axis=0) == pytest.approx(law.mean, abs=0.01)
    assert np.abs(np.cov(x.T) - cov).max() < 0.01
    divergence = 0.5 * (np.trace(cov) + law.mean @ law.mean - 2 - np.linalg.slogdet(cov)[1])
    assert ready.divergence == pytest.approx(divergence, rel=1e-9)


def test_the_averaged_posterior_of_the_deconvolution_is_not_the_answer(gallery):
    """One step of averaging, in closed form, pushes forward to something clearly else."""
    problem = gallery["deconvolution"].problem
    s, rng = problem.noise.scale, np.random.default_rng(12)
    keep = 1 / (1 + s**2)
    y = observed(problem, 5000, 13)
    x = keep * y + s * np.sqrt(keep) * rng.normal(size=y.shape)
    again = evaluate(problem, x, seed=14)
    assert min(chances_of_agreement(again, observed(problem, 5000, 15))) < 0.001


# Plate and arm


def test_the_answer_of_the_plate_is_the_box(gallery):
    for name in ("plate", "plate-noisy"):
        ready = gallery[name]
        x = (ready.exact(20_000, 16) - PLATE_BOX[0]) / (PLATE_BOX[1] - PLATE_BOX[0])
        for column in (*x.T, (x[:, 0] + x[:, 1]) % 1):
            assert stats.kstest(column, stats.uniform.cdf).pvalue > 0.001
        assert ready.divergence == pytest.approx(3.507, abs=0.001)
    assert gallery["plate"].known == "answer"
    assert gallery["plate-noisy"].known == "population"


def test_the_law_of_the_plate_is_uniform_and_whole(gallery):
    law = gallery["plate"].problem.observations
    y = law.sample(2000, np.random.default_rng(17))
    density = np.exp(law.log_prob(y))
    assert density == pytest.approx(np.full(2000, 1 / (0.6 * 0.2 * 0.12)))
    low, high = y.min(axis=0), y.max(axis=0)
    around = np.random.default_rng(18).uniform(low, high, (200_000, 2))
    mass = np.exp(law.log_prob(around)).mean() * np.prod(high - low)
    assert mass == pytest.approx(1, abs=0.03)


def test_the_plates_at_known_points_and_moments():
    assert plate(np.array([[1.0, 0.0], [0.0, 2.0]])) == pytest.approx(
        np.array([[3.6, 3.8], [4.2, 4.2]])
    )
    x = np.tile([[1.0, 2.0]], (200_000, 1))
    y = noisy_plate(x, np.random.default_rng(19))
    assert y.mean(axis=0) == pytest.approx(plate(x[:1])[0], abs=0.002)
    assert y.std(axis=0) == pytest.approx([0.075, 0.15], rel=0.01)
    assert abs(np.corrcoef(y.T)[0, 1]) < 0.01


def test_the_arm_at_known_points():
    quarter = np.pi / 2
    x = np.array([[0.3, 0, 0, 0], [0, quarter, 0, 0], [0, 0, quarter, 0], [0, 0, 0, -quarter]])
    ends = [[0.3, 2], [2, 0], [1.5, 0.5], [-1, 1]]
    assert arm(x) == pytest.approx(np.array(ends), abs=1e-12)
    bent = np.array([[0, 0.4, np.pi, -np.pi]])
    assert np.hypot(*arm(bent)[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "model", "preference", "n"),
    [
        ("inverse-kinematics", arm, crescent, 200_000),
        ("lotka-volterra", lotka_volterra, herds, 30_000),
    ],
)
def test_kept_members_have_the_moments_of_the_weighted_prior(
    gallery, answers, name, model, preference, n
):
    """E f(x) over the answer is E f(x) r / E r over the prior; likewise the divergence."""
    x = prior_draws(gallery[name], n, 20)
    r = preference(model(x))
    assert np.all((r >= 0) & (r <= 1))
    weights = r / r.sum()
    share = 1 / (len(r) * np.square(weights).sum())
    centre, scale = weights @ x, np.sqrt(weights @ (x - weights @ x) ** 2)

    def features(x):
        z = (x - centre) / scale
        pairs = [z[:, i] * z[:, j] for i in range(4) for j in range(i + 1)]
        return np.stack([*z.T, *pairs], axis=1)

    expected, found = weights @ features(x), features(answers[name][0])
    error = found.std(axis=0) * np.sqrt(1 / len(found) + 1 / (share * n))
    assert np.all(np.abs(found.mean(axis=0) - expected) < 5 * error)
    log_r = np.log(np.maximum(r, 1e-300))
    divergence = weights @ log_r - np.log(r.mean())
    assert divergence == pytest.approx(gallery[name].divergence, abs=0.08)


# Differential equations


def test_the_oscillator_against_its_closed_form(gallery):
    """u(t) = u0 e^(-c t) (cos W t + c / W sin W t) with W^2 = w^2 - c^2."""
    x = prior_draws(gallery["oscillator"], 500, 11)
    w, c, start = (column[:, None] for column in x.T)
    W, t = np.sqrt(w**2 - c**2), np.array([1.0, 2.0, 3.0])
    exact = start * np.exp(-c * t) * (np.cos(W * t) + c / W * np.sin(W * t))
    assert oscillator(x) == pytest.approx(exact, abs=1e-7)


def test_the_oscillator_is_one_to_one(gallery):
    """Its Jacobian keeps its sign, and no two far draws of the prior have the same outputs."""
    x = prior_draws(gallery["oscillator"], 4000, 12)
    step = 1e-5 * np.eye(3)
    columns = [(oscillator(x + s) - oscillator(x - s)) / 2e-5 for s in step]
    sizes = np.linalg.det(np.stack(columns, axis=2)) / x[:, 2]
    assert sizes.max() < -0.02
    y, x = oscillator(x), x / x.std(axis=0)
    i, j = np.random.default_rng(13).integers(4000, size=(2, 1_000_000))
    far = np.linalg.norm(x[i] - x[j], axis=1) > 1
    assert np.linalg.norm(y[i] - y[j], axis=1)[far].min() > 0.01


def test_the_peak_of_an_epidemic_in_closed_form(gallery):
    """With s0 + i0 = 1, R = b / g: the peak is 1 - (1 + log(s0 R)) / R (Kermack, McKendrick)."""
    x = prior_draws(gallery["sir"], 2000, 21)
    peak, day = sir(x).T
    R = x[:, 0] / x[:, 1]
    seen = (day > 0) & (day < 160)
    assert seen.mean() > 0.85
    expected = 1 - (1 + np.log((1 - 1e-6) * R)) / R
    assert peak[seen] == pytest.approx(expected[seen], rel=2e-3)
    assert np.median(np.abs(peak[seen] / expected[seen] - 1)) < 2e-5
    assert np.all(R[day == 0] <= 1.0001)


def test_epidemics_without_a_peak():
    y = sir(np.array([[0.1, 0.2], [0.2, 0.15]]))
    assert y[0] == pytest.approx([1e-6, 0], rel=1e-12)
    assert y[1, 1] == 160
    assert 1e-6 < y[1, 0] < 0.01


def test_a_peak_that_was_seen_gives_the_epidemic_back(gallery):
    """From the peak's height b / g, and from its day and the scaling of time g: one to one."""
    ready = gallery["sir"]
    x = np.concatenate([ready.exact(60, 22), prior_draws(ready, 60, 23)])
    y = sir(x)
    seen = (y[:, 1] > 0) & (y[:, 1] < 160)
    assert seen[:60].all()
    x, (peak, day) = x[seen], y[seen].T
    ratio = np.array(
        [brentq(lambda R, p: 1 - (1 + np.log(R)) / R - p, 1, 200, args=(p,)) for p in peak]
    )
    at_0_2 = sir(np.stack([0.2 * ratio, np.full(len(ratio), 0.2)], axis=1))[:, 1]
    assert np.all(at_0_2 < 160)
    recovery = 0.2 * at_0_2 / day
    assert np.stack([recovery * ratio, recovery], axis=1) == pytest.approx(x, rel=5e-3)


def test_prey_and_predators_against_an_adaptive_solver(gallery):
    x = prior_draws(gallery["lotka-volterra"], 4, 24)
    times = np.linspace(0, 20, 251)[1:]
    for (a, b, c, d), y in zip(x, lotka_volterra(x), strict=True):
        path = solve_ivp(
            lambda t, n, a=a, b=b, c=c, d=d: [n[0] * (a - b * n[1]), n[1] * (d * n[0] - c)],
            (0, 20), [30, 1], t_eval=times, rtol=1e-8, atol=1e-8,
        ).y  # fmt: skip
        expected = [*np.log10(path.mean(axis=1)), np.log10(path[0]).std()]
        assert y == pytest.approx(expected, abs=0.005)


# Posteriors


@pytest.mark.parametrize("name", ["linear-gaussian-posterior", "fifty"])
def test_the_gaussian_posterior_is_the_joint_law_conditioned(gallery, name):
    """Mean A' (A A' + s^2 I)^-1 y, covariance I - A' (A A' + s^2 I)^-1 A."""
    ready = gallery[name]
    problem, A = ready.problem, linear_map(ready.problem)
    gain = A.T @ np.linalg.inv(A @ A.T + problem.noise.scale**2 * np.eye(len(A)))
    mean, cov = gain @ problem.observations.rows[0], np.eye(A.shape[1]) - gain @ A
    x = ready.exact(100_000, 25)
    assert x.mean(axis=0) == pytest.approx(mean, abs=0.015)
    assert np.abs(np.cov(x.T) - cov).max() < 0.025
    distance = (ready.truth - mean) @ np.linalg.solve(cov, ready.truth - mean)
    assert 0.001 < stats.chi2(len(mean)).cdf(distance) < 0.999


def test_the_two_branches_against_a_grid(gallery):
    """Likelihood times prior on a grid of midpoints, summed into coarse cells."""
    ready = gallery["two-branches"]
    problem = ready.problem
    centres = (np.arange(1600) + 0.5) / 400 - 2
    heights = [
        np.exp(problem.noise.log_prob(problem.observations.rows, problem.model(row)))
        for row in np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
    ]
    chance = np.array(heights).reshape(40, 40, 40, 40).sum(axis=(1, 3))
    x = ready.exact(50_000, 26)
    counts = np.histogram2d(*x.T, bins=np.linspace(-2, 2, 41))[0]
    expected = (chance / chance.sum() * len(x)).ravel()
    many = expected > 5
    folded = [np.append(c.ravel()[many], c.ravel()[~many].sum()) for c in (counts, expected)]
    assert stats.chisquare(folded[0], folded[1] * len(x) / folded[1].sum()).pvalue > 0.001
    assert 0.55 < (x[:, 0] > 0).mean() < 0.65
    assert np.mean(np.abs(x[:, 0]) < 0.1) < 0.01
    shifted = np.histogram2d(*(x + 0.02).T, bins=np.linspace(-2, 2, 41))[0].ravel()
    wrong = np.append(shifted[many], len(x) - shifted[many].sum())
    assert stats.chisquare(wrong, folded[1] * len(x) / folded[1].sum()).pvalue < 0.001


# The neuron


def cell(**changes):
    return np.array(
        [[*(dict(zip(neuron.PARAMETERS, neuron.TRUTH, strict=True)) | changes).values()]]
    )


def test_a_passive_cell_charges_like_a_capacitor():
    """V = E_L + I / g_L (1 - exp(-g_L t / C)) while the current flows, and decays after it."""
    x = cell(g_Na=0, g_K=0, g_M=0, g_Ca=0)
    v, t = neuron.potential(x)[0], 0.1 * np.arange(1, 1401)
    rise = 1 - np.exp(-0.1 * np.clip(t - 20, 0, 100))
    expected = -70 + 50 * rise * np.exp(-0.1 * np.maximum(t - 120, 0))
    assert v == pytest.approx(expected, abs=1e-9)


def test_the_rates_are_the_published_ones():
    """Pospischil et al. 2008, with b_n at its published height 0.5 and slope 40."""
    v, V_T, tau = np.linspace(-95, 45, 29) + 0.123, -60.0, 1000.0
    u, e = v - V_T, np.exp
    opening, closing = neuron._kinetics(
        v, np.broadcast_to(np.array([V_T, tau, 0.5, 40.0])[:, None], (4, len(v)))
    )
    p, time = 1 / (1 + e(-(v + 35) / 10)), tau / (3.3 * e((v + 35) / 20) + e(-(v + 35) / 20))
    expected = [
        (-0.32 * (u - 13) / (e(-(u - 13) / 4) - 1), 0.28 * (u - 40) / (e((u - 40) / 5) - 1)),
        (0.128 * e(-(u - 17) / 18), 4 / (1 + e(-(u - 40) / 5))),
        (-0.032 * (u - 15) / (e(-(u - 15) / 5) - 1), 0.5 * e(-(u - 10) / 40)),
        (p / time, (1 - p) / time),
        (0.055 * (-27 - v) / (e((-27 - v) / 3.8) - 1), 0.94 * e((-75 - v) / 17)),
        (0.000457 * e((-13 - v) / 50), 0.0065 / (e((-15 - v) / 28) + 1)),
    ]
    for j, (a, b) in enumerate(expected):
        assert opening[j] == pytest.approx(a, rel=1e-9)
        assert closing[j] == pytest.approx(b, rel=1e-9)


def test_the_neuron_fires_adapts_and_falls_silent_without_sodium():
    y = neuron.hodgkin_huxley_summary(np.concatenate([cell(), cell(g_M=0), cell(g_Na=0)]))
    found = [dict(zip(neuron.SUMMARIES, row, strict=True)) for row in y]
    usual, free, silent = found
    assert 5 < usual["spikes"] < free["spikes"]
    assert silent["spikes"] == 0
    assert silent["latency"] == 100
    assert usual["latency"] < 10
    assert usual["trough"] > -100
    v = neuron.potential(np.repeat(cell(), 2, axis=0))
    assert np.array_equal(v[0], v[1])
    assert -100 < v.min() < -60
    assert 0 < v.max() < 53
    assert neuron.hodgkin_huxley_trace(cell())[0] == pytest.approx(v[0, 13::14])


def test_a_finer_step_changes_the_summaries_by_less_than_their_noise(monkeypatch):
    coarse = neuron.hodgkin_huxley_summary(cell())[0]
    monkeypatch.setattr(neuron, "STEP", 0.025)
    fine = neuron.hodgkin_huxley_summary(cell())[0]
    noise = np.array(get("hodgkin-huxley").problem.noise.scale)
    assert np.all(np.abs(fine - coarse) < 0.25 * noise)


def test_the_example_asks_what_the_gallery_asks():
    path = Path(__file__).parents[1] / "examples" / "hodgkin_huxley" / "config.yml"
    asked, ready = build_problem(load_config(path), path.parent), get("hodgkin-huxley").problem
    assert (asked.outputs, asked.question) == (ready.outputs, ready.question)
    assert asked.prior.names == ready.prior.names
    assert asked.prior.support.low == pytest.approx(ready.prior.support.low)
    assert asked.prior.support.high == pytest.approx(ready.prior.support.high)
    assert np.array_equal(asked.noise.scale, ready.noise.scale)
    assert asked.observations.rows == pytest.approx(ready.observations.rows, abs=0.00501)
    assert np.array_equal(asked.model(cell()), ready.model(cell()))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(InputError, match=r"no problem 'rosenbork'; it has rosenbrock, root-ratio"):
        get("rosenbork")
