"""Entries of a sparse matrix: their times, their stable order, and which of them a key selects."""

from datetime import UTC, date, datetime
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.utils import is_missing

# Events that are gathered, sorted or summed at a time.
AT_ONCE = 2**20


def as_times(values: ArrayLike, n_entries: int | None = None) -> NDArray[Any]:
    """Return times as int64 or float64; datetimes become unix seconds.

    Raises
    ------
    TypeError
        If the values are neither numbers nor datetimes.
    ValueError
        If a time is missing, there is not one per entry, or float32 times are too large to be exact.
    """
    series = nw.from_native(values, series_only=True, pass_through=True)
    times = series_times(series) if isinstance(series, nw.Series) else np.asarray(values)
    if times.dtype.kind == "O" and times.ndim == 1:
        times = _of_objects(times)
    if times.ndim != 1 or (n_entries is not None and len(times) != n_entries):
        raise ValueError(
            f"timestamps has shape {times.shape} and there are {n_entries} stored entries: one time per entry is "
            "needed."
        )
    if times.dtype.kind == "M":
        missing = np.isnat(times)
        times = _unix_seconds(times)
    elif times.dtype.kind in "iu":
        if times.dtype == np.uint64 and len(times) and times.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"timestamps contain {times.max()}, and times are kept as int64, up to {np.iinfo(np.int64).max}: "
                "larger ones would wrap around. Subtract a constant, or pass another unit."
            )
        return times.astype(np.int64, copy=False)
    elif times.dtype.kind == "f":
        if is_rounded(times):
            raise ValueError(
                f"timestamps are {times.dtype}, which rounds numbers above {exact_up_to(times.dtype)}, so that "
                "different times become equal: pass the original times as int64, float64 or datetimes."
            )
        missing = ~np.isfinite(times)
        times = times.astype(np.float64, copy=False)
    else:
        raise TypeError(
            f"timestamps must be numbers or datetimes, got dtype {times.dtype}. Parse texts first, for example with "
            "pandas.to_datetime."
        )
    if missing.any():
        raise ValueError(
            f"{missing.sum()} timestamps are missing or infinite, the first at position {missing.argmax()}: drop those "
            "events."
        )
    return times


def exact_up_to(dtype: Any) -> int:
    """Return the number up to which a float type represents all whole numbers exactly."""
    return int(2 ** (np.finfo(dtype).nmant + 1))


def is_rounded(times: NDArray[Any]) -> bool:
    """Return whether times in single or half precision exceed what the type represents exactly.

    Unix seconds do: float32 rounds them to multiples of 128. Double precision represents microseconds.
    """
    if times.dtype.kind != "f" or times.dtype.itemsize >= 8 or not len(times):
        return False
    limit = exact_up_to(times.dtype)
    return bool(((np.abs(times) > limit) & np.isfinite(times)).any())


def series_times(series: "nw.Series[Any]") -> NDArray[Any]:
    """Return the times of a column, datetimes in UTC; values that are no times stay unchanged."""
    if isinstance(series.dtype, nw.Date):
        series = series.cast(nw.Datetime("ms"))
    if isinstance(series.dtype, nw.Datetime):
        return np.asarray(series.dt.timestamp("us").to_numpy()).astype("datetime64[us]")
    return np.asarray(series.to_numpy())


def _of_objects(values: NDArray[Any]) -> NDArray[Any]:
    """Return objects as datetimes in UTC if all non-missing ones are dates; else as numpy converts them."""
    missing = np.array([is_missing(value) for value in values], dtype=bool)
    if not missing.all() and all(isinstance(value, date) for value in values[~missing]):
        times = np.full(len(values), "NaT", dtype="datetime64[us]")
        times[~missing] = [_in_utc(value) for value in values[~missing]]
        return times
    return np.asarray(values.tolist())


