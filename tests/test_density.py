import numpy as np
import pytest
from scipy import stats

from invgan.density import fit_density, observed_log_prob
from invgan.errors import InputError
from invgan.observations import as_observations

N = 20_000


class TwoHumps:
    def rvs(self, size, random_state):
        left = random_state.random(size) < 0.3
        return np.where(left, random_state.normal(-2, 0.3, size), random_state.normal(2, 1, size))

    def logpdf(self, y):
        left, right = stats.norm(-2, 0.3).logpdf(y), stats.norm(2, 1).logpdf(y)
        return np.logaddexp(np.log(0.3) + left, np.log(0.7) + right)


LAWS = {
    "normal": (stats.norm(3, 2), 0.05),
    "lognormal": (stats.lognorm(1, scale=1e3), 0.06),
    "ten decades": (stats.lognorm(4), 0.09),
    "heavy tails": (stats.cauchy(5, 1e-3), 0.09),
    "a hard bound": (stats.expon(7, 1e-6), 0.06),
    "two hard bounds": (stats.uniform(-1, 2), 0.06),
    "a pole at the bound": (stats.chi2(1), 0.08),
    "many orders of magnitude": (stats.loguniform(1e-6, 1e6), 0.13),
    "two humps": (TwoHumps(), 0.09),
}


