"""The flows of the heads against the library whose transforms they shorten."""

from __future__ import annotations

import pytest
import torch
import zuko
from torch import Tensor

from invgan.gan.autoregressive import inverted
from invgan.gan.heads import FlowHead
from invgan.gan.splines import Spline

BINS = 6


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Widths, heights and slopes of splines (500, 3), in double precision."""
    shapes = (BINS, BINS, BINS - 1)
    return tuple(size * torch.randn(500, 3, k, generator=rng(k)).double() for k in shapes)


def splines(size: float) -> tuple[Spline, zuko.transforms.MonotonicRQSTransform]:
    w, h, d = numbers(size)
    theirs = zuko.transforms.MonotonicRQSTransform(w, h, d)
    return Spline(torch.stack([w, h], dim=2), d), theirs


def values() -> Tensor:
    """Some of them on the bounds, beyond them and a hair inside."""
    x = 3 * torch.randn(500, 3, generator=rng(7)).double()
    x[0], x[1] = torch.tensor([-5.0, 5.0, 0.0]), torch.tensor([-4.999999, 4.999999, 40.0])
    return x


@pytest.mark.parametrize("size", [0.0, 1.0, 5.0])
def test_a_spline_is_the_library_s(size: float) -> None:
    ours, theirs = splines(size)
    x = values()
    for mine, other in zip(ours.call_and_ladj(x), theirs.call_and_ladj(x), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-9)
    assert torch.equal(ours(x), ours.call_and_ladj(x)[0])
    assert torch.equal(ours.log_abs_det_jacobian(x, ours(x)), ours.call_and_ladj(x)[1])


@pytest.mark.parametrize("size", [0.0, 1.0, 5.0])
def test_a_spline_is_inverted_on_and_beyond_its_bounds(size: float) -> None:
    ours, _ = splines(size)
    x = values()
    torch.testing.assert_close(ours.inv(ours(x)), x, rtol=1e-6, atol=1e-8)


def test_a_spline_has_a_gradient_everywhere() -> None:
    w, h, d = (part.requires_grad_() for part in numbers(5.0))
    x = values().requires_grad_()
    spline = Spline(torch.stack([w, h], dim=2), d)
    y, ladj = spline.call_and_ladj(x)
    (y.sum() + ladj.sum() + spline.inv(x).sum()).backward()
    for part in (w, h, d, x):
        assert torch.isfinite(part.grad).all()


@pytest.mark.parametrize("bins", [4, None])
@pytest.mark.parametrize("order", [[0], [0, 1], [4, 1, 0, 3, 2]])
def test_one_feature_after_the_other_comes_to_what_whole_passes_come_to(
    order: list[int], bins: int | None
) -> None:
    orders = [torch.tensor(order), len(order) - 1 - torch.tensor(order)]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        head = FlowHead(orders, outputs=2, hidden=16, bins=bins).double()
    u, y = (torch.randn(200, k, generator=rng(k)).double() for k in (len(order), 2))
    for transform in head.flow.transform.transforms:
        torch.testing.assert_close(inverted(transform, u, y), transform(y).inv(u))
    torch.testing.assert_close(head.inverse(u, y), head.flow(y).transform.inv(u))
