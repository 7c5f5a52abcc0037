"""An epidemic in a school: the SIR model of Kermack and McKendrick (1927).

    dS/dt = -beta S I / N,    dI/dt = beta S I / N - gamma I,    dR/dt = gamma I

Parameters x: beta (1/day), how fast the infected pass it on; gamma (1/day), how fast they recover;
and how many were infected on day 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PUPILS", "begin", "rates"]

Array = NDArray[np.float64]

PUPILS = 800.0


def rates(t: float, u: Array, x: Array) -> Array:
    """The rates (3,) of the state u = (S, I, R) for one parameter vector x (3,)."""
    infections, recoveries = x[0] * u[0] * u[1] / PUPILS, x[1] * u[1]
    return np.array([-infections, infections - recoveries, recoveries])


def begin(x: Array) -> Array:
    """The state on day 0."""
    return np.array([PUPILS - x[2], x[2], 0.0])
