"""Small fits run on one thread and end without a warning; what was set before comes back."""

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from invgan.fitting import alone


def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_a_fit_has_one_thread_and_gives_back_the_others():
    with threadpool_limits(2):
        before = threads()
        with alone():
            assert threads()
            assert set(threads()) == {1}
        assert threads() == before


def test_only_the_end_of_the_iterations_is_quiet():
    with alone():
        warnings.warn("cut short", ConvergenceWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="other"), alone():
        warnings.warn("other", UserWarning, stacklevel=1)
