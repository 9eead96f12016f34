"""Positions of ids among the sorted ids of a column."""

from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import (
    as_ids,
    first_repeated,
    id_keys,
    id_positions,
    ids_of_column,
    require,
)

# Integer ids are looked up in a table where their range is at most this, or this many times their number.
_TABLE_RANGE = 2**22
_TABLE_FACTOR = 2


def missing_in(series: "nw.Series[Any]") -> NDArray[np.bool_] | None:
    """Return a mask of the nulls and NaN of a column, or None where it has none."""
    missing = None
    if series.null_count():
        missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    # Polars and Arrow distinguish NaN from null; an id that is no number is missing in both.
    if series.dtype in (nw.Float32, nw.Float64):
        values = np.asarray(series.to_numpy())
        if np.isnan(values).any():
            missing = np.isnan(values) if missing is None else missing | np.isnan(values)
    return missing


def factorize(series: "nw.Series[Any]", name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the position of every id among the sorted ids of the column.

    Parameters
    ----------
    series : narwhals Series
    name : str
        Name of the column.

    Returns
    -------
    codes : ndarray of shape (n,)
        Position of every id in `ids`.
    ids : ndarray
        The distinct ids in ascending order; a missing id is None, the last.

    Raises
    ------
    TypeError
        If the ids are of several types, or have no order.
    """
    missing = missing_in(series)
    if missing is not None:
        kept = nw.new_series("kept", ~missing, backend=series.implementation)
        known, ids = factorize(series.filter(kept), name)
        codes = np.full(len(missing), len(ids), dtype=known.dtype)
        codes[~missing] = known
        labels = np.empty(len(ids) + 1, dtype=object)
        labels[:-1] = list(ids) if ids.dtype.kind in "mM" else ids.tolist()
        return codes, labels
    if series.dtype in (nw.Categorical, nw.Enum):
        native = series.to_native()
        if series.implementation.is_pandas_like() and hasattr(native, "cat"):
            return _factorize_categories(native, name)
        if series.implementation.is_polars():
            series = series.cast(nw.String)  # categories of polars are texts
    if series.dtype == nw.String:
        return _factorize_texts(series)
    return factorize_ids(ids_of_column(series, f"Ids in column {name!r}"), name)


def _factorize_categories(native: Any, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Factorize a categorical of pandas, whose categories keep their type."""
    categories, codes = native.cat.categories, np.asarray(native.cat.codes)
    used = np.flatnonzero(np.bincount(codes, minlength=len(categories)))
    position, ids = factorize_ids(as_ids(categories[used], f"Ids in column {name!r}"), name)
    of_category = np.zeros(len(categories), dtype=position.dtype)
    of_category[used] = position
    return of_category[codes], ids


def factorize_ids(ids: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what `factorize` returns, of an array of ids none of which is missing."""
    if ids.dtype.kind == "O":
        return _factorize_objects(ids, name)
    if ids.dtype.kind in "iu" and len(ids):
        low, high = int(ids.min()), int(ids.max())
        if high - low < max(_TABLE_RANGE, _TABLE_FACTOR * len(ids)):
            return _factorize_by_table(ids, low, high)
    known, codes = np.unique(ids, return_inverse=True)
    return codes.astype(np.int32), known


def sorted_ids(ids: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the distinct ids in ascending order.

    Raises
    ------
    TypeError
        If they have no order.
    """
    return factorize_ids(ids, name)[1]


def _factorize_by_table(
    ids: NDArray[Any], low: int, high: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Factorize integers of a small range by a table of it."""
    # In 64 bits no difference of two ids wraps.
    wide = ids if ids.dtype.itemsize == 8 else ids.astype(np.int64)
    offset = 0 if 0 <= low < _TABLE_RANGE else low
    shifted = wide if not offset else wide - wide.dtype.type(offset)
    present = np.zeros(high - offset + 1, dtype=bool)
    present[shifted] = True
    known = np.flatnonzero(present)
    if len(known) == len(present):
        codes = shifted.astype(np.int32, copy=False) if high - offset < 2**31 else shifted
    else:
        codes = (np.cumsum(present, dtype=np.int32) - 1)[shifted]
    return codes, (known.astype(wide.dtype) + wide.dtype.type(offset)).astype(ids.dtype)


def _factorize_objects(ids: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    first: dict[Any, int] = {}
    codes = np.fromiter(
        (first.setdefault(key, len(first)) for key in id_keys(ids)), np.int64, len(ids)
    )
    known = np.empty(len(first), dtype=object)
    known[codes] = ids
    try:
        order = np.argsort(known, kind="stable")
    except TypeError as error:
        raise TypeError(f"Ids in {name!r} have no order: {error}.") from error
    return _ranks(order)[codes], known[order]


def _factorize_texts(series: "nw.Series[Any]") -> tuple[NDArray[Any], NDArray[Any]]:
    if series.implementation.is_pandas_like():
        native = series.to_native()
        codes, labels = native.factorize()
        known = np.asarray(labels, dtype=object)
        if native.dtype == object or getattr(native.dtype, "storage", None) == "python":
            # pandas' own table reads texts up to a zero byte.
            texts = np.asarray(native, dtype=object)
            if not (known[codes] == texts).all():
                return _factorize_objects(texts, series.name)
    elif series.implementation.is_pyarrow():
        codes, texts = arrow_texts(series.to_native())
        return codes, texts.to_numpy(zero_copy_only=False)
    else:
        known = np.array(series.unique().to_list(), dtype=object)
        numbers = np.arange(len(known)).tolist()
        codes = series.replace_strict(known.tolist(), numbers, return_dtype=nw.Int32).to_numpy()
    order = np.argsort(known, kind="stable")
    return _ranks(order)[np.asarray(codes)], known[order]


def arrow_texts(texts: Any) -> tuple[NDArray[Any], Any]:
    """Return what `factorize` returns, of a chunked array of texts of Arrow; the ids are an Arrow array."""
    pc = require("pyarrow.compute", "arrow")
    encoded = texts.dictionary_encode()
    if not encoded.num_chunks:
        return np.empty(0, dtype=np.int32), require("pyarrow", "arrow").array([], texts.type)
    # All chunks have one dictionary. Arrow sorts the bytes of UTF-8, whose order is that of the characters.
    known = encoded.chunk(encoded.num_chunks - 1).dictionary
    order = pc.sort_indices(known)
    ranks = _ranks(order.to_numpy())
    codes = np.empty(len(texts), dtype=np.int32)
    start = 0
    for chunk in encoded.iterchunks():
        codes[start : start + len(chunk)] = ranks[chunk.indices.to_numpy()]
        start += len(chunk)
    return codes, known.take(order)


def _ranks(order: NDArray[Any]) -> NDArray[np.int32]:
    """Return the place of every element in an order."""
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


def positions_in(
    given: NDArray[Any], codes: NDArray[Any], ids: NDArray[Any], name: str
) -> NDArray[Any]:
    """Return the position of every id, coded in `ids`, in `given`; -1 if it is not there.

    Raises
    ------
    ValueError
        If an id is given twice, or the ids given are of another kind.
    """
    repeated = first_repeated(given)
    if repeated is not None:
        raise ValueError(
            f"users and items must not contain an id twice: {given[repeated : repeated + 1].tolist()[0]!r} occurs "
            f"again at position {repeated}."
        )
    found = id_positions(given, ids, f"for column {name!r} given are", "the log contains")
    return found.astype(np.int32)[codes]
