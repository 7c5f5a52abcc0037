"""Priors: draws follow the density that is claimed for them, and nonsense is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import trapezoid

from invgan.errors import InputError
from invgan.own_prior import as_prior
from invgan.priors import Box, Dirichlet, MultivariateNormal, Prior, PriorLike, Simplex

COV = np.array([[1.0, 1.2, 0.1], [1.2, 4.0, -0.4], [0.1, -0.4, 0.25]])
UNCORRELATED = np.diag(COV.diagonal())
PRIORS = {
    "independent": Prior(a=stats.uniform(-2, 4), b=stats.norm(1, 0.5), c=stats.lognorm(0.5)),
    "one": Prior(a=stats.gamma(3, scale=2)),
    "normal": MultivariateNormal([1.0, -1.0, 0.0], COV),
    "one normal": MultivariateNormal([3.0], [[4.0]]),
    "proportions": Dirichlet([1.5, 2, 3, 0.8]),
    "two proportions": Dirichlet([2, 5]),
}


def volume_ratio(draws, log_prob, coordinates):
    """The mean of 1/p over draws in a box, as a share of the box's volume: 1 if draws are from p.

    The box holds a third of each coordinate's draws; a Dirichlet has its density in all but the
    last coordinate.
    """
    x = draws[:, :coordinates]
    low, high = np.quantile(x, [0.25, 0.6], axis=0)
    inside = np.all((x > low) & (x < high), axis=1)
    return np.mean(inside * np.exp(-log_prob(draws))) / np.prod(high - low)


def density_coordinates(prior):
    return len(prior.names) - isinstance(prior.support, Simplex)


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_density(name):
    prior = PRIORS[name]
    x = prior.sample(100_000, np.random.default_rng(1))
    assert x.shape == (100_000, len(prior.names))
    assert volume_ratio(x, prior.log_prob, density_coordinates(prior)) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize(
    ("drawn", "claimed"),
    [
        (Prior(a=stats.norm(0, 1)), Prior(a=stats.norm(0, 1.2))),
        (MultivariateNormal([1, -1, 0], COV), MultivariateNormal([1, -1, 0], UNCORRELATED)),
        (Dirichlet([1.5, 2, 3, 0.8]), Dirichlet([1.5, 2, 3, 1.2])),
    ],
)
def test_the_volume_check_finds_a_wrong_density(drawn, claimed):
    x = drawn.sample(100_000, np.random.default_rng(1))
    ratio = volume_ratio(x, claimed.log_prob, density_coordinates(drawn))
    assert abs(ratio - 1) > 0.06


@pytest.mark.parametrize("name", PRIORS)
def test_draws_live_in_the_support_and_belong_to_the_seed(name):
    prior = PRIORS[name]
    assert isinstance(prior, PriorLike)
    x = prior.sample(1000, np.random.default_rng(2))
    assert prior.support.contains(x).all()
    assert np.isfinite(prior.log_prob(x)).all()
    assert np.array_equal(x, prior.sample(1000, np.random.default_rng(2)))
    assert not np.array_equal(x, prior.sample(1000, np.random.default_rng(3)))
    assert np.allclose(prior.log_prob(x[:1]), prior.log_prob(x)[0])


@pytest.mark.parametrize(
    "law",
    [stats.norm(5, 3), stats.uniform(-2, 4), stats.beta(2, 3, -1, 2), stats.truncnorm(-1, 2)],
    ids=lambda law: law.dist.name,
)
def test_densities_integrate_to_one_and_vanish_outside(law):
    prior = Prior({"any name": law})
    grid = np.linspace(law.ppf(1e-9), law.ppf(1 - 1e-9), 20_001)[:, None]
    assert trapezoid(np.exp(prior.log_prob(grid)), grid[:, 0]) == pytest.approx(1, abs=1e-3)
    around = np.linspace(-50, 50, 1001)[:, None] + np.pi
    assert np.array_equal(prior.support.contains(around), np.isfinite(prior.log_prob(around)))


@given(st.floats(1e-9, 1 - 1e-9))
@settings(deadline=None)
def test_quantiles_undo_the_distribution_functions(p):
    prior = PRIORS["independent"]
    (row,) = prior.quantile(np.array([p]))
    back = [law.cdf(value) for law, value in zip(prior.laws.values(), row, strict=True)]
    assert back == pytest.approx([p] * 3, rel=1e-6)


def test_a_correlated_normal_has_its_covariance():
    prior = PRIORS["normal"]
    x = prior.sample(100_000, np.random.default_rng(4))
    assert np.abs(np.cov(x.T) - COV).max() < 0.05
    centred = x - [1, -1, 0]
    distances = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(COV), centred)
    assert stats.kstest(distances[:5000], stats.chi2(3).cdf).pvalue > 0.01
    expected = stats.chi2(3).logpdf(distances[:3])  # the same exponential factor
    gap = prior.log_prob(x[:3]) - expected + 0.5 * np.log(distances[:3])
    assert gap == pytest.approx(gap[0])


@pytest.mark.parametrize(
    ("mean", "cov", "said"),
    [
        ([0, 0], [[1, 0.5], [0, 1]], "symmetric"),
        ([0, 0], [[1e-9, 5e-10], [0, 1e-9]], "symmetric"),
        ([0, 0], [[1, np.nan], [np.nan, 1]], "finite"),
        ([np.nan, 0], [[1, 0], [0, 1]], "finite"),
        ([0, 0], [[1, 2], [2, 1]], "no usable covariance"),
        ([0, 0], [[1, 1], [1, 1]], "no usable covariance"),
        ([0, 0, 0], [[1, 0], [0, 1]], r"shape \(2, 2\); expected \(3, 3\)"),
    ],
)
def test_what_is_no_covariance_is_refused(mean, cov, said):
    with pytest.raises(InputError, match=said):
        MultivariateNormal(mean, cov)


def test_rounding_does_not_make_a_covariance_asymmetric():
    A = np.random.default_rng(5).normal(size=(4, 4))
    cov = A @ np.diag([1e6, 1, 1e-3, 10]) @ A.T + np.eye(4)
    MultivariateNormal(np.zeros(4), cov + 1e-10 * A)


def test_small_concentrations_whose_draws_underflow_keep_a_density():
    prior = Dirichlet([0.002, 0.01, 3.0])
    x = prior.sample(2000, np.random.default_rng(6))
    assert (x == 0).any()
    assert np.isfinite(prior.log_prob(x)).all()


def test_off_the_simplex_there_is_no_density():
    prior = Dirichlet([2, 2, 2])
    off = np.array([[0.5, 0.5, 0.5], [1.2, -0.2, 0.0], [0.2, 0.2, 0.2], [np.nan, 0.5, 0.5]])
    assert np.all(prior.log_prob(off) == -np.inf)
    assert prior.log_prob(np.array([[0.2, 0.3, 0.5]])) == pytest.approx(np.log(120 * 0.03))


@pytest.mark.parametrize("alpha", [[1.0], [1, 0], [1, -1], [1, np.nan], [1, np.inf], [[1, 2]], 3])
def test_what_is_no_concentration_is_refused(alpha):
    with pytest.raises(InputError, match="two or more positive concentrations"):
        Dirichlet(alpha)


@pytest.mark.parametrize(
    ("law", "said"),
    [
        (stats.poisson(3), r"prior of 'a' is discrete \(poisson\)"),
        (stats.norm, "frozen law of scipy.stats, .* got norm_gen"),
        (3.0, "got float"),
        (None, "got NoneType"),
        (stats.multivariate_normal([0, 0]), "got multivariate_normal_frozen"),
        (stats.norm(np.nan, 1), "define no law"),
        (stats.norm(0, -1), "define no law"),
        (stats.uniform(0, 0), "define no law"),
        (stats.norm([0, 1], 1), "holds 2 laws"),
    ],
)
def test_what_is_no_law_is_refused(law, said):
    with pytest.raises(InputError, match=said):
        Prior(a=law)


@pytest.mark.parametrize(
    ("arguments", "named", "said"),
    [
        ((), {}, "no parameters"),
        (({},), {}, "no parameters"),
        (({"a": stats.norm()},), {"a": stats.norm()}, r"got \['a'\] twice"),
        ((stats.norm(),), {}, "a name for each law"),
        (([stats.norm()],), {}, "a name for each law"),
    ],
)
def test_a_prior_needs_named_laws(arguments, named, said):
    with pytest.raises(InputError, match=said):
        Prior(*arguments, **named)


def test_names_keep_their_order_and_may_be_any_text():
    prior = Prior({"z z": stats.norm()}, laws=stats.uniform(), a=stats.expon())
    assert prior.names == ("z z", "laws", "a")
    assert MultivariateNormal([0, 0], np.eye(2)).names == ("x1", "x2")
    assert Dirichlet([1, 1], ["clay", "sand"]).names == ("clay", "sand")
    for wrong in (["a"], ["a", "a"]):
        with pytest.raises(InputError, match="expected 2 different names"):
            Dirichlet([1, 1], wrong)


@pytest.mark.parametrize(
    ("low", "high"), [([0], [0]), ([1], [0]), ([0], [np.nan]), ([0, 0], [1]), (0, 1)]
)
def test_a_box_needs_room(low, high):
    with pytest.raises(InputError, match="low < high"):
        Box(low, high)


def test_a_simplex_has_two_corners_or_more():
    with pytest.raises(InputError, match="two or more"):
        Simplex(1)


def test_a_normal_prior_may_have_parameters_of_any_sizes():
    sd = np.array([1e-9, 1e6])
    law = MultivariateNormal([1e-9, 0.0], np.outer(sd, sd) * [[1, 0.5], [0.5, 1]])
    x = law.sample(20_000, np.random.default_rng(1))
    assert np.corrcoef(x.T)[0, 1] == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(x.std(axis=0), sd, rtol=0.03)
    z = (x[:5] - [1e-9, 0.0]) / sd
    same = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).logpdf(z) - np.log(sd).sum()
    np.testing.assert_allclose(law.log_prob(x[:5]), same)


class Own:
    """A prior of one's own with one member replaced."""

    names, support = ("a", "b"), Box(np.zeros(2), np.ones(2))

    def __init__(self, **replaced):
        vars(self).update(replaced)

    def sample(self, n, rng):
        return rng.random((n, 2))

    def log_prob(self, x):
        return np.zeros(len(x))


