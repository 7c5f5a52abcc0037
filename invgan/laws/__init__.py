"""Laws by name and arguments, as a configuration file writes them for priors and observations."""

from invgan.laws.kinds import JOINT, LAWS
from invgan.laws.reading import (
    canonical_observations,
    canonical_prior,
    observations_from,
    prior_from,
)

__all__ = [
    "JOINT",
    "LAWS",
    "canonical_observations",
    "canonical_prior",
    "observations_from",
    "prior_from",
]
