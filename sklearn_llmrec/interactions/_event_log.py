"""Convert an event log to the parts of a sparse matrix, in one vectorised pass.

Called by `Interactions.from_frame`. The steps: read the columns, drop what cannot be used (counted in the report),
number the ids, sort events by row, column and time, merge repeated ones. O(n log n) time in the number of events.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from os import PathLike
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.interactions._entries import AT_ONCE, as_times, sorted_by_row_and_column
from sklearn_llmrec.interactions._id_codes import GrowingArray, IdCodes
from sklearn_llmrec.interactions._ids import factorize, missing_in, positions_in
from sklearn_llmrec.interactions._tables import aligned_table, without_views
from sklearn_llmrec.utils import as_ids, cast_values, id_positions, warn, widened_data


@dataclass
class Parts:
    """The parts that `Interactions.from_frame` combines."""

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    shape: tuple[int, int]
    timestamps: NDArray[Any] | None
    log_order: NDArray[Any] | None
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    user_features: Any
    item_features: Any
    library: str | None
    report: dict[str, Any]


@dataclass
class _Log:
    """The columns of a log that are used, narrowed step by step."""

    frame: "nw.DataFrame[Any]"
    values: NDArray[Any] | None = None
    times: NDArray[Any] | None = None
    report: dict[str, Any] = field(default_factory=dict)

    def keep(self, mask: NDArray[np.bool_], reason: str) -> None:
        """Keep the events of the mask and count the others under `reason`."""
        dropped = int(len(mask) - np.count_nonzero(mask))
        self.report[reason] = self.report.get(reason, 0) + dropped
        if dropped:
            self.frame = self.frame.filter(
                nw.new_series("keep", mask, backend=self.frame.implementation)
            )
            self.values = None if self.values is None else self.values[mask]
            self.times = None if self.times is None else self.times[mask]

    @property
    def n_events(self) -> int:
        """Number of events that are left."""
        return len(self.frame)

    @property
    def library(self) -> str | None:
        """Name of the table library."""
        return self.frame.implementation.value

    def factorized(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the position of every id of a column among its sorted ids, and these."""
        return factorize(self.frame[name], name)


class _CodedLog:
    """The columns of a log that came in batches: ids as codes of 32 bits, and no table.

    Ids get codes in the order in which they come, and are sorted at the end, so that batches need no order.
    """

    library: str | None = None

    def __init__(self, batches: Iterable[_Log], names: list[str]) -> None:
        self.n_events = 0
        self.report: dict[str, Any] = {"missing": 0}
        self._codes = {name: IdCodes(name) for name in names}
        values, times = GrowingArray(), GrowingArray()
        for log in batches:
            for reason, count in log.report.items():
                self.report[reason] = self.report.get(reason, 0) + count
            self.library = log.library
            if not log.n_events:
                continue
            self.n_events += log.n_events
            for name, codes in self._codes.items():
                codes.append(log.frame[name].to_native())
            if log.values is not None:
                values.append(log.values)
            if log.times is not None:
                times.append(log.times)
        self.values, self.times = values.pop(), times.pop()

    def factorized(self, name: str) -> tuple[NDArray[Any], Any]:
        """Return the position of every id of a column among its sorted ids, and these; texts are an Arrow array."""
        return self._codes.pop(name).factorized()


def build_from_batches(
    batches: Iterable[Any],
    *,
    user: str,
    item: str,
    value: str | None,
    timestamp: str | None,
    nonpositive: str,
    missing: str,
    **options: Any,
) -> Parts:
    """Build the parts of the matrix from Arrow batches; the parameters are those of `Interactions.from_batches`."""
    _check_choice("missing", missing, ("drop", "raise"))
    logs = (
        _events(batch, user, item, value, timestamp, None, None, nonpositive, missing)
        for batch in batches
    )
    _check_repeats(options["repeats"], nonpositive)
    return _assembled(
        _CodedLog(logs, [user, item]),
        user=user,
        item=item,
        nonpositive=nonpositive,
        user_features=None,
        item_features=None,
        **options,
    )