def _in_utc(value: date) -> date:
    """Return a date without a time zone, converted to UTC if it had one."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _unix_seconds(times: NDArray[np.datetime64]) -> NDArray[Any]:
    """Return whole seconds as int64 if no time has a fraction, else float64."""
    seconds = times.astype("datetime64[s]")
    fraction = (times - seconds).astype("timedelta64[ns]").astype(np.int64)
    whole = seconds.astype(np.int64)
    return whole + fraction / 1e9 if fraction.any() else whole


def order_in_rows(
    rows: NDArray[Any], times: NDArray[Any], logged: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Return the order of entries by row, time and place in the log (by default the place in the arrays)."""
    tie_breaker = [] if logged is None else [logged]
    if times.dtype.kind not in "iu" or not len(times):
        return np.lexsort((*tie_breaker, times, rows))
    low, span = int(times.min()), int(times.max()) - int(times.min()) + 1
    if (int(rows.max()) + 1) * span >= 2**63:
        return np.lexsort((*tie_breaker, times, rows))
    # One key sorts several times faster than two or three, and only ties need more.
    key = rows * np.int64(span) + (
        times.astype(np.int64, copy=False) - low
    )  # below 2**63, checked above
    order = np.argsort(key)
    ties = key[order[1:]] == key[order[:-1]]
    if ties.any():
        tied = np.append(False, ties)
        tied[:-1] |= ties
        # Only entries with an equal neighbour are sorted again; groups of them stay where they are.
        tied_places = np.flatnonzero(tied)
        entries = order[tied_places]
        places = entries if logged is None else logged[entries]
        order[tied_places] = entries[np.lexsort((places, key[entries]))]
    return order


def positions_dtype(n: int) -> type[np.signedinteger[Any]]:
    """Return the smallest index type that counts to n."""
    return np.int32 if n < 2**31 else np.int64


def is_coordinates(arg1: Any) -> bool:
    """Return whether a constructor argument lists rows and columns, so that scipy sums its duplicates."""
    if sp.issparse(arg1):
        return bool(arg1.format == "coo")
    return isinstance(arg1, tuple) and len(arg1) == 2


def sorted_by_row_and_column(
    rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Sort events by row and column; return the stable order, the column of each and the bounds of the rows.

    Counting sorts in linear time, of the events of some rows at a time, so that little memory is needed beside the
    result.
    """
    n_events = len(rows)
    if n_events <= AT_ONCE:
        return _sorted_at_once(rows, columns, shape)
    index = positions_dtype(n_events)
    counts = np.zeros(shape[0], dtype=np.int64)
    for start in range(0, n_events, AT_ONCE):
        counts += np.bincount(rows[start : start + AT_ONCE], minlength=shape[0])
    indptr = np.append(0, np.cumsum(counts))
    order, indices = np.empty(n_events, dtype=index), np.empty(n_events, dtype=index)
    low = 0
    while low < shape[0]:
        # Rows with as many events as fit, but at least one row.
        high = int(np.searchsorted(indptr, indptr[low] + AT_ONCE, side="right")) - 1
        high = max(high, low + 1)
        here = rows >= low
        here &= rows < high
        events = np.flatnonzero(here).astype(index)
        some = rows[events] - rows.dtype.type(low), columns[events]
        sorted_events, sorted_columns, _ = _sorted_at_once(*some, (high - low, shape[1]))
        span = slice(indptr[low], indptr[high])
        order[span], indices[span] = events[sorted_events], sorted_columns
        low = high
    return order, indices, indptr.astype(index)


def _sorted_at_once(
    rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Sort as `sorted_by_row_and_column`, by two counting sorts of all events: by column first, then by row."""
    events = np.arange(len(rows), dtype=positions_dtype(len(rows)))
    pairs = sp.coo_array((events, (columns, rows)), shape=shape[::-1])
    pairs.has_canonical_format = True  # so that tocsr sums nothing
    by_row = pairs.tocsr().tocsc()
    return by_row.data, by_row.indices, by_row.indptr


def sorted_entries(
    arg1: Any, shape: tuple[int, ...] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], tuple[int, int]]:
    """Return the values of a constructor argument, their stable order by row and column, and the sorted pattern.

    Returns
    -------
    data, entries, indices, indptr, shape
        ``(data[entries], indices, indptr)`` is the sorted matrix.

    Raises
    ------
    ValueError
        If `arg1` has no list of stored entries.
    """
    compressed = isinstance(arg1, tuple) and len(arg1) == 3
    if not (
        compressed or is_coordinates(arg1) or (sp.issparse(arg1) and arg1.format in ("csr", "csc"))
    ):
        raise ValueError(
            "timestamps belong to stored entries: pass a csr, csc or coo matrix, (data, (rows, columns)) or (data, "
            "indices, indptr), or set X.timestamps on the finished matrix."
        )
    if compressed or (sp.issparse(arg1) and arg1.format == "csr"):
        data, indices, indptr = arg1 if compressed else (arg1.data, arg1.indices, arg1.indptr)
        entries = np.arange(len(data), dtype=positions_dtype(len(data)))
        shape = shape if compressed else arg1.shape
        ordered = sp.csr_array((entries, indices, indptr), shape=shape)
        if not ordered.has_sorted_indices:
            ordered = ordered.tocsc().tocsr()  # stable, in linear time; sort_indices is not stable
        return np.asarray(data), ordered.data, ordered.indices, ordered.indptr, ordered.shape
    coo = arg1.tocoo() if sp.issparse(arg1) else sp.coo_array(arg1, shape=shape)
    entries, indices, indptr = sorted_by_row_and_column(coo.row, coo.col, coo.shape)
    return coo.data, entries, indices, indptr, coo.shape