def rms_in_bulk(fitted, log_p, rows):
    """Root mean square error of the log-density over the likeliest 98 % of rows."""
    truth = log_p(rows)
    error = (fitted.log_prob(rows) - truth)[np.argsort(truth)[len(rows) // 50 :]]
    return np.sqrt(np.mean(error**2))


@pytest.mark.parametrize("name", LAWS)
def test_one_output_against_its_closed_form(name):
    law, limit = LAWS[name]
    rng = np.random.default_rng(1)
    fitted = fit_density(law.rvs(size=N, random_state=rng)[:, None])
    rows = np.sort(law.rvs(size=N, random_state=rng))[N // 100 : -N // 100, None]
    assert rms_in_bulk(fitted, lambda y: law.logpdf(y[:, 0]), rows) < limit


@pytest.mark.parametrize(("L", "limit"), [(2, 0.06), (5, 0.1)])
def test_correlated_outputs_against_their_closed_form(L, limit):
    law = stats.multivariate_normal(np.arange(L), 0.2 * np.eye(L) + 0.8)
    rng = np.random.default_rng(2)
    fitted = fit_density(law.rvs(N, random_state=rng))
    assert rms_in_bulk(fitted, law.logpdf, law.rvs(N, random_state=rng)) < limit
    assert fitted.heldout == pytest.approx(-law.entropy(), abs=0.08)


def test_a_curved_cloud_beats_the_best_normal():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2 * N, 2))
    y = np.stack([x[:, 0], x[:, 0] ** 2 + 0.3 * x[:, 1]], axis=1)
    truth = stats.norm.logpdf(x).sum(axis=1) - np.log(0.3)
    fitted = fit_density(y[:N])
    normal = stats.multivariate_normal(y[:N].mean(axis=0), np.cov(y[:N].T))
    assert np.mean(truth[N:] - fitted.log_prob(y[N:])) < 0.03
    assert np.mean(truth[N:] - normal.logpdf(y[N:])) > 0.5


@pytest.mark.parametrize("n", [50, 2000])
def test_a_density_adds_up_to_one(n):
    y = np.random.default_rng(4).lognormal(size=(n, 1))
    grid = np.concatenate([-np.geomspace(1e5, 1e-6, 100_001), np.geomspace(1e-6, 1e5, 100_001)])
    heights = np.exp(fit_density(y).log_prob(grid[:, None]))
    assert np.trapezoid(heights, grid) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("L", [1, 2])
def test_other_units_shift_the_log_density_by_their_logarithm(L):
    y = np.random.default_rng(5).gamma(2.0, size=(2000, L)).cumsum(axis=1)
    there = fit_density(1024.0 * y).log_prob(1024.0 * y)
    assert there == pytest.approx(fit_density(y).log_prob(y) - L * np.log(1024.0), abs=1e-6)


def test_the_heldout_figure_is_the_entropy_and_a_wrong_density_has_a_worse_one():
    law, wrong = stats.norm(0, 1), stats.norm(0.5, 1.5)
    rng = np.random.default_rng(6)
    rows = law.rvs(size=(N, 1), random_state=rng)
    right, lie = fit_density(rows), fit_density(wrong.rvs(size=(N, 1), random_state=rng))
    divergence = np.mean(law.logpdf(rows) - wrong.logpdf(rows))
    assert right.heldout == pytest.approx(-law.entropy(), abs=0.03)
    assert abs(right.gap) < 0.03
    assert right.heldout - lie.log_prob(rows).mean() == pytest.approx(divergence, abs=0.05)


def test_the_gap_shows_a_fit_with_too_few_rows():
    rows = np.random.default_rng(7).normal(size=(N, 8))
    assert fit_density(rows[:40]).gap > 1 > 20 * abs(fit_density(rows).gap)


def test_constant_columns_contribute_nothing():
    y = np.random.default_rng(8).normal(size=(500, 2))
    with_constant = np.insert(y, 1, 4.0, axis=1)
    assert np.array_equal(
        fit_density(with_constant).log_prob(with_constant), fit_density(y).log_prob(y)
    )
    assert np.array_equal(fit_density(np.ones((20, 2))).log_prob(np.ones((3, 2))), np.zeros(3))


@pytest.mark.parametrize("L", [1, 2])
def test_ties_and_rows_far_away_stay_finite(L):
    rng = np.random.default_rng(9)
    counts = rng.poisson(0.7, size=(1000, L)).astype(float)
    clipped = np.maximum(rng.normal(size=(1000, L)), 0)
    for y in (counts, clipped, np.where(counts > 4, 1.0, 0.0)):
        fitted = fit_density(y)
        far = np.full((3, L), [[1e2], [1e4], [1e6]]) * np.ones(L)
        assert np.isfinite(fitted.log_prob(y)).all()
        assert np.isfinite(fitted.log_prob(far)).all()
        assert np.all(np.diff(fitted.log_prob(far)) < 0)


def test_the_seed_decides_and_numpys_global_generator_is_left_alone():
    y = np.random.default_rng(10).normal(size=(2000, 2)) ** 3
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (fit_density(y, seed=s).log_prob(y) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_blocks_of_rows_do_not_change_the_answer():
    y = np.random.default_rng(11).normal(size=(9000, 2))
    fitted = fit_density(y[:1000])
    assert fitted.log_prob(y)[5000:5010] == pytest.approx(fitted.log_prob(y[5000:5010]), abs=1e-12)
    assert fitted.log_prob(y[:0]).shape == (0,)


def test_too_few_or_broken_rows_are_refused():
    with pytest.raises(InputError, match="10 or more rows"):
        fit_density(np.zeros((9, 1)))
    with pytest.raises(InputError, match="10 or more rows"):
        fit_density(np.zeros(100))
    with pytest.raises(InputError, match="1 of 20 rows are not finite"):
        fit_density(np.where(np.arange(20) == 3, np.nan, 1.0)[:, None])


def test_few_observed_rows_have_no_tail_that_outweighs_them():
    """One row in n + 1 of a Cauchy law made the answer six times as wide under a wide prior."""
    rows = np.random.default_rng(0).normal(0, 1, (20, 1))
    log_prob = observed_log_prob(as_observations(rows))
    far = np.geomspace(10, 1000, 4000)
    grid = np.concatenate([-far[::-1], np.linspace(-10, 10, 4001)[1:-1], far])
    p = np.exp(log_prob(grid[:, None]))
    mass = np.trapezoid(p, grid)
    assert mass == pytest.approx(1, abs=0.02)
    assert np.trapezoid(p * grid**2, grid) / mass < 2 * rows.var()
    assert np.isfinite(log_prob(np.array([[1e6]]))).all()


def test_observations_are_exact_for_a_law_and_fitted_for_a_table():
    law = stats.norm(2, 0.5)
    y = np.linspace(1, 3, 41)[:, None]
    rows = law.rvs(size=(N, 1), random_state=np.random.default_rng(12))
    exact, fitted = (observed_log_prob(as_observations(o), seed=0) for o in (law, rows))
    assert np.array_equal(exact(y), law.logpdf(y[:, 0]))
    assert fitted(y) == pytest.approx(exact(y), abs=0.1)
    assert not np.array_equal(fitted(y), exact(y))
