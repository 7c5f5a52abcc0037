"""Settings of the networks: of structured outputs, and of the two sides of the game."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from invgan.settings.section import Section, SettingError

__all__ = ["AXES", "ONE_CHANNEL", "EmbeddingConfig", "NetworkConfig", "doublings"]

Shape = tuple[int, int, int]

AXES = {
    "conv1d": ("channels", "length"),
    "recurrent": ("channels", "length"),
    "transformer": ("channels", "length"),
    "conv2d": ("channels", "height", "width"),
    "set": ("elements", "width"),
}
ONE_CHANNEL = ("conv1d", "recurrent", "transformer")


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

    kind: Literal["mlp", "dcgan", "conv1d", "srgan"] = Field(
        default="mlp",
        description="mlp; dcgan (four convolutions over a 10 x 10 plane); conv1d, for parameters "
        "that are a time series; srgan, for parameters that are a field, whose generator and "
        "critic have a quarter as many channels at the finest grid as there are hidden units",
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
    field: tuple[int, int, int] | None = Field(
        default=None,
        description="of a srgan: [channels, height, width] that the parameters are; where left out "
        "the shape of the prior's fields",
    )
    coarse: tuple[int, int, int] | None = Field(
        default=None,
        description="of a srgan: [channels, height, width] of the coarse field that the first "
        "outputs are, each side that of the field halved again and again; where left out that of "
        "the observed fields if they are such ones, else there is no field among the outputs",
    )
    blocks: int = Field(default=4, ge=0, description="residual blocks of a srgan's generator")
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

    @model_validator(mode="after")
    def _fields(self) -> Self:
        for name, shape in (("field", self.field), ("coarse", self.coarse)):
            if shape is None:
                continue
            if self.kind != "srgan":
                raise SettingError(
                    (name,), f"has no meaning for kind {self.kind}; got {list(shape)}"
                )
            if min(shape) < 1:
                raise SettingError(
                    (name,),
                    f"must be [channels, height, width], each 1 or more; got {list(shape)}",
                )
        if self.field and self.coarse and doublings(self.coarse, self.field) is None:
            raise SettingError(
                ("coarse",),
                f"must have both sides of the field, {self.field[1]} x {self.field[2]}, divided by "
                f"one power of two; got {self.coarse[1]} x {self.coarse[2]}",
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


def doublings(coarse: Shape, field: Shape) -> int | None:
    """How often both sides of a coarse field are doubled to give those of a fine one, or None."""
    times = max(field[1] // coarse[1], 1).bit_length() - 1
    fits = (coarse[1] << times, coarse[2] << times) == field[1:]
    return times if fits else None
