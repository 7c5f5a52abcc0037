"""Truncated priors: right laws inside, nothing outside, and regions that lose what they may."""

import json

import numpy as np
import pytest
from scipy import stats

from invgan.errors import InputError
from invgan.priors import Box, Dirichlet, MultivariateNormal, Prior, PriorLike
from invgan.ratio import LogOdds, fit_log_odds
from invgan.scaling import ParameterScaling
from invgan.truncation import Region, Truncated, mass_of, narrowed

pytestmark = pytest.mark.usefixtures("whole_classifier")

SQUARE = Prior(a=stats.uniform(-1, 2), b=stats.uniform(-1, 2))
NORMAL = Prior(a=stats.norm(), b=stats.lognorm(0.5))


def rng(seed=0):
    return np.random.default_rng(seed)


def box(low, high):
    return Region(np.array(low, float), np.array(high, float))


def disc(n, seed):
    """A normal cloud of sd 0.05 in the square."""
    return rng(seed).normal([0.3, -0.4], 0.05, (n, 2))


def moons(n, seed):
    """Two thin crescents far apart in the square."""
    r = rng(seed)
    a, radius, side = r.uniform(-1.5, 1.5, n), r.normal(0.1, 0.01, n), r.choice([-1, 1], n)
    return side[:, None] * np.stack([0.4 + radius * np.cos(a), radius * np.sin(a)], axis=1)


@pytest.fixture(scope="module")
def crescents():
    return narrowed(SQUARE, moons(20_000, 1), seed=2)


def test_draws_follow_the_prior_inside_the_box():
    cut = Truncated(NORMAL, [box([-0.5, 1.2], [2, 3])])
    x, whole = cut.sample(20_000, rng(1)), NORMAL.sample(200_000, rng(2))
    whole = whole[np.all((whole >= [-0.5, 1.2]) & (whole <= [2, 3]), axis=1)]
    assert cut.contains(x).all()
    for j in range(2):
        assert stats.ks_2samp(x[:, j], whole[:, j]).pvalue > 1e-3
    assert cut.mass == pytest.approx(len(whole) / 200_000, rel=0.02)


def test_a_box_far_out_is_drawn_at_once_and_its_mass_is_exact():
    cut = Truncated(NORMAL, [box([9, 0], [9.01, np.inf])])
    assert cut.mass == pytest.approx(stats.norm.sf(9) - stats.norm.sf(9.01), rel=1e-9)
    x = cut.sample(5000, rng())
    uniform = (stats.norm.sf(x[:, 0]) - stats.norm.sf(9)) / (stats.norm.sf(9.01) - stats.norm.sf(9))
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_the_density_is_the_priors_over_its_mass(crescents):
    x = SQUARE.sample(200_000, rng(3))
    inside, density = crescents.contains(x), np.exp(crescents.log_prob(x))
    assert np.array_equal(density > 0, inside)
    assert density.mean() * 4 == pytest.approx(1, abs=0.06)
    assert np.allclose(density[inside], 0.25 / crescents.mass)


def test_a_truncated_prior_is_a_prior(crescents):
    assert isinstance(crescents, PriorLike)
    assert crescents.names == SQUARE.names
    assert np.array_equal(crescents.sample(100, rng(4)), crescents.sample(100, rng(4)))
    assert crescents.sample(0, rng()).shape == (0, 2)
    scaling = ParameterScaling.fit(crescents, rng(5))
    e = scaling.to_network(crescents.sample(20_000, rng(6)))
    assert np.abs(e.mean(axis=0)).max() < 0.05
    assert np.abs(e.std(axis=0) - 1).max() < 0.05
    assert isinstance(crescents.support, Box)
    assert crescents.support.contains(scaling.to_parameters(3 * rng(7).normal(size=(500, 2)))).all()


@pytest.mark.parametrize(
    ("cloud", "smallest", "largest"), [(disc, 0.02, 0.05), (moons, 0.01, 0.04)]
)
def test_a_region_loses_what_it_may_and_little_else_is_left(cloud, smallest, largest):
    cut = narrowed(SQUARE, cloud(40_000, 1), miss=1e-3, seed=2)
    assert 1 - cut.contains(cloud(100_000, 3)).mean() < 1.5e-3
    assert smallest < mass_of(cut) < largest


def test_more_may_be_lost_for_a_smaller_region():
    small = narrowed(SQUARE, moons(20_000, 1), miss=0.05, seed=2)
    assert 0.02 < 1 - small.contains(moons(50_000, 3)).mean() < 0.06
    assert mass_of(small) < mass_of(narrowed(SQUARE, moons(20_000, 1), miss=1e-3, seed=2))


