"""The laws that a configuration file can name: one small section each.

The fields of a section are the arguments in their order; its `law()` is the frozen law of
scipy.stats, or the joint law of `invgan.priors`, that they define.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from scipy import stats

from invgan.fields import GaussianField
from invgan.priors import Dirichlet, MultivariateNormal
from invgan.settings import Section, SettingError, number, short, unknown

__all__ = ["JOINT", "LAWS", "scipy_arguments"]

Number = Annotated[float, BeforeValidator(number)]
Bound = Annotated[float, Field(allow_inf_nan=True)]


class Uniform(Section):
    """Every value between two bounds equally likely."""

    low: float = Field(description="lower bound")
    high: float = Field(description="upper bound")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _below(self.low, self.high)
        return self

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.uniform(self.low, self.high - self.low)


class Normal(Section):
    """The Gaussian bell."""

    mean: float = Field(description="mean")
    sd: float = Field(gt=0, description="standard deviation")

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.norm(self.mean, self.sd)


class TruncatedNormal(Section):
    """A normal law cut off at two bounds, either of which may be infinite (`-.inf`, `.inf`)."""

    mean: float = Field(description="mean before the cut")
    sd: float = Field(gt=0, description="standard deviation before the cut")
    low: Bound = Field(description="lower bound")
    high: Bound = Field(description="upper bound")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _below(self.low, self.high)
        return self

    def law(self) -> Any:
        """The law that the arguments define."""
        a, b = ((bound - self.mean) / self.sd for bound in (self.low, self.high))
        return stats.truncnorm(a, b, loc=self.mean, scale=self.sd)


class Lognormal(Section):
    """A positive value whose logarithm is normal."""

    mu: float = Field(description="mean of the logarithm")
    sigma: float = Field(gt=0, description="standard deviation of the logarithm")

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.lognorm(self.sigma, scale=np.exp(self.mu))


class Beta(Section):
    """The beta law, stretched between two bounds."""

    a: float = Field(gt=0, description="first shape")
    b: float = Field(gt=0, description="second shape")
    low: float = Field(default=0.0, description="lower bound")
    high: float = Field(default=1.0, description="upper bound")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _below(self.low, self.high)
        return self

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.beta(self.a, self.b, self.low, self.high - self.low)


class Gamma(Section):
    """The gamma law, of mean shape * scale."""

    shape: float = Field(gt=0, description="shape")
    scale: float = Field(gt=0, description="scale, the inverse of the rate")

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.gamma(self.shape, scale=self.scale)


class Exponential(Section):
    """The exponential law."""

    scale: float = Field(gt=0, description="mean, the inverse of the rate")

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.expon(scale=self.scale)


class StudentT(Section):
    """Student's t, with tails heavier than the normal law's."""

    df: float = Field(gt=0, description="degrees of freedom")
    mean: float = Field(description="centre")
    sd: float = Field(gt=0, description="scale: the standard deviation as df grows")

    def law(self) -> Any:
        """The law that the arguments define."""
        return stats.t(self.df, self.mean, self.sd)


class Scipy(Section):
    """Any continuous law of one variable in scipy.stats, by its name and its arguments there."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    name: str = Field(description="its name in scipy.stats, such as gennorm")

    @model_validator(mode="after")
    def _known(self) -> Self:
        order = scipy_arguments(self.name)
        for name in self.__pydantic_extra__:
            if name not in order:
                raise unknown((name,), order, f"an argument of {self.name}")
        for name in order[:-2]:
            if name not in self.__pydantic_extra__:
                raise SettingError((name,), f"is missing: {self.name} takes {', '.join(order)}")
        # The quantiles of these laws of n values take a time that grows without bounds.
        n = self.__pydantic_extra__.get("n", 0) if self.name in _SLOW else 0
        if n > _MOST_VALUES:
            raise SettingError(("n",), f"must be {_MOST_VALUES} or less; got {n:g}")
        return self

    def law(self) -> Any:
        """The law that the arguments define."""
        return getattr(stats, self.name)(**self.__pydantic_extra__)


_SLOW, _MOST_VALUES = ("ksone", "irwinhall"), 1000


class JointNormal(Section):
    """Several correlated values."""

    mean: list[Number] = Field(min_length=1, description="means, one for each value")
    cov: list[list[Number]] = Field(description="covariance, a list of rows")
    names: list[str] | None = Field(default=None, description="names of the values")

    @model_validator(mode="after")
    def _square(self) -> Self:
        size = len(self.mean)
        if len(self.cov) != size or any(len(row) != size for row in self.cov):
            got = f"rows of {[len(row) for row in self.cov]} values"
            raise SettingError(("cov",), f"must have {size} rows of {size} values; got {got}")
        if not np.allclose(self.cov, np.transpose(self.cov)):
            raise SettingError(("cov",), f"must be symmetric; got {short(self.cov)}")
        return self

    def law(self) -> MultivariateNormal:
        """The law that the arguments define."""
        return MultivariateNormal(self.mean, self.cov, self.names)


class Proportions(Section):
    """Values that add up to one: the Dirichlet law."""

    alpha: list[Number] = Field(description="concentrations, two or more")
    names: list[str] | None = Field(default=None, description="names of the values")

    def law(self) -> Dirichlet:
        """The law that the arguments define."""
        return Dirichlet(self.alpha, self.names)


class RandomField(Section):
    """A field of correlated normal values on a regular grid."""

    shape: list[int] = Field(description="[height, width], or [channels, height, width]")
    length: float = Field(gt=0, description="correlation length in pixels")
    sd: float = Field(default=1.0, gt=0, description="standard deviation of every value")
    mean: float = Field(default=0.0, description="mean of every value")
    kernel: Literal["exponential", "matern32", "gaussian"] = Field(
        default="exponential", description="covariance: exponential, matern32 or gaussian"
    )
    name: str = Field(default="x", min_length=1, description="name of the field")

    def law(self) -> GaussianField:
        """The law that the arguments define."""
        return GaussianField(
            self.shape, self.length, sd=self.sd, mean=self.mean, kernel=self.kernel, name=self.name
        )


JOINT: dict[str, type[Section]] = {
    "multivariate_normal": JointNormal,
    "dirichlet": Proportions,
    "gaussian_field": RandomField,
}
"""The laws of several values at once."""

LAWS: dict[str, type[Section]] = {
    "uniform": Uniform,
    "normal": Normal,
    "truncnorm": TruncatedNormal,
    "lognormal": Lognormal,
    "beta": Beta,
    "gamma": Gamma,
    "exponential": Exponential,
    "student_t": StudentT,
    "scipy": Scipy,
    **JOINT,
}
"""Every law that a configuration file can name."""


def scipy_arguments(name: Any) -> list[str]:
    """The arguments of a law of scipy.stats in their order: its shapes, loc and scale."""
    found = getattr(stats, name, None) if isinstance(name, str) else None
    if not isinstance(found, stats.rv_continuous):
        laws = [key for key, law in vars(stats).items() if isinstance(law, stats.rv_continuous)]
        wanted = "must be a continuous law of one variable in scipy.stats, such as gennorm"
        if isinstance(name, str) and (error := unknown((name,), laws)).instead:
            wanted += f" (did you mean {error.instead}?)"
        raise SettingError(("name",), f"{wanted}; got {short(name)}")
    shapes = found.shapes.split(", ") if found.shapes else []
    return [*shapes, "loc", "scale"]


def _below(low: float, high: float) -> None:
    if not low < high:
        raise SettingError((), f"must have low < high; got low={low:g}, high={high:g}")
