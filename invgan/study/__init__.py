"""The hyperparameter study: many trainings on the same simulations, compared by held-out figures.

    SweepPlan: what varies      sweep: problem, plan -> Study      Study: rows, and the best setting

The simulations are made once; what differs from run to run is how they are learnt from.
"""

from invgan.execution.processes import processes
from invgan.study.conduct import rehearse, sweep
from invgan.study.outcome import Study, Tried
from invgan.study.plan import SweepPlan, load_plan
from invgan.study.row import FIGURES, Row
from invgan.study.summary import said

__all__ = [
    "FIGURES",
    "Row",
    "Study",
    "SweepPlan",
    "Tried",
    "load_plan",
    "processes",
    "rehearse",
    "said",
    "sweep",
]
