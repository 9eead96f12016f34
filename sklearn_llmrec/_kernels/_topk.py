"""Exact top-k of dense score blocks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _full_sort(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64, copy=False)
    return items, np.take_along_axis(scores, items, axis=1)


def _lower_bound(scores: NDArray[Any], k: int, n_groups: int) -> NDArray[Any]:
    """A value that at least k entries of each row reach: the k-th largest of the maxima of column groups."""
    n_rows, n_columns = scores.shape
    size = n_columns // n_groups
    # Strided groups: the reduction runs over contiguous memory, which numpy vectorises.
    maxima = scores[:, : size * n_groups].reshape(n_rows, size, n_groups).max(axis=1)
    maxima.partition(n_groups - k, axis=1)
    return maxima[:, n_groups - k]


def topk(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The k best columns of every row, best first; equal scores by lower column.

    A bound that k entries are sure to reach is read off group maxima; only the few entries above it are sorted. All
    entries that tie at the boundary are among them, so the order of ties is exact at no extra cost.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_columns), floating
        No NaN; ``-inf`` marks what may not be chosen.
    k : int
        At most `n_columns`.

    Returns
    -------
    items : ndarray of shape (n_rows, k), int64
        Column numbers; -1 where fewer than k entries are above ``-inf``.
    values : ndarray of shape (n_rows, k)
        Their scores, of the dtype of `scores`; ``-inf`` beside item -1.

    Notes
    -----
    O(n_rows * n_columns) comparisons, two passes over the block.
    """
    n_rows, n_columns = scores.shape
    n_groups = max(4 * k, 128)
    if n_columns < 2 * n_groups:
        items, values = _full_sort(scores, k)
        items[values == -np.inf] = -1
        return items, values
    bound = _lower_bound(scores, k, n_groups)
    # -inf is never a candidate, also where fewer than k entries are allowed and the bound itself is -inf.
    lowest = np.nextafter(scores.dtype.type(-np.inf), scores.dtype.type(0))
    flat = np.flatnonzero(scores >= np.maximum(bound, lowest)[:, None])
    rows, columns = np.divmod(flat, n_columns)
    found = scores.reshape(-1)[flat] if scores.flags.c_contiguous else scores[rows, columns]
    order = np.lexsort((-found, rows))  # stable: equal scores stay in column order
    counts = np.bincount(rows, minlength=n_rows)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(len(flat)) - np.repeat(starts, counts)
    keep = rank < k
    items = np.full((n_rows, k), -1, dtype=np.int64)
    values = np.full((n_rows, k), -np.inf, dtype=scores.dtype)
    chosen = order[keep]
    items[rows[chosen], rank[keep]] = columns[chosen]
    values[rows[chosen], rank[keep]] = found[chosen]
    return items, values
