"""Validation: what the model itself says of an answer, and whether to believe it."""

from invgan.checks.comparison import beside, compare
from invgan.checks.consistency import Drawer
from invgan.checks.validate import validate

__all__ = ["Drawer", "beside", "compare", "validate"]
