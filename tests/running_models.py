"""Models for tests of workers, which must find them in a module."""

import ctypes
import os
import time

import numpy as np


def both(x):
    """Two outputs of a batch or of one vector."""
    return np.stack([x.sum(axis=-1), x.prod(axis=-1)], axis=-1)


def noisy(x, rng):
    return x[:, :1] + rng.normal(size=(len(x), 1))


def noisy_row(x, rng):
    return x[0] + rng.normal()


def slow(x):
    """10 ms."""
    time.sleep(0.01)
    return both(x)


def trouble(x):
    """By the second parameter, in [0, 1]: raises, hangs, is not finite, or ends its process."""
    kind = int(x[1] * 50)
    if kind == 7:
        raise ZeroDivisionError("too cold")
    if kind == 17:
        time.sleep(3600)
    if kind == 27:
        return np.array([np.nan, 0])
    if kind == 37:
        os._exit(3)
    return both(x)


def dirty(x):
    """By the second parameter: a tenth raises, a twentieth hangs, a twentieth is not finite."""
    if x[1] < 0.1:
        raise ArithmeticError("did not converge")
    if x[1] < 0.15:
        time.sleep(3600)
    return np.array([np.nan, 0]) if x[1] < 0.2 else both(x)


def batched_trouble(x):
    """The same of a batch."""
    return np.stack([trouble(row) for row in x])


def stuck(x):
    """Sleeps for an hour inside compiled code that never looks at Python's signals."""
    if x[1] > 0.98:
        ctypes.PyDLL(None).sleep(3600)
    return both(x)


def doubling(x):
    """Says in which process it runs, and how many threads that may use."""
    return np.array([os.getpid(), float(os.environ["OMP_NUM_THREADS"])])


class Unloadable:
    """Cannot be unpickled."""

    def __call__(self, x):
        return both(x)

    def __reduce__(self):
        return (_refuse, ())


def _refuse():
    raise RuntimeError("no such machine")


def lingering(x):
    """By the second parameter: a tenth take a second."""
    if x[1] < 0.1:
        time.sleep(1)
    return both(x)
