"""Networks of fields: sizes, what a pixel can see, conditions, refusals, and a game that is won."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.fields import GaussianField
from invgan.gan import Inverse, train
from invgan.gan.game import GameStage
from invgan.gan.losses import gradient_penalty
from invgan.gan.networks import (
    Critic,
    Generator,
    build_critic,
    build_generator,
    fitted,
    initialise,
)
from invgan.gan.srgan import Planes
from invgan.gan.stage import Pairs
from invgan.problem import Problem
from invgan.settings import EmbeddingConfig, NetworkConfig, TrainConfig
from invgan.simulation import simulate

pytestmark = pytest.mark.usefixtures("global_generators_stay_put")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed))


def form(**others: object) -> NetworkConfig:
    """An 8 x 8 field whose 2 x 2 averages are the first outputs."""
    usual = {"kind": "srgan", "field": (1, 8, 8), "coarse": (1, 2, 2), "blocks": 2}
    return NetworkConfig(**{**usual, **others})


def generator_of(
    noise: int = 64, outputs: int = 4, hidden: int = 16, **others: object
) -> Generator:
    shape = form(**others)
    generator = Generator(noise, outputs, math.prod(shape.field or ()), hidden, 3, shape)
    initialise(generator, rng(1))
    return generator.eval()


def critic_of(outputs: int = 4, packing: int = 1, **others: object) -> Critic:
    shape = form(**others)
    critic = Critic(math.prod(shape.field or ()), outputs, 16, 3, shape, packing)
    initialise(critic, rng(2))
    return critic


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolution(inputs: int, outputs: int) -> int:
    return outputs * (9 * inputs + 1)


def dense(inputs: int, outputs: int) -> int:
    return outputs * (inputs + 1)


@pytest.mark.parametrize("blocks", [0, 3])
def test_sizes_are_those_of_the_formula(blocks: int) -> None:
    """Width 16 / 4; three outputs and two latent numbers more than the fields make a plane each."""
    w, planes = 4, 16
    entering = (1 + 1) + 1 + planes
    expected = (
        dense(3, 4) + dense(2, 4) + convolution(entering, w)
        + (2 * blocks + 1) * convolution(w, w)
        + convolution(w, 4 * w) + convolution(w + planes // 4, 4 * w) + convolution(w + 1, 1)
    )  # fmt: skip
    assert count(generator_of(66, 7, blocks=blocks)) == expected
    expected = (
        dense(3, 4) + convolution(1 + 2, w) + convolution(w, 2 * w) + convolution(2 * w, 4 * w)
        + dense(4 * w * 2 * 2, 16) + dense(16, 1)
    )  # fmt: skip
    assert count(critic_of(7)) == expected


SHAPES = [
    ((1, 16, 16), (1, 16, 16)),
    ((2, 8, 8), (3, 1, 1)),
    ((1, 32, 16), (2, 4, 2)),
    ((1, 7, 5), None),
    ((3, 6, 10), None),
    ((1, 1, 1), None),
]


@pytest.mark.parametrize(("field", "coarse"), SHAPES)
@pytest.mark.parametrize("beside", [0, 3])
@torch.no_grad()
def test_fields_of_any_shape(field: tuple, coarse: tuple | None, beside: int) -> None:
    outputs, features = math.prod(coarse or (0,)) + beside, math.prod(field)
    y = normal(6, outputs)
    for noise, output in ((features, "correction"), (features + 5, "tanh"), (2, "linear")):
        others = {"field": field, "coarse": coarse, "output": output, "noise_size": noise}
        u = generator_of(noise, outputs, **others).draw(y, rng())
        assert u.shape == (6, features)
        assert critic_of(outputs, 2, **others)(u, y).shape == (3, 1)


@torch.no_grad()
def test_a_correction_starts_as_its_noise() -> None:
    z, y = normal(5, 64), normal(5, 4, seed=1)
    assert torch.equal(generator_of()(z, y), z)
    assert not torch.allclose(generator_of(output="linear")(z, y), z)


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "spectral", "virtual"])
def test_a_gradient_reaches_every_weight_of_the_generator(norm: str) -> None:
    generator = generator_of(66, 7, output="linear", norm=norm)
    generator.prepare(normal(80, 64), normal(80, 7), rng(3))
    (generator(normal(9, 66), normal(9, 7, seed=1)) * normal(9, 64, seed=2)).sum().backward()
    assert all((p.grad != 0).any() for p in generator.parameters())


def test_the_penalty_reaches_every_layer_that_the_field_goes_through() -> None:
    """The gradient of a squared gradient, as R1 and R2 need it."""
    critic, u = critic_of(7), normal(9, 64).requires_grad_()
    scores = critic(u, normal(9, 7, seed=1))
    gradient_penalty(scores, u).backward(retain_graph=True)
    body = dict(critic.network.body.named_parameters())
    assert all(p.grad.any() for name, p in body.items() if name.endswith("weight"))
    scores.sum().backward()
    assert all(p.grad.any() for p in critic.parameters())


@pytest.mark.parametrize("packing", [1, 3])
def test_the_critic_sees_every_number(packing: int) -> None:
    critic = critic_of(7, packing)
    u, y = normal(6, 64).requires_grad_(), normal(6, 7, seed=1).requires_grad_()
    slopes = torch.autograd.grad(critic(u, y).sum(), (u, y))
    assert all((slope != 0).all() for slope in slopes)


@torch.no_grad()
def test_the_critic_sees_each_coarse_pixel_over_its_own_block() -> None:
    critic, seen = critic_of(4, packing=2), []
    critic.network.body[0].register_forward_hook(lambda *call: seen.append(call[1][0]))
    u, y = normal(4, 64), normal(4, 4, seed=1)
    critic(u, y)
    blocks = torch.kron(y.reshape(2, 2, 2, 2), torch.ones(4, 4))
    assert torch.equal(seen[0], torch.cat([u.reshape(2, 2, 8, 8), blocks], dim=1))


@torch.no_grad()
def test_planes_hold_what_is_no_field_beside_what_is() -> None:
    planes = Planes(7, (1, 2, 2), packing=2)
    initialise(planes, rng())
    y = normal(5, 14)
    found = planes(y)
    assert found.shape == (5, planes.count, 2, 2) == (5, 2 + 2, 2, 2)
    assert torch.equal(found[:, 0].flatten(1), y[:, :4])
    assert torch.equal(found[:, 1].flatten(1), y[:, 7:11])
    left = torch.cat([y[:, 4:7], y[:, 11:]], dim=1)
    assert torch.allclose(found[:, 2:].flatten(1), planes.beside(left))


WIDE = {"field": (1, 40, 40), "coarse": (1, 10, 10), "blocks": 0, "output": "linear"}


@torch.no_grad()
def test_a_coarse_pixel_changes_the_draws_near_it_alone() -> None:
    """Three convolutions on the coarse grid, one at half its step and one at a quarter: 3.75."""
    generator, z, y = generator_of(1600, 100, **WIDE), normal(1, 1600), normal(1, 100, seed=1)
    other = y.clone()
    other[0, 0] += 1
    change = (generator(z, other) - generator(z, y)).reshape(40, 40).abs()
    reach = 4 + 15
    assert change[:4, :4].min() > 0
    assert change[reach:].max() == change[:, reach:].max() == 0
    assert change[reach - 1, :4].max() > 0
    assert change[:4, :4].mean() > 2 * change[8:12, 8:12].mean()


@torch.no_grad()
def test_a_latent_pixel_changes_the_draws_near_it_alone() -> None:
    generator, z, y = generator_of(1600, 100, **WIDE), normal(1, 1600), normal(1, 100, seed=1)
    other = z.clone()
    other[0, 41 * 39] += 1
    change = (generator(other, y) - generator(z, y)).reshape(40, 40).abs()
    assert change[39, 39] > 0
    assert change[: 36 - 15].max() == change[:, : 36 - 15].max() == 0


@torch.no_grad()
def test_inside_a_field_the_place_does_not_matter() -> None:
    """A pattern moved by one coarse pixel moves what is drawn by four; at an edge it does not."""
    generator, z = generator_of(1600, 100, **WIDE), torch.zeros(1, 1600)

    def patch(i: int) -> Tensor:
        y = torch.zeros(1, 10, 10)
        y[0, i, i] = 2
        return generator(z, y.flatten(1)).reshape(40, 40)[4 * i : 4 * i + 4, 4 * i : 4 * i + 4]

    assert torch.allclose(patch(4), patch(5), atol=1e-6)
    assert not torch.allclose(patch(4), patch(0), atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"coarse": (1, 3, 3)}, "both sides of the field, 8 x 8, divided by one power of two"),
        ({"coarse": (1, 4, 2)}, r"one power of two; got 4 x 2"),
        ({"coarse": (1, 16, 16)}, "got 16 x 16"),
        ({"field": (1, 0, 8)}, r"field must be \[channels, height, width\], each 1 or more"),
        ({"kind": "mlp"}, "field has no meaning for kind mlp"),
        ({"kind": "conv1d", "field": None}, "coarse has no meaning for kind conv1d"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        form(**settings)


@pytest.mark.parametrize(
    ("network", "embedding", "said"),
    [
        (
            {"kind": "srgan", "field": (4, 4, 4)},
            "none",
            r"\[4, 4, 4\] and the prior's .* \[1, 8, 8\]: le",
        ),
        ({"kind": "srgan", "coarse": (2, 2, 2)}, "none", r"\[2, 2, 2\], 8 numbers, and the .* 4;"),
        ({"kind": "srgan", "coarse": (1, 2, 2)}, "mlp", "without an embedding"),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_any_training(
    network: dict, embedding: str, said: str
) -> None:
    config = TrainConfig(
        head_steps=10**9, network=NetworkConfig(**network),
        embedding=EmbeddingConfig(kind=embedding, features=2),
    )  # fmt: skip
    problem = averaged()
    with pytest.raises(InputError, match=said):
        train(problem, simulate(problem, 100, seed=1), config, device="cpu")


def test_a_srgan_without_a_field_is_refused() -> None:
    config = TrainConfig(network=NetworkConfig(kind="srgan"))
    for build in (
        lambda: build_generator(config, 64, 4, 64),
        lambda: build_critic(config, 64, 4, rng()),
    ):
        with pytest.raises(InputError, match=r"set train\.network\.field to"):
            build()
    other = TrainConfig(network=NetworkConfig(kind="srgan", field=(1, 4, 8)))
    with pytest.raises(InputError, match=r"\[1, 4, 8\], 32 numbers, and there are 64 parameters"):
        build_generator(other, 64, 4, 64)


def test_shapes_are_taken_from_the_problem_where_they_are_left_open() -> None:
    def shapes(outputs: tuple | None, field: tuple | None = (1, 8, 8), **settings: object) -> tuple:
        network = NetworkConfig(**{"kind": "srgan", **settings.pop("network", {})})
        found = fitted(TrainConfig(network=network, **settings), field, outputs).network
        return found.field, found.coarse

    assert shapes((1, 2, 2)) == ((1, 8, 8), (1, 2, 2))
    assert shapes(None) == ((1, 8, 8), None)
    assert shapes((1, 3, 3)) == ((1, 8, 8), None)
    assert shapes((1, 2, 2), None, network={"field": (4, 4, 4)}) == ((4, 4, 4), (1, 2, 2))
    assert shapes((1, 2, 2), network={"coarse": (1, 4, 4)}) == ((1, 8, 8), (1, 4, 4))
    embedding = EmbeddingConfig(kind="conv2d", shape=(1, 2, 2))
    assert shapes((1, 2, 2), embedding=embedding) == ((1, 8, 8), None)
    plain = TrainConfig(head="none")
    assert fitted(plain, (1, 8, 8), (1, 2, 2)) is plain


def average(x: np.ndarray) -> np.ndarray:
    """Averages (n, 1, 2, 2) over the quarters of fields (n, 1, 8, 8)."""
    return x.reshape(-1, 1, 2, 4, 2, 4).mean(axis=(3, 5))


def averaged() -> Problem:
    observed = np.array([[[[1.0, 0.5], [-0.5, 0.0]]]])
    prior = GaussianField((8, 8), 3.0)
    return Problem(average, prior, observed, noise={"normal": 0.2}, question="posterior")


def posterior(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the exact Gaussian posterior, (D,) each."""
    to_average = average(np.eye(64).reshape(-1, 1, 8, 8)).reshape(64, 4).T
    prior = problem.prior.covariance
    cross = prior @ to_average.T
    gain = cross @ np.linalg.inv(to_average @ cross + 0.2**2 * np.eye(4))
    mean = gain @ problem.observations.rows[0]
    return mean, np.sqrt(np.diag(prior - gain @ cross.T))


