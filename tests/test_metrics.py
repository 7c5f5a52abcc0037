"""Distances: closed forms where there are any, and known lies that must be found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from invgan.errors import InputError
from invgan.metrics import (
    c2st,
    energy_distance,
    intrinsic_dimension,
    kl_divergence,
    kolmogorov_smirnov,
    wasserstein,
)

CLOUDS = hnp.arrays(float, st.tuples(st.integers(2, 30), st.just(2)), elements=st.floats(-9, 9))
RIGHT = np.array([0.3, 0])


def normal(n, L=2, seed=0, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, L))


@given(CLOUDS, CLOUDS)
@settings(deadline=None, max_examples=40)
def test_one_column_distances_are_what_they_are_by_definition(a, b):
    grid = np.sort(np.concatenate([a, b]), axis=0)
    for j in range(2):
        gap = np.abs(
            np.searchsorted(np.sort(a[:, j]), grid[:, j], side="right") / len(a)
            - np.searchsorted(np.sort(b[:, j]), grid[:, j], side="right") / len(b)
        )
        assert kolmogorov_smirnov(a, b)[j] == pytest.approx(gap.max())
        area = np.sum(gap[:-1] * np.diff(grid[:, j]))
        assert wasserstein(a, b)[j] == pytest.approx(area, abs=1e-9)


@given(CLOUDS, CLOUDS, st.floats(-5, 5), st.floats(0.1, 5))
@settings(deadline=None, max_examples=40)
def test_distances_are_symmetric_and_scale_as_they_should(a, b, shift, scale):
    for distance, unit in ((kolmogorov_smirnov, 1), (wasserstein, scale)):
        assert distance(a, a) == pytest.approx([0, 0])
        assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-9)
        moved = wasserstein(shift + scale * a, shift + scale * b)
        assert moved == pytest.approx(scale * wasserstein(a, b), abs=1e-6 * (1 + unit))


def test_shifts_move_mass_by_the_shift():
    a = normal(20_000)
    assert wasserstein(a + RIGHT, a) == pytest.approx([0.3, 0])
    expected = 2 * stats.norm.cdf(0.15) - 1
    assert kolmogorov_smirnov(a + RIGHT, a) == pytest.approx([expected, 0], abs=0.01)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_energy_distance_of_normals_has_its_closed_form(shift):
    """In one dimension 2 E|a - b| - E|a - a'| - E|b - b'| with normal differences."""
    gap = stats.foldnorm(shift / np.sqrt(2), scale=np.sqrt(2)).mean()
    expected = 2 * gap - 4 / np.sqrt(np.pi)
    values = [
        energy_distance(normal(2000, 1, s, shift), normal(2000, 1, s + 100)) for s in range(6)
    ]
    assert np.mean(values) == pytest.approx(expected, abs=0.01 + 0.03 * expected)


def test_energy_distance_against_scipy_and_in_any_unit():
    a, b = normal(1500, 1, 1, 0.4), normal(1500, 1, 2)
    reference = stats.energy_distance(a[:, 0] / b.std(), b[:, 0] / b.std()) ** 2
    assert energy_distance(a, b) == pytest.approx(reference, abs=3e-3)
    unit = np.array([1e-6, 1e6])
    a, b = normal(800, 2, 1, 0.4), normal(800, 2, 2)
    assert energy_distance(7 + a * unit, 7 + b * unit) == pytest.approx(energy_distance(a, b))


def test_energy_distance_sees_what_columns_do_not():
    a = np.random.default_rng(3).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 2000)
    assert energy_distance(a, normal(2000)) > 0.02
    assert abs(energy_distance(normal(2000, 2, 5), normal(2000))) < 0.005


def test_thinning_belongs_to_the_seed():
    a, b = normal(3000, 2, 1), normal(3000, 2, 2, 0.2)
    first, again, other = (energy_distance(a, b, most=1000, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first == pytest.approx(energy_distance(a, b, most=3000), abs=0.01)


def gaussian_kl(mean, cov):
    """KL(N(mean, cov) || N(0, I)) in nats."""
    return 0.5 * (np.trace(cov) + mean @ mean - len(mean) - np.linalg.slogdet(cov)[1])


@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("far", [0.0, 1.0])
def test_kl_divergence_of_normals(L, far):
    cov = 0.5 * np.eye(L) + 0.3 * far
    mean = far * np.ones(L)
    a = np.random.default_rng(1).multivariate_normal(mean, cov, 10_000)
    truth = gaussian_kl(mean, cov)
    assert kl_divergence(a, normal(10_000, L)) == pytest.approx(truth, abs=0.05 + 0.1 * truth)


@pytest.mark.parametrize("L", [1, 2, 3])
def test_kl_divergence_is_zero_for_one_law_and_a_lower_bound_where_a_reaches_beyond_b(L):
    assert kl_divergence(normal(10_000, L, 1), normal(10_000, L, 2)) == pytest.approx(0, abs=0.05)
    narrow, wide = normal(10_000, L, 1, scale=0.5), normal(10_000, L, 2)
    there, back = gaussian_kl(np.zeros(L), np.eye(L) / 4), gaussian_kl(np.zeros(L), np.eye(L) * 4)
    assert kl_divergence(narrow, wide) == pytest.approx(there, rel=0.1)
    assert 0.35 * back < kl_divergence(wide, narrow) < back


def test_kl_divergence_counts_repeated_points_once():
    a, b = normal(5000, 2, 1, 0.5), normal(5000, 2, 2)
    assert kl_divergence(np.repeat(a, 20, axis=0), b) == pytest.approx(kl_divergence(a, b))
    assert np.isnan(kl_divergence(np.ones((9, 1)), np.ones((9, 1))))


def test_c2st_cannot_tell_one_law_from_itself():
    scores = [c2st(normal(2000, 2, s), normal(2000, 2, s + 50)) for s in range(4)]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.015)


def test_c2st_tells_disjoint_clouds_apart():
    assert c2st(normal(1000, 2, 1), normal(1000, 2, 2, 8)) > 0.99


def test_c2st_finds_a_small_shift():
    """The best classifier of two unit normals 0.3 apart is right with chance Phi(0.15) = 0.56."""
    score = c2st(normal(6000, 2, 1) + RIGHT, normal(6000, 2, 2))
    assert score == pytest.approx(stats.norm.cdf(0.15), abs=0.015)


def modes(n, seed, count):
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * rng.integers(count, size=n) / 4
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.1, (n, 2))


def test_c2st_finds_a_missing_mode():
    """One of four equal modes is missing: the best is right with chance (1 + 1/4) / 2."""
    assert c2st(modes(4000, 1, 3), modes(4000, 2, 4)) == pytest.approx(0.625, abs=0.02)


def test_c2st_finds_a_dependence_that_no_column_shows():
    rng = np.random.default_rng(4)
    x = rng.normal(size=3000)
    crossed = np.stack([x, x * rng.choice([-1, 1], 3000)], axis=1)
    assert c2st(crossed, normal(3000)) > 0.9


@pytest.mark.parametrize("sigma", [3.0, 6.0])
def test_heavy_tails_hide_no_dependence(sigma):
    """A few rows make the standard deviation of such columns, and all others were one point."""
    rng = np.random.default_rng(3)

    def cloud(rho):
        return np.exp(sigma * rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 3000))

    known = cloud(0.9)
    assert c2st(cloud(-0.9), known) > 0.8
    assert energy_distance(cloud(-0.9), known) > 0.05
    assert abs(c2st(cloud(0.9), known) - 0.5) < 0.03
    assert abs(energy_distance(cloud(0.9), known)) < 0.01


def test_c2st_has_no_unit_and_belongs_to_its_seed():
    a, b = normal(1000, 2, 1, 0.4), normal(1000, 2, 2)
    unit = np.array([1e-6, 1e6])
    assert c2st(3 + a * unit, 3 + b * unit) == pytest.approx(c2st(a, b), abs=0.02)
    assert c2st(a, b, seed=1) == c2st(a, b, seed=1)


@pytest.mark.parametrize("n", [2, 5, 60])
def test_c2st_of_few_rows_is_rough_but_quiet(n):
    assert 0 <= c2st(normal(n, 2, 1), normal(n, 2, 2)) <= 1
    assert c2st(normal(n, 2, 1), np.ones((n, 2))) <= 1


@pytest.mark.parametrize(
    "metric", [kolmogorov_smirnov, wasserstein, energy_distance, kl_divergence, c2st]
)
@pytest.mark.parametrize(
    ("a", "b"),
    [(normal(5, 2), normal(5, 3)), (normal(1, 2), normal(5, 2)), (np.ones(5), np.ones(5))],
)
def test_clouds_that_cannot_be_compared(metric, a, b):
    with pytest.raises(InputError, match=r"two clouds must have shapes \(n, L\) and \(m, L\)"):
        metric(a, b)


def test_rows_that_belong_together_are_held_out_together():
    """Draws for the same 5 outputs: without that, exact ones seem nearer than two samples."""
    y, rng = normal(1000, 5), np.random.default_rng(1)
    exact, again, narrow = (y + s * 0.3 * rng.normal(size=y.shape) for s in (1, 1, 0.6))
    with_y = [np.hstack([x, y]) for x in (exact, again, narrow)]
    assert c2st(with_y[1], with_y[0]) < 0.45
    assert c2st(with_y[1], with_y[0], paired=True) == pytest.approx(0.5, abs=0.04)
    assert c2st(with_y[2], with_y[0], paired=True) > 0.6
    assert c2st(with_y[2], with_y[0], paired=True, most=800, folds=5) > 0.6
    with pytest.raises(InputError, match="as many rows each; got 1000 and 900"):
        c2st(exact, again[:900], paired=True)


@pytest.mark.parametrize("n", [2000, 20_000])
def test_the_dimension_of_a_sheet_is_found_whatever_it_lies_in(n):
    rng = np.random.default_rng(1)
    k, sphere = rng.uniform(0.1, 2, n), normal(n, 3)
    sphere /= np.linalg.norm(sphere, axis=1)[:, None]
    sheets = {
        1: [k[:, None], np.stack([np.exp(-k), np.exp(-2 * k)], 1), np.stack([k, k * 0 + 1], 1)],
        2: [
            normal(n),
            rng.dirichlet([1, 1, 1], n),
            sphere / np.linalg.norm(sphere, axis=1)[:, None],
        ],
        3: [normal(n, 3), rng.random((n, 3))],
    }
    for dimension, clouds in sheets.items():
        assert [intrinsic_dimension(cloud) for cloud in clouds] == [dimension] * len(clouds)
    assert intrinsic_dimension(np.round(normal(n, 2)[:, :1])) == 1
    assert intrinsic_dimension(normal(15, 2)) == 2


def test_the_divergence_on_a_curve_is_that_along_it():
    """Of N(0.5, 0.5) from N(0, 1), seen by two columns that tell the same."""
    a, b = normal(5000, 1, shift=0.5, scale=0.5), normal(5000, 1, seed=1)
    along, exact = kl_divergence(a, b), np.log(2) + (0.25 + 0.25) / 2 - 0.5
    curve = [np.hstack([c, 2 * c]) for c in (a, b)]
    assert along == pytest.approx(exact, abs=0.06)
    assert kl_divergence(*curve, dimension=1) == pytest.approx(along, abs=1e-9)
    assert kl_divergence(*curve) > along + 0.3
