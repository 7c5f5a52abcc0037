"""The networks of the game: small constructors by name, and the two players around them.

A body is a network of one row: the generator's turns latent numbers and outputs into draws, the
critic's turns draws and outputs into a score. Both take what they condition on as further inputs.

| kind | generator | critic |
|---|---|---|
| mlp | leaky layers of equal width | the same |
| dcgan | a plane of 10 x 10, four transposed convolutions | the same way back |
| conv1d | a short series, doubled in length again and again | halved again and again |
| srgan | residual blocks on a coarse grid, doubled to that of the field | halved again and again |

By default the generator starts as the identity on the first E of its K noise coordinates (its last
layer is zero), so that before the first step its draws are those of the head it refines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
import zuko
from torch import Tensor, nn
from torch.nn.functional import one_hot

from invgan.errors import InputError
from invgan.gan.convolutions import dcgan_critic, dcgan_generator, series_critic, series_generator
from invgan.gan.layers import REFERENCE, Dropout, Referenced
from invgan.gan.perceptrons import mlp_critic, mlp_generator
from invgan.gan.srgan import srgan_critic, srgan_generator
from invgan.settings import NetworkConfig, TrainConfig, doublings

__all__ = [
    "CRITICS",
    "GENERATORS",
    "Critic",
    "Generator",
    "build_critic",
    "build_generator",
    "check_networks",
    "fitted",
    "initialise",
    "latent_size",
    "linear_layers",
]

Size = tuple[int, int]
Shape = tuple[int, int, int]

_BEYOND = 1.05
_FEWEST_LATENT = 4
_MOST_CELLS = 400
_PLAIN = NetworkConfig()


GENERATORS: dict[str, Callable[[int, int, int, Size, NetworkConfig], nn.Module]] = {
    "mlp": mlp_generator,
    "dcgan": dcgan_generator,
    "conv1d": series_generator,
    "srgan": srgan_generator,
}
CRITICS: dict[str, Callable[[int, int, Size, NetworkConfig, Dropout], nn.Module]] = {
    "mlp": mlp_critic,
    "dcgan": dcgan_critic,
    "conv1d": series_critic,
    "srgan": srgan_critic,
}


class Generator(nn.Module):
    """G(z, y): noise z (n, K) and output scores y (n, L) to head-space draws u (n, E).

    With codes, z is the noise and a code, one of k kinds, as k further numbers, one of them one.

    Args:
        noise: K; a correction needs K >= E.
        outputs: L.
        features: E.
        hidden: units in each hidden layer.
        layers: hidden layers.
        form: kind of network, law of the noise, and what the network's answer is.
        codes: k, or 0 for no code.

    Raises:
        InputError: there are fewer noise numbers than a correction needs.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        noise: int,
        outputs: int,
        features: int,
        hidden: int,
        layers: int,
        form: NetworkConfig = _PLAIN,
        codes: int = 0,
    ) -> None:
        super().__init__()
        self.noise, self.features, self.codes = noise, features, codes
        self._noise, self._answer = NOISES[form.noise], OUTPUTS[form.output]
        self.starts_at_zero, self.plain = form.output == "correction", False
        if self.starts_at_zero and noise < features:
            raise InputError(
                f"{noise} latent numbers are too few for a correction of {features} parameters; "
                f"set train.network.noise_size to {features} or more, or output to linear"
            )
        inputs = noise + codes + outputs
        body = GENERATORS[form.kind](noise + codes, outputs, features, (hidden, layers), form)
        self.network = Referenced(body, inputs) if form.generator_norm == "virtual" else body
        if form.output == "tanh":
            self.register_buffer("low", -torch.ones(features))
            self.register_buffer("high", torch.ones(features))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Draws u (n, E)."""
        return self._answer(self, z, cast(Tensor, self.network(torch.cat([z, y], dim=1))))

    def latent(self, n: int, rng: torch.Generator, code: int | None = None) -> Tensor:
        """Latent numbers z (n, K + k) with this code, or with codes at random."""
        z = self._noise(n, self.noise, rng)
        if self.codes == 0:
            return z
        kinds = torch.randint(self.codes, (n,), generator=rng, device=z.device)
        if code is not None:
            kinds = torch.full_like(kinds, code)
        return torch.cat([z, one_hot(kinds, self.codes)], dim=1)

    def draw(self, y: Tensor, rng: torch.Generator, code: int | None = None) -> Tensor:
        """One draw u (n, E) for each row of y (n, L), with this code, or with codes at random."""
        return cast(Tensor, self(self.latent(len(y), rng, code), y))

    @torch.no_grad()
    def prepare(self, u: Tensor, y: Tensor, rng: torch.Generator) -> None:
        """Before training: learn from its pairs the range of a tanh, and the reference batch."""
        if hasattr(self, "low"):
            middle, half = (u.amax(dim=0) + u.amin(dim=0)) / 2, (u.amax(dim=0) - u.amin(dim=0)) / 2
            self.low, self.high = middle - _BEYOND * half, middle + _BEYOND * half
        if isinstance(self.network, Referenced):
            rows = torch.arange(REFERENCE, device=y.device) % len(y)
            z = self.latent(REFERENCE, rng).to(y.device)
            self.network.reference = torch.cat([z, y[rows]], dim=1)


class Critic(nn.Module):
    """D(u, y): scores (n, 1) of pairs, the higher the more real.

    Args:
        features: E.
        outputs: L.
        hidden: units in each hidden layer.
        layers: hidden layers.
        form: kind of network.
        packing: m pairs that it scores together (PacGAN: Lin et al. 2018): scores (n / m, 1).
        rng: of the units that a training step leaves out, on the device of the critic.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        hidden: int,
        layers: int,
        form: NetworkConfig = _PLAIN,
        packing: int = 1,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.packing = packing
        form = form.model_copy(update={"channels": form.channels * packing})
        self.network = CRITICS[form.kind](
            features * packing, outputs * packing, (hidden, layers), form,
            Dropout(form.critic_dropout, rng),
        )  # fmt: skip

    def forward(self, u: Tensor, y: Tensor) -> Tensor:
        """Scores (n, 1), or one for each m rows that follow each other."""
        packs = len(u) // self.packing
        parts = [
            t[: packs * self.packing].reshape(packs, self.packing * t.shape[1]) for t in (u, y)
        ]
        return cast(Tensor, self.network(torch.cat(parts, dim=1)))


