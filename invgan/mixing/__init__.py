"""The population behind a model with noise: the mixing distribution, by iterated posteriors."""

from invgan.mixing.evidence import Likelihood
from invgan.mixing.rounds import iterate

__all__ = ["Likelihood", "iterate"]
