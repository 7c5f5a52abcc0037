"""Monotone maps: inverse, increase, slope and smoothness for any knots, and normal scores."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import PchipInterpolator

from invgan.monotone import MonotoneMap, normal_scores


@st.composite
def maps(draw):
    """Knots of gaps that differ by up to six orders of magnitude."""
    steps = st.lists(st.floats(-3, 3), min_size=1, max_size=12)
    gaps = 10.0 ** np.array(draw(steps))
    rises = 10.0 ** np.array(
        draw(st.lists(st.floats(-2, 1), min_size=len(gaps), max_size=len(gaps)))
    )
    start = draw(st.floats(-100, 100))
    return MonotoneMap(start + np.cumsum([0, *gaps]), np.cumsum([-1, *rises]))  # fmt: skip


def around(knots, count=400):
    """Points in every cell and as far again beyond."""
    reach = knots[-1] - knots[0]
    inside = [np.linspace(a, b, 20) for a, b in pairwise(knots)]
    outside = np.linspace(knots[0] - reach, knots[-1] + reach, count)
    return np.unique(np.concatenate([*inside, outside]))


@given(maps())
@settings(deadline=None)
def test_the_inverse_undoes_the_map(m):
    b = around(m.b)
    assert m(m.inverse(b)) == pytest.approx(b, rel=1e-9, abs=1e-9)
    flattest = min(m.slope(around(m.a)))
    a = around(m.a)
    assert m.inverse(m(a)) == pytest.approx(a, rel=1e-9, abs=1e-12 / flattest)


@given(maps())
@settings(deadline=None)
def test_the_map_rises_everywhere_and_passes_its_knots(m):
    assert m(m.a) == pytest.approx(m.b, rel=1e-12, abs=1e-12)
    assert m.inverse(m.b) == pytest.approx(m.a, rel=1e-12, abs=1e-12)
    a = around(m.a)
    apart = np.diff(a) > 1e-9 * np.ptp(a)
    assert np.all(np.diff(m(a))[apart] > 0)
    assert np.all(m.slope(a) > 0)


@given(maps())
@settings(deadline=None)
def test_the_slope_is_the_derivative(m):
    """By central differences within cells, where the map is a cubic, and on the lines beyond."""
    lines = np.array([m.a[0] - 1, m.a[-1] + 1])
    for a, h in zip(m.a[:-1], np.diff(m.a), strict=True):
        u = np.concatenate([a + h * np.linspace(0.05, 0.95, 7), lines])
        step = 1e-4 * np.where(np.isin(u, lines), 1, h)
        difference = (m(u + step) - m(u - step)) / (2 * step)
        assert m.slope(u) == pytest.approx(difference, rel=1e-4, abs=1e-6 * m.slope(u).max())


@given(maps())
@settings(deadline=None)
def test_the_slope_has_no_jumps(m):
    """Not even at the end knots, where the cubic meets a straight line."""
    gaps = np.diff(m.a)
    here = 1e-9 * np.minimum(np.append(gaps, gaps[-1]), np.append(gaps[0], gaps))
    sides = m.slope(m.a - here), m.slope(m.a + here)
    steepest = np.max(np.diff(m.b) / gaps)
    assert sides[0] == pytest.approx(sides[1], rel=1e-4, abs=1e-7 * steepest)


def test_between_the_end_cells_it_is_the_map_of_scipy():
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.normal(size=(2, 12)))
    m, reference = MonotoneMap(a, b), PchipInterpolator(a, b)
    inner = np.linspace(a[1], a[-2], 500)
    assert m(inner) == pytest.approx(reference(inner), abs=1e-12)
    assert m.slope(inner) == pytest.approx(reference.derivative()(inner), abs=1e-9)


def test_two_knots_are_a_straight_line():
    m = MonotoneMap(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    a = np.array([[-9.0, 1.5], [2.0, 11.0]])
    assert m(a) == pytest.approx((a - 1) / 2)
    assert m.inverse(m(a)) == pytest.approx(a)
    assert np.all(m.slope(a) == 0.5)


@pytest.mark.parametrize(
    "law",
    [
        stats.norm(3, 1e-5),
        stats.expon(),
        stats.cauchy(),
        stats.lognorm(3),
        stats.loguniform(1e-6, 1e6),
        stats.loguniform(1e-12, 1e12),
        stats.norm(1e9, 1),
        stats.uniform(-1e300, 1e300),
        stats.norm(0, 1e-250),
    ],
    ids=lambda law: f"{law.dist.name} {law.args}",
)
def test_scores_are_normal_whatever_the_law(law):
    values = law.rvs(20_000, random_state=np.random.default_rng(1))
    m = normal_scores(values)
    fresh = law.rvs(20_000, random_state=np.random.default_rng(2))
    bulk = np.abs(m(fresh)) < 2.5
    assert stats.kstest(m(fresh), stats.norm.cdf).statistic < 0.03
    tolerance = 1e-9 + 1e-15 * np.abs(fresh[bulk]) * m.slope(fresh[bulk])
    assert np.all(np.abs(m(m.inverse(m(fresh[bulk]))) - m(fresh[bulk])) < tolerance)


def test_scores_of_a_wrong_law_are_not_normal():
    m = normal_scores(stats.norm().rvs(20_000, random_state=np.random.default_rng(1)))
    other = stats.norm(0.2, 1).rvs(20_000, random_state=np.random.default_rng(2))
    assert stats.kstest(m(other), stats.norm.cdf).statistic > 0.05


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-9, 1e12, 5e-324, -1e300])
def test_a_constant_sample_has_score_zero(value):
    m = normal_scores(np.full(50, value))
    assert m(np.array([value])) == pytest.approx([0], abs=1e-9)
    assert np.all(np.diff(m(np.array([value - 1, value, value + 1]))) >= 0)


def test_ties_share_the_mean_score_of_their_part():
    rng = np.random.default_rng(3)
    m = normal_scores(rng.permutation(np.repeat([0.0, 1.0, 5.0], [5000, 3000, 2000])))
    scores = m(np.array([0.0, 1.0, 5.0]))
    edges = stats.norm.ppf([0.002, 0.5, 0.8, 0.998])
    assert scores == pytest.approx((edges[:-1] + edges[1:]) / 2, abs=0.15)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
@example([0.0] * 10 + [-1.0] * 6 + [-6.3074793599943135e-109] + [-2.574080622722292e-171] * 4)
@settings(deadline=None)
def test_any_sample_has_finite_scores_in_its_order(values):
    sample = np.sort(values)
    m = normal_scores(sample)
    assert np.all(np.diff(m.a) > 0)
    assert np.all(np.diff(m.b) > 0)
    scores = m(sample)
    assert np.all(np.isfinite(scores))
    assert np.all(np.diff(scores) >= 0)
    assert len(m.a) <= 65