SMALL = TrainConfig(
    head="none", members=1, judge=False, hidden=32, steps=150, batch_size=64, evaluations=1,
    learning_rate=1e-2, restarts=0, network=NetworkConfig(kind="srgan", blocks=1),
)  # fmt: skip


@pytest.fixture(scope="module")
def won() -> Inverse:
    problem = averaged()
    return train(problem, simulate(problem, 4000, seed=1), SMALL, seed=0, device="cpu")


def test_a_small_game_is_won(won: Inverse) -> None:
    """The draws come near the exact posterior, of which they knew nothing at the start."""
    assert won.config.network.field == (1, 8, 8)
    assert won.config.network.coarse == (1, 2, 2)
    untrained, trained = won.history[0]["heldout"], won.info["divergence"]
    assert trained < 0.6 * untrained
    problem = averaged()
    x = won.draw(np.repeat(problem.observations.rows, 2000, axis=0), seed=1)
    mean, sd = posterior(problem)
    assert np.linalg.norm(x.mean(axis=0) - mean) < 0.35 * np.linalg.norm(mean)
    assert np.linalg.norm(x.std(axis=0) - sd) < 0.2 * np.linalg.norm(sd)


def test_a_saved_inverse_draws_the_same_fields(won: Inverse, tmp_path: Path) -> None:
    won.save(tmp_path / "inverse")
    loaded = Inverse.load(tmp_path / "inverse", device="cpu")
    assert loaded.config == won.config
    y = np.repeat(averaged().observations.rows, 20, axis=0)
    assert np.array_equal(loaded.draw(y, seed=3), won.draw(y, seed=3))


def test_a_seed_is_a_game() -> None:
    pairs = Pairs(normal(200, 64), normal(200, 4, seed=1))
    config = TrainConfig(hidden=8, batch_size=32, steps=3, network=form())
    weights = []
    for seed in (0, 0, 1):
        game = GameStage(pairs, pairs, config, rng(seed))
        for step in range(3):
            game.step(step, False)
        weights.append(torch.cat([p.detach().flatten() for p in game.kept.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
