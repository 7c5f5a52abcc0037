"""Running the model: prior draws, every shape of user function, anywhere, failures kept apart."""

from invgan.execution.calls import BLOCK
from invgan.simulation.draws import Design
from invgan.simulation.evaluate import evaluate
from invgan.simulation.failures import FailureTable, failure_table
from invgan.simulation.repeatable import check_repeatable, runs_to_repeat
from invgan.simulation.runs import Progress, column_names, measure, run_model, sort_repeats
from invgan.simulation.simulate import fill_store, simulate

__all__ = [
    "BLOCK",
    "Design",
    "FailureTable",
    "Progress",
    "check_repeatable",
    "column_names",
    "evaluate",
    "failure_table",
    "fill_store",
    "measure",
    "run_model",
    "runs_to_repeat",
    "simulate",
    "sort_repeats",
]
