"""The settings of every stage, validated: one small model each, with the defaults and their units.

The defaults are one set for all problems, chosen by measurement (docs/benchmarks.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from invgan.errors import InputError
from invgan.execution import Execution

__all__ = [
    "EmbeddingConfig",
    "McmcConfig",
    "NetworkConfig",
    "SampleConfig",
    "Section",
    "SettingError",
    "SimulateConfig",
    "TrainConfig",
    "number",
    "sentence",
    "short",
    "unknown",
]


class SettingError(InputError):
    """One setting is not usable as it is.

    Attributes:
        path: the keys that lead to the setting, outermost first.
        complaint: what is wrong with it, what came, what is known.
        instead: the key in its place that was probably meant, or None.
    """

    def __init__(self, path: Sequence[str], complaint: str, instead: str | None = None) -> None:
        self.path, self.complaint, self.instead = tuple(path), complaint, instead
        keys = [key if key.isprintable() and len(key) < 40 else short(key, 40) for key in path]
        meant = ".".join([*keys[:-1], instead]) if instead else ""
        hint = f"; did you mean {meant}?" if instead else ""
        super().__init__(f"{'.'.join(keys)} {complaint}{hint}".strip())

    def under(self, *outer: str) -> SettingError:
        """The same complaint, for a setting that stands under outer keys."""
        return SettingError((*outer, *self.path), self.complaint, self.instead)


class Section(BaseModel):
    """A group of settings: frozen, strict about names, types and ranges.

    Raises:
        InputError: the first complaint, as one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise sentence(error, type(self)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Numbers may be text and are never true or false; an empty section has its defaults."""
        kind = cls.model_fields[str(info.field_name)].annotation
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if value is None and isinstance(kind, type) and issubclass(kind, Section):
            return {}
        return number(value) if bool not in kinds and {int, float} & set(kinds) else value


class SimulateConfig(Section):
    """Prior draws and model runs."""

    n: int = Field(default=100_000, ge=20, description="number of prior simulations")
    chunk: int = Field(default=8192, ge=1, description="rows handed to the model at once")
    max_failures: float = Field(
        default=0.05, ge=0, le=1, description="share of simulations that may fail"
    )
    rounds: int = Field(
        default=1,
        ge=1,
        description="rounds that n is spent in, each but the first drawn where the answer can be",
    )
    miss: float = Field(
        default=1e-3, gt=0, lt=0.1, description="share of the answer that a round may cut off"
    )
    design: Literal["random", "sobol"] = Field(
        default="random",
        description="independent draws, or Sobol points, which fill independent laws evenly",
    )
    workers: str = Field(
        default="serial",
        description="where the model runs, in every stage: serial, process:N, dask:local, "
        "dask:tcp://host:port",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="seconds that one call of the model may take; a row that takes longer has "
        "failed",
    )
    retries: int = Field(
        default=2, ge=0, description="how often rows are tried again whose worker died"
    )

    @field_validator("workers")
    @classmethod
    def _known_workers(cls, value: str) -> str:
        try:
            Execution(value)
        except InputError:
            raise SettingError(
                (), f"must be serial, process:N, dask:local or dask:tcp://...; got {short(value)}"
            ) from None
        return value

    @property
    def execution(self) -> Execution | None:
        """How the rows of the model are run; None for the plainest way."""
        found = Execution(self.workers, self.timeout, self.retries)
        return None if found == Execution() else found


AXES = {
    "conv1d": ("channels", "length"),
    "recurrent": ("channels", "length"),
    "transformer": ("channels", "length"),
    "conv2d": ("channels", "height", "width"),
    "set": ("elements", "width"),
}
ONE_CHANNEL = ("conv1d", "recurrent", "transformer")
PAIRED = ("relativistic",)
LABELLED = ("minimax", "nonsaturating", "least_squares")


class EmbeddingConfig(Section):
    """The network that turns a row of outputs into a short summary, trained with the head."""

    kind: Literal["none", "mlp", "conv1d", "recurrent", "transformer", "conv2d", "set"] = Field(
        default="none",
        description="none, mlp, conv1d / recurrent / transformer (series), conv2d (images), set",
    )
    shape: tuple[int, ...] | None = Field(
        default=None,
        description="of a row: [channels, length], [channels, height, width], [elements, width]; "
        "one channel for a series where left out",
    )
    features: int = Field(default=16, ge=1, description="numbers in a summary")
    hidden: int = Field(
        default=64,
        ge=4,
        description="units in each hidden layer; half as many along a series or over an image",
    )
    layers: int = Field(
        default=2, ge=1, le=8, description="residual, recurrent or attention layers"
    )
    pooling: Literal["moments", "attention"] = Field(
        default="moments",
        description="how a set is pooled: mean and maximum, or learned attention",
    )

    @model_validator(mode="after")
    def _shape_fits_kind(self) -> Self:
        axes = AXES.get(self.kind)
        if self.shape is None and axes is not None and self.kind not in ONE_CHANNEL:
            raise SettingError(
                ("shape",), f"is missing; say how a row is laid out: [{', '.join(axes)}]"
            )
        if self.shape is None:
            return self
        if axes is None:
            raise SettingError(
                ("shape",), f"has no meaning for kind {self.kind}; got {list(self.shape)}"
            )
        if len(self.shape) != len(axes) or min(self.shape) < 1:
            raise SettingError(
                ("shape",),
                f"of kind {self.kind} must be [{', '.join(axes)}], each 1 or more; "
                f"got {list(self.shape)}",
            )
        return self


class NetworkConfig(Section):
    """The networks of the game: generator and critic."""

    kind: Literal["mlp", "dcgan", "conv1d"] = Field(
        default="mlp",
        description="mlp; dcgan (four convolutions over a 10 x 10 plane); conv1d, for parameters "
        "that are a time series",
    )
    norm: Literal["auto", "none", "batch", "layer", "spectral", "virtual"] = Field(
        default="auto",
        description="of the generator's hidden layers; auto: batch for dcgan, else none",
    )
    critic_norm: Literal["none", "layer", "spectral"] = Field(
        default="none",
        description="of the critic's hidden layers, which must judge each draw by itself",
    )
    dropout: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of the critic's hidden units that are left out of a training step; "
        "where left out 0.2 for dcgan, else 0",
    )
    slope: float = Field(
        default=0.2, ge=0, lt=1, description="of leaky rectified units below zero; 0 for plain ones"
    )
    residual: bool = Field(
        default=False, description="every hidden layer of an mlp but the first adds to its input"
    )
    generator_hidden: int | None = Field(
        default=None,
        ge=1,
        description="units in each hidden layer of the generator; train.hidden where left out",
    )
    critic_hidden: int | None = Field(
        default=None,
        ge=1,
        description="units in each hidden layer of the critic; train.hidden where left out",
    )
    channels: int = Field(
        default=1, ge=1, description="time series that the parameters of a conv1d are, one by one"
    )
    noise: Literal["normal", "uniform"] = Field(
        default="normal",
        description="law of the latent numbers: standard normal, or uniform from -1 to 1",
    )
    noise_size: int | None = Field(
        default=None,
        ge=1,
        description="how many latent numbers; where left out one for each parameter, at least 4",
    )
    output: Literal["correction", "linear", "tanh"] = Field(
        default="correction",
        description="correction: added to the first latent numbers, so that the game starts from "
        "the head's draws; linear: the network alone; tanh: within the range of the training draws",
    )

    @model_validator(mode="after")
    def _correction_of_normal_noise(self) -> Self:
        if self.output == "correction" and self.noise != "normal":
            raise SettingError(
                ("noise",),
                f"{self.noise} is no start for a correction, since a head's draws are of normal "
                "noise; choose output linear or tanh, or noise normal",
            )
        return self

    @property
    def generator_norm(self) -> str:
        """The norm of the generator, where the kind of network decides too."""
        usual = "batch" if self.kind == "dcgan" else "none"
        return usual if self.norm == "auto" else self.norm

    @property
    def critic_dropout(self) -> float:
        """The critic's dropout, where the kind of network decides too."""
        usual = 0.2 if self.kind == "dcgan" else 0.0
        return usual if self.dropout is None else self.dropout


class TrainConfig(Section):
    """The head start, the adversarial game, and what decides between them."""

    method: Literal["cgan", "rgan"] = Field(
        default="cgan",
        description="cgan: parameters given outputs; rgan: the population itself, by two critics",
    )
    embedding: EmbeddingConfig = Field(
        default_factory=EmbeddingConfig,
        description="the network that summarises structured outputs, trained with the head",
    )
    head: Literal["auto", "flow", "small", "linear", "gaussian", "none"] = Field(
        default="auto",
        description="density fitted by likelihood before the game; auto: linear, small or "
        "flow, whichever held-out pairs like best",
    )
    members: int | None = Field(
        default=None,
        ge=1,
        description="samplers trained from different seeds, drawn from equally; where left out 4 "
        "for a model with noise, else 1",
    )
    head_steps: int = Field(default=4000, ge=1, description="most optimiser steps of the head")
    steps: int = Field(
        default=6000, ge=0, description="most generator steps of the game; 0 keeps the head alone"
    )
    batch_size: int = Field(default=512, ge=8, description="pairs in one step")
    learning_rate: float = Field(default=2e-3, gt=0, description="of head, generator and critic")
    hidden: int = Field(default=128, ge=4, description="units in each hidden layer")
    layers: int = Field(default=3, ge=1, description="hidden layers of generator and critic")
    transforms: int = Field(default=3, ge=1, description="spline transforms of the flow head")
    smoothing: float = Field(
        default=0.1,
        ge=0,
        description="first noise on the parameters in the head's fit, in prior sd; falls to 5 %",
    )
    loss: Literal[
        "relativistic", "minimax", "nonsaturating", "wasserstein", "least_squares", "hinge"
    ] = Field(default="relativistic", description="what generator and critic play for")
    real_weight: float = Field(
        default=1.0, ge=0, description="weight of the real part of the critic's loss"
    )
    fake_weight: float = Field(
        default=1.0, ge=0, description="weight of the generated part of the critic's loss"
    )
    adaptive_weights: bool = Field(
        default=False, description="weigh the two parts by their gradients, anew at every step"
    )
    real_label: float = Field(
        default=1.0,
        gt=0.5,
        le=1,
        description="what the critic is told of real pairs; 0.9 is one-sided label smoothing",
    )
    penalty: Literal["auto", "both", "r1", "r2", "interpolated", "none"] = Field(
        default="auto",
        description="of the critic's gradient: on real pairs (r1), generated ones (r2) or both, "
        "towards zero; interpolated: between them, to one at most; auto: interpolated for the "
        "wasserstein loss, else both",
    )
    penalty_over: Literal["x", "pair"] = Field(
        default="x", description="gradient in the parameters alone, or in parameters and outputs"
    )
    penalty_every: int = Field(
        default=1, ge=1, description="critic steps from one penalty to the next, so much heavier"
    )
    gamma: float = Field(
        default=0.05, ge=0, description="weight of the R1 and R2 gradient penalties"
    )
    lipschitz: float = Field(
        default=10.0, ge=0, description="weight of the interpolated gradient penalty"
    )
    network: NetworkConfig = Field(
        default_factory=NetworkConfig, description="the networks of generator and critic"
    )
    packing: int = Field(
        default=1, ge=1, description="draws for neighbouring outputs that the critic sees at once"
    )
    codes: int = Field(
        default=0,
        ge=0,
        description="kinds of draws that the generator is to tell apart by a code, such as the "
        "branches of an answer, which only head none leaves apart; 0 for no code",
    )
    code_weight: float = Field(
        default=1.0, ge=0, description="weight of the information that draws hold of their code"
    )
    optimiser: Literal["adam", "rmsprop", "sgd"] = Field(
        default="adam", description="of generator and critic"
    )
    generator_rate: float | None = Field(
        default=None, gt=0, description="of the generator; learning_rate where left out"
    )
    critic_rate: float | None = Field(
        default=None, gt=0, description="of the critic; learning_rate where left out"
    )
    clip: float | None = Field(
        default=None,
        gt=0,
        description="largest norm of a gradient of generator or critic; a longer one is shortened",
    )
    mixed_precision: bool = Field(
        default=False, description="on a GPU, let the game compute in bfloat16 where that is safe"
    )
    critic_steps: int = Field(default=1, ge=1, description="critic steps for each generator step")
    averaging: float = Field(
        default=0.999, ge=0, lt=1, description="decay of the average of generator weights"
    )
    evaluations: int = Field(
        default=12, ge=1, description="held-out evaluations of the head and of the game"
    )
    patience: int = Field(
        default=5, ge=1, description="evaluations without improvement after which the head stops"
    )
    restarts: int = Field(
        default=2,
        ge=0,
        description="times that a game which failed is played again, under gentler settings",
    )
    judge: bool = Field(
        default=True,
        description="for models with noise and members: 1: correct draws by a classifier's density "
        "ratio where held-out pairs gain",
    )
    focus: float = Field(
        default=0.25,
        ge=0,
        description="margin around the observed range, in ranges, that is trained on",
    )

    @model_validator(mode="after")
    def _parts_of_the_loss(self) -> Self:
        weighted = self.real_weight != 1 or self.fake_weight != 1
        if self.loss in PAIRED and (weighted or self.adaptive_weights):
            name = "adaptive_weights" if self.adaptive_weights else "real_weight"
            raise SettingError(
                (name,),
                f"weighs the real and the fake part of a loss, and the {self.loss} loss is no sum "
                "of two such parts; choose another loss, or leave the weights alone",
            )
        if weighted and self.adaptive_weights:
            raise SettingError(
                ("adaptive_weights",), "chooses the weights; leave real_weight and fake_weight out"
            )
        if self.real_label != 1 and self.loss not in LABELLED:
            raise SettingError(
                ("real_label",),
                f"has no meaning for the {self.loss} loss, which knows no labels; choose one of "
                f"{', '.join(LABELLED)}",
            )
        if self.codes == 1:
            raise SettingError(("codes",), "must be 2 or more kinds, or 0 for none; got 1")
        return self


class SampleConfig(Section):
    """Draws for the observations, and their correction."""

    n: int = Field(default=20_000, ge=1, description="number of parameter draws in the answer")
    correct: bool = Field(
        default=True, description="make the draws data-consistent by re-weighting"
    )


class McmcConfig(Section):
    """The emcee baseline."""

    enabled: bool = Field(default=True, description="run the baseline beside the generator")
    walkers: int = Field(default=64, ge=4, description="walkers of the ensemble")
    steps: int = Field(default=5000, ge=10, description="steps of each walker")


def sentence(error: ValidationError, model: type[BaseModel]) -> SettingError:
    """The first of pydantic's complaints as one sentence: what, got, do."""
    complaints = error.errors(include_url=False)
    foreign = (c for c in complaints if c["type"] == "extra_forbidden")
    first = next(foreign, complaints[0])
    path = [str(key) for key in first["loc"]]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, SettingError):
        return inner.under(*path)
    if isinstance(inner, InputError):
        return SettingError(path, f"is not usable: {inner}")
    if first["type"] == "extra_forbidden":
        return unknown(path, _settings_of(model, path[-1]))
    if first["type"] == "missing":
        return SettingError(path, "is missing")
    wanted = _WANTED.get(first["type"], "is not usable ({msg})")
    text = wanted.format(msg=first["msg"], **first.get("ctx", {}))
    return SettingError(path, f"{text}; got {short(first['input'])}")


