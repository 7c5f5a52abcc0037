"""The baseline: Markov chain Monte Carlo with emcee on the population question."""

from invgan.mcmc.run import run_mcmc

__all__ = ["run_mcmc"]