def latent_size(config: TrainConfig, features: int) -> int:
    """K, the latent numbers of a generator of E numbers."""
    return config.network.noise_size or max(features, _FEWEST_LATENT)


def build_generator(config: TrainConfig, noise: int, outputs: int, features: int) -> Generator:
    """The generator that the settings ask for, for evaluation; its weights are yet to be drawn."""
    hidden = config.network.generator_hidden or config.hidden
    generator = Generator(
        noise, outputs, features, hidden, config.layers, config.network, config.codes
    )
    return generator.eval()


def plain_generator(outputs: int, features: int) -> Generator:
    """One that draws as a head does, whatever the settings make of generators."""
    generator = Generator(max(features, _FEWEST_LATENT), outputs, features, 1, 1)
    initialise(generator, torch.Generator())
    generator.plain = True
    return generator.eval()


def build_critic(config: TrainConfig, features: int, outputs: int, rng: torch.Generator) -> Critic:
    """The critic that the settings ask for; its weights are yet to be drawn."""
    hidden = config.network.critic_hidden or config.hidden
    return Critic(features, outputs, hidden, config.layers, config.network, config.packing, rng)


def fitted(config: TrainConfig, field: Shape | None, outputs: Shape | None) -> TrainConfig:
    """The settings with what fields decide, where they leave it open: a head, a srgan's shapes.

    An autoregressive flow would draw one pixel after the other, so the head is the regression; with
    an embedding, whose summaries are not there yet, the normal law of a small field.

    Args:
        config: settings.
        field: (C, H, W) of the parameters where they are a field.
        outputs: (c, h, w) of the first outputs where they are one; taken for a coarse field if the
            sides of the other are powers of two of it, and no embedding comes between.

    Raises:
        InputError: a large field has no head by which an embedding could be trained, or the field
            of a srgan is not the prior's.
    """
    form = config.network
    if field and config.head == "auto":
        head = "regression" if config.embedding.kind == "none" else "gaussian"
        if head == "gaussian" and math.prod(field) > _MOST_CELLS:
            raise InputError(
                f"a field of {math.prod(field)} cells has no head by which an embedding could be "
                f"trained, and {_MOST_CELLS} are the most: leave the embedding out "
                "(train.embedding.kind: none), or choose a head"
            )
        config = config.model_copy(update={"head": head})
    if form.kind != "srgan":
        return config
    if form.field and field and form.field != field:
        raise InputError(
            f"train.network.field is {list(form.field)} and the prior's fields are {list(field)}: "
            "leave it out"
        )
    field, coarse = form.field or field, form.coarse
    if coarse is None and field and outputs and config.embedding.kind == "none":
        coarse = None if doublings(outputs, field) is None else outputs
    found = NetworkConfig(**{**form.model_dump(), "field": field, "coarse": coarse})
    return config.model_copy(update={"network": found})


