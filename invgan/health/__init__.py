"""The health of a game: what its history says of it, by name, while it runs and afterwards.

A generative adversarial network can fail in a handful of ways, and each has its own remedy. Which
one it was is read from counts and ratios that know nothing of the loss (`invgan.gan.evidence`), so
that one set of rules serves every loss. Nothing here knows of torch: a history is a list of rows.
"""

from invgan.health.diagnosis import diagnose
from invgan.health.kept import diagnose_kept
from invgan.health.names import FAILURES, Health, Name
from invgan.health.trace import Evidence
from invgan.health.words import standing, summary

__all__ = [
    "FAILURES",
    "Evidence",
    "Health",
    "Name",
    "diagnose",
    "diagnose_kept",
    "standing",
    "summary",
]
