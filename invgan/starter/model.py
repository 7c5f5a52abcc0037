"""The model: how far a ball flies that is thrown over level ground.

Replace the function by your own. It gets a batch of parameters, one row for each draw and one
column for each parameter of the prior, and returns one row of outputs for each.
"""

import numpy as np
from numpy.typing import NDArray

GRAVITY = 9.81  # metres per second squared


def distance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (n, 1) in metres for speeds and angles x (n, 2)."""
    speed, angle = x[:, :1], x[:, 1:]
    return np.asarray(speed**2 * np.sin(2 * angle) / GRAVITY)
