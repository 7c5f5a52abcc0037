"""The content loss: closed forms, the model's own push-forward, and what it does to a posterior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from invgan.errors import InputError
from invgan.fields import GaussianField
from invgan.gan import fit_generator, train
from invgan.gan.content import Content, known_outputs, outputs_of
from invgan.gan.game import GameStage
from invgan.gan.known import differentiable
from invgan.gan.member import build_estimator
from invgan.gan.networks import Generator, initialise
from invgan.gan.stage import Pairs
from invgan.models import torch_model
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import EmbeddingConfig, NetworkConfig, TrainConfig
from invgan.simulation import simulate

A = torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]], dtype=torch.float64)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def linear(x: Tensor) -> Tensor:
    return x @ A.T


def problem_of(model: object = linear, **others: object) -> Problem:
    prior = Prior(a=stats.norm(1, 2), b=stats.uniform(-1, 3), c=stats.gamma(2))
    return Problem(torch_model(model, "cpu"), prior, [[0.5, 1.0]], question="posterior", **others)


def scales(problem: Problem) -> tuple[Simulations, ParameterScaling, OutputScaling]:
    simulations = simulate(problem, 500, seed=1)
    parameters = ParameterScaling.fit(problem.prior, np.random.default_rng(0))
    return simulations, parameters, OutputScaling.fit(simulations.y)


def test_pixels_are_a_mean_square() -> None:
    content, u, real = Content(1.0, None), normal(7, 3).requires_grad_(), normal(7, 3, seed=1)
    found = content(u, u[:, :2], u, real)
    assert found.item() == pytest.approx(((u - real) ** 2).sum().item() / 21)
    (slope,) = torch.autograd.grad(found, u)
    assert torch.allclose(slope, 2 * (u - real) / 21)
    assert content(u, u[:, :2], real, real) == 0


@pytest.mark.parametrize("head", ["none", "linear"])
def test_outputs_are_compared_by_the_model_itself(head: str) -> None:
    """The value by the scales' own maps; zero for real pairs; the slope by finite differences."""
    problem = problem_of()
    simulations, parameters, scaling = scales(problem)
    config = TrainConfig(content_weight=1)
    estimator = build_estimator(config, head, 3, 2, 5).double()
    e, y = (
        torch.as_tensor(part)
        for part in (parameters.to_network(simulations.x), scaling.to_network(simulations.y))
    )
    if head == "linear":
        estimator.head.fit(e, y)
    known = known_outputs(problem, simulations.x, config, parameters, scaling)
    content = Content(1.0, outputs_of(estimator, known))
    with torch.no_grad():
        real = estimator(e, y)[0]
    assert float(content(e, y, real, real)) < 1e-6
    u, y = real[:9] + 0.3 * normal(9, 3), y[:9]
    x = parameters.to_parameters(estimator.inverse(u, y).numpy())
    wanted = np.mean((scaling.to_network(x @ A.numpy().T) - y.numpy()) ** 2)
    u.requires_grad_()
    found = content(u, y, u, real[:9])
    assert found.item() == pytest.approx(wanted, rel=1e-4)
    (slope,) = torch.autograd.grad(found, u)
    for j in range(3):
        step = torch.zeros_like(u)
        step[4, j] = 1e-4
        both = [float(content(u, y, (u + sign * step).detach(), u)) for sign in (1, -1)]
        assert float(slope[4, j]) == pytest.approx((both[0] - both[1]) / 2e-4, rel=0.02, abs=1e-4)
    assert all(p.grad is None and not p.requires_grad for p in estimator.parameters())


def sum_by_name(x: Tensor) -> Mapping[str, Tensor]:
    return {"total": x.sum(dim=(1, 2, 3)), "rows": x.sum(dim=(1, 3))}


def test_a_model_of_fields_that_returns_names_is_followed() -> None:
    seen = {"rows": np.zeros((1, 2)), "total": np.zeros(1)}
    problem = Problem(
        torch_model(sum_by_name, "cpu"), GaussianField((2, 3), 1.0), seen, question="posterior"
    )
    simulations = simulate(problem, 100, seed=1)
    model = differentiable(problem, simulations.x[:2])
    assert model is not None
    x = torch.tensor(simulations.x, requires_grad=True)
    assert np.allclose(model(x).detach(), simulations.y)
    (slope,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    assert torch.equal(slope[0], torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64))


def test_repeats_of_an_experiment_have_the_same_outputs() -> None:
    problem = Problem(
        torch_model(linear, "cpu"), problem_of().prior, [[0.5, 1.0], [0.4, 1.1]],
        noise={"normal": 0.1}, question="posterior",
    )  # fmt: skip
    x = simulate(problem, 100, seed=1).x[:2]
    model = differentiable(problem, x)
    assert model is not None
    assert torch.allclose(model(torch.tensor(x)), torch.tensor(x @ A.numpy().T).repeat(1, 2))


