"""What has names is matched by them: observations, a model's outputs, what an inverse is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import invgan as ig
from invgan.errors import InputError
from invgan.frames import by_name
from invgan.observations import Table, as_observations
from invgan.simulation import simulate


class Frame:
    """As much of a data frame as is looked at; pandas and polars have it too."""

    def __init__(self, columns: dict[Any, np.ndarray]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: Any) -> np.ndarray:
        return self._columns[name]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.to_numpy()

    def to_numpy(self) -> np.ndarray:
        return np.column_stack(list(self._columns.values()))


class Labelled:
    """A row of such a frame."""

    def __init__(self, values: dict[str, float]) -> None:
        self._values, self.index = values, list(values)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def to_numpy(self) -> np.ndarray:
        return np.array(list(self._values.values()))


V, U = np.arange(1.0, 31), -np.arange(30.0)
STRUCTURED = np.zeros(30, dtype=[("v", float), ("u", float)])
STRUCTURED["v"], STRUCTURED["u"] = V, U
PRIOR = ig.Prior(a=stats.norm(), b=stats.norm())


def named(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"u": x[:, 0], "v": x[:, 1]}


@pytest.mark.parametrize(
    "table",
    [Frame({"v": V, "u": U}), pa.table({"v": V, "u": U}), STRUCTURED, {"v": V, "u": U}],
    ids=["frame", "arrow", "structured", "mapping"],
)
def test_observed_columns_keep_their_names(table: Any) -> None:
    seen = as_observations(table)
    assert isinstance(seen, Table)
    assert seen.names == ("v", "u")
    assert np.array_equal(seen.rows, np.column_stack([V, U]))
    problem = ig.Problem(named, PRIOR, table)
    x = PRIOR.sample(50, np.random.default_rng(0))
    assert np.array_equal(simulate(problem, 50, seed=1).y, simulate(problem, 50, seed=1).x[:, ::-1])
    assert problem.outputs == ("v", "u")
    assert len(x) == 50


def test_numbers_are_no_names() -> None:
    assert by_name(Frame({0: V, 1: U})) is None
    assert as_observations(Frame({0: V, 1: U})).names is None
    assert by_name([1.0, 2.0]) is None
    assert by_name((1.0, 2.0)) is None
    assert by_name(np.ones(3)) is None


def test_one_number_for_each_name_is_one_row() -> None:
    seen = as_observations({"u": 1.0, "v": np.float64(2)})
    assert isinstance(seen, Table)
    assert seen.names == ("u", "v")
    assert np.array_equal(seen.rows, [[1.0, 2.0]])


def test_dates_texts_and_no_rows_are_refused_by_what_they_are() -> None:
    prior, days = ig.Prior(a=stats.norm()), np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")
    texts = np.array(["1.0", "x"], object)
    for column, said in (
        (days, r"observed 'when' must be numbers .*; got ndarray of datetime64\[ns\]"),
        (texts, r"observed 'when' must be numbers of .*; got 'x' in row 2"),
        (
            np.empty(0),
            r"observed 'when' must hold rows of numbers; it has none, the shape \(0, 1\)",
        ),
    ):
        with pytest.raises(InputError, match=said):
            ig.Problem(lambda x: x, prior, {"when": column})


def test_labels_of_several_levels_are_joined() -> None:
    found = by_name(Frame({("a", "x"): V, ("a", "y"): U}))
    assert list(found) == ["a_x", "a_y"]
    assert np.array_equal(found["a_y"], U)


def test_outputs_of_a_model_are_taken_by_name() -> None:
    problem = ig.Problem(named, PRIOR, {"v": V, "u": U})
    framed = replace(problem, model=lambda x: Frame(named(x)))
    one = replace(problem, vectorized=False, model=lambda x: Labelled({"u": x[0], "v": x[1]}))
    want = simulate(problem, 60, seed=1)
    for other in (framed, one):
        assert np.array_equal(simulate(other, 60, seed=1).y, want.y)


def test_masked_outputs_are_no_outputs() -> None:
    def masked(x: np.ndarray) -> np.ma.MaskedArray:
        return np.ma.array(np.where(x > 1, 9.97e36, x), mask=x > 1)

    problem = ig.Problem(masked, PRIOR, np.zeros((30, 2)))
    found = simulate(problem, 500, seed=1, max_failures=0.5)
    assert len(found.failed) > 50
    assert (found.failed.max(axis=1) > 1).all()
    assert found.y.max() <= 1


@pytest.fixture(scope="module")
def inverse() -> ig.Inverse:
    problem = ig.Problem(named, PRIOR, {"v": V / 30, "u": U / 30}, noise={"normal": 0.1})
    settings = ig.TrainConfig(head="gaussian", head_steps=100, steps=0, hidden=16, members=1)
    return ig.train(problem, ig.simulate(problem, 1000, seed=1), settings, seed=1, device="cpu")


@pytest.mark.parametrize("kind", [dict, Frame])
def test_an_inverse_takes_conditions_by_name(inverse: ig.Inverse, kind: Any) -> None:
    y = {"u": np.full(400, -1.0), "v": np.full(400, 1.0)}
    want = inverse.draw(np.column_stack([y["v"], y["u"]]), seed=3)
    assert want.mean(axis=0) == pytest.approx([-1, 1], abs=0.4)
    assert np.array_equal(inverse.draw(kind(y), seed=3), want)
    assert inverse.knows(kind(y)).all()
    samples = ig.sample(inverse, kind(y), 400, seed=3)
    assert samples.x.mean(axis=0) == pytest.approx([-1, 1], abs=0.4)


def test_a_name_that_is_not_there_is_refused(inverse: ig.Inverse) -> None:
    other = {"p": V, "q": U}
    with pytest.raises(InputError, match=r"no column 'v'; they have \['p', 'q'\]"):
        ig.sample(inverse, other, 10)
    with pytest.raises(InputError, match=r"y has no column 'v'; it has \['p', 'q'\]"):
        inverse.draw(other)


def test_outputs_that_nobody_named_go_by_their_order() -> None:
    problem = ig.Problem(lambda x: x, PRIOR, np.zeros((30, 2)))
    settings = ig.TrainConfig(head="gaussian", head_steps=20, steps=0, hidden=16)
    plain = ig.train(problem, ig.simulate(problem, 300, seed=1), settings, seed=1, device="cpu")
    assert len(ig.sample(plain, {"p": V / 30, "q": U / 30}, 10)) == 10


def test_samples_of_other_names_are_refused(inverse: ig.Inverse) -> None:
    samples = ig.sample(inverse, np.zeros((30, 2)), 30)
    turned = ig.Problem(named, ig.Prior(b=stats.norm(), a=stats.norm()), {"v": V, "u": U})
    for judge in (ig.validate, ig.correct):
        with pytest.raises(InputError, match=r"the samples hold parameters \['a', 'b'\]"):
            judge(turned, samples)


def test_repeats_may_stand_in_any_order() -> None:
    """A network sees them sorted; whoever asks it need not know."""

    def scattered(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x[:, :1] + np.exp(x[:, 1:]) * rng.normal(size=(len(x), 1))

    seen = np.array([[1.2], [0.3], [2.0], [1.1]])
    problem = ig.Problem(scattered, PRIOR, seen, stochastic=True, question="posterior")
    settings = ig.TrainConfig(
        head="gaussian", head_steps=60, steps=0, hidden=16, members=1, likelihood=False
    )
    found = ig.train(problem, ig.simulate(problem, 600, seed=1), settings, seed=1, device="cpu")
    rows = np.repeat(seen.T, 50, axis=0)
    want = found.draw(np.sort(rows, axis=1), seed=2)
    assert np.array_equal(found.draw(rows, seed=2), want)
    assert np.array_equal(found.draw(rows[:, :, None], seed=2), want)
    x = np.zeros((50, 2))
    assert np.array_equal(found.log_prob(x, rows), found.log_prob(x, np.sort(rows, axis=1)))
    assert np.array_equal(found.knows(rows), found.knows(np.sort(rows, axis=1)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prior": ig.Prior(a=stats.norm(1, 0.5), b=stats.norm())}, "'a' was not drawn from its"),
        ({"prior": ig.Prior(a=stats.uniform(0, 9), b=stats.norm())}, "lie outside the prior"),
        ({"noise": ig.Noise.normal(0.5)}, "the problem states Noise.*scale=0.5"),
        ({"noise": None}, "the problem states None"),
    ],
)
def test_simulations_of_another_prior_or_noise_are_refused(change: dict, said: str) -> None:
    problem = ig.Problem(named, PRIOR, {"v": V / 30, "u": U / 30}, noise={"normal": 0.1})
    made = ig.simulate(problem, 1000, seed=1)
    with pytest.raises(InputError, match=said):
        ig.train(replace(problem, **change), made, device="cpu")


def test_failures_count_among_the_draws_of_the_prior() -> None:
    """Where a third of the prior fails, what is left is no draw of it and need not be."""

    def fails(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, :1] > 0.4, np.nan, x)

    problem = ig.Problem(fails, PRIOR, np.zeros((30, 2)))
    made = ig.simulate(problem, 2000, seed=1, max_failures=0.5)
    settings = ig.TrainConfig(head="gaussian", head_steps=5, steps=0, hidden=16)
    assert ig.train(problem, made, settings, seed=1, device="cpu").names == ("a", "b")
