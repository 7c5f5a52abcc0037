"""The errors that invgan raises, so that a caller can tell bad input from a bug.

Every message says what was wrong, what came, and what to do about it.
"""

__all__ = ["CorrectionError", "InputError", "InvganError", "ModelError", "OutsideError"]


class InvganError(Exception):
    """Root of all errors that invgan raises on purpose."""


class InputError(InvganError, ValueError):
    """An argument, a setting or a file is not usable as it is."""


class ModelError(InputError):
    """The user's model raised, or returned something that is not its outputs."""


class OutsideError(InputError):
    """No parameter of the prior explains the observations (they lie outside the simulations)."""


class CorrectionError(InvganError, RuntimeError):
    """The generator's draws are too far from the observations for re-weighting to be honest."""
