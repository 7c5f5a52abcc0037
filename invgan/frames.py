"""Tables that know the names of their columns, whoever made them.

What has names is matched by them, never by position: data frames of pandas, polars or pyarrow,
labelled rows, and structured arrays of numpy, none of which need be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["by_name"]


def by_name(value: Any) -> Mapping[str, Any] | None:
    """A mapping as it is, the columns of a table or the values of a labelled row; else None.

    Labels that are no texts, such as the numbers that a data frame has by default, are no names;
    those of several levels are joined, as in ``a_x``.
    """
    if isinstance(value, Mapping):
        return value
    labels = _labels(value)
    names = ["_".join(map(str, key)) if isinstance(key, tuple) else key for key in labels]
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return {name: _plain(value[label]) for name, label in zip(names, labels, strict=True)}


def _labels(value: Any) -> list[Any]:
    fields = getattr(getattr(value, "dtype", None), "names", None)
    if fields:
        return list(fields)
    if hasattr(value, "column_names"):
        return list(value.column_names)
    if not hasattr(value, "to_numpy"):
        return []
    labels = getattr(value, "columns", getattr(value, "index", None))
    return [] if labels is None or callable(labels) else list(labels)


def _plain(part: Any) -> Any:
    return part if np.isscalar(part) else np.asarray(part)
