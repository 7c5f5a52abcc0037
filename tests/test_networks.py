"""The networks of the game: sizes, norms in closed form, conditions, and every one trained."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.gan import Inverse, train
from invgan.gan.game import GameStage
from invgan.gan.layers import (
    NORMS,
    REFERENCE,
    BatchNorm,
    Dropout,
    Spectral,
    VirtualNorm,
    blank_linear,
)
from invgan.gan.losses import LOSSES
from invgan.gan.member import Member
from invgan.gan.networks import (
    CRITICS,
    GENERATORS,
    Critic,
    Generator,
    build_critic,
    build_generator,
    initialise,
)
from invgan.gan.perceptrons import perceptron
from invgan.gan.stage import Pairs
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.settings import NetworkConfig, TrainConfig
from invgan.simulation import simulate

GENERATOR_NORMS = list(NORMS)


pytestmark = pytest.mark.usefixtures("global_generators_stay_put")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(module: nn.Module) -> tuple[int, int]:
    """Learnt parameters, and running statistics."""
    return (
        sum(p.numel() for p in module.parameters()),
        sum(b.numel() for b in module.buffers()),
    )


def thesis(**others: object) -> TrainConfig:
    form = {"kind": "dcgan", "noise": "uniform", "noise_size": 100, "output": "linear"}
    return TrainConfig(network=NetworkConfig(**{**form, **others}))


def test_the_dcgan_has_the_sizes_of_its_tables() -> None:
    """125,835 = 124,955 + 880 for three outputs; 101,513 for a critic of two inputs."""
    learnt, statistics = count(build_generator(thesis(), 100, 0, 3))
    assert (learnt, statistics) == (124_955, 880)
    assert learnt + statistics == 125_835
    assert count(build_critic(thesis(), 2, 0, rng())) == (101_513, 0)
    assert count(build_critic(thesis(), 1, 1, rng())) == (101_513, 0)


def test_the_layers_of_the_dcgan_are_those_of_its_tables() -> None:
    body = build_generator(thesis(output="tanh"), 100, 0, 3).network
    sizes = [tuple(p.shape) for p in body.parameters() if p.ndim > 1]
    planes = [(a, b, 3, 3) for a, b in ((2, 128), (128, 64), (64, 32), (32, 16))]
    assert sizes == [(200, 100), *planes, (3, 1600)]
    assert sum(isinstance(m, BatchNorm) for m in body.modules()) == 5
    assert {m.negative_slope for m in body.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    critic = build_critic(thesis(), 2, 0, rng()).network
    assert [m.share for m in critic.modules() if isinstance(m, Dropout)] == [0.2]
    assert sum(isinstance(m, nn.Conv2d) for m in critic.modules()) == 4


def form_of(kind: str, width: int, **others: object) -> NetworkConfig:
    """Settings of a kind of network for so many parameters."""
    field = {"field": (1, 1, width)} if kind == "srgan" else {}
    return NetworkConfig(kind=kind, **field, **others)


def generator_of(kind: str, norm: str = "auto", **others: object) -> Generator:
    settings = TrainConfig(hidden=16, layers=3, network=form_of(kind, 4, norm=norm, **others))
    generator = build_generator(settings, 6, 2, 4)
    initialise(generator, rng(1))
    pairs = torch.randn(80, 4, generator=rng(2)), torch.randn(80, 2, generator=rng(3))
    generator.prepare(*pairs, rng(4))
    return generator


@pytest.mark.parametrize("kind", GENERATORS)
@torch.no_grad()
def test_a_correction_starts_as_the_identity_of_its_noise(kind: str) -> None:
    generator = generator_of(kind)
    z, y = torch.randn(9, 6, generator=rng()), torch.randn(9, 2, generator=rng(1))
    assert torch.equal(generator(z, y), z[:, :4])
    assert not torch.equal(generator_of(kind, output="linear")(z, y), z[:, :4])


@pytest.mark.parametrize("kind", GENERATORS)
def test_both_sides_listen_to_what_they_are_conditioned_on(kind: str) -> None:
    generator = generator_of(kind, output="linear")
    z, y = torch.randn(9, 6, generator=rng()), torch.randn(9, 2, generator=rng(1))
    y.requires_grad_()
    u = generator(z, y)
    assert u.shape == (9, 4)
    (slope,) = torch.autograd.grad(u.sum(), y)
    assert (slope != 0).any(dim=0).all()
    settings = TrainConfig(hidden=16, network=form_of(kind, 4, dropout=0))
    critic = build_critic(settings, 4, 2, rng())
    initialise(critic, rng(5))
    scores = critic(u.detach(), y)
    assert scores.shape == (9, 1)
    (slope,) = torch.autograd.grad(scores.sum(), y)
    assert (slope != 0).any(dim=0).all()
    alone = build_critic(settings, 4, 0, rng())
    initialise(alone, rng(5))
    assert alone(u.detach(), y[:, :0]).shape == (9, 1)


@pytest.mark.parametrize("norm", GENERATOR_NORMS)
@pytest.mark.parametrize("kind", GENERATORS)
@torch.no_grad()
def test_a_draw_does_not_depend_on_its_neighbours(kind: str, norm: str) -> None:
    generator = generator_of(kind, norm, output="linear")
    z, y = torch.randn(9, 6, generator=rng()), torch.randn(9, 2, generator=rng(1))
    together = generator(z, y)
    alone = torch.cat([generator(z[i : i + 1], y[i : i + 1]) for i in range(9)])
    assert torch.allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize(("norm", "free"), [("virtual", True), ("layer", True), ("batch", False)])
@torch.no_grad()
def test_in_training_batch_normalisation_alone_mixes_the_rows(norm: str, free: bool) -> None:
    generator = generator_of("mlp", norm, output="linear").train()
    z, y = torch.randn(9, 6, generator=rng()), torch.randn(9, 2, generator=rng(1))
    assert torch.allclose(generator(z, y)[:5], generator(z[:5], y[:5]), atol=1e-4) is free


@pytest.mark.parametrize("shape", [(40, 5), (40, 5, 7), (40, 5, 3, 2)])
def test_batch_normalisation_is_torch_s_own(shape: tuple[int, ...]) -> None:
    ours = BatchNorm(5)
    theirs = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](5)
    h = 3 + 2 * torch.randn(shape, generator=rng())
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        assert torch.allclose(ours(h), theirs(h), atol=1e-6)
    assert torch.allclose(ours.variance, theirs.running_var)


@torch.no_grad()
def test_virtual_normalisation_counts_the_row_into_the_reference_batch() -> None:
    h = 2 + 3 * torch.randn(REFERENCE + 3, 5, 7, generator=rng(), dtype=torch.float64)
    found = VirtualNorm(5).double()(h)
    for row in range(REFERENCE, REFERENCE + 3):
        batch = torch.cat([h[:REFERENCE], h[row : row + 1]])
        mean = batch.mean(dim=(0, 2))[:, None]
        spread = (batch.var(dim=(0, 2), correction=0) + 1e-5).sqrt()[:, None]
        assert torch.allclose(found[row], (h[row] - mean) / spread)
    assert torch.allclose(found[:REFERENCE].mean(dim=(0, 2)), torch.zeros(5).double(), atol=1e-9)


@pytest.mark.parametrize("layer", [nn.Linear, nn.Conv1d])
def test_spectral_normalisation_brings_the_largest_singular_value_to_one(layer: type) -> None:
    sizes = (6, 5) if layer is nn.Linear else (6, 5, 3)
    plain = layer(*sizes, bias=False, device="meta").to_empty(device="cpu")
    initialise(nn.Sequential(plain), rng())
    plain.weight.data *= 7
    spectral = Spectral(plain)
    h = (
        torch.randn(4, 6, generator=rng())
        if layer is nn.Linear
        else torch.randn(4, 6, 9, generator=rng())
    )
    for _ in range(60):
        answer = spectral(h)
    largest = torch.linalg.matrix_norm(plain.weight.flatten(1), 2)
    assert torch.allclose(answer * largest, plain(h), atol=1e-4)
    before = spectral.eval().left.clone()
    spectral(h)
    assert torch.equal(spectral.left, before)


def test_a_spectral_critic_has_slopes_of_one_at_most() -> None:
    for norm, bounded in (("spectral", True), ("none", False)):
        critic = build_critic(
            TrainConfig(hidden=16, network=NetworkConfig(critic_norm=norm)), 3, 0, rng()
        )
        initialise(critic, rng(1))
        for weight in critic.parameters():
            weight.data *= 5
        u = 3 * torch.randn(200, 3, generator=rng(), requires_grad=True)
        for _ in range(40):
            scores = critic(u, u[:, :0])
        (slopes,) = torch.autograd.grad(scores.sum(), u)
        assert (slopes.norm(dim=1).max().item() < 1.001) is bounded


@torch.no_grad()
def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    layer, h = Dropout(0.25, rng(1)), torch.ones(400, 50)
    dropped = layer(h)
    assert (dropped == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(dropped, Dropout(0.25, rng(1))(h))
    assert torch.equal(layer.eval()(h), h)


@torch.no_grad()
def test_a_residual_layer_adds_to_its_input() -> None:
    plain, residual = (perceptron(3, 2, 8, 3, residual=form) for form in (False, True))
    for network in (plain, residual):
        initialise(network, rng(1))
        for layer in [m for m in network.modules() if isinstance(m, nn.Linear)][1:-1]:
            layer.weight.zero_()
            layer.bias.zero_()
    h = torch.randn(5, 3, generator=rng())
    through = residual[-1](residual[1](residual[0](h)))
    assert torch.allclose(residual(h), through)
    assert torch.allclose(plain(h), plain[-1].bias.expand(5, 2))


@pytest.mark.parametrize("slope", [0.0, 0.2])
@torch.no_grad()
def test_the_slope_is_that_of_units_below_zero(slope: float) -> None:
    network = perceptron(1, 1, 1, 1, slope=slope)
    for layer in network[::2]:
        layer.weight.fill_(1)
        layer.bias.zero_()
    h = torch.tensor([[-2.0], [3.0]])
    assert network(h)[:, 0].tolist() == pytest.approx([-2 * slope, 3])


@torch.no_grad()
def test_a_tanh_stays_within_the_range_of_the_training_draws() -> None:
    generator = generator_of("mlp", output="tanh", noise="uniform")
    u = torch.randn(80, 4, generator=rng(2))
    body = [m for m in generator.modules() if isinstance(m, nn.Linear)]
    body[-1].weight *= 1000
    draws = generator.draw(torch.randn(4000, 2, generator=rng()), rng(1))
    spread = u.amax(dim=0) - u.amin(dim=0)
    assert torch.allclose(draws.amax(dim=0) - draws.amin(dim=0), 1.05 * spread, rtol=1e-3)
    assert torch.allclose(draws.amax(dim=0), u.amax(dim=0) + 0.025 * spread, rtol=1e-3)


@pytest.mark.parametrize(
    ("law", "cdf"), [("normal", stats.norm.cdf), ("uniform", stats.uniform(-1, 2).cdf)]
)
def test_the_noise_has_its_law(law: str, cdf: object) -> None:
    z = generator_of("mlp", noise=law, output="linear").latent(4000, rng())
    assert z.shape == (4000, 6)
    assert stats.kstest(z.numpy().ravel(), cdf).pvalue > 0.01


def test_too_little_noise_for_a_correction_is_refused() -> None:
    with pytest.raises(InputError, match=r"2 latent numbers are too few .*noise_size to 5"):
        Generator(2, 1, 5, 8, 1)
    Generator(2, 1, 5, 8, 1, NetworkConfig(output="linear"))


@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_series_of_any_length(length: int, channels: int) -> None:
    form, features = NetworkConfig(kind="conv1d", channels=channels), length * channels
    generator = Generator(features, 2, features, 8, 3, form)
    critic = Critic(features, 2, 8, 3, form, packing=2)
    for network in (generator, critic):
        initialise(network, rng())
    y = torch.zeros(6, 2)
    u = generator.draw(y, rng())
    assert u.shape == (6, features)
    assert critic(u, y).shape == (3, 1)


@torch.no_grad()
def test_a_series_critic_sees_the_same_pattern_wherever_it_is() -> None:
    """Far from the ends a shift by its stride shifts what its convolutions say."""
    critic = Critic(64, 0, 8, 2, NetworkConfig(kind="conv1d"))
    initialise(critic, rng())
    body = critic.network.body
    bump = torch.zeros(1, 1, 64)
    bump[..., 24:30] = torch.randn(6, generator=rng())
    a, b = (body[:-3](h) for h in (bump, bump.roll(8, dims=2)))
    assert torch.allclose(a[..., 3:11], b[..., 5:13], atol=1e-6)
    assert not torch.allclose(a[..., 3:11], b[..., 3:11], atol=1e-3)


def test_parameters_that_are_no_series_are_refused() -> None:
    with pytest.raises(InputError, match=r"5 parameters .* train.network.channels = 2"):
        Generator(5, 1, 5, 8, 2, NetworkConfig(kind="conv1d", channels=2))


def test_the_kinds_of_the_settings_are_those_that_there_are() -> None:
    fields = NetworkConfig.model_fields
    assert set(fields["kind"].annotation.__args__) == set(GENERATORS) == set(CRITICS)
    assert set(fields["norm"].annotation.__args__) == {"auto", *NORMS}


FAR = 3.0


def moved(
    loss: str, steps: int, batch: int = 64, rate: float = 5e-3, kind: str = "mlp", **form: object
) -> tuple[Tensor, list[float]]:
    """Means of the draws after a few steps towards N(3, 1), which start at N(0, 1); figures."""
    settings = TrainConfig(
        loss=loss, hidden=16, layers=2, batch_size=batch, steps=10 * steps, learning_rate=rate,
        network=form_of(kind, 2, **form),
    )  # fmt: skip
    u = FAR + torch.randn(500, 2, generator=rng(1))
    pairs = Pairs(u, torch.randn(500, 1, generator=rng(2)))
    stage = GameStage(pairs, pairs, settings, rng(3))
    figures = [stage.step(step, True) for step in range(steps)]
    with torch.no_grad():
        draws = stage._generator.eval().draw(pairs.y, rng(4))
    return draws.mean(dim=0), torch.stack(figures).flatten().tolist()


def networks_and_losses() -> list[object]:
    """All of both; the networks that take longest with most losses only where there is time."""
    return [
        pytest.param(kind, loss, marks=pytest.mark.slow)
        if kind in ("dcgan", "srgan") and loss not in ("relativistic", "wasserstein")
        else (kind, loss)
        for kind in GENERATORS
        for loss in LOSSES
    ]


@pytest.mark.parametrize(("kind", "loss"), networks_and_losses())
def test_every_network_learns_by_every_loss(kind: str, loss: str) -> None:
    means, figures = moved(loss, *((12, 16, 1e-3) if kind == "dcgan" else (40,)), kind=kind)
    assert all(map(math.isfinite, figures))
    assert means.min().item() > 0.3


@pytest.mark.parametrize("norm", GENERATOR_NORMS)
def test_a_game_is_played_with_every_norm(norm: str) -> None:
    means, figures = moved("relativistic", 60, norm=norm, residual=True, dropout=0.1)
    assert all(map(math.isfinite, figures))
    assert means.min().item() > 0.2


@pytest.mark.parametrize("norm", ["layer", "spectral"])
def test_a_game_is_played_with_every_critic(norm: str) -> None:
    means, _ = moved("hinge", 60, critic_norm=norm)
    assert means.min().item() > 0.2


QUICK = {"head": "none", "steps": 0, "hidden": 8, "layers": 2, "evaluations": 1}


@pytest.fixture(scope="module")
def plain() -> Inverse:
    problem = Problem(
        lambda x: x[:, :1] + x[:, 1:], Prior(a=stats.norm(), b=stats.norm()), stats.norm(0, 0.5)
    )
    return train(problem, simulate(problem, 200, seed=1), TrainConfig(**QUICK), device="cpu")


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "mlp", "norm": "virtual", "output": "tanh", "noise": "uniform"},
        {"kind": "dcgan", "generator_hidden": 3},
        {"kind": "conv1d", "norm": "batch", "critic_norm": "spectral", "generator_hidden": 6},
        {"norm": "spectral", "noise_size": 7, "residual": True, "slope": 0.0},
        {"kind": "srgan", "field": (2, 1, 1), "coarse": (1, 1, 1), "blocks": 1},
    ],
)
def test_a_saved_inverse_rebuilds_its_network(form: dict, plain: Inverse, tmp_path: Path) -> None:
    config = TrainConfig(**{**QUICK, "network": NetworkConfig(**form)})
    generator = build_generator(config, config.network.noise_size or 4, 1, 2)
    initialise(generator, rng(1))
    generator.prepare(
        torch.randn(80, 2, generator=rng(2)), torch.randn(80, 1, generator=rng(3)), rng(4)
    )
    member = Member("none", plain.members[0].estimator, generator, None)
    inverse = replace(plain, config=config, members=(member,))
    inverse.save(tmp_path / "inverse")
    loaded = Inverse.load(tmp_path / "inverse", device="cpu")
    assert loaded.config.network == config.network
    y = np.linspace(-1, 1, 20)[:, None]
    assert np.array_equal(loaded.draw(y, seed=3), inverse.draw(y, seed=3))


@pytest.mark.parametrize("form", [{"noise_size": 1}, {"kind": "conv1d", "channels": 3}])
def test_networks_that_do_not_fit_are_refused_before_any_training(form: dict) -> None:
    problem = Problem(
        lambda x: x[:, :1] + x[:, 1:], Prior(a=stats.norm(), b=stats.norm()), stats.norm(0, 0.5)
    )
    settings = TrainConfig(head_steps=10**9, network=NetworkConfig(**form))
    with pytest.raises(InputError, match=r"train\.network"):
        train(problem, simulate(problem, 200, seed=1), settings, device="cpu")


def test_a_linear_layer_keeps_the_global_generator_where_it_was() -> None:
    assert blank_linear(2, 3).weight.shape == (3, 2)
