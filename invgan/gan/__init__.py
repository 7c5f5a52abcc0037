"""The conditional GAN: heads, game, judge, training, and the inverse that comes of it.

Beside it stands the regularised generator (`train_rgan`), a GAN of the population itself.
"""

from invgan.gan.inverse import Inverse, sample
from invgan.gan.population import PopulationGenerator, RganConfig
from invgan.gan.rgan import train_rgan
from invgan.gan.training import train

__all__ = ["Inverse", "PopulationGenerator", "RganConfig", "sample", "train", "train_rgan"]
