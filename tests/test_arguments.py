"""What is wrong with an argument is said at the door, by its name, in one sentence."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import invgan as ig
from invgan.arguments import check_kinds, rows_of, seeds_from, whole
from invgan.errors import InputError
from invgan.gan import Inverse
from invgan.problem import Problem
from invgan.samples import Samples, Simulations

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def calls(
    sum_problem: Problem, sum_simulations: Simulations, sum_inverse: Inverse
) -> dict[str, Call]:
    """Each public function with good arguments, of which some are replaced."""
    x = sum_problem.prior.sample(60, np.random.default_rng(0))
    samples = Samples(x, x.sum(axis=1, keepdims=True), np.ones(60), ("x1", "x2"), ("y",))

    def ready(function: Call, **good: Any) -> Call:
        return lambda **given: function(**good | given)

    pair = {"problem": sum_problem, "simulations": sum_simulations}
    return {
        "simulate": ready(ig.simulate, problem=sum_problem, n=100),
        "train": ready(ig.train, **pair),
        "sample": ready(ig.sample, inverse=sum_inverse, observations=[[1.0]], n=10),
        "correct": ready(ig.correct, samples=samples, **pair),
        "run_mcmc": ready(ig.run_mcmc, n=10, walkers=8, steps=10, **pair),
        "validate": ready(ig.validate, samples=samples, **pair),
        "compare": ready(ig.compare, a=samples, b=samples),
        "solve": ready(ig.solve, **pair),
        "sweep": ready(ig.sweep, settings=None, **pair),
        "train_rgan": ready(ig.train_rgan, **pair),
        "calibrate": ready(ig.calibrate, drawer=sum_inverse, x=x, y=x.sum(axis=1, keepdims=True)),
        "draw": ready(sum_inverse.draw, y=[[1.0]]),
        "log_prob": ready(sum_inverse.log_prob, x=x, y=x.sum(axis=1, keepdims=True)),
        "embed": ready(sum_inverse.embed, y=[[1.0]]),
        "knows": ready(sum_inverse.knows, y=[[1.0]]),
    }


SEEDED = ["simulate", "train", "sample", "correct", "run_mcmc", "validate", "compare", "solve",
          "train_rgan", "calibrate", "draw"]  # fmt: skip
COUNTED = [
    *(("simulate", "n"), ("sample", "n"), ("correct", "n"), ("run_mcmc", "n")),
    *(("run_mcmc", "steps"), ("calibrate", "pairs"), ("calibrate", "draws")),
]


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True], ids=repr)
@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_is_a_whole_number(name: str, seed: Any, calls: dict[str, Call]) -> None:
    with pytest.raises(InputError, match="seed must be a whole number, 0 or more; got"):
        calls[name](seed=seed)


@pytest.mark.parametrize("n", [0, -1, 2.5, "ten", float("nan"), True], ids=repr)
@pytest.mark.parametrize(("name", "argument"), COUNTED)
def test_a_number_of_things_is_whole(
    name: str, argument: str, n: Any, calls: dict[str, Call]
) -> None:
    with pytest.raises(
        InputError, match=f"{argument} must be a whole number, (1|10|20) or more; got"
    ):
        calls[name](**{argument: n})


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, argument)
     for name in ("simulate", "train", "sample", "correct", "run_mcmc", "validate", "compare",
                  "solve", "train_rgan")
     for argument in inspect.signature(getattr(ig, name)).parameters
     if argument in ("problem", "simulations", "samples", "a", "b", "inverse")],
)  # fmt: skip
@pytest.mark.parametrize(
    "wrong", [3, "x.npz", np.zeros((90, 2)), {"n": 1}], ids=lambda w: str(type(w))
)
def test_each_argument_is_of_its_kind(
    name: str, argument: str, wrong: Any, calls: dict[str, Call]
) -> None:
    with pytest.raises(InputError, match=f"^{argument} must be an? |^{argument} must be S"):
        calls[name](**{argument: wrong})


def test_settings_are_no_mapping(calls: dict[str, Call]) -> None:
    with pytest.raises(
        InputError, match=r"settings must be Settings, such as .*; got \{'seed': 1}"
    ):
        calls["solve"](settings={"seed": 1})
    with pytest.raises(InputError, match=r"plan must be a plan, such as .*; got None"):
        calls["sweep"](plan=None)
    with pytest.raises(InputError, match="config must be a TrainConfig, such as"):
        calls["train"](config={"steps": 3})


@pytest.mark.parametrize("name", ["draw", "log_prob", "embed", "knows"])
@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        ("abc", "y must be a table of numbers; got 'abc'"),
        ([[1.0], [2.0, 3.0]], "y must be a table of numbers"),
        ([1.0], r"y must be rows of 1 numbers; got the shape \(1,\)"),
        (np.zeros((60, 2)), r"y must be rows of 1 numbers; got the shape \(60, 2\)"),
    ],
)
def test_outputs_are_a_table(name: str, y: Any, sentence: str, calls: dict[str, Call]) -> None:
    with pytest.raises(InputError, match=sentence):
        calls[name](y=y)


def test_lists_are_tables(sum_inverse: Inverse) -> None:
    x, y = [[0.2, 0.9], [0.5, 0.5]], [[1.0], [1.2]]
    arrays = np.array(x), np.array(y)
    assert np.array_equal(sum_inverse.draw(y, seed=1), sum_inverse.draw(arrays[1], seed=1))
    assert np.array_equal(sum_inverse.log_prob(x, y), sum_inverse.log_prob(*arrays))
    assert sum_inverse.knows(y).tolist() == [True, True]


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((60, 3)), "x must be rows of 2 numbers"),
        (np.zeros((3, 2)), "one x for each y; got 3 and 60 rows"),
        (np.full((60, 2), np.nan), "numbers; got NaN"),
    ],
)
def test_a_density_is_of_matched_rows(x: Any, sentence: str, calls: dict[str, Call]) -> None:
    with pytest.raises(InputError, match=sentence):
        calls["log_prob"](x=x)


def test_what_is_right_comes_through() -> None:
    assert whole("n", np.int64(3)) == 3
    assert whole("seed", 0, least=0) == 0
    assert seeds_from(5, 3) == seeds_from(np.uint32(5), 3) != seeds_from(6, 3)
    assert rows_of("y", [[1, 2]], 2).dtype == float
    check_kinds(n=(3, int), path=(None, str | None))
    with pytest.raises(InputError, match="n must be str; got 3"):
        check_kinds(n=(3, str | None))
