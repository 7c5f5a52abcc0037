"""What a model's file sets for the process is the model's, and nothing else depends on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL
from scipy import stats

import invgan as ig
from invgan.ground import own_ground, theirs
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig

pytestmark = pytest.mark.usefixtures("road_alone")

SETTINGS: dict[str, Callable[[], object]] = {
    "double precision": lambda: torch.set_default_dtype(torch.float64),
    "no gradients": lambda: torch.set_grad_enabled(False),
    "a device": lambda: torch.set_default_device("meta"),
    "floating-point errors": lambda: np.seterr(all="raise"),
}


def standing() -> tuple[Any, ...]:
    """What numpy and torch go by."""
    return (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device(),
        tuple(np.geterr().items()),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = standing()
    yield
    torch.set_default_dtype(before[0])
    torch.set_grad_enabled(before[1])
    torch.set_default_device(None)
    np.seterr(**dict(before[3]))
    assert standing() == before


class Model:
    """A model that notes what it is run with, and may change it at its first call."""

    def __init__(self, change: Callable[[], object] | None = None) -> None:
        self.change, self.found = change, set[tuple[Any, ...]]()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.change is not None:
            self.change()
        self.found.add(standing())
        return x[:, 0] + x[:, 1]


def solve(model: Model) -> ig.Solution:
    problem = ig.Problem(model, ig.Prior(x1=stats.norm(), x2=stats.norm()), stats.norm(1, 0.5))
    settings = ig.Settings(
        simulate=SimulateConfig(n=2000), train=SMALL, sample=SampleConfig(n=1000),
        mcmc=McmcConfig(walkers=16, steps=50),
    )  # fmt: skip
    return ig.solve(problem, settings=settings, seed=1, device="cpu")


@pytest.fixture(scope="module")
def plain() -> ig.Solution:
    return solve(Model())


def set_all() -> None:
    for change in SETTINGS.values():
        change()


def test_a_run_gives_the_same_under_any_settings_which_the_model_sees(plain: ig.Solution) -> None:
    set_all()
    outside, model = standing(), Model()
    found = solve(model)
    assert model.found == {outside}
    assert standing() == outside
    np.testing.assert_array_equal(found.samples.x, plain.samples.x)
    assert found.validation.verdict == plain.validation.verdict
    y = np.array([[1.0]] * 5)
    np.testing.assert_array_equal(found.inverse.draw(y, seed=3), plain.inverse.draw(y, seed=3))
    assert standing() == outside


def test_what_a_model_sets_when_it_is_called_is_its_own_too(plain: ig.Solution) -> None:
    model = Model(set_all)
    found = solve(model)
    assert model.found == {standing()}
    assert standing()[0] is torch.float64
    np.testing.assert_array_equal(found.samples.x, plain.samples.x)


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_is_put_aside_and_given_back(setting: str) -> None:
    usual = standing()
    SETTINGS[setting]()
    outside = standing()
    assert outside != usual
    with own_ground():
        assert standing() == usual
        with own_ground(), theirs():
            assert standing() == outside
        assert standing() == usual
    assert standing() == outside


def test_torch_that_the_model_imports_first_is_put_right_too() -> None:
    code = (
        "import sys; from invgan.ground import own_ground, theirs\n"
        "assert 'torch' not in sys.modules\n"
        "with own_ground():\n"
        "    with theirs():\n"
        "        import torch; torch.set_default_dtype(torch.float64)\n"
        "    assert torch.get_default_dtype() is torch.float32\n"
        "    with theirs():\n"
        "        assert torch.get_default_dtype() is torch.float64\n"
        "assert torch.get_default_dtype() is torch.float64\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gradients_that_are_off_for_a_while_stay_so() -> None:
    with own_ground(), torch.no_grad():
        with theirs():
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def noting(model: Model) -> Callable[..., Any]:
    def log_likelihood(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        model(np.zeros((1, 2)))
        return -np.square(x).sum(axis=1)

    return log_likelihood


def test_other_functions_of_the_user_s_go_by_the_user_s_settings_too(tmp_path: Any) -> None:
    prior = ig.Prior(x1=stats.norm(), x2=stats.norm())
    set_all()
    summary, stated, threaded = Model(), Model(), Model()
    raw = ig.summarised(lambda x: x, lambda y: summary(y)[:, None])
    ig.simulate(ig.Problem(raw, prior, stats.norm(1, 0.5)), 100, store=tmp_path)
    problem = ig.Problem(
        Model(),
        prior,
        [[0.5]],
        noise={"normal": 0.1},
        question="posterior",
        log_likelihood=noting(stated),
    )
    simulations = ig.simulate(problem, 100)
    ig.run_mcmc(problem, simulations, 50, walkers=8, steps=20)
    with ThreadPoolExecutor(2) as pool:
        there = ig.Problem(threaded, prior, stats.norm(1, 0.5), execution=ig.Execution(pool))
        ig.simulate(there, 100)
    here = standing()
    assert summary.found == stated.found == {here}
    assert {found[0] for found in threaded.found} == {torch.float64}


def test_the_ground_is_given_back_after_an_error() -> None:
    np.seterr(all="raise")
    torch.set_default_dtype(torch.float64)
    before = standing()
    with pytest.raises(ZeroDivisionError), own_ground():
        assert standing() != before
        with theirs():
            assert standing() == before
            raise ZeroDivisionError
    assert standing() == before
    with theirs():
        assert standing() == before
