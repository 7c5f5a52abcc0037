"""The configuration file: one YAML document that says everything about a run.

    load_config: file -> Config      build_problem: Config -> Problem      to_yaml: Config -> text

A configuration names the file of a model, and building the problem runs that file: treat the
configuration of a stranger like a program of a stranger.
"""

from invgan.config.build import build_problem, relocated
from invgan.config.document import load_config, plain, to_yaml
from invgan.config.sections import ORDER, Config, ProblemConfig, Settings

__all__ = [
    "ORDER",
    "Config",
    "ProblemConfig",
    "Settings",
    "build_problem",
    "load_config",
    "plain",
    "relocated",
    "to_yaml",
]
