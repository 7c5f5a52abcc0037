"""Two populations, before and after a change, explained by one law of the parameters."""

from invgan.intervention.answer import InterventionSolution, solve_intervention
from invgan.intervention.coupling import Coupling, couple, matched
from invgan.intervention.design import Intervention
from invgan.intervention.judgement import judge
from invgan.intervention.projection import Projection, project

__all__ = [
    "Coupling",
    "Intervention",
    "InterventionSolution",
    "Projection",
    "couple",
    "judge",
    "matched",
    "project",
    "solve_intervention",
]
