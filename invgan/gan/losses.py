"""The adversarial objectives: pure functions of the critic's outputs.

A critic D scores pairs. With ``a = D(x, y)`` on a real pair, ``b = D(G(z, y), y)`` on a generated
one that shares its y, S the logistic function, and ``softplus(t) = -log S(-t)``:

| loss | the critic minimises | the generator minimises |
|---|---|---|
| relativistic | E softplus(b - a) | E softplus(a - b) |
| minimax | E softplus(-a) + E softplus(b) | -E softplus(b) |
| nonsaturating | (E softplus(-a) + E softplus(b)) / 2 | E softplus(-b) / 2 |
| wasserstein | -E a + E b | -E b |
| least_squares | E (a - 1)^2 / 2 + E b^2 / 2 | E (b - 1)^2 / 2 |
| hinge | E max(0, 1 - a) + E max(0, 1 + b) | -E b |

Sources, in this order: Jolicoeur-Martineau 2018; Goodfellow et al. 2014; Goodfellow 2016; Arjovsky,
Chintala and Bottou 2017; Mao et al. 2017; Lim and Ye 2017.

All but the first are the sum of a real and a fake part, which may be weighed (`real_weight`,
`fake_weight`). With the real label l below one (one-sided label smoothing, Salimans et al. 2016)
the critic is told l of real pairs: softplus(-a) becomes ``l softplus(-a) + (1 - l) softplus(a)``,
and (a - 1)^2 becomes (a - l)^2.

The value of the minimax game is ``V = E log S(a) + E log (1 - S(b))``, minus the critic's loss. For
the best critic, S(a) = p / (p + g), it is -log 4 plus twice the Jensen-Shannon divergence of real
and generated pairs (`jensen_shannon`), and where the two agree each part is log 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

__all__ = [
    "LOSSES",
    "Loss",
    "Parts",
    "critic_loss",
    "generator_loss",
    "gradient_penalty",
    "jensen_shannon",
    "squared_slopes",
]

Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Loss:
    """What the two sides of a game minimise.

    Attributes:
        critic: of the outputs a and b (n, 1) and the real label, the parts whose sum the critic
            minimises: a real and a fake one, or one alone that needs both outputs.
        generator: of a and b, what the generator minimises.
        even: the critic's and the generator's loss where neither wins: a critic that sees no
            difference, and says nothing but what serves it best.
        penalty: of the critic's gradient, by its name in `PENALTIES`.
        times: the value function V is so many times minus the critic's loss; None for a game that
            is not played for V.
    """

    critic: Callable[[Tensor, Tensor, float], Parts]
    generator: Callable[[Tensor, Tensor], Tensor]
    even: tuple[float, float]
    penalty: str = "both"
    times: float | None = None


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic paired loss of the critic, from its outputs (n, 1) on paired pairs."""
    return softplus(fake - real).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic paired loss of the generator, from the same outputs."""
    return softplus(real - fake).mean()


def squared_slopes(scores: Tensor, *inputs: Tensor) -> Tensor:
    """Squared norm of the gradient of each score (n, 1) in those inputs that ask for one; (n,).

    The graph is kept, so that a penalty can itself be differentiated. An input may have several
    rows for each score.
    """
    wanted = [part for part in inputs if part.requires_grad]
    gradients = torch.autograd.grad(scores.sum(), wanted, create_graph=True)
    squares = [g.square().reshape(len(scores), -1).sum(dim=1) for g in gradients]
    return squares[0] if len(squares) == 1 else squares[0] + squares[1]


def gradient_penalty(scores: Tensor, inputs: Tensor) -> Tensor:
    """Mean squared norm of the gradient of scores (n, 1) in inputs (n, E): R1 on real, R2 on fake.

    The graph is kept, so that the penalty itself can be differentiated.
    """
    return squared_slopes(scores, inputs).mean()


def jensen_shannon(critic: float) -> float:
    """The divergence (nats) that a minimax critic of this loss has found: (V + log 4) / 2."""
    return (math.log(4) - critic) / 2


def _relativistic(a: Tensor, b: Tensor, label: float) -> Parts:
    return (critic_loss(a, b),)


def _cross_entropies(a: Tensor, b: Tensor, label: float) -> Parts:
    told = label * softplus(-a) + (1 - label) * softplus(a)
    return told.mean(), softplus(b).mean()


def _halves(a: Tensor, b: Tensor, label: float) -> Parts:
    real, fake = _cross_entropies(a, b, label)
    return real / 2, fake / 2


def _means(a: Tensor, b: Tensor, label: float) -> Parts:
    return -a.mean(), b.mean()


def _squares(a: Tensor, b: Tensor, label: float) -> Parts:
    return (a - label).square().mean() / 2, b.square().mean() / 2


def _margins(a: Tensor, b: Tensor, label: float) -> Parts:
    return relu(1 - a).mean(), relu(1 + b).mean()


_LOG2 = math.log(2)

LOSSES: dict[str, Loss] = {
    "relativistic": Loss(_relativistic, generator_loss, (_LOG2, _LOG2)),
    "minimax": Loss(
        _cross_entropies, lambda a, b: -softplus(b).mean(), (2 * _LOG2, -_LOG2), times=1.0
    ),
    "nonsaturating": Loss(
        _halves, lambda a, b: softplus(-b).mean() / 2, (_LOG2, _LOG2 / 2), times=2.0
    ),
    "wasserstein": Loss(_means, lambda a, b: -b.mean(), (0.0, 0.0), "interpolated"),
    "least_squares": Loss(_squares, lambda a, b: (b - 1).square().mean() / 2, (0.25, 0.125)),
    "hinge": Loss(_margins, lambda a, b: -b.mean(), (2.0, 0.0)),
}
"""The games by name."""
