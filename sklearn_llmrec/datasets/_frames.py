"""Tables of the loaders: numpy structured arrays, or pandas frames with ``as_frame=True``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import require

Column = NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]


def table(columns: Mapping[str, NDArray[Any]], as_frame: bool) -> Any:
    """Return columns of equal length as one table that can be indexed by name and by row."""
    if as_frame:
        return frame(columns)
    length = len(next(iter(columns.values())))
    result = np.empty(length, dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        result[name] = column
    return result


def frame(columns: Mapping[str, Column]) -> Any:
    """Return columns as a pandas frame; a pair (distinct values, codes) makes each string only once."""
    pandas = require("pandas", extra="all")
    return pandas.DataFrame(
        {
            name: pandas.Series(column[0]).take(column[1]).reset_index(drop=True)
            if isinstance(column, tuple)
            else column
            for name, column in columns.items()
        }
    )


def codes_of(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct ids, sorted, and the position of every id among them, for small non-negative integers.

    The same as ``np.unique(ids, return_inverse=True)`` in linear time.
    """
    present = np.zeros(int(ids.max()) + 1, dtype=bool)
    present[ids] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[ids]