def unknown(path: Sequence[str], known: Iterable[str], what: str = "a setting") -> SettingError:
    """The complaint about a key that nobody knows, with the known one that is most like it."""
    names = list(known)
    # The last part of a known name counts too, so that a setting in the wrong section is found.
    close = [name for name in names if name.endswith(f".{path[-1]}")]
    close = close or difflib.get_close_matches(path[-1], names, n=1)
    if close:
        return SettingError(path, f"is not {what}", " or ".join(close))
    return SettingError(path, f"is not {what}; known are {', '.join(names)}")


def number(value: Any) -> Any:
    """The number that a text such as "1e5" spells; anything else as it came.

    Raises:
        SettingError: true or false, which Python would take for 1 or 0.
    """
    if isinstance(value, bool):
        raise SettingError((), f"must be a number; got {str(value).lower()}")
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def short(value: Any, width: int = 60) -> str:
    """A value as it is shown in a sentence: never longer than a line."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


_WANTED = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "model_type": "must be settings, one `name: value` a line",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


def _settings_of(model: type[BaseModel], name: str) -> list[str]:
    """The settings of a section, and those of its own sections that have this name."""
    deeper = [
        f"{outer}.{name}"
        for outer, field in model.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and name in field.annotation.model_fields
    ]
    return [*model.model_fields, *deeper]
