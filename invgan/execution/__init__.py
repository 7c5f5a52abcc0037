"""Calling a function for many rows: here, in worker processes, on a cluster, failures kept apart.

What is here knows nothing of priors or observations, and needs little besides numpy: a worker
process starts in a moment.
"""

from invgan.execution.request import Execution

__all__ = ["Execution"]