def _check_repeats(repeats: str, nonpositive: str) -> None:
    _check_choice("repeats", repeats, ("sum", "mean", "count", "last", "keep"))
    if nonpositive == "net" and repeats != "sum":
        raise ValueError(
            f"nonpositive='net' nets sums, so it needs repeats='sum'; got {repeats!r}."
        )


def build_from_log(
    frame: Any,
    *,
    user: str,
    item: str,
    value: str | None,
    timestamp: str | None,
    event: str | None,
    event_weights: dict[Any, float] | None,
    repeats: str,
    nonpositive: str,
    missing: str,
    users: ArrayLike | None,
    items: ArrayLike | None,
    min_user_interactions: int,
    min_item_interactions: int,
    user_features: Any,
    item_features: Any,
    dtype: Any,
) -> Parts:
    """Build the parts of the matrix; the parameters are those of `Interactions.from_frame`."""
    _check_repeats(repeats, nonpositive)
    return _assembled(
        # Not kept here: its columns are freed one after the other.
        _events(frame, user, item, value, timestamp, event, event_weights, nonpositive, missing),
        user=user,
        item=item,
        repeats=repeats,
        nonpositive=nonpositive,
        users=users,
        items=items,
        min_user_interactions=min_user_interactions,
        min_item_interactions=min_item_interactions,
        user_features=user_features,
        item_features=item_features,
        dtype=dtype,
    )


def _assembled(
    log: _Log | _CodedLog,
    *,
    user: str,
    item: str,
    repeats: str,
    nonpositive: str,
    users: ArrayLike | None,
    items: ArrayLike | None,
    min_user_interactions: int,
    min_item_interactions: int,
    user_features: Any,
    item_features: Any,
    dtype: Any,
) -> Parts:
    """Build the parts of the matrix from the events that count."""
    n_read = log.n_events + sum(log.report.values())
    if dtype is None:
        dtype = np.float32 if log.values is not None and log.values.dtype == np.float32 else float

    rows, user_ids = _axis(log, user, users, "other_users")
    columns, item_ids = _axis(log, item, items, "other_items")
    if users is not None or items is not None:
        rows, columns = _known_only(log, rows, columns)
    report, library = log.report, log.library
    entries = None
    if n_events := len(rows):
        shape = (len(user_ids), len(item_ids))
        columns_of_log = {"row": rows, "column": columns, "value": log.values, "time": log.times}
        del log, rows, columns  # so that each column is freed once it is sorted
        entries = merged_entries(columns_of_log, shape, repeats, dtype)
        report["repeats_merged"] = n_events - len(entries.data)
        minimums = min_user_interactions, min_item_interactions
        _drop_weak(entries, report, nonpositive == "net", *minimums)
        entries.data = cast_values(entries.data, dtype)  # sums, not what is summed
    if entries is None or not len(entries.data):
        raise ValueError(f"No event is left of the {n_read} read; dropped were {report}.")
    user_ids, item_ids = _as_objects(user_ids), _as_objects(item_ids)
    user_ids = user_ids[_drop_empty_rows(entries)] if users is None else user_ids
    item_ids = item_ids[_drop_empty_columns(entries)] if items is None else item_ids
    counts = {"n_users": len(user_ids), "n_items": len(item_ids), "entries": len(entries.data)}
    return Parts(
        entries.data,
        entries.indices,
        entries.indptr,
        (len(user_ids), len(item_ids)),
        entries.times,
        None if entries.times is None else entries.order,
        user_ids,
        item_ids,
        aligned_table(user_features, "user_features", user, user_ids),
        aligned_table(item_features, "item_features", item, item_ids),
        library,
        {"events_read": n_read, **report, **counts},
    )


