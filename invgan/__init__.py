"""Which parameters of my model explain the data that I see?

A conditional-GAN solver for stochastic inverse problems: `Problem` says what is asked, `solve`
answers it, checks the answer against the model, and sets MCMC beside it. The stages can be called
one by one: `simulate`, `train`, `sample`, `correct`, `run_mcmc`, `validate`, `compare`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invgan.checks import compare, validate
    from invgan.config import Settings
    from invgan.correction import correct
    from invgan.errors import InputError, InvganError
    from invgan.gan import Inverse, sample, train
    from invgan.mcmc import run_mcmc
    from invgan.pipeline import solve
    from invgan.priors import Box, Dirichlet, MultivariateNormal, Prior, Simplex
    from invgan.problem import Problem
    from invgan.samples import Samples, Simulations
    from invgan.settings import McmcConfig, SampleConfig, SimulateConfig, TrainConfig
    from invgan.simulation import simulate
    from invgan.solution import Solution
    from invgan.validation import Validation

_HOMES = {
    "config": ["Settings"],
    "correction": ["correct"],
    "errors": ["InputError", "InvganError"],
    "gan": ["Inverse", "sample", "train"],
    "mcmc": ["run_mcmc"],
    "pipeline": ["solve"],
    "priors": ["Box", "Dirichlet", "MultivariateNormal", "Prior", "Simplex"],
    "problem": ["Problem"],
    "samples": ["Samples", "Simulations"],
    "settings": ["McmcConfig", "SampleConfig", "SimulateConfig", "TrainConfig"],
    "simulation": ["simulate"],
    "checks": ["compare", "validate"],
    "solution": ["Solution"],
    "validation": ["Validation"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Box",
    "Dirichlet",
    "InputError",
    "Inverse",
    "InvganError",
    "McmcConfig",
    "MultivariateNormal",
    "Prior",
    "Problem",
    "SampleConfig",
    "Samples",
    "Settings",
    "Simplex",
    "SimulateConfig",
    "Simulations",
    "Solution",
    "TrainConfig",
    "Validation",
    "compare",
    "correct",
    "run_mcmc",
    "sample",
    "simulate",
    "solve",
    "train",
    "validate",
]


def __getattr__(name: str) -> object:
    """Import a name from its room at first use, so that `import invgan` is quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'invgan' has no attribute {name!r}")
    return getattr(import_module(f"invgan.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
