"""Join matrices by the ids of their rows and columns, and arrange columns for another catalogue."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions._array import AnnotatedArray, frozen
from sklearn_llmrec.interactions._catalogue import rows_or_missing, stacked_tables
from sklearn_llmrec.interactions._entries import sorted_by_row_and_column
from sklearn_llmrec.interactions._event_log import merged_entries
from sklearn_llmrec.interactions._tables import take_rows
from sklearn_llmrec.utils import first_repeated, id_positions, joined_ids


class _Axis:
    """The ids of one axis of several matrices: those of the first matrix, then new ones in order of occurrence.

    Attributes
    ----------
    ids : ndarray or None
    places : list of ndarray
        For every matrix the position of its rows or columns in the result.
    size : int
    """

    def __init__(self, matrices: list[AnnotatedArray], axis: int) -> None:
        name = ("user_ids", "item_ids")[axis]
        ids = [getattr(matrix, name) for matrix in matrices]
        sizes = [matrix.shape[axis] for matrix in matrices]
        lacking = [number for number, ids_of_one in enumerate(ids) if ids_of_one is None]
        if lacking and (len(lacking) < len(ids) or axis):
            if axis and len(lacking) == len(ids) and len(set(sizes)) == 1:
                self.ids, self.size = None, sizes[0]
                self.places = [np.arange(self.size)] * len(sizes)
                return
            raise ValueError(
                f"Matrix {lacking[0]} of concat has no {name}, so its {('rows', 'columns')[axis]} match no others: set "
                f"X.{name} (Interactions.from_frame does)."
            )
        if lacking:  # no user can be recognised as the same
            bounds = np.cumsum([0, *sizes])
            self.ids, self.size = None, int(bounds[-1])
            self.places = [np.arange(a, b) for a, b in pairwise(bounds)]
            return
        self.places, known = [], ids[0]
        for number, ids_of_one in enumerate(ids):
            repeated = first_repeated(ids_of_one)
            if repeated is not None:
                raise ValueError(
                    f"Matrix {number} of concat has the id {ids_of_one[[repeated]].tolist()[0]!r} twice in {name}: ids "
                    "must name one row or column each."
                )
            found = id_positions(
                known, ids_of_one, f"matrix 0 of concat has {name}", f"matrix {number} has"
            )
            new = np.flatnonzero(found < 0)
            found[new] = len(known) + np.arange(len(new))
            known = joined_ids(known, ids_of_one[new], name)
            self.places.append(found)
        self.ids, self.size = known, len(known)

    def table(self, tables: list[Any]) -> Any:
        """Return one row per id, of the last table that has it; None where tables do not match."""
        stacked = stacked_tables(tables)
        if stacked is None:
            return None
        rows = np.empty(self.size, dtype=np.int64)
        start = 0
        for places in self.places:
            rows[places] = start + np.arange(len(places))
            start += len(places)
        return take_rows(stacked, rows)


def concatenated(matrices: list[Any], repeats: str) -> tuple[Any, ...]:
    """Return the merged entries and both axes; parameters as in `Interactions.concat`."""
    if repeats not in ("sum", "last", "keep"):
        raise ValueError(f"repeats must be 'sum', 'last' or 'keep'; got {repeats!r}.")
    for number, matrix in enumerate(matrices):
        if not isinstance(matrix, AnnotatedArray) or matrix.ndim != 2:
            raise TypeError(
                f"concat joins Interactions, and number {number} is a {type(matrix).__name__}: wrap a matrix, "
                "Interactions(M, user_ids=..., item_ids=...)."
            )
    if not matrices:
        raise ValueError("concat needs at least one matrix.")
    users, items = _Axis(matrices, 0), _Axis(matrices, 1)
    timed = {
        matrix.timestamps is not None: number
        for number, matrix in enumerate(matrices)
        if matrix.nnz
    }
    if len(timed) > 1:
        raise ValueError(
            f"Matrix {timed[False]} of concat has no timestamps and matrix {timed[True]} has: events with and without "
            "times have no common order. Set X.timestamps, or set it to None in all."
        )
    rows = np.concatenate(
        [np.repeat(places, np.diff(M.indptr)) for places, M in zip(users.places, matrices)]
    )
    columns = np.concatenate([places[M.indices] for places, M in zip(items.places, matrices)])
    data = np.concatenate([M.data for M in matrices])
    times = None
    if True in timed:
        times = np.concatenate([M.timestamps for M in matrices if M.nnz])
    # Events of one time keep the order of their log, those of an earlier matrix first.
    starts = np.cumsum([0, *(len(M.data) for M in matrices[:-1])])
    logged = np.concatenate(
        [
            start + (np.arange(len(M.data)) if M._log_order is None else _ranks(M._log_order))
            for start, M in zip(starts, matrices)
        ]
    )
    place = np.empty(len(logged), dtype=np.int64)
    place[logged] = np.arange(len(logged))
    events = {
        "row": rows[place],
        "column": columns[place],
        "value": data[place],
        "time": None if times is None else times[place],
    }
    return merged_entries(events, (users.size, items.size), repeats), users, items


def _ranks(order: NDArray[Any]) -> NDArray[np.int64]:
    """Return the rank of each number; numbers of a selection have gaps."""
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[np.argsort(order, kind="stable")] = np.arange(len(order))
    return ranks


def laid_out(X: AnnotatedArray, ids: NDArray[Any]) -> AnnotatedArray:
    """Return the matrix with the columns of the given ids, in their order; see `Interactions.with_items`."""
    if X.item_ids is None:
        raise ValueError(
            "with_items matches columns by id, and the matrix has no item_ids: set X.item_ids."
        )
    old = X.item_ids
    place = id_positions(ids, old, "items has", "the matrix has item_ids")
    columns = place[X.indices]
    kept = np.flatnonzero(columns >= 0)
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[kept]
    order, indices, indptr = sorted_by_row_and_column(rows, columns[kept], (X.shape[0], len(ids)))
    entries = kept[order]
    shape = (X.shape[0], len(ids))
    result: AnnotatedArray = type(X)((X.data[entries], indices, indptr), shape=shape)
    if X.timestamps is not None:
        result._timestamps = X.timestamps[entries]
        # Ties in time were in the order of the old columns where no log has more.
        result._log_order = entries if X._log_order is None else X._log_order[entries]
    result._user_ids, result._user_features = X.user_ids, X.user_features
    result._item_ids = ids if not ids.flags.writeable else frozen(ids.copy())
    found = id_positions(old, ids, "", "")
    result._item_features = rows_or_missing(X.item_features, found, ids, X._table[1])
    result._table = X._table
    result.report_ = {**(X.report_ or {}), "other_items": len(X.data) - len(entries)}
    return result
