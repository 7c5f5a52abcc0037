"""The settings of every stage, validated: one small model each, with the defaults and their units.

The defaults are one set for all problems, chosen by measurement (docs/benchmarks.md).
"""

from invgan.settings.networks import AXES, ONE_CHANNEL, EmbeddingConfig, NetworkConfig, doublings
from invgan.settings.section import Section, SettingError, number, sentence, short, unknown
from invgan.settings.stages import McmcConfig, SampleConfig, SimulateConfig
from invgan.settings.training import LABELLED, PAIRED, TrainConfig

__all__ = [
    "AXES",
    "LABELLED",
    "ONE_CHANNEL",
    "PAIRED",
    "EmbeddingConfig",
    "McmcConfig",
    "NetworkConfig",
    "SampleConfig",
    "Section",
    "SettingError",
    "SimulateConfig",
    "TrainConfig",
    "doublings",
    "number",
    "sentence",
    "short",
    "unknown",
]
