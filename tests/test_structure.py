"""Structure of a row: what its columns mean, rows smaller than full, sets of random sizes."""

import numpy as np
import pytest
from scipy import stats

from invgan.errors import InputError
from invgan.structure import EmbeddingConfig, column_groups, pad_row, row_shape, thin_sets


def test_a_row_without_structure_is_its_columns():
    for kind in ("none", "mlp"):
        config = EmbeddingConfig(kind=kind)
        assert row_shape(config, 7) == (7,)
        assert column_groups(config, 7) is None


@pytest.mark.parametrize("kind", ["conv1d", "recurrent", "transformer"])
def test_a_series_is_one_channel_where_nothing_is_said(kind):
    assert row_shape(EmbeddingConfig(kind=kind), 6) == (1, 6)
    assert column_groups(EmbeddingConfig(kind=kind), 6) == (0,) * 6
    assert column_groups(EmbeddingConfig(kind=kind, shape=(2, 3)), 6) == (0, 0, 0, 1, 1, 1)


def test_pixels_share_a_scale_by_channel_and_elements_by_value():
    image = EmbeddingConfig(kind="conv2d", shape=(2, 2, 3))
    assert column_groups(image, 12) == (0,) * 6 + (1,) * 6
    repeats = EmbeddingConfig(kind="set", shape=(3, 2))
    assert column_groups(repeats, 6) == (0, 1, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "set"}, r"^shape is missing; say how a row is laid out: \[elements, width\]$"),
        ({"kind": "conv2d"}, r"shape is missing.*\[channels, height, width\]"),
        ({"kind": "mlp", "shape": [2, 3]}, r"shape has no meaning for kind mlp; got \[2, 3\]"),
        ({"kind": "conv1d", "shape": [5]}, r"must be \[channels, length\].*got \[5\]"),
        ({"kind": "set", "shape": [5, 0]}, r"each 1 or more; got \[5, 0\]"),
        ({"kind": "lstm"}, "kind must be 'none', 'mlp'"),
        ({"feature": 3}, "did you mean features"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        EmbeddingConfig(**settings)


def test_a_shape_that_is_not_the_rows_is_refused():
    config = EmbeddingConfig(kind="set", shape=[4, 2])
    with pytest.raises(InputError, match=r"shape \[4, 2\] has 8 entries and a row has 9 outputs"):
        row_shape(config, 9)


def test_a_smaller_observation_fills_the_front_of_each_axis():
    series = pad_row([[1, 2], [3, 4]], (2, 3))
    assert np.array_equal(series, [[1, 2, np.nan, 3, 4, np.nan]], equal_nan=True)
    repeats = pad_row([[1, 2]], (2, 2))
    assert np.array_equal(repeats, [[1, 2, np.nan, np.nan]], equal_nan=True)
    assert np.array_equal(pad_row([1], 2), [[1, np.nan]], equal_nan=True)
    said = {"a full row has 2 axes": [1, 2], r"a row holds at most \(2, 3\); got": [[1, 2, 3, 4]]}
    for match, wrong in said.items():
        with pytest.raises(InputError, match=match):
            pad_row(wrong, (2, 3))


def test_sets_get_every_size_equally_often_and_keep_what_they_keep():
    y = np.arange(60_000.0).reshape(6000, 10)
    before = y.copy()
    thin = thin_sets(y, 5, np.random.default_rng(0))
    seen = ~np.isnan(thin)
    assert np.array_equal(y, before)
    assert np.array_equal(thin[seen], y[seen])
    assert np.array_equal(seen[:, ::2], seen[:, 1::2])
    sizes = seen[:, ::2].sum(axis=1)
    assert stats.chisquare(np.bincount(sizes, minlength=6)[1:]).pvalue > 1e-3
    assert np.array_equal(thin, thin_sets(y, 5, np.random.default_rng(0)), equal_nan=True)


def test_what_is_left_of_sorted_repeats_is_a_fair_draw():
    """Repeats come sorted; keeping the first ones would keep the smallest."""
    y = np.sort(np.random.default_rng(1).normal(size=(20_000, 8)), axis=1)
    thin = thin_sets(y, 8, np.random.default_rng(2), fewest=3)
    few = (~np.isnan(thin)).sum(axis=1) == 3
    kept = thin[few][~np.isnan(thin[few])]
    assert stats.kstest(kept, stats.norm.cdf).pvalue > 1e-3
    first = y[few][:, :3].ravel()
    assert stats.kstest(first, stats.norm.cdf).pvalue < 1e-6


def test_empty_sets_are_made_only_where_asked():
    y = np.zeros((500, 3))
    sizes = (~np.isnan(thin_sets(y, 3, np.random.default_rng(0), fewest=0))).sum(axis=1)
    assert set(sizes) == {0, 1, 2, 3}
    assert np.array_equal(thin_sets(y, 3, np.random.default_rng(0), fewest=3), y)


@pytest.mark.parametrize(
    ("elements", "fewest", "said"),
    [
        (4, 1, r"rows of 4 equal elements are needed; got y of shape \(2, 6\)"),
        (0, 0, "rows of 0 equal elements"),
        (3, 4, r"fewest must be 0 to 3 \(the elements of a row\); got 4"),
        (3, -1, "fewest must be 0 to 3"),
    ],
)
def test_sets_that_cannot_be_are_refused(elements, fewest, said):
    with pytest.raises(InputError, match=said):
        thin_sets(np.zeros((2, 6)), elements, np.random.default_rng(0), fewest=fewest)
