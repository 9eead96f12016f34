"""Hide a part of every row: chosen by a hash, its latest events, or all from one time on; `score`, ensembles use it."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.interactions._events import (
    as_events,
    baskets_in_time,
    entry_times,
    first_of_pairs,
    like,
    part,
    visible_and_targets,
)
from sklearn_llmrec.utils import entry_rows

__all__ = ["cut_at", "events_of_window", "hide_by_hash", "hide_from_cut", "hide_latest"]


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit integers by the finaliser of splitmix64: every input bit affects every output bit."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _order_by_key(rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the order by row, then by the upper 40 bits of the key; ties by position, so by column."""
    order = np.empty(len(rows), dtype=np.int64)
    for block in range(0, int(rows[-1]) + 1 if len(rows) else 0, 2**24):
        start, end = np.searchsorted(rows, [block, block + 2**24])
        both = (rows[start:end] - block).astype(np.uint64) << np.uint64(40)
        both |= keys[start:end] >> np.uint64(24)
        order[start:end] = start + np.argsort(both, kind="stable")  # one key sorts faster than two
    return order


def _n_hidden(
    counts: NDArray[Any], test_size: float, max_hidden: int | None = None
) -> NDArray[np.int64]:
    """Return how many of `counts` are hidden: at least one, not all of two or more, and not more than `max_hidden`."""
    n = np.rint(counts * test_size)
    if max_hidden is not None:
        n = np.minimum(n, max_hidden)
    return np.clip(n, 1, np.maximum(counts - 1, 1)).astype(np.int64)


def hide_by_hash(
    X: Any,
    *,
    test_size: float = 0.2,
    salt: int = 0,
    max_hidden: int | None = None,
    return_mask: bool = False,
) -> Any:
    """Hide a share of the items of every row, chosen by a hash of the row's items.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    test_size : float, default=0.2
        Share of a row's items that is hidden, above 0 and below 1.
    salt : int, default=0
        Another number is another choice.
    max_hidden : int, default=None
        How many items of a row are hidden at most; None sets no limit.
    return_mask : bool, default=False
        Whether the mask of the visible events is returned too.

    Returns
    -------
    visible, hidden : same type as X
        ``max(1, round(test_size * n))`` of the n >= 2 items of a row are hidden, never all. The choice depends on the
        row's set of items and the salt, not on values, rows, chunk or dtype.
    mask : ndarray of shape (n_events,), bool
        Which entries of ``as_events(X)`` are visible. Only with `return_mask`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.interactions._hide import hide_by_hash
    >>> visible, hidden = hide_by_hash(np.ones((2, 5)))
    >>> visible.sum(axis=1), hidden.sum(axis=1)
    (array([4., 4.]), array([1., 1.]))
    """
    M = as_events(X)
    first = first_of_pairs(M)  # all events of a hidden item are hidden
    columns, rows = M.indices[first], entry_rows(M)[first]
    n_items = np.bincount(rows, minlength=M.shape[0])
    mixed = _mix64(columns.astype(np.uint64))
    filled = np.flatnonzero(n_items)
    row_hash = np.full(M.shape[0], salt, dtype=np.uint64)
    if len(filled):
        starts = (np.cumsum(n_items) - n_items)[filled]
        row_hash[filled] += np.add.reduceat(mixed, starts)
    keys = _mix64(mixed ^ _mix64(row_hash)[rows])
    order = _order_by_key(rows, keys)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(n_items) - n_items, n_items)
    hidden_item = np.zeros(len(rows), dtype=bool)
    n_hidden = np.where(n_items >= 2, _n_hidden(n_items, test_size, max_hidden), 0)
    hidden_item[order] = rank < n_hidden[rows]
    hidden = hidden_item[np.cumsum(first) - 1] if M.nnz else first
    split = like(part(M, ~hidden), X), like(part(M, hidden), X)
    return (*split, ~hidden) if return_mask else split


