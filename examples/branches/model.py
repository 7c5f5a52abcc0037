"""How far a ball flies: flat and steep throws land at the same place."""

import numpy as np

GRAVITY = 9.81  # m / s^2


def throw(x):
    """Metres for throws (n, 2) at a speed in m/s and an angle in degrees."""
    speed, angle = x.T
    return {"distance": speed**2 * np.sin(np.radians(2 * angle)) / GRAVITY}
