"""Settings of training: the head start, the game, and what decides between them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from invgan.settings.networks import EmbeddingConfig, NetworkConfig
from invgan.settings.section import Section, SettingError

__all__ = ["LABELLED", "PAIRED", "REGRESSED", "TrainConfig"]

PAIRED = ("relativistic",)
REGRESSED = ("linear", "affine", "regression")
LABELLED = ("minimax", "nonsaturating", "least_squares")
_HEAD_STEPS = 4000


class TrainConfig(Section):
    """The head start, the adversarial game, and what decides between them."""

    method: Literal["cgan", "rgan"] = Field(
        default="cgan",
        description="cgan: parameters given outputs; rgan: the population itself, by two critics, "
        "of these settings by steps, batch_size, hidden, layers, gamma, averaging, evaluations and "
        "patience, and by learning_rate and head_steps (of its surrogate) where they are chosen",
    )
    embedding: EmbeddingConfig = Field(
        default_factory=EmbeddingConfig,
        description="the network that summarises structured outputs, trained with the head",
    )
    head: Literal["auto", "flow", "small", "linear", "affine", "regression", "gaussian", "none"] = (
        Field(
            default="auto",
            description="density fitted by likelihood before the game; auto: linear, small, "
            "flow or, of more than ten parameters, affine, whichever held-out pairs like best, of "
            "fields the regression",
        )
    )
    members: int | None = Field(
        default=None,
        ge=1,
        description="samplers trained from different seeds, drawn from equally; where left out 4 "
        "for a model with noise, else 1",
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="processes in which heads and likelihoods are fitted side by side, to the same "
        "result; on a GPU, and of pairs on the disk, one is fitted after the other",
    )
    head_steps: int | None = Field(
        default=None,
        ge=1,
        description="most optimiser steps of the head; where left out 4,000, and where its density "
        "is the answer, for a posterior or a model with noise, as many more as go 60 times through "
        "the pairs, 20,000 at most",
    )
    steps: int = Field(
        default=6000, ge=0, description="most generator steps of the game; 0 keeps the head alone"
    )
    batch_size: int = Field(default=512, ge=8, description="pairs in one step")
    learning_rate: float = Field(
        default=2e-3,
        gt=0,
        description="of head, generator and critic; where its density is the answer a flow is "
        "fitted at twice that as well, and a likelihood at four times",
    )
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
        default=0.05,
        ge=0,
        description="weight of the R1 and R2 gradient penalties; ten times as much for a rgan "
        "whose draws are corrected",
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
    content_weight: float = Field(
        default=0.0,
        ge=0,
        description="weight of the content loss, the distance of a draw from the real parameters "
        "of its outputs, which biases a posterior: it draws all draws to one",
    )
    content: Literal["auto", "outputs", "pixels"] = Field(
        default="auto",
        description="what the content loss compares: pixels, the parameters themselves; outputs, "
        "those of the model; auto: outputs where the model can be differentiated, which is a torch "
        "model without noise of its own, else pixels",
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
    likelihood: bool = Field(
        default=True,
        description="for the posterior of a model with noise, of 50 parameters, 50 outputs and 20 "
        "repeats at most: learn the law of the outputs too, and weigh the draws of heads by it "
        "where held-out pairs gain",
    )
    focus: float = Field(
        default=0.25,
        ge=0,
        description="margin around the observed range, in ranges, that is trained on",
    )

    @property
    def steps_of_head(self) -> int:
        """Most optimiser steps of the head; where left out, those of few pairs."""
        return _HEAD_STEPS if self.head_steps is None else self.head_steps

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
        if self.head in REGRESSED and self.embedding.kind != "none":
            raise SettingError(
                ("head",),
                f"{self.head} is a regression on the outputs themselves and takes no embedding; "
                "choose another head, or embedding.kind none",
            )
        if self.head == "none" and self.embedding.kind != "none":
            raise SettingError(
                ("head",),
                f"none leaves nothing to train the embedding by, which is {self.embedding.kind}; "
                "choose auto or another head, or embedding.kind none",
            )
        if self.codes == 1:
            raise SettingError(("codes",), "must be 2 or more kinds, or 0 for none; got 1")
        return self
