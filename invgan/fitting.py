"""How the small classifiers and mixtures of scikit-learn are fitted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

__all__ = ["alone"]


@contextmanager
def alone() -> Iterator[None]:
    """On one thread, and with the last iteration for an answer, without a warning.

    Products of matrices this small gain nothing from more threads, which wait for each other in a
    loop: on a machine with other work a fit takes many times as long.
    """
    with _threads().limit(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@cache
def _threads() -> ThreadpoolController:
    """The libraries of matrices that are loaded; to look for them takes as long as a small fit."""
    return ThreadpoolController()