def selected_axes(key: Any) -> tuple[Any, Any] | None:
    """Split a key into its row and column part if it selects whole rows or columns.

    A part that takes all is None.

    The answer is None where the key does something else (single entries, one dimension less, pointwise pairs).
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    if sum(part is Ellipsis for part in parts) > 1:
        return None
    if any(part is Ellipsis for part in parts):
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [slice(None)] * (3 - len(parts))
    parts += [slice(None)] * (2 - len(parts))
    if len(parts) != 2 or any(sp.issparse(part) or part is None for part in parts):
        return None
    arrays = [None if isinstance(part, slice) else np.asarray(part) for part in parts]
    rows, columns = arrays
    if rows is not None and columns is not None:
        # np.ix_: a column of rows against a row of columns.
        if (
            rows.ndim == 2
            and rows.shape[1] == 1
            and columns.shape in ((columns.size,), (1, columns.size))
        ):
            return rows.ravel(), columns.ravel()
        return None
    if any(
        array is not None and (array.ndim != 1 or array.dtype.kind not in "biu") for array in arrays
    ):
        empty = [array is not None and array.shape == (0,) for array in arrays]
        if not any(empty):
            return None
        parts = [np.zeros(0, dtype=int) if e else part for e, part in zip(empty, parts)]
    row_part, column_part = (
        None if isinstance(p, slice) and p == slice(None) else p for p in parts
    )
    return row_part, column_part


def positions(part: Any, n: int) -> NDArray[np.int64] | None:
    """Return positions from 0 to n - 1 that a slice, integers or booleans select; None for all.

    Raises
    ------
    IndexError
        If an index is out of range, or booleans are not n.
    """
    if part is None:
        return None
    if isinstance(part, slice):
        return np.arange(*part.indices(n))
    index = np.asarray(part)
    if index.dtype.kind == "b":
        if len(index) != n:
            raise IndexError(f"boolean index of length {len(index)} for an axis of length {n}")
        return np.flatnonzero(index)
    if len(index) and not (-n <= index.min() and index.max() < n):
        wrong = index.max() if index.max() >= n else index.min()
        raise IndexError(f"index ({wrong}) out of range for an axis of length {n}")
    index = index.astype(np.int64, copy=False)
    return np.where(index < 0, index + n, index)
