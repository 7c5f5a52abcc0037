"""What each stage of a run is made from, in a short text: another text is another run."""

from __future__ import annotations

from invgan.config import Settings
from invgan.files import digest
from invgan.models import identity
from invgan.observations import known_by
from invgan.own_prior import prior_known_by
from invgan.problem import Problem
from invgan.samples import Simulations

__all__ = ["fingerprints"]

_STAGES = ("simulate", "train", "sample", "mcmc", "validate")


def fingerprints(
    problem: Problem, settings: Settings, seed: int, given: Simulations | None = None
) -> dict[str, str]:
    """A fingerprint for each stage, covering all the stages that it rests on.

    The model and the likelihood enter by their code, the prior and observed laws by what they draw,
    a prior of the user's own by the densities of these draws too, observed tables and simulations
    that were made elsewhere by their numbers.
    """
    known, y = prior_known_by(problem.prior), known_by(problem.observations)
    asked = [problem.prior.names, problem.outputs, problem.question]
    about = [*asked, problem.stochastic, problem.noise, problem.missing, seed]
    drawn = [repr(part.tolist()) for part in known]
    base = digest(repr(about), *drawn, repr(y.shape), y, identity(problem.model))
    simulating = settings.simulate
    learning = settings.train.model_dump_json(exclude={"workers"})
    rounds = (simulating.rounds, simulating.miss, learning) if simulating.rounds > 1 else ()
    # How many simulations there are is said by those that were made elsewhere.
    made = (repr((simulating.n, simulating.max_failures)),) if given is None else (given.x, given.y)
    simulate = digest(base, *map(repr, rounds), *made)
    # The regularised generator is held to the prior more where its draws will be corrected.
    held = (settings.sample.correct,) if settings.train.method == "rgan" else ()
    train = digest(simulate, learning, *map(repr, held))
    sample = digest(train, settings.sample.model_dump_json())
    likelihood = identity(problem.log_likelihood)
    mcmc = digest(simulate, settings.mcmc.model_dump_json(), repr(settings.sample.n), likelihood)
    validate = digest(sample, mcmc)
    return dict(zip(_STAGES, (simulate, train, sample, mcmc, validate), strict=True))
