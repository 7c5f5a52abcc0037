"""The Rosenbrock function as a model: two parameters, one output."""

import numpy as np


def rosenbrock(x: np.ndarray) -> np.ndarray:
    """100 (x2 - x1^2)^2 + (1 - x1)^2 of parameters x (n, 2), shape (n, 1)."""
    x1, x2 = x[:, :1], x[:, 1:]
    return 100 * (x2 - x1**2) ** 2 + (1 - x1) ** 2
