"""One problem of each kind of model, for tests of how models are run and kept."""

import running_models as models
from scipy import stats

from invgan.priors import Prior
from invgan.problem import Problem

PRIOR = Prior(a=stats.norm(), b=stats.uniform(0, 1))
TWO = {"total": stats.norm(), "product": stats.norm()}
BATCHED = Problem(models.both, PRIOR, TWO)
ROWS = Problem(models.both, PRIOR, TWO, vectorized=False)
PROBLEMS = {
    "batched": BATCHED,
    "one by one": ROWS,
    "batched, noisy": Problem(
        models.noisy, PRIOR, [[1.0]] * 2, stochastic=True, question="posterior"
    ),
    "one by one, noisy": Problem(
        models.noisy_row, PRIOR, [[1.0]] * 2, stochastic=True, vectorized=False,
        question="posterior", noise={"normal": 0.1},
    ),
    "measured": Problem(models.both, PRIOR, [[1.0, 2.0]] * 2, question="posterior",
                        noise={"student_t": {"df": 3, "sd": 1}}),
}  # fmt: skip
