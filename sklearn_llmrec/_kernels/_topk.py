"""Exact top-k of dense scores and of sparse rows.

`topk_dense` ranks the scores of a chunk of users at once. `DenseTopK` receives them in blocks of columns and keeps the
best so far, so that the scores of a whole row need not be stored. The loops are in `_topk_loops`, with the data layout.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._arrays import allowed, of_model, pattern
from sklearn_llmrec.utils import in_threads, slices_for_threads


def empty_lists(n_rows: int, k: int, dtype: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return empty lists of items and scores: -1 beside ``-inf``."""
    return np.full((n_rows, k), -1, dtype=np.int64), np.full((n_rows, k), -np.inf, dtype=dtype)


def room_for_maxima(k: int, dtype: Any) -> NDArray[Any]:
    """Return the memory for the maxima of groups of columns: four for each of k, in whole strips."""
    return np.empty((4 * k + 63) // 64 * 64, dtype=dtype)


class DenseTopK:
    """Top k of rows whose scores come in blocks of columns, from the left.

    Parameters
    ----------
    n_rows, k : int
    dtype : dtype
        float32 or float64.
    seen : csr_array of shape (n_rows, n_items) or None
        Its pattern is left out.
    candidates : ndarray of int64, boolean csr_array, or None
        The only columns that are chosen, for all rows or row by row.
    skip_zeros : bool
        Whether a score of exactly zero is left out.
    """

    def __init__(
        self,
        n_rows: int,
        k: int,
        dtype: Any,
        seen: sp.csr_array | None = None,
        candidates: Any | None = None,
        skip_zeros: bool = False,
    ) -> None:
        from sklearn_llmrec._kernels._topk_loops import dense_topk

        self.items, self.values = empty_lists(n_rows, k, dtype)
        self._counts = np.zeros(n_rows, dtype=np.uint64)
        self._fixed = (*pattern(seen, n_rows, np.uint64), *allowed(candidates, n_rows), skip_zeros)
        self._loop = dense_topk.of(dtype)
        self._maxima = room_for_maxima(k, dtype)

    def add(self, scores: NDArray[Any], first: int = 0, *, last: bool = True) -> None:
        """Add a block of scores (overwritten) whose first column is column `first`; the last block ends the lists."""
        lowest, k = np.finfo(scores.dtype).min, self.items.shape[1]
        lists = k, self._maxima, self.items.ravel(), self.values.ravel(), self._counts, last
        flat = np.ascontiguousarray(scores).ravel()
        # The loop overwrites seen scores with -inf, which must not reach an array of the model.
        if not flat.flags.writeable:
            flat = flat.copy()
        self._loop(*scores.shape, first, flat, *self._fixed, lowest, *lists)


def topk_dense(
    scores: NDArray[Any],
    k: int,
    *,
    seen: sp.csr_array | None = None,
    candidates: Any | None = None,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the k best columns of every row, best first; equal scores by lower column.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_columns), floating
        No NaN; ``-inf`` marks what may not be chosen. Scores of seen items become ``-inf``.
    k : int
        At most `n_columns`.
    seen : csr_array of shape (n_rows, n_columns) or None
        Its pattern is left out.
    candidates : ndarray of int64, boolean csr_array of shape (n_rows, n_columns), or None
        The only columns that are chosen, sorted, for all rows or row by row.

    Returns
    -------
    items : ndarray of shape (n_rows, k), int64
        Column numbers; -1 where fewer than k entries are above ``-inf``.
    values : ndarray of shape (n_rows, k)
        Their scores, of the dtype of `scores`; ``-inf`` beside item -1.

    Notes
    -----
    O(n_rows n_columns) comparisons, and O(log k) more for each of the about ``k log(n_columns / k)`` entries of a row
    that are among the best so far.
    """
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64)
    lists = DenseTopK(len(scores), k, scores.dtype, seen, candidates)
    lists.add(scores)
    return lists.items, lists.values


def topk_sparse(
    S: sp.csr_array, k: int, *, n_threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the k largest stored entries of every row of a float matrix, in the form of `topk_dense`."""
    from sklearn_llmrec._kernels._topk_loops import sparse_topk

    items, values = empty_lists(S.shape[0], k, S.dtype)
    loop = sparse_topk.of(S.dtype, S.indices.dtype)
    arrays = (*of_model(S), k, items.ravel(), values.ravel())
    in_threads(
        lambda rows: loop(rows.start, rows.stop, *arrays),
        slices_for_threads(S.shape[0], n_threads),
        n_threads,
    )
    return items, values