def test_a_prior_of_ones_own_is_as_good_as_a_ready_one():
    own = Own()
    assert as_prior(own) is own


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"log_prob": lambda x: -0.5 * (x**2).sum()}, r"log_prob\(x\) must .*; got shape \(\)"),
        ({"log_prob": lambda x: np.full(len(x), -np.inf)}, r"got shape \(64,\), 0 finite"),
        ({"log_prob": lambda x: x.nonsense}, r"log_prob\(x\) raised AttributeError: .*nonsense"),
        ({"sample": lambda n, rng: np.full((n, 2), np.nan)}, "must return finite draws"),
        ({"sample": lambda n: np.zeros((n, 2))}, r"sample\(n, rng\) raised TypeError"),
        ({"sample": lambda n, rng: np.random.standard_normal((n, 2)) % 1}, "for the same rng"),  # noqa: NPY002
        ({"names": ["a", "b"]}, r"names must be a tuple of different texts; got \['a', 'b'\]"),
        ({"names": ("a", "a")}, r"names must be a tuple of different texts"),
        ({"support": [(0, 1), (0, 1)]}, r"support must be invgan.Box.* got list"),
        ({"support": Box(np.zeros(3), np.ones(3))}, "support has 3 parameters and its names 2"),
        ({"support": Box(np.zeros(2), np.full(2, 0.5))}, r"\d\d of 64 draws lie outside its supp"),
    ],
)
def test_a_prior_of_ones_own_is_tried_out(replaced, said):
    with pytest.raises(InputError, match=said):
        as_prior(Own(**replaced))