def check_networks(config: TrainConfig, features: int, outputs: int) -> None:
    """Refuse networks that do not fit e (n, E) and y (n, L), before anything is trained.

    Raises:
        InputError: there is too little noise for them, they are no series of equal length, or no
            fields of the shapes that the settings name.
    """
    seen = outputs if config.embedding.kind == "none" else config.embedding.features
    build_generator(config, latent_size(config, features), seen, features)
    build_critic(config, features, seen, torch.Generator())


def linear_layers(module: nn.Module) -> list[Any]:
    """All linear layers, in order: torch's, and zuko's own, which a flow of one parameter has."""
    return [m for m in module.modules() if isinstance(m, nn.Linear | zuko.nn.Linear)]


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Draw all weights anew from rng, uniform within 1/sqrt(fan-in) of zero."""
    layers = [m for m in module.modules() if isinstance(m, _WEIGHTED)]
    for layer in layers:
        bound = _fan_in(layer) ** -0.5
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                draws = torch.rand(parameter.shape, generator=rng) * 2 - 1
                parameter.data.copy_(draws * bound)
    if isinstance(module, Generator) and module.starts_at_zero:
        last: Any = layers[-1]
        last.weight.data.zero_()
        last.bias.data.zero_()


def _fan_in(layer: Any) -> int:
    """Inputs to one unit."""
    axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    return int(layer.weight.shape[axis]) * math.prod(getattr(layer, "kernel_size", ()))


_WEIGHTED = (nn.Linear, zuko.nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def _normal(n: int, size: int, rng: torch.Generator) -> Tensor:
    return torch.randn(n, size, generator=rng, device=rng.device)


def _uniform(n: int, size: int, rng: torch.Generator) -> Tensor:
    return 2 * torch.rand(n, size, generator=rng, device=rng.device) - 1


def _corrected(generator: Generator, z: Tensor, h: Tensor) -> Tensor:
    return z[:, : generator.features] + h


def _linear(generator: Generator, z: Tensor, h: Tensor) -> Tensor:
    return h


def _bounded(generator: Generator, z: Tensor, h: Tensor) -> Tensor:
    return generator.low + (generator.high - generator.low) * (h.tanh() + 1) / 2


NOISES: dict[str, Callable[[int, int, torch.Generator], Tensor]] = {
    "normal": _normal,
    "uniform": _uniform,
}
OUTPUTS: dict[str, Callable[[Generator, Tensor, Tensor], Tensor]] = {
    "correction": _corrected,
    "linear": _linear,
    "tanh": _bounded,
}
