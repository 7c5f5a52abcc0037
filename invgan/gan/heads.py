"""The head start: a conditional density p(e given y) fitted by likelihood before the game.

A head is a bijection ``u = T(e; y)`` that should make u standard normal whatever y; its density is
``N(T(e; y); 0, I) |det dT/de|``. The game then works on u. Three rungs:

- ``none``: T is the identity, so that the game starts from the prior (the plain conditional GAN);
- ``gaussian``: ``u = A(y) (e - m(y))`` with A lower triangular, the inverse Cholesky factor of the
  covariance; the mean has a linear skip;
- ``regression``: the residuals of a linear regression of e on y, made white by the symmetric
  inverse root of their covariance, which of all such maps moves them least (Kessy, Lewin and
  Strimmer 2018), so that pixels stay where they are: for fields, of which an autoregressive flow
  would draw one pixel after the other;
- ``linear``: the residuals of a linear regression of e on y, whitened, then a small neural spline
  flow that starts as the identity: few data and many parameters ask for little else;
- ``affine``: the same residuals, and a masked autoregressive flow (Papamakarios, Pavlakou and
  Murray 2017) of five transforms, which learns where the mean and the width of each parameter lie
  given those before it and no more: for many parameters;
- ``small``: the small flow of splines without the regression;
- ``flow``: a larger neural spline flow (Durkan et al. 2019), autoregressive, from the library
  zuko, for thin, folded and disconnected laws;
- ``auto``: of linear, small and flow, and of many parameters affine, the one that held-out pairs
  like best, or, of fields, the regression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import zuko
from torch import Tensor, nn
from torch.nn.functional import softplus

from invgan.gan.autoregressive import inverted
from invgan.gan.layers import blank_linear
from invgan.gan.networks import initialise, linear_layers
from invgan.gan.perceptrons import perceptron
from invgan.gan.regression import regression
from invgan.gan.splines import Spline

__all__ = [
    "MANY",
    "FlowHead",
    "GaussianHead",
    "Head",
    "IdentityHead",
    "LinearHead",
    "RegressionHead",
    "build_head",
    "log_prob",
]


MANY = 10
"""Of more parameters than these flows see random orders, and ``auto`` tries the affine one."""


class IdentityHead(nn.Module):
    """No head: u = e."""

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        return e, torch.zeros(len(e), device=e.device)

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        return u


class GaussianHead(nn.Module):
    """A normal law whose mean and covariance depend on y."""

    def __init__(self, features: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.features = features
        self.skip = blank_linear(outputs, features)
        self.network = perceptron(outputs, features + features * (features + 1) // 2, hidden, 2)

    def _moments(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (n, E) and inverse Cholesky factor (n, E, E)."""
        mean, entries = self.network(y).split([self.features, self._entries()], dim=1)
        factor = entries.new_zeros(len(y), self.features, self.features)
        rows, columns = torch.tril_indices(self.features, self.features, device=y.device)
        factor[:, rows, columns] = entries
        scale = softplus(factor.diagonal(dim1=1, dim2=2) + 0.5413)
        return mean + self.skip(y), factor.tril(-1) + torch.diag_embed(scale)

    def _entries(self) -> int:
        return self.features * (self.features + 1) // 2

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        mean, factor = self._moments(y)
        u = (factor @ (e - mean)[:, :, None])[:, :, 0]
        return u, factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        mean, factor = self._moments(y)
        solved = torch.linalg.solve_triangular(factor, u[:, :, None], upper=False)
        return mean + cast(Tensor, solved)[:, :, 0]


class FlowHead(nn.Module):
    """An autoregressive flow of rational-quadratic splines, or of affine maps where bins is None.

    Each transform sees the features in one of the orders, (E,) places of the features.
    """

    def __init__(
        self, orders: Sequence[Tensor], outputs: int, hidden: int, bins: int | None = 8
    ) -> None:
        super().__init__()
        features = len(orders[0])
        affine = zuko.transforms.MonotonicAffineTransform
        univariate, shapes = (
            (affine, ((), ())) if bins is None else (Spline, ((2, bins), (bins - 1,)))
        )
        transforms = [
            zuko.flows.MaskedAutoregressiveTransform(
                features, outputs, order=order, univariate=univariate, shapes=shapes,
                hidden_features=(hidden, hidden), activation=nn.SiLU,
            )
            for order in orders
        ]  # fmt: skip
        base = zuko.flows.UnconditionalDistribution(
            zuko.distributions.DiagNormal,
            loc=torch.zeros(features),
            scale=torch.ones(features),
            buffer=True,
        )
        self.flow: Any = zuko.flows.Flow(transforms, base)

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        u, ladj = self.flow(y).transform.call_and_ladj(e)
        return u, ladj

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        for transform in reversed(self.flow.transform.transforms):
            u = inverted(transform, u, y)
        return u


