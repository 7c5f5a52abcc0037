"""Running the model: prior draws in chunks, every shape of user function, failures kept apart."""

from invgan.simulate.draws import simulate
from invgan.simulate.evaluate import Progress, evaluate

__all__ = ["Progress", "evaluate", "simulate"]
