"""Scales of the networks: bijections that end inside the support and make the prior normal."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from invgan.errors import InputError
from invgan.priors import Box, Dirichlet, MultivariateNormal, Prior, PriorLike
from invgan.scaling import OutputScaling, ParameterScaling

COV = [[1.0, 2.7], [2.7, 9.0]]


class Triangle:
    """A prior of one's own: 0 < u < v < 1, uniform."""

    names = ("u", "v")
    support = Box(np.zeros(2), np.ones(2))

    def sample(self, n, rng):
        return np.sort(rng.random((n, 2)), axis=1)

    def log_prob(self, x):
        return np.where(x[:, 0] < x[:, 1], np.log(2), -np.inf)


PRIORS: dict[str, PriorLike] = {
    "two bounds": Prior(a=stats.uniform(-2, 4), b=stats.beta(2, 5, 10, 1e-3)),
    "lower bound": Prior(a=stats.lognorm(1), b=stats.gamma(0.5, loc=-7), c=stats.expon(3, 1e6)),
    "upper bound": Prior(a=stats.weibull_max(2), b=stats.gumbel_r(1, 2)),
    "no bound": Prior(a=stats.norm(5, 1e-4), b=stats.t(2), c=stats.cauchy()),
    "ten decades": Prior(a=stats.loguniform(1e-5, 1e5), b=stats.lognorm(4)),
    "humps at the bounds": Prior(a=stats.beta(0.3, 0.3)),
    "correlated": MultivariateNormal([1, -50], COV),
    "proportions": Dirichlet([0.5, 1, 3, 10]),
    "two proportions": Dirichlet([2, 5]),
    "of one's own": Triangle(),
}
SCALES = {name: ParameterScaling.fit(p, np.random.default_rng(1)) for name, p in PRIORS.items()}


@pytest.mark.parametrize("name", PRIORS)
def test_there_and_back(name):
    x = PRIORS[name].sample(5000, np.random.default_rng(2))
    scale = SCALES[name]
    e = scale.to_network(x)
    assert e.shape == (5000, scale.dimension)
    back = scale.to_parameters(e)
    assert back.shape == x.shape
    near_bound = 1e-14 * np.ptp(x, axis=0)
    assert np.all(np.abs(back - x) <= 1e-9 * np.abs(x) + near_bound)
    assert scale.to_network(back) == pytest.approx(e, abs=1e-4)


@pytest.mark.parametrize("name", PRIORS)
def test_the_prior_becomes_standard_normal(name):
    e = SCALES[name].to_network(PRIORS[name].sample(20_000, np.random.default_rng(3)))
    for column in e.T:
        assert stats.kstest(column, stats.norm.cdf).statistic < 0.02
    assert 3 < np.abs(e).max() < 6


@pytest.mark.parametrize("name", sorted(set(PRIORS) - {"correlated", "of one's own"}))
def test_the_slope_carries_the_density_over(name):
    """N(e) |de/dx| is the prior's density where the parameters are independent of each other."""
    x = PRIORS[name].sample(20_000, np.random.default_rng(5))
    e = SCALES[name].to_network(x)
    error = stats.norm.logpdf(e).sum(axis=1) + SCALES[name].log_slope(x) - PRIORS[name].log_prob(x)
    exact = isinstance(PRIORS[name], Prior)
    assert np.median(np.abs(error)) < (0.01 if exact else 0.12)
    assert np.quantile(np.abs(error), 0.99) < (0.1 if exact else 0.6)


def test_the_slope_is_finite_on_the_bounds_and_none_beyond_them():
    scale = SCALES["two bounds"]
    x = np.array([[-2, 10.0005], [2, 10.0005], [-2.1, 10.0005], [0, 10.002]])
    found = stats.norm.logpdf(scale.to_network(x)).sum(axis=1) + scale.log_slope(x)
    truth = PRIORS["two bounds"].log_prob(x)
    assert found[:2] == pytest.approx(truth[:2], abs=1)
    assert np.all(found[2:] == -np.inf)


@pytest.mark.parametrize("name", ["correlated", "of one's own", "proportions"])
def test_the_slope_is_the_determinant_of_the_derivatives(name):
    x = PRIORS[name].sample(50, np.random.default_rng(6))
    free = x.shape[1] - SCALES[name].simplex
    step = 1e-6 * x.std(axis=0)
    columns = []
    for j in range(free):
        away = np.zeros(x.shape[1])
        away[j] = step[j]
        if SCALES[name].simplex:
            away[-1] = -step[j]
        up, down = (SCALES[name].to_network(x + sign * away) for sign in (1, -1))
        columns.append((up - down) / (2 * step[j]))
    found = np.log(np.abs(np.linalg.det(np.stack(columns, axis=2))))
    assert np.median(np.abs(found - SCALES[name].log_slope(x))) < 1e-4