def _small(features: int, outputs: int, hidden: int, rng: torch.Generator) -> FlowHead:
    return FlowHead(_orders(features, 2, rng), outputs, hidden // 2, bins=4)


def _orders(features: int, transforms: int, rng: torch.Generator) -> list[Tensor]:
    """Orders (E,), each second one the reverse of the one before, and of many features random.

    In such a pair each feature can depend on each other one. Where there are many, the order in
    which the user names them should not decide: a chain of dependent ones, taken as named, was the
    hardest of all to learn.
    """
    orders: list[Tensor] = []
    for number in range(transforms):
        if number % 2:
            orders.append(features - 1 - orders[-1])
        elif features > MANY:
            orders.append(torch.randperm(features, generator=rng))
        else:
            orders.append(torch.arange(features))
    return orders


class RegressionHead(nn.Module):
    """The residuals ``W (e - B y - b)`` of a linear regression, W symmetric."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(outputs, features))
        self.register_buffer("offset", torch.zeros(features))
        self.register_buffer("whiten", torch.eye(features))
        self.register_buffer("colour", torch.eye(features))
        self.register_buffer("ladj", torch.zeros(()))

    def fit(self, e: Tensor, y: Tensor) -> None:
        """Least squares with a slight ridge."""
        self.slope, self.offset, covariance = regression(e, y)
        sizes, axes = torch.linalg.eigh(covariance)
        self.ladj = -0.5 * sizes.log().sum()
        self.whiten = (axes * sizes.rsqrt()) @ axes.T
        self.colour = (axes * sizes.sqrt()) @ axes.T

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        ladj = cast(Tensor, self.ladj)
        return (e - y @ self.slope - self.offset) @ self.whiten, ladj.expand(len(e))

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        return cast(Tensor, u @ self.colour + y @ self.slope + self.offset)


class LinearHead(nn.Module):
    """A flow of the whitened residuals ``W (e - B y - b)`` of a linear regression."""

    def __init__(self, features: int, outputs: int, flow: FlowHead) -> None:
        super().__init__()
        self.flow = flow
        self.register_buffer("slope", torch.zeros(outputs, features))
        self.register_buffer("offset", torch.zeros(features))
        self.register_buffer("whiten", torch.eye(features))

    def fit(self, e: Tensor, y: Tensor) -> None:
        """The regression, by least squares with a slight ridge; the flow is made the identity."""
        self.slope, self.offset, covariance = regression(e, y)
        factor = torch.linalg.cholesky(covariance)
        self.whiten = torch.linalg.solve_triangular(
            factor, torch.eye(len(factor), device=y.device), upper=False
        )
        for transform in self.flow.flow.transform.transforms:
            last = linear_layers(transform)[-1]
            last.weight.data.zero_()
            last.bias.data.zero_()

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        rest = (e - y @ self.slope - self.offset) @ self.whiten.T
        u, ladj = self.flow(rest, y)
        return u, ladj + self.whiten.diagonal().log().sum()

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        rest = self.flow.inverse(u, y)
        e = torch.linalg.solve_triangular(self.whiten, rest.T, upper=False).T
        return cast(Tensor, e + y @ self.slope + self.offset)


Head = IdentityHead | GaussianHead | RegressionHead | LinearHead | FlowHead


def build_head(
    kind: str, features: int, outputs: int, *, hidden: int, transforms: int, rng: torch.Generator
) -> Head:
    """A head with orders and weights drawn from rng alone; the global generator stays as it was."""
    head: Head = IdentityHead()
    with torch.random.fork_rng(devices=[]):
        if kind == "flow":
            head = FlowHead(_orders(features, transforms, rng), outputs, hidden)
        elif kind == "small":
            head = _small(features, outputs, hidden, rng)
        elif kind == "regression":
            head = RegressionHead(features, outputs)
        elif kind == "linear":
            head = LinearHead(features, outputs, _small(features, outputs, hidden, rng))
        elif kind == "affine":
            flow = FlowHead(_orders(features, 5, rng), outputs, hidden // 2, bins=None)
            head = LinearHead(features, outputs, flow)
        elif kind == "gaussian":
            head = GaussianHead(features, outputs, hidden)
    initialise(head, rng)
    return head


def log_prob(head: nn.Module, e: Tensor, y: Tensor) -> Tensor:
    """Log-density of e (n, E) given y (n, L), shape (n,)."""
    u, ladj = head(e, y)
    base = -0.5 * u.square().sum(dim=1) - 0.5 * u.shape[1] * math.log(2 * math.pi)
    return cast(Tensor, base + ladj)
