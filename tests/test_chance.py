"""What clouds of one law are apart by chance, against the distances taken one by one."""

import numpy as np
import pytest
from scipy import stats

from invgan.checks.chance import energies, partings, wassersteins
from invgan.metrics import energy_distance, wasserstein


@pytest.fixture
def union() -> np.ndarray:
    """Rows of two columns, one of which repeats values."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(size=400), rng.integers(0, 5, 400)])


@pytest.fixture
def parts() -> np.ndarray:
    return partings(5, 150, 400, np.random.default_rng(1))


def test_a_parting_chooses_so_many_rows_and_others_each_time(parts: np.ndarray) -> None:
    assert parts.shape == (5, 400)
    assert np.array_equal(parts.sum(axis=1), np.full(5, 150))
    assert len(np.unique(parts, axis=0)) == 5


def test_distances_are_those_of_the_two_parts(union: np.ndarray, parts: np.ndarray) -> None:
    one_by_one = [wasserstein(union[chosen], union[~chosen]) for chosen in parts]
    assert np.allclose(wassersteins(union, parts), one_by_one)
    for chosen, found in zip(parts, energies(union, parts), strict=True):
        scale = union[~chosen].std(axis=0)
        (scaled,) = energies(union / scale, chosen[None])
        assert scaled == pytest.approx(energy_distance(union[chosen], union[~chosen]))
        assert np.isfinite(found)


def test_rows_of_one_law_are_nothing_apart_in_the_mean() -> None:
    """Without bias: positive and negative, as the squared distance of the laws is zero."""
    rows = stats.norm().rvs((300, 3), random_state=2)
    apart = energies(rows, partings(400, 100, 300, np.random.default_rng(3)))
    assert abs(apart.mean()) < 4 * apart.std() / 20
    assert apart.min() < 0 < apart.max()
