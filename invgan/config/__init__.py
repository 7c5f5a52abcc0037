"""The configuration file: one YAML document that says everything about a run.

    load_config: file -> Config      build_problem: Config -> Problem      to_yaml: Config -> text

(`build_simulations` reads the table that a configuration may name in their place.)

A configuration names a model, the file of a function or a program, and building or running the
problem runs it: treat the configuration of a stranger like a program of a stranger.
"""

from invgan.config.build import build_problem, build_simulations, relocated
from invgan.config.document import differences, load_config, plain, to_yaml
from invgan.config.models import MODELS
from invgan.config.sections import ORDER, Config, ProblemConfig, Settings

__all__ = [
    "MODELS",
    "ORDER",
    "Config",
    "ProblemConfig",
    "Settings",
    "build_problem",
    "build_simulations",
    "differences",
    "load_config",
    "plain",
    "relocated",
    "to_yaml",
]
