"""From an event log to the parts of a sparse matrix, in one vectorised pass."""

from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec._entries import as_times, sorted_by_row_and_column
from sklearn_llmrec._tables import aligned_table, as_ids, id_array, id_positions

# Integer ids are looked up in a table where their range is at most this, or this many times their number.
_TABLE_RANGE = 2**22
_TABLE_FACTOR = 4


@dataclass
class Parts:
    """What `Interactions.from_frame` puts together."""

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


def build(
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
    """The parts of the matrix; parameters as in `Interactions.from_frame`."""
    _check_choice("repeats", repeats, ("sum", "count", "last", "keep"))
    _check_choice("nonpositive", nonpositive, ("drop", "keep", "net"))
    _check_choice("missing", missing, ("drop", "keep", "raise"))
    if nonpositive == "net" and repeats != "sum":
        raise ValueError(
            f"nonpositive='net' nets sums, so it needs repeats='sum'; got repeats={repeats!r}."
        )
    if (event is None) != (event_weights is None):
        raise ValueError("event and event_weights belong together: give both or neither.")

    log = _read(
        frame, [user, item], [c for c in (value, timestamp, event) if c is not None], missing
    )
    n_read = len(log.frame) + log.report["missing"]
    if timestamp is not None:
        log.times = _times(log.frame[timestamp], timestamp)
    if value is not None:
        _read_values(log, value, missing)
    if event is not None and event_weights is not None:
        _weigh(log, event, event_weights)
    if log.values is not None and nonpositive == "drop":
        log.keep(log.values > 0, "nonpositive")
    kind = dtype or (
        np.float32 if log.values is not None and log.values.dtype == np.float32 else np.float64
    )

    axes = []
    for name, given, reason in ((user, users, "other_users"), (item, items, "other_items")):
        codes, ids = _factorize(log.frame[name], name)
        axes.append(
            _fix_axis(codes, ids, as_ids(name, given)) if given is not None else (codes, ids)
        )
        log.report[reason] = int(np.count_nonzero(axes[-1][0] < 0))
    (rows, user_ids), (columns, item_ids) = axes
    known = (rows >= 0) & (columns >= 0) if users is not None or items is not None else None
    if known is not None and not known.all():
        rows, columns = rows[known], columns[known]
        log.values = None if log.values is None else log.values[known]
        log.times = None if log.times is None else log.times[known]
    library = log.frame.implementation.value
    report, values, times = log.report, log.values, log.times
    del log, axes, known
    if not len(rows):
        raise ValueError(f"No event is left of the {n_read} read; dropped were {report}.")

    merged = _merge(rows, columns, values, times, (len(user_ids), len(item_ids)), repeats, kind)
    report["repeats_merged"] = len(rows) - len(merged.data)
    del rows, columns, values, times
    if nonpositive == "net":
        report["nonpositive"] = _narrow(merged, merged.data > 0)
    kept = _supported(merged, min_user_interactions, min_item_interactions)
    if kept is not None:
        report["below_minimum"] = _narrow(merged, kept)
    else:
        report["below_minimum"] = 0
    if not len(merged.data):
        raise ValueError(f"No event is left of the {n_read} read; dropped were {report}.")
    if users is None:
        user_ids = user_ids[_drop_empty_rows(merged)]
    if items is None:
        item_ids = item_ids[_drop_empty_columns(merged)]
    shape = (len(user_ids), len(item_ids))
    return Parts(
        merged.data,
        merged.indices,
        merged.indptr,
        shape,
        merged.times,
        merged.order if merged.times is not None else None,
        user_ids,
        item_ids,
        None
        if user_features is None
        else aligned_table(user_features, "user_features", user, user_ids),
        None
        if item_features is None
        else aligned_table(item_features, "item_features", item, item_ids),
        library,
        {
            "events_read": n_read,
            **report,
            "n_users": shape[0],
            "n_items": shape[1],
            "entries": len(merged.data),
        },
    )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")


# -- reading columns ----------------------------------------------------------------------------------------------


def _read(frame: Any, id_columns: list[str], others: list[str], missing: str) -> _Log:
    """The columns needed, without the events that lack one of them."""
    log = nw.from_native(frame, pass_through=True)
    if isinstance(log, nw.LazyFrame):
        raise TypeError("The log is lazy: collect it first.")
    if not isinstance(log, nw.DataFrame):
        raise TypeError(
            f"The log must be a pandas, polars or pyarrow table, got {type(frame).__name__}. A query result becomes one by "
            "pandas.read_sql."
        )
    names = list(dict.fromkeys(id_columns + others))
    absent = [name for name in names if name not in log.columns]
    if absent:
        raise ValueError(f"The log has no column {absent}; it has {list(log.columns)}.")
    result = _Log(log.select(*names), report={"missing": 0})
    checked = others if missing == "keep" else names
    lacking = [name for name in checked if log[name].null_count() > 0]
    if lacking and missing != "drop":
        counts = {name: int(log[name].null_count()) for name in lacking}
        raise ValueError(
            f"Values are missing in the log, by column: {counts}. missing='drop' drops such events."
        )
    if lacking:
        present = np.ones(len(log), dtype=bool)
        for name in lacking:
            present &= ~np.asarray(log[name].is_null().to_numpy(), dtype=bool)
        result.keep(present, "missing")
    return result


def _times(series: "nw.Series[Any]", name: str) -> NDArray[Any]:
    """A column of times as numbers; time zones become UTC."""
    if isinstance(series.dtype, nw.Date):
        series = series.cast(nw.Datetime("ms"))
    if isinstance(series.dtype, nw.Datetime):
        for unit in (
            "ms",
            "us",
        ):  # in the coarsest unit that holds them: pandas may keep nanoseconds
            if unit == "us" or (series.dt.microsecond() % 1000 == 0).all():
                return as_times(
                    np.asarray(series.dt.timestamp(unit).to_numpy()).astype(f"datetime64[{unit}]")
                )
    if not series.dtype.is_numeric():
        raise TypeError(
            f"Column {name!r} has type {series.dtype}: times must be numbers or datetimes. Parse texts first, for example "
            "with pandas.to_datetime."
        )
    return as_times(np.asarray(series.to_numpy()))


def _read_values(log: _Log, name: str, missing: str) -> None:
    """Put the value column into the log as floats, without NaN."""
    dtype = log.frame[name].dtype
    if not (dtype.is_numeric() or dtype == nw.Boolean):
        raise TypeError(f"Column {name!r} has type {dtype}: values must be numbers.")
    values = np.asarray(log.frame[name].to_numpy())
    log.values = values if values.dtype == np.float32 else values.astype(np.float64, copy=False)
    if np.isfinite(log.values).all():
        return
    if np.isinf(log.values).any():
        raise ValueError(
            f"Column {name!r} holds infinity, the first at event {np.isinf(log.values).argmax()}."
        )
    if missing != "drop":
        raise ValueError(f"Column {name!r} holds NaN. missing='drop' drops such events.")
    log.keep(~np.isnan(log.values), "missing")


def _weigh(log: _Log, name: str, event_weights: dict[Any, float]) -> None:
    """Multiply values by the weights of their event types, dropping other types."""
    codes, types = _factorize(log.frame[name], name)
    unknown = set(event_weights) - set(types.tolist())
    if unknown == set(event_weights):
        raise ValueError(
            f"event_weights knows {sorted(map(str, unknown))}, and column {name!r} holds {types.tolist()[:10]}."
        )
    weights = np.array(
        [event_weights.get(kind, np.nan) for kind in types.tolist()], dtype=np.float64
    )[codes]
    log.values = weights if log.values is None else log.values * weights
    log.keep(~np.isnan(weights), "other_event_types")


# -- ids ------------------------------------------------------------------------------------------------------------


def _factorize(series: "nw.Series[Any]", name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Position of every id among the sorted ids, and those; a missing id is None, the last."""
    if series.null_count():
        present = ~np.asarray(series.is_null().to_numpy(), dtype=bool)
        known, ids = _factorize(
            series.filter(nw.new_series("p", present, backend=series.implementation)), name
        )
        codes = np.full(len(present), len(ids), dtype=known.dtype)
        codes[present] = known
        return codes, np.append(ids.astype(object), None)
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
                codes = (np.cumsum(present, dtype=np.int64) - 1).astype(np.int32)[shifted]
            return codes, (known + offset).astype(ids.dtype, copy=False)
    # Sorting the ids and searching them is quicker than np.unique's inverse, which sorts positions.
    known = np.unique(ids)
    return np.searchsorted(known, ids).astype(np.int32, copy=False), known


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


def _fix_axis(
    codes: NDArray[Any], ids: NDArray[Any], given: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Codes in an axis that is given, -1 where it lacks the id."""
    assert given is not None
    if len(set(given.tolist())) < len(given):
        raise ValueError("users and items must not hold an id twice.")
    return id_positions(given, ids)[codes].astype(np.int32), given


# -- one entry per pair -----------------------------------------------------------------------------------------------


@dataclass
class _Entries:
    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    times: NDArray[Any] | None
    order: NDArray[Any]  # position in the log
    n_columns: int

    def first_of_pair(self) -> NDArray[np.bool_]:
        """Whether an entry is the first of its row and column."""
        first = np.empty(len(self.indices), dtype=bool)
        np.not_equal(self.indices[1:], self.indices[:-1], out=first[1:])
        first[self.indptr[:-1][np.diff(self.indptr) > 0]] = True
        return first


def _merge(
    rows: NDArray[Any],
    columns: NDArray[Any],
    values: NDArray[Any] | None,
    times: NDArray[Any] | None,
    shape: tuple[int, int],
    repeats: str,
    dtype: Any,
) -> _Entries:
    """Entries sorted by row, column, time and place in the log, merged as `repeats` says."""
    order, indices, indptr = sorted_by_row_and_column(rows, columns, shape)
    entries = _Entries(np.empty(0), indices, indptr, None, order, shape[1])
    first = entries.first_of_pair()
    if times is not None:
        _sort_repeats(order, times, first)
        entries.times = times[order]
    values = None if repeats == "count" else values
    entries.data = (
        np.ones(len(order), dtype=dtype)
        if values is None
        else values[order].astype(dtype, copy=False)
    )
    if repeats == "keep" or first.all():
        return entries
    starts = np.flatnonzero(first)
    last = np.append(starts[1:], len(first)) - 1
    entries.data = (
        entries.data[last] if repeats == "last" else np.add.reduceat(entries.data, starts)
    )
    entries.times = None if entries.times is None else entries.times[last]
    entries.order, entries.indices = entries.order[last], entries.indices[starts]
    entries.indptr = np.append(0, np.cumsum(first))[entries.indptr].astype(entries.indptr.dtype)
    return entries


def _sort_repeats(order: NDArray[Any], times: NDArray[Any], first: NDArray[np.bool_]) -> None:
    """Bring repeated events into the order of time, in place; only those, and only where the log is not so."""
    later = np.flatnonzero(~first)
    if not len(later) or (times[order[later]] >= times[order[later - 1]]).all():
        return
    in_repeat = ~first
    in_repeat[:-1] |= ~first[1:]
    at = np.flatnonzero(in_repeat)
    group = np.cumsum(first[at])
    order[at] = order[at][np.lexsort((order[at], times[order[at]], group))]


def _narrow(entries: _Entries, keep: NDArray[np.bool_]) -> int:
    """Keep some entries; how many went."""
    entries.indptr = np.append(0, np.cumsum(keep))[entries.indptr].astype(entries.indptr.dtype)
    entries.data, entries.indices, entries.order = (
        entries.data[keep],
        entries.indices[keep],
        entries.order[keep],
    )
    entries.times = None if entries.times is None else entries.times[keep]
    return int(len(keep) - len(entries.data))


def _supported(entries: _Entries, min_user: int, min_item: int) -> NDArray[np.bool_] | None:
    """Entries whose user has `min_user` items and whose item `min_item` users, counted among themselves."""
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


def _drop_empty_rows(entries: _Entries) -> NDArray[np.int64]:
    filled = np.flatnonzero(np.diff(entries.indptr))
    entries.indptr = np.append(entries.indptr[filled], entries.indptr[-1])
    return filled


def _drop_empty_columns(entries: _Entries) -> NDArray[np.int64]:
    present = np.zeros(entries.n_columns, dtype=bool)
    present[entries.indices] = True
    filled = np.flatnonzero(present)
    if len(filled) < entries.n_columns:
        entries.indices = (np.cumsum(present) - 1).astype(entries.indices.dtype)[entries.indices]
    return filled
