"""The head start: a conditional density p(e given y) fitted by likelihood before the game.

A head is a bijection ``u = T(e; y)`` that should make u standard normal whatever y; its density is
``N(T(e; y); 0, I) |det dT/de|``. The game then works on u. Three rungs:

- ``none``: T is the identity, so that the game starts from the prior (the plain conditional GAN);
- ``gaussian``: ``u = A(y) (e - m(y))`` with A lower triangular, the inverse Cholesky factor of the
  covariance; the mean has a linear skip;
- ``flow``: a neural spline flow (Durkan et al. 2019), autoregressive, from the library zuko.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import zuko
from torch import Tensor, nn
from torch.nn.functional import softplus

from invgan.gan.networks import blank_linear, initialise, perceptron

__all__ = ["FlowHead", "GaussianHead", "Head", "IdentityHead", "build_head", "log_prob"]


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
    """An autoregressive rational-quadratic spline flow."""

    def __init__(self, features: int, outputs: int, hidden: int, transforms: int) -> None:
        super().__init__()
        self.flow: Any = zuko.flows.NSF(
            features=features,
            context=outputs,
            transforms=transforms,
            hidden_features=(hidden, hidden),
        )

    def forward(self, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """U (n, E) and log |det du/de| (n,)."""
        u, ladj = self.flow(y).transform.call_and_ladj(e)
        return u, ladj

    def inverse(self, u: Tensor, y: Tensor) -> Tensor:
        """E (n, E)."""
        return cast(Tensor, self.flow(y).transform.inv(u))


Head = IdentityHead | GaussianHead | FlowHead


def build_head(
    kind: str, features: int, outputs: int, *, hidden: int, transforms: int, rng: torch.Generator
) -> Head:
    """A head with weights drawn from rng alone; the global generator is left as it was."""
    head: Head = IdentityHead()
    if kind == "flow":
        with torch.random.fork_rng(devices=[]):
            head = FlowHead(features, outputs, hidden, transforms)
    elif kind == "gaussian":
        head = GaussianHead(features, outputs, hidden)
    initialise(head, rng)
    return head


def log_prob(head: Head, e: Tensor, y: Tensor) -> Tensor:
    """Log-density of e (n, E) given y (n, L), shape (n,)."""
    u, ladj = head(e, y)
    base = -0.5 * u.square().sum(dim=1) - 0.5 * u.shape[1] * math.log(2 * math.pi)
    return cast(Tensor, base + ladj)
