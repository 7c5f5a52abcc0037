"""Small problems that several rooms are tested on, solved once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy import stats

from invgan import metrics, ratio
from invgan.files import replacing
from invgan.gan import Inverse, judge, train
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import TrainConfig
from invgan.simulation import simulate

SMALL = TrainConfig(
    head="linear", head_steps=200, steps=60, hidden=32, layers=2, evaluations=2, batch_size=256,
    likelihood=False,
)  # fmt: skip

WHOLE = {
    (room, name): getattr(room, name)
    for room, name in (
        (judge, "_QUICK_STEPS"),
        (judge, "_QUICK_BATCHES"),
        (ratio, "_EPOCHS"),
        (metrics, "_EPOCHS"),
    )
}
"""How long the classifiers are trained that tell draws from the truth."""


def add(x: np.ndarray) -> np.ndarray:
    """The sum of two parameters (n, 2), shape (n, 1)."""
    return x.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True, scope="session")
def small_pictures() -> Iterator[None]:
    """Pictures of a third of their resolution, which take a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invgan.plots.style.DPI", 50)
        yield


@pytest.fixture(scope="module")
def road_alone() -> Iterator[None]:
    """What is seen on the way to a report does not count: dots for pictures, hardly a classifier.

    Every picture is a dot with a name, and classifiers that tell draws from the truth stop at once.
    """

    def save(_: Figure, path: Path) -> None:
        with replacing(path) as temporary:
            Figure(figsize=(0.1, 0.1)).savefig(
                temporary, format="png", metadata={"Title": path.stem}
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invgan.plots.save_png", save)
        for (room, name), value in WHOLE.items():
            patch.setattr(room, name, value // 15)
        yield


@pytest.fixture(autouse=True, scope="session")
def brief_classifier() -> Iterator[None]:
    """Classifiers that tell draws from the truth take a quarter of their steps and epochs."""
    with pytest.MonkeyPatch.context() as patch:
        for (room, name), value in WHOLE.items():
            if room is not metrics:
                patch.setattr(room, name, value // 4)
        yield


@pytest.fixture(autouse=True)
def whole_classifier_where_there_is_time(request: pytest.FixtureRequest) -> None:
    """Slow tests are of the real thing."""
    if request.node.get_closest_marker("slow"):
        request.getfixturevalue("whole_classifier")


@pytest.fixture
def whole_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take all of them, where a test asks how well they tell."""
    for (room, name), value in WHOLE.items():
        monkeypatch.setattr(room, name, value)


@pytest.fixture
def global_generators_stay_put() -> Iterator[None]:
    """No test that asks for this may read or seed a global generator."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.fixture(scope="session")
def sum_problem() -> Problem:
    """x ~ N(0, 1)^2, y = x1 + x2, P_Y = N(1, 0.5^2): P_X is Gaussian with mean (0.5, 0.5)."""
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    return Problem(add, prior, stats.norm(1, 0.5))


def exact_sum(n: int, seed: int) -> np.ndarray:
    """Exact draws of the sum problem's P_X, shape (n, 2)."""
    rng = np.random.default_rng(seed)
    y, gap = rng.normal(1, 0.5, n), rng.normal(0, np.sqrt(2), n)
    return np.stack([(y + gap) / 2, (y - gap) / 2], axis=1)


@pytest.fixture(scope="session")
def sum_simulations(sum_problem: Problem) -> Simulations:
    return simulate(sum_problem, 8000, seed=1)


@pytest.fixture(scope="session")
def sum_inverse(sum_problem: Problem, sum_simulations: Simulations) -> Inverse:
    return train(sum_problem, sum_simulations, SMALL, seed=2, device="cpu")