def _events(
    frame: Any,
    user: str,
    item: str,
    value: str | None,
    timestamp: str | None,
    event: str | None,
    event_weights: dict[Any, float] | None,
    nonpositive: str,
    missing: str,
) -> _Log:
    """Return the events of the log that count, with their values and times."""
    _check_choice("nonpositive", nonpositive, ("drop", "keep", "net"))
    _check_choice("missing", missing, ("drop", "keep", "raise"))
    if (event is None) != (event_weights is None):
        raise ValueError("event and event_weights belong together: give both or neither.")
    others = [column for column in (value, timestamp, event) if column is not None]
    log = _read(frame, [user, item], others, missing)
    if timestamp is not None:
        log.times = _times(log.frame[timestamp], timestamp)
    if value is not None:
        _read_values(log, value, missing)
    if event is not None and event_weights is not None:
        _weigh(log, event, event_weights)
    if log.values is not None and nonpositive == "drop":
        log.keep(log.values > 0, "nonpositive")
    return log


def _axis(
    log: _Log | _CodedLog, name: str, given: ArrayLike | None, reason: str
) -> tuple[NDArray[Any], Any]:
    """Return the row or column of every event, -1 where the given ids lack its id, and the ids, see `_as_objects`."""
    codes, ids = log.factorized(name)
    if given is None:
        return codes, ids
    ids = _as_objects(ids)
    fixed = as_ids(given, f"The ids given for column {name!r}").copy()
    found = positions_in(fixed, codes, ids, name)
    log.report[reason] = int(np.count_nonzero(found < 0))
    if len(found) and log.report[reason] == len(found):
        raise ValueError(
            f"None of the ids given for column {name!r} is in the log: given are {fixed[:3].tolist()}, and the log "
            f"contains {ids[:3].tolist()}. Ids are equal only if their types are: convert one of them if they differ."
        )
    return found, fixed


def _as_objects(ids: Any) -> NDArray[Any]:
    """Return ids as an array of numpy; texts of batches are in Arrow until no large array is left beside them."""
    return ids if isinstance(ids, np.ndarray) else np.asarray(ids.to_numpy(zero_copy_only=False))


