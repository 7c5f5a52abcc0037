"""Embeddings: laws of masks and symmetries, determinism, and that every kind learns."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from invgan.errors import InputError
from invgan.gan.embedding import Embedding, build_embedding
from invgan.structure import EmbeddingConfig, thin_sets

KINDS = {
    "mlp": ({"kind": "mlp"}, 12),
    "conv1d": ({"kind": "conv1d", "shape": (2, 40)}, 80),
    "long conv1d": ({"kind": "conv1d"}, 133),
    "recurrent": ({"kind": "recurrent", "shape": (2, 40)}, 80),
    "transformer": ({"kind": "transformer", "shape": (2, 40)}, 80),
    "conv2d": ({"kind": "conv2d", "shape": (2, 9, 11)}, 198),
    "set": ({"kind": "set", "shape": (6, 3)}, 18),
    "attended set": ({"kind": "set", "shape": (6, 3), "pooling": "attention"}, 18),
}
SERIES = ["conv1d", "recurrent", "transformer"]
POOLINGS = ["moments", "attention"]


pytestmark = pytest.mark.usefixtures("global_generators_stay_put")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grown(embedding: Embedding) -> Embedding:
    """With weights as after training: no branch is zero any more."""
    noise = rng(7)
    for parameter in embedding.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=noise)
    return embedding


def built(settings: dict, outputs: int, seed: int = 0) -> Embedding:
    return build_embedding(EmbeddingConfig(hidden=16, features=5, **settings), outputs, rng(seed))


def of_kind(name: str) -> Embedding:
    return grown(built(*KINDS[name]))


def rows(n: int, width: int, *, missing: float = 0.0, seed: int = 1) -> Tensor:
    y = torch.randn(n, width, generator=rng(seed))
    return y.masked_fill(torch.rand(n, width, generator=rng(seed + 1)) < missing, torch.nan)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("missing", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", KINDS)
def test_summaries_and_gradients_are_finite_whatever_is_missing(name: str, missing: float) -> None:
    embedding = of_kind(name)
    s = embedding(rows(9, embedding.inputs, missing=missing))
    assert s.shape == (9, 5) == (9, embedding.features)
    assert torch.isfinite(s).all()
    s.square().sum().backward()
    gradients = [p.grad for p in embedding.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_reach_every_weight_past_the_masks(name: str) -> None:
    embedding = of_kind(name)
    embedding(rows(50, embedding.inputs, missing=0.3)).square().sum().backward()
    still = [key for key, p in embedding.named_parameters() if not p.grad.abs().sum() > 0]
    assert not still


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_a_summary_depends_on_its_own_row_alone(name: str) -> None:
    embedding = of_kind(name)
    y = rows(8, embedding.inputs, missing=0.3)
    one_by_one = torch.cat([embedding(row[None]) for row in y])
    assert close(embedding(y), one_by_one)


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_an_absent_value_is_not_a_measured_zero(name: str) -> None:
    embedding = of_kind(name)
    y = rows(20, embedding.inputs, missing=0.3)
    y[:, 1] = torch.nan
    differs = (embedding(y) - embedding(y.nan_to_num(0.0))).abs().amax(dim=1)
    assert torch.all(differs > 1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_weights_come_from_the_generator_alone(name: str) -> None:
    first, again, other = (built(*KINDS[name], seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_an_embedding_survives_its_file(name: str) -> None:
    embedding, again = of_kind(name), built(*KINDS[name], seed=9)
    again.load_state_dict(load(save(embedding.state_dict())))
    y = rows(10, embedding.inputs, missing=0.3)
    assert torch.equal(embedding(y), again(y))


@pytest.mark.parametrize("kind", SERIES)
@torch.no_grad()
def test_a_series_may_be_padded_to_any_length(kind: str) -> None:
    """The summary is that of the series itself, in which a value may be missing too."""
    short, longer = (
        grown(built({"kind": kind, "shape": (2, length)}, 2 * length)) for length in (39, 62)
    )
    longer.load_state_dict(short.state_dict())
    y = rows(12, 78, missing=0.1).reshape(12, 2, 39)
    y[:, 0, -1] = 1.0
    padded = torch.full((12, 2, 62), torch.nan)
    padded[:, :, :39] = y
    assert close(short(y.flatten(1)), longer(padded.flatten(1)))
    padded[:, :, 39] = 0.0
    assert not close(short(y.flatten(1)), longer(padded.flatten(1)))


@torch.no_grad()
def test_an_image_may_be_padded_to_the_right_and_below() -> None:
    small, large = (
        grown(built({"kind": "conv2d", "shape": (1, *size)}, size[0] * size[1]))
        for size in ((9, 11), (13, 15))
    )
    large.load_state_dict(small.state_dict())
    y = rows(12, 99).reshape(12, 1, 9, 11)
    padded = torch.full((12, 1, 13, 15), torch.nan)
    padded[:, :, :9, :11] = y
    assert close(small(y.flatten(1)), large(padded.flatten(1)))


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_a_set_has_no_order_and_no_places(pooling: str) -> None:
    settings = {"kind": "set", "pooling": pooling}
    small, large = (grown(built({**settings, "shape": (r, 3)}, 3 * r)) for r in (6, 11))
    y = rows(12, 18).reshape(12, 6, 3)
    y[:, 4:] = torch.nan
    s = small(y.flatten(1))
    shuffled = torch.randperm(6, generator=rng(5))
    assert close(s, small(y[:, shuffled].flatten(1)))
    padded = torch.cat([y, torch.full((12, 5, 3), torch.nan)], dim=1)
    padded = padded[:, torch.randperm(11, generator=rng(6))]
    assert close(s, large(padded.flatten(1)))
    assert not close(s, small(y.flip(2).flatten(1)))


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_a_set_knows_how_many_it_has(pooling: str) -> None:
    """Twice the same elements have the same mean and maximum, and say more."""
    embedding = grown(built({"kind": "set", "shape": (6, 1), "pooling": pooling}, 6))
    once = rows(12, 6)
    once[:, 3:] = torch.nan
    twice = once.clone()
    twice[:, 3:] = once[:, :3]
    assert torch.all((embedding(once) - embedding(twice)).abs().amax(dim=1) > 1e-3)


@torch.no_grad()
def test_no_embedding_is_the_outputs_themselves() -> None:
    embedding = build_embedding(EmbeddingConfig(), 4, rng())
    assert (embedding.inputs, embedding.features) == (4, 4)
    y = rows(5, 4)
    assert torch.equal(embedding(y), y)
    y[0, 0] = torch.nan
    assert embedding(y)[0, 0] == 0


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("mlp", None),
        ("conv1d", (1, 200)),
        ("conv1d", (3, 5000)),
        ("recurrent", (3, 2000)),
        ("transformer", (3, 2000)),
        ("conv2d", (3, 64, 64)),
        ("set", (100, 5)),
    ],
)
def test_defaults_are_small_networks(kind: str, shape: tuple[int, ...] | None) -> None:
    config = EmbeddingConfig(kind=kind, shape=shape)
    embedding = build_embedding(config, math.prod(shape or (200,)), rng())
    assert sum(p.numel() for p in embedding.parameters()) < 100_000


@pytest.mark.parametrize("shape", [(5,), (3, 2, 5)])
def test_rows_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    embedding = build_embedding(EmbeddingConfig(kind="mlp"), 4, rng())
    with pytest.raises(InputError, match=r"rows \(n, 4\), one column for each output; got \("):
        embedding(torch.zeros(shape))


def test_a_shape_that_is_not_the_rows_is_refused() -> None:
    with pytest.raises(InputError, match="has 8 entries and a row has 9"):
        build_embedding(EmbeddingConfig(kind="set", shape=(4, 2)), 9, rng())


def squares(said: Tensor, x: Tensor) -> Tensor:
    return (x - said).square().mean()


def surprise(said: Tensor, x: Tensor) -> Tensor:
    """Mean negative log-likelihood of x under normal laws given by mean and log sd."""
    mean, log_sd = said.chunk(2, dim=1)
    nats = log_sd + 0.5 * ((x - mean) / log_sd.exp()).square() + 0.5 * math.log(2 * math.pi)
    return nats.mean()


def fitted(settings: dict, y: Tensor, x: Tensor, steps: int, loss=squares, width: int = 1):
    """Embedding and linear read-out, fitted together."""
    embedding = build_embedding(EmbeddingConfig(**settings), y.shape[1], rng())
    out = nn.utils.skip_init(nn.Linear, embedding.features, width)
    for parameter in out.parameters():
        parameter.data.normal_(0, 0.2, generator=rng(2))
    network, batches = nn.Sequential(embedding, out), rng(1)
    optimiser = torch.optim.Adam(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        pick = torch.randint(len(y), (128,), generator=batches)
        optimiser.zero_grad()
        loss(network(y[pick]), x[pick]).backward()
        optimiser.step()
        schedule.step()
    return network.requires_grad_(False)


def unexplained(settings: dict, y: np.ndarray, x: np.ndarray, steps: int) -> float:
    """Largest share of the variance of a column of x that held-out summaries do not explain."""
    y_, x_ = (torch.as_tensor(a, dtype=torch.float32) for a in (y, (x - x.mean(0)) / x.std(0)))
    half = len(y) - 1000
    network = fitted(settings, y_[:half], x_[:half], steps, width=x.shape[1])
    return float((network(y_[half:]) - x_[half:]).square().mean(dim=0).max())


def sines(n: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    frequency, phase = draws.uniform(1, 4, (n, 1)), draws.uniform(0, 2 * np.pi, (n, 1))
    y = np.sin(2 * np.pi * frequency * np.arange(64) / 64 + phase)
    return y + 0.1 * draws.normal(size=y.shape), frequency


def decays(n: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Series of 8 to 24 times."""
    rate = draws.uniform(0.5, 3, (n, 1))
    y = 2 * np.exp(-rate * np.arange(24) / 8) + 0.05 * draws.normal(size=(n, 24))
    y[np.arange(24) >= draws.integers(8, 25, (n, 1))] = np.nan
    return y, rate


