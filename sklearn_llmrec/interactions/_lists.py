"""Convert lists of item ids, one per user, to entries of a matrix.

Called by `Interactions.from_lists` and `recommend_ids`. O(n_events log n_items) time.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.interactions._entries import as_times, sorted_by_row_and_column
from sklearn_llmrec.interactions._ids import sorted_ids
from sklearn_llmrec.utils import as_ids, id_positions, is_missing

_BUILD = "Interactions.from_frame(df, user=..., item=...) reads a table of events."


def lists_of(histories: Any, name: str) -> tuple[list[list[Any]], list[Any] | None]:
    """Return one list per user, and the users where histories are a mapping of them.

    Raises
    ------
    TypeError
        If it is no list of lists.
    """
    users = None
    table = nw.from_native(histories, eager_only=True, pass_through=True)
    if isinstance(histories, (str, bytes)) or not isinstance(histories, Iterable):
        raise TypeError(f"{name} must be a list of lists, one per user; got {histories!r}.")
    if sp.issparse(histories) or isinstance(table, nw.DataFrame):
        raise TypeError(
            f"{name} must be a list of lists, one per user; got {type(histories).__name__}. {_BUILD}"
        )
    if isinstance(histories, Mapping):
        users, histories = list(histories), histories.values()
    lists = []
    for position, history in enumerate(histories):
        if isinstance(history, (str, bytes, Mapping)) or not isinstance(history, Iterable):
            raise TypeError(
                f"{name} must contain one list per user, and number {position} is {history!r}: the list of a single "
                "user is a list in a list, [[...]]."
            )
        lists.append(list(history))
    return lists, users


def flat_times(timestamps: Any, lengths: NDArray[np.int64]) -> NDArray[Any]:
    """Return the times of all events; by default the place of an event in its list.

    Raises
    ------
    ValueError
        If there is not one time per event.
    """
    if timestamps is None:
        # The number of an event among all, less the number at which its list starts.
        starts = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) - np.repeat(starts, lengths)
    lists, _ = lists_of(timestamps, "timestamps")
    given = np.array([len(times) for times in lists], dtype=np.int64)
    if len(given) != len(lengths):
        raise ValueError(
            f"timestamps contains {len(given)} lists and histories {len(lengths)}: both must be equal."
        )
    wrong = np.flatnonzero(given != lengths)
    if len(wrong):
        user = int(wrong[0])
        raise ValueError(
            f"List {user} of timestamps contains {given[user]} times and the history {lengths[user]} ids: one time per "
            "id is needed."
        )
    flat = list(chain.from_iterable(lists))
    return as_times(np.asarray(flat)) if flat else np.zeros(0, dtype=np.int64)


def ids_in_lists(lists: list[list[Any]]) -> NDArray[Any]:
    """Return the sorted ids that occur in lists; missing ids are left out.

    Raises
    ------
    ValueError
        If there is none.
    """
    ids = as_ids([x for history in lists for x in history if not is_missing(x)], "histories")
    if not len(ids):
        raise ValueError(
            "histories contain no id to make columns of: pass items, the ids of a catalogue."
        )
    return sorted_ids(ids, "histories")


def entries_of_lists(
    lists: list[list[Any]], timestamps: Any, known: NDArray[Any]
) -> tuple[sp.csr_array, NDArray[Any], dict[str, Any]]:
    """Return the places of the known events, sorted by row and column, their times and a report.

    Returns
    -------
    entries : csr_array of shape (n_users, n_items)
        Its values are positions among the events that are known, its duplicates in order.
    times : ndarray
        Time of every known event.
    report : dict
    """
    lengths = np.array([len(history) for history in lists], dtype=np.int64)
    times = flat_times(timestamps, lengths)
    ids = as_ids(list(chain.from_iterable(lists)), "histories")
    columns = id_positions(known, ids, "items has", "histories contain")
    is_known = columns >= 0
    rows = np.repeat(np.arange(len(lists)), lengths)[is_known]
    columns, shape = columns[is_known], (len(lists), len(known))
    if len(rows) < len(known):  # counting sorts walk over the whole catalogue
        order = np.lexsort((columns, rows))
        indptr = np.searchsorted(rows[order], np.arange(len(lists) + 1))
        entries = sp.csr_array((order, columns[order], indptr), shape=shape)
    else:
        order, indices, indptr = sorted_by_row_and_column(rows, columns, shape)
        entries = sp.csr_array((order, indices, indptr), shape=shape)
    report = {
        "events_read": len(ids),
        "other_items": int(len(ids) - len(rows)),
        "empty_histories": int(np.count_nonzero(np.diff(entries.indptr) == 0)),
        "n_users": shape[0],
        "n_items": shape[1],
        "entries": len(rows),
    }
    return entries, times[is_known], report