def problem_in_numpy() -> Problem:
    prior = problem_of().prior
    return Problem(lambda x: x[:, :2], prior, [[0.5, 1.0]], question="posterior")


def as_array(x: Tensor) -> Tensor:
    return torch.as_tensor(x.numpy() @ A.numpy().T)


def noisy(x: Tensor, noise: torch.Generator) -> Tensor:
    return linear(x) + torch.randn(len(x), 2, generator=noise, dtype=x.dtype)


@pytest.mark.parametrize(
    ("problem", "embedding"),
    [
        (problem_in_numpy(), "none"),
        (problem_of(as_array), "none"),
        (problem_of(lambda x: linear(x).detach()), "none"),
        (problem_of(noisy, stochastic=True), "none"),
        (problem_of(), "mlp"),
    ],
)  # fmt: skip
def test_where_no_gradient_passes_pixels_are_compared(problem: Problem, embedding: str) -> None:
    simulations, *scaled = scales(problem)
    settings = {"content_weight": 1.0, "embedding": EmbeddingConfig(kind=embedding)}
    assert known_outputs(problem, simulations.x, TrainConfig(**settings), *scaled) is None
    config = TrainConfig(**settings, content="outputs", head_steps=10**9)
    with pytest.raises(InputError, match=r"train\.content outputs .* choose pixels or auto"):
        train(problem, simulations, config, device="cpu")


def test_a_table_has_no_content() -> None:
    with pytest.raises(InputError, match="a table has no outputs; got 2, leave it 0"):
        fit_generator(np.random.default_rng(0).normal(size=300), TrainConfig(content_weight=2))


def spread_of(weight: float) -> tuple[float, float]:
    """Standard deviation of draws given y where u ~ N(y, 1), and the last recorded content."""
    y = torch.randn(2000, 1, generator=rng(1))
    pairs = Pairs(y + torch.randn(2000, 1, generator=rng(2)), y)
    config = TrainConfig(
        hidden=16, layers=2, batch_size=64, steps=200, learning_rate=5e-3,
        content_weight=weight, content="pixels", network=NetworkConfig(noise_size=1),
    )  # fmt: skip
    game = GameStage(pairs, pairs, config, rng(3))
    figures = [game.step(k, True) for k in range(200)]
    with torch.no_grad():
        draws = game.kept.draw(torch.zeros(2000, 1), rng(4))
    assert game.columns[-1] == ("content_loss" if weight else "generator_grad_norm")
    last = figures[-1]
    assert last is not None
    return float(draws.std()), float(last[-1])


@pytest.mark.slow
def test_content_draws_all_draws_to_their_mean() -> None:
    """At the least content the spread is gone, and what is left is the posterior's own variance."""
    assert spread_of(0.0)[0] == pytest.approx(1.0, abs=0.15)
    narrow, content = spread_of(20.0)
    assert narrow < 0.6
    assert content == pytest.approx(1.0, abs=0.4)


def test_held_out_content_is_that_of_held_out_pairs() -> None:
    """A new generator returns its noise: 1 + 1 where real parameters are standard normal."""
    generator = Generator(3, 2, 3, 8, 1)
    initialise(generator, rng())
    pairs = Pairs(torch.randn(8000, 3, generator=rng(1)), torch.randn(8000, 2, generator=rng(2)))
    content = Content(1.0, None)
    assert content.measure(generator, pairs) == pytest.approx(2.0, abs=0.1)
    assert content.measure(generator, pairs) == content.measure(generator, pairs)


def test_content_of_outputs_brings_draws_onto_the_answer() -> None:
    """x1 + x2 = y without noise: draws explain their outputs better, and keep their spread."""
    problem = Problem(
        torch_model(lambda x: x.sum(dim=1), "cpu"), Prior(a=stats.norm(), b=stats.norm()), [[0.5]],
        question="posterior",
    )  # fmt: skip
    simulations, found = simulate(problem, 2000, seed=1), []
    for weight in (0.0, 10.0):
        config = TrainConfig(
            head="none", steps=40, hidden=16, layers=2, batch_size=128, evaluations=1,
            restarts=0, content_weight=weight, learning_rate=5e-3,
        )  # fmt: skip
        inverse = train(problem, simulations, config, seed=0, device="cpu")
        x = inverse.draw(np.full((1000, 1), 0.5), seed=1)
        found.append((np.abs(x.sum(axis=1) - 0.5).mean(), x[:, 0].std()))
    assert found[1][0] < 0.6 * found[0][0]
    assert found[1][1] > 0.4
