"""Density ratios: recovered where there is one, and not invented where there is none."""

import numpy as np
import pytest

from invgan.ratio import log_ratio

pytestmark = pytest.mark.usefixtures("whole_classifier")

N = 6000


def normal(n, L=1, seed=0, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, L))


def information(odds):
    """Nats by which the true log-odds of N rows of p, then N of q, tell them apart."""
    return np.log(2) - np.logaddexp(0, np.where(np.arange(2 * N) < N, -odds, odds)).mean()


@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_equal_clouds_need_no_correction(L, seed):
    ratio = log_ratio(normal(3000, L, seed), normal(3000, L, seed + 100), seed=seed)
    assert (ratio.chosen, ratio.gain) == ("none", 0)
    assert np.array_equal(ratio.log, np.zeros(3000))


def test_a_known_tilt_is_recovered():
    """N(0.5, 1) over N(0, 1) is exp(0.5 x - 0.125)."""
    q = normal(N, seed=1)
    ratio = log_ratio(normal(N, seed=2, shift=0.5), q, seed=3)
    truth = 0.5 * q[:, 0] - 0.125
    assert ratio.chosen != "none"
    assert np.sqrt(np.mean((ratio.log - truth) ** 2)) < 0.08
    assert np.exp(ratio.log).mean() == pytest.approx(1, abs=0.03)
    assert np.average(q[:, 0], weights=np.exp(ratio.log)) == pytest.approx(0.5, abs=0.05)


def test_the_gain_is_the_information_of_the_labels():
    """No classifier can gain more than the Jensen-Shannon divergence of the clouds."""
    p, q = normal(N, seed=2, shift=0.5), normal(N, seed=1)
    best = information(0.5 * np.concatenate([p, q])[:, 0] - 0.125)
    assert best - 0.003 < log_ratio(p, q, seed=3).gain < best + 0.001


def test_a_ratio_in_one_column_of_several_and_of_any_unit():
    unit = np.array([1e-9, 1.0, 1e9])
    q = normal(N, 3, seed=1)
    p = normal(N, 3, seed=2) * [1, 0.7, 1]
    ratio = log_ratio(5 + p * unit, 5 + q * unit, seed=3)
    truth = -np.log(0.7) - 0.5 * q[:, 1] ** 2 * (1 / 0.49 - 1)
    bulk = np.abs(q[:, 1]) < 2
    assert np.sqrt(np.mean((ratio.log - truth)[bulk] ** 2)) < 0.15


def test_a_dependence_needs_the_perceptron():
    """Columns alone, which is all that the splines see, show no difference here."""
    rng = np.random.default_rng(4)
    p = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], N)
    q = normal(N, 2, seed=5)
    ratio = log_ratio(p, q, seed=6)
    assert ratio.chosen == "perceptron"
    points = np.concatenate([p, q])
    odds = -0.5 * np.log(0.51) - 0.5 * (0.49 * (points**2).sum(1) - 1.4 * points.prod(1)) / 0.51
    assert 0.85 * information(odds) < ratio.gain < information(odds) + 0.003
    assert np.corrcoef(ratio.log, odds[N:])[0, 1] > 0.85


def test_clouds_of_different_sizes_have_the_ratio_of_their_densities():
    q = normal(8000, seed=1)
    ratio = log_ratio(normal(2000, seed=2, shift=0.5), q, seed=3)
    assert np.exp(ratio.log).mean() == pytest.approx(1, abs=0.05)
    bulk = np.abs(q[:, 0]) < 2
    assert np.sqrt(np.mean((ratio.log - 0.5 * q[:, 0] + 0.125)[bulk] ** 2)) < 0.15


def test_rows_are_judged_by_classifiers_that_have_not_seen_them():
    """Many columns of pure noise are learnt by heart, which held-out rows do not reward."""
    ratio = log_ratio(normal(150, 12, seed=1), normal(150, 12, seed=2), seed=3)
    assert (ratio.chosen, ratio.gain) == ("none", 0)


def test_disjoint_clouds_have_a_finite_ratio():
    ratio = log_ratio(normal(500, seed=1, shift=9), normal(500, seed=2), seed=3)
    assert np.all(np.abs(ratio.log) <= 20)
    assert np.median(ratio.log) < -3


def test_atoms_and_constants_are_no_obstacle():
    rng = np.random.default_rng(7)
    p = np.stack([rng.poisson(0.6, 2000), np.ones(2000)], axis=1).astype(float)
    q = np.stack([rng.poisson(0.4, 2000), np.ones(2000)], axis=1).astype(float)
    ratio = log_ratio(p, q, seed=1)
    for count in (0, 1):
        truth = count * np.log(1.5) - 0.2
        assert ratio.log[q[:, 0] == count].mean() == pytest.approx(truth, abs=0.12)
    assert log_ratio(q, q, seed=1).chosen == "none"


@pytest.mark.parametrize(("n", "m"), [(1, 2000), (19, 2000), (2000, 3), (19, 19), (20, 20)])
def test_few_rows_tell_nothing(n, m):
    ratio = log_ratio(normal(n, seed=1), normal(m, seed=2))
    assert np.array_equal(ratio.log, np.zeros(m))


def test_the_ratio_belongs_to_its_seed():
    p, q = normal(1000, seed=1, shift=0.5), normal(1000, seed=2)
    assert np.array_equal(log_ratio(p, q, seed=1).log, log_ratio(p, q, seed=1).log)
    assert not np.array_equal(log_ratio(p, q, seed=1).log, log_ratio(p, q, seed=2).log)


def test_weights_of_p_tilt_the_ratio():
    """Rows of N(0, 1) with weights exp(0.5 x - 0.125) stand for N(0.5, 1)."""
    p, q = normal(N, seed=2), normal(N, seed=1)
    weights = np.exp(0.5 * p[:, 0] - 0.125)
    ratio = log_ratio(p, q, of_p=weights, seed=3)
    assert np.sqrt(np.mean((ratio.log - 0.5 * q[:, 0] + 0.125) ** 2)) < 0.15
    assert log_ratio(p, q, of_p=np.full(N, 3.0), seed=3).chosen == "none"


def test_weights_of_q_undo_what_they_stand_for():
    q = normal(N, seed=1)
    weights = np.exp(0.5 * q[:, 0] - 0.125)
    assert log_ratio(normal(N, seed=2, shift=0.5), q, of_q=weights, seed=3).chosen == "none"


@pytest.mark.slow
def test_being_thorough_comes_nearer_to_the_truth():
    """Where the sign of a product of three decides, neither columns nor products of two tell."""
    q = normal(N, 3, seed=4)
    rows = normal(2 * N, 3, seed=5)
    p = rows[np.random.default_rng(6).random(2 * N) < 0.5 + 0.4 * np.sign(rows.prod(axis=1))]
    near = [
        np.corrcoef(ratio.log, np.sign(q.prod(axis=1)))[0, 1]
        for ratio in (log_ratio(p, q, thorough=thorough, seed=5) for thorough in (False, True))
    ]
    assert near[1] > max(near[0] + 0.01, 0.7)