def test_a_classifier_that_knows_nothing_costs_room_not_truth(monkeypatch):
    """Weights at random: the level still keeps its promise, and the region is large."""

    def nonsense(p, q, *, seed):
        weights = rng(8).normal(size=(p.shape[1], 1))
        return LogOdds(((weights, np.zeros(1)),))

    monkeypatch.setattr("invgan.truncation.narrowing.fit_log_odds", nonsense)
    cut = narrowed(SQUARE, moons(40_000, 1), seed=2)
    assert 1 - cut.contains(moons(100_000, 3)).mean() < 1.5e-3
    assert mass_of(cut) > 0.05


def test_regions_are_nested(crescents):
    again = narrowed(crescents, moons(20_000, 4) + 0.03, seed=5)
    x = SQUARE.sample(100_000, rng(6))
    assert not np.any(again.contains(x) & ~crescents.contains(x))
    assert len(again.regions) == 2


def test_a_region_survives_json_to_the_last_bit(crescents):
    region = crescents.regions[0]
    back = Region.from_dict(json.loads(json.dumps(region.to_dict())))
    x = SQUARE.sample(50_000, rng(7))
    assert np.array_equal(back.contains(x), region.contains(x))
    alone = Region.from_dict(json.loads(json.dumps(box([0, 0], [1, 1]).to_dict())))
    assert np.array_equal(alone.contains(x), np.all(x >= 0, axis=1))
    rebuilt = Truncated(SQUARE, [back])
    assert np.array_equal(
        rebuilt.sample(50, rng(8)), Truncated(SQUARE, [region]).sample(50, rng(8))
    )


def test_units_do_not_matter():
    unit = np.array([1e-9, 1e9])
    prior = Prior(a=stats.uniform(-1e-9, 2e-9), b=stats.uniform(-1e9, 2e9))
    cut = narrowed(prior, moons(20_000, 1) * unit, seed=2)
    assert 1 - cut.contains(moons(50_000, 3) * unit).mean() < 2e-3
    assert mass_of(cut) < 0.04


def test_proportions_stay_proportions():
    prior = Dirichlet(np.ones(3))
    draws = Dirichlet([60, 30, 10])
    cut = narrowed(prior, draws.sample(20_000, rng(1)), seed=2)
    x = cut.sample(2000, rng(3))
    assert np.allclose(x.sum(axis=1), 1)
    assert cut.contains(draws.sample(20_000, rng(4))).mean() > 0.998
    assert mass_of(cut) < 0.25
    assert cut.support == prior.support


def test_a_thread_in_many_dimensions_is_cut_by_its_box_alone():
    prior = Prior({f"x{j}": stats.uniform(-1, 2) for j in range(8)})
    t = rng(1).normal(0, 0.1, (20_000, 1))
    thread = t + rng(2).normal(0, 1e-4, (20_000, 8))
    cut = narrowed(prior, thread, seed=3)
    assert cut.regions[0].odds is None
    assert 1e-4 < mass_of(cut) < 0.1


def test_what_rejection_cannot_hit_is_left_as_it_is():
    prior = MultivariateNormal(np.zeros(2), np.eye(2))
    assert narrowed(prior, 1e-4 * rng().normal(size=(1000, 2)), seed=1) is prior
    assert mass_of(prior) == 1
    cut = Truncated(SQUARE, [box([0, 0], [1, 1])])
    assert narrowed(cut, disc(500, 1) - 1, seed=1) is cut


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Truncated(SQUARE, [box([0, 0], [1, 1]), box([-1, -1], [0, 0])]), "no point in"),
        (
            lambda: Truncated(MultivariateNormal([0, 0], np.eye(2)), [box([9, 9], [10, 10])]),
            "0 of 50000 draws hit",
        ),
        (lambda: narrowed(SQUARE, disc(99, 1)), "got 99 draws"),
        (lambda: narrowed(SQUARE, disc(500, 1), miss=0), "miss=0"),
    ],
)
def test_refusals(build, said):
    with pytest.raises(InputError, match=said):
        build()


def test_log_odds_are_those_of_the_clouds():
    """N(1, 1) over N(0, 1): log-odds x - 1/2."""
    p, q = rng(1).normal(1, 1, (8000, 1)), rng(2).normal(0, 1, (8000, 1))
    odds = fit_log_odds(p, q, seed=3)
    x = np.linspace(-1, 2, 31)[:, None]
    assert np.abs(odds(x) - (x[:, 0] - 0.5)).max() < 0.25
    assert np.array_equal(LogOdds.from_dict(odds.to_dict())(x), odds(x))
