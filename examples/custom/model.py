"""Drug concentration in blood after one tablet: absorption, and elimination that saturates.

The tablet dissolves from the gut at first order, and the enzyme that removes the drug works at no
more than a largest rate (Michaelis and Menten 1913). With the concentration C,

    dC/dt = k F dose / V * exp(-k t) - vmax / V * C / (km + C),      C(0) = 0,

which has no closed solution. It is integrated for a whole batch of people at once by the classical
fourth-order Runge-Kutta method.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DOSE = 300.0  # mg
KM = 4.0  # mg/L, concentration at which the enzyme works at half its largest rate
STEP = 0.1  # hours
TIMES = {"c1": 1.0, "c4": 4.0, "c10": 10.0}  # hours after the tablet


def concentrations(x: Array) -> dict[str, Array]:
    """Concentrations in mg/L at 1, 4 and 10 hours, a column (n,) each.

    Args:
        x: absorption rate (1/h), volume (L), largest elimination rate (mg/h) and bioavailability
            (share of the dose that reaches the blood), shape (n, 4).
    """
    absorption, volume, vmax, bioavailability = x.T
    influx = absorption * bioavailability * DOSE / volume

    def rate(t: float, c: Array) -> Array:
        return np.asarray(influx * np.exp(-absorption * t) - vmax / volume * c / (KM + c))

    c, seen = np.zeros(len(x)), {}
    wanted = {round(t / STEP): name for name, t in TIMES.items()}
    for i in range(max(wanted)):
        c = _advanced(rate, i * STEP, c)
        if i + 1 in wanted:
            seen[wanted[i + 1]] = c
    return seen


def _advanced(rate: Callable[[float, Array], Array], t: float, c: Array) -> Array:
    """One Runge-Kutta step from time t."""
    k1 = rate(t, c)
    k2 = rate(t + STEP / 2, c + STEP / 2 * k1)
    k3 = rate(t + STEP / 2, c + STEP / 2 * k2)
    k4 = rate(t + STEP, c + STEP * k3)
    return np.asarray(c + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
