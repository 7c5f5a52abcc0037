"""Which parameters of my model explain the data that I see?

A conditional-GAN solver for stochastic inverse problems: `Problem` says what is asked, `solve`
answers it, checks the answer against the model, and sets MCMC beside it. The stages can be called
one by one: `simulate`, `train`, `sample`, `correct`, `run_mcmc`, `validate`, `compare`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invgan.calibration import Calibration, calibrate
    from invgan.checks import compare, validate
    from invgan.config import Settings
    from invgan.correction import correct
    from invgan.errors import InputError, InvganError
    from invgan.execution import Execution
    from invgan.fields import GaussianField
    from invgan.gan import (
        Inverse,
        PopulationGenerator,
        RganConfig,
        TableGenerator,
        fit_generator,
        load_generator,
        sample,
        train,
        train_rgan,
    )
    from invgan.intervention import Intervention, solve_intervention
    from invgan.mcmc import run_mcmc
    from invgan.mixing import iterate
    from invgan.models import (
        Command,
        apply_summary,
        load_table,
        ode_model,
        summarised,
        torch_model,
    )
    from invgan.noise import Noise
    from invgan.pipeline import solve
    from invgan.priors import Box, Dirichlet, MultivariateNormal, Prior, Simplex
    from invgan.problem import Problem
    from invgan.samples import Samples, Simulations
    from invgan.settings import (
        EmbeddingConfig,
        McmcConfig,
        NetworkConfig,
        SampleConfig,
        SimulateConfig,
        TrainConfig,
    )
    from invgan.simulation import failure_table, fill_store, simulate
    from invgan.solution import Solution
    from invgan.store import open_store
    from invgan.structure import pad_row
    from invgan.study import Study, SweepPlan, sweep
    from invgan.validation import Validation

_HOMES = {
    "calibration": ["Calibration", "calibrate"],
    "checks": ["compare", "validate"],
    "config": ["Settings"],
    "correction": ["correct"],
    "errors": ["InputError", "InvganError"],
    "execution": ["Execution"],
    "fields": ["GaussianField"],
    "gan": [
        "Inverse",
        "PopulationGenerator",
        "RganConfig",
        "TableGenerator",
        "fit_generator",
        "load_generator",
        "sample",
        "train",
        "train_rgan",
    ],
    "intervention": ["Intervention", "solve_intervention"],
    "mcmc": ["run_mcmc"],
    "mixing": ["iterate"],
    "models": [
        "Command",
        "apply_summary",
        "load_table",
        "ode_model",
        "summarised",
        "torch_model",
    ],
    "noise": ["Noise"],
    "pipeline": ["solve"],
    "priors": ["Box", "Dirichlet", "MultivariateNormal", "Prior", "Simplex"],
    "problem": ["Problem"],
    "samples": ["Samples", "Simulations"],
    "settings": [
        "EmbeddingConfig",
        "McmcConfig",
        "NetworkConfig",
        "SampleConfig",
        "SimulateConfig",
        "TrainConfig",
    ],
    "simulation": ["failure_table", "fill_store", "simulate"],
    "solution": ["Solution"],
    "store": ["open_store"],
    "structure": ["pad_row"],
    "study": ["Study", "SweepPlan", "sweep"],
    "validation": ["Validation"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Box",
    "Calibration",
    "Command",
    "Dirichlet",
    "EmbeddingConfig",
    "Execution",
    "GaussianField",
    "InputError",
    "Intervention",
    "Inverse",
    "InvganError",
    "McmcConfig",
    "MultivariateNormal",
    "NetworkConfig",
    "Noise",
    "PopulationGenerator",
    "Prior",
    "Problem",
    "RganConfig",
    "SampleConfig",
    "Samples",
    "Settings",
    "Simplex",
    "SimulateConfig",
    "Simulations",
    "Solution",
    "Study",
    "SweepPlan",
    "TableGenerator",
    "TrainConfig",
    "Validation",
    "apply_summary",
    "calibrate",
    "compare",
    "correct",
    "failure_table",
    "fill_store",
    "fit_generator",
    "iterate",
    "load_generator",
    "load_table",
    "ode_model",
    "open_store",
    "pad_row",
    "run_mcmc",
    "sample",
    "simulate",
    "solve",
    "solve_intervention",
    "summarised",
    "sweep",
    "torch_model",
    "train",
    "train_rgan",
    "validate",
]


def __getattr__(name: str) -> object:
    """Import a name from its room at first use, so that `import invgan` is quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'invgan' has no attribute {name!r}")
    return getattr(import_module(f"invgan.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
