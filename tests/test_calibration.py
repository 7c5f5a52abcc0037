"""Checks of an inverse against exact, too wide, too narrow, biased and forgetful ones."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from invgan.calibration import (
    band,
    calibrate,
    density_ranks,
    depth,
    disagreement,
    distance_ranks,
    local_c2st,
    nearest,
    neighbour_ranks,
    ranks_below,
    two_sample,
)
from invgan.calibration.calibrate import NEIGHBOUR
from invgan.calibration.draws import conditions, drawn, few_columns
from invgan.calibration.ranks import curve, largest_gap, leaning
from invgan.errors import InputError

SD = 0.6


@dataclass
class Gaussian:
    """p(x given y) of x ~ N(0, I), y = x + SD noise, with a known fault or none."""

    width: float = 1.0
    bias: float = 0.0
    near: float | None = None

    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        shrink = 1 / (1 + SD**2)
        noise = self.width * np.random.default_rng(seed).normal(size=y.shape)
        off = np.full((len(y), 1), self.bias)
        if self.near is not None:
            off *= np.abs(y[:, :1] - self.near) < 0.4
        return y * shrink + np.sqrt(SD**2 * shrink) * (noise + off)


class Prior:
    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=y.shape)


def pairs(n: int, width: int = 2, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    return x, x + SD * rng.normal(size=x.shape)


def log_density(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -0.5 * np.square(x - y / (1 + SD**2)).sum(axis=1) * (1 + SD**2) / SD**2


def floor(n: int) -> float:
    """What the largest gap of n uniform numbers exceeds in one case of a thousand."""
    return 1.95 / np.sqrt(n)


def test_ranks_of_discrete_parameters_are_uniform_too() -> None:
    rng = np.random.default_rng(1)
    u = ranks_below(rng.poisson(1, 5000), rng.poisson(1, (5000, 20)), rng)
    assert largest_gap(u) < floor(5000)
    assert largest_gap(ranks_below(rng.poisson(1.3, 5000), rng.poisson(1, (5000, 20)), rng)) > 0.08


def test_ranks_count_what_lies_below() -> None:
    draws = np.arange(9.0)[None]
    u = ranks_below(np.array([3.5]), draws, np.random.default_rng(0))
    assert 0.4 <= u[0] <= 0.5


@pytest.mark.parametrize("n", [50, 1000])
def test_the_band_holds_whole_curves_as_often_as_it_says(n: int) -> None:
    levels = np.linspace(0.02, 0.98, 49)
    low, high = band(n, levels, share=0.9)
    rng = np.random.default_rng(2)
    curves = np.stack([curve(rng.random(n), levels) for _ in range(1500)])
    inside = ((curves >= low) & (curves <= high)).all(axis=1).mean()
    assert inside == pytest.approx(0.9, abs=0.03)
    pointwise = stats.binom.cdf(np.round(high * n), n, levels)
    assert (pointwise > 0.95).all()


@pytest.mark.parametrize(
    ("fault", "said"),
    [({"width": 0.6}, "narrow"), ({"width": 1.6}, "wide"), ({"bias": 0.6}, "too high"),
     ({"bias": -0.6}, "too low")],
)  # fmt: skip
def test_every_fault_is_found_and_named(fault: dict[str, float], said: str) -> None:
    x, y = pairs(3000)
    found = calibrate(Gaussian(**fault), x, y, draws=50)
    assert largest_gap(found.ranks[:, 0]) > 2 * floor(len(found))
    assert said in leaning(found.ranks[:, 0])
    assert any("ranks of x1" in s and said in s for s in found.sentences())


@pytest.mark.parametrize("by_density", [False, True])
def test_an_exact_inverse_is_calibrated(by_density: bool) -> None:
    x, y = pairs(4500)
    found = calibrate(
        Gaussian(), x, y, draws=50, pairs=3000, log_density=log_density if by_density else None
    )
    assert len(found) == 3000
    assert found.by_density == by_density
    assert found.names == ("x1", "x2", NEIGHBOUR)
    for u in (*found.ranks.T, found.region, found.tarp):
        assert largest_gap(u) < floor(3000)
    for level in (0.5, 0.8, 0.95):
        assert found.coverage(level) == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("width", [0.6, 1.5])
def test_coverage_by_density_is_that_of_the_closed_form(width: float) -> None:
    """The region that holds c of the draws holds P(chi^2_2 <= width^2 q_c) of the true x."""
    x, y = pairs(6000)
    found = calibrate(Gaussian(width), x, y, pairs=4000, draws=100, log_density=log_density)
    for level in (0.5, 0.8, 0.95):
        wanted = stats.chi2.cdf(width**2 * stats.chi2.ppf(level, 2), 2)
        assert found.coverage(level) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("width", [0.6, 1.5])
def test_coverage_needs_no_density_to_see_a_wrong_width(width: float) -> None:
    x, y = pairs(3000, 6)
    found = calibrate(Gaussian(width), x, y)
    shifts = [found.coverage(c) - c for c in (0.5, 0.8)]
    assert min(shifts) > 0.1 if width > 1 else max(shifts) < -0.1
    assert np.abs(found.tarp_curve - found.levels).max() > floor(len(found))


def test_regions_of_highest_density_are_found_in_two_pieces() -> None:
    """Draws that fill the gap between two modes: right in mean and sd, wrong in density."""
    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, 1.0], 3000)[:, None] + 0.1 * rng.normal(size=(3000, 1))
    right = rng.choice([-1.0, 1.0], (3000, 100, 1)) + 0.1 * rng.normal(size=(3000, 100, 1))
    filled = np.sqrt(1.01) * rng.normal(size=(3000, 100, 1))
    assert largest_gap(neighbour_ranks(x, right, rng)) < floor(3000)
    assert largest_gap(neighbour_ranks(x, filled, rng)) > 0.1


def test_the_prior_passes_every_check_that_does_not_look_at_the_outputs() -> None:
    """A theorem on ranks, coverage and TARP, and why one rank of a point that knows y is added."""
    x, y = pairs(4500)
    found = calibrate(Prior(), x, y, pairs=3000, draws=50)
    for u in (*found.ranks[:, :2].T, found.region, found.tarp):
        assert largest_gap(u) < floor(3000)
    assert largest_gap(found.ranks[:, 2]) > 0.2
    assert "too far from the parameters of simulations with like outputs" in found.finding(2)


def test_distances_rank_evenly_about_any_point_that_does_not_know_x() -> None:
    x, y = pairs(2000)
    rng = np.random.default_rng(5)
    draws = Gaussian().draw(np.repeat(y, 40, axis=0), seed=3).reshape(2000, 40, 2)
    assert largest_gap(distance_ranks(x, draws, 2 * y + 1, rng)) < floor(2000)
    assert largest_gap(distance_ranks(x, draws, x + 0.1, rng)) > 0.5


def test_density_ranks_need_no_normalisation() -> None:
    x, y = pairs(500)
    draws = Gaussian().draw(np.repeat(y, 30, axis=0), seed=3).reshape(500, 30, 2)
    u, v = (
        density_ranks(x, y, draws, density, np.random.default_rng(1))
        for density in (log_density, lambda x, y: log_density(x, y) + 7 * y[:, 0])
    )
    assert np.array_equal(u, v)


def test_a_calibration_is_plain_values_for_the_report() -> None:
    x, y = pairs(300)
    found = calibrate(Gaussian(), x, y, names=("left", "right"), draws=20)
    data = json.loads(json.dumps(found.to_dict()))
    assert len(found) == 200
    assert data["names"] == ["left", "right", NEIGHBOUR]
    assert set(data["coverage"]) == {"0.5", "0.8", "0.95"}
    assert np.shape(data["rank_curves"]) == (3, 99)
    assert sum(data["rank_counts"][0]) == 200
    assert all(a <= b for a, b in zip(*data["band"], strict=True))


def test_scales_and_bounds_of_the_parameters_do_not_matter() -> None:
    """Parameters of 1e-6 and of a million with a heavy tail give the same figures."""
    x, y = pairs(900)
    plain = calibrate(Gaussian(0.7), x, y, draws=20)

    class Scaled:
        def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
            e = Gaussian(0.7).draw(y, seed=seed)
            return np.stack([1e-6 * e[:, 0], np.exp(3 * e[:, 1])], axis=1)

    scaled = calibrate(Scaled(), np.stack([1e-6 * x[:, 0], np.exp(3 * x[:, 1])], 1), y, draws=20)
    assert np.allclose(plain.ranks[:, :2], scaled.ranks[:, :2])
    assert np.abs(plain.tarp_curve - scaled.tarp_curve).max() < 0.03
    assert np.abs(plain.coverage_curve - scaled.coverage_curve).max() < 0.03


def test_the_local_test_of_an_exact_inverse_gives_uniform_p_values() -> None:
    at = np.array([[0.5, -0.3]])
    p = [
        local_c2st(Gaussian(), *pairs(200, seed=s), at, swaps=100, points=50, draws=8, seed=s)
        for s in range(60)
    ]
    values = np.array([test.p_value for test in p])
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert p[0].pairs == 200


@pytest.mark.parametrize("inverse", [Gaussian(0.6), Gaussian(1.7), Gaussian(bias=0.8), Prior()])
def test_the_local_test_finds_every_fault(inverse: Gaussian) -> None:
    x, y = pairs(1000)
    test = local_c2st(inverse, x, y, np.array([[0.5, -0.3]]))
    assert test.p_value < 0.005
    assert test.statistic > test.floor(0.002) + 0.02


def test_a_fault_at_one_observation_is_found_there_and_not_elsewhere() -> None:
    x, y = pairs(5000, 1)
    inverse = Gaussian(bias=1.5, near=-1.5)
    here, there = (local_c2st(inverse, x, y, np.array([[v]])) for v in (-1.5, 1.5))
    assert here.statistic > 2 * here.floor(0.002)
    assert there.statistic < there.floor(0.002)


def test_the_nearest_outputs_come_first() -> None:
    y = np.random.default_rng(1).normal(size=(400, 2))
    at = np.array([[0.5, 0.5]])
    order = nearest(y, at)
    far = np.linalg.norm(y - at, axis=1)
    assert far[order[:40]].max() < far[order[200:]].min()


def test_a_point_of_the_cloud_has_a_depth_like_the_others() -> None:
    rng = np.random.default_rng(1)
    cloud = np.exp(rng.normal(size=(2000, 3)))
    found = np.array([depth(np.exp(rng.normal(size=(1, 3))), cloud, seed=s) for s in range(150)])
    for column in found.T:
        assert stats.kstest(column, "uniform").pvalue > 0.001


def test_a_broken_relation_is_far_out_though_each_column_is_in_range() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=(4000, 1))
    cloud = np.hstack([first, first + 0.1 * rng.normal(size=first.shape)])
    assert depth(np.array([[1.0, -1.0]]), cloud)[0] > 0.999
    assert depth(np.array([[1.0, 1.1]]), cloud)[0] < 0.9


def test_a_hole_in_the_cloud_is_found_by_its_neighbours_alone() -> None:
    angle = np.random.default_rng(1).uniform(0, 2 * np.pi, 4000)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mahalanobis, neighbours = depth(np.zeros((1, 2)), ring)
    assert mahalanobis < 0.5
    assert neighbours > 0.999


def test_an_embedding_decides_what_is_looked_at() -> None:
    cloud = np.random.default_rng(1).normal(size=(2000, 2))
    strange = np.array([[0.0, 9.0]])
    assert max(depth(strange, cloud)) > 0.998
    assert max(depth(strange, cloud, embed=lambda y: y[:, :1])) < 0.9


def test_the_discrepancy_of_a_set_has_a_level_and_a_power() -> None:
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(1200, 2))
    same = [two_sample(rng.normal(size=(30, 2)), cloud, replicates=99, seed=s)[1]
            for s in range(16)]  # fmt: skip
    assert 0.3 < np.mean(same) < 0.7
    assert np.mean(np.array(same) <= 0.05) < 0.4
    many = [two_sample(rng.normal(size=(30, 60)), rng.normal(size=(300, 60)), replicates=99)[1]
            for _ in range(16)]  # fmt: skip
    assert 0.3 < np.mean(many) < 0.7
    wide, p = two_sample(2 * rng.normal(size=(60, 2)), cloud)
    assert p < 0.01
    assert wide > 0
    rows = rng.normal([0, 3], 1, (60, 2))
    assert two_sample(rows, cloud, embed=lambda y: y[:, :1])[1] > 0.01


def test_members_of_an_ensemble_agree_or_do_not() -> None:
    at = np.array([[0.4, 0.1]])
    same = disagreement([Gaussian(), Gaussian(), Gaussian()], at)
    assert (same.largest <= same.floor).all()
    assert same.distances.shape == (3, 3, 2)
    apart = disagreement([Gaussian(), Gaussian(bias=0.5)], at)
    assert apart.largest == pytest.approx(0.5 / np.sqrt(1 + 0.0625), abs=0.08)
    assert (apart.largest > 2 * apart.floor).all()
    assert "differ most in" in apart.sentence(("left", "right"))
    assert np.array_equal(apart.distances, apart.distances.transpose(1, 0, 2))


def test_the_seed_decides_everything() -> None:
    x, y = pairs(300)
    a, b, c = (calibrate(Gaussian(), x, y, draws=10, seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.ranks, b.ranks)
    assert not np.array_equal(a.ranks, c.ranks)


class Broken:
    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        return np.full((len(y), 2), np.nan)


def test_what_cannot_be_judged_is_refused_at_the_door() -> None:
    x, y = pairs(40)
    with pytest.raises(InputError, match="20 held-out pairs are too few"):
        calibrate(Gaussian(), x[:20], y[:20])
    with pytest.raises(InputError, match="with the same n"):
        calibrate(Gaussian(), x, y[:30])
    with pytest.raises(InputError, match="finite parameters"):
        calibrate(Broken(), x, y)
    with pytest.raises(InputError, match="100 are needed"):
        local_c2st(Gaussian(), x, y, y[:1])
    with pytest.raises(InputError, match="two members"):
        disagreement([Gaussian()], y[:1])
    with pytest.raises(InputError, match="a depth needs 40 rows"):
        depth(y[:1], y[:20])
    with pytest.raises(InputError, match="80 or more"):
        two_sample(y[:20], y)


def test_few_columns_are_of_every_output_and_of_every_place() -> None:
    repeats, image = np.arange(400)[None] % 2, np.arange(40_000)[None]
    assert 60 < few_columns(repeats).sum() < 140
    rows, columns = few_columns(image) // 200, few_columns(image) % 200
    assert min(len(np.unique(rows)), len(np.unique(columns))) > 100


class Follower:
    """Draws y and noise, and remembers how many rows it was asked for at once."""

    def __init__(self) -> None:
        self.most = 0

    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        self.most = max(self.most, len(y))
        return y[:, :2] + np.random.default_rng(seed).normal(size=(len(y), 2))


def test_many_wide_outputs_are_drawn_for_in_parts() -> None:
    y, follower = np.repeat(np.arange(300.0)[:, None], 2000, axis=1), Follower()
    x = drawn(follower, y, 100, seed=1)
    assert follower.most == 5000
    assert x.shape == (300, 100, 2)
    assert np.abs(x.mean(axis=1) - y[:, :2]).max() < 0.6
    assert len(np.unique(np.round(x[::50] - y[::50, None, :2], 9))) == 6 * 200


def test_as_many_names_as_parameters_are_wanted() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(InputError, match=r"names must be 2, one for each .*; got \('a',\)"):
        calibrate(Broken(), x, x, names=("a",))


def test_a_series_of_a_thousand_outputs_is_known_by_a_few() -> None:
    """x moves all outputs alike; what is kept of them knows x as well as they do."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 1))
    y = x + rng.normal(size=(500, 1000))
    assert few_columns(y).shape == (500, 200)
    assert np.array_equal(few_columns(y[:, :200]), y[:, :200])
    known, there = conditions(y, y[:7], 5)
    assert known.shape == (500, 5)
    assert np.allclose(known[:7], there)
    assert abs(np.corrcoef(known[:, 0], x[:, 0])[0, 1]) > 0.99


def test_few_pairs_do_not_set_the_scale_that_they_are_judged_on() -> None:
    """A scale of their own would place the true parameters nearer to the middle than draws are."""
    regions = []
    for seed in range(200):
        x, y = pairs(40, width=1, seed=seed)
        regions.append(calibrate(Gaussian(), x, y, draws=50, seed=seed).region)
    found = np.concatenate(regions)
    assert abs(found.mean() - 0.5) < 3.5 / np.sqrt(12 * len(found))
