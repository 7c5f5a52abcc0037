"""The conditional GAN: heads, game, judge, training, and the inverse that comes of it.

Beside it stand the regularised generator (`train_rgan`), a GAN of the population itself, and the
game without conditions (`fit_generator`), which learns a table.
"""

from invgan.gan.device import choose_device
from invgan.gan.drawing import sample
from invgan.gan.inverse import Inverse
from invgan.gan.pairing import check_enough
from invgan.gan.population import PopulationGenerator, RganConfig
from invgan.gan.rgan import train_rgan
from invgan.gan.training import check_training, train
from invgan.gan.unconditional import TableGenerator, fit_generator, load_generator

__all__ = [
    "Inverse",
    "PopulationGenerator",
    "RganConfig",
    "TableGenerator",
    "check_enough",
    "check_training",
    "choose_device",
    "fit_generator",
    "load_generator",
    "sample",
    "train",
    "train_rgan",
]
