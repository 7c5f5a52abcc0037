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