def hide_latest(
    X: Any,
    *,
    test_size: float = 0.2,
    exclude_seen: bool = True,
    max_hidden: int | None = None,
    return_mask: bool = False,
) -> Any:
    """Hide the latest share of the events of every row.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions; without timestamps, values are read as times.
    test_size : float, default=0.2
        Share of a row's events that is hidden, between 0 and 1.
    exclude_seen : bool, default=True
        Whether hidden events of items that stay visible leave the second matrix.
    max_hidden : int, default=None
        Largest number of events of a row that are requested; None sets no limit.
    return_mask : bool, default=False
        Whether the mask of the visible events is returned too.

    Returns
    -------
    visible, hidden : same type as X
        At least ``max(1, round(test_size * n))`` of the n events of a row (or `max_hidden`, if that is less) are
        hidden, as whole baskets (events of one time); the first basket stays.
    mask : ndarray of shape (n_events,), bool
        Which entries of ``as_events(X)`` are visible. Only with `return_mask`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.interactions._hide import hide_latest
    >>> hide_latest(np.array([[3, 1, 2, 0]]))[1]
    array([[3, 0, 0, 0]])
    """
    M = as_events(X)
    n_hidden = _n_hidden(np.diff(M.indptr), test_size, max_hidden)
    hidden = baskets_in_time(M, "auto", True).last(n_hidden)
    split = visible_and_targets(M, X, ~hidden, hidden, exclude_seen)
    return (*split, ~hidden) if return_mask else split


def cut_at(M: sp.csr_array, order: str, share: float) -> Any:
    """Return the latest time that has at most this share of the events before it."""
    times = np.sort(entry_times(M, order))
    if not len(times) or times[0] == times[-1]:
        raise ValueError("The events of X share one time: there is nothing to cut.")
    cut = times[min(int(share * len(times) + 1e-9), len(times) - 1)]
    # A first time shared by many must stay visible.
    return cut if cut > times[0] else times[np.searchsorted(times, cut, side="right")]


def events_of_window(
    M: sp.csr_array, X: Any, cut: Any, end: Any, order: str, exclude_seen: bool
) -> tuple[Any, Any]:
    """Return the events before the cut, and those from the cut until before the end."""
    times = entry_times(M, order)
    target = times >= cut
    if end is not None:
        target &= times < end
    return visible_and_targets(M, X, times < cut, target, exclude_seen)


def hide_from_cut(X: Any, *, test_size: float = 0.2, exclude_seen: bool = True) -> tuple[Any, Any]:
    """Hide the latest share of all events, from one time on for all rows.

    Parameters
    ----------
    X : Interactions of shape (n_users, n_items)
        Interactions with timestamps.
    test_size : float, default=0.2
        Share of all events that is hidden, between 0 and 1.
    exclude_seen : bool, default=True
        Whether hidden events of items that stay visible leave the second matrix.

    Returns
    -------
    visible, hidden : same type as X
        The events before the cut, and those from it on. A row without events before the cut is empty in both.

    Raises
    ------
    ValueError
        If X has no timestamps, or all its events share one time.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions
    >>> from sklearn_llmrec.interactions._hide import hide_from_cut
    >>> X = Interactions(np.array([[1, 1, 0], [0, 1, 1]]))
    >>> X.timestamps = [10, 21, 20, 25]
    >>> visible, hidden = hide_from_cut(X, test_size=0.5)
    >>> visible.toarray(), hidden.toarray()
    (array([[1, 0, 0],
           [0, 1, 0]]), array([[0, 1, 0],
           [0, 0, 1]]))
    """
    M = as_events(X)
    cut = cut_at(M, "timestamps", 1 - test_size)
    before = entry_times(M, "timestamps") < cut
    rows = entry_rows(M)
    known = np.bincount(rows[before], minlength=M.shape[0]) > 0
    return visible_and_targets(M, X, before, ~before & known[rows], exclude_seen)
