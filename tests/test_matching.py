"""Simulations with the outputs of given draws: found where they are dense, else not offered."""

import numpy as np
import pytest

from invgan.matching import matched
from invgan.samples import Simulations


def simulated(n, columns=1, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, columns))
    names = tuple(f"c{j}" for j in range(columns))
    return Simulations(y + 10, y, names, names, np.empty((0, columns)))


@pytest.mark.parametrize("k", [1, 4])
def test_neighbours_are_the_nearest_by_brute_force(k):
    simulations = simulated(3000)
    y = np.random.default_rng(1).normal(size=(300, 1))
    rows = matched(y, simulations, k)
    # Normal scores grow with the output, so that its neighbours are the same but for the spacing.
    far = np.abs(simulations.y[rows, 0] - y)
    nearest = np.sort(np.abs(simulations.y[:, 0] - y), axis=1)[:, :k]
    assert rows.shape == (300, k)
    assert np.median(far / np.maximum(nearest, 1e-9)) < 1.2


@pytest.mark.parametrize(
    ("n", "columns"), [(30, 1), (3000, 5)], ids=["few simulations", "many outputs"]
)
def test_sparse_simulations_are_not_offered(n, columns):
    y = np.random.default_rng(1).normal(size=(2500, columns))
    assert matched(y, simulated(n, columns)) is None


def test_draws_with_far_outputs_are_not_matched():
    assert (
        matched(np.full((500, 1), 9.0) + np.linspace(0, 1, 500)[:, None], simulated(3000)) is None
    )


def test_the_same_few_over_and_over_are_not_offered():
    """Draws dense about few simulations, each of which is near enough."""
    y = simulated(3000).y[:50].repeat(40, axis=0)
    assert matched(y, simulated(3000)) is None


def test_an_output_that_never_changes_is_no_obstacle():
    plain, y = simulated(3000), np.random.default_rng(1).normal(size=(300, 1))
    ones = np.ones((3000, 1))
    with_one = Simulations(plain.x, np.hstack([plain.y, ones]), ("a",), ("a", "b"), plain.x[:0])
    assert np.array_equal(matched(np.hstack([y, ones[:300]]), with_one), matched(y, plain))


def test_draws_for_one_value_get_different_simulations_that_have_it():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(5000, 1))
    simulations = Simulations(x, (x > 0) * 1.0, ("a",), ("b",), x[:0])
    y = (rng.normal(size=(600, 1)) > 0.5) * 1.0
    rows = matched(y, simulations)[:, 0]
    assert np.array_equal(simulations.y[rows], y)
    assert len(np.unique(rows)) > 500
