"""The regression of many rows against the same in double precision, and its closed form."""

from __future__ import annotations

import torch

from invgan.gan.regression import regression


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_slope_offset_and_spread_are_those_of_the_law() -> None:
    slope, offset = torch.tensor([[1.0, 0.5], [0.0, -2.0], [3.0, 0.0]]), torch.tensor([4.0, -7.0])
    y = 5 + normal(100_000, 3, seed=1)
    e = y @ slope + offset + normal(100_000, 2, seed=2) * torch.tensor([0.1, 2.0])
    found = regression(e, y)
    assert all(part.dtype == torch.float32 for part in found)
    for part, true in zip(
        found, (slope, offset, torch.diag(torch.tensor([0.01, 4.0]))), strict=True
    ):
        assert torch.allclose(part, true, atol=0.06)


def test_many_rows_of_outputs_that_depend_on_each_other_are_no_trouble() -> None:
    """Fifty points of three smooth curves tell three parameters but for what the ridge leaves."""
    t = torch.linspace(0, 1, 50)
    e = normal(200_000, 3, seed=1)
    y = e @ torch.stack([torch.sin(3 * t), torch.cos(2 * t), torch.exp(-t)])
    slope, offset, spread = regression(e, y)
    assert spread.diagonal().max() < 2e-6
    assert (e - y @ slope - offset).square().mean() < 1e-6
    assert slope.abs().max() < 1