def _known_only(
    log: _Log | _CodedLog, rows: NDArray[Any], columns: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the events whose user and item are both known."""
    known = (rows >= 0) & (columns >= 0)
    log.values = None if log.values is None else log.values[known]
    log.times = None if log.times is None else log.times[known]
    return rows[known], columns[known]


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")


# -- reading columns ---------------------------------------------------------------------------------


def _read(frame: Any, id_columns: list[str], others: list[str], missing: str) -> _Log:
    """Read the columns needed, without the events in which one of them is missing."""
    log = nw.from_native(frame, pass_through=True)
    if isinstance(log, nw.LazyFrame):
        raise TypeError("The log is lazy: collect it first, frame.collect().")
    if not isinstance(log, nw.DataFrame):
        raise TypeError(
            f"The log must be a pandas, polars or pyarrow table, got {type(frame).__name__}. {_how_to_read(frame)}"
        )
    names = list(dict.fromkeys(id_columns + others))
    absent = [name for name in names if name not in log.columns]
    if absent:
        raise ValueError(f"The log has no column {absent}; it has {list(log.columns)}.")
    log = without_views(log.select(*names))
    result = _Log(log, report={"missing": 0})
    checked = others if missing == "keep" else names
    lacking = {name: mask for name in checked if (mask := missing_in(log[name])) is not None}
    if lacking and missing != "drop":
        counts = {name: int(np.count_nonzero(mask)) for name, mask in lacking.items()}
        raise ValueError(
            f"Values are missing in the log, by column: {counts}. missing='drop' drops such events."
        )
    if lacking:
        present = np.ones(len(log), dtype=bool)
        for mask in lacking.values():
            present &= ~mask
        result.keep(present, "missing")
    return result


def _how_to_read(log: Any) -> str:
    """Return the advice on how to convert an input that is no table."""
    if isinstance(log, (str, bytes, PathLike)):
        return "A path names a file: read it first, for example with pandas.read_csv or pandas.read_parquet."
    if isinstance(log, (list, dict, np.ndarray)):
        return (
            "Turn it into a table with named columns first: pandas.DataFrame(data, columns=[...])."
        )
    if sp.issparse(log):
        return "A user-by-item matrix is no log: Interactions(matrix) takes it."
    return "A query result becomes one by pandas.read_sql."


def _times(series: "nw.Series[Any]", name: str) -> NDArray[Any]:
    """Return a column of times as numbers; time zones become UTC."""
    try:
        return as_times(series)
    except TypeError as error:
        raise TypeError(
            f"Column {name!r} has type {series.dtype}: times must be numbers or datetimes. Parse texts first, for "
            "example with pandas.to_datetime."
        ) from error


def _read_values(log: _Log, name: str, missing: str) -> None:
    """Add the value column to the log, as floats without NaN or as 64-bit integers."""
    dtype = log.frame[name].dtype
    # Old versions of narwhals have no name for half precision.
    is_half = dtype == nw.Unknown and log.frame[name].to_numpy().dtype == np.float16
    if not (dtype.is_numeric() or dtype == nw.Boolean or is_half):
        raise TypeError(
            f"Column {name!r} has type {dtype}: values must be numbers. Parse texts first, for "
            "example with pandas.to_numeric."
        )
    values = np.asarray(log.frame[name].to_numpy())
    if values.dtype.kind in "iu":
        log.values = values.astype("uint64" if values.dtype == np.uint64 else "int64", copy=False)
        return
    log.values = values if values.dtype == np.float32 else values.astype(np.float64, copy=False)
    if np.isfinite(log.values).all():
        return
    if np.isinf(log.values).any():
        raise ValueError(
            f"Column {name!r} contains infinity, the first at event {np.isinf(log.values).argmax()}."
        )
    if missing != "drop":
        raise ValueError(f"Column {name!r} contains NaN. missing='drop' drops such events.")
    log.keep(~np.isnan(log.values), "missing")


def _weigh(log: _Log, name: str, event_weights: dict[Any, float]) -> None:
    """Multiply values by the weights of their event types, and drop other types."""
    codes, types = factorize(log.frame[name], name)
    known = as_ids(list(event_weights), "The keys of event_weights")
    found = id_positions(known, types, "event_weights knows", f"column {name!r} contains")
    labels, unknown = types.tolist(), np.setdiff1d(np.arange(len(known)), found)
    unused = sorted(map(str, known[unknown].tolist()))
    if len(unused) == len(known):
        raise ValueError(
            f"event_weights knows {unused}, and column {name!r} contains {labels[:10]}."
        )
    _warn_of_misspelt(name, unused, [str(t) for t, place in zip(labels, found) if place < 0])
    values = np.array([*event_weights.values(), np.nan], dtype=np.float64)
    weights = values[found][codes]  # -1 is the last
    log.values = weights if log.values is None else log.values * weights
    log.keep(~np.isnan(weights), "other_event_types")


def _warn_of_misspelt(name: str, unused: list[str], dropped: list[str]) -> None:
    """Warn if the weights name a type without events whose name resembles a type without a weight."""
    folded = {kind.casefold(): kind for kind in dropped}
    for kind in unused:
        for alike in get_close_matches(kind.casefold(), folded, n=1, cutoff=0.7):
            warn(
                f"event_weights has a weight for {kind!r}, of which column {name!r} has no event, and none for "
                f"{folded[alike]!r}, whose events are dropped."
            )


# -- one entry per pair ------------------------------------------------------------------------------


@dataclass
class Entries:
    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    times: NDArray[Any] | None
    order: NDArray[Any]  # position in the log
    n_columns: int

    def first_of_pair(self) -> NDArray[np.bool_]:
        """Return whether an entry is the first of its row and column."""
        # Entries are sorted by row and column: a pair begins where the column changes, or where a row begins.
        first = np.empty(len(self.indices), dtype=bool)
        np.not_equal(self.indices[1:], self.indices[:-1], out=first[1:])
        first[self.indptr[:-1][np.diff(self.indptr) > 0]] = True
        return first


def merged_entries(
    events: dict[str, Any], shape: tuple[int, int], repeats: str, dtype: Any = None
) -> Entries:
    """Sort entries by row, column, time and place in the log, and merge them as `repeats` defines.

    `events` contains the "row", "column", "value" and "time" of every event, and is emptied: each array is freed when
    it is sorted. Values that have `dtype` already keep it; others are summed in a wider one.
    """
    order, indices, indptr = sorted_by_row_and_column(
        events.pop("row"), events.pop("column"), shape
    )
    entries = Entries(np.empty(0), indices, indptr, None, order, shape[1])
    del indices, indptr
    first = entries.first_of_pair()
    if (times := events.pop("time")) is not None:
        _sort_repeats(order, times, first)
        entries.times = _taken(times, order)
        del times
    values = None if repeats == "count" else events["value"]
    events.clear()
    valued = values is not None
    entries.data = np.ones(len(order), dtype=np.int32) if values is None else _taken(values, order)
    del values, order
    if repeats == "keep" or first.all():
        return entries
    last = np.append(first[1:], True)  # the latest event of each pair
    # Every array is shortened in place: a second one would be the most memory that is used.
    if entries.times is not None:
        entries.times = _kept(entries.times, last)
    entries.order, entries.indices = _kept(entries.order, last), _kept(entries.indices, first)
    if repeats == "last" or (repeats == "mean" and not valued):
        entries.data = _kept(entries.data, last)  # without values each event is worth 1
    else:
        entries.data = _sums_of_pairs(entries.data, first, dtype, mean=repeats == "mean")
    entries.indptr = _numbers_before(first, entries.indptr)
    return entries


def _kept(array: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Keep only the entries of a mask in an array, in place where it owns its memory."""
    n_kept = 0
    for start in range(0, len(array), AT_ONCE):
        block = slice(start, start + AT_ONCE)
        some = array[block][mask[block]]
        array[n_kept : n_kept + len(some)] = some
        n_kept += len(some)
    return _shortened(array, n_kept)


def _shortened(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the first entries of an array that is not needed any more."""
    if not array.flags.owndata:
        return array[:length].copy()
    array.resize(length, refcheck=False)
    return array


def _numbers_before(mask: NDArray[np.bool_], bounds: NDArray[Any]) -> NDArray[Any]:
    """Return how many entries of a mask are set before each of some sorted positions."""
    result, n_before = np.empty_like(bounds), 0
    for start in range(0, len(mask) + 1, AT_ONCE):
        counts = np.append(0, np.cumsum(mask[start : start + AT_ONCE]))
        here = slice(*np.searchsorted(bounds, [start, start + AT_ONCE]))
        result[here] = n_before + counts[bounds[here] - start]
        n_before += int(counts[-1])
    return result


def _sums_of_pairs(
    data: NDArray[Any], first: NDArray[np.bool_], dtype: Any, *, mean: bool
) -> NDArray[Any]:
    """Return the sum or the mean of the values of every pair, in `dtype` at once if the values have it already."""
    wide: Any = np.int64
    if mean or data.dtype.kind == "f":
        # The mean of float32 ratings must not depend on how many there are.
        wide = np.float64
    elif data.dtype.itemsize == 8:
        data = widened_data(data)
        wide = data.dtype
    n_pairs, n_done = int(np.count_nonzero(first)), 0
    in_place = data.dtype == (wide if dtype is None or data.dtype != dtype else dtype)
    sums = data if in_place else np.empty(n_pairs, dtype=wide)
    for start, stop in pairwise(_edges_between_pairs(first)):
        pairs = np.flatnonzero(first[start:stop])
        some = data[start:stop].astype(wide, copy=False)
        total = np.add.reduceat(some, pairs, dtype=wide)
        if mean:
            total = total / np.diff(pairs, append=len(some))
        sums[n_done : n_done + len(pairs)] = cast_values(total, sums.dtype)
        n_done += len(pairs)
    return _shortened(sums, n_pairs)


def _edges_between_pairs(first: NDArray[np.bool_]) -> list[int]:
    """Return bounds of blocks of entries that divide no pair, of about equal length."""
    edges = {0, len(first)}
    for start in range(AT_ONCE, len(first), AT_ONCE):
        place = start + int(first[start:].argmax())
        edges.add(place if first[place] else len(first))
    return sorted(edges)


def _taken(values: NDArray[Any], order: NDArray[Any]) -> NDArray[Any]:
    """Return values in an order; numpy would widen all of the order at once."""
    result = np.empty(len(order), dtype=values.dtype)
    for start in range(0, len(order), AT_ONCE):
        block = slice(start, start + AT_ONCE)
        result[block] = values[order[block]]
    return result


def _sort_repeats(order: NDArray[Any], times: NDArray[Any], first: NDArray[np.bool_]) -> None:
    """Sort repeated events by time in place, if the log is not sorted already."""
    later = np.flatnonzero(~first)
    if not len(later) or (times[order[later]] >= times[order[later - 1]]).all():
        return
    in_repeat = ~first
    in_repeat[:-1] |= ~first[1:]
    repeated = np.flatnonzero(in_repeat)
    group = np.cumsum(first[repeated])
    order[repeated] = order[repeated][np.lexsort((order[repeated], times[order[repeated]], group))]


def _narrow(entries: Entries, keep: NDArray[np.bool_]) -> int:
    """Keep some entries; return the number of those removed."""
    kept = np.flatnonzero(keep)
    entries.indptr = np.searchsorted(kept, entries.indptr).astype(entries.indptr.dtype)
    entries.data, entries.indices, entries.order = (
        entries.data[kept],
        entries.indices[kept],
        entries.order[kept],
    )
    entries.times = None if entries.times is None else entries.times[kept]
    return int(len(keep) - len(entries.data))


def _drop_weak(
    entries: Entries, report: dict[str, Any], net: bool, min_user: int, min_item: int
) -> None:
    """Remove pairs whose values sum to zero, then users and items with too few interactions; count both."""
    if net:
        report["nonpositive"] = _narrow(entries, entries.data > 0)
    keep = _supported(entries, min_user, min_item)
    report["below_minimum"] = 0 if keep is None else _narrow(entries, keep)


def _supported(entries: Entries, min_user: int, min_item: int) -> NDArray[np.bool_] | None:
    """Return entries whose user has `min_user` items and whose item has `min_item` users among these entries."""
    if min_user <= 1 and min_item <= 1:
        return None
    rows = np.repeat(np.arange(len(entries.indptr) - 1, dtype=np.int32), np.diff(entries.indptr))
    first = entries.first_of_pair()
    keep = np.ones(len(rows), dtype=bool)
    while True:
        counted = keep & first
        users = np.bincount(rows[counted], minlength=len(entries.indptr) - 1) >= min_user
        items = np.bincount(entries.indices[counted], minlength=entries.n_columns) >= min_item
        narrower = keep & users[rows] & items[entries.indices]
        if np.array_equal(narrower, keep):
            return keep
        keep = narrower


def _drop_empty_rows(entries: Entries) -> NDArray[np.int64]:
    filled = np.flatnonzero(np.diff(entries.indptr))
    entries.indptr = np.append(entries.indptr[filled], entries.indptr[-1])
    return filled


def _drop_empty_columns(entries: Entries) -> NDArray[np.int64]:
    present = np.zeros(entries.n_columns, dtype=bool)
    present[entries.indices] = True
    filled = np.flatnonzero(present)
    if len(filled) < entries.n_columns:
        entries.indices = (np.cumsum(present) - 1).astype(entries.indices.dtype)[entries.indices]
    return filled
