"""Positions of ids among the sorted ids of a column."""

from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions._tables import id_array, id_positions

# Integer ids are looked up in a table where their range is at most this, or this many times their number.
_TABLE_RANGE = 2**22
_TABLE_FACTOR = 2


def factorize(series: "nw.Series[Any]", name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Position of every id among the sorted ids, and those; a missing id is None, the last."""
    if series.null_count():
        present = ~np.asarray(series.is_null().to_numpy(), dtype=bool)
        known, ids = factorize(
            series.filter(nw.new_series("p", present, backend=series.implementation)), name
        )
        codes = np.full(len(present), len(ids), dtype=known.dtype)
        codes[present] = known
        return codes, np.array([*ids.tolist(), None], dtype=object)
    if series.dtype in (nw.Categorical, nw.Enum):
        series = series.cast(nw.String)
    if series.dtype.is_numeric() or series.dtype.is_temporal() or series.dtype == nw.Boolean:
        return _factorize_array(id_array(series))
    return _factorize_labels(series, name)


def _factorize_array(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if ids.dtype.kind in "iu" and len(ids):
        low, high = int(ids.min()), int(ids.max())
        if high - low < max(_TABLE_RANGE, _TABLE_FACTOR * len(ids)):
            shifted = ids if 0 <= low < _TABLE_RANGE else ids - ids.dtype.type(low)
            offset = 0 if shifted is ids else low
            present = np.zeros(high - offset + 1, dtype=bool)
            present[shifted] = True
            known = np.flatnonzero(present)
            if len(known) == len(present):
                codes = shifted.astype(np.int32, copy=False) if high - offset < 2**31 else shifted
            else:
                codes = (np.cumsum(present, dtype=np.int32) - 1)[shifted]
            return codes, (known + offset).astype(ids.dtype, copy=False)
    known, codes = np.unique(ids, return_inverse=True)
    return codes.astype(np.int32), known


def _factorize_labels(series: "nw.Series[Any]", name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if series.implementation.is_pandas():
        codes, labels = series.to_native().factorize()
        known = np.asarray(labels, dtype=object)
    else:
        known = np.asarray(series.unique().to_numpy(), dtype=object)
        numbers = np.arange(len(known)).tolist()
        codes = series.replace_strict(known.tolist(), numbers, return_dtype=nw.Int32).to_numpy()
    try:
        order = np.argsort(known, kind="stable")
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in known})
        raise TypeError(
            f"Ids in column {name!r} are of several types, {kinds}: convert them to one."
        ) from error
    rank = np.empty(len(known), dtype=np.int32)
    rank[order] = np.arange(len(known), dtype=np.int32)
    return rank[np.asarray(codes)], known[order]


def positions_in(given: NDArray[Any], codes: NDArray[Any], ids: NDArray[Any]) -> NDArray[Any]:
    """Position of every id, coded in `ids`, in `given`, -1 where that lacks it.

    Raises
    ------
    ValueError
        If an id is given twice.
    """
    if len(set(given.tolist())) < len(given):
        raise ValueError("users and items must not hold an id twice.")
    return id_positions(given, ids).astype(np.int32)[codes]
