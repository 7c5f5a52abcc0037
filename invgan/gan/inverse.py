"""The trained inverse: from outputs to parameters, with everything that sampling needs.

An artefact is two files of plain data, `<stem>.safetensors` (weights) and `<stem>.json` (scales,
names, settings, history), which load on any device and in later versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invgan.arguments import rows_of, whole
from invgan.errors import InputError
from invgan.gan.codes import check_code
from invgan.gan.device import choose_device, generator_on, to_array, to_tensor
from invgan.gan.expected import residuals
from invgan.gan.member import Member, log_mean
from invgan.gan.rows import output_rows
from invgan.gan.stored import KIND, description, networks, rebuilt
from invgan.gan.weigher import Weigher
from invgan.ground import own_ground
from invgan.health import Health
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import TrainConfig

__all__ = ["Inverse"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
LogDensity = Callable[[Tensor, Tensor], Tensor]

_AT_ONCE = 8192
_LITTLE = 0.25


@dataclass(frozen=True)
class Inverse:
    """A conditional sampler of parameters given outputs.

    Attributes:
        members: the trained samplers, drawn from equally.
        parameters: scale of the parameters, x <-> e.
        scaling: scale of the outputs.
        low: lower ends of the outputs that were trained on, shape (L,).
        high: upper ends, shape (L,).
        names: the D parameter names.
        outputs: the L output names.
        config: the settings of its training.
        history: figures of the training, one dict a row.
        info: figures for the report: seed, seconds, pairs, kept.
        weigher: weighs the draws of the members by a learnt likelihood, or None.
    """

    members: tuple[Member, ...]
    parameters: ParameterScaling
    scaling: OutputScaling
    low: Array
    high: Array
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    config: TrainConfig
    history: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    weigher: Weigher | None = None

    def to(self, device: str) -> Self:
        """The same inverse on another device (this one is moved)."""
        place = choose_device(device)
        weigher = None if self.weigher is None else self.weigher.to(place)
        members = tuple(member.to(place) for member in self.members)
        return replace(self, members=members, weigher=weigher)

    @property
    def each(self) -> tuple[Self, ...]:
        """One inverse for each member, and a likelihood of its own, to compare what they say."""
        return tuple(
            replace(self, members=(member,), weigher=self.weigher and self.weigher.only(number))
            for number, member in enumerate(self.members)
        )

    @property
    def has_density(self) -> bool:
        """Whether `log_prob` can be asked: there is a head."""
        return self.members[0].has_density

    @property
    def rests_on_likelihood(self) -> bool:
        """Whether a likelihood weighs the draws, and heads have a quarter of a power or less.

        With a greater one the draws lie between two laws that err apart, and neither need be right.
        """
        return self.weigher is not None and self.weigher.powers[0] <= _LITTLE

    @property
    def doubts(self) -> tuple[Health, ...]:
        """What went wrong in games before their generators were kept; none where all was well."""
        found = (member.get("doubt") for member in self.info.get("members", ()))
        return tuple(Health.from_dict(doubt) for doubt in found if doubt)

    def knows(self, y: Array) -> NDArray[np.bool_]:
        """Which rows of y (n, L) lie within the outputs that were trained on; shape (n,).

        Rows with a gap (NaN) do where there were gaps, and are not known where there were none.
        """
        y = output_rows(y, self.outputs, len(self.low))
        beyond = (y < self.low) | (y > self.high)
        if not self.info.get("missing"):
            beyond |= np.isnan(y)
        return np.asarray(~beyond.any(axis=1))

    @own_ground()
    @torch.no_grad()
    def draw(
        self,
        y: Array,
        *,
        seed: int = 0,
        code: int | None = None,
        progress: Progress | None = None,
    ) -> Array:
        """One parameter vector for each row of outputs y (n, L), shape (n, D).

        Args:
            y: outputs, as an array or a table whose columns have their names; to draw m times for
                one row, give it m times. Of R repeats of one experiment (n, R, L) or side by side
                (n, R L), in any order.

        Other Args:
            seed: of the noise.
            code: the kind of all draws, 0 to ``config.codes - 1``, as the first member numbers
                them; kinds at random where left out.
            progress: called with (done, total).

        Raises:
            InputError: y has another number of columns than the inverse was trained with, or
                there is no such code, or no game that knows codes was kept.
        """
        y = self._outputs(y)
        check_code(code, self.config.codes)
        if code is not None and (self.weigher is not None or not self.info.get("kept_step", 1)):
            raise InputError(
                "the draws are those of the head, which knows no codes: its game was not kept; "
                "train with head='none', or leave code out"
            )
        device = self._device
        rng = generator_on(device, whole("seed", seed, least=0))
        x = np.empty((len(y), len(self.names)))
        for start in range(0, len(y), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            x[rows] = self._draw(to_tensor(self.scaling.to_network(y[rows]), device), rng, code)
            if progress is not None:
                progress(min(start + _AT_ONCE, len(y)), len(y))
        return x

    def _draw(self, y: Tensor, rng: torch.Generator, code: int | None) -> Array:
        """Every member answers for a random share of the rows, or all for all where weighed."""
        if self.weigher is not None:
            e = self.weigher.choose(self.members, y, rng)
            return self.parameters.to_parameters(to_array(e))
        e = y.new_empty(len(y), self.parameters.dimension)
        order = torch.randperm(len(y), generator=rng, device=y.device)
        # Each member numbers its codes in its own way.
        asked = self.members if code is None else self.members[:1]
        count = len(asked)
        # Of few rows too each member has its share in the long run.
        first = int(torch.randint(count, (1,), generator=rng, device=y.device)) if count > 1 else 0
        for number, member in enumerate(asked):
            rows = order[(number + first) % count :: count]
            e[rows] = member.draw(y[rows], rng, code)
        return self.parameters.to_parameters(to_array(e))

    @own_ground()
    def log_prob(self, x: Array, y: Array, *, seed: int = 0) -> Array:
        """Log-density of x given y, minus infinity outside the bounds; shape (n,).

        Of the heads, or of their weighed draws where a likelihood was learnt; what a weighed
        density is divided by is found to a few hundredths by draws for each row of y that differs.
        The draws of a game or of a judge are nearer to the truth than this density.

        Args:
            x: parameters, shape (n, D); of proportions it is the density of all but the last.
            y: outputs, shape (n, L).

        Other Args:
            seed: of those draws.

        Raises:
            InputError: the shapes do not match, or the inverse has no head (``head: none``).
        """
        if self.weigher is None:
            return self.log_prob_of_heads(x, y)
        weigher, members = self.weigher, self.members

        def aimed(e: Tensor, y: Tensor) -> Tensor:
            return weigher.terms(members, e, y).log_density(weigher.powers)

        x, y = self._matched(x, y)
        return self._log_density(aimed, x, y) - self._log_mass(weigher, y, seed)

    @own_ground()
    def log_prob_of_heads(self, x: Array, y: Array) -> Array:
        """The same by the heads alone, also where a likelihood weighs their draws; shape (n,)."""
        return self._log_density(self._of_heads, *self._matched(x, y))

    @own_ground()
    def log_ratio(self, x: Array, y: Array) -> Array:
        """Log of p(x given y) / q(x) by the heads, but for a function of x; shape (n,).

        By Bayes' theorem also the log of p(y given x) / q_Y(y): a likelihood, but for a factor
        of y. q is taken for the law whose parameters do not depend on each other: for a prior of
        independent laws this is exact, the parameters' scale cancels, and it is less rough than
        `log_prob` where that scale was learnt from draws. For others subtract the prior's
        log-density from `log_prob`.

        Args:
            x: parameters, shape (n, D).
            y: outputs, shape (n, L).

        Raises:
            InputError: the shapes do not match, or the inverse has no head (``head: none``).
        """
        log_p, e = self._of_network(self._of_heads, *self._matched(x, y))
        base = -0.5 * np.square(e).sum(axis=1) - 0.5 * e.shape[1] * math.log(2 * math.pi)
        return np.asarray(log_p - base)

    def _of_heads(self, e: Tensor, y: Tensor) -> Tensor:
        return log_mean([member.log_prob(e, y) for member in self.members])

    def _matched(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Matched rows as arrays, or refused."""
        if not self.has_density:
            raise InputError("an inverse with head 'none' has no density; train with another head")
        x, y = rows_of("x", x, len(self.names)), self._outputs(y)
        if len(x) != len(y):
            raise InputError(f"a density takes one x for each y; got {len(x)} and {len(y)} rows")
        if np.isnan(x).any():
            raise InputError("a density takes parameters that are numbers; got NaN among them")
        return x, y

    def _log_density(self, density: LogDensity, x: Array, y: Array) -> Array:
        """A log-density of network parameters, of the parameters x (n, D) themselves; (n,)."""
        return self._of_network(density, x, y)[0] + self.parameters.log_slope(x)

    @torch.no_grad()
    def _of_network(self, density: LogDensity, x: Array, y: Array) -> tuple[Array, Array]:
        """A log-density of network parameters e given scores of y, shape (n,), and e (n, E)."""
        e, found = self.parameters.to_network(x), np.empty(len(x))
        for start in range(0, len(y), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            some = to_tensor(e[rows], self._device)
            scores = to_tensor(self.scaling.to_network(y[rows]), self._device)
            found[rows] = to_array(density(some, scores))
        return found, e

    @torch.no_grad()
    def _log_mass(self, weigher: Weigher, y: Array, seed: int) -> Array:
        """Log of what the weighed density for each row of y (n, L) is divided by, shape (n,)."""
        alike = np.nan_to_num(y, nan=np.inf)
        _, first, which = np.unique(alike, axis=0, return_index=True, return_inverse=True)
        scores = to_tensor(self.scaling.to_network(y[first]), self._device)
        rng = generator_on(self._device, whole("seed", seed, least=0))
        return to_array(weigher.log_mass(self.members, scores, rng))[which.ravel()]

    @own_ground()
    def residuals(self, x: Array, y: Array, *, seed: int = 0) -> tuple[Array, Array]:
        """Outputs of the model and those that the learnt likelihood expects, as its residuals.

        If the likelihood is right about the parameters x no classifier tells one from the other.

        Args:
            x: parameters, shape (n, D).
            y: outputs of the model for them, shape (n, L).

        Other Args:
            seed: of the outputs that the likelihood draws.

        Returns:
            Two tables with the same rows, network parameters beside residuals; a row for each
            repeat of one experiment.

        Raises:
            InputError: the shapes do not match, or no likelihood weighs the draws.
        """
        if self.weigher is None:
            raise InputError("residuals are those of a likelihood, and none weighs these draws")
        x, y = self._matched(x, y)
        e = to_tensor(self.parameters.to_network(x), self._device)
        scores = to_tensor(self.scaling.to_network(y), self._device)
        rng = generator_on(self._device, whole("seed", seed, least=0))
        seen, expected = residuals(self.weigher, e, scores, rng)
        return to_array(seen), to_array(expected)

    @own_ground()
    @torch.no_grad()
    def embed(self, y: Array) -> Array:
        """Summaries (n, S) of outputs y (n, L) by the first member's embedding."""
        scores = to_tensor(self.scaling.to_network(self._outputs(y)), self._device)
        return to_array(self.members[0].estimator.embedding(scores))

    def _outputs(self, y: Array) -> Array:
        """Outputs as an array, or refused."""
        y = output_rows(y, self.outputs, len(self.low))
        if not self.info.get("missing") and np.isnan(y).any():
            raise InputError(
                "the inverse was trained on outputs without a gap and would take a missing value "
                f"for any; got {np.isnan(y).any(axis=1).sum()} of {len(y)} rows with NaN: train it "
                "for a problem with missing=True"
            )
        return y

    @property
    def _device(self) -> torch.device:
        return next(self.members[0].parameters()).device

    def save(self, path: str | Path) -> None:
        """Write `<path>.safetensors` and `<path>.json`."""
        KIND.save(path, networks(self.members, self.weigher), description(self))

    @classmethod
    @own_ground()
    def load(cls, path: str | Path, *, device: str = "auto") -> Self:
        """Read what `save` wrote, onto a device.

        Raises:
            InputError: the files are missing, damaged, or of another format.
        """
        place = choose_device(device)
        return KIND.load(path, place, lambda data, weights: cls(**rebuilt(data, weights, place)))
