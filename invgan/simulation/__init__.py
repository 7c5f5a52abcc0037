"""Running the model: prior draws in chunks, every shape of user function, failures kept apart."""

from invgan.simulation.draws import simulate
from invgan.simulation.evaluate import Progress, evaluate, measure, run_model, sort_repeats

__all__ = ["Progress", "evaluate", "measure", "run_model", "simulate", "sort_repeats"]
