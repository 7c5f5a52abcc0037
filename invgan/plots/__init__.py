"""Figures: arrays in, a matplotlib `Figure` out.

Nothing is registered with pyplot, so no display is needed, no window opens and no figure outlives
its last reference.
"""

from matplotlib.figure import Figure

from invgan.plots.answer import plot_answer
from invgan.plots.calibration import MAX_RANKS, plot_calibration
from invgan.plots.chain import MAX_TRACES, plot_chain
from invgan.plots.columns import strongest
from invgan.plots.fields import plot_fields
from invgan.plots.figure6 import plot_figure6
from invgan.plots.history import LEAST_DIVERGENCE, plot_history
from invgan.plots.pairs import MAX_CORNER, plot_corner
from invgan.plots.pushforward import MAX_OUTPUTS, plot_pushforward
from invgan.plots.style import DPI, own_style, save_png
from invgan.plots.surface import Surface, interpolate

__all__ = [
    "DPI",
    "LEAST_DIVERGENCE",
    "MAX_CORNER",
    "MAX_OUTPUTS",
    "MAX_RANKS",
    "MAX_TRACES",
    "Figure",
    "Surface",
    "interpolate",
    "own_style",
    "plot_answer",
    "plot_calibration",
    "plot_chain",
    "plot_corner",
    "plot_fields",
    "plot_figure6",
    "plot_history",
    "plot_pushforward",
    "save_png",
    "strongest",
]
