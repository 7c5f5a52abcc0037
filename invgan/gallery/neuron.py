r"""A neuron under current clamp: 13 parameters, and a voltage trace or nine summaries of it.

One compartment with the currents of Pospischil et al. (2008): sodium and potassium of the action
potential (Traub and Miles 1991), a slow potassium current that adapts the rate of firing (M), a
high-threshold calcium current and a leak. Of the membrane potential V,

    C V' = I(t) - g_Na m^3 h (V - E_Na) - g_K n^4 (V - E_K) - g_M p (V - E_K)
           - g_Ca q^2 r (V - 120 mV) - g_L (V - E_L),

and each gate w of (m, h, n, p, q, r) opens and closes, w' = a(V) (1 - w) - b(V) w. The parameters
are five conductances, the capacitance, three reversal potentials, the threshold shift V_T, the
largest time constant of p, and height and slope of the closing rate of n (Goncalves et al. 2020
infer eight of them). Units: mV, ms, mS/cm^2, uF/cm^2, uA/cm^2.

Exponential Euler, first the gates and then the potential, is stable for every step length
(Rush and Larsen 1978): each state moves towards its steady value and never beyond it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import exprel

from invgan.gallery.ready import GalleryProblem
from invgan.noise import Noise
from invgan.priors import Prior
from invgan.problem import Problem

__all__ = [
    "PARAMETERS",
    "SUMMARIES",
    "TRUTH",
    "hodgkin_huxley_problem",
    "hodgkin_huxley_summary",
    "hodgkin_huxley_trace",
    "hodgkin_huxley_trace_problem",
    "potential",
]

Array = NDArray[np.float64]

PARAMETERS = {
    "g_Na": (20.0, 80.0),
    "g_K": (2.0, 15.0),
    "g_M": (0.005, 0.3),
    "g_L": (0.02, 0.3),
    "g_Ca": (0.001, 0.2),
    "C": (0.7, 1.5),
    "E_Na": (40.0, 65.0),
    "E_K": (-110.0, -80.0),
    "E_L": (-90.0, -55.0),
    "V_T": (-75.0, -45.0),
    "tau_max": (100.0, 3000.0),
    "rate_n": (0.3, 0.8),
    "slope_n": (20.0, 60.0),
}
"""Lowest and highest value of each parameter."""

TRUTH = np.array([50, 5, 0.07, 0.1, 0.02, 1.0, 53, -100, -70, -60, 1000, 0.5, 40])
"""A regularly spiking cell that adapts."""

SUMMARIES = (
    "rest",
    "spikes",
    "latency",
    "mean",
    "sd",
    "skewness",
    "kurtosis",
    "trough",
    "after",
)
_SUMMARY_NOISE = np.array([0.5, 0.2, 1.0, 0.5, 0.5, 0.1, 0.3, 0.5, 0.5])
_TRACE_NOISE = 2.0

CURRENT = 5.0  # uA/cm^2
ON, OFF, END = 20.0, 120.0, 140.0  # ms
STEP, KEPT = 0.05, 0.1  # ms
_POINTS = 100
_CALCIUM = 120.0  # mV
_SPIKE = -20.0  # mV
_BLOCK = 1024


def potential(x: Array) -> Array:
    """The membrane potential in mV every 0.1 ms from 0.1 to 140, shape (n, 1400).

    A current of 5 uA/cm^2 flows from 20 to 120 ms. The cell starts at its leak's potential with
    all gates at their steady values there.

    Args:
        x: parameters in the order of `PARAMETERS`, shape (n, 13).
    """
    blocks = [_integrated(x[i : i + _BLOCK].T) for i in range(0, len(x), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty((0, round(END / KEPT)))


def hodgkin_huxley_trace(x: Array) -> Array:
    """The membrane potential of x (n, 13) at 100 times, 1.4 ms apart, in mV, shape (n, 100)."""
    stride = round(END / KEPT) // _POINTS
    return potential(x)[:, stride - 1 :: stride]


def hodgkin_huxley_summary(x: Array) -> Array:
    """Nine summaries of the trace of x (n, 13), shape (n, 9), in the order of `SUMMARIES`.

    Mean potential in the last 10 ms before the current (mV); number of upward passages of -20 mV
    while it flows; time from its start to the first of them, or all of its 100 ms (ms); mean,
    standard deviation (mV), skewness and kurtosis of the potential while it flows; the lowest
    potential in its last 80 ms, and the mean in the last 10 ms of the record (mV).
    """
    v = potential(x)
    stretch = slice(round(ON / KEPT), round(OFF / KEPT))
    during, ten = v[:, stretch], round(10 / KEPT)
    passages = (during[:, 1:] > _SPIKE) & (during[:, :-1] <= _SPIKE)
    first = np.where(passages.any(axis=1), (passages.argmax(axis=1) + 1) * KEPT, OFF - ON)
    mean, sd = during.mean(axis=1), during.std(axis=1)
    score = (during - mean[:, None]) / np.maximum(sd, 1e-6)[:, None]
    columns = [
        v[:, stretch.start - ten : stretch.start].mean(axis=1),
        passages.sum(axis=1),
        first,
        mean,
        sd,
        (score**3).mean(axis=1),
        (score**4).mean(axis=1),
        during[:, 2 * ten :].min(axis=1),
        v[:, -ten:].mean(axis=1),
    ]
    return np.stack(columns, axis=1)


def hodgkin_huxley_problem() -> GalleryProblem:
    """Nine summaries of one noisy record."""
    title = "Hodgkin-Huxley neuron, posterior, 13 -> 9 summaries of a current-clamp trace"
    return _recorded(title, hodgkin_huxley_summary, _SUMMARY_NOISE, SUMMARIES)


def hodgkin_huxley_trace_problem() -> GalleryProblem:
    """A hundred points of one noisy record."""
    title = "Hodgkin-Huxley neuron, posterior, 13 -> 100 points of a current-clamp trace"
    times = np.linspace(END / _POINTS, END, _POINTS)
    names = tuple(f"V({t:.1f})" for t in times)
    return _recorded(title, hodgkin_huxley_trace, np.full(_POINTS, _TRACE_NOISE), names)


def _recorded(
    title: str, view: Callable[[Array], Array], sd: Array, names: tuple[str, ...]
) -> GalleryProblem:
    prior = Prior({name: stats.uniform(a, b - a) for name, (a, b) in PARAMETERS.items()})
    noise = Noise.normal(sd.tolist())
    seen = noise.sample(view(TRUTH[None]), np.random.default_rng(15))
    problem = Problem(view, prior, seen, outputs=names, question="posterior", noise=noise)
    return GalleryProblem(title, problem, None, truth=TRUTH.copy())


def _integrated(cell: Array) -> Array:
    """The potential (n, T) of cells (13, n)."""
    g_na, g_k, g_m, g_l, g_ca, capacity, e_na, e_k, e_l = cell[:9]
    v = e_l.copy()
    opening, closing = _kinetics(v, cell[9:])
    gates = opening / (opening + closing)
    often, kept = round(KEPT / STEP), []
    for i in range(round(END / STEP)):
        opening, closing = _kinetics(v, cell[9:])
        steady = opening / (opening + closing)
        gates = steady + (gates - steady) * np.exp(-STEP * (opening + closing))
        m, h, n, p, q, r = gates
        sodium, potassium, calcium = g_na * m**3 * h, g_k * n**4 + g_m * p, g_ca * q**2 * r
        total = sodium + potassium + calcium + g_l
        current = CURRENT if ON <= i * STEP < OFF else 0.0
        drive = sodium * e_na + potassium * e_k + calcium * _CALCIUM + g_l * e_l + current
        goal = drive / total
        v = goal + (v - goal) * np.exp(-STEP * total / capacity)
        if (i + 1) % often == 0:
            kept.append(v)
    return np.stack(kept, axis=1)


def _kinetics(v: Array, shape: Array) -> tuple[Array, Array]:
    """Opening and closing rates (1/ms) of the gates m, h, n, p, q and r, shape (6, n) each.

    For the slow gate p, with steady value 1 / (1 + exp(-2 s)) and time constant
    tau_max / (3.3 exp(s) + exp(-s)), where s = (V + 35) / 20, they are the value divided by the
    time and what is left to one divided by it.
    """
    threshold, tau_max, rate_n, slope_n = shape
    u = v - threshold
    s = np.exp((v + 35) / 20)
    slow = (3.3 * s + 1 / s) / tau_max
    open_p = 1 / (1 + s**-2)
    opening = [
        1.28 / exprel((13 - u) / 4),
        0.128 * np.exp((17 - u) / 18),
        0.16 / exprel((15 - u) / 5),
        slow * open_p,
        0.209 / exprel((-27 - v) / 3.8),
        0.000457 * np.exp((-13 - v) / 50),
    ]
    closing = [
        1.4 / exprel((u - 40) / 5),
        4 / (1 + np.exp((40 - u) / 5)),
        rate_n * np.exp((10 - u) / slope_n),
        slow * (1 - open_p),
        0.94 * np.exp((-75 - v) / 17),
        0.0065 / (1 + np.exp((-15 - v) / 28)),
    ]
    return np.stack(opening), np.stack(closing)
