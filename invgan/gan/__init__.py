"""The conditional GAN: heads, game, training, and the inverse that comes of it."""

from invgan.gan.inverse import Inverse, sample
from invgan.gan.training import train

__all__ = ["Inverse", "sample", "train"]
