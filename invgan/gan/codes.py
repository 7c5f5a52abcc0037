"""Codes that tell kinds of draws apart, such as the branches of a folded answer (InfoGAN).

The generator takes a code c beside its noise, one of k kinds with equal chances. Nothing so far
keeps it from ignoring c. So a reader Q(c given x, y) is trained to tell the code from the draw, and
the generator is trained to be read (Chen et al. 2016): for any Q,

    I(c; G(z, c, y) given y)  >=  log k + E log Q(c given G(z, c, y), y),

a lower bound of the mutual information of code and draw that both of them raise, and that is tight
for the best Q (Barber and Agakov 2003). The most that it can be is log k, where no two codes share
a draw; and the critic still asks that all codes together draw as the truth does. Where the answer
to one y lies on two separate branches, two codes are told apart best by one branch each.

That is so where the game sees the branches: with ``head: none``. A fitted head irons them out into
one normal law, of which any two halves are told apart as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from invgan.errors import InputError
from invgan.gan.device import generator_on
from invgan.gan.networks import Generator
from invgan.gan.perceptrons import perceptron
from invgan.gan.stage import Pairs

__all__ = ["CodeReader", "check_code"]

_SEED = 13
_MOST = 8192


class CodeReader(nn.Module):
    """Q: which code a draw u (n, E) for outputs y (n, L) was made with.

    Attributes:
        codes: k.
        weight: of the bound in the generator's loss.
    """

    column = "code_loss"

    def __init__(
        self, features: int, outputs: int, codes: int, hidden: int, layers: int, weight: float
    ) -> None:
        super().__init__()
        self.codes, self.weight = codes, weight
        self.network = perceptron(features + outputs, codes, hidden, layers)

    def forward(self, z: Tensor, y: Tensor, u: Tensor, real: Tensor) -> Tensor:
        """Mean of -log Q (nats): log k less the bound, for draws u that were made from z and y."""
        logits = self.network(torch.cat([u, y], dim=1))
        return cross_entropy(logits.float(), z[:, -self.codes :])

    @torch.no_grad()
    def measure(self, generator: Generator, heldout: Pairs) -> float:
        """The same for held-out outputs, with the same noise at every call."""
        rng, y = generator_on(heldout.y.device, _SEED), heldout.y[:_MOST]
        z = generator.latent(len(y), rng)
        return float(self(z, y, generator(z, y), heldout.u[:_MOST]))


def check_code(code: int | None, codes: int) -> None:
    """Refuse a code that a generator does not know.

    Raises:
        InputError: it knows no codes, or fewer.
    """
    if code is None or 0 <= code < codes:
        return
    if codes == 0:
        raise InputError("this generator was trained without codes; train it with codes=2 or more")
    raise InputError(f"code must be a whole number from 0 to {codes - 1}; got {code}")
