"""The baseline: Markov chain Monte Carlo with emcee, where the answer's density can be stated."""

from invgan.mcmc.run import run_mcmc, suitable_walkers

__all__ = ["run_mcmc", "suitable_walkers"]
