"""Ready problems whose answers are known, shared by tests, documentation and benchmarks.

Those of the population question have an ``exact(n, seed)`` sampler of the answer
``P_X(x) = q(x) P_Y(M(x)) / q_Y(M(x))``, those of the posterior question one of ``p(x given y)``
at the observation. Only the neuron, which stands for the size of real problems, has none: of it
the parameters that made the observation are known.
"""

from collections.abc import Callable, Mapping
from functools import partial

from invgan.errors import InputError
from invgan.gallery.algebraic import root_ratio_problem, rosenbrock_10_problem, rosenbrock_problem
from invgan.gallery.fields import super_resolution_problem
from invgan.gallery.gaussian import deconvolution_problem, linear_gaussian_problem
from invgan.gallery.images import blob_problem
from invgan.gallery.mechanics import (
    inverse_kinematics_problem,
    noisy_plate_problem,
    plate_problem,
)
from invgan.gallery.neuron import hodgkin_huxley_problem, hodgkin_huxley_trace_problem
from invgan.gallery.odes import lotka_volterra_problem, oscillator_problem, sir_problem
from invgan.gallery.posteriors import (
    fifty_problem,
    linear_gaussian_posterior_problem,
    two_branches_problem,
)
from invgan.gallery.ready import GalleryProblem

__all__ = ["POPULATION", "POSTERIOR", "PROBLEMS", "GalleryProblem", "get"]

POPULATION: Mapping[str, Callable[[], GalleryProblem]] = {
    "rosenbrock": rosenbrock_problem,
    "root-ratio": root_ratio_problem,
    "linear-gaussian": linear_gaussian_problem,
    "oscillator": oscillator_problem,
    "plate": plate_problem,
    "inverse-kinematics": inverse_kinematics_problem,
    "rosenbrock-10": rosenbrock_10_problem,
    "sir": sir_problem,
    "lotka-volterra": lotka_volterra_problem,
    "linear-gaussian-50": partial(linear_gaussian_problem, 50, 10),
    "deconvolution": deconvolution_problem,
    "plate-noisy": noisy_plate_problem,
}
"""Problems of the population question, by name; the last two have noise."""

POSTERIOR: Mapping[str, Callable[[], GalleryProblem]] = {
    "linear-gaussian-posterior": linear_gaussian_posterior_problem,
    "two-branches": two_branches_problem,
    "fifty": fifty_problem,
    "blob": blob_problem,
    "super-resolution": super_resolution_problem,
    "hodgkin-huxley": hodgkin_huxley_problem,
    "hodgkin-huxley-trace": hodgkin_huxley_trace_problem,
}
"""Problems of the posterior question, by name."""

PROBLEMS: Mapping[str, Callable[[], GalleryProblem]] = {**POPULATION, **POSTERIOR}
"""All of them."""


def get(name: str) -> GalleryProblem:
    """The ready problem of this name.

    Raises:
        InputError: there is none; the message lists them.
    """
    if name not in PROBLEMS:
        raise InputError(f"the gallery has no problem {name!r}; it has {', '.join(PROBLEMS)}")
    return PROBLEMS[name]()
