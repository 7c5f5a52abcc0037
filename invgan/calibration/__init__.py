"""Calibration and doubt: what held-out simulations say of an inverse, with no reference answer.

An inverse that is exact draws x from p(x given y). Held-out pairs (x, y) of prior draws and their
outputs are then draws of the same law, so the true x and the inverse's draws for its y are
exchangeable: every check here is some way of asking whether the true one stands out.
"""

from invgan.calibration.agreement import Disagreement, disagreement
from invgan.calibration.calibrate import Calibration, calibrate
from invgan.calibration.draws import Drawer
from invgan.calibration.local import LocalTest, local_c2st, nearest
from invgan.calibration.ranks import band, ranks_below
from invgan.calibration.regions import density_ranks, distance_ranks, neighbour_ranks
from invgan.calibration.typicality import depth, two_sample

__all__ = [
    "Calibration",
    "Disagreement",
    "Drawer",
    "LocalTest",
    "band",
    "calibrate",
    "density_ranks",
    "depth",
    "disagreement",
    "distance_ranks",
    "local_c2st",
    "nearest",
    "neighbour_ranks",
    "ranks_below",
    "two_sample",
]