def blobs(n: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    place = draws.uniform(2, 10, (n, 2))
    i, j = np.mgrid[:12, :12]
    away = (i - place[:, 0, None, None]) ** 2 + (j - place[:, 1, None, None]) ** 2
    y = 3 * np.exp(-away / 4) + 0.1 * draws.normal(size=(n, 12, 12))
    return y.reshape(n, -1), place


def samples(n: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Five to twenty draws of a normal law, and its mean and log sd."""
    mean, log_sd = draws.normal(size=(n, 1)), 0.5 * draws.normal(size=(n, 1))
    y = mean + np.exp(log_sd) * draws.normal(size=(n, 20))
    return thin_sets(y, 20, draws, fewest=5), np.concatenate([mean, log_sd], axis=1)


@pytest.mark.parametrize(
    ("settings", "cases", "steps", "most"),
    [
        ({"kind": "mlp"}, sines, 150, 0.1),
        ({"kind": "conv1d"}, sines, 50, 0.15),
        ({"kind": "recurrent"}, decays, 60, 0.15),
        ({"kind": "transformer"}, decays, 60, 0.2),
        ({"kind": "conv2d", "shape": (1, 12, 12)}, blobs, 40, 0.2),
        ({"kind": "set", "shape": (20, 1)}, samples, 100, 0.4),
        ({"kind": "set", "shape": (20, 1), "pooling": "attention"}, samples, 100, 0.4),
    ],
    ids=["mlp", "conv1d", "recurrent", "transformer", "conv2d", "set", "attended set"],
)
def test_every_kind_learns(settings: dict, cases, steps: int, most: float) -> None:
    """A constant leaves a share of one unexplained."""
    y, x = cases(9000, np.random.default_rng(3))
    assert unexplained(settings, y, x, steps) < most


@pytest.mark.slow
def test_joint_likelihood_finds_the_posterior_of_sets_of_every_size() -> None:
    """k draws of N(m, 1) under the prior m ~ N(0, 1): the posterior is N(sum / (k + 1), 1/(k + 1)).

    The mean excess of the held-out surprise over the exact one is the divergence from the exact
    posterior, here for each number of draws, none included.
    """
    draws = np.random.default_rng(4)
    m = draws.normal(size=(20_000, 1))
    y = thin_sets(m + draws.normal(size=(20_000, 8)), 8, draws, fewest=0)
    count = (~np.isnan(y)).sum(axis=1, keepdims=True)
    exact = np.concatenate([np.nansum(y, 1, keepdims=True) / (count + 1), -np.log1p(count) / 2], 1)
    y_, x_, exact_ = (torch.as_tensor(a, dtype=torch.float32) for a in (y, m, exact))
    settings = {"kind": "set", "shape": (8, 1)}
    network = fitted(settings, y_[:15_000], x_[:15_000], 300, surprise, 2)
    for k in range(9):
        held = torch.arange(20_000) >= 15_000
        held &= torch.as_tensor(count[:, 0] == k)
        excess = surprise(network(y_[held]), x_[held]) - surprise(exact_[held], x_[held])
        assert excess < 0.1
