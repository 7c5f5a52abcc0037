"""Running the model: prior draws in chunks, every shape of user function, failures kept apart."""

from invgan.simulation.draws import simulate
from invgan.simulation.evaluate import Progress, evaluate, sort_repeats

__all__ = ["Progress", "evaluate", "simulate", "sort_repeats"]
