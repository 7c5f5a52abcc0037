"""A neuron under current clamp: nine summaries of its membrane potential.

The simulation is the gallery's (`invgan.gallery.neuron` has the equations): 13 parameters, a
current of 5 uA/cm^2 from 20 to 120 ms, and the potential in mV every 0.1 ms to 140 ms. A view of
your own is a function of that record; `firing` is one.
"""

from __future__ import annotations

from numpy.typing import NDArray

from invgan.gallery.neuron import hodgkin_huxley_summary as summary
from invgan.gallery.neuron import hodgkin_huxley_trace as trace
from invgan.gallery.neuron import potential

__all__ = ["firing", "summary", "trace"]

Array = NDArray


def firing(x: Array) -> dict[str, Array]:
    """How often the neuron fires and how high it gets (mV), a column (n,) each, of x (n, 13)."""
    v = potential(x)
    passages = (v[:, 1:] > -20) & (v[:, :-1] <= -20)
    return {"spikes": passages.sum(axis=1), "highest": v.max(axis=1)}
