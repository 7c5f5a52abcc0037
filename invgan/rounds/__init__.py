"""Simulations in rounds, each from the prior cut to where the answer can still be."""

from invgan.rounds.budget import simulate_rounds, solve_rounds
from invgan.rounds.inside import Confined, confined, sample_inside
from invgan.rounds.pooling import learnable

__all__ = [
    "Confined",
    "confined",
    "learnable",
    "sample_inside",
    "simulate_rounds",
    "solve_rounds",
]