@pytest.mark.parametrize("name", ["two bounds", "lower bound", "no bound", "ten decades"])
def test_exact_quantiles_are_exact(name):
    prior, scale = PRIORS[name], SCALES[name]
    scores = np.linspace(-4, 4, 33)
    x = prior.quantile(stats.norm.cdf(scores))
    assert scale.to_network(x) == pytest.approx(np.tile(scores[:, None], x.shape[1]), abs=1e-3)


def test_correlation_is_kept_and_stick_breaking_makes_proportions_independent():
    normal = SCALES["correlated"].to_network(
        PRIORS["correlated"].sample(20_000, np.random.default_rng(4))
    )
    assert np.corrcoef(normal.T)[0, 1] == pytest.approx(0.9, abs=0.01)
    sticks = SCALES["proportions"].to_network(
        PRIORS["proportions"].sample(20_000, np.random.default_rng(4))
    )
    assert np.abs(np.corrcoef(sticks.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("name", PRIORS)
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_any_finite_answer_of_a_network_is_in_the_support(name, data):
    finite = st.floats(allow_nan=False, allow_infinity=False)
    scale = SCALES[name]
    e = data.draw(hnp.arrays(float, (8, scale.dimension), elements=finite))
    x = scale.to_parameters(e)
    assert np.all(np.isfinite(x))
    assert np.all(PRIORS[name].support.contains(x))


@pytest.mark.parametrize("name", PRIORS)
def test_a_scale_survives_json(name):
    text = json.dumps(SCALES[name].to_dict(), allow_nan=False)
    again = ParameterScaling.from_dict(json.loads(text))
    e = np.random.default_rng(5).normal(0, 3, (500, again.dimension))
    assert np.array_equal(again.to_parameters(e), SCALES[name].to_parameters(e))
    x = PRIORS[name].sample(500, np.random.default_rng(6))
    assert np.array_equal(again.to_network(x), SCALES[name].to_network(x))


def test_parameters_on_their_bounds_are_cut_at_six():
    """A draw can round to a bound; its score must not be far from all others."""
    box = SCALES["two bounds"].to_network(np.array([[-2.0, 10.0], [2.0, 10 + 1e-3]]))
    assert np.array_equal(box, [[-6, -6], [6, 6]])
    corners = SCALES["proportions"].to_network(np.eye(4))
    assert corners[0, 0] == 6
    assert np.all(np.abs(corners) <= 6)


def test_small_concentrations_keep_their_small_proportions():
    """Most draws round to a corner, and the others span hundreds of orders of magnitude."""
    prior = Dirichlet([0.05, 0.05, 0.05])
    scale = ParameterScaling.fit(prior, np.random.default_rng(1))
    x = prior.sample(5000, np.random.default_rng(2))
    back = scale.to_parameters(scale.to_network(x))
    assert np.abs(back - x).max() < 1e-12
    seen = x[:, 0] > 1e-250
    assert back[seen, 0] == pytest.approx(x[seen, 0], rel=1e-6)
    assert stats.kstest(scale.to_network(x)[:, 0], stats.norm.cdf).statistic < 0.03


class Fixed(stats.rv_continuous):
    """A law that is all but a point."""

    def _ppf(self, q):
        return np.full_like(q, 0.5)


def test_a_parameter_without_spread_is_refused():
    prior = Prior(a=stats.norm(), b=Fixed(a=0, b=1, name="fixed")())
    with pytest.raises(InputError, match="prior of 'b' has no spread; leave a fixed parameter out"):
        ParameterScaling.fit(prior, np.random.default_rng(0))


OUTPUTS = np.stack(
    [
        stats.cauchy().rvs(20_000, random_state=np.random.default_rng(7)),
        stats.loguniform(1e-9, 1e9).rvs(20_000, random_state=np.random.default_rng(8)),
        np.full(20_000, 3.0),
    ],
    axis=1,
)


def test_outputs_become_normal_scores_cut_at_six():
    scale = OutputScaling.fit(OUTPUTS)
    scores = scale.to_network(OUTPUTS)
    for column in scores[:, :2].T:
        assert stats.kstest(column, stats.norm.cdf).statistic < 0.03
    assert np.all(scores[:, 2] == 0)
    far = scale.to_network(np.array([[1e300, 1e300, 1e300], [-1e300, -1e300, -1e300]]))
    assert np.array_equal(far[:, [0, 2]], [[6, 6], [-6, -6]])
    assert np.all(np.abs(far) <= 6)


def test_an_output_scale_survives_json():
    scale = OutputScaling.fit(OUTPUTS)
    again = OutputScaling.from_dict(json.loads(json.dumps(scale.to_dict(), allow_nan=False)))
    assert np.array_equal(again.to_network(OUTPUTS), scale.to_network(OUTPUTS))


def traces(n: int = 4000):
    """Two channels of five times; the second lies elsewhere, and some ends are missing."""
    rng = np.random.default_rng(9)
    y = rng.gamma(2, size=(n, 1)) * np.exp(-np.arange(10) / 3) + rng.normal(0, 0.1, (n, 10))
    y[:, 5:] += 1000
    y[: n // 2, 4] = y[: n // 2, 9] = np.nan
    return y


GROUPS = (0,) * 5 + (1,) * 5


def test_columns_of_a_group_share_one_map_and_keep_their_order():
    """Own maps flatten the decay of a trace: every time has median zero."""
    y = traces()
    shared, own = OutputScaling.fit(y, GROUPS), OutputScaling.fit(y)
    assert len(shared.maps) == 2
    same = shared.to_network(np.repeat([[0.5, 1000.5]], 5, axis=1))
    assert np.all(np.ptp(same.reshape(2, 5), axis=1) == 0)
    medians = np.nanmedian(shared.to_network(y), axis=0).reshape(2, 5)
    assert np.all(np.diff(medians, axis=1) < -0.1)
    assert np.abs(np.nanmedian(own.to_network(y), axis=0)).max() < 0.05


def test_a_group_is_normal_as_a_whole():
    y = traces()
    scores = OutputScaling.fit(y, GROUPS).to_network(y)
    for channel in (scores[:, :5], scores[:, 5:]):
        seen = channel[~np.isnan(channel)]
        assert stats.kstest(seen, stats.norm.cdf).statistic < 0.02


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_absent_values_stay_absent_and_leave_no_trace(groups):
    y = traces()
    scale = OutputScaling.fit(y, groups)
    scores = scale.to_network(y)
    assert np.array_equal(np.isnan(scores), np.isnan(y))
    assert np.nanmax(np.abs(scores)) <= 6
    if groups is None:
        seen = OutputScaling.fit(y[len(y) // 2 :, 4:5]).to_network(y[:, 4:5])
        assert np.array_equal(scores[:, 4:5], seen, equal_nan=True)


def test_a_shared_scale_of_very_many_values_is_that_of_some_of_them():
    y = np.random.default_rng(10).normal(size=(40_000, 60))
    scores = OutputScaling.fit(y, [0] * 60).to_network(y[:2000])
    assert scores == pytest.approx(y[:2000], abs=0.3)


def test_a_shared_scale_survives_json_and_files_without_groups_are_read():
    y = traces()
    scale = OutputScaling.fit(y, GROUPS)
    again = OutputScaling.from_dict(json.loads(json.dumps(scale.to_dict(), allow_nan=False)))
    assert again.groups == GROUPS
    assert np.array_equal(again.to_network(y), scale.to_network(y), equal_nan=True)
    assert set(OutputScaling.fit(y).to_dict()) == {"maps"}
    assert OutputScaling.from_dict({"maps": OutputScaling.fit(y).to_dict()["maps"]}).groups is None


@pytest.mark.parametrize("groups", [(0,) * 9, (0,) * 5 + (2,) * 5, (1,) * 10, (0.5,) * 10])
def test_groups_that_do_not_number_the_columns_are_refused(groups):
    with pytest.raises(InputError, match="groups must give each of the 10 outputs a number"):
        OutputScaling.fit(traces(50), groups)


def test_an_output_that_was_never_seen_is_refused():
    y = traces(50)
    y[:, 3] = np.nan
    with pytest.raises(InputError, match="0 values were seen of output 4; two or more are needed"):
        OutputScaling.fit(y)
    assert np.isnan(OutputScaling.fit(y, GROUPS).to_network(y)[:, 3]).all()
    y[:, 5:] = np.nan
    with pytest.raises(InputError, match="0 values were seen of output 6, 7, 8, 9, 10"):
        OutputScaling.fit(y, GROUPS)
